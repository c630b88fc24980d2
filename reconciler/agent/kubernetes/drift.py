"""Who has changed what Trimtab had applied, in words. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.agent.kubernetes.entries import Entry
from reconciler.agent.kubernetes.inventory import Record
from reconciler.agent.kubernetes.owning import (
    HANDBACK,
    MANAGER,
    Path,
    dotted,
    holds,
    owned_paths,
    owners_of,
    same,
    value_at,
)

Json = Mapping[str, Any]
Owners = tuple[tuple[str, str], ...]
"""(manager, field), as a conflict names them."""


def differing(live: Json, entry: Entry) -> frozenset[Path]:
    """The fields whose live value is not the one that is wanted."""
    return frozenset(p for p in entry.paths if not same(value_at(live, p), value_at(entry.body, p)))


def lost(live: Json, entry: Entry, record: Record) -> frozenset[Path]:
    """The fields that were applied to this very object, and that somebody else has set to another value since."""
    if not record.applied or record.uid != live["metadata"].get("uid"):
        return frozenset()
    return (differing(live, entry) & record.paths) - owned_paths(live)


def fields_drift(live: Json, entry: Entry, record: Record, owners: Owners) -> str:
    """Which of our fields somebody took, and who; empty when nobody did."""
    taken = sorted(lost(live, entry, record))
    named = {dotted_field(field): manager for manager, field in owners}
    return "; ".join(
        f"{dotted(path)} was set to {value_at(live, path)} by {named.get(dotted(path)) or _who(live, path)}, "
        f"and is put back to {value_at(entry.body, path)}"
        for path in taken
    )


def object_drift(live: Json | None, entry: Entry, record: Record, owners: Owners) -> str:
    """What somebody changed of a whole object of ours; empty when nobody did."""
    if not record.applied:
        return ""
    if live is None:
        return "it was deleted by somebody, and is made again"
    if owners:
        return f"{taken_from(owners)}, and is put back"
    if record.digest == entry.digest and not holds(live, entry.body):
        return "something of it was removed by somebody, and is put back"
    return ""


def taken_from(owners: Owners) -> str:
    """``spec.maxReplicas was changed by kubectl-edit``."""
    managers: dict[str, list[str]] = {}
    for manager, field in owners:
        managers.setdefault(manager, []).append(dotted_field(field))
    return "; ".join(f"{', '.join(fields)} was changed by {manager}" for manager, fields in sorted(managers.items()))


def taken_over(owners: Owners) -> str:
    """``spec.replicas was owned by kubectl, now by Trimtab``; empty when it was nobody else's."""
    owners = tuple(one for one in owners if one[0] != HANDBACK)
    fields = sorted({dotted_field(field) for _, field in owners})
    names = _joined(manager for manager, _ in owners)
    return (
        f"{', '.join(fields)} {'was' if len(fields) == 1 else 'were'} owned by {names}, now by Trimtab"
        if fields
        else ""
    )


def dotted_field(field: str) -> str:
    """A field of a conflict, written like a path: list items by their bare name."""
    return field.lstrip(".").replace('[name="', ".").replace('"]', "")


def told_apart(live: Json, owners: Owners, paths: Iterable[Path]) -> Owners:
    """``owners``, or what the object itself says of ``paths`` where a conflict names one field again and again.

    Older API servers (1.20) do that in place of naming each of several fields of one map.
    """
    if len(set(owners)) == len(owners):
        return owners
    return tuple((owner, dotted(path)) for path in sorted(paths) for owner in owners_of(live, path) if owner != MANAGER)


def _who(live: Json, path: Path) -> str:
    return _joined(owners_of(live, path)) or "somebody"


def _joined(names: Iterable[str]) -> str:
    return " and ".join(sorted(set(names)))
