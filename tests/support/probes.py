"""Routes that stand in for a family's in tests of what every request goes through."""

from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict, Field

from api.app import create_app
from api.auth import Principal, needs, this_agent
from api.errors import Conflict, documented
from api.middleware import Tell
from api.server import Server
from reconciler.errors import InputError, NothingToRollBack, RetryLater, Stalled
from reconciler.model.agent import Agent

FAILURES = {
    "conflict": Conflict("there is one already", field="targetRef"),
    "input": InputError("trimtab.yaml cannot be read", hint="see line 3"),
    "nothing": NothingToRollBack("nothing to roll back"),
    "later": RetryLater("the remote is away", after_seconds=7.2),
    "stalled": Stalled("no permission", hint="give the key write access"),
    "slow": TimeoutError(),
    "defect": ValueError("the secret is hunter2"),
}


class Thing(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cpuTargetPercent: int = Field(ge=1, le=100)  # noqa: N815
    parts: list["Thing"] = []


router = APIRouter(prefix="/probe")


@router.get("/who", responses=documented(404))
def who(principal: Annotated[Principal, Depends(needs("scaling:read"))]) -> dict[str, str]:
    return {"id": principal.id, "organization": principal.organization, "name": principal.name}


@router.post("/who", status_code=201)
def write(body: Thing, _principal: Annotated[Principal, Depends(needs("scaling:write"))]) -> dict[str, int]:
    return {"cpuTargetPercent": body.cpuTargetPercent}


@router.get("/agents/{agent_id}")
async def me(agent: Annotated[Agent, Depends(this_agent)]) -> dict[str, str]:
    return {"id": agent.id, "cluster": agent.cluster}


@router.get("/agents/{agent_id}/plain")
def me_too(agent: Annotated[Agent, Depends(this_agent)]) -> dict[str, str]:
    return {"id": agent.id}


@router.get("/fails/{how}")
def fails(how: str) -> None:
    raise FAILURES[how]


@router.post("/raw")
async def raw(request: Request) -> dict[str, int]:
    return {"bytes": len(await request.body())}


@router.get("/limited")
def limited(limit: int = 100) -> dict[str, int]:
    return {"limit": limit}


def probed(server: Server, **more: Tell) -> FastAPI:
    """The application with these routes, too."""
    app = create_app(server, **more)
    app.include_router(router)
    return app


def client_of(server: Server) -> TestClient:
    """A client of such an application, without credentials."""
    return TestClient(probed(server), raise_server_exceptions=False)
