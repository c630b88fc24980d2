"""What every request goes through: an id, one line of log, a limit on its body, and an answer even when all else fails.

Plain ASGI: each layer costs microseconds, and none holds a body.
"""

import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import anyio
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import REQUEST_ID, Problem, in_family, request_id_of, shape_of
from reconciler.clock import stopwatch, system_clock

BODY_LIMIT = 2 * 1024 * 1024
"""Bytes of one request's body (DESIGN §8)."""

_DRAINED = 64 * 1024 * 1024
_DRAIN_SECONDS = 30.0
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Answered:
    """One request that is over. ``route`` is the template, such as ``/api/v1/agents/{agent_id}``; empty for no route's."""

    method: str
    route: str
    status: int
    seconds: float


Tell = Callable[[Answered], None]


class EveryRequest:
    """The request's id on the answer and on every line of log, one line for the request, 500 for what nobody caught.

    The line is at level info; at debug for what an agent asked for by its own token and got.
    """

    def __init__(self, app: ASGIApp, tell: Tell = lambda _answered: None) -> None:
        self._app, self._tell = app, tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(Headers(scope=scope).get(REQUEST_ID))
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        bound = structlog.contextvars.bind_contextvars(request_id=request_id)
        elapsed, status = stopwatch(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message.setdefault("headers", [])
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            log.info("client went away")
        except Exception:
            # as text: a log that shows the variables of each frame would show keys and tokens
            log.error("request failed", exception=traceback.format_exc())
            if status:
                raise
            await answer(_FAULT, scope, receive, send_with_id)
        finally:
            self._over(scope, status, elapsed())
            structlog.contextvars.reset_contextvars(**bound)

    def _over(self, scope: Scope, status: int, seconds: float) -> None:
        template = getattr(scope.get("route"), "path", "")
        self._tell(Answered(scope["method"], template, status, seconds))
        if template in _QUIET and status < 500:
            return
        state = scope["state"]
        who = {name: state[name] for name in ("organization", "principal") if name in state}
        # What goes well all day long: a line for each of a thousand agents' requests would hide all others, and cost as
        # much as a push.
        say = log.debug if state.get("routine") and status < 400 else log.info
        say(
            "request",
            method=scope["method"],
            route=template or "none",
            status=status,
            ms=round(seconds * 1000, 1),
            **who,
        )


class BodyLimit:
    """413 for a body over the limit, once it has been read to its end, so that the client is there to hear it.

    A body that says its length is judged before anything else; one in chunks as soon as it has grown too long. At
    most 64 MB are read for half a minute, and then the connection is closed.
    """

    def __init__(self, app: ASGIApp, limit: int = BODY_LIMIT) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > self._limit:
            waits = headers.get("expect", "").lower() == "100-continue"
            drained = not waits and await _drain(receive, int(length[:20]))
            await answer(self._problem(drained), scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > self._limit:
                    problem = self._problem(not message.get("more_body") or await _drain(receive, seen))
                    # FastAPI passes this one on, where it would make a 400 of any other
                    raise HTTPException(problem.status, problem.message, dict(problem.headers))
            return message

        await self._app(scope, counted, send)

    def _problem(self, drained: bool) -> Problem:
        message = f"the body is over {self._limit // 1024 // 1024} MB: send less at once"
        return Problem(413, message, headers={} if drained else {"Connection": "close"})


async def _drain(receive: Receive, seen: int) -> bool:
    """Read and forget the rest of the body; False when there is too much of it, or it takes too long."""
    if seen > _DRAINED:
        return False
    with anyio.move_on_after(_DRAIN_SECONDS):
        while seen <= _DRAINED:
            message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                return True
            seen += len(message.get("body", b""))
    return False


class HeadAsGet:
    """HEAD is answered as GET would be, without the body: probes and clients ask so whether something is there."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        as_get = {**scope, "method": "GET"}
        try:
            await self._app(as_get, receive, without_body)
        finally:
            scope.update({name: as_get[name] for name in ("route",) if name in as_get})  # for the log and the metrics


class ReadablePath:
    """400 for a path or query with a NUL, which no name has and no database stores."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and ("\0" in scope["path"] or b"%00" in scope.get("query_string", b"")):
            await answer(Problem(400, "the URL holds a NUL character: leave it out"), scope, receive, send)
            return
        await self._app(scope, receive, send)


_FAULT = Problem(500, "the server could not answer: its log has more under this requestId")


async def answer(problem: Problem, scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer with a problem, in the shape of the path's family."""
    problem = in_family(problem, scope["path"])
    app = scope.get("app")  # not there where the layers are used without an application
    now = app.state.server.clock() if app else system_clock()
    body = json.dumps(shape_of(scope["path"])(problem, scope["state"]["request_id"], now)).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **problem.headers}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
