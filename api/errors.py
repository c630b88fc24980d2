"""Every error that the API answers with, and the only place that knows status codes of errors (DESIGN §9)."""

from typing import ClassVar


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
