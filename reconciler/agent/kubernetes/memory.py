"""What one process remembers of the objects that it looks after, so that what is as it should be costs nothing. Pure."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from reconciler.agent.kubernetes.cluster import ObjectKey
from reconciler.agent.kubernetes.entries import Entry
from reconciler.agent.kubernetes.owning import holds
from reconciler.agent.kubernetes.snapshot import Snapshot

AGAIN: Final = timedelta(minutes=9)
SPREAD: Final = timedelta(minutes=2)
"""Everything is looked at again after nine to eleven minutes, each object at its own time."""

RETRY: Final = timedelta(minutes=1)
"""What has failed, or is of a kind that is not listed, is looked at again after this long."""

Mark = tuple[str, int]
"""Uid and generation."""


@dataclass(frozen=True)
class State:
    """What came of one object. ``due``: when it is looked at again anyway. ``mark``: what the listing had of it then.

    ``live``: the object as it was after the last write, for its health until the listing has caught up.
    """

    digest: str
    due: datetime
    status: Literal["applied", "failed"]
    message: str = ""
    mark: Mark | None = None
    live: Mapping[str, Any] = field(default_factory=dict)

    def rests(self, entry: Entry, uid: str, snapshot: Snapshot, now: datetime, *, dry_run: bool) -> bool:
        """Whether there is nothing to do for ``entry``, which is applied to the object ``uid``."""
        if self.digest != entry.digest or now >= self.due:
            return False
        mark = mark_of(snapshot, entry.key)
        if self.status == "failed" or dry_run:
            return mark == self.mark
        seen = snapshot.objects.get(entry.key)
        if seen is None:
            return entry.key[:2] not in snapshot.kinds
        if mark is None or mark[0] != uid:
            return False
        spec, wanted, applied = seen.get("spec") or {}, entry.body.get("spec") or {}, self.live.get("spec") or {}
        # What the API server writes in another way than Git is as it should be until somebody changes it.
        return holds(spec, wanted) or (holds(applied, spec) and not holds(applied, wanted))


def mark_of(snapshot: Snapshot, key: ObjectKey) -> Mark | None:
    """Which object the listing has, and which generation of it."""
    seen = snapshot.objects.get(key)
    if seen is None:
        return None
    metadata = seen.get("metadata") or {}
    return str(metadata.get("uid") or ""), int(metadata.get("generation") or 0)


def next_look(key: ObjectKey, snapshot: Snapshot, now: datetime) -> datetime:
    """When an object that is as it should be is looked at again."""
    if key[:2] not in snapshot.kinds:
        return now + RETRY
    return now + AGAIN + SPREAD * (zlib.crc32("/".join(key).encode()) % 1000 / 1000)


def newest(state: State, snapshot: Snapshot, key: ObjectKey) -> Mapping[str, Any]:
    """The object as the listing has it, or as the last write left it where that is newer."""
    seen = snapshot.objects.get(key)
    if seen is None:
        return state.live
    written = int((state.live.get("metadata") or {}).get("generation") or 0)
    listed = int((seen.get("metadata") or {}).get("generation") or 0)
    return state.live if written > listed else seen
