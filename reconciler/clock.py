"""The only place that asks the machine what time it is.

Everything else takes an instant as a value, so that ``--now`` and tests can set it.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from reconciler.errors import InputError

Clock = Callable[[], datetime]
"""Returns the current instant as an aware datetime in UTC."""


def system_clock() -> datetime:
    """The machine's time, aware, in UTC."""
    return datetime.now(UTC)


def fixed_clock(instant: datetime) -> Clock:
    """A clock that stands still at ``instant`` (aware)."""
    frozen = instant.astimezone(UTC)
    return lambda: frozen


def stopwatch() -> Callable[[], float]:
    """Start timing; the returned function gives the seconds since then, from a monotonic source."""
    start = time.perf_counter()
    return lambda: time.perf_counter() - start


def parse_instant(text: str, *, option: str = "--now") -> datetime:
    """An RFC 3339 instant as an aware datetime in UTC.

    :raises InputError: when ``text`` is no instant or has no offset.
    """
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InputError(
            f"{option}: {text!r} is not an RFC 3339 instant", hint="write it as 2026-06-16T10:00:00Z"
        ) from None
    if instant.tzinfo is None:
        raise InputError(f"{option}: {text!r} has no offset from UTC", hint="end it with Z, or with +02:00") from None
    return instant.astimezone(UTC)
