"""Look: which of the changes that the guard looks after there is evidence against, and which it lets go.

What a change has sized is kept at hand, and what stands at the head of the branch is read once for each head: a pass that
finds nothing new asks the database twice, whatever the size of the changes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.commit.values import ValueAt, is_machine_path, same_value, values_of
from reconciler.errors import InputError
from reconciler.evaluate.guard import Span, evidence, smaller_of
from reconciler.model.change import Change, ValueEdit
from reconciler.model.fleet import Guard
from reconciler.model.guard import Incident, Outcome, Sized, Watch
from reconciler.model.workload import WorkloadKey
from reconciler.steps.catching_up import GUARD, whole_history
from reconciler.steps.house import House
from reconciler.steps.scene import read_fleet_of
from reconciler.steps.view import View
from reconciler.store.incidents import RECENT

_IN_FORCE = frozenset({"committed", "merged", "applied", "failed"})
_KEPT = "guarded"

Standing = Mapping[ValueAt, str] | None
"""The values in a file; None where it cannot be read."""


@dataclass(frozen=True)
class Found:
    """What a look says of a watch: as it is from now on, and how it ends, if it does. ``why``: the evidence."""

    watch: Watch
    change: Change
    outcome: Outcome = ""

    @property
    def why(self) -> str:
        return self.watch.evidence


@dataclass
class _Kept:
    """What is kept from one pass to the next."""

    sized: dict[str, tuple[Sized, ...]]
    head: str = ""
    settings: Guard | None = None
    standing: dict[str, Standing] | None = None


def look(house: House, head: str, watches: Sequence[Watch]) -> Iterator[Found]:
    """Each watch in its order. Nothing is written.

    A change that is taken back meanwhile does not alter what is said of the others; the next look does.
    """
    kept = _kept(house, head, watches)
    settings = _settings(house, kept)
    recorded = house.stores.changes.heads(one.change_id for one in watches)
    changes = {change_id: one.change for change_id, one in recorded.items()}
    incidents = _incidents(house, kept, watches, settings)
    for one in watches:
        change = changes.get(one.change_id)
        if change is not None and change.state in _IN_FORCE:
            yield _look_at(house, kept, one, change, incidents, settings)
        elif change is not None:
            yield Found(one, change, "reverted" if _by_guard(house, head, one, change) else "over")


def lost(house: House, watches: Sequence[Watch]) -> tuple[Watch, ...]:
    """Those whose change is not in the database any more."""
    known = house.stores.changes.heads(one.change_id for one in watches)
    return tuple(one for one in watches if one.change_id not in known)


def _look_at(
    house: House, kept: _Kept, one: Watch, change: Change, incidents: Sequence[Incident], settings: Guard
) -> Found:
    if not settings.observe_seconds:
        return Found(one, change, "off")
    sized = kept.sized[one.change_id]
    gone = {each.place for each in sized if _is_overtaken(_of(kept, each.edit.path), each.edit)}
    one = one.model_copy(update={"overtaken": one.overtaken | gone})
    standing = [each for each in sized if each.place not in one.overtaken]
    if not standing:
        return Found(one.model_copy(update={"evidence": ""}), change, "over")
    if one.evidence:  # found before, and held: what speaks against it may be older by now than what is kept
        return Found(one, change)
    ends = _ends(one, change, settings)
    span = Span(one.begins, min(house.now(), ends), timedelta(seconds=settings.observe_seconds))
    why = _why(kept, one, standing, incidents, span, settings)
    if not why and house.now() >= ends:
        return Found(one, change, "quiet")
    return Found(one.model_copy(update={"evidence": why}), change)


def _ends(one: Watch, change: Change, settings: Guard) -> datetime:
    """``guard.observe`` after the change was applied; one that never gets healthy is looked after for as long as
    incidents are kept."""
    if change.applied_at is None:
        return one.begins + RECENT
    return max(change.applied_at, one.begins) + timedelta(seconds=settings.observe_seconds)


def _why(
    kept: _Kept, one: Watch, sized: Sequence[Sized], incidents: Sequence[Incident], span: Span, settings: Guard
) -> str:
    workloads = {each.workload for each in sized}
    found = [incident for incident in incidents if incident.workload in workloads]
    # A push is stored a moment after it came in: what was before the change may have been stored after it.
    before = set(one.before) | {incident for incident in found if incident.at < one.begins}
    after = [incident for incident in found if incident not in before]
    if not after:
        return ""
    return evidence(
        sized,
        span,
        before=sorted(before, key=lambda incident: incident.at),
        after=after,
        revert_on=settings.revert_on,
        stands=lambda edit: _stands(_of(kept, edit.path), edit),
    )


def _by_guard(house: House, head: str, one: Watch, change: Change) -> bool:
    """Whether a change that was reverted was so by the guard, which ended before it could say so."""
    if not one.evidence or change.state != "reverted":
        return False
    by = whole_history(house, head)[1].reverted.get(change.commit)
    return by is not None and GUARD in by.message


# --- what is read, and kept -------------------------------------------------------------------------------------------


def _kept(house: House, head: str, watches: Sequence[Watch]) -> _Kept:
    known = house.parsed.get(_KEPT)
    kept = known if isinstance(known, _Kept) else _Kept({})
    if kept.head != head:
        kept.head, kept.settings, kept.standing = head, None, None
    due = {one.change_id for one in watches} - kept.sized.keys()
    for change_id in due:
        change = house.stores.changes.find(change_id)
        kept.sized[change_id] = smaller_of(change) if change is not None else ()
        kept.standing = None
    for change_id in kept.sized.keys() - {one.change_id for one in watches}:
        del kept.sized[change_id]
    if kept.standing is None:
        kept.standing = _standing(house, head, kept.sized.values())
    house.parsed[_KEPT] = kept
    return kept


def _settings(house: House, kept: _Kept) -> Guard:
    if kept.settings is None:
        kept.settings = read_fleet_of(house, View(house.repository.tree(kept.head))).fleet.guard
    return kept.settings


def _incidents(house: House, kept: _Kept, watches: Iterable[Watch], settings: Guard) -> list[Incident]:
    """What happened to everything that is looked after, as far back as any of it is compared with."""
    sized = [each for some in kept.sized.values() for each in some]
    workloads: set[WorkloadKey] = {each.workload for each in sized}
    least, now = timedelta(seconds=settings.observe_seconds), house.now()
    since = min(one.begins - min(max(now - one.begins, least), RECENT) for one in watches)
    return house.stores.watched.incidents({one.cluster for one in workloads}, workloads, since)


def _standing(house: House, head: str, sized: Iterable[Sequence[Sized]]) -> dict[str, Standing]:
    """By file, the values that stand at the head."""
    paths = sorted({one.edit.path for some in sized for one in some})
    found: dict[str, Standing] = {}
    for path, text in house.repository.files_at(head, paths).items():
        try:
            found[path] = values_of(text, path, machine=is_machine_path(path))
        except InputError:
            found[path] = None
    return found


def _of(kept: _Kept, path: str) -> Standing:
    return (kept.standing or {}).get(path, {})


def _stands(standing: Standing, edit: ValueEdit) -> bool:
    now = (standing or {}).get(ValueAt(edit.form, edit.target, edit.field))
    return same_value(now, edit.new)


def _is_overtaken(standing: Standing, edit: ValueEdit) -> bool:
    """Of a file that cannot be read nothing is known."""
    return standing is not None and not _stands(standing, edit)
