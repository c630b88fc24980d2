"""What sized containers ask for together: a pod of the largest node and of Pod limit ranges, a namespace of its quotas.

Each container fits by itself (``sizing_clamps``). Where several do not fit together nobody can say which of them should
give way, so nothing is reduced, and each change says so.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.evaluate.sizing_decision import quota_amount
from reconciler.evaluate.sizing_units import LABEL, spell
from reconciler.model.inventory import LimitRangeItem, Quota
from reconciler.model.recommendation import ContainerRecommendation
from reconciler.model.workload import RESOURCES, Bound, Resource, Workload, WorkloadKey

BOUNDS: tuple[Bound, ...] = ("requests", "limits")

Kind = tuple[Bound, Resource]
Notes = Mapping[Resource, Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class ClusterLimits:
    """What a cluster has room for. ``largest_node``: millicores and bytes, None where no node was observed."""

    quotas: Sequence[Quota] = ()
    limit_ranges: Sequence[LimitRangeItem] = ()
    largest_node: tuple[int, int] | None = None


@dataclass(slots=True)
class _Pod:
    """One workload's pod as recommended, in millicores and bytes. ``beside``: all that runs at the same time."""

    workload: Workload
    replicas: int
    containers: int = 0
    beside: dict[Kind, int] = field(default_factory=dict)
    init: dict[Kind, int] = field(default_factory=dict)

    def add(self, one: ContainerRecommendation) -> None:
        container = self.workload.container(one.container)
        first = container is not None and container.role == "init"
        self.containers += 1
        for resource in RESOURCES:
            # What is not worth a change stays as it is, whatever was computed.
            then = one.recommended if resource in one.changes else one.current
            values = (then.request(resource), then.limit(resource))
            for bound, value in zip(BOUNDS, values, strict=True):
                kind = (bound, resource)
                if first:
                    self.init[kind] = max(self.init.get(kind, 0), value or 0)
                else:
                    self.beside[kind] = self.beside.get(kind, 0) + (value or 0)

    def total(self, bound: Bound, resource: Resource) -> int:
        """What the scheduler and the quota count: init containers run before the others, so the larger of the two."""
        kind = (bound, resource)
        if kind == ("requests", "cpu") and self.workload.pod_cpu_request is not None:
            return self.workload.pod_cpu_request
        return max(self.beside.get(kind, 0), self.init.get(kind, 0))


def with_sums_said(
    recommendations: Sequence[ContainerRecommendation], limits: Mapping[str, ClusterLimits]
) -> tuple[ContainerRecommendation, ...]:
    """The same recommendations; ``why`` of each change tells where it does not fit together with what is beside it.

    ``recommendations`` hold every container of every workload; ``limits`` are by cluster name.
    """
    quotas = {
        (cluster, namespace): found
        for cluster, allowed in limits.items()
        for namespace, found in _by_namespace(allowed.quotas).items()
    }
    pods = _pods(
        one for one in recommendations if len(one.workload.containers) > 1 or _place(one.workload.key) in quotas
    )
    placed: dict[_Place, list[_Pod]] = defaultdict(list)
    for key, pod in pods.items():
        placed[_place(key)].append(pod)
    by_namespace = {place: _quota_notes(placed.get(place, ()), found) for place, found in quotas.items()}
    by_pod = {key: _pod_notes(pod, limits.get(key.cluster, NO_LIMITS)) for key, pod in pods.items()}
    return tuple(
        _said(one, by_pod.get(one.workload.key, {}), by_namespace.get(_place(one.workload.key), {}))
        if one.changes
        else one
        for one in recommendations
    )


_Place = tuple[str, str]
"""A cluster and a namespace in it."""


def _place(key: WorkloadKey) -> _Place:
    return key.cluster, key.namespace


NO_LIMITS = ClusterLimits()


def _pods(recommendations: Iterable[ContainerRecommendation]) -> dict[WorkloadKey, _Pod]:
    found: dict[WorkloadKey, _Pod] = {}
    for one in recommendations:
        key = one.workload.key
        if key not in found:
            found[key] = _Pod(one.workload, one.replicas)
        found[key].add(one)
    return found


def _by_namespace(quotas: Iterable[Quota]) -> dict[str, list[Quota]]:
    found: dict[str, list[Quota]] = defaultdict(list)
    for quota in quotas:
        found[quota.namespace].append(quota)
    return found


def _said(one: ContainerRecommendation, *given: Notes) -> ContainerRecommendation:
    why = dict(one.why)
    for resource in one.changes:
        told = [note for notes in given for note in notes.get(resource, ())]
        # Where the workload alone passes the quota, that is said already, and says more.
        new = [note for note in told if note.rpartition(", above ")[2] not in why[resource]]
        why[resource] = "; ".join([why[resource], *new])
    return one if why == one.why else one.model_copy(update={"why": why})


def _pod_notes(pod: _Pod, limits: ClusterLimits) -> Notes:
    """Of a pod with one container all is clamped before, and said there."""
    if pod.containers < 2:
        return {}
    return {resource: list(_pod_said(pod, resource, limits)) for resource in RESOURCES}


def _pod_said(pod: _Pod, resource: Resource, limits: ClusterLimits) -> Iterator[str]:
    requested, limited = pod.total("requests", resource), pod.total("limits", resource)
    node = limits.largest_node[RESOURCES.index(resource)] if limits.largest_node is not None else None
    if node is not None and requested > node:
        yield f"the pod would request {spell(resource, requested)}, above {spell(resource, node)} that the largest node has"
    for item in limits.limit_ranges:
        if item.type != "Pod" or item.namespace != pod.workload.key.namespace:
            continue
        least, most = (item.min_cpu, item.max_cpu) if resource == "cpu" else (item.min_memory, item.max_memory)
        asked = max(requested, limited)
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
        asked = sum(pod.total(bound, resource) * pod.replicas for pod in pods)
        for quota in quotas:
            found = quota_amount(quota, bound, resource)
            if found is not None and asked > found[1]:
                key, hard = found
                words = "request" if bound == "requests" else "have limits of"
                together = f"with the replicas of today, the namespace would {words} {spell(resource, asked)} together"
                yield f"{together}, above {key} {spell(resource, hard)} of ResourceQuota {quota.name}"
