"""What was done: completed actions, newest first."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from api.actions.asked import ClusterName, Given, Limit, Offset, Reader, Window, name_of, period_of, seen_by
from api.actions.envelope import Envelope, Shown
from api.actions.licensed import needs_licence
from api.auth import HasServer
from api.errors import documented
from api.instants import Instant
from reconciler.gate.period import Period
from reconciler.model.action import ActionType
from reconciler.model.run import RunAction
from reconciler.observe.action_fields import LEGACY_ACTIONS

router = APIRouter(tags=["Actions"], dependencies=[needs_licence])

Type = Annotated[
    Literal[ActionType, "rightsizing"] | None,
    Given,
    Query(alias="type", description="Only actions of this type; `rightsizing` is the old name of the first."),
]
Status = Annotated[
    Literal["success", "failure"] | None, Given, Query(alias="status", description="Only those that ended so.")
]


class WindowView(Shown):
    """The stretch of time that was asked for: from ``start`` until right before ``end``."""

    start: Instant
    end: Instant

    @classmethod
    def of(cls, period: Period) -> "WindowView":
        """A parsed window as it is answered."""
        return cls(start=period[0], end=period[1])


class CompletedAction(Shown):
    """One action: one container, one quota or one namespace. ``errors``: why, on failures only."""

    id: str
    config_name: str
    cluster: str
    action: ActionType
    parameters: Annotated[dict[str, str], Field(description="By the type of the action, under their documented names.")]
    status: Literal["success", "failure"]
    errors: list[str] | SkipJsonSchema[None] = None
    created_at: Instant
    completed_at: Instant


class CompletedActions(Shown):
    """``totalActionsCount``: how many there are before ``limit`` and ``offset``."""

    total_actions_count: int
    window: WindowView
    actions: list[CompletedAction]

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "totalActionsCount": 150,
                "window": {"start": "2026-06-11T00:00:00Z", "end": "2026-06-18T00:00:00Z"},
                "actions": [
                    {
                        "id": "0d1f5c4e-9f0b-5a55-8f0e-4b6f1f0f3a11",
                        "configName": "shop-rightsizing-nightly",
                        "cluster": "prod",
                        "action": "containerRequestRightSizing",
                        "parameters": {
                            "cluster": "prod",
                            "namespace": "shop",
                            "controllerKind": "deployment",
                            "controllerName": "cart",
                            "containerName": "cart",
                            "lastCPURequest": "1000m",
                            "lastRAMRequest": "500Mi",
                            "targetCPURequest": "500m",
                            "targetRAMRequest": "200Mi",
                        },
                        "status": "failure",
                        "errors": ["the API server refused it: exceeded quota: compute"],
                        "createdAt": "2026-06-17T14:00:00Z",
                        "completedAt": "2026-06-17T15:00:00Z",
                    }
                ],
            }
        }
    )


@router.get(
    "/actions/completed",
    summary="Completed actions",
    responses=documented(400, 401, 402, 403),
    response_model_exclude_none=True,
)
def list_completed(
    server: HasServer,
    principal: Reader,
    window: Window,
    of_type: Type = None,
    status: Status = None,
    cluster: ClusterName = "",
    limit: Limit = 0,
    offset: Offset = 0,
) -> Envelope[CompletedActions]:
    """What succeeded and what failed within the window, by when it was completed, the newest first."""
    period = period_of(window, server.clock())
    total, found = server.stores.runs.completed(
        principal.organization,
        since=period[0],
        until=period[1],
        action=LEGACY_ACTIONS.get(of_type, of_type) if of_type else "",
        outcome=status or "",
        cluster=name_of(server, principal, cluster),
        clusters=seen_by(server, principal),
        limit=limit,
        offset=offset,
    )
    shown = [_shown(action) for action in found]
    return Envelope(data=CompletedActions(total_actions_count=total, window=WindowView.of(period), actions=shown))


def _shown(action: RunAction) -> CompletedAction:
    fields = action.model_dump(include={"id", "config_name", "cluster", "action", "parameters"})
    instants = {"created_at": action.created_at, "completed_at": action.completed_at}
    errors = {"errors": list(action.errors)} if action.outcome == "failure" else {}
    return CompletedAction.model_validate({**fields, **instants, **errors, "status": action.outcome})
