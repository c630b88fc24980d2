"""``POST /api/v1/agents/{agentId}/push``: the one route that a thousand agents call every fifteen seconds.

The body goes straight from its bytes into the model, and the framework's resolving of dependencies, which would cost as
much as all the rest together, is left out. The route is documented as every other.
"""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Body, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError

from api.agents.intake import Intake
from api.agents.schemas import PUSH_EXAMPLES
from api.auth import porter_of, server_of, this_agent
from api.errors import BadRequest
from reconciler.model.agent import AHEAD, Agent
from reconciler.model.observation import PushBody

_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_OK = b'{"ok":true}'
_NOT_A_NAME = "must be a name: no slash, no control character, no dot beside a dot or at the end"
_NOT_A_LINE = "must be one line of text, without control characters"


class FromBytes(APIRoute):
    """A route of an agent whose handler is given the agent and the body; both are read here."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        async def handle(request: Request) -> Response:
            agent = await porter_of(request).agent(request, request.path_params["agent_id"])
            raw = await request.body()
            return await push(request, agent, read_push(raw, server_of(request).clock()))

        return handle


async def push(
    request: Request,
    agent: Annotated[Agent, Depends(this_agent)],
    body: Annotated[PushBody, Body(openapi_examples=PUSH_EXAMPLES)],
) -> Response:
    """Deliver what is measured now. A list that is not sent stays as it was; an empty one empties it.

    Repeating a push (the same `timestamp` and `part`) changes nothing. Measurements from the past go into the history;
    a `timestamp` more than five minutes ahead is refused. Fields that the server does not know are ignored.
    """
    intake_of(request).take(agent, body, len(await request.body()))
    return Response(_OK, media_type="application/json")


def intake_of(request: Request) -> Intake:
    """The intake of the application that a request came to; made with the first push."""
    state = request.app.state
    if not hasattr(state, "intake"):
        state.intake = Intake(state.server)
    found = state.intake
    assert isinstance(found, Intake)
    return found


def read_push(raw: bytes, now: datetime) -> PushBody:
    """A push body, checked.

    :raises RequestValidationError: when it has not the form of one. :raises BadRequest: when what it says cannot be.
    """
    try:
        body = PushBody.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise _invalid(error) from None
    if body.timestamp.tzinfo is None:
        raise _wrong("timestamp", "has no offset from UTC: end it with Z")
    if body.timestamp > now + AHEAD:
        raise _wrong("timestamp", "is more than five minutes ahead of the server: set the clock of the agent's host")
    if body.timestamp < _EARLIEST:
        raise _wrong("timestamp", "is before the year 2000: set the clock of the agent's host")
    if body.part >= body.parts:
        raise _wrong("part", f"must be less than parts ({body.parts}): parts are counted from 0")
    return body


def _wrong(field: str, message: str) -> BadRequest:
    return BadRequest(f"{field}: {message}", field=field)


def _invalid(error: ValidationError) -> Exception:
    found = error.errors(include_url=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return BadRequest(f"the body is not valid JSON: {found[0].get('ctx', {}).get('error', 'unreadable')}")
    return RequestValidationError([{**one, "loc": ("body", *one["loc"]), "msg": _said(one)} for one in found])


def _said(error: Any) -> str:
    """Pydantic's words; a pattern in words."""
    if error["type"] != "string_pattern_mismatch":
        return str(error["msg"])
    return _NOT_A_NAME if "/" in error["ctx"]["pattern"] else _NOT_A_LINE
