"""What a cluster's agent says came of the desired state."""

from concurrent.futures import Future
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Body, Depends
from pydantic import BeforeValidator, Field

from api.agents.answers import place_of
from api.auth import HasServer, this_agent
from api.errors import documented
from reconciler.model.agent import Agent, ObjectStatus, StatusReport
from reconciler.model.base import Model
from reconciler.model.observation import ObservedName, Pushed
from reconciler.steps.proofs import prove

router = APIRouter(tags=["Agents"])
log = structlog.get_logger(__name__)

MOST_OBJECTS = 10_000
LONGEST_MESSAGE = 4096

_EXAMPLE = {
    "revision": "4f1c2a9b7d3e5f60718293a4b5c6d7e8f9012345",
    "objects": [
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "namespace": "prod",
            "name": "checkout-api",
            "status": "applied",
            "message": "",
        }
    ],
}


def _cut(value: object) -> object:
    """A message may quote a whole object: its beginning is enough. NUL is no text that PostgreSQL takes."""
    return value.replace("\0", "")[:LONGEST_MESSAGE] if isinstance(value, str) else value


def _or_empty(value: object) -> object:
    return "" if value is None else value


class ReportedObject(Pushed):
    """One object of the desired state. ``namespace`` is empty or left out for cluster-scoped ones."""

    api_version: Annotated[str, Field(pattern=r"^([a-z0-9]([-.a-z0-9]*[a-z0-9])?/)?[a-z0-9]+$", max_length=253)]
    kind: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=63)]
    namespace: Annotated[ObservedName, BeforeValidator(_or_empty)] = ""
    name: Annotated[ObservedName, Field(min_length=1)]
    status: Literal["applied", "failed", "drifted"]
    message: Annotated[str, BeforeValidator(_cut), BeforeValidator(_or_empty)] = ""


class ReportBody(Pushed):
    """The revision that the agent has brought about, and what came of each object."""

    revision: Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
    objects: Annotated[list[ReportedObject], Field(max_length=MOST_OBJECTS)]


class Noted(Model):
    """The report is stored."""

    ok: Literal[True] = True


@router.post(
    "/api/v1/agents/{agent_id}/scaling/status",
    summary="Report applied objects",
    responses=documented(400, 401, 403, 404, 503),
)
def report_status(
    agent: Annotated[Agent, Depends(this_agent)],
    server: HasServer,
    body: Annotated[ReportBody, Body(openapi_examples={"applied": {"value": _EXAMPLE}})],
) -> Noted:
    """The newest report of an agent counts. A change is applied once the reported revision contains its commit; a
    drifted or failed object shows as `applyHealth` of its policy. A revision that the fleet repo does not know is
    taken, and proves nothing.
    """
    steward, cluster, _ = place_of(server, agent)
    report = StatusReport(
        agent_id=agent.id,
        cluster=cluster.name,
        revision=body.revision,
        at=server.clock(),
        objects=tuple(ObjectStatus.model_validate(one.model_dump()) for one in body.objects),
    )
    server.heard[agent.id] = report.at
    server.stores.reports.keep(report)
    steward.ask(lambda house: prove(house, cluster, report)).add_done_callback(_say_failure)
    return Noted()


def _say_failure(future: "Future[Any]") -> None:
    """The report is stored, and the next one proves what this one could not."""
    if not future.cancelled() and (error := future.exception()) is not None:
        log.warning("status report proves nothing", error=str(error))
