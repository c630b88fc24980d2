"""Every error that the API answers with, and the only place that knows status codes of errors (DESIGN §9).

A route raises one of these classes and documents its statuses by ``responses=documented(400, 401, 403, 404)``.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from uuid import uuid4

from pydantic import BaseModel, Field

REQUEST_ID = "X-Request-Id"
_SANE_ID = re.compile(r"[!-~]{1,128}")


class ApiError(Exception):
    """An answer that is not a success. ``field`` is the field of the request that it is about, as the client spells it."""

    status: ClassVar[int] = 500

    def __init__(self, message: str, *, field: str | None = None, headers: dict[str, str] | None = None) -> None:
        self.message, self.field, self.headers = message, field, headers or {}
        super().__init__(message)


class BadRequest(ApiError):
    """The request cannot be used as it is."""

    status = 400


class Unauthorized(ApiError):
    """No credentials, or wrong ones."""

    status = 401


class Lapsed(Unauthorized):
    """Credentials that were good once: they have expired, or what they belong to is gone. Nobody is guessing here."""


class Forbidden(ApiError):
    """Known, and not allowed."""

    status = 403


class NotFound(ApiError):
    """Not there, or somebody else's: nobody is told which."""

    status = 404


class Conflict(ApiError):
    """Something else stands in the way: a second policy on one target, a policy that is declared in Git."""

    status = 409


class TooLarge(ApiError):
    """The body is over the limit."""

    status = 413


class TooManyRequests(ApiError):
    """Over the rate limit; ``Retry-After`` says for how long."""

    status = 429


class Unavailable(ApiError):
    """Not now: the fleet repo, or the database, cannot be used."""

    status = 503


class ErrorBody(BaseModel):
    """What every error of the Scaling and Agents families, and of everything beside the five families, looks like."""

    error: str = Field(description="What is wrong and what to do about it, for people.")
    field: str = Field(
        default="",
        description="The field of the request that it is about, dotted, as the client spells it; absent otherwise.",
    )
    requestId: str = Field(description="The same as the header X-Request-Id; the server's log has it, too.")  # noqa: N815


@dataclasses.dataclass(frozen=True)
class Problem:
    """One error on its way out, before it has taken its family's shape."""

    status: int
    message: str
    field: str | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


Shape = Callable[[Problem, str], dict[str, Any]]
"""From a problem and the request's id to the body that the family's document shows."""


def plain_shape(problem: Problem, request_id: str) -> dict[str, Any]:
    """:class:`ErrorBody`."""
    about = {"field": encodable(problem.field)} if problem.field else {}
    return {"error": encodable(problem.message), **about, "requestId": request_id}


SHAPES: tuple[tuple[str, Shape], ...] = ()
"""Families whose document shows another shape, each by the start of its paths; the first that fits is taken."""


def shape_of(path: str) -> Shape:
    """The shape of the errors under a path."""
    return next((shape for start, shape in SHAPES if path.startswith(start)), plain_shape)


def encodable(text: str) -> str:
    """Without the lone surrogates that JSON may carry and UTF-8 may not."""
    return text.encode("utf-8", "replace").decode("utf-8")


def request_id_of(given: str | None) -> str:
    """The id that the client sent, when it can be put into a header and a log line as it is; else a new one."""
    return given if given and _SANE_ID.fullmatch(given) else uuid4().hex


_MEANINGS = {
    400: ("The request cannot be used as it is.", "cpuTargetPercent: must be at most 100", "cpuTargetPercent"),
    401: ("No credentials, or wrong ones.", "the key is not valid, or was revoked", ""),
    403: ("The credentials are good, and do not allow this.", "the scope scaling:write is needed", ""),
    404: ("Not there, or another organization's.", "there is no policy scp_1718000000000000000", ""),
    409: ("Something else stands in the way.", "the policy is declared in policies/web.yaml: change it there", ""),
    413: ("The body is over 2 MB.", "the body is over 2 MB: send it in parts", ""),
    429: ("Over the rate limit.", "too many requests: try again in 12 seconds", ""),
    500: ("A fault of the server's.", "the server could not answer: its log has more under this requestId", ""),
    503: ("Not now; trying again later helps.", "the fleet repo cannot be reached: try again in 30 seconds", ""),
}
_WAIT_HEADER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For ``responses=``: each status with its meaning, :class:`ErrorBody` and an example.

    413, 429 and 500, and 401 and 403 where credentials are needed, are added to the document by :mod:`api.app`.
    """
    return {status: _documented(status) for status in statuses}


def _documented(status: int) -> dict[str, Any]:
    meaning, message, about = _MEANINGS[status]
    example = {"error": message, **({"field": about} if about else {}), "requestId": "5f0c3a9e4b7d4c0e9a6b1d2f3c4e5a6b"}
    entry = {"model": ErrorBody, "description": meaning, "content": {"application/json": {"example": example}}}
    return entry | ({"headers": _WAIT_HEADER} if status in (429, 503) else {})
