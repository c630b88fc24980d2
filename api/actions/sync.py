"""What the schedule does, at once: each route answers when it is done."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends

from api.actions import passes
from api.actions.envelope import Envelope
from api.actions.licensed import needs_licence
from api.auth import HasServer, Principal, needs
from api.errors import Forbidden, NotFound, Unavailable, documented
from api.server import Server
from reconciler.steward import Steward

router = APIRouter(prefix="/action", tags=["Actions"])

Writer = Annotated[Principal, Depends(needs("actions:write"))]

_RETRY_SECONDS = 30
_RESPONSES = documented(401, 402, 403, 404)
_OF_HEARTBEATS = documented(401, 402, 403)
_SEEN_IN = "GET /actions/runs?window=1h shows what comes of it"


@router.post("/config/sync", summary="Sync action configs", responses=documented(401, 403, 404))
def sync_configs(principal: Writer, server: HasServer) -> Envelope[str]:
    """Reads the configs at the head of each fleet repo's branch. Needs no licence.

    Like the other three, it is about all clusters of the organization: a key that is limited to some gets 403.
    """
    stewards = _stewards(server, principal)
    _wait_for(lambda: passes.read_all(stewards), "it")
    return Envelope(data="Successfully synced config manager")


@router.post("/submitter/sync", summary="Submit actions", responses=_RESPONSES, dependencies=[needs_licence])
def submit(principal: Writer, server: HasServer) -> Envelope[str]:
    """Makes one pass over each fleet repo: what is recommended inside its windows is in a run, and becomes a change.

    A server that was started with `--no-loop` makes this one, too.
    """
    stewards = _stewards(server, principal)
    _wait_for(lambda: passes.submit_all(server, stewards), f"the pass; {_SEEN_IN}")
    return Envelope(data="Successfully submitted actions")


@router.post("/ingestor/sync", summary="Ingest completed actions", responses=_RESPONSES, dependencies=[needs_licence])
def ingest(principal: Writer, server: HasServer) -> Envelope[str]:
    """Completes pending actions by what has become of their changes."""
    stewards = _stewards(server, principal)
    _wait_for(lambda: passes.ingest_all(stewards), "it")
    return Envelope(data="Successfully ingested completed actions")


@router.post("/heartbeat/sync", summary="Ingest heartbeats", responses=_OF_HEARTBEATS, dependencies=[needs_licence])
def sync_heartbeats(principal: Writer, server: HasServer) -> Envelope[str]:
    """Stores a heartbeat of the reconciler and of each agent."""
    _refuse_limited(principal)
    server.flush_heard()
    passes.beat(server, principal.organization, server.clock())
    return Envelope(data="Action Service: successfully ingested heartbeats")


def _stewards(server: Server, principal: Principal) -> tuple[Steward, ...]:
    """Those of the caller's fleet repos.

    :raises Unavailable: when one cannot be used, or is not known yet. :raises NotFound: when there is none.
    """
    _refuse_limited(principal)
    for steward in server.refused(principal.organization):
        raise Unavailable(f"the fleet repo cannot be used: {steward.watch.error}", headers=_retry())
    found = server.of(principal.organization)
    if not found and any(steward.watch.fleet is None for steward in server.stewards):
        raise Unavailable("a fleet repo could not be read yet: try again soon", headers=_retry())
    if not found:
        raise NotFound(
            f"there is no fleet repo of the organization {principal.organization}: see trimtab serve --fleet"
        )
    return found


def _refuse_limited(principal: Principal) -> None:
    """:raises Forbidden: for a key that may not see every cluster."""
    if principal.clusters:
        limit = ", ".join(sorted(principal.clusters))
        raise Forbidden(f"this is about all clusters, and the key is limited to {limit}: use one without a limit")


def _wait_for(work: Callable[[], None], what: str) -> None:
    """:raises Unavailable: when it takes too long."""
    try:
        work()
    except TimeoutError:
        raise Unavailable(f"the fleet repo is still busy with {what}: try again later", headers=_retry()) from None


def _retry() -> dict[str, str]:
    return {"Retry-After": str(_RETRY_SECONDS)}
