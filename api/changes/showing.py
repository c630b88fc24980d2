"""A recorded change as the API shows it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ulid import ULID

from api.changes.schemas import ChangeDetail, ChangeShown
from reconciler.model.change import Change, RootProof
from reconciler.report.passes import change_json
from reconciler.steps.approving import is_approved, needs_approval
from reconciler.steps.root_proofs import progress_of
from reconciler.store.changes import OPEN_STATES, Recorded
from reconciler.store.verdicts import Given


def shown(recorded: Recorded, said: tuple[Given, ...]) -> ChangeShown:
    """A change as it is in a list."""
    return ChangeShown.model_validate(_fields(recorded, said))


def detail(recorded: Recorded, said: tuple[Given, ...], proofs: Sequence[RootProof] = ()) -> ChangeDetail:
    """A change with everything that is known about it. ``proofs``: of its roots, as of now."""
    fields = _fields(recorded, said)
    edits = [edit for decision in fields["decisions"] for edit in decision["edits"]]
    more: dict[str, Any] = {"edits": edits, "times": _times(recorded), "message": recorded.change.message}
    more["proof"] = _proof(recorded, proofs) if recorded.change.commit else None
    return ChangeDetail.model_validate(fields | more)


def _proof(recorded: Recorded, proofs: Sequence[RootProof]) -> dict[str, Any]:
    return {"state": progress_of(recorded.change), "clusters": [proof.model_dump() for proof in proofs]}


def _fields(recorded: Recorded, said: tuple[Given, ...]) -> dict[str, Any]:
    change = recorded.change
    fields: dict[str, Any] = change_json(change)
    # What the files held is in Git, and not stored; a change that is closed waits for nothing.
    fields["files"] = sorted({edit.path for decision in change.decisions for edit in decision.proposal.edits})
    if change.state not in OPEN_STATES:
        fields |= {"heldBy": None, "until": None}
    return fields | {
        "createdAt": created_at(change),
        "fleet": recorded.fleet,
        "approval": _approval(change, said),
    }


def _approval(change: Change, said: Sequence[Given]) -> dict[str, object]:
    rejected = next((given for given in said if given.verdict == "rejected"), None)
    approved = next((given for given in said if given.verdict == "approved"), None)
    last = rejected or (approved if is_approved(change, tuple(said)) else None)
    return {
        "required": needs_approval(change),
        "verdict": last.verdict if last else None,
        "by": last.by if last else None,
        "at": last.at if last else None,
        "reason": (last.reason or None) if last else None,
    }


def created_at(change: Change) -> datetime:
    """A change's id is a ULID, which begins with the instant at which it was first proposed."""
    try:
        return ULID.from_str(change.id).datetime
    except ValueError:
        return min(decision.at for decision in change.decisions)


def _times(recorded: Recorded) -> dict[str, datetime]:
    """When it came into the states that are on record, the first one first. A superseded change has no instant of its own
    for that."""
    change = recorded.change
    times = {"proposed": created_at(change)}
    if recorded.landed_at is not None:
        times["committed"] = recorded.landed_at
    if change.state not in ("proposed", "superseded", *times):
        times[change.state] = recorded.since
    known = {"synced": change.synced_at, "applied": change.applied_at, "healthy": change.healthy_at}
    times |= {name: at for name, at in known.items() if at is not None}
    return dict(sorted(times.items(), key=lambda item: item[1]))
