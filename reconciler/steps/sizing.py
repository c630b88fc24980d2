"""Right-sizing as a step: one context per cluster, root and action, fed from the store in as few queries as there are windows."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from reconciler.evaluate.sizing import recommend
from reconciler.evaluate.sizing_context import SeriesName, SizingContext
from reconciler.evaluate.sizing_cover import Covering, pick_action
from reconciler.evaluate.sizing_proposals import proposals
from reconciler.evaluate.sizing_sums import ClusterLimits, with_sums_said
from reconciler.model.action import ActionConfig, SizingParameters
from reconciler.model.change import Proposal, Subject
from reconciler.model.inventory import LimitRangeItem, PersonHpa, Quota
from reconciler.model.machine_file import FileForm, MachineFile
from reconciler.model.observation import Observation, OomRecord, SeriesKey, UsageSummary
from reconciler.model.policy import ScalingPolicy
from reconciler.model.quantity import MIB
from reconciler.model.recommendation import ContainerRecommendation
from reconciler.model.workload import Workload, WorkloadKey
from reconciler.steps import gating
from reconciler.steps.house import House
from reconciler.steps.scene import RootScene, Scene
from reconciler.store.usage_read import Figures

Ooms = Mapping[tuple[WorkloadKey, str], OomRecord]
Override = Callable[[SizingParameters], SizingParameters]

_NAMED = 3


@dataclass(frozen=True, eq=False)
class _Around:
    """What a cluster's containers have in common, whichever root declares them. ``policies``: by namespace and name."""

    policies: Mapping[tuple[str, str], ScalingPolicy]
    limit_ranges: tuple[LimitRangeItem, ...]
    person_hpas: tuple[PersonHpa, ...]
    quotas: tuple[Quota, ...]
    replicas: Mapping[WorkloadKey, int]
    largest_node: tuple[int, int] | None


class _Usage(NamedTuple):
    """What the history says of a cluster's series, by key and by name."""

    by_key: Mapping[SeriesKey, UsageSummary]
    by_name: Mapping[SeriesName, UsageSummary]


def _by_name(usage: Mapping[SeriesKey, UsageSummary]) -> dict[SeriesName, UsageSummary]:
    named = ((series, series.workload, summary) for series, summary in usage.items())
    return {(w.namespace, w.kind, w.name, one.container, one.resource): summary for one, w, summary in named}


@dataclass(frozen=True, eq=False)
class _History:
    """What one pass reads once per cluster, and history once per cluster, window and pair of quantiles."""

    house: House
    scene: Scene
    figures: Figures | None
    usage_read: dict[tuple[str, int, float, float, Figures], _Usage]
    ooms_read: dict[tuple[str, int], Ooms]
    clusters: dict[str, _Around]

    def around(self, cluster: str) -> _Around:
        if cluster not in self.clusters:
            self.clusters[cluster] = _around(self.scene, cluster)
        return self.clusters[cluster]

    def usage(self, cluster: str, params: SizingParameters) -> _Usage:
        figures = self.figures or _figures(params)
        key = (cluster, params.window_seconds, params.quantile_cpu, params.quantile_ram, figures)
        if key not in self.usage_read:
            since = self.scene.now - timedelta(seconds=params.window_seconds)
            read = self.house.stores.usage.summaries(
                cluster,
                since=since,
                until=self.scene.now,
                quantiles={"cpu": params.quantile_cpu, "memory": params.quantile_ram},
                figures=figures,
            )
            self.usage_read[key] = _Usage(read, _by_name(read))
        return self.usage_read[key]

    def ooms(self, cluster: str, params: SizingParameters) -> Ooms:
        key = (cluster, params.window_seconds)
        if key not in self.ooms_read:
            since = self.scene.now - timedelta(seconds=params.window_seconds)
            self.ooms_read[key] = self.house.stores.observations.ooms(cluster, since, self.scene.now)
        return self.ooms_read[key]


def _figures(params: SizingParameters) -> Figures:
    """What the algorithms need."""
    algorithms = {params.algorithm_cpu, params.algorithm_ram}
    return Figures(
        quantiles="quantile" in algorithms,
        by_bucket=bool(algorithms & {"quantileOfAverages", "quantileOfMaxes"}),
    )


def _as_is(parameters: SizingParameters) -> SizingParameters:
    return parameters


@dataclass(frozen=True)
class Sized:
    """Recommendations, and by (root, action id) the context that each was made in; id empty = the fleet's ``rightsizing``."""

    recommendations: tuple[ContainerRecommendation, ...]
    contexts: Mapping[tuple[str, str], SizingContext]


def size_all(
    house: House,
    scene: Scene,
    covering: Sequence[Covering],
    *,
    override: Override = _as_is,
    figures: Figures | None = None,
) -> Sized:
    """Every container of the fleet, by the parameters of the action that covers it, else of the fleet's ``rightsizing``.

    ``figures``: what the recommendations' usage is to tell; None = just what their algorithms need.
    """
    history = _History(house, scene, figures, {}, {}, {})
    sizing_actions = [(a, m) for a, m in covering if a.action == "containerRequestRightSizing"]
    contexts: dict[tuple[str, str], SizingContext] = {}
    found: list[ContainerRecommendation] = []
    for path, root in scene.roots.items():
        for workload in root.state.inventory.workloads:
            for action, names in _by_action(workload, sizing_actions, root.cluster.id):
                key = (path, action.id if action else "")
                if key not in contexts:
                    contexts[key] = _context(scene, root, action, history, override)
                found += [r for r in recommend(workload, contexts[key]) if r.container in names]
    return Sized(with_sums_said(found, {name: _limits(one) for name, one in history.clusters.items()}), contexts)


def _limits(around: _Around) -> ClusterLimits:
    return ClusterLimits(quotas=around.quotas, limit_ranges=around.limit_ranges, largest_node=around.largest_node)


def _by_action(
    workload: Workload, actions: Sequence[Covering], cluster_id: str
) -> list[tuple[ActionConfig | None, set[str]]]:
    """The workload's containers by the action that covers each."""
    found: dict[str, tuple[ActionConfig | None, set[str]]] = {}
    for container in workload.containers:
        action = pick_action(workload, container, actions, cluster_id=cluster_id) if actions else None
        found.setdefault(action.id if action else "", (action, set()))[1].add(container.name)
    return list(found.values())


def _context(
    scene: Scene, root: RootScene, action: ActionConfig | None, history: _History, override: Override
) -> SizingContext:
    params = override(action.sizing if action else scene.state.fleet.rightsizing)
    cluster, around = root.cluster.name, history.around(root.cluster.name)
    usage = history.usage(cluster, params)
    targets = {
        workload.key: policy
        for workload in root.state.inventory.workloads
        if (policy := around.policies.get((workload.key.namespace, workload.key.name)))
    }
    return SizingContext(
        now=scene.now,
        params=params,
        pricing=scene.state.fleet.pricing,
        action=action.name if action else "",
        subject=action.id if action else "",
        root=root.root,
        usage=usage.by_key,
        usage_by_name=usage.by_name,
        ooms=history.ooms(cluster, params),
        limit_ranges=around.limit_ranges,
        person_hpas=around.person_hpas,
        hpa_files=_files(root, "hpa"),
        policy_cpu_percent={
            key: percent for key, p in targets.items() if (percent := p.spec.cpu_target_percent) is not None
        },
        policy_memory=frozenset(key for key, p in targets.items() if p.spec.memory_target_percent is not None),
        requests_files=_files(root, "requests"),
        replicas=around.replicas,
        largest_node=around.largest_node,
        refusals=scene.refusals,
        quotas=around.quotas,
    )


def _around(scene: Scene, cluster: str) -> _Around:
    states, observation = scene.cluster_states(cluster), scene.observations.get(cluster)
    live = (p for p in scene.state.policies if p.spec.live and p.spec.runtime == "kubernetes")
    return _Around(
        policies={(p.spec.target_namespace, p.spec.target_name): p for p in live if p.spec.cluster in (None, cluster)},
        limit_ranges=tuple(item for state in states for item in state.inventory.limit_ranges),
        person_hpas=tuple(hpa for state in states for hpa in state.inventory.hpas),
        quotas=tuple(quota for state in states for quota in state.inventory.quotas),
        replicas=_replicas(cluster, observation),
        largest_node=_largest_node(observation),
    )


def _files(root: RootScene, form: FileForm) -> dict[WorkloadKey, MachineFile]:
    """Our files of one form in the root's overlay, by the workload that each is about."""
    by_ref = {(w.ref.kind, w.ref.namespace, w.ref.name): w.key for w in root.state.inventory.workloads}
    found: dict[WorkloadKey, MachineFile] = {}
    for file in root.state.overlay.values():
        if file.form == form and (key := by_ref.get((file.target.kind, file.target.namespace, file.target.name))):
            found[key] = file
    return found


def _replicas(cluster: str, observation: Observation | None) -> dict[WorkloadKey, int]:
    return {
        WorkloadKey(cluster=cluster, namespace=w.namespace, kind=w.kind, name=w.name): w.replicas
        for w in (observation.workloads if observation else ())
    }


def _largest_node(observation: Observation | None) -> tuple[int, int] | None:
    """Millicores and bytes of the largest ready node, each on its own; None when no node was observed."""
    nodes = [n for n in (observation.nodes if observation else ()) if n.ready and n.cpu_capacity_millicores > 0]
    if not nodes:
        return None
    return (
        int(max(n.cpu_capacity_millicores for n in nodes)),
        int(max(n.memory_capacity_mb for n in nodes) * MIB),
    )


def refused_notes(recommendations: Iterable[ContainerRecommendation]) -> list[str]:
    """What actions would write and must not; one note for all that were refused together."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in recommendations:
        said = (refused.removeprefix("limit ") for refused in one.refused.values()) if one.action_id else ()
        for refused in dict.fromkeys(said):
            key = one.workload.key
            found.setdefault((one.action, refused), []).append(f"{key.namespace}/{key.name} {one.container}")
    return [f"action {action}: new sizes of {_some(names)} were {said}" for (action, said), names in found.items()]


def _some(names: Sequence[str]) -> str:
    """Up to three by name, and how many more."""
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown


def sizing_proposals(scene: Scene, actions: Sequence[ActionConfig], sized: Sized) -> list[Proposal]:
    """What the right-sizing actions would write. What only the fleet's ``rightsizing`` covers is recommended, not written."""
    by_owner: dict[tuple[str, str], list[ContainerRecommendation]] = defaultdict(list)
    for one in sized.recommendations:
        if one.action_id and one.changes:
            by_owner[one.workload.root, one.action_id].append(one)
    named = {action.id: action for action in actions}
    found: list[Proposal] = []
    for (path, owner), group in by_owner.items():
        root, action = scene.roots[path], named[owner]
        subject = Subject(
            kind="action", id=owner, name=action.name, run=gating.run_id(scene, action, root.cluster.name)
        )
        context = sized.contexts[path, owner]
        found += proposals(group, subject=subject, root_state=root.state, root=root.root, context=context)
    return found
