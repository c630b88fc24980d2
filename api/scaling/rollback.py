"""Roll a policy back: undo its newest commit that stands."""

from concurrent.futures import Future
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends

from api.auth import HasServer, Principal, needs
from api.errors import BadRequest, Unavailable, documented
from api.scaling.schemas import Kept, RollbackAsked, RolledBack
from api.scaling.showing import find
from api.server import Server
from reconciler import loop
from reconciler.errors import HeldByWindow, NothingToRollBack, TrimtabError
from reconciler.steps.house import House
from reconciler.steps.undoing import Undone
from reconciler.steward import Steward

router = APIRouter(prefix="/api/v1/scaling/policies", tags=["Scaling"])

Writer = Annotated[Principal, Depends(needs("scaling:write"))]

_WAIT_SECONDS = 60.0
_LEASE_SECONDS = 30.0
_BUSY = "the fleet repo is busy, and the rollback is {state}"


@router.post("/{policy_id}/rollback", summary="Roll back", responses=documented(400, 401, 403, 404, 503))
def roll_back(policy_id: str, principal: Writer, server: HasServer, body: RollbackAsked | None = None) -> RolledBack:
    """Restores what was there before the policy's newest commit; values that were changed since are `kept`."""
    found = find(server, principal, policy_id)
    if found.steward is None:
        raise NothingToRollBack(f"nothing to roll back for policy {policy_id}: it has never committed anything")
    force = body is not None and body.force
    undone = _done(_ask(found.steward, policy_id, force=force), policy_id)
    server.wake(principal.organization)
    return _answer(server, undone)


def _ask(steward: Steward, policy_id: str, *, force: bool) -> "Future[Undone]":
    def work(house: House) -> Undone:
        undone = loop.rollback(house, policy_id, force=force, wait_seconds=_LEASE_SECONDS)
        with suppress(TrimtabError):  # it has landed, and the next pass looks again
            steward.read(house)
        return undone

    return steward.ask(work)


def _done(future: "Future[Undone]", policy_id: str) -> Undone:
    """:raises BadRequest: inside an exclusion window.  :raises Unavailable: when it takes too long."""
    try:
        return future.result(timeout=_WAIT_SECONDS)
    except HeldByWindow as error:
        raise BadRequest(f'{error.message}; send {{"force": true}} to roll back all the same') from None
    except TimeoutError:
        begun = not future.cancel()
        state = (
            f"still under way: GET /api/v1/scaling/decisions?policyId={policy_id} shows it" if begun else "not begun"
        )
        raise Unavailable(_BUSY.format(state=state), headers={"Retry-After": "30"}) from None


def _answer(server: Server, undone: Undone) -> RolledBack:
    row = server.stores.log.of_decision(undone.decision_id, "rollback")
    assert row is not None, "a rollback of a policy is logged before it is over"
    change = server.stores.changes.find(undone.change_id)
    return RolledBack(
        decision_id=row.id,
        change_id=undone.change_id,
        commit=undone.commit,
        state=change.state if change else "committed",
        kept=tuple(Kept(path=edit.path, field=edit.field, value=edit.new) for edit in undone.kept),
    )
