"""Windows against a calendar that is brute force: every UTC minute, turned into local time, looked at by itself."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.gate.verdict import Budget, all_open, opening, verdict
from reconciler.gate.windows import is_open, next_closing, next_opening, opening_of, spans
from reconciler.model.change import Proposal, Subject
from reconciler.model.window import Window, Windows

MINUTE = timedelta(minutes=1)
BEFORE, AFTER = timedelta(days=5), timedelta(days=3)
"""The calendar starts this much before, and ends this much after, the day on which clocks change."""
MINUTES = (BEFORE + AFTER) // MINUTE
KNOWN_FROM = timedelta(days=3) // MINUTE
"""The first minute from which brute force knows all firings that matter: no duration here is longer than two days."""
known_minutes = st.integers(KNOWN_FROM, MINUTES - 1)

CHANGES = {
    "Europe/Berlin": ["2024-03-31", "2024-10-27", "2025-03-30", "2025-10-26", "2026-03-29", "2026-10-25"],
    "America/New_York": ["2024-03-10", "2024-11-03", "2025-03-09", "2025-11-02", "2026-03-08", "2026-11-01"],
    "Australia/Lord_Howe": ["2024-04-07", "2024-10-06", "2025-04-06", "2025-10-05", "2026-04-05", "2026-10-04"],
    "UTC": ["2024-02-29", "2025-12-31", "2026-10-25"],
    # Changes at local midnight; the date line crossed: a whole day that never was.
    "America/Santiago": ["2025-04-06", "2025-09-07"],
    "Pacific/Apia": ["2011-12-30"],
}


Local = tuple[int, int, int, int, int]
"""minute, hour, day, month, weekday"""


@dataclass(frozen=True)
class Calendar:
    """Every minute of the days around ``change`` in ``zone``."""

    zone: str
    change: str

    @property
    def start(self) -> datetime:
        return datetime.fromisoformat(self.change).replace(tzinfo=UTC) - BEFORE

    @property
    def end(self) -> datetime:
        return self.start + MINUTES * MINUTE

    @property
    def local(self) -> tuple[Local, ...]:
        return local_minutes(self)

    def instant(self, index: int) -> datetime:
        return self.start + index * MINUTE


@lru_cache(maxsize=64)
def local_minutes(calendar: Calendar) -> tuple[Local, ...]:
    zone = ZoneInfo(calendar.zone)
    local = (calendar.instant(index).astimezone(zone) for index in range(MINUTES))
    return tuple((t.minute, t.hour, t.day, t.month, t.isoweekday() % 7) for t in local)


@dataclass(frozen=True)
class Field:
    """What a field says, kept apart from how it is written. None = ``*``."""

    text: str
    values: frozenset[int] | None

    def has(self, value: int) -> bool:
        return self.values is None or value in self.values


def fields(low: int, high: int, usual: st.SearchStrategy[int]) -> st.SearchStrategy[Field]:
    star = st.just(Field("*", None))
    one = usual.map(lambda value: Field(str(value), frozenset({value})))

    def written_range(ends: tuple[int, int, int]) -> Field:
        first, last, step = min(ends[:2]), max(ends[:2]), ends[2]
        return Field(f"{first}-{last}" + (f"/{step}" if step > 1 else ""), frozenset(range(first, last + 1, step)))

    ranges = st.tuples(usual, st.integers(low, high), st.integers(1, 5)).map(written_range)
    steps = st.integers(2, max(2, high // 3)).map(lambda n: Field(f"*/{n}", frozenset(range(low, high + 1, n))))
    pairs = st.tuples(one, ranges).map(
        lambda two: Field(
            f"{two[0].text},{two[1].text}", (two[0].values or frozenset()) | (two[1].values or frozenset())
        )
    )
    return st.one_of(star, one, ranges, steps, pairs)


@dataclass(frozen=True)
class Rule:
    """One cron, as its author means it."""

    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field

    @property
    def text(self) -> str:
        return " ".join(f.text for f in (self.minute, self.hour, self.day, self.month, self.weekday))

    def matches(self, local: Local) -> bool:
        minute, hour, day, month, weekday = local
        if not (self.minute.has(minute) and self.hour.has(hour) and self.month.has(month)):
            return False
        if self.day.values is None or self.weekday.values is None:
            return self.day.has(day) and self.weekday.has(weekday)
        return day in self.day.values or weekday in self.weekday.values


@dataclass(frozen=True)
class Trial:
    """A window on a calendar. ``duration`` is in minutes."""

    calendar: Calendar
    rules: tuple[Rule, ...]
    duration: int | None

    @property
    def window(self) -> Window:
        return Window(
            cron=" || ".join(rule.text for rule in self.rules),
            duration=None if self.duration is None else timedelta(minutes=self.duration),
            timezone=self.calendar.zone,
        )

    @cached_property
    def open(self) -> tuple[bool, ...]:
        """Brute force: whether it is open in each minute. Firings before the calendar are not known."""
        fires = [any(rule.matches(local) for rule in self.rules) for local in self.calendar.local]
        if self.duration is None:
            return tuple(fires)
        held, last = [], None
        for index, firing in enumerate(fires):
            last = index if firing else last
            held.append(last is not None and index - last < self.duration)
        return tuple(held)


def rules_for(days: list[int], months: list[int]) -> st.SearchStrategy[Rule]:
    star = Field("*", None)
    return st.builds(
        Rule,
        minute=fields(0, 59, st.sampled_from([0, 1, 15, 29, 30, 31, 59])),
        hour=fields(0, 23, st.sampled_from([0, 1, 2, 3, 12, 22, 23])),
        day=st.one_of(st.just(star), st.just(star), fields(1, 31, st.sampled_from([d for d in days if d <= 28]))),
        month=st.one_of(st.just(star), fields(1, 12, st.sampled_from(months))),
        weekday=st.one_of(st.just(star), fields(0, 6, st.integers(0, 6))),
    )


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    zone = draw(st.sampled_from(sorted(CHANGES)))
    return Calendar(zone, draw(st.sampled_from(CHANGES[zone])))


@st.composite
def trials(draw: st.DrawFn, on: Calendar | None = None) -> Trial:
    on = on or draw(calendars())
    days, months = sorted({local[2] for local in on.local}), sorted({local[3] for local in on.local})
    rules = draw(st.lists(rules_for(days, months), min_size=1, max_size=2))
    duration = draw(st.none() | st.sampled_from([1, 2, 30, 60, 61, 90, 480, 1440, 1500, 2880]))
    return Trial(on, tuple(rules), duration)


def edges(minutes: tuple[bool, ...]) -> list[int]:
    """The known minutes at which a window opens or closes, and those just before: where mistakes live."""
    changed = [i for i in range(KNOWN_FROM + 1, len(minutes)) if minutes[i] != minutes[i - 1]]
    return sorted({i for edge in changed[:40] for i in (edge - 1, edge)} | {KNOWN_FROM, len(minutes) - 1})


def stretches(minutes: tuple[bool, ...], first: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for index in range(first, len(minutes)):
        if minutes[index]:
            if found and found[-1][1] == index:
                found[-1] = (found[-1][0], index + 1)
            else:
                found.append((index, index + 1))
    return found


def following(minutes: tuple[bool, ...], at: int, opens: bool) -> int | None:
    """The first minute after ``at`` at which the window changes to open, or to closed."""
    return next((i for i in range(at + 1, len(minutes)) if minutes[i] == opens and minutes[i - 1] != opens), None)


@settings(max_examples=100, deadline=None)
@given(trials(), st.integers(0, 59))
def test_is_open_minute_by_minute(trial: Trial, second: int) -> None:
    for index in edges(trial.open):
        at = trial.calendar.instant(index) + timedelta(seconds=second)
        assert is_open(trial.window, at) == trial.open[index], at


@settings(max_examples=100, deadline=None)
@given(trials())
def test_spans_are_the_open_minutes(trial: Trial) -> None:
    start = trial.calendar.instant(KNOWN_FROM)
    expected = [(trial.calendar.instant(a), trial.calendar.instant(b)) for a, b in stretches(trial.open, KNOWN_FROM)]
    assert spans(trial.window, start, trial.calendar.end) == expected


@settings(max_examples=100, deadline=None)
@given(trials(), known_minutes, st.integers(0, 59))
def test_next_opening_and_closing_are_the_next_changes(trial: Trial, index: int, second: int) -> None:
    at = trial.calendar.instant(index) + timedelta(seconds=second)
    for found, opens in ((next_opening(trial.window, at), True), (next_closing(trial.window, at), False)):
        expected = following(trial.open, index, opens)
        if expected is not None:
            assert found == trial.calendar.instant(expected)
        else:
            assert found is None or found >= trial.calendar.end


@settings(max_examples=100, deadline=None)
@given(trials(), known_minutes)
def test_the_opening_is_where_the_stretch_began(trial: Trial, index: int) -> None:
    found = opening_of(trial.window, trial.calendar.instant(index))
    if not trial.open[index]:
        assert found is None
        return
    began = next((i for i in range(index, KNOWN_FROM, -1) if not trial.open[i - 1]), None)
    if began is not None:
        assert found == trial.calendar.instant(began)
    else:
        assert found is None or found <= trial.calendar.instant(KNOWN_FROM)


@dataclass(frozen=True)
class Owner:
    maintenance: tuple[Trial, ...]
    exclusion: tuple[Trial, ...]

    @property
    def windows(self) -> Windows:
        return Windows(
            maintenance=tuple(trial.window for trial in self.maintenance),
            exclusion=tuple(trial.window for trial in self.exclusion),
        )

    def allows(self, index: int) -> bool:
        if any(trial.open[index] for trial in self.exclusion):
            return False
        return not self.maintenance or any(trial.open[index] for trial in self.maintenance)


@dataclass(frozen=True)
class Owners:
    calendar: Calendar
    owners: tuple[Owner, ...]

    @property
    def windows(self) -> list[Windows]:
        return [owner.windows for owner in self.owners]

    @cached_property
    def allowed(self) -> tuple[bool, ...]:
        """Brute force: whether all allow in each minute."""
        return tuple(all(owner.allows(index) for owner in self.owners) for index in range(MINUTES))


@st.composite
def several_owners(draw: st.DrawFn) -> Owners:
    on = draw(calendars())
    one = st.builds(
        Owner,
        maintenance=st.lists(trials(on), max_size=2).map(tuple),
        exclusion=st.lists(trials(on), max_size=1).map(tuple),
    )
    return Owners(on, tuple(draw(st.lists(one, min_size=1, max_size=3))))


PROPOSAL = Proposal(
    kind="requests",
    subject=Subject(kind="action", id="a", name="a"),
    cluster="c",
    root="r",
    namespace="n",
    edits=(),
    reason="",
)


@settings(max_examples=100, deadline=None)
@given(several_owners(), known_minutes)
def test_a_verdict_holds_until_the_first_minute_that_all_allow(drawn: Owners, index: int) -> None:
    on, windows, allowed = drawn.calendar, drawn.windows, drawn.allowed
    now = on.instant(index)
    found = verdict(PROPOSAL, windows=windows, now=now, budget=Budget(0, 1))
    assert found.allowed == allowed[index] == all_open(windows, now)
    if found.allowed:
        return
    assert found.reason
    assert found.window is not None
    expected = next((i for i in range(index, MINUTES) if allowed[i]), None)
    if expected is not None:
        assert found.until == on.instant(expected)
    else:
        assert found.until is None or found.until >= on.end


@settings(max_examples=60, deadline=None)
@given(several_owners(), known_minutes)
def test_the_opening_of_all_owners_is_the_same_throughout_a_stretch(drawn: Owners, index: int) -> None:
    on, windows, allowed = drawn.calendar, drawn.windows, drawn.allowed
    if not allowed[index]:
        assert opening(windows, on.instant(index)) is None
        return
    began = next((i for i in range(index, KNOWN_FROM, -1) if not allowed[i - 1]), None)
    if began is not None:
        assert opening(windows, on.instant(index)) == on.instant(began) == opening(windows, on.instant(began))
