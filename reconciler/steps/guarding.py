"""Guard: take back a change whose containers fare worse with it than before it (DESIGN §7).

A change is looked after from the report on that showed it in every root that it touches, until ``guard.observe`` after it
was applied. What is looked after is in the database, so that a restart forgets nothing; what was reverted by anybody, or
overtaken by other values, is let go. The guard's rollback is one like any other: by value, held by exclusion windows, and
the values that it puts back are refused from then on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from reconciler.commit.values import ValueAt, is_machine_path, same_value, values_of
from reconciler.errors import HeldByWindow, InputError, NothingToRollBack, Stalled
from reconciler.evaluate.guard import Span, evidence, smaller_of
from reconciler.model.change import Change, ValueEdit
from reconciler.model.fleet import Guard
from reconciler.model.guard import Sized, Watch
from reconciler.steps import undoing
from reconciler.steps.catching_up import GUARD, catch_up
from reconciler.steps.house import House
from reconciler.steps.scene import Scene, read_fleet_of, read_scene
from reconciler.steps.view import View
from reconciler.store.incidents import RECENT

log = structlog.get_logger(__name__)

_IN_FORCE = frozenset({"committed", "merged", "applied", "failed"})


@dataclass(frozen=True)
class Guarded:
    """The head of the branch after the guard has looked, and what people should know."""

    head: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Finding:
    """A change that is to be taken back, and why."""

    watch: Watch
    change: Change
    why: str


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
    notes: list[str] = []
    for found in _findings(house, head):
        try:
            undone = undoing.undo(
                house, _scene(house, head), found.change.commit, force=False, because=f"{GUARD}{found.why}"
            )
        except NothingToRollBack:
            house.stores.watched.close(found.watch, "over")
        except HeldByWindow as error:
            notes.append(
                f"{_label(found)}: {found.why}; {error.message}; now: trimtab rollback {_short(found)} --force"
            )
        except (Stalled, InputError) as error:
            notes.append(f"{_label(found)}: {found.why}; it cannot be taken back: {error.message}")
        else:
            head = undone.commit
            catch_up(house, head)
            house.stores.watched.close(found.watch, "reverted", found.why)
            notes.append(f"the guard has taken back commit {_short(found)} ({undone.summary}): {found.why}")
            log.warning(
                "the guard has taken back a commit", fleet=house.name, commit=found.change.commit, why=found.why
            )
    return Guarded(head, tuple(notes))


def foresee(house: House, head: str) -> tuple[str, ...]:
    """What :func:`guard` would do, in words; nothing is written."""
    return tuple(f"{_label(found)}: {found.why}" for found in _findings(house, head, writes=False))


def _label(found: _Finding) -> str:
    return f"the guard is to take back commit {_short(found)}"


def _short(found: _Finding) -> str:
    return found.change.commit[:10]


def _findings(house: House, head: str, *, writes: bool = True) -> Iterator[_Finding]:
    """What there is evidence against. Watches that are over are closed."""
    watches = house.stores.watched.open(house.name)
    if not watches:
        return
    settings = read_fleet_of(house, View(house.repository.tree(head))).fleet.guard
    for one in watches:
        change = house.stores.changes.find(one.change_id)
        outcome = "over" if change is None or change.state not in _IN_FORCE else ""
        if not outcome and not settings.observe_seconds:
            outcome = "off"
        if outcome or change is None:
            if writes:
                house.stores.watched.close(one, "off" if outcome == "off" else "over")
            continue
        ends = _ends(one, change, settings)
        why = _why(house, head, one, change, Span(one.begins, min(house.now(), ends)), settings)
        if why:
            yield _Finding(one, change, why)
        elif writes and house.now() >= ends:
            house.stores.watched.close(one, "quiet")


def _ends(one: Watch, change: Change, settings: Guard) -> datetime:
    """``guard.observe`` after the change was applied; one that never gets healthy is looked after for as long as
    incidents are kept."""
    if change.applied_at is None:
        return one.begins + RECENT
    return max(change.applied_at, one.begins) + timedelta(seconds=settings.observe_seconds)


def _why(house: House, head: str, one: Watch, change: Change, span: Span, settings: Guard) -> str:
    sized = smaller_of(change)
    workloads, clusters = {each.workload for each in sized}, {each.workload.cluster for each in sized}
    found = house.stores.watched.incidents(clusters, workloads, one.begins - RECENT)
    # A push is stored a moment after it came in: what was before the change may have been stored after it.
    before = set(one.before) | {incident for incident in found if incident.at < one.begins}
    after = [incident for incident in found if incident not in before]
    if not after:
        return ""
    standing = _standing(house, head, sized)
    return evidence(
        sized,
        span,
        before=sorted(before, key=lambda incident: incident.at),
        after=after,
        revert_on=settings.revert_on,
        stands=lambda edit: _stands(standing, edit),
    )


def _standing(house: House, head: str, sized: tuple[Sized, ...]) -> dict[str, Mapping[ValueAt, str]]:
    """By file, the values that stand at the head; none of one that cannot be read."""
    texts = house.repository.files_at(head, sorted({one.edit.path for one in sized}))
    found: dict[str, Mapping[ValueAt, str]] = {}
    for path, text in texts.items():
        try:
            found[path] = values_of(text, path, machine=is_machine_path(path))
        except InputError:
            found[path] = {}
    return found


def _stands(standing: Mapping[str, Mapping[ValueAt, str]], edit: ValueEdit) -> bool:
    now = standing.get(edit.path, {}).get(ValueAt(edit.form, edit.target, edit.field))
    return same_value(now, edit.new)


def _scene(house: House, head: str) -> Scene:
    return read_scene(house, View(house.repository.tree(head)), house.now())
