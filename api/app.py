"""The application: every family's routes, errors in each family's shape, and what every request goes through."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.agents import commands, desired, reports
from api.agents import routes as agents
from api.changes import routes as changes
from api.errors import ApiError
from api.scaling import decisions, policies, rollback
from api.server import Server
from api.status import routes as status
from reconciler import __version__
from reconciler.errors import InputError, NothingToRollBack, RetryLater, TrimtabError


def create_app(server: Server) -> FastAPI:
    """The whole API over one :class:`Server`."""
    app = FastAPI(title="Trimtab", version=__version__)
    app.state.server = server
    for part in (agents, commands, desired, reports, policies, decisions, rollback, changes, status):
        app.include_router(part.router)
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(TrimtabError, _trimtab_error)
    return app


def _body(message: str, field: str | None = None) -> dict[str, str]:
    return {"error": message, **({"field": field} if field else {})}


def _api_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return JSONResponse(_body(error.message, error.field), error.status, headers=error.headers)


def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    return JSONResponse(_body(f"{field}: {first['msg']}" if field else str(first["msg"]), field or None), 400)


def _http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse(_body(str(error.detail)), error.status_code, headers=error.headers)


def _trimtab_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TrimtabError)
    if isinstance(error, RetryLater):
        return JSONResponse(_body(error.message), 503, headers={"Retry-After": str(int(error.after_seconds) + 1)})
    return JSONResponse(_body(error.message), 400 if isinstance(error, InputError | NothingToRollBack) else 503)
