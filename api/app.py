"""The application: every family's routes, errors in each family's shape, and what every request goes through."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException

from api import document, health, metrics
from api.actions import completed, configs, heartbeats, runs, sync
from api.agents import base, commands, desired, reports
from api.agents import routes as agents
from api.auth import Porter
from api.changes import routes as changes
from api.errors import ApiError, Problem, TooManyRequests, in_family, shape_of
from api.invalid import problem_of
from api.licence import Licensing
from api.lxc import about, clones, resources, scale, snapshots
from api.middleware import BodyLimit, EveryRequest, HeadAsGet, ReadablePath, Tell
from api.recommendations import routes as recommendations
from api.scaling import decisions, policies, rollback
from api.server import Server
from api.status import routes as status
from reconciler import __version__
from reconciler.errors import HeldByWindow, InputError, NothingToRollBack, RetryLater, TrimtabError

_SOON_SECONDS = 5
_ASKED_WRONGLY = (InputError, NothingToRollBack, HeldByWindow)


def create_app(server: Server, *, tell: Tell = lambda _answered: None) -> FastAPI:
    """The whole API over one :class:`Server`. ``tell`` hears of every request that is over, for metrics.

    :raises InputError: when the rate limit in the settings cannot be read, or the licence cannot be used.
    """
    app = FastAPI(title="Trimtab", version=__version__, redoc_url=None, redirect_slashes=False)
    app.state.server = server
    app.state.porter = Porter(server)
    app.state.licensing = Licensing(server)
    for part in (agents, commands, desired, base, reports, policies, decisions, rollback, changes, status):
        app.include_router(part.router)
    for part in (configs, completed, runs, heartbeats, sync):
        app.include_router(part.router)
    app.include_router(recommendations.router)
    for part in (scale, snapshots, clones, resources, about):
        app.include_router(part.router)
    app.include_router(health.router)
    app.include_router(metrics.router)
    for kind, describe in _KINDS:
        app.add_exception_handler(kind, _answering(describe))
    app.add_middleware(HeadAsGet)
    app.add_middleware(ReadablePath)
    app.add_middleware(BodyLimit)
    app.add_middleware(EveryRequest, tell=tell)  # the outermost: added last
    document.install(app)
    return app


Describe = Callable[[Request, Any], Problem]


def _answering(describe: Describe) -> Callable[[Request, Exception], JSONResponse]:
    async def answer(request: Request, error: Exception) -> JSONResponse:
        problem = in_family(describe(request, error), request.scope["path"])
        now = request.app.state.server.clock()
        body = shape_of(request.scope["path"])(problem, request.state.request_id, now)
        return JSONResponse(body, problem.status, headers=dict(problem.headers))

    return answer  # type: ignore[return-value] # Starlette takes async handlers, and runs plain ones in a thread


def _api_error(_request: Request, error: ApiError) -> Problem:
    rate = error.rate if isinstance(error, TooManyRequests) else (0, 0)
    return Problem(error.status, error.message, error.field, error.headers, error.code, error.details, rate)


def _invalid(_request: Request, error: RequestValidationError) -> Problem:
    return problem_of(error.errors())


def _http_error(request: Request, error: HTTPException) -> Problem:
    """What the framework answers by itself, in words that help."""
    headers = dict(error.headers or {})
    if error.status_code == 405:
        allowed = _methods(request) or headers.get("Allow", "")
        message = f"{request.method} is not possible here: use {allowed}"
        return Problem(405, message, headers=headers | {"Allow": allowed})
    if error.status_code == 404 and error.detail == HTTPStatus.NOT_FOUND.phrase:
        return Problem(404, "there is nothing at this path: /docs shows all there are", headers=headers)
    if error.status_code == 400 and error.detail == "There was an error parsing the body":
        return Problem(400, "the body cannot be read as JSON", headers=headers)
    return Problem(error.status_code, str(error.detail), headers=headers)


def _methods(request: Request) -> str:
    """All the methods of the path that was asked for; the framework names those of one of its routes."""
    template = getattr(request.scope.get("route"), "path", "")
    found: dict[str, Any] = request.app.openapi()["paths"].get(template, {})
    return ", ".join(sorted(method.upper() for method in found))


def _trimtab_error(_request: Request, error: TrimtabError) -> Problem:
    words = f"{error.where}: {error.message}" if error.where else error.message
    message = f"{words}: {error.hint}" if error.hint else words
    if isinstance(error, RetryLater):
        return Problem(503, message, headers={"Retry-After": str(int(error.after_seconds) + 1)})
    return Problem(400 if isinstance(error, _ASKED_WRONGLY) else 503, message)


def _not_now(_request: Request, error: Exception) -> Problem:
    """The database is away or locked, or the steward was too busy to answer in time."""
    what = "the database cannot be used" if isinstance(error, OperationalError) else "this took too long"
    return Problem(503, f"{what} just now: try again in a moment", headers={"Retry-After": str(_SOON_SECONDS)})


_KINDS: tuple[tuple[type[Exception], Describe], ...] = (
    (ApiError, _api_error),
    (RequestValidationError, _invalid),
    (HTTPException, _http_error),
    (TrimtabError, _trimtab_error),
    (OperationalError, _not_now),
    (TimeoutError, _not_now),
)
