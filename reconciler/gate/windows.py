"""What one window says: is it open, since when, until when, and when next (DESIGN §5).

Instants come in aware and go out aware in UTC. Every function that takes a window raises what
:func:`reconciler.gate.schedule.read` raises; :func:`check_window` tells without raising.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice

from reconciler.errors import InputError
from reconciler.gate.intervals import Interval, start_of
from reconciler.gate.schedule import read
from reconciler.model.window import Span, Window, Windows, format_duration

HORIZON = timedelta(days=5 * 366)
"""How far ahead an opening or closing is looked for."""

LOOK_BACK = timedelta(days=366)
"""How far back the start of an open stretch is looked for; what started earlier counts as always open."""

# Python's last year less a margin, so that no look ahead leaves the calendar.
_END_OF_TIME = int(datetime(9990, 1, 1, tzinfo=UTC).timestamp())
# A leap year that starts on a Monday: every date and weekday is in it.
_SAMPLE_YEAR = (int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()))
_SAMPLE_SPANS = 5_000


def check_window(window: Window) -> str | None:
    """Why the window cannot be used, in words for a person; None when it can."""
    try:
        read(window)
    except InputError as error:
        return str(error)
    return None


def is_open(window: Window, at: datetime) -> bool:
    second = seconds(at)
    return next(read(window).intervals(second, second + 1), None) is not None


def spans(window: Window, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """The stretches in which the window is open, clipped to ``[start, end)``; those that touch are one."""
    low, high = seconds(start), seconds(end)
    if low >= high:
        return []
    return [(instant(a), instant(b)) for a, b in read(window).intervals(low, high)]


def next_opening(window: Window, after: datetime) -> datetime | None:
    """The first instant after ``after`` at which the window, closed until then, opens. None: not within five years."""
    low = seconds(after)
    return next((instant(start) for start, _ in _ahead(window, low) if start > low), None)


def next_closing(window: Window, at: datetime) -> datetime | None:
    """The first instant after ``at`` at which the window, open until then, closes. None: not within five years."""
    low = seconds(at)
    end = next((end for _, end in _ahead(window, low)), None)
    return instant(end) if end is not None and end < horizon(low) else None


def opening_of(window: Window, at: datetime) -> datetime | None:
    """When the open stretch that contains ``at`` began.

    None when the window is closed, or has been open for more than 366 days.
    """
    start = start_of(read(window).intervals, seconds(at), int(LOOK_BACK.total_seconds()))
    return None if start is None else instant(start)


def combined_spans(windows: Sequence[Windows], start: datetime, end: datetime) -> list[Span]:
    """Every window's stretches within ``[start, end)``, by start: what a calendar shows."""
    found: list[Span] = []
    for owner in windows:
        for kind, listed in (("maintenance", owner.maintenance), ("exclusion", owner.exclusion)):
            for window in listed:
                found += [
                    Span.model_validate({"start": a, "end": b, "kind": kind, "window": window})
                    for a, b in spans(window, start, end)
                ]
    return sorted(found, key=lambda span: (span.start, span.end, span.kind))


def warn_short(window: Window, interval_seconds: float) -> str | None:
    """A warning when an opening is shorter than the interval between passes, which may then miss it; else None."""
    stretches = list(islice(read(window).intervals(*_SAMPLE_YEAR), _SAMPLE_SPANS))
    whole = [end - start for start, end in stretches if start > _SAMPLE_YEAR[0] and end < _SAMPLE_YEAR[1]]
    if not whole or min(whole) >= interval_seconds:
        return None
    shortest, interval = (format_duration(timedelta(seconds=int(s))) for s in (min(whole), interval_seconds))
    return (
        f"the window {describe(window)} is open for only {shortest} at a time, shorter than the {interval} between "
        f"passes, so that a pass may never meet it; {_longer(window, interval_seconds)}"
    )


def _longer(window: Window, interval_seconds: float) -> str:
    """What to write instead: the whole hour where that is enough, otherwise a duration."""
    crons = [part.split() for part in window.cron.split("||")]
    if window.duration is None and interval_seconds <= 3600 and all(fields[1] != "*" for fields in crons):
        hours = " || ".join(" ".join(["*", *fields[1:]]) for fields in crons)
        return f"write `{hours}` for the whole hour, or give it a duration"
    return f"give it a duration of at least {format_duration(timedelta(seconds=int(interval_seconds)))}"


def describe(window: Window) -> str:
    """For messages: ```* 22-23 * * 1-5` (fleet)``, or by name: ``holiday freeze (`0 0 20 12 *` for 14d, fleet)``."""
    text = str(window.model_copy(update={"name": ""}))
    inside = ", ".join(part for part in (text, window.source) if part)
    if window.name:
        return f"{window.name} ({inside})"
    return f"{text} ({window.source})" if window.source else text


def seconds(at: datetime) -> int:
    """Whole seconds since 1970 UTC, rounded down. :raises ValueError: for an instant without a time zone."""
    if at.tzinfo is None:
        raise ValueError("a window is asked about an instant, which has a time zone")
    return int(at.timestamp() // 1)


def instant(at: int) -> datetime:
    """Seconds since 1970 as an aware datetime in UTC."""
    return datetime.fromtimestamp(at, UTC)


def horizon(low: int) -> int:
    """Where looking ahead from ``low`` ends, in seconds."""
    return max(low + 1, min(low + int(HORIZON.total_seconds()), _END_OF_TIME))


def _ahead(window: Window, low: int) -> Iterator[Interval]:
    return read(window).intervals(low, horizon(low))
