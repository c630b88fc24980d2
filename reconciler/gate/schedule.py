"""One window as a stream of intervals: cron minutes in a time zone, each held open for a duration.

Time is counted in whole seconds since 1970 UTC. A time zone is a row of stretches with one offset each; within a
stretch local time is UTC plus the offset, so a day's minutes are worked out once and shifted. The hour that a spring
change skips is in no stretch and the hour that an autumn change repeats is in two, which is just what DESIGN §5 asks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from reconciler.errors import InputError
from reconciler.gate.cron import Cron, parse
from reconciler.gate.intervals import Interval, union
from reconciler.model.window import Window

_DAY = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
# Files that are beside the zones on many machines, and mean another thing on each.
_NOT_ZONES = ("localtime", "posixrules", "Factory", "posix/", "right/")


class WindowError(InputError):
    """A window's time zone or duration cannot be used."""


@dataclass(frozen=True)
class Schedule:
    """A window, read. ``duration`` is in seconds; None = open in the matching minutes only."""

    crons: tuple[Cron, ...]
    zone: tzinfo
    duration: int | None

    def intervals(self, low: int, high: int) -> Iterator[Interval]:
        """When it is open within ``[low, high)``: sorted, merged, clipped."""
        return union(*(self._of_cron(cron, low, high) for cron in self.crons))

    def _of_cron(self, cron: Cron, low: int, high: int) -> Iterator[Interval]:
        first, last = low - low % 60, high + -high % 60
        minutes = _matching(cron, self.zone, first, last)
        opened = minutes if self.duration is None else self._held_open(cron, minutes, first, self.duration)
        for start, end in opened:
            if end > low:
                yield max(start, low), min(end, high)

    def _held_open(self, cron: Cron, firings: Iterator[Interval], first: int, duration: int) -> Iterator[Interval]:
        before = _last_firing(cron, self.zone, first, duration)
        if before is not None:
            yield before, before + duration
        for start, end in firings:
            if duration >= 60:
                yield start, end - 60 + duration
            else:
                yield from ((firing, firing + duration) for firing in range(start, end, 60))


def read(window: Window) -> Schedule:
    """The schedule of a window; the same object for the same window.

    :raises CronError: when one of its crons cannot be read.
    :raises WindowError: for an unknown time zone or a duration that is not a positive number of whole seconds.
    """
    return _read(window.cron, window.timezone, window.duration)


@lru_cache(maxsize=4096)
def _read(cron: str, timezone: str, duration: timedelta | None) -> Schedule:
    crons = tuple(parse(part) for part in cron.split("||"))
    if duration is not None and (duration <= timedelta(0) or duration.microseconds):
        raise WindowError(f"a duration of {duration}", hint="write a positive one, such as 90m, 4h or 14d")
    return Schedule(crons, _zone(timezone), None if duration is None else int(duration.total_seconds()))


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        if name.startswith(_NOT_ZONES):
            raise ValueError(name)
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; malformed; a folder of zones, such as "Europe"
        raise WindowError(f"unknown time zone {name!r}", hint="write an IANA name, such as Europe/Berlin") from None


def _matching(cron: Cron, zone: tzinfo, low: int, high: int) -> Iterator[Interval]:
    """The UTC minutes in ``[low, high)`` (whole minutes) whose local time matches, neighbours within a day in one piece."""
    for start, end, offset in _stretches(zone, low, high):
        first, last = start + offset, end + offset  # local time
        for day in cron.days_between(_date(first), _date(last - 1)):
            midnight = (day.toordinal() - _EPOCH) * _DAY
            for run_start, run_end in cron.runs:
                from_, to = max(midnight + run_start * 60, first), min(midnight + run_end * 60, last)
                if from_ < to:
                    yield from_ - offset, to - offset


def _date(seconds: int) -> date:
    return date.fromordinal(seconds // _DAY + _EPOCH)


def _last_firing(cron: Cron, zone: tzinfo, before: int, look_back: int) -> int | None:
    """The last matching minute before ``before``, at most ``look_back`` seconds earlier."""
    furthest = before - look_back - -look_back % 60
    high, step = before, _DAY
    while high > furthest:
        low, last = max(high - step, furthest), None
        for _, end in _matching(cron, zone, low, high):
            last = end - 60
        if last is not None:
            return last if last + look_back > before else None
        high, step = low, step * 4
    return None


def _stretches(zone: tzinfo, low: int, high: int) -> Iterator[tuple[int, int, int]]:
    """``[low, high)`` cut where the zone's offset from UTC changes: ``(start, end, offset)`` in seconds."""
    start, offset = low, _offset(zone, low)
    for probe in range(low, high, _DAY):
        until = min(probe + _DAY, high)
        while _offset(zone, until - 1) != offset:
            change = _change(zone, max(start, probe), until - 1, offset)
            yield start, change, offset
            start, offset = change, _offset(zone, change)
    yield start, high, offset


def _change(zone: tzinfo, same: int, other: int, offset: int) -> int:
    """The first second after ``same`` with another offset, given that ``other`` has one; by bisection."""
    while other - same > 1:
        middle = (same + other) // 2
        if _offset(zone, middle) == offset:
            same = middle
        else:
            other = middle
    return other


def _offset(zone: tzinfo, seconds: int) -> int:
    if zone is UTC:
        return 0
    offset = datetime.fromtimestamp(seconds, zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())
