"""Jobs at the minutes of their cron lines: what is due when, and a thread that no job ends."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from api.schedule import Job, Schedule, due
from reconciler.errors import InputError, Stalled
from support.served import SetClock

TEN = datetime(2026, 6, 17, 10, tzinfo=UTC)
EVERY_TEN, EVERY_FIVE = "*/10 * * * *", "*/5 * * * *"


def job(minutes: str, name: str = "job") -> Job:
    return Job(name, minutes, lambda _at: None)


def minutes_due(minutes: str, after: datetime, until: datetime) -> list[str]:
    return [at.strftime("%d %H:%M") for _, at in due([job(minutes)], after, until)]


@pytest.mark.parametrize(
    ("minutes", "after", "until", "expected"),
    [
        (EVERY_TEN, {"minutes": 9, "seconds": 59}, {"minutes": 10}, ["17 10:10"]),
        (EVERY_TEN, {"minutes": 10}, {"minutes": 10, "seconds": 59}, []),
        (EVERY_TEN, {"minutes": 10, "seconds": 1}, {"minutes": 19, "seconds": 59}, []),
        (EVERY_TEN, {}, {"minutes": 45}, ["17 10:40"]),
        (EVERY_FIVE, {"minutes": 4}, {"minutes": 5, "microseconds": 1}, ["17 10:05"]),
        ("* * * * *", {}, {"minutes": 3, "seconds": 30}, ["17 10:03"]),
        ("0 0 * * *", {"hours": 1}, {"hours": 14}, ["18 00:00"]),
        ("30 9 * * *", {"days": 2}, {"days": 9}, ["26 09:30"]),
        ("30 9 * * mon", {}, {"days": 8, "hours": 1}, []),
        (EVERY_TEN, {"minutes": 25}, {"minutes": 5}, []),
    ],
)
def test_what_is_due_between_two_instants(
    minutes: str, after: dict[str, float], until: dict[str, float], expected: list[str]
) -> None:
    assert minutes_due(minutes, TEN + timedelta(**after), TEN + timedelta(**until)) == expected


def test_each_job_is_due_once_in_the_order_given() -> None:
    jobs = [job(EVERY_FIVE, "b"), job("7 * * * *", "not yet"), job(EVERY_TEN, "a")]
    found = due(jobs, TEN - timedelta(minutes=40), TEN)
    assert [(one.name, at) for one, at in found] == [("b", TEN), ("a", TEN)]


@given(steps=st.lists(st.integers(1, 900), min_size=1, max_size=40))
def test_however_often_it_is_looked_no_minute_is_lost_or_fires_twice(steps: list[int]) -> None:
    """``steps``: seconds between two looks; what lies between two looks more than once fires once."""
    at, found = TEN, []
    for step in steps:
        found += [when for _, when in due([job(EVERY_TEN)], at, at + timedelta(seconds=step))]
        at += timedelta(seconds=step)
    assert found == sorted(set(found))
    assert all(when.minute % 10 == 0 and when.second == 0 and TEN < when <= at for when in found)
    minutes = int((at - TEN).total_seconds()) // 600
    looks_that_skip = sum(1 for step in steps if step > 600)
    assert minutes - looks_that_skip <= len(found) <= minutes


def test_a_mistake_in_a_cron_line_shows_at_once() -> None:
    with pytest.raises(InputError, match="minute"):
        Schedule([job("61 * * * *")], SetClock())


@pytest.fixture
def logged() -> Iterator[list[dict[str, object]]]:
    with structlog.testing.capture_logs() as found:
        yield found  # type: ignore[misc]


def test_a_job_that_fails_is_logged_and_the_others_and_its_next_minute_come(logged: list[dict[str, object]]) -> None:
    clock, fired = SetClock(TEN), []

    def away(at: datetime) -> None:
        fired.append(("away", at))
        raise Stalled("the fleet repo is away", hint="look at the remote")

    def broken(at: datetime) -> None:
        fired.append(("broken", at))
        raise ZeroDivisionError

    schedule = Schedule(
        [
            Job("away", EVERY_TEN, away),
            Job("broken", EVERY_TEN, broken),
            Job("good", EVERY_FIVE, lambda at: fired.append(("good", at))),
        ],
        clock,
    )
    schedule.fire()
    assert fired == [], "what was due before it started is not made up for"
    for minute in (10, 20):
        clock.now = TEN + timedelta(minutes=minute, seconds=3)
        schedule.fire()
    ticks = [TEN + timedelta(minutes=10), TEN + timedelta(minutes=20)]
    assert fired == [(name, at) for at in ticks for name in ("away", "broken", "good")]
    assert [(one["job"], one["log_level"]) for one in logged[:2]] == [("away", "warning"), ("broken", "error")]
    assert logged[0]["error"] == "the fleet repo is away"


class Racing:
    """A clock on which a minute passes whenever it is looked at, but for a hundredth of a second."""

    def __init__(self) -> None:
        self._now = TEN

    def __call__(self) -> datetime:
        self._now += timedelta(seconds=59.995)
        return self._now


@contextmanager
def started(*jobs: Job) -> Iterator[Schedule]:
    schedule = Schedule(jobs, Racing())
    schedule.start()
    try:
        yield schedule
    finally:
        schedule.stop()


def test_the_thread_goes_on_after_errors_until_it_is_stopped() -> None:
    fired: list[datetime] = []
    enough = threading.Event()

    def one(at: datetime) -> None:
        fired.append(at)
        if len(fired) == 3:
            enough.set()
        raise Stalled("not today")

    with started(Job("one", EVERY_FIVE, one)) as schedule:
        assert enough.wait(30)
        schedule.stop()
        count = len(fired)
        assert not any(thread.name == "schedule" for thread in threading.enumerate())
    assert len(fired) == count
    assert all(at.minute % 5 == 0 and at.second == 0 for at in fired)
    assert fired == sorted(set(fired))


def test_stopping_waits_for_the_job_in_hand_and_begins_no_other() -> None:
    began, finish, done = threading.Event(), threading.Event(), []

    def slow(_at: datetime) -> None:
        began.set()
        finish.wait(30)
        done.append("slow")

    with started(Job("slow", EVERY_FIVE, slow), Job("next", EVERY_FIVE, lambda _at: done.append("next"))) as schedule:
        assert began.wait(30)
        schedule.stop(timeout=0)
        assert done == [], "it is left to itself when it takes too long"
        finish.set()
        schedule.stop()
    assert done == ["slow"]
