"""Whose the pods are that a Prometheus knows, as kube-state-metrics says it.

The rule is that of pushes (:mod:`reconciler.model.ownership`), with more to go by: ``kube_replicaset_owner`` and
``kube_job_owner`` say who stands behind a ReplicaSet or a Job, where names leave room. Deployments' ReplicaSets need no
word: their names say it, and they are by far the most.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from reconciler.model.observation import Pod
from reconciler.model.ownership import workload_of
from reconciler.model.workload import WorkloadKey
from reconciler.observe.prometheus import Point, Prometheus
from reconciler.observe.prometheus_scope import Scope, one_of

PodName = tuple[str, str]
"""Namespace and name."""

Owner = tuple[str, str]
"""Kind and name; both empty where there is no owner."""

_FEW = 50
"""So many pods are asked for by name, more by asking for all."""
_NOBODY = ("", "<none>")


@dataclass(frozen=True)
class Asking:
    """One question of owners: everything that was there in the ``seconds`` up to ``at``."""

    prometheus: Prometheus
    scopes: Sequence[Scope]
    at: int
    seconds: int

    def points(self, name: str, labels: Sequence[str], *matchers: str) -> Iterable[Point]:
        by = ", ".join(("namespace", *labels))
        for scope in self.scopes:
            promql = f"max by ({by}) (max_over_time({scope.series(name, *matchers)}[{self.seconds}s]))"
            yield from self.prometheus.query(promql, datetime.fromtimestamp(self.at, UTC))


class Owners:
    """The workloads of one cluster's pods. Those of the pods that were asked for last are remembered: a pod never changes
    hands."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._known: dict[PodName, WorkloadKey | None] = {}

    def of(self, pods: Collection[PodName], asking: Asking) -> Mapping[PodName, WorkloadKey | None]:
        """The workload of each pod; None for static pods, which belong to a node. Pods that nobody knows are left out.

        Raises what :meth:`Prometheus.query` does.
        """
        kept = {pod: self._known[pod] for pod in pods if pod in self._known}
        if unknown := set(pods) - kept.keys():
            kept |= self._ask(unknown, asking)
        self._known = kept
        return kept

    def _ask(self, unknown: Collection[PodName], asking: Asking) -> dict[PodName, WorkloadKey | None]:
        names = sorted({name for _, name in unknown})
        only = (f"pod=~{one_of(names)}",) if len(unknown) <= _FEW else ()
        owners: dict[PodName, Owner] = {}
        labels = ("pod", "owner_kind", "owner_name")
        for point in asking.points("kube_pod_owner", labels, 'owner_is_controller!="false"', *only):
            pod = point.labels.get("namespace", ""), point.labels.get("pod", "")
            if pod in unknown:
                owners[pod] = _owner(point)
        behind = self._behind(owners, asking)
        found = {}
        for pod, owner in owners.items():
            try:
                found[pod] = self._workload(pod, owner, behind.get((pod[0], *owner)))
            except ValidationError:  # no name that Kubernetes would take
                continue
        return found

    def _behind(self, owners: Mapping[PodName, Owner], asking: Asking) -> dict[tuple[str, str, str], Owner]:
        """Who owns the ReplicaSets and Jobs among the owners, where their names do not say it."""
        found = {}
        for kind, metric, label, *matchers in (
            ("ReplicaSet", "kube_replicaset_owner", "replicaset", 'owner_kind!="Deployment"'),
            ("Job", "kube_job_owner", "job_name"),
        ):
            names = sorted({name for owner_kind, name in owners.values() if owner_kind == kind})
            if not names:
                continue
            only = (f"{label}=~{one_of(names)}",) if len(names) <= _FEW else ()
            for point in asking.points(metric, (label, "owner_kind", "owner_name"), *matchers, *only):
                found[point.labels.get("namespace", ""), kind, point.labels.get(label, "")] = _owner(point)
        return found

    def _workload(self, pod: PodName, owner: Owner, behind: Owner | None) -> WorkloadKey | None:
        kind, name = behind if behind is not None and behind[0] else owner
        known = frozenset({(kind, pod[0], name)} if behind is not None else ())
        asked = Pod(namespace=pod[0], name=pod[1], owner_kind=kind, owner_name=name)
        return workload_of(asked, self._cluster, known)


def _owner(point: Point) -> Owner:
    kind, name = point.labels.get("owner_kind", ""), point.labels.get("owner_name", "")
    return ("", "") if kind in _NOBODY else (kind, name)
