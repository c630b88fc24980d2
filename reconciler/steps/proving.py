"""Prove: build the roots that a phase touches, and check that each of our files changed exactly what it says.

New values alone need no build: a root is built when its set of patches, or a person's file in it, has changed since its
last good build (DESIGN §3).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import yaml

from reconciler.errors import TrimtabError
from reconciler.manifests.wiring import EMPTY_COMPONENT
from reconciler.model.change import Change
from reconciler.model.inventory import Problem, RootState
from reconciler.observe.kustomize import Builder
from reconciler.render.verify import check_build
from reconciler.steps import deciding
from reconciler.steps.deciding import People, Worked
from reconciler.steps.house import House
from reconciler.steps.scene import RootScene, Scene, reread
from reconciler.steps.view import View

TRIES = 5
"""How often a phase is drafted again without what could not be proved."""


def prove(house: House, worked: Worked) -> Worked:
    """Build what is due; changes that fail are blocked with the reason, the rest of the phase stands."""
    if house.builder is None:
        return worked
    for _ in range(TRIES):
        scene = reread(house, worked.scene, worked.view)
        due = _due(house, scene, worked)
        failed, builds = _build_all(house, scene, worked, due)
        worked = replace(worked, builds=worked.builds + builds)
        blame = {
            fingerprint: reason
            for path, reasons in failed.items()
            for fingerprint, reason in _blame(worked, path, reasons).items()
        }
        if not blame:
            return _told(worked, failed)
        worked = deciding.draft(house, replace(worked, excluded={**worked.excluded, **blame}))
    return worked


def _due(house: House, scene: Scene, worked: Worked) -> dict[str, str]:
    """Roots that must be built, with the key under which a good build is remembered."""
    touched = {decision.proposal.root for change in worked.ready for decision in change.decisions}
    due: dict[str, str] = {}
    for path, root in scene.roots.items():
        if not root.state.inventory.wired or not (root.state.overlay or path in touched):
            continue
        key = build_key(root)
        if house.stores.marks.get(house.name, f"build:{path}") != key:
            due[path] = key
    return due


def build_key(root: RootScene) -> str:
    """What a good build depends on: people's files, and which fields our files set on what (not to which values), in what order."""
    parts = [root.people]
    for path, file in sorted(root.state.overlay.items()):
        parts += [path, file.form, file.target.key, *sorted(file.values), *file.order]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _build_all(
    house: House, scene: Scene, worked: Worked, due: Mapping[str, str]
) -> tuple[dict[str, list[tuple[str, str]]], int]:
    """What is wrong, as (path of our file or empty, reason) by root; and how many builds ran."""
    if not due or house.builder is None:
        return {}, 0
    house.step("build")
    before = len(worked.people)
    compared = _compared(house.builder, scene, worked.view, list(due), worked.people)
    failed = {path: wrong for path, wrong in compared.items() if wrong}
    for path, key in due.items():
        if path not in failed:
            house.stores.marks.set(house.name, f"build:{path}", key)
    return failed, len(due) + len(worked.people) - before


def examine(house: House, scene: Scene) -> dict[str, list[tuple[str, str]]]:
    """Every wired root built anew, with what is wrong with each; for `trimtab doctor`."""
    if house.builder is None:
        return {}
    wired = [path for path, root in scene.roots.items() if root.state.inventory.wired]
    return _compared(house.builder, scene, scene.view, wired, {})


def _compared(
    builder: Builder, scene: Scene, view: View, paths: Sequence[str], people: People
) -> dict[str, list[tuple[str, str]]]:
    """What is wrong with each root. ``people``: builds without our component, of earlier in the pass; new ones are added."""
    roots = {path: scene.roots[path] for path in paths}
    new = [path for path, root in roots.items() if (path, root.people) not in people]
    if new:
        # Without our component = with an empty one in its place; files of one root cannot be built from outside of it.
        empty = {f"{roots[path].root.overlay_path}/kustomization.yaml": EMPTY_COMPONENT.encode() for path in new}
        builder.materialize(view.base, {**view.changed, **empty})
        people.update({(path, roots[path].people): output for path, output in builder.build_many(new).items()})
    builder.materialize(view.base, view.changed)
    built = builder.build_many(list(paths))
    return {path: compare(root.state, people[path, root.people], built[path]) for path, root in roots.items()}


def compare(state: RootState, people: bytes | TrimtabError, built: bytes | TrimtabError) -> list[tuple[str, str]]:
    """What is wrong with a root, as (path of our file or empty, reason), from its build without our component and with it."""
    if isinstance(people, TrimtabError):
        return [("", people.message)]
    if isinstance(built, TrimtabError):
        return [("", built.message)]
    found = check_build(_objects(people), _objects(built), state.overlay)
    return [(shadowed.path, shadowed.message) for shadowed in found]


def _objects(text: bytes) -> list[dict[str, object]]:
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if isinstance(document, dict)]


def _blame(worked: Worked, root: str, reasons: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The proposals of this phase that have to go: those of the file at fault, else all of the root."""
    paths = {path: reason for path, reason in reasons if path}
    general = next((reason for path, reason in reasons if not path), "")
    blamed: dict[str, str] = {}
    for change in _of_phase(worked):
        for decision in change.decisions:
            proposal = decision.proposal
            if proposal.root != root:
                continue
            reason = next((paths[e.path] for e in proposal.edits if e.path in paths), general)
            if reason:
                blamed[proposal.fingerprint] = reason
    return blamed


def _of_phase(worked: Worked) -> tuple[Change, ...]:
    return worked.ready[len(worked.earlier[0]) :]


def _told(worked: Worked, failed: Mapping[str, Sequence[tuple[str, str]]]) -> Worked:
    """What is wrong although nothing of this phase is to blame: a person's change shadows us, or broke the root."""
    problems = tuple(
        Problem(path=path or root, message=reason if path else f"does not build: {reason}", blocks_root=not path)
        for root, reasons in failed.items()
        for path, reason in reasons
    )
    return replace(worked, problems=(*worked.problems, *problems))
