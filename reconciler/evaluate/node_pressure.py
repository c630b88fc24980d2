"""Node pressure: NodePool limits that rise with what the pods of a policy's target, and their neighbours, request.

Karpenter provisions for pending pods, not for utilization, up to ``spec.limits``: so pressure is answered by raising
the limits (FACTS §Karpenter). They are lowered by a rollback only.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reconciler.evaluate.index import Index, Placed, overlay_of, patch_problem
from reconciler.evaluate.observed import RECENT, TERMINATED, is_fresh, owner_key, pods_by_owner
from reconciler.evaluate.overlay_edits import Refusals, value_edit
from reconciler.evaluate.refusals import refusal_text
from reconciler.evaluate.scaling_targets import resolve
from reconciler.manifests.machine_files import path_for
from reconciler.model.change import Proposal, Refusal, Subject, ValueEdit
from reconciler.model.fleet import Fleet
from reconciler.model.inventory import NodePool, RootState
from reconciler.model.observation import Node, Observation, Pod
from reconciler.model.policy import ScalingPolicy
from reconciler.model.quantity import GIB, MIB, format_cpu, format_memory, parse_cpu, parse_memory
from reconciler.model.workload import RESOURCES, Resource

BAND = 1.1
"""A NodePool is touched above target × 1.1 only (DESIGN §6): the HPA's tolerance, upwards."""

MAX_GROWTH = 2
"""A limit is at most doubled at a time."""

CORE = 1000
_UNIT: Mapping[Resource, int] = {"cpu": CORE, "memory": GIB}
_FORMAT: Mapping[Resource, Callable[[int], str]] = {"cpu": format_cpu, "memory": format_memory}
_PARSE: Mapping[Resource, Callable[[str], int]] = {"cpu": parse_cpu, "memory": parse_memory}


@dataclass(frozen=True)
class NodePoolResult:
    """``pressures``: percent by policy id, for the policies whose nodes were observed."""

    proposals: tuple[Proposal, ...] = ()
    notes: tuple[str, ...] = ()
    pressures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Cluster:
    """The nodes of one cluster by pool, ready ones only; ``pool_of`` by node name."""

    pool_of: Mapping[str, str]
    ready: Mapping[str, list[Node]]
    pods: Mapping[tuple[str, str, str], list[Pod]]

    def pools_of(self, placed: Placed) -> list[str]:
        """Names of the pools that run the target's pods, sorted."""
        pods = self.pods.get(owner_key(placed.workload), ())
        found = {self.pool_of.get(pod.node, "") for pod in pods if pod.phase not in TERMINATED}
        return sorted(found - {""})


def nodepool_proposals(
    policies: Sequence[ScalingPolicy],
    roots: Sequence[RootState] | Index,
    fleet: Fleet,
    *,
    now: datetime,
    observations: Mapping[str, Observation],
    refusals: Sequence[Refusal] = (),
    max_age: timedelta = RECENT,
) -> NodePoolResult:
    """Proposals that raise NodePool limits, for live kubernetes policies with ``nodePressureTargetPercent``.

    ``observations`` by cluster name; nodes or pods older than ``max_age`` count as not observed. Dry-run policies have
    their pressure computed and nothing proposed.
    """
    index, refused = Index.of(roots), Refusals(refusals)
    clusters = {
        name: _cluster(observation)
        for name, observation in observations.items()
        if is_fresh(observation, "nodes", now, max_age) and is_fresh(observation, "pods", now, max_age)
    }
    proposals: list[Proposal] = []
    notes: list[str] = []
    pressures: dict[str, float] = {}
    for policy in sorted(policies, key=lambda policy: (policy.spec.name, policy.id)):
        target = policy.spec.node_pressure_target_percent
        if policy.spec.runtime != "kubernetes" or target is None or not policy.spec.enabled:
            continue
        placed = resolve(policy, index, fleet).target
        cluster = clusters.get(placed.workload.key.cluster) if placed else None
        if placed is None or cluster is None:
            continue
        pools = cluster.pools_of(placed)
        pressure = node_pressure([node for pool in pools for node in cluster.ready.get(pool, ())])
        if pressure is None:
            continue
        pressures[policy.id] = pressure
        if not policy.spec.live or pressure <= target * BAND:
            continue
        for pool in pools:
            proposal, note = _for_pool(policy, placed, pool, cluster.ready.get(pool, ()), pressure, index, refused)
            proposals += [proposal] if proposal else []
            notes += [note] if note else []
    return NodePoolResult(tuple(proposals), tuple(notes), pressures)


def node_pressure(nodes: Sequence[Node]) -> float | None:
    """Percent: the greater of CPU and memory of Σ requested ÷ Σ capacity; None without capacity."""
    shares = []
    for resource in RESOURCES:
        capacity = sum(_capacity(node, resource) for node in nodes)
        if capacity > 0:
            shares.append(100 * sum(_requested(node, resource) for node in nodes) / capacity)
    return max(shares, default=None)


def raised_limit(current: int, requested: float, target: float, unit: int) -> int:
    """max(current, ceil(requested × 100 ÷ target)) in whole ``unit``, at most doubled (but by one unit where that is less)."""
    needed = math.ceil(round(requested * 100 / target / unit, 9)) * unit
    most = max(current * MAX_GROWTH // unit, 1) * unit
    return max(current, min(needed, most))


def _cluster(observation: Observation) -> _Cluster:
    ready: dict[str, list[Node]] = {}
    for node in observation.nodes:
        if node.ready:
            ready.setdefault(node.node_pool, []).append(node)
    return _Cluster({node.name: node.node_pool for node in observation.nodes}, ready, pods_by_owner(observation))


def _for_pool(
    policy: ScalingPolicy,
    placed: Placed,
    pool_name: str,
    nodes: Sequence[Node],
    pressure: float,
    index: Index,
    refused: Refusals,
) -> tuple[Proposal | None, str]:
    name = policy.spec.name
    cluster = placed.workload.key.cluster
    found = index.node_pools.get((cluster, pool_name))
    if found is None:
        return (
            None,
            f"policy {name}: node pressure {pressure:.0f} %, but NodePool {pool_name} of {cluster} is not in Git",
        )
    state, pool = found
    if pool.cpu_limit is None and pool.memory_limit is None:
        place = f"{pool.source.path}:{pool.source.line}"
        return None, f"policy {name}: node pressure {pressure:.0f} %, but NodePool {pool_name} ({place}) has no limits"
    edits = _edits(state, pool, nodes, policy.spec.node_pressure_target_percent or 100)
    subject = Subject(kind="policy", id=policy.id, name=name)
    for edit in edits:
        if refusal := refused.against(subject, edit):
            return None, f"policy {name}: NodePool {pool_name} {edit.field} {edit.new}: {refusal_text(refusal)}"
    return (_proposal(policy, subject, state, pool, edits, pressure) if edits else None), ""


def _edits(state: RootState, pool: NodePool, nodes: Sequence[Node], target: float) -> tuple[ValueEdit, ...]:
    path = path_for(overlay_of(state), "nodepool", pool.ref, "")
    file = state.overlay.get(path)
    edits = []
    for resource in RESOURCES:
        name = f"limits/{resource}"
        declared = pool.cpu_limit if resource == "cpu" else pool.memory_limit
        ours = file.values.get(name) if file else None
        if declared is None:
            continue
        current = _PARSE[resource](ours) if ours is not None else declared
        requested = sum(_requested(node, resource) for node in nodes)
        limit = raised_limit(current, requested, target, _UNIT[resource])
        if limit > current:
            edits.append(
                value_edit(
                    path, "nodepool", pool.ref, name, ours, _FORMAT[resource](limit), was=_FORMAT[resource](declared)
                )
            )
    return tuple(edits)


def _proposal(
    policy: ScalingPolicy,
    subject: Subject,
    state: RootState,
    pool: NodePool,
    edits: tuple[ValueEdit, ...],
    pressure: float,
) -> Proposal:
    spec = policy.spec
    limits = ", ".join(f"{edit.field.partition('/')[2]} {edit.new}" for edit in edits)
    return Proposal(
        kind="nodepool",
        subject=subject,
        cluster=state.inventory.cluster,
        root=state.inventory.root,
        namespace="",
        workload=pool.name,
        edits=edits,
        reason=f"policy {spec.name}: node pressure {pressure:.0f} % is above {spec.node_pressure_target_percent:g} %; "
        f"NodePool {pool.name} limits {limits}",
        approval_required=spec.approval_required,
        blocked=patch_problem(state, pool.ref),
        policy_snapshot=spec.model_dump(by_alias=True, mode="json"),
    )


def _capacity(node: Node, resource: Resource) -> float:
    return node.cpu_capacity_millicores if resource == "cpu" else node.memory_capacity_mb * MIB


def _requested(node: Node, resource: Resource) -> float:
    return node.cpu_requested_millicores if resource == "cpu" else node.memory_requested_mb * MIB
