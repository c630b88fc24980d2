"""Guard: take back a change whose containers fare worse with it than before it (DESIGN §7).

A change is looked after from the report on that showed it in every root that it touches, until ``guard.observe`` after it
was applied. What is looked after is in the database, so that a restart forgets nothing; what was reverted by anybody, or
overtaken by other values, is let go. The guard's rollback is one like any other: by value, held by exclusion windows, and
the values that it puts back are refused from then on. Evidence is written down before anything is done about it, so that
it still counts at the end of a long exclusion window.
"""

from dataclasses import dataclass

import structlog

from reconciler.errors import HeldByWindow, InputError, NothingToRollBack, Stalled
from reconciler.evaluate.guard import smaller_of
from reconciler.model.change import Change
from reconciler.model.guard import Watch
from reconciler.steps import undoing
from reconciler.steps.catching_up import GUARD, catch_up
from reconciler.steps.guard_look import Found, look, lost
from reconciler.steps.house import House
from reconciler.steps.scene import Scene, read_scene
from reconciler.steps.view import View
from reconciler.store.incidents import RECENT

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Guarded:
    """The head of the branch after the guard has looked, and what people should know."""

    head: str
    notes: tuple[str, ...] = ()


def watch(house: House, change: Change) -> None:
    """Look after a change from now on, if it made any container smaller; once and for all."""
    sized = smaller_of(change)
    if not sized or change.applied_at is not None or house.stores.watched.is_known(change.id):
        return
    begins = house.now()  # what is known by now was before, whatever the clocks of those who pushed it say
    workloads, clusters = {one.workload for one in sized}, {one.workload.cluster for one in sized}
    before = house.stores.watched.incidents(clusters, workloads, begins - RECENT)
    house.stores.watched.begin(Watch(change_id=change.id, fleet=house.name, begins=begins, before=tuple(before)))


def guard(house: House, head: str) -> Guarded:
    """Take back every change that there is evidence against, as of ``head``; costs one look at the database where nothing
    is looked after.

    :raises Moved: when the branch moved meanwhile. :raises RetryLater: when the remote is away.
    """
    watches = house.stores.watched.open(house.name)
    if not watches:
        return Guarded(head)
    for one in lost(house, watches):
        house.stores.watched.close(one, "over")
    known = {one.change_id: one for one in watches}
    notes: list[str] = []
    for found in tuple(look(house, head, watches)):
        if found.outcome:
            house.stores.watched.close(found.watch, found.outcome)
            continue
        if found.watch != known[found.change.id]:
            house.stores.watched.note(found.watch)
        if found.why:
            head, note = _take_back(house, head, found)
            notes += [note] if note else []
    return Guarded(head, tuple(notes))


def foresee(house: House, head: str) -> tuple[str, ...]:
    """What :func:`guard` would do, in words; nothing is written."""
    watches = house.stores.watched.open(house.name)
    found = [one for one in look(house, head, watches) if one.why and not one.outcome] if watches else []
    if not found:
        return ()
    scene = _scene(house, head)
    return tuple(_held(one, undoing.held(house, scene, one.change.commit)) for one in found)


def _take_back(house: House, head: str, found: Found) -> tuple[str, str]:
    """The head from now on, and what people should know."""
    try:
        undone = undoing.undo(
            house, _scene(house, head), found.change.commit, force=False, because=f"{GUARD}{found.why}"
        )
    except NothingToRollBack:
        house.stores.watched.close(found.watch.model_copy(update={"evidence": ""}), "over")
        return head, ""
    except HeldByWindow as error:
        return head, _held(found, error.message)
    except (Stalled, InputError) as error:
        return head, f"{_label(found)}: {found.why}; it cannot be taken back: {error.message}"
    catch_up(house, undone.commit)
    house.stores.watched.close(found.watch, "reverted")
    log.warning("the guard has taken back a commit", fleet=house.name, commit=found.change.commit, why=found.why)
    return undone.commit, f"the guard has taken back commit {_short(found)} ({undone.summary}): {found.why}"


def _held(found: Found, held: str) -> str:
    """``held``: what holds it, empty where nothing does."""
    said = f"{_label(found)}: {found.why}"
    return f"{said}; {held}; now: trimtab rollback {_short(found)} --force" if held else said


def _label(found: Found) -> str:
    return f"the guard is to take back commit {_short(found)}"


def _short(found: Found) -> str:
    return found.change.commit[:10]


def _scene(house: House, head: str) -> Scene:
    return read_scene(house, View(house.repository.tree(head)), house.now())
