"""Evaluate: hand each decider what it needs from the scene and the store.

Two phases, because an action must see the HPAs that the policies of the same pass have just written.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import PurePosixPath

from reconciler.errors import InputError
from reconciler.evaluate.arbitration import one_winner_per_field
from reconciler.evaluate.filters import FilterError, FilterSubject
from reconciler.evaluate.filters import parse as parse_filter
from reconciler.evaluate.index import Index
from reconciler.evaluate.node_pressure import nodepool_proposals
from reconciler.evaluate.quota import quota_proposals
from reconciler.evaluate.scaling import policy_proposals
from reconciler.evaluate.scaling_outlook import Outlook
from reconciler.evaluate.sizing_cover import Covering, subject_of
from reconciler.evaluate.stale import stale_proposals
from reconciler.evaluate.turndown import orphan_turnups, turndown_proposals
from reconciler.model.action import ActionConfig, SizingParameters
from reconciler.model.change import Proposal
from reconciler.model.inventory import Problem
from reconciler.model.recommendation import ContainerRecommendation
from reconciler.model.window import parse_duration
from reconciler.steps import gating, restoring, sizing
from reconciler.steps.action_configs import of_another_database
from reconciler.steps.catching_up import whole_history
from reconciler.steps.container_groups import evaluate_containers
from reconciler.steps.house import House
from reconciler.steps.lxc_containers import evaluate_lxc
from reconciler.steps.scene import Scene
from reconciler.store.usage import EVERYTHING


@dataclass(frozen=True)
class Evaluated:
    """What a phase proposes, and what a person should know beside it. ``outlooks``: forecasts by policy id."""

    proposals: tuple[Proposal, ...] = ()
    recommendations: tuple[ContainerRecommendation, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    outlooks: Mapping[str, Outlook] = field(default_factory=dict)


@dataclass(frozen=True)
class Recommended:
    """Recommendations as asked for on the command line."""

    recommendations: tuple[ContainerRecommendation, ...]
    currency: str
    problems: tuple[Problem, ...] = ()


def policies_phase(house: House, scene: Scene) -> Evaluated:
    """Stale patches, HPAs, hand-overs and node pressure."""
    index, state = Index(scene.root_states), scene.state
    stale = [p for r in scene.roots.values() for p in stale_proposals(r.state, r.root)]
    pools = nodepool_proposals(
        state.policies, index, state.fleet, now=scene.now, observations=scene.observations, refusals=scene.refusals
    )
    scaled = policy_proposals(
        state.policies,
        index,
        state.fleet,
        now=scene.now,
        observations=scene.observations,
        refusals=scene.refusals,
        policies_complete=state.policies_complete,
        ended=state.ended_policies,
        pressures=pools.pressures,
    )
    restored = [p for policy in state.policies if (p := restoring.restored(house, scene, policy))]
    winners, lost = one_winner_per_field([*stale, *scaled.proposals, *pools.proposals, *restored])
    docker = evaluate_containers(house, scene)  # files of its own, which nobody else writes
    lxc = evaluate_lxc(house, scene)  # likewise
    return Evaluated(
        proposals=(*winners, *docker.proposals, *lxc.proposals),
        notes=(*scaled.notes, *pools.notes, *docker.notes, *lxc.notes, *lost),
        problems=(*scaled.problems, *docker.problems, *lxc.problems),
        outlooks={**scaled.outlooks, **docker.outlooks, **lxc.outlooks},
    )


def actions_phase(house: House, scene: Scene) -> Evaluated:
    """Right-sizing, quotas, turndown."""
    usable, problems = readable_actions(scene.state.actions)
    covering = [(action, parse_filter(action.filter).matches) for action in usable]
    sized = sizing.size_all(house, scene, covering)
    requests = sizing.sizing_proposals(scene, usable, sized)
    index = Index(scene.root_states)
    shrinking = {(p.cluster, p.namespace) for p in requests if p.takes_capacity}
    quotas = [
        quota_proposals(
            action,
            index,
            now=scene.now,
            observations=scene.observations,
            recommendations=sized.recommendations,
            shrinking=shrinking,
            refusals=scene.refusals,
            cluster_ids=cluster_ids(scene),
        )
        for action in usable
        if action.action == "resourceQuotaRightSizing"
    ]
    downs, notes = _turndowns(house, scene, usable, index)
    notes += [f"action {a.name}: {said}" for a in usable if (said := parse_filter(a.filter).caution)]
    notes += sizing.refused_notes(sized.recommendations) if scene.refusals else []
    winners, lost = one_winner_per_field([*requests, *(p for q in quotas for p in q.proposals), *downs])
    return Evaluated(
        proposals=tuple(_with_run(scene, p) for p in winners),
        recommendations=sized.recommendations,
        notes=(*(note for q in quotas for note in q.notes), *notes, *lost),
        problems=tuple(problems),
    )


def cluster_ids(scene: Scene) -> dict[str, str]:
    """Cluster ids by name: an action may name a cluster either way."""
    return {cluster.name: cluster.id for cluster in scene.state.fleet.clusters if cluster.id}


def readable_actions(actions: Sequence[ActionConfig]) -> tuple[list[ActionConfig], list[Problem]]:
    """The enabled actions whose filters can be read; the others are problems that name file and column."""
    usable: list[ActionConfig] = []
    problems: list[Problem] = []
    for action in actions:
        try:
            parse_filter(action.filter)
        except FilterError as error:
            problems.append(
                Problem(
                    path=action.path or f"action {action.name}",
                    field="spec.config.filter" if action.path else "config.filter",
                    message=error.message,
                    hint=error.hint,
                )
            )
            continue
        if action.enabled:
            usable.append(action)
    return usable, problems


def _with_run(scene: Scene, proposal: Proposal) -> Proposal:
    """The proposal with the id of the action's run in hand."""
    if proposal.subject.kind != "action" or proposal.subject.run:
        return proposal
    action = next((a for a in scene.state.actions if a.id == proposal.subject.id), None)
    if action is None:
        return proposal
    run = gating.run_id(scene, action, proposal.cluster)
    return proposal.model_copy(update={"subject": proposal.subject.model_copy(update={"run": run})})


def _turndowns(
    house: House, scene: Scene, actions: Sequence[ActionConfig], index: Index
) -> tuple[list[Proposal], list[str]]:
    """Each action asked per cluster, as its windows may differ by cluster."""
    landed = _landed_turndowns(house, scene)
    proposals: list[Proposal] = []
    notes: list[str] = []
    for action in (a for a in actions if a.action == "namespaceTurndown"):
        for cluster in scene.state.fleet.clusters:
            roots = [s for s in scene.root_states if s.inventory.cluster == cluster.name]
            result = turndown_proposals(
                action,
                roots,
                allowed_now=gating.is_open(scene, action, cluster.name),
                refused_namespaces=_refused_turndowns(scene, action, cluster.name),
                landed=landed,
                prepared=_prepared(scene),
                cluster_ids=cluster_ids(scene),
                run=gating.run_id(scene, action, cluster.name),
            )
            proposals += result.proposals
            notes += result.notes
    orphans = orphan_turnups(
        scene.state.actions,
        index,
        actions_complete=scene.state.actions_complete,
        landed=landed,
        cluster_ids=cluster_ids(scene),
    )
    foreign = {p.subject.id for p in orphans if of_another_database(p.subject.id, scene.state)}
    notes += [
        f"action {owner} is not in this database; what it has turned down stays down" for owner in sorted(foreign)
    ]
    return [*proposals, *(p for p in orphans if p.subject.id not in foreign)], notes


def _landed_turndowns(house: House, scene: Scene) -> dict[str, str]:
    """Turndown files that stand in the overlay → the commit of ours that wrote each last."""
    paths = {path for state in scene.root_states for path, file in state.overlay.items() if file.form == "turndown"}
    if not paths:
        return {}
    _, found = whole_history(house, scene.view.commit)
    landed: dict[str, str] = {}
    for commit in found.stands:
        landed.update({path: commit.sha for path in commit.paths if path in paths})
    return landed


def _prepared(scene: Scene) -> frozenset[str]:
    """Turndown folders that have their kustomization."""
    return frozenset(
        path.removesuffix("/kustomization.yaml")
        for path in scene.view.blobs
        if path.endswith("/turndown/kustomization.yaml")
    )


def _refused_turndowns(scene: Scene, action: ActionConfig, cluster: str) -> frozenset[tuple[str, str]]:
    """Namespaces that were turned back up by a rollback or a person's revert since the window opened.

    A refused turndown is off for the window in hand, not for ever: 0 replicas never differ from 0 by 20 %.
    """
    opened = gating.opened_at(scene, action, cluster)
    return frozenset(
        (cluster, PurePosixPath(refusal.path).parent.parent.name)
        for refusal in scene.refusals
        if refusal.subject == action.id and refusal.at >= opened and refusal.path.endswith("/turndown/turndown.yaml")
    )


def recommend(house: House, scene: Scene, *, filter_text: str, window: str | None, profile: str | None) -> Recommended:
    """Recommendations for the containers that ``filter_text`` matches, with window and profile over what actions say.

    :raises InputError: for a filter, window or profile that is none; a filter's error points at the column.
    """
    asked = parse_filter(filter_text)
    caution = [Problem(path="--filter", message=asked.caution)] if asked.caution else []
    usable, problems = readable_actions(scene.state.actions)
    covering: list[Covering] = [(action, parse_filter(action.filter).matches) for action in usable]
    override = override_of(scene.state.fleet.profiles, window, profile)
    found = sizing.size_all(house, scene, covering, override=override, figures=EVERYTHING).recommendations
    return Recommended(
        recommendations=tuple(r for r in found if is_about(r, asked.matches)),
        currency=scene.state.fleet.pricing.currency,
        problems=(*scene.problems, *problems, *caution),
    )


def is_about(recommendation: ContainerRecommendation, matches: Callable[[FilterSubject], bool]) -> bool:
    """Whether a filter matches the container that is sized."""
    container = recommendation.workload.container(recommendation.container)
    return container is not None and matches(subject_of(recommendation.workload, container))


def override_of(
    known_profiles: Mapping[str, SizingParameters], window: str | None, profile: str | None
) -> Callable[[SizingParameters], SizingParameters]:
    """What ``--window`` and ``--profile`` put over the parameters that count otherwise.

    :raises InputError: for a window or profile that is none.
    """
    given: dict[str, object] = {}
    if profile is not None:
        profiles = {name.lower(): p for name, p in known_profiles.items()}
        if profile.lower() not in profiles:
            known = ", ".join(sorted(known_profiles))
            raise InputError(f"--profile: {profile!r} is not known", hint=f"one of: {known}")
        chosen = profiles[profile.lower()]
        given = {name: getattr(chosen, name) for name in _OF_PROFILE}
    if window is not None:
        try:
            given["window_seconds"] = int(parse_duration(window) / timedelta(seconds=1))
        except ValueError as error:
            raise InputError(f"--window: {error}") from None
    return lambda parameters: parameters.model_copy(update=given)


_OF_PROFILE = (
    "profile",
    "algorithm_cpu",
    "algorithm_ram",
    "quantile_cpu",
    "quantile_ram",
    "target_utilization_cpu",
    "target_utilization_ram",
    "min_cpu_millicores",
    "min_ram_bytes",
)
"""What a profile decides; window, minimum change and the like stay as they were."""
