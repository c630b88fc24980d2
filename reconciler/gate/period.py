"""The ``window`` parameter of the Actions API: which stretch of time somebody asks about.

Grammar and rounding: OpenCost ``core/pkg/opencost/window.go`` (``parseWindow``), in UTC. Not to be confused with the
windows in which something may happen, which are cron (:mod:`reconciler.gate.windows`).
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from reconciler.errors import InputError

Period = tuple[datetime, datetime]
"""From the first instant, which is in it, to the second, which is not. Both aware, in UTC."""

_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": _DAY, "w": timedelta(weeks=1)}

_DURATION = r"([0-9]{1,9})([mhdw])"
_LENGTH = re.compile(_DURATION)
_OFFSET = re.compile(rf"{_DURATION} offset {_DURATION}")
_SECONDS = re.compile(r"[0-9]{1,12}")
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?)[0-9]*([Zz]|[-+ ][0-9]{2}:[0-9]{2})"
)
_HINT = (
    "write 7d, 12h, today, yesterday, week, month, lastweek, lastmonth, 24h offset 7d, or two instants"
    " joined by a comma, in RFC 3339 (2026-06-01T00:00:00Z,2026-06-08T00:00:00Z) or in unix seconds"
)
_LONGEST_SHOWN = 60


def parse_window(text: str, now: datetime) -> Period:
    """The stretch of time that ``text`` names, seen from ``now`` (aware).

    - ``today``, ``yesterday``, ``lastweek`` (Sunday to Sunday) and ``lastmonth`` are whole; ``week`` and ``month`` end now.
    - ``90m``, ``12h``, ``7d``: so many whole minutes, hours or days, the last of which is the one that is going on;
      ``2w``: so many weeks, the last of which ends with today.
    - ``24h offset 7d``: a duration that ended so long ago, to the second.
    - two unix seconds, or two RFC 3339 instants, joined by a comma. A space for the ``+`` of an offset is how it arrives in
      a query string.

    :raises InputError: when it is none of these, is empty, or reaches beyond the calendar.
    """
    wanted = text.strip()
    now = now.astimezone(UTC)
    try:
        if named := _named(wanted, now):
            return named  # also in the instant in which a week or month begins
        found = _lasting(wanted, now) or _ended(wanted, now) or _pair(wanted)
    except (ValueError, OverflowError):
        raise _unreadable(wanted) from None
    if found is None:
        raise _unreadable(wanted)
    if found[0] >= found[1]:
        raise InputError(f"window: {wanted!r} is empty", hint="its end must be after its start")
    return found


def parse_rfc3339(text: str) -> datetime:
    """An RFC 3339 instant in UTC; digits beyond microseconds are dropped. A space may stand for the ``+`` of its offset.

    :raises ValueError: when it is none. :raises OverflowError: when it is none in UTC.
    """
    match = _INSTANT.fullmatch(text.strip())
    if match is None:
        raise ValueError("not an RFC 3339 instant")
    day, time, offset = match.groups()
    return datetime.fromisoformat(f"{day}T{time}{offset.upper().replace(' ', '+')}").astimezone(UTC)


def _unreadable(text: str) -> InputError:
    shown = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
    return InputError(f"window: {shown!r} is not a stretch of time", hint=_HINT)


def _named(text: str, now: datetime) -> Period | None:
    midnight = _midnight(now)
    sunday = midnight - (midnight.isoweekday() % 7) * _DAY
    first = midnight.replace(day=1)
    periods: dict[str, Callable[[], Period]] = {
        "today": lambda: (midnight, midnight + _DAY),
        "yesterday": lambda: (midnight - _DAY, midnight),
        "week": lambda: (sunday, now),
        "month": lambda: (first, now),
        "lastweek": lambda: (sunday - 7 * _DAY, sunday),
        "lastmonth": lambda: ((first - _DAY).replace(day=1), first),
    }
    return periods[text]() if text in periods else None


def _lasting(text: str, now: datetime) -> Period | None:
    match = _LENGTH.fullmatch(text)
    if match is None:
        return None
    unit = _UNITS[match[2]]
    # A week that begins today would be six days of the future: it ends with today instead.
    step = min(unit, _DAY)
    end = now - (now - _EPOCH) % step + step
    return end - int(match[1]) * unit, end


def _ended(text: str, now: datetime) -> Period | None:
    match = _OFFSET.fullmatch(text)
    if match is None:
        return None
    end = now - int(match[3]) * _UNITS[match[4]]
    return end - int(match[1]) * _UNITS[match[2]], end


def _pair(text: str) -> Period | None:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2:
        return None
    if all(_SECONDS.fullmatch(part) for part in parts):
        start, end = (_EPOCH + timedelta(seconds=int(part)) for part in parts)
        return start, end
    start, end = (parse_rfc3339(part) for part in parts)
    return start, end


def _midnight(instant: datetime) -> datetime:
    return instant.replace(hour=0, minute=0, second=0, microsecond=0)
