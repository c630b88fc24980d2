"""Approve or reject a change that waits for a person (DESIGN §4). Nothing is written to Git here: the next pass does that.

An approval is of the decisions, by their fingerprints: a proposal that changes needs another one. A rejection dismisses the
change, and refuses its values until they would differ by 20 %.
"""

from datetime import datetime

from reconciler.errors import TrimtabError
from reconciler.model.change import Change, Refusal
from reconciler.steps.house import Stores
from reconciler.store.changes import OPEN_STATES
from reconciler.store.verdicts import Given

_LANDED = ("committed", "merged", "applied")


class NoSuchChange(TrimtabError):
    """The fleet has no change of that id."""


class CannotBeJudged(TrimtabError):
    """The change is closed, or was judged otherwise, or asks nobody."""


def approve(stores: Stores, fleet_name: str, change_id: str, *, by: str, at: datetime, reason: str = "") -> Change:
    """Record that ``by`` approves every decision of a change; the next pass lands it when its windows allow.

    Approving what is approved already changes nothing: the first approver stays, also once it has landed.

    :raises NoSuchChange: when the fleet has no such change.
    :raises CannotBeJudged: when it needs no approval, was rejected, or is closed.
    """
    change, said = _find(stores, fleet_name, change_id)
    if any(given.verdict == "rejected" for given in said) or change.state == "dismissed":
        raise CannotBeJudged(
            f"change {change_id} was {_dismissed(said)}: it cannot be approved any more",
            hint="change the policy or the action, and a new change is proposed",
        )
    if is_approved(change, said) and change.state in (*OPEN_STATES, *_LANDED):
        return change
    if change.state not in OPEN_STATES:
        raise _closed(change)
    if not needs_approval(change):
        raise CannotBeJudged(f"change {change_id} needs no approval: it lands by itself as soon as its windows allow")
    fingerprints = [decision.proposal.fingerprint for decision in change.decisions]
    if not stores.verdicts.approve(fleet_name, change_id, fingerprints, by=by, at=at, reason=reason):
        raise _closed(_find(stores, fleet_name, change_id)[0])
    return change


def reject(stores: Stores, fleet_name: str, change_id: str, *, by: str, at: datetime, reason: str = "") -> Change:
    """Dismiss a change: its values are not proposed again until they would differ by 20 %. Rejecting twice changes nothing.

    :raises NoSuchChange: when the fleet has no such change.
    :raises CannotBeJudged: when it has landed already, or is closed otherwise.
    """
    change, _ = _find(stores, fleet_name, change_id)
    if change.state == "dismissed":
        return change
    refused = _refusals(change, by, at)
    if change.state not in OPEN_STATES or not stores.verdicts.reject(
        fleet_name, change, refused, by=by, at=at, reason=reason
    ):
        found, _ = _find(stores, fleet_name, change_id)
        if found.state == "dismissed":
            return found
        raise _closed(found)
    return change.model_copy(update={"state": "dismissed"})


def needs_approval(change: Change) -> bool:
    """Whether a person has to approve the change, or had to."""
    return any(decision.proposal.approval_required for decision in change.decisions)


def is_approved(change: Change, said: tuple[Given, ...]) -> bool:
    """Whether every decision of the change that needs it has been approved."""
    asked = {d.proposal.fingerprint for d in change.decisions if d.proposal.approval_required}
    return bool(asked) and asked <= {given.fingerprint for given in said if given.verdict == "approved"}


def _find(stores: Stores, fleet_name: str, change_id: str) -> tuple[Change, tuple[Given, ...]]:
    found = stores.changes.recorded(change_id)
    if found is None or found.fleet != fleet_name:
        raise NoSuchChange(f"there is no change {change_id}")
    return found.change, stores.verdicts.about([change_id]).get(change_id, ())


def _refusals(change: Change, by: str, at: datetime) -> list[Refusal]:
    """Without a commit: there is nothing in Git that could bring the values back but another word of a person's."""
    subject = change.subject.id
    edits = (edit for decision in change.decisions for edit in decision.proposal.edits)
    return [
        Refusal(subject=subject, path=edit.path, field=edit.field, value=edit.new, at=at, by=by, commit="")
        for edit in edits
        if edit.form != "config"
    ]


def _dismissed(said: tuple[Given, ...]) -> str:
    rejected = next((given for given in said if given.verdict == "rejected"), None)
    return f"rejected by {rejected.by}" if rejected else "dismissed"


def _closed(change: Change) -> CannotBeJudged:
    if change.state in _LANDED:
        where = f" as commit {change.commit[:10]}" if change.commit else ""
        return CannotBeJudged(f"change {change.id} has landed already{where}", hint="roll it back, if it must go away")
    if change.state == "superseded":
        return CannotBeJudged(f"change {change.id} was superseded by another proposal", hint="look at the open changes")
    return CannotBeJudged(f"change {change.id} is closed: it was {change.state}")
