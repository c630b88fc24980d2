"""Every error that the API answers with, and the only place that knows status codes of errors (DESIGN §9).

A route raises one of these classes and documents its statuses by ``responses=documented(400, 401, 403, 404)``.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from ulid import ULID

from api.instants import rfc3339

REQUEST_ID = "X-Request-Id"
_SANE_ID = re.compile(r"[!-~]{1,128}")


class ApiError(Exception):
    """An answer that is not a success. ``field`` is the field of the request that it is about, as the client spells it."""

    status: ClassVar[int] = 500

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        headers: dict[str, str] | None = None,
        code: str = "",
        details: tuple[dict[str, Any], ...] = (),
    ) -> None:
        """``code`` and ``details``: for families whose errors carry a word for machines; empty = the status' own."""
        self.message, self.field, self.headers, self.code, self.details = message, field, headers or {}, code, details
        super().__init__(message)


class BadRequest(ApiError):
    """The request cannot be used as it is."""

    status = 400


class Unauthorized(ApiError):
    """No credentials, or wrong ones."""

    status = 401


class Lapsed(Unauthorized):
    """Credentials that were good once: they have expired, or what they belong to is gone. Nobody is guessing here."""


class PaymentRequired(ApiError):
    """The licence has expired, or what it allows is exceeded (Actions API)."""

    status = 402


class Forbidden(ApiError):
    """Known, and not allowed."""

    status = 403


class NotFound(ApiError):
    """Not there, or somebody else's: nobody is told which."""

    status = 404


class Conflict(ApiError):
    """Something else stands in the way: a second policy on one target, a policy that is declared in Git."""

    status = 409


class Gone(ApiError):
    """A cursor that is not good any more."""

    status = 410


class Unprocessable(ApiError):
    """Understood, and outside of what is allowed (Recommendations API)."""

    status = 422


class TooLarge(ApiError):
    """The body is over the limit."""

    status = 413


class TooManyRequests(ApiError):
    """Over the rate limit; ``Retry-After`` says for how long. ``rate``: how many requests in how many seconds."""

    status = 429
    rate: tuple[int, int] = (0, 0)


class Failed(ApiError):
    """What was asked for was tried, and did not work: the message is what the other side said (LXC API)."""

    status = 500


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


class ActionsErrorBody(BaseModel):
    """What every error of the Actions API looks like."""

    code: int = Field(description="The status of the answer.")
    status: Literal["error"]
    message: str = Field(description="What is wrong and what to do about it, for people.")


class LxcErrorBody(BaseModel):
    """What every error of the LXC API looks like."""

    status: Literal["error"]
    error: str = Field(description="What is wrong and what to do about it, for people.")
    details: str = Field(default="", description="Of a 500: what went wrong, and the next step.")
    retry_after_seconds: int = Field(default=0, description="Of a 429: when to try again.")
    limit: int = Field(default=0, description="Of a 429: how many requests may be made in `window_seconds`.")
    window_seconds: int = Field(default=0, description="Of a 429.")


class RecommendationsErrorMeta(BaseModel):
    """When it was answered, and the request's id."""

    request_id: str = Field(description="The same as the header X-Request-Id; the server's log has it, too.")
    applied_at: datetime


class RecommendationsErrorDetail(BaseModel):
    """One field of the request, and what is wrong with it; ``allowed`` where there is a list to choose from."""

    model_config = ConfigDict(extra="allow")

    field: str
    reason: str


class RecommendationsErrorWords(BaseModel):
    """``code`` is for machines, ``message`` for people."""

    code: str = Field(description="Such as BAD_REQUEST, CLUSTER_ACCESS_DENIED or CURSOR_EXPIRED.")
    message: str = Field(description="What is wrong and what to do about it.")
    details: list[RecommendationsErrorDetail] = Field(default=[], description="Absent where there are none.")


class RecommendationsErrorBody(BaseModel):
    """What every error of the Recommendations API looks like."""

    data: None
    meta: RecommendationsErrorMeta
    error: RecommendationsErrorWords


@dataclasses.dataclass(frozen=True)
class Problem:
    """One error on its way out, before it has taken its family's shape."""

    status: int
    message: str
    field: str | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    code: str = ""
    details: tuple[dict[str, Any], ...] = ()
    rate: tuple[int, int] = (0, 0)
    """Of a 429: how many requests in how many seconds."""


Shape = Callable[[Problem, str, datetime], dict[str, Any]]
"""From a problem, the request's id and the instant to the body that the family's document shows."""


def plain_shape(problem: Problem, request_id: str, _at: datetime) -> dict[str, Any]:
    """:class:`ErrorBody`."""
    about = {"field": encodable(problem.field)} if problem.field else {}
    return {"error": encodable(problem.message), **about, "requestId": request_id}


def actions_shape(problem: Problem, _request_id: str, _at: datetime) -> dict[str, Any]:
    """``{"code", "status": "error", "message"}``, as the Actions API's document has it."""
    about = f"{problem.field}: " if problem.field and not problem.message.startswith(problem.field) else ""
    return {"code": problem.status, "status": "error", "message": encodable(about + problem.message)}


_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    410: "CURSOR_EXPIRED",
    413: "PAYLOAD_TOO_LARGE",
    422: "VALIDATION_ERROR",
    429: "RATE_LIMITED",
    503: "UNAVAILABLE",
}


def recommendations_shape(problem: Problem, request_id: str, at: datetime) -> dict[str, Any]:
    """``{"data": null, "meta", "error": {"code", "message", "details"}}``, as the Recommendations API's document has it."""
    error: dict[str, Any] = {
        "code": problem.code or _CODES.get(problem.status, "INTERNAL_ERROR"),
        "message": encodable(problem.message),
    }
    if problem.details:
        error["details"] = list(problem.details)
    elif problem.field:
        error["details"] = [{"field": encodable(problem.field), "reason": "invalid"}]
    meta = {"request_id": request_id, "applied_at": rfc3339(at)}
    return {"data": None, "meta": meta, "error": error}


def lxc_shape(problem: Problem, _request_id: str, _at: datetime) -> dict[str, Any]:
    """``{"status": "error", "error"}``, with ``details`` of a 500 and the limit of a 429, as the LXC API's document has it."""
    message = encodable(problem.message)
    if problem.status == 500:
        return {"status": "error", "error": "Internal server error", "details": message}
    if problem.status == 401:
        return {"status": "error", "error": "Missing or invalid API key"}
    if problem.status == 429:
        wait = {"retry_after_seconds": int(problem.headers.get("Retry-After", "1"))}
        limit, window = problem.rate
        return {"status": "error", "error": "Rate limit exceeded", **wait, "limit": limit, "window_seconds": window}
    if problem.field:
        message = f"Invalid {encodable(problem.field)}: {message.removeprefix(f'{encodable(problem.field)}: ')}"
    return {"status": "error", "error": message}


SHAPES: tuple[tuple[str, Shape], ...] = (
    ("/action/", actions_shape),
    ("/actions/", actions_shape),
    ("/v1/", recommendations_shape),
    *((start, lxc_shape) for start in ("/scale/", "/snapshot/", "/clone/", "/resource/", "/health/", "/routes")),
)
"""Families whose document shows another shape, each by the start of its paths; the first that fits is taken."""


def shape_of(path: str) -> Shape:
    """The shape of the errors under a path."""
    return next((shape for start, shape in SHAPES if path.startswith(start)), plain_shape)


def in_family(problem: Problem, path: str) -> Problem:
    """The problem with the status that the path's family has for it: to the Actions and LXC APIs' clients, what is not ready is a 500."""
    if problem.status == 503 and shape_of(path) in (actions_shape, lxc_shape):
        return dataclasses.replace(problem, status=500)
    return problem


BODIES: Mapping[Shape, type[BaseModel]] = {
    plain_shape: ErrorBody,
    actions_shape: ActionsErrorBody,
    recommendations_shape: RecommendationsErrorBody,
    lxc_shape: LxcErrorBody,
}
"""What the OpenAPI document says of each shape."""


def encodable(text: str) -> str:
    """Without the lone surrogates that JSON may carry and UTF-8 may not."""
    return text.encode("utf-8", "replace").decode("utf-8")


def request_id_of(given: str | None) -> str:
    """The id that the client sent, when it can be put into a header and a log line as it is; else a new one."""
    return given if given and _SANE_ID.fullmatch(given) else f"req_{ULID()}"


_MEANINGS = {
    400: ("The request cannot be used as it is.", "cpuTargetPercent: must be at most 100", "cpuTargetPercent"),
    401: ("No credentials, or wrong ones.", "the key is not valid, or was revoked", ""),
    402: ("The licence has expired, or is exceeded.", "the licence expired on 2026-01-31", ""),
    403: ("The credentials are good, and do not allow this.", "the scope scaling:write is needed", ""),
    404: ("Not there, or another organization's.", "there is no policy scp_1718000000000000000", ""),
    409: ("Something else stands in the way.", "the policy is declared in policies/web.yaml: change it there", ""),
    410: ("The cursor is older than 24 hours, or the query is another one.", "start again without cursor", "cursor"),
    413: ("The body is over 2 MB.", "the body is over 2 MB: send it in parts", ""),
    422: ("Outside of what is allowed.", "status: must be one of pending, applied, dismissed, archived", "status"),
    429: ("Over the rate limit.", "too many requests: try again in 12 seconds", ""),
    500: ("A fault of the server's.", "the server could not answer: its log has more under this requestId", ""),
    503: ("Not now; trying again later helps.", "the fleet repo cannot be reached: try again in 30 seconds", ""),
}
_WAIT_HEADER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For ``responses=``: each status with its meaning, a model of the body and an example.

    The model is :class:`ErrorBody` here; :mod:`api.document` puts the one of the path's family in its place, and adds 413,
    429 and 500, 401 and 403 where credentials are needed, and 402 where a licence is.
    """
    return {status: _documented(status) for status in statuses}


def _documented(status: int) -> dict[str, Any]:
    meaning, message, about = _MEANINGS[status]
    example = {"error": message, **({"field": about} if about else {}), "requestId": "req_01J5K3V0Q7Y4XR8A2B3C5D7E9F"}
    entry = {"model": ErrorBody, "description": meaning, "content": {"application/json": {"example": example}}}
    return entry | ({"headers": _WAIT_HEADER} if status in (429, 503) else {})
