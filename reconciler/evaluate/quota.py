"""ResourceQuotas that fit what the namespace uses, needs at most, and needs during a rollout (DESIGN §7).

    hard = max( max(used, p95 of used, Σ recommended request × (HPA max, else replicas)) × 1.25 (limits: × 1.5),
                used + Σ per workload max(old, new request) × surge pods )          rounded up to 100m / 64Mi

The headroom figures are Kubecost's (0.25 on requests, 0.5 on limits). A quota that falls together with the requests
under it leaves a rollout stuck and keeps killed pods from coming back, so it falls only in a pass after that rollout.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from reconciler.evaluate.action_scope import NO_LABELS, Scope
from reconciler.evaluate.index import Index, NamespaceKey, overlay_of, patch_problem
from reconciler.evaluate.observed import RECENT, OwnerKey, is_fresh, statuses
from reconciler.evaluate.overlay_edits import Refusals, value_edit
from reconciler.evaluate.quota_demand import Demand, Recommended, Running, by_container, demand, running
from reconciler.evaluate.refusals import refusal_text
from reconciler.evaluate.sizing_bounds import Bounds, merge_bounds
from reconciler.manifests.machine_files import path_for
from reconciler.model.action import ActionConfig
from reconciler.model.change import Proposal, Refusal, Subject, ValueEdit
from reconciler.model.inventory import LimitRangeItem, Quota, RootState
from reconciler.model.observation import Observation, QuotaStatus, WorkloadStatus
from reconciler.model.quantity import MIB, canonical, format_cpu, format_memory, parse_cpu, parse_memory, round_up
from reconciler.model.recommendation import ContainerRecommendation
from reconciler.model.workload import Bound, Resource

KEYS: Mapping[str, tuple[Resource, Bound]] = {
    "cpu": ("cpu", "requests"),
    "requests.cpu": ("cpu", "requests"),
    "limits.cpu": ("cpu", "limits"),
    "memory": ("memory", "requests"),
    "requests.memory": ("memory", "requests"),
    "limits.memory": ("memory", "limits"),
}
"""The keys of ``spec.hard`` that are sized, and what each bounds; ``cpu`` is another name of ``requests.cpu``."""

HEADROOM_PERCENT: Mapping[Bound, int] = {"requests": 125, "limits": 150}
STEP: Mapping[Resource, int] = {"cpu": 100, "memory": 64 * MIB}

UsedKey = tuple[str, str, str, str]
"""(cluster, namespace, quota, key)."""


@dataclass(frozen=True)
class QuotaResult:
    proposals: tuple[Proposal, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figures:
    """One key of one quota, in millicores or bytes. ``hard`` is what stands, ``wanted`` what the formula says.

    ``needed``: what is in use or may come into use, without headroom; below that, raising cannot wait.
    """

    hard: int
    used: int
    most: int
    needed: int
    wanted: int


def quota_proposals(
    action: ActionConfig,
    roots: Sequence[RootState] | Index,
    *,
    now: datetime,
    observations: Mapping[str, Observation],
    recommendations: Iterable[ContainerRecommendation] = (),
    shrinking: Collection[NamespaceKey] = frozenset(),
    refusals: Iterable[Refusal] = (),
    p95_used: Mapping[UsedKey, int] | None = None,
    cluster_ids: Mapping[str, str] | None = None,
    max_age: timedelta = RECENT,
    run: str = "",
) -> QuotaResult:
    """The ResourceQuotas in Git that ``action`` covers, each raised, lowered, or both (then in two proposals).

    ``observations`` by cluster name, ``p95_used`` in millicores or bytes. ``shrinking``: namespaces in which this pass
    lowers requests (:func:`shrinking_namespaces`). Lowering needs a change of the action's ``minChangePercent``; so
    does raising, unless what is used, or may be, does not fit.
    :raises FilterError: when the action's filter cannot be read.
    """
    if not action.enabled or action.action != "resourceQuotaRightSizing":
        return QuotaResult()
    seen = {cluster: _Seen.of(observation, now, max_age) for cluster, observation in observations.items()}
    quotas = _Quotas(
        action,
        Subject(kind="action", id=action.id, name=action.name, run=run),
        Index.of(roots),
        seen,
        by_container(recommendations),
        shrinking,
        Refusals(refusals),
        p95_used or {},
    )
    scope = Scope.of(action, cluster_ids)
    for state in quotas.index.roots:
        for quota in state.inventory.quotas:
            key = state.inventory.cluster, quota.namespace
            if scope.covers(*key, quotas.index.namespace_labels.get(key, NO_LABELS)):
                quotas.decide(state, quota)
    return QuotaResult(tuple(quotas.proposals), tuple(quotas.notes))


def shrinking_namespaces(proposals: Iterable[Proposal]) -> frozenset[NamespaceKey]:
    """Where a pass lowers requests: the quotas there must not fall in the same pass."""
    return frozenset((p.cluster, p.namespace) for p in proposals if p.kind == "requests" and p.takes_capacity)


def hard_limit(key: str, used: int, p95: int, need: Demand) -> tuple[int, int]:
    """(needed without headroom, the ``hard`` of the formula above), in millicores or bytes."""
    resource, bound = KEYS[key]
    base = max(used, p95, need.most)
    during_rollout = used + need.surge
    with_headroom = -(-base * HEADROOM_PERCENT[bound] // 100)
    return max(base, during_rollout), round_up(max(with_headroom, during_rollout), STEP[resource])


@dataclass(frozen=True, eq=False)
class _Seen:
    """What one cluster's observation says. ``fresh`` false: there is an observation, but it is too old to be current."""

    quotas: Mapping[tuple[str, str], QuotaStatus]
    statuses: Mapping[OwnerKey, WorkloadStatus]
    in_flight: frozenset[str]
    fresh: bool

    @staticmethod
    def of(observation: Observation, now: datetime, max_age: timedelta) -> "_Seen":
        live = is_fresh(observation, "workloads", now, max_age)
        moving = (s.namespace for s in observation.workloads if not _settled(s))
        return _Seen(
            {(q.namespace, q.name): q for q in observation.quotas},
            statuses(observation) if live else {},
            frozenset(moving),
            live and is_fresh(observation, "quotas", now, max_age),
        )


def _settled(status: WorkloadStatus) -> bool:
    updated = status.replicas if status.updated_replicas is None else status.updated_replicas
    return updated == status.replicas == status.ready_replicas


@dataclass(eq=False)
class _Quotas:
    """One action's way through the quotas, and the result as it grows."""

    action: ActionConfig
    subject: Subject
    index: Index
    seen: Mapping[str, _Seen]
    recommended: Recommended
    shrinking: Collection[NamespaceKey]
    refused: Refusals
    p95_used: Mapping[UsedKey, int]
    proposals: list[Proposal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _workloads: dict[NamespaceKey, list[Running]] = field(default_factory=dict)

    def decide(self, state: RootState, quota: Quota) -> None:
        path = path_for(overlay_of(state), "quota", quota.ref, quota.namespace)
        ours = state.overlay.get(path)
        raises: dict[str, tuple[ValueEdit, Figures]] = {}
        lowers: dict[str, tuple[ValueEdit, Figures]] = {}
        for key in sorted(set(quota.hard) & set(KEYS)):
            standing = ours.values.get(f"hard/{key}") if ours is not None else None
            figures = self._figures(state.inventory.cluster, quota, key, standing or quota.hard[key])
            if not self._worthwhile(figures):
                continue
            edit = value_edit(
                path, "quota", quota.ref, f"hard/{key}", standing, _spell(key, figures.wanted), was=quota.hard.get(key)
            )
            if refusal := self.refused.against(self.subject, edit):
                name = f"ResourceQuota {quota.namespace}/{quota.name}"
                self.notes.append(f"action {self.action.name}: {name} {key} {edit.new} was {refusal_text(refusal)}")
                continue
            (raises if figures.wanted > figures.hard else lowers)[key] = edit, figures
        waits = self._must_not_fall(state.inventory.cluster, quota.namespace) if lowers else ""
        if waits:
            name = f"ResourceQuota {quota.namespace}/{quota.name}"
            self.notes.append(f"action {self.action.name}: {name} could be lower; it waits: {waits}")
        for moves in (raises, {} if waits else lowers):
            if moves:
                self.proposals.append(self._proposal(state, quota, moves))

    def _figures(self, cluster: str, quota: Quota, key: str, standing: str) -> Figures:
        resource, bound = KEYS[key]
        seen = self.seen.get(cluster)
        bounds = self._bounds.get((cluster, quota.namespace, resource), Bounds())
        workloads = self._running(cluster, quota.namespace)
        need = demand(workloads, resource, bound, bounds=bounds, recommended=self.recommended)
        used = self._used(seen, quota, key, need)
        p95 = self.p95_used.get((cluster, quota.namespace, quota.name, key), 0)
        needed, wanted = hard_limit(key, used, p95, need)
        return Figures(_parse(key, standing), used, need.most, needed, wanted)

    def _running(self, cluster: str, namespace: str) -> list[Running]:
        """The namespace's workloads, worked out once for all of its quotas and their keys."""
        found = self._workloads.get((cluster, namespace))
        if found is None:
            seen = self.seen.get(cluster)
            placed = self.index.by_namespace.get((cluster, namespace), ())
            found = [running(one, self.index, seen.statuses if seen else {}) for one in placed]
            self._workloads[cluster, namespace] = found
        return found

    def _used(self, seen: _Seen | None, quota: Quota, key: str, need: Demand) -> int:
        """As observed; without an observation (or with an old one, if that is less) what the manifests run."""
        status = seen.quotas.get((quota.namespace, quota.name)) if seen else None
        if status is None or key not in status.used:
            return need.declared
        used = _parse(key, status.used[key])
        return used if seen and seen.fresh else max(used, need.declared)

    def _worthwhile(self, figures: Figures) -> bool:
        if figures.wanted == figures.hard:
            return False
        if figures.hard < figures.needed:
            return True
        return abs(figures.wanted - figures.hard) * 100 >= figures.hard * self.action.sizing.min_change_percent

    def _must_not_fall(self, cluster: str, namespace: str) -> str:
        """Why quotas of the namespace are not lowered now; empty when they may be."""
        seen = self.seen.get(cluster)
        if (cluster, namespace) in self.shrinking:
            return "requests of this namespace fall first"
        if (cluster, namespace) in self._asleep:
            return "the namespace is turned down"
        if seen is not None and not seen.fresh:
            return "what the cluster runs was not observed lately"
        return "a rollout is under way" if seen is not None and namespace in seen.in_flight else ""

    def _proposal(self, state: RootState, quota: Quota, moves: Mapping[str, tuple[ValueEdit, Figures]]) -> Proposal:
        said = ", ".join(_say(key, figures) for key, (_, figures) in moves.items())
        return Proposal(
            kind="quota",
            subject=self.subject,
            cluster=state.inventory.cluster,
            root=state.inventory.root,
            namespace=quota.namespace,
            workload=quota.name,
            edits=tuple(edit for edit, _ in moves.values()),
            reason=f"action {self.action.name}: ResourceQuota {quota.namespace}/{quota.name} {said}",
            takes_capacity=any(figures.wanted < figures.hard for _, figures in moves.values()),
            blocked=patch_problem(state, quota.ref),
        )

    @cached_property
    def _asleep(self) -> frozenset[NamespaceKey]:
        down = self.index.overlay_files("turndown")
        return frozenset((f.state.inventory.cluster, f.file.target.name) for f in down if f.file.values)

    @cached_property
    def _bounds(self) -> Mapping[tuple[str, str, Resource], Bounds]:
        items: dict[NamespaceKey, list[LimitRangeItem]] = {}
        for state in self.index.roots:
            for item in state.inventory.limit_ranges:
                if item.type == "Container":  # the others fill nothing in
                    items.setdefault((state.inventory.cluster, item.namespace), []).append(item)
        resources: tuple[Resource, Resource] = ("cpu", "memory")
        return {
            (*key, resource): merge_bounds(found, resource) for key, found in items.items() for resource in resources
        }


def _say(key: str, figures: Figures) -> str:
    """``requests.cpu 10 → 4 (used 2500m, at most 3)``."""
    spelled = [_spell(key, value) for value in (figures.hard, figures.wanted, figures.used, figures.most)]
    return f"{key} {spelled[0]} → {spelled[1]} (used {spelled[2]}, at most {spelled[3]})"


def _parse(key: str, text: str) -> int:
    """Millicores or bytes. Inventories and observations hold quantities only: what is none was reported when it was read."""
    try:
        return parse_cpu(text) if KEYS[key][0] == "cpu" else parse_memory(text)
    except ValueError:
        return 0


def _spell(key: str, value: int) -> str:
    return format_cpu(value) if KEYS[key][0] == "cpu" else canonical(format_memory(value))
