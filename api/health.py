"""Whether the process lives, and whether it can serve."""

from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import SQLAlchemyError

from api.auth import HasServer
from api.server import Server
from reconciler.commit.credentials import scrub
from reconciler.errors import TrimtabError

router = APIRouter(tags=["Operations"])
log = structlog.get_logger(__name__)


class Healthy(BaseModel):
    """All is well."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok"}]})

    status: Literal["ok"] = "ok"


class Unready(BaseModel):
    """Not now, and why not."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"status": "unavailable", "reasons": ["fleet repo 1 of 1: https://git.example.com/fleet.git is away"]}
            ]
        }
    )

    status: Literal["unavailable"] = "unavailable"
    reasons: Annotated[list[str], Field(description="For people: what has to be mended first.")]


_UNREADY: dict[int | str, dict[str, Any]] = {
    503: {"model": Unready, "description": "The database does not answer, or a fleet repo could not be read yet."}
}


@router.get("/healthz", summary="Whether the process lives")
async def healthz() -> Healthy:
    """200 for as long as the process lives. Needs no credentials."""
    return Healthy()


@router.get("/readyz", summary="Whether the server can serve", responses=_UNREADY, response_model=Healthy)
def readyz(server: HasServer, response: Response) -> Healthy | Response:
    """200 when the database answers, and every fleet repo has been read at least once. Needs no credentials."""
    response.headers["Cache-Control"] = "no-store"
    reasons = [*_stopping(server), *_database(server), *_fleets(server)]
    if not reasons:
        return Healthy()
    return Response(Unready(reasons=reasons).model_dump_json(), 503, {"Cache-Control": "no-store"}, "application/json")


def _stopping(server: Server) -> list[str]:
    return ["the server is stopping"] if server.closing.is_set() else []


def _database(server: Server) -> list[str]:
    try:
        server.stores.inputs_version()
    except TrimtabError as error:
        return [scrub(error.message)]
    except SQLAlchemyError as error:
        log.warning("the database does not answer", error=str(error))
        return ["the database does not answer"]
    return []


def _fleets(server: Server) -> list[str]:
    """The fleet repos by their place on the command line: this page is public, their names need not be."""
    count = len(server.stewards)
    return [
        f"fleet repo {number} of {count}: {scrub(steward.watch.error) or 'is being read'}"
        for number, steward in enumerate(server.stewards, 1)
        if steward.watch.fleet is None
    ]
