"""Bring one object to what its entry says: look, hand back what goes, take what is ours."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler.agent.kubernetes.cluster import Cluster, Conflict
from reconciler.agent.kubernetes.drift import Owners, differing, fields_drift, object_drift, taken_over, told_apart
from reconciler.agent.kubernetes.entries import OWNS, POLICY, Entry, shown
from reconciler.agent.kubernetes.handback import Handback
from reconciler.agent.kubernetes.inventory import Record
from reconciler.agent.kubernetes.owning import MANAGER, REPLICAS, dotted, holds, owned_paths, value_at
from reconciler.errors import TrimtabError

Json = Mapping[str, Any]


class NotThere(TrimtabError):
    """Fields are wanted of an object that the cluster does not have."""


class Overruled(TrimtabError):
    """The API server has taken our fields, and holds other values: something in it changes what is written."""


@dataclass(frozen=True)
class Look:
    """One object as it is, before anything is written. ``live`` is None where there is none.

    ``sends``: whether it has to be applied. ``drift``: who changed what was applied; ``note``: whose values are taken over.
    """

    entry: Entry
    record: Record
    live: Json | None
    sends: bool
    drift: str = ""
    note: str = ""


@dataclass(frozen=True)
class Bringing:
    """The writes to one cluster. ``dry_run``: the API server only says what it would do."""

    cluster: Cluster
    handback: Handback
    dry_run: bool = False

    def look(self, entry: Entry, record: Record) -> Look:
        """Read the object, and find out who changed what was applied.

        :raises NotThere: when it is a person's object, and not there
        """
        live = self.cluster.get(entry.key)
        if entry.owns == "object":
            return self._look_at_ours(entry, record, live)
        if live is None:
            raise NotThere(
                f"{shown(entry.key)} is not in the cluster, so that there is nothing to set fields of",
                hint="apply the manifest that makes it; the agent sets its fields as soon as it is there",
            )
        return self._look_at_fields(entry, record, live)

    def write(self, look: Look, *, scaled: bool) -> tuple[Record, Json]:
        """Hand back the fields that go, and apply; the record to keep, and the object as it then is."""
        entry, record, live = look.entry, look.record, look.live
        if not look.sends and live is not None:
            return _recorded(entry, record, live), live
        if entry.owns == "object":
            applied = self._apply(entry.body)
            return _recorded(entry, record, applied), applied
        assert live is not None
        going = owned_paths(live) - entry.paths
        if going:
            self.handback.leave(live, going, scaled=scaled, before=record.before)
        applied = self._apply(entry.with_uid(str(live["metadata"]["uid"])))
        _check(entry, applied)
        kept = replace(record, before=None) if REPLICAS not in entry.paths else record
        return _recorded(entry, kept, applied), applied

    def _apply(self, body: Mapping[str, Any]) -> Json:
        return self.cluster.apply(body, manager=MANAGER, force=True, dry_run=self.dry_run)

    def _look_at_fields(self, entry: Entry, record: Record, live: Json) -> Look:
        ours = owned_paths(live)
        if record.uid and record.uid != live["metadata"].get("uid"):  # made anew: nothing of it was ours
            record = Record(record.key, "fields")
        if record.before is None and REPLICAS in entry.paths and REPLICAS not in ours | record.paths:
            record = replace(record, before=value_at(live, REPLICAS))
        differs = differing(live, entry)
        if not differs:
            return Look(entry, record, live, sends=ours != entry.paths)
        owners = self._tried(entry.with_uid(str(live["metadata"]["uid"])))[0] if differs - ours else ()
        owners = told_apart(live, owners, differs - ours)
        drift = fields_drift(live, entry, record, owners)
        note = "" if drift else taken_over(owners)
        return Look(entry, record, live, sends=True, drift=drift, note=note)

    def _look_at_ours(self, entry: Entry, record: Record, live: Json | None) -> Look:
        if live is None:
            drift = object_drift(None, entry, record, ())
            return Look(entry, replace(record, uid="", adopted=False), None, sends=True, drift=drift)
        if record.uid and record.uid != live["metadata"].get("uid"):
            record = replace(record, uid="", adopted=False)
        if not is_ours(live) and not (record.applied and record.uid):
            record = replace(record, adopted=True)
        if holds(live, entry.body):
            sends = record.digest != entry.digest or not owned_paths(live)
            return Look(entry, record, live, sends=sends)
        owners, would = self._tried(entry.body)
        if would is not None and _same_content(would, live):
            return Look(entry, record, live, sends=False)  # the API server writes a value in another way than Git
        drift = object_drift(live, entry, record, owners)
        note = "" if drift else taken_over(owners)
        return Look(entry, record, live, sends=True, drift=drift, note=note)

    def _tried(self, body: Mapping[str, Any]) -> tuple[Owners, Json | None]:
        """Who else owns what is to be applied with another value, by a dry run without force; else what would become of it."""
        try:
            return (), self.cluster.apply(body, manager=MANAGER, force=False, dry_run=True)
        except Conflict as conflict:
            if not conflict.owners:
                raise
            return conflict.owners, None


def is_ours(live: Json) -> bool:
    """Whether an object says that it is Trimtab's: by an annotation, which files of ours carry, or by its field manager."""
    annotations = live["metadata"].get("annotations") or {}
    return annotations.get(OWNS) == "object" or POLICY in annotations or bool(owned_paths(live))


def _check(entry: Entry, applied: Json) -> None:
    """:raises Overruled: when the object does not hold what was just applied to it."""
    wrong = sorted(differing(applied, entry))
    if wrong:
        told = ", ".join(f"{dotted(path)} is {value_at(applied, path)}" for path in wrong)
        raise Overruled(
            f"{told} right after it was applied otherwise",
            hint="find the admission webhook or policy that changes it, and except what Trimtab sizes",
        )


def _same_content(one: Json, other: Json) -> bool:
    """Whether two states of an object differ in nothing that people write."""
    return _content(one) == _content(other)


def _content(one: Json) -> tuple[Any, Any, Any]:
    metadata = one["metadata"]
    return one.get("spec"), metadata.get("annotations"), metadata.get("labels")


def _recorded(entry: Entry, record: Record, live: Json) -> Record:
    paths = entry.paths if entry.owns == "fields" else frozenset()
    uid = str(live["metadata"].get("uid") or "")
    return replace(record, owns=entry.owns, uid=uid, paths=paths, digest=entry.digest, applied=True)
