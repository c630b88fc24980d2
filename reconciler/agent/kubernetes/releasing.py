"""What Git no longer has: fields of people's objects are handed back, objects of ours are deleted."""

from dataclasses import dataclass
from typing import Any, Final

from reconciler.agent.kubernetes.bringing import is_ours
from reconciler.agent.kubernetes.cluster import Cluster, NoSuchKind
from reconciler.agent.kubernetes.entries import shown
from reconciler.agent.kubernetes.handback import Handback, described
from reconciler.agent.kubernetes.inventory import Record
from reconciler.agent.kubernetes.owning import MANAGER, Json, identity, owned_paths

NEVER_DELETED: Final = frozenset({"Namespace", "CustomResourceDefinition"})
"""What takes other things with it."""


@dataclass(frozen=True)
class Releasing:
    """Lets go of one object at a time. Afterwards its record can go, also where nothing was to be done."""

    cluster: Cluster
    handback: Handback
    dry_run: bool = False

    def release(self, record: Record, *, scaled: bool) -> str:
        """Let go of what ``record`` says; what was done, in words, empty when there was nothing to do."""
        try:
            live = self.cluster.get(record.key)
        except NoSuchKind:
            return ""  # its kind is gone, and all objects of it
        if live is None:
            return ""
        return self._hand_back(record, live, scaled) if record.owns == "fields" else self._prune(record, live)

    def _hand_back(self, record: Record, live: Json, scaled: bool) -> str:
        going = owned_paths(live)
        if not going:
            return ""
        before = record.before if record.uid == live["metadata"].get("uid") else None
        handed = self.handback.leave(live, going, scaled=scaled, before=before)
        bare: dict[str, Any] = identity(live)
        self.cluster.apply(bare, manager=MANAGER, force=True, dry_run=self.dry_run)
        return described(record.key, handed or ["its fields are let go of"])

    def _prune(self, record: Record, live: Json) -> str:
        kept = _kept(record, live)
        if kept:
            return f"{shown(record.key)} is not deleted, as {kept}"
        self.cluster.delete(record.key, uid=str(live["metadata"]["uid"]), dry_run=self.dry_run)
        return f"{shown(record.key)} is deleted, as Git no longer has it"


def _kept(record: Record, live: Json) -> str:
    """Why an object is not deleted; empty when it is."""
    if record.key.kind in NEVER_DELETED:
        return f"a {record.key.kind} is never deleted"
    if record.adopted:
        return "it was there before Trimtab"
    if record.uid and record.uid != live["metadata"].get("uid"):
        return "somebody has made it anew"
    if not is_ours(live) or not owned_paths(live):
        return "it is no longer Trimtab's"
    return ""
