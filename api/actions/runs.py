"""Runs: one for each window opening of an action config in which something was recommended."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict

from api.actions.asked import Limit, Offset, Reader, Window, period_of, seen_by
from api.actions.completed import WindowView
from api.actions.envelope import Envelope, Shown
from api.actions.licensed import needs_licence
from api.auth import HasServer
from api.errors import documented
from api.instants import Instant
from reconciler.model.action import ActionType
from reconciler.model.run import Run, RunStatus

router = APIRouter(tags=["Actions"], dependencies=[needs_licence])

RunId = Annotated[
    str, Query(alias="runId", max_length=300, pattern=r"^[^\x00]*$", description="Only the run of this id.")
]


class RunView(Shown):
    """``countRecommended`` = ``countSuccess`` + ``countFailure`` + ``countPending``. ``end``: null while one is pending."""

    run_id: str
    action_config_name: str
    action_type: ActionType
    start: Instant
    end: Instant | None
    count_recommended: int
    count_success: int
    count_failure: int
    count_pending: int
    status: RunStatus


class Runs(Shown):
    """``itemCount``: how many there are before ``limit`` and ``offset``."""

    window: WindowView
    item_count: int
    runs: list[RunView]

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "window": {"start": "2026-06-11T00:00:00Z", "end": "2026-06-18T00:00:00Z"},
                "itemCount": 7,
                "runs": [
                    {
                        "runId": "a5e0bb9a-2d5f-5f0f-9f0c-7d7f1c9b2e44",
                        "actionConfigName": "shop-rightsizing-nightly",
                        "actionType": "containerRequestRightSizing",
                        "start": "2026-06-17T23:00:00Z",
                        "end": None,
                        "countRecommended": 152,
                        "countSuccess": 120,
                        "countFailure": 1,
                        "countPending": 31,
                        "status": "pending",
                    }
                ],
            }
        }
    )


@router.get("/actions/runs", summary="Action runs", responses=documented(400, 401, 402, 403))
def list_runs(
    server: HasServer, principal: Reader, window: Window, run_id: RunId = "", limit: Limit = 0, offset: Offset = 0
) -> Envelope[Runs]:
    """Runs of which any part lies within the window, the newest first.

    A run begins when the windows of its config open, and ends when its last action is completed. A key that is limited to
    some clusters sees what its runs did there.
    """
    period = period_of(window, server.clock())
    total, found = server.stores.runs.runs(
        principal.organization,
        since=period[0],
        until=period[1],
        run_id=run_id,
        clusters=seen_by(server, principal),
        limit=limit,
        offset=offset,
    )
    shown = [_shown(run) for run in found]
    return Envelope(data=Runs(window=WindowView.of(period), item_count=total, runs=shown))


def _shown(run: Run) -> RunView:
    return RunView(
        run_id=run.id,
        action_config_name=run.config_name,
        action_type=run.action,
        start=run.start,
        end=run.end,
        count_recommended=run.recommended,
        count_success=run.success,
        count_failure=run.failure,
        count_pending=run.pending,
        status=run.status,
    )
