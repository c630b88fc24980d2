"""Five-field cron, read strictly: minute, hour, day of month, month, day of week.

What the fields may hold is what every cron agrees on: digits, ``*``, ``,``, ``-``, ``/`` and the three-letter names of
months and weekdays. Anything on which crons differ (seconds, years, ``@daily``, ``L``, ``W``, ``#``, ``?``, ``H``,
``R``) is an error, for a window that is read in another way than its author meant is worse than none.

Days follow crontab(5): where day of month and day of week are both restricted, a day matches if either does. A field
is restricted unless it says ``*`` (or ``*/1``), as in Kubernetes' CronJob.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property

from reconciler.errors import InputError

_LONGEST = 1024
_DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_ITEM = re.compile(
    r"(?:\*|(?P<first>[0-9]{1,4}|[a-z]{3})(?:-(?P<last>[0-9]{1,4}|[a-z]{3}))?)(?:/(?P<step>[0-9]{1,4}))?"
)
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class CronError(InputError):
    """A cron that cannot be read. ``field`` names the field (``hour``, ``day of week``, …), "" = the whole of it."""

    def __init__(self, message: str, field: str = "", *, hint: str = "") -> None:
        self.field = field
        super().__init__(f"{field}: {message}" if field else message, hint=hint)


@dataclass(frozen=True)
class _Field:
    """``high`` is the largest number that may be written; for weekdays that is 7, Sunday's second number."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        names = f", {self.names[0]}-{self.names[-1]}" if self.names else ""
        return f"allowed are {self.low}-{self.high}{names}, and * , - /"

    def error(self, message: str, hint: str = "") -> CronError:
        return CronError(f"{message}; {self.allowed}", self.name, hint=hint)


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    _Field("day of week", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)


@dataclass(frozen=True)
class Cron:
    """The local minutes that match. ``weekdays`` count from Sunday = 0. ``any_day``, ``any_weekday``: not restricted."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    def matches(self, local: datetime) -> bool:
        """Whether the minute of ``local`` matches, by its wall-clock fields alone."""
        return local.minute in self.minutes and local.hour in self.hours and self.matches_day(local.date())

    def matches_day(self, local: date) -> bool:
        """Whether the month, and the day of month or of week, match."""
        if local.month not in self.months:
            return False
        day, weekday = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return day and weekday
        return day or weekday

    def days_between(self, first: date, last: date) -> Iterator[date]:
        """The matching days from ``first`` to ``last``, both included; months that do not match cost one step."""
        day = first
        while day <= last:
            if day.month not in self.months:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
                continue
            if self.matches_day(day):
                yield day
            day += timedelta(days=1)

    @cached_property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """The stretches of matching minutes in a matching day, as minutes since midnight: ``[(start, end), …)``."""
        runs: list[tuple[int, int]] = []
        for hour in sorted(self.hours):
            for minute in sorted(self.minutes):
                at = hour * 60 + minute
                if runs and runs[-1][1] == at:
                    runs[-1] = (runs[-1][0], at + 1)
                else:
                    runs.append((at, at + 1))
        return tuple(runs)


def parse(text: str) -> Cron:
    """Read one cron (no ``||``).

    :raises CronError: naming the field, and what it may hold; also for a date that never comes (31 February).
    """
    parts = _split(text)
    minutes, hours, days, months, weekdays = (_values(part, field) for part, field in zip(parts, _FIELDS, strict=True))
    cron = Cron(
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=frozenset(day % 7 for day in weekdays),
        any_day=_is_any(parts[2]),
        any_weekday=_is_any(parts[4]),
    )
    _check_that_it_can_match(cron, text)
    return cron


def _split(text: str) -> list[str]:
    if len(text) > _LONGEST:
        raise CronError(f"a cron of {len(text)} characters; at most {_LONGEST} are read")
    parts = text.split()
    if parts and parts[0].startswith("@"):
        same = _MACROS.get(parts[0].lower())
        raise CronError(
            f"{parts[0]!r} is not read; write the five fields", hint=f"the same is `{same}`" if same else ""
        )
    if len(parts) != len(_FIELDS):
        names = ", ".join(field.name for field in _FIELDS)
        hint = "seconds and years are not read: leave them out" if len(parts) in (6, 7) else ""
        raise CronError(f"{len(parts)} fields in {text.strip()!r}; a cron has five: {names}", hint=hint)
    return parts


def _is_any(part: str) -> bool:
    return any(item in ("*", "*/1") for item in part.split(","))


def _values(part: str, field: _Field) -> frozenset[int]:
    return frozenset(value for item in part.split(",") for value in _item(item, field))


def _item(item: str, field: _Field) -> range:
    """One item of a list: ``*``, ``7``, ``7-9``, each with an optional ``/step``; ``7/2`` runs to the field's end."""
    if not item:
        raise field.error("an empty item in the list")
    found = _ITEM.fullmatch(item.lower())
    if found is None:
        raise field.error(f"cannot read {item!r}")
    first, last, step = found["first"], found["last"], found["step"]
    # Sunday's 7 may be written, but `*` and an open end stop at Saturday: else Sunday would be stepped on twice.
    end = 6 if field.high == 7 else field.high
    low = field.low if first is None else _number(first, field)
    high = _number(last, field) if last else low if first and step is None else end
    if low > high:
        raise _reversed(low, high, item, field)
    return range(low, high + 1, _step(step, field))


def _number(text: str, field: _Field) -> int:
    if text.isdigit():
        value = int(text)
        if not field.low <= value <= field.high:
            raise field.error(f"{text} is out of range")
        return value
    if text not in field.names:
        raise field.error(f"{text!r} is no name here")
    return field.names.index(text) + field.low


def _reversed(low: int, high: int, item: str, field: _Field) -> CronError:
    end = 6 if field.high == 7 else field.high
    around = ",".join(f"{a}-{b}" if a < b else f"{a}" for a, b in ((low, end), (field.low, high)) if a <= b)
    return field.error(f"the range {item} runs backwards", hint=f"write `{around}`")


def _step(text: str | None, field: _Field) -> int:
    if text is None:
        return 1
    step = int(text)
    if not 0 < step <= field.high:
        raise field.error(f"a step of {text}", hint=f"a step is between 1 and {field.high}")
    return step


def _check_that_it_can_match(cron: Cron, text: str) -> None:
    # With both day fields restricted, the weekday alone makes it match sooner or later.
    if cron.any_weekday and not any(day <= _DAYS_IN_MONTH[month - 1] for month in cron.months for day in cron.days):
        raise CronError(f"`{text.strip()}` never matches: no such day in the months that it names", "day of month")
