"""Changes on their way to Git: list, look at, approve, reject."""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Annotated, get_args

from fastapi import APIRouter, Depends, Path, Query

from api.auth import HasServer, Principal, needs
from api.changes.schemas import ChangeDetail, ChangePage, Judgement
from api.changes.showing import detail, shown
from api.errors import BadRequest, Conflict, NotFound, documented
from api.server import Server
from reconciler.model.change import Change, ChangeState
from reconciler.steps.approving import CannotBeJudged, NoSuchChange, approve, reject
from reconciler.steps.root_proofs import proofs_now
from reconciler.store.changes import Recorded

router = APIRouter(prefix="/api/v1/changes", tags=["Changes"])

Reader = Annotated[Principal, Depends(needs("changes:read"))]
Writer = Annotated[Principal, Depends(needs("changes:write"))]
ChangeId = Annotated[str, Path(description="The change's id, a ULID, as in its commit's Trimtab-Change trailer.")]
Name = Annotated[str, Query(max_length=300, pattern=r"^[^\x00]*$")]

_STATES: tuple[ChangeState, ...] = get_args(ChangeState)
_ULID = re.compile(r"[0-9A-Z]{26}")


@router.get("", summary="List changes", responses=documented(400, 401, 403))
def list_changes(
    server: HasServer,
    principal: Reader,
    state: Annotated[
        list[str] | None, Query(description="Only those in these states: repeated, or separated by commas.")
    ] = None,
    cluster: Annotated[Name, Query(description="Only those about this cluster, by name or id.")] = "",
    policy_id: Annotated[Name, Query(alias="policyId", description="Only those of this policy.")] = "",
    action_id: Annotated[Name, Query(alias="actionId", description="Only those of this action.")] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    cursor: Annotated[str, Query(description="`next` of the page before.")] = "",
) -> ChangePage:
    """The organization's changes, the newest first."""
    found = server.stores.changes.page(
        _fleets(server, principal),
        states=_states(state or []),
        clusters=_seen(server, principal),
        cluster=_name_of(server, principal, cluster),
        policy_id=policy_id,
        action_id=action_id,
        before=_decoded(cursor),
        limit=limit + 1,
    )
    said = server.stores.verdicts.about([recorded.change.id for recorded in found[:limit]])
    return ChangePage(
        items=[shown(recorded, said.get(recorded.change.id, ())) for recorded in found[:limit]],
        next=_encoded(found[limit - 1].change.id) if len(found) > limit else None,
    )


@router.get("/{change_id}", summary="Look at a change", responses=documented(400, 401, 403, 404))
def read_change(change_id: ChangeId, server: HasServer, principal: Reader) -> ChangeDetail:
    """One change with all of its edits, its commit message, and when it came into each state."""
    return _detail(server, _find(server, principal, change_id))


@router.post("/{change_id}/approve", summary="Approve a change", responses=documented(400, 401, 403, 404, 409))
def approve_change(
    change_id: ChangeId, server: HasServer, principal: Writer, judgement: Judgement | None = None
) -> ChangeDetail:
    """Who approved is recorded, and a pass begins at once; the change lands when its windows allow, and is held until then.

    Approving it again changes nothing. What needs no approval, was rejected or is closed answers 409.
    """
    return _judged(approve, change_id, server, principal, judgement)


@router.post("/{change_id}/reject", summary="Reject a change", responses=documented(400, 401, 403, 404, 409))
def reject_change(
    change_id: ChangeId, server: HasServer, principal: Writer, judgement: Judgement | None = None
) -> ChangeDetail:
    """The change is dismissed, and its values are not proposed again until they would differ by 20 %.

    Rejecting it again changes nothing. What has landed or is closed otherwise answers 409.
    """
    return _judged(reject, change_id, server, principal, judgement)


def _judged(
    judge: Callable[..., Change], change_id: str, server: Server, principal: Principal, judgement: Judgement | None
) -> ChangeDetail:
    fleet = _find(server, principal, change_id).fleet
    reason = judgement.reason if judgement else ""
    try:
        judge(server.stores, fleet, change_id, by=principal.name, at=server.clock(), reason=reason)
    except NoSuchChange as error:
        raise NotFound(error.message) from None
    except CannotBeJudged as error:
        raise Conflict(f"{error.message}; {error.hint}" if error.hint else error.message) from None
    server.wake(principal.organization)
    return _detail(server, _find(server, principal, change_id))


def _detail(server: Server, recorded: Recorded) -> ChangeDetail:
    change_id = recorded.change.id
    clusters = next(
        (s.watch.fleet.clusters for s in server.stewards if s.watch.fleet and s.watch.url == recorded.fleet), ()
    )
    proofs = proofs_now(recorded.change, clusters, server.stores.reports.newest) if recorded.change.commit else ()
    return detail(recorded, server.stores.verdicts.about([change_id]).get(change_id, ()), proofs)


def _find(server: Server, principal: Principal, change_id: str) -> Recorded:
    """:raises NotFound: when there is none, or it is another organization's or about a cluster that the key does not see."""
    found = server.stores.changes.recorded(change_id) if _ULID.fullmatch(change_id) else None
    if found is None or found.fleet not in _fleets(server, principal) or not _sees(server, principal, found.change):
        raise NotFound(f"there is no change {change_id}")
    return found


def _fleets(server: Server, principal: Principal) -> list[str]:
    return [steward.watch.url for steward in server.of(principal.organization)]


def _seen(server: Server, principal: Principal) -> frozenset[str] | None:
    """The names of the clusters that the key may see; None = all, and what is in no cluster."""
    if not principal.clusters:
        return None
    return frozenset(c.name for c in server.clusters(principal.organization) if principal.sees(c.name, c.id))


def _sees(server: Server, principal: Principal, change: Change) -> bool:
    seen = _seen(server, principal)
    return seen is None or all(decision.proposal.cluster in seen for decision in change.decisions)


def _name_of(server: Server, principal: Principal, cluster: str) -> str:
    found = server.cluster(principal.organization, cluster)
    return found[1].name if found else cluster


def _states(given: list[str]) -> list[ChangeState]:
    named = [part.strip() for text in given for part in text.split(",") if part.strip()]
    for name in named:
        if name not in _STATES:
            raise BadRequest(f"state: {name!r} is not one of {', '.join(_STATES)}", field="state")
    return [state for state in _STATES if state in named]


def _encoded(change_id: str) -> str:
    return base64.urlsafe_b64encode(change_id.encode()).decode().rstrip("=")


def _decoded(cursor: str) -> str:
    if not cursor:
        return ""
    try:
        change_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        change_id = ""
    if not _ULID.fullmatch(change_id):
        raise BadRequest("cursor: not one that this API gave out; begin again without it", field="cursor")
    return change_id
