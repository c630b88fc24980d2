"""What a cluster's agent says came of the desired state."""

from concurrent.futures import Future
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Body, Depends
from pydantic import BeforeValidator, Field

from api.agents.answers import place_of
from api.auth import HasServer, this_agent
from api.errors import documented
from reconciler.model.agent import Agent, Health, ObjectStatus, RootStatus, StatusReport
from reconciler.model.base import Model
from reconciler.model.observation import TEXT_PATTERN, ObservedName, ObservedText, Pushed
from reconciler.steps.proofs import prove

router = APIRouter(tags=["Agents"])
log = structlog.get_logger(__name__)

MOST_OBJECTS = 10_000
MOST_ROOTS = 1_000
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
            "health": "healthy",
        }
    ],
    "roots": [],
}
_ROOTS_EXAMPLE = {
    "revision": "4f1c2a9b7d3e5f60718293a4b5c6d7e8f9012345",
    "objects": [],
    "roots": [
        {
            "path": "clusters/prod-eu-west-1",
            "sync": "argocd",
            "source": "Application argocd/prod",
            "revision": "4f1c2a9b7d3e5f60718293a4b5c6d7e8f9012345",
            "synced": True,
            "health": "healthy",
            "message": "",
        }
    ],
}


def _cut(value: object) -> object:
    """A message may quote a whole object: its beginning is enough. NUL is no text that PostgreSQL takes."""
    return value.replace("\0", "")[:LONGEST_MESSAGE] if isinstance(value, str) else value


def _or_empty(value: object) -> object:
    return "" if value is None else value


def _or_unknown(value: object) -> object:
    return "unknown" if value is None else value


ReportedHealth = Annotated[Health, BeforeValidator(_or_unknown)]
Message = Annotated[str, BeforeValidator(_cut), BeforeValidator(_or_empty)]


class ReportedIdentity(Pushed):
    """An object in the cluster. ``namespace`` is empty or left out for cluster-scoped ones."""

    api_version: Annotated[str, Field(pattern=r"^([a-z0-9]([-.a-z0-9]*[a-z0-9])?/)?[a-z0-9]+$", max_length=253)]
    kind: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=63)]
    namespace: Annotated[ObservedName, BeforeValidator(_or_empty)] = ""
    name: Annotated[ObservedName, Field(min_length=1)]


class ReportedObject(ReportedIdentity):
    """One object of the desired state. ``health``: of a workload, whether its rollout is complete; ``unknown`` where nobody
    looked."""

    status: Literal["applied", "failed", "drifted"]
    message: Message = ""
    health: ReportedHealth = "unknown"


class ReportedRoot(Pushed):
    """What Argo CD or Flux says of one root. ``source``: the object that says so; empty where none was found, and
    ``message`` says what to do. ``revision``: what it has synced, empty until something was."""

    path: Annotated[str, Field(max_length=1024, pattern=TEXT_PATTERN)]
    sync: Literal["argocd", "flux"]
    source: Annotated[ObservedText, BeforeValidator(_or_empty)] = ""
    revision: Annotated[str, BeforeValidator(_or_empty), Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})?$")] = ""
    synced: bool = False
    health: ReportedHealth = "unknown"
    message: Message = ""


class ReportBody(Pushed):
    """The revision that the agent has brought about, and what came of each object."""

    revision: Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
    objects: Annotated[list[ReportedObject], Field(max_length=MOST_OBJECTS)]
    roots: Annotated[list[ReportedRoot], Field(max_length=MOST_ROOTS)] = []


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
    body: Annotated[
        ReportBody, Body(openapi_examples={"applied": {"value": _EXAMPLE}, "argocd": {"value": _ROOTS_EXAMPLE}})
    ],
) -> Noted:
    """The newest report of an agent counts. A change is applied once the reported revision contains its commit; a
    drifted or failed object shows as `applyHealth` of its policy. Of a root that Argo CD or Flux brings about, `roots` says
    what that has synced, and how healthy it is. A revision that the fleet repo does not know is taken, and proves nothing.
    """
    steward, cluster, _ = place_of(server, agent)
    report = StatusReport(
        agent_id=agent.id,
        cluster=cluster.name,
        revision=body.revision,
        at=server.clock(),
        objects=tuple(ObjectStatus.model_validate(one.model_dump()) for one in body.objects),
        roots=tuple(RootStatus.model_validate(one.model_dump()) for one in body.roots),
    )
    server.heard[agent.id] = report.at
    server.stores.reports.keep(report)
    fleet = steward.watch.fleet
    every = fleet.clusters if fleet is not None else (cluster,)
    steward.ask(lambda house: prove(house, cluster, report, every)).add_done_callback(_say_failure)
    return Noted()


def _say_failure(future: "Future[Any]") -> None:
    """The report is stored, and the next one proves what this one could not."""
    if not future.cancelled() and (error := future.exception()) is not None:
        log.warning("status report proves nothing", error=str(error))
