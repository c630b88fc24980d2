"""Gate and render: proposals become decisions with ids, decisions become changes with files and a message.

A decision's id is found again by its fingerprint, so that a process that dies between deciding and pushing neither
loses nor repeats it.
"""

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from ulid import ULID

from reconciler.errors import TrimtabError
from reconciler.evaluate.scaling_outlook import Outlook
from reconciler.model.change import Change, Decision, Proposal, ValueEdit, Verdict
from reconciler.model.inventory import Problem
from reconciler.model.plan import Pass
from reconciler.model.recommendation import ContainerRecommendation
from reconciler.model.workload import ObjectRef, Workload
from reconciler.render.files import Parse, apply_edits
from reconciler.render.grouping import group_changes
from reconciler.render.machine_text import ContainerIndex, places_of
from reconciler.render.message import commit_message
from reconciler.render.templates import Templates
from reconciler.steps import gating
from reconciler.steps.evaluating import Evaluated
from reconciler.steps.house import House, Timings
from reconciler.steps.machine_files import MachineFiles
from reconciler.steps.scene import Scene, ref_key
from reconciler.steps.templates_at import templates_at
from reconciler.steps.view import View

People = dict[tuple[str, str], bytes | TrimtabError]
"""Builds without our component, or why there is none: by root, and :attr:`~reconciler.steps.scene.RootScene.people`."""


@dataclass(frozen=True)
class Worked:
    """A pass so far: ``view`` is the head with every ready change over it, ``scene`` what was read at the phase's start.

    ``people`` is what was built without our component. ``judged`` are the proposals of the phase in hand; ``excluded``
    (by fingerprint) what could not be proved, and why.
    """

    scene: Scene
    view: View
    timings: Timings
    templates: Templates
    ready: tuple[Change, ...] = ()
    held: tuple[Change, ...] = ()
    blocked: tuple[Proposal, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    recommendations: tuple[ContainerRecommendation, ...] = ()
    judged: tuple[tuple[Proposal, Verdict], ...] = ()
    excluded: Mapping[str, str] = field(default_factory=dict)
    earlier: tuple[tuple[Change, ...], tuple[Change, ...], tuple[Proposal, ...]] = ((), (), ())
    builds: int = 0
    fleet: str = ""
    machine_files: MachineFiles = field(default_factory=lambda: MachineFiles({}))
    people: People = field(default_factory=dict)
    outlooks: Mapping[str, Outlook] = field(default_factory=dict)

    @property
    def parse(self) -> Parse:
        return self.machine_files.parse

    def on(self, scene: Scene) -> "Worked":
        """The next phase sees ``scene``."""
        return replace(self, scene=scene)

    def noting(self, notes: Iterable[str]) -> "Worked":
        """With more for people to know."""
        return replace(self, notes=(*self.notes, *notes))

    @property
    def found(self) -> Pass:
        """What people are told."""
        return Pass(
            fleet=self.fleet,
            head=self.view.commit,
            at=self.scene.now,
            ready=self.ready,
            held=self.held,
            blocked=self.blocked,
            problems=tuple(dict.fromkeys((*self.problems, *self.scene.problems))),
            notes=tuple(dict.fromkeys(self.notes)),
            recommendations=self.recommendations,
            builds=self.builds,
            seconds=dict(self.timings.seconds),
        )


def begin(house: House, scene: Scene, timings: Timings) -> Worked:
    """A pass in which nothing is decided yet."""
    templates = templates_at(house, scene.view)
    return Worked(
        scene=scene,
        view=scene.view,
        timings=timings,
        templates=templates,
        notes=house.notes,
        fleet=house.name,
        machine_files=MachineFiles(house.parsed, ours=not templates.has_overrides),
    )


def judge(worked: Worked, evaluated: Evaluated) -> Worked:
    """What the gates say to each proposal of a phase."""
    return replace(
        worked,
        judged=tuple(gating.judge(worked.scene, evaluated.proposals)),
        excluded={},
        earlier=(worked.ready, worked.held, worked.blocked),
        notes=(*worked.notes, *evaluated.notes),
        problems=(*worked.problems, *evaluated.problems),
        recommendations=(*worked.recommendations, *evaluated.recommendations),
        outlooks={**worked.outlooks, **evaluated.outlooks},
    )


def draft(house: House, worked: Worked) -> Worked:
    """Changes of the phase in hand, with files and messages, laid over the view it began with.

    Calling it again with more in ``excluded`` starts the phase afresh without those.
    """
    ready, held, blocked = worked.earlier
    proposals, out = _without_excluded(worked)
    decisions = _decide(house, worked.scene.now, proposals)
    ids = ChangeIds(house.stores.changes.change_ids(decision.id for decision, _ in decisions))
    allowed = _grouped(worked, [d for d, v in decisions if v.allowed], ids)
    rationed = gating.ration(
        allowed,
        limit=worked.scene.state.fleet.delivery.commits_per_hour,
        committed=[*_committed(house, worked), *(worked.scene.now for _ in ready)],
        now=worked.scene.now,
    )
    view = worked.scene.view.over({})
    for change in rationed:
        drawn = _drawn(worked, change, view)
        if not drawn.files:
            continue
        if not drawn.verdict.allowed:
            held = (*held, drawn)
            continue
        ready = (*ready, drawn)
        view.lay(drawn.files)
    for verdict, members in _by_verdict(decisions):
        for change in _grouped(worked, members, ids):
            drawn = _drawn(worked, change.model_copy(update={"verdict": verdict, "state": "held"}), view)
            held = (*held, drawn) if drawn.files else held
    blocked = (*blocked, *(p for p, _ in proposals if p.blocked), *out)
    return replace(worked, ready=ready, held=held, blocked=blocked, view=view)


def _without_excluded(worked: Worked) -> tuple[list[tuple[Proposal, Verdict]], list[Proposal]]:
    """What was judged, and apart from it what could not be proved, with the reason."""
    if not worked.excluded:
        return list(worked.judged), []
    named = [(p, v, worked.excluded.get(p.fingerprint)) for p, v in worked.judged]
    return [(p, v) for p, v, why in named if not why], [p.model_copy(update={"blocked": w}) for p, _, w in named if w]


def _committed(house: House, worked: Worked) -> Sequence[datetime]:
    return house.stores.changes.committed_since(house.name, worked.scene.now)


def _decide(
    house: House, now: datetime, proposals: Iterable[tuple[Proposal, Verdict]]
) -> list[tuple[Decision, Verdict]]:
    wanted = [(p.fingerprint, p, v) for p, v in proposals if not p.blocked]
    known = house.stores.changes.decision_ids(house.name, [fingerprint for fingerprint, _, _ in wanted])
    return [(Decision(id=known.get(name) or new_id(now), at=now, proposal=p), v) for name, p, v in wanted]


def new_id(now: datetime) -> str:
    """A ULID of this instant."""
    return str(ULID.from_datetime(now))


class ChangeIds:
    """A change keeps its id for as long as its first decision is open, so that people can name it from one pass to the next."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = known
        self._given: set[str] = set()

    def of(self, change: Change) -> Change:
        for decision in change.decisions:
            before = self._known.get(decision.id, "")
            if before and before not in self._given:
                self._given.add(before)
                return change.model_copy(update={"id": before})
        return change


def _grouped(worked: Worked, decisions: Sequence[Decision], ids: ChangeIds) -> tuple[Change, ...]:
    group_by = worked.scene.state.fleet.delivery.group_by
    made = group_changes(decisions, group_by, new_id=lambda: new_id(worked.scene.now))
    return tuple(ids.of(change) for change in made)


def _by_verdict(decisions: Sequence[tuple[Decision, Verdict]]) -> list[tuple[Verdict, list[Decision]]]:
    found: dict[str, tuple[Verdict, list[Decision]]] = {}
    for decision, verdict in decisions:
        if not verdict.allowed:
            key = f"{verdict.reason}\0{verdict.until}"
            found.setdefault(key, (verdict, []))[1].append(decision)
    return list(found.values())


def _drawn(worked: Worked, change: Change, view: View) -> Change:
    """The change with its files and message. Files that would stay as they are are left out."""
    edits = [edit for decision in change.decisions for edit in decision.proposal.edits]
    view.fetch({edit.path for edit in edits})
    applied = apply_edits(
        view.files,
        edits,
        worked.templates,
        container_indexes=_places(worked.scene, edits),
        twins=twins_of(worked.scene),
        parse=worked.parse,
    )
    if applied.outdated:
        # Somebody's value came in between: that decision waits for the next pass, whole.
        late = {(edit.path, edit.field) for edit in applied.outdated}
        current = [d for d in change.decisions if not any((e.path, e.field) in late for e in d.proposal.edits)]
        if not current:
            return change.model_copy(update={"files": {}})
        return _drawn(worked, change.model_copy(update={"decisions": tuple(current)}), view)
    files = {path: data for path, data in applied.files.items() if view.get(path) != data}
    for path, file in applied.made.items():
        worked.machine_files.keep(path, applied.files[path] or b"", file)
    message = commit_message(change, worked.templates, currency=worked.scene.state.fleet.pricing.currency)
    return change.model_copy(update={"files": files, "message": message})


def twins_of(scene: Scene) -> dict[str, Mapping[str, str]]:
    """By component folder, what tells apart objects that a patch's target would confuse."""
    return {root.root.overlay_path: root.state.inventory.twins for root in scene.roots.values()}


def _places(scene: Scene, edits: Iterable[ValueEdit]) -> dict[str, ContainerIndex]:
    """Where each container stands in its list, by path of the file that sizes it."""
    targets = {edit.path: edit.target for edit in edits if edit.form == "requests"}
    return {path: places_of(workload) for path, workload in workloads_of(scene, targets).items()}


def workloads_of(scene: Scene, targets: Mapping[str, ObjectRef]) -> dict[str, Workload]:
    """By path of a ``requests`` file with its target, the workload whose containers it sizes, where it is declared."""
    roots = {path: posixpath.dirname(posixpath.dirname(path)) for path in targets}
    found = {path: scene.workloads.get(roots[path], {}).get(ref_key(to)) for path, to in targets.items()}
    return {path: workload for path, workload in found.items() if workload is not None}


def record(house: House, worked: Worked) -> None:
    """Write down what was decided before anything is committed; what is open and was not decided again is superseded."""
    changes = (*worked.ready, *worked.held)
    house.stores.changes.replace_open(house.name, changes)
