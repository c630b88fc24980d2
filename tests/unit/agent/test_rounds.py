"""Again and again: the waits between tries, and what is said of them."""

import threading
from collections.abc import Callable

import pytest
import structlog
from structlog.testing import capture_logs

from reconciler.agent.failures import Away, Refused
from reconciler.agent.pace import Pace
from reconciler.agent.rounds import rounds

SAY = structlog.get_logger("test")


class Run:
    """Runs ``do`` so many times, on waits that take no time."""

    def __init__(self, do: Callable[[int], None], times: int, chance: float = 0.0) -> None:
        self.waits: list[float] = []
        self._do, self._times, self._done = do, times, 0
        self._stop = threading.Event()
        pace = Pace(self._stop, chance=lambda: chance, wait=self._wait)
        with capture_logs() as self.log:
            rounds(self._round, what="push", every=lambda: 15.0, stop=self._stop, say=SAY, pace=pace)

    def _round(self) -> None:
        self._done += 1
        self._do(self._done)

    def _wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return self._done >= self._times

    @property
    def said(self) -> list[str]:
        return [line["event"] for line in self.log]


def test_it_goes_on_at_its_interval() -> None:
    run = Run(lambda _: None, 4)
    assert run.waits == pytest.approx([15.0] * 4, abs=0.5)
    assert run.log == []


def away(_: int) -> None:
    raise Away("cannot push: nobody there")


def test_a_server_that_is_away_is_asked_less_and_less_often_but_always_again() -> None:
    run = Run(away, 10)
    assert run.waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]


def test_a_little_chance_keeps_agents_from_coming_back_all_at_once() -> None:
    run = Run(away, 10, chance=1.0)
    assert run.waits == [1.25, 2.5, 5, 10, 20, 40, 75, 75, 75, 75]


def test_what_is_the_matter_is_said_once_and_that_it_is_over_once() -> None:
    def until_five(number: int) -> None:
        if number <= 5:
            raise Away("cannot push: nobody there", hint="check --server")

    run = Run(until_five, 8)
    assert run.said == ["trouble: push", "well again: push"]
    first = run.log[0]
    assert (first["log_level"], first["error"], first["next"]) == (
        "warning",
        "cannot push: nobody there",
        "check --server",
    )
    assert run.waits == pytest.approx([1, 2, 4, 8, 16, 15, 15, 15], abs=0.5)


def test_another_trouble_is_said_too() -> None:
    def two(number: int) -> None:
        raise Away("cannot push: nobody there") if number <= 3 else Refused("cannot push: the key was revoked")

    run = Run(two, 6)
    assert [line["error"] for line in run.log] == ["cannot push: nobody there", "cannot push: the key was revoked"]
    assert run.log[1]["log_level"] == "error"


def test_after_success_the_waits_begin_anew() -> None:
    def every_third(number: int) -> None:
        if number % 3:
            raise Away("cannot push: nobody there")

    assert Run(every_third, 6).waits == pytest.approx([1, 2, 15, 1, 2, 15], abs=0.5)


def test_a_retry_after_is_honoured() -> None:
    def busy(_: int) -> None:
        raise Away("cannot push: too many requests", after_seconds=7)

    assert Run(busy, 5).waits == [7, 7, 7, 8, 16]


def test_where_a_person_must_act_there_is_no_hurry() -> None:
    def refused(_: int) -> None:
        raise Refused("cannot push: the key was revoked")

    run = Run(refused, 3)
    assert run.waits == [60, 60, 60]
    assert run.said == ["trouble: push"]


def test_a_defect_does_not_end_the_agent_and_shows_where_it_is() -> None:
    def defect(number: int) -> None:
        if number == 1:
            raise ZeroDivisionError("oh")

    run = Run(defect, 3)
    assert run.said == ["trouble: push", "well again: push"]
    assert run.log[0]["exc_info"]


def test_one_round_says_what_went_wrong_itself() -> None:
    done = []
    rounds(lambda: done.append(1), what="push", every=lambda: 15.0, stop=threading.Event(), say=SAY, once=True)
    assert done == [1]
    with pytest.raises(Away):
        rounds(lambda: away(1), what="push", every=lambda: 15.0, stop=threading.Event(), say=SAY, once=True)


def test_nothing_is_said_of_what_fails_because_the_agent_stops() -> None:
    stop = threading.Event()

    def stopped() -> None:
        stop.set()
        raise Away("cannot push: the connection was closed")

    with capture_logs() as log:
        rounds(stopped, what="push", every=lambda: 15.0, stop=stop, say=SAY)
    assert log == []
