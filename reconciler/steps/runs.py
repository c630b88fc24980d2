"""Runs: which actions a pass has decided inside their windows, written down before anything of them is committed.

One run per config and window opening. An action is one container, one quota or one namespace; its id is made of the run and
the object, so that the next pass, another process, or the same one after a crash, writes down the same rows.
"""

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from reconciler.model.action import ActionConfig
from reconciler.model.change import Change, Decision, Proposal, ProposalKind, ValueEdit
from reconciler.model.inventory import Quota
from reconciler.model.quantity import canonical, format_memory
from reconciler.model.recommendation import ContainerRecommendation
from reconciler.model.run import Run, RunAction
from reconciler.model.workload import RESOURCES, Resource
from reconciler.steps import gating
from reconciler.steps.deciding import Worked
from reconciler.steps.house import House
from reconciler.steps.scene import Scene

_KINDS: tuple[ProposalKind, ...] = ("requests", "quota", "turndown")

_HARD = {
    "cpu": "CPURequest",
    "requests.cpu": "CPURequest",
    "memory": "RAMRequest",
    "requests.memory": "RAMRequest",
    "limits.cpu": "CPULimit",
    "limits.memory": "RAMLimit",
}
"""Keys of ``spec.hard`` as the Actions API calls them; of two names of one figure, the longer one counts."""

_DIGEST = "runs"
"""What is remembered of the runs of the last pass."""

Parameters = dict[str, str]


def record(house: House, worked: Worked) -> None:
    """Write down the runs of a pass. What this process wrote down before, and is the same still, costs nothing.

    A change goes on under its id when one of its actions is not recommended any more: that action leaves it.
    """
    scene, changes = worked.scene, (*worked.ready, *worked.held)
    found = runs_of(scene, changes, worked.recommendations, fleet=house.name)
    digest = _digest(action for _, actions in found for action in actions)
    if house.parsed.get(_DIGEST) == digest:
        return
    for run, actions in found:
        house.stores.runs.record(run, actions)
    _leave(house, scene, {change.id for change in changes}, {action.id for _, actions in found for action in actions})
    house.parsed[_DIGEST] = digest


def _leave(house: House, scene: Scene, carried: Collection[str], standing: Collection[str]) -> None:
    """Take out of the changes that go on (``carried``) what the pass has not decided again (actions but ``standing``)."""
    left: dict[str, list[RunAction]] = defaultdict(list)
    for action in house.stores.runs.pending(house.name):
        if action.change_id in carried and action.id not in standing and _goes_on(scene, action):
            left[action.run_id].append(action.model_copy(update={"change_id": ""}))
    for actions in left.values():
        house.stores.runs.record(_run_of(actions[0], scene), actions)


def _goes_on(scene: Scene, action: RunAction) -> bool:
    """Whether the action's run is the one in hand."""
    config = next((one for one in scene.state.actions if one.id == action.action_id), None)
    if config is None or not gating.is_open(scene, config, action.cluster):
        return False
    return gating.run_id(scene, config, action.cluster) == action.run_id


def _run_of(action: RunAction, scene: Scene) -> Run:
    shared = action.model_dump(include={"organization", "fleet", "action_id", "config_name", "action"})
    return Run(id=action.run_id, start=scene.now, **shared)


def runs_of(
    scene: Scene, changes: Sequence[Change], recommendations: Iterable[ContainerRecommendation], *, fleet: str
) -> list[tuple[Run, tuple[RunAction, ...]]]:
    """The runs that are open now, each with its actions in ``changes``, whether these are ready or held by something else
    than windows. ``fleet``: the key of the fleet repo. No run where nothing is recommended.
    """
    found = _Runs(scene, fleet, _by_object(recommendations), _quota_edits(changes))
    for change in changes:
        for decision in change.decisions:
            found.add(change, decision)
    return [(run, tuple(found.actions[run.id].values())) for run in found.runs.values()]


Recommendations = Mapping[tuple[str, str, str], Sequence[ContainerRecommendation]]
"""By root, action id, and the workload's identity where the component runs."""

QuotaEdits = Mapping[tuple[str, str, str, str], Sequence[ValueEdit]]
"""By root, action id, namespace and name: a quota may rise and fall at once, in two decisions."""


def _by_object(recommendations: Iterable[ContainerRecommendation]) -> Recommendations:
    found: dict[tuple[str, str, str], list[ContainerRecommendation]] = defaultdict(list)
    for one in recommendations:
        if one.action_id and one.changes:
            found[one.workload.root, one.action_id, one.workload.ref.key].append(one)
    return found


def _quota_edits(changes: Iterable[Change]) -> QuotaEdits:
    found: dict[tuple[str, str, str, str], list[ValueEdit]] = defaultdict(list)
    for proposal in (decision.proposal for change in changes for decision in change.decisions):
        if proposal.kind == "quota":
            found[_quota_key(proposal)] += proposal.edits
    return found


def _quota_key(proposal: Proposal) -> tuple[str, str, str, str]:
    return proposal.root, proposal.subject.id, proposal.namespace, proposal.workload


@dataclass(eq=False)
class _Runs:
    """The runs of one pass as they grow. ``actions``: by run, and by the action's id; what came first stays."""

    scene: Scene
    fleet: str
    recommendations: Recommendations
    quota_edits: QuotaEdits
    runs: dict[str, Run] = field(default_factory=dict)
    actions: dict[str, dict[str, RunAction]] = field(default_factory=dict)
    _open: dict[tuple[str, str], bool] = field(default_factory=dict)

    def add(self, change: Change, decision: Decision) -> None:
        proposal = decision.proposal
        subject, config = proposal.subject, self._configs.get(proposal.subject.id)
        if subject.kind != "action" or config is None or not subject.run or proposal.kind not in _KINDS:
            return
        if not self._is_open(config, proposal.cluster):
            return
        for name, parameters in self._objects(proposal):
            run = self._run(subject.run, config, proposal.cluster)
            action = self._action(run, name, parameters, change, proposal.cluster)
            self.actions[run.id].setdefault(action.id, action)

    @cached_property
    def _configs(self) -> Mapping[str, ActionConfig]:
        return {action.id: action for action in self.scene.state.actions}

    def _is_open(self, config: ActionConfig, cluster: str) -> bool:
        key = config.id, cluster
        if key not in self._open:
            self._open[key] = gating.is_open(self.scene, config, cluster)
        return self._open[key]

    def _run(self, run_id: str, config: ActionConfig, cluster: str) -> Run:
        if run_id not in self.runs:
            self.runs[run_id] = Run(
                id=run_id,
                organization=self.scene.state.fleet.name,
                fleet=self.fleet,
                action_id=config.id,
                config_name=config.name,
                action=config.action,
                start=gating.opened_at(self.scene, config, cluster),
            )
            self.actions[run_id] = {}
        return self.runs[run_id]

    def _action(self, run: Run, name: str, parameters: Parameters, change: Change, cluster: str) -> RunAction:
        return RunAction(
            id=str(uuid.uuid5(uuid.UUID(run.id), name)),
            run_id=run.id,
            organization=run.organization,
            fleet=run.fleet,
            cluster=cluster,
            action_id=run.action_id,
            config_name=run.config_name,
            action=run.action,
            parameters=parameters,
            change_id=change.id,
            errors=() if change.verdict.allowed else (change.verdict.reason,),
            created_at=self.scene.now,
        )

    def _objects(self, proposal: Proposal) -> Iterator[tuple[str, Parameters]]:
        """Each object that a proposal is about, by a name that is its own within the run, with its parameters."""
        if proposal.kind == "turndown":
            yield f"{proposal.cluster}/{proposal.namespace}", _placed(proposal)
        elif proposal.kind == "quota":
            name = f"{proposal.cluster}/{proposal.namespace}/ResourceQuota/{proposal.workload}"
            yield name, self._quota(proposal)
        else:
            targets = {edit.target.key for edit in proposal.edits}
            for target in sorted(targets):
                for one in self.recommendations.get((proposal.root, proposal.subject.id, target), ()):
                    yield f"{one.workload.key}/{one.container}", _container(proposal, one)

    def _quota(self, proposal: Proposal) -> Parameters:
        edits = {edit.field: edit for edit in self.quota_edits[_quota_key(proposal)]}
        found = _placed(proposal) | {"name": proposal.workload}
        for key, name in _HARD.items():
            standing = self._hard(proposal).get(key)
            edit = edits.get(f"hard/{key}")
            last = (edit.old or edit.was if edit is not None else None) or standing
            target = edit.new if edit is not None else standing
            if last and target:
                found |= {f"target{name}": canonical(target), f"last{name}": canonical(last)}
        return found

    def _hard(self, proposal: Proposal) -> Mapping[str, str]:
        """What is in force of a quota: a person's figures, and over them those of our file."""
        root = self.scene.roots[proposal.root].state
        quota = next((q for q in root.inventory.quotas if _is(q, proposal)), None)
        file = root.overlay.get(proposal.edits[0].path)
        ours = {key.removeprefix("hard/"): value for key, value in file.values.items()} if file else {}
        return {**(quota.hard if quota else {}), **ours}


def _is(quota: Quota, proposal: Proposal) -> bool:
    return (quota.namespace, quota.name) == (proposal.namespace, proposal.workload)


def _placed(proposal: Proposal) -> Parameters:
    return {"cluster": proposal.cluster, "namespace": proposal.namespace}


def _container(proposal: Proposal, one: ContainerRecommendation) -> Parameters:
    """Where a resource does not change, its target is what it has."""
    found = _placed(proposal) | {
        "controllerKind": one.workload.key.kind.lower(),
        "controllerName": one.workload.key.name,
        "containerName": one.container,
    }
    for resource in RESOURCES:
        name, spell = _REQUESTS[resource]
        last = one.current.request(resource)
        target = one.recommended.request(resource) if resource in one.changes else last
        found |= {f"target{name}": spell(target), f"last{name}": spell(last)}
    return found


def _cpu(millicores: int | None) -> str:
    """``1000m``: as the document has it, never ``1``."""
    return f"{millicores or 0}m"


def _ram(size: int | None) -> str:
    return format_memory(size or 0)


_REQUESTS: Mapping[Resource, tuple[str, Callable[[int | None], str]]] = {
    "cpu": ("CPURequest", _cpu),
    "memory": ("RAMRequest", _ram),
}


def _digest(actions: Iterable[RunAction]) -> str:
    said = sorted((one.id, one.change_id, one.errors, *one.parameters.items()) for one in actions)
    return hashlib.sha256(repr(said).encode()).hexdigest()
