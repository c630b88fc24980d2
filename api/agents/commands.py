"""The command channel of Docker agents: a long poll for the next command, and what came of it."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.agents.bell import Bell
from api.auth import HasServer, this_agent
from api.errors import NotFound, documented
from api.server import Server
from reconciler.model.agent import Agent, Command
from reconciler.steps.answering import record_answer

router = APIRouter(tags=["Agents"])

LONGEST_WAIT_SECONDS = 60
_LONGEST_MESSAGE = 2000
_COMMAND_ID = re.compile(r"cmd_[0-9a-f]{1,64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")

_COMMAND_EXAMPLE: dict[str, Any] = {
    "command_id": "cmd_3f9a1c7be2d84056af01c2d3e4",
    "type": "docker.scale",
    "policyId": "scp_1718000000000000000",
    "payload": {"hostPool": "web-pool", "group": "web", "replicas": 3, "fromReplicas": 2, "lbPoolRef": None},
    "issued_at": "2026-06-30T08:12:04Z",
    "expires_at": "2026-06-30T08:14:04Z",
}


class ScalePayload(BaseModel):
    """How many containers of the group this host is to run."""

    hostPool: str  # noqa: N815 - as the document spells it
    group: str
    replicas: int = Field(description="Containers of the group that this host is to run.")
    fromReplicas: int = Field(description="How many it ran before, as far as the server knows.")  # noqa: N815
    lbPoolRef: str | None  # noqa: N815


class CommandBody(BaseModel):
    """One command. Delivered again until it is answered or has expired: the executor is idempotent on ``command_id``."""

    model_config = ConfigDict(json_schema_extra={"examples": [_COMMAND_EXAMPLE]})

    command_id: str
    type: Literal["docker.scale"]
    policyId: str = Field(description="Empty when no policy is behind it.")  # noqa: N815
    payload: ScalePayload
    issued_at: datetime
    expires_at: datetime


class ResultBody(BaseModel):
    """What came of a command."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"status": "succeeded", "message": "started web-3 in 2.1 s"}]}
    )

    status: Literal["succeeded", "failed"]
    message: str | None = Field(default=None, description="For people; kept up to 2,000 characters.")


class Ok(BaseModel):
    """Taken."""

    ok: Literal[True] = True


@router.get(
    "/api/v1/agents/{agent_id}/commands",
    summary="Wait for a command",
    response_model=CommandBody,
    responses={
        200: {"description": "The oldest command that waits for this agent."},
        204: {"description": "None has come within the wait."},
        **documented(400, 401, 403),
    },
)
async def next_command(
    request: Request,
    agent: Annotated[Agent, Depends(this_agent)],
    server: HasServer,
    wait: Annotated[int, Query(ge=0, le=LONGEST_WAIT_SECONDS, description="Seconds to wait for one to come.")] = 25,
) -> Any:
    """Long-poll: answers as soon as there is a command, else with 204 when the wait is over. The agent then polls again.

    A poll is a sign of life. Kubernetes agents may poll, too; they pull what they are to do, and get a 204.
    """
    server.heard[agent.id] = server.clock()
    command = await bell_of(request).next_command(agent.id, wait)
    server.heard[agent.id] = server.clock()
    return Response(status_code=204) if command is None else _body(command)


@router.post(
    "/api/v1/agents/{agent_id}/commands/{command_id}/result",
    summary="Report what came of a command",
    response_model=Ok,
    responses={
        200: {"description": "Taken; of several results the first one counts."},
        **documented(400, 401, 403, 404),
    },
)
def report_result(
    command_id: str, body: ResultBody, agent: Annotated[Agent, Depends(this_agent)], server: HasServer
) -> Ok:
    """Record the outcome, once: the first result wins, and every later one is answered the same.

    A failure is shown on the policy and in the decision log. The host is told the same again after ten minutes, or
    something else as soon as that is decided.
    """
    server.heard[agent.id] = server.clock()
    steward = server.host_pool(agent.organization, agent.host_pool)
    fleet = steward.watch.url if steward is not None else ""
    found = None
    if _COMMAND_ID.fullmatch(command_id):
        message = " ".join(_CONTROL.sub(" ", body.message or "").split())[:_LONGEST_MESSAGE]
        found = record_answer(server.stores, fleet, agent.id, command_id, body.status, message, server.clock())
    if found is None:
        raise NotFound("this agent was given no such command")
    _, first = found
    if first and steward is not None:
        server.nudge([steward])  # so that the policy shows it soon
    return Ok()


def _body(command: Command) -> CommandBody:
    payload = command.payload
    return CommandBody(
        command_id=command.id,
        type=command.type,
        policyId=command.policy_id,
        payload=ScalePayload(
            hostPool=payload.host_pool,
            group=payload.group,
            replicas=payload.replicas,
            fromReplicas=payload.from_replicas,
            lbPoolRef=payload.lb_pool_ref,
        ),
        issued_at=command.issued_at,
        expires_at=command.expires_at,
    )


def bell_of(request: Request) -> Bell:
    """The bell of the application that a request came to."""
    state = request.app.state
    known: Bell | None = getattr(state, "bell", None)
    if known is None:
        server: Server = state.server
        known = state.bell = Bell(server)
    return known
