"""What sized containers ask for together: a pod of the largest node and of Pod limit ranges, a namespace of its quotas.

Each container fits by itself (``sizing_clamps``). Where several do not fit together nobody can say which of them should
give way, so nothing is reduced, and each change says so.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from reconciler.evaluate.sizing_decision import quota_amount
from reconciler.evaluate.sizing_units import LABEL, spell
from reconciler.model.inventory import LimitRangeItem, Quota
from reconciler.model.recommendation import ContainerRecommendation
from reconciler.model.workload import RESOURCES, Bound, Resource, Workload

BOUNDS: tuple[Bound, ...] = ("requests", "limits")

Notes = Mapping[Resource, Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class ClusterLimits:
    """What a cluster has room for. ``largest_node``: millicores and bytes, None where no node was observed."""

    quotas: Sequence[Quota] = ()
    limit_ranges: Sequence[LimitRangeItem] = ()
    largest_node: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class _Pod:
    """One workload's pod as recommended."""

    workload: Workload
    containers: tuple[ContainerRecommendation, ...]

    @property
    def place(self) -> tuple[str, str]:
        """Cluster and namespace."""
        return self.workload.key.cluster, self.workload.key.namespace

    @property
    def replicas(self) -> int:
        return self.containers[0].replicas

    @property
    def changed(self) -> list[Resource]:
        """Resources of which a container changes."""
        return [resource for resource in RESOURCES if any(resource in one.changes for one in self.containers)]

    def total(self, bound: Bound, resource: Resource) -> int:
        """Millicores or bytes that the scheduler and the quota count: init containers run before the others, so the
        larger of the two."""
        workload = self.workload
        if bound == "requests" and resource == "cpu" and workload.pod_cpu_request is not None:
            return workload.pod_cpu_request
        first = {container.name for container in workload.containers if container.role == "init"}
        beside, before = 0, 0
        for one in self.containers:
            # What is not worth a change stays as it is, whatever was computed.
            then = one.recommended if resource in one.changes else one.current
            amount = (then.request(resource) if bound == "requests" else then.limit(resource)) or 0
            if one.container in first:
                before = max(before, amount)
            else:
                beside += amount
        return max(beside, before)


def with_sums_said(
    recommendations: Sequence[ContainerRecommendation], limits: Mapping[str, ClusterLimits]
) -> tuple[ContainerRecommendation, ...]:
    """The same recommendations; ``why`` of each change tells where it does not fit together with what is beside it.

    ``recommendations`` hold every container of every workload, a workload's side by side and of one Workload object;
    ``limits`` are by cluster name.
    """
    # By identity: to compare and hash thousands of models takes longer than all the rest.
    pods = [
        _Pod(group[0].workload, group)
        for _, found in groupby(recommendations, lambda r: id(r.workload))
        if (group := tuple(found))
    ]
    quotas = {
        (cluster, namespace): found
        for cluster, allowed in limits.items()
        for namespace, found in _by_namespace(allowed.quotas).items()
    }
    placed: dict[tuple[str, str], list[_Pod]] = defaultdict(list)
    for pod in pods:
        if pod.place in quotas:
            placed[pod.place].append(pod)
    by_namespace = {place: _quota_notes(found, quotas[place]) for place, found in placed.items()}
    return tuple(one for pod in pods for one in _said(pod, limits, by_namespace.get(pod.place, NOTHING)))


NOTHING: Notes = {}


def _by_namespace(quotas: Iterable[Quota]) -> dict[str, list[Quota]]:
    found: dict[str, list[Quota]] = defaultdict(list)
    for quota in quotas:
        found[quota.namespace].append(quota)
    return found


def _said(pod: _Pod, limits: Mapping[str, ClusterLimits], of_namespace: Notes) -> Iterator[ContainerRecommendation]:
    changed = pod.changed
    # Of a pod with one container all is clamped before, and said there.
    allowed = limits.get(pod.workload.key.cluster) if len(pod.containers) > 1 else None
    of_pod = {resource: list(_pod_said(pod, resource, allowed)) for resource in changed if allowed is not None}
    told = {resource: [*of_pod.get(resource, ()), *of_namespace.get(resource, ())] for resource in changed}
    if not any(told.values()):
        yield from pod.containers
        return
    for one in pod.containers:
        why, notes = dict(one.why), dict(one.notes)
        for resource in one.changes:
            # Where the workload alone passes the quota, that is said already, and says more.
            new = [note for note in told[resource] if note.rpartition(", above ")[2] not in why[resource]]
            why[resource] = "; ".join([why[resource], *new])
            # Who asks for less is not who passes a quota.
            raised = (one.recommended.request(resource) or 0) > (one.current.request(resource) or 0)
            if shown := [note for note in new if raised or note in of_pod.get(resource, ())]:
                notes[resource] = (*notes.get(resource, ()), *shown)
        yield one.model_copy(update={"why": why, "notes": notes})


def _pod_said(pod: _Pod, resource: Resource, limits: ClusterLimits) -> Iterator[str]:
    requested = pod.total("requests", resource)
    node = limits.largest_node[RESOURCES.index(resource)] if limits.largest_node is not None else None
    if node is not None and requested > node:
        yield f"the pod would request {spell(resource, requested)}, above {spell(resource, node)} that the largest node has"
    for item in limits.limit_ranges:
        if item.type != "Pod" or item.namespace != pod.workload.key.namespace:
            continue
        least, most = (item.min_cpu, item.max_cpu) if resource == "cpu" else (item.min_memory, item.max_memory)
        asked = max(requested, pod.total("limits", resource))
        if most is not None and asked > most:
            rule = f"the maximum {spell(resource, most)} for pods of LimitRange {item.name}"
            yield f"the pod would have {spell(resource, asked)} of {LABEL[resource]}, above {rule}"
        if least is not None and requested < least:
            rule = f"the minimum {spell(resource, least)} for pods of LimitRange {item.name}"
            yield f"the pod would request {spell(resource, requested)}, below {rule}"


def _quota_notes(pods: Sequence[_Pod], quotas: Sequence[Quota]) -> Notes:
    return {resource: list(_quota_said(pods, resource, quotas)) for resource in RESOURCES}


def _quota_said(pods: Sequence[_Pod], resource: Resource, quotas: Sequence[Quota]) -> Iterator[str]:
    for bound in BOUNDS:
        given = [(quota, found) for quota in quotas if (found := quota_amount(quota, bound, resource)) is not None]
        asked = sum(pod.total(bound, resource) * pod.replicas for pod in pods) if given else 0
        for quota, (key, hard) in given:
            if asked > hard:
                words = "request" if bound == "requests" else "have limits of"
                together = f"with the replicas of today, the namespace would {words} {spell(resource, asked)} together"
                yield f"{together}, above {key} {spell(resource, hard)} of ResourceQuota {quota.name}"
