"""Signs of life of the reconciler and of agents, by cluster."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict

from api.actions.asked import ClusterName, Limit, Offset, Reader, instant_of, name_of, seen_by
from api.actions.envelope import Envelope, Shown
from api.actions.licensed import needs_licence
from api.auth import HasServer
from api.errors import BadRequest, documented
from api.instants import Instant
from reconciler.model.run import Heartbeat

router = APIRouter(tags=["Actions"], dependencies=[needs_licence])

Start = Annotated[
    str, Query(description="Only those at this instant or later, in RFC 3339.", examples=["2026-06-01T00:00:00Z"])
]
End = Annotated[
    str, Query(description="Only those at this instant or earlier, in RFC 3339.", examples=["2026-06-30T23:59:59Z"])
]


class HeartbeatMetadata(Shown):
    """``status``: `healthy`, or in a word why not. ``actionsProcessed``: completed actions of the cluster until then."""

    status: str
    cluster: str
    version: str
    actions_processed: int


class HeartbeatView(Shown):
    """One sign of life."""

    timestamp: Instant
    metadata: HeartbeatMetadata

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "timestamp": "2026-06-17T10:30:00Z",
                "metadata": {"status": "healthy", "cluster": "prod", "version": "0.1.0", "actionsProcessed": 42},
            }
        }
    )


@router.get("/action/heartbeats", summary="Heartbeats", responses=documented(400, 401, 402, 403))
def list_heartbeats(
    server: HasServer,
    principal: Reader,
    cluster: ClusterName = "",
    start: Start = "",
    end: End = "",
    limit: Limit = 0,
    offset: Offset = 0,
) -> Envelope[list[HeartbeatView]]:
    """How the reconciler and the agents were, the newest first. One each for every cluster, every five minutes."""
    first, last = instant_of(start, "start"), instant_of(end, "end")
    if first is not None and last is not None and last < first:
        raise BadRequest("end: it is before start", field="end")
    found = server.stores.heartbeats.list(
        principal.organization,
        cluster=name_of(server, principal, cluster),
        start=first,
        end=last,
        clusters=seen_by(server, principal),
        limit=limit,
        offset=offset,
    )
    return Envelope(data=[_shown(heartbeat) for heartbeat in found])


@router.get("/action/heartbeats/latest", summary="Latest heartbeats", responses=documented(401, 402, 403))
def latest_heartbeats(server: HasServer, principal: Reader) -> Envelope[dict[str, Instant]]:
    """When each cluster was last heard of."""
    return Envelope(data=server.stores.heartbeats.latest(principal.organization, seen_by(server, principal)))


def _shown(heartbeat: Heartbeat) -> HeartbeatView:
    fields = heartbeat.model_dump(include={"status", "cluster", "version", "actions_processed"})
    return HeartbeatView(timestamp=heartbeat.at, metadata=HeartbeatMetadata.model_validate(fields))
