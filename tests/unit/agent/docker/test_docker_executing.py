"""Commands on their way to an answer: written down first, done once, answered until the server has it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from reconciler.agent.docker.engine import EngineAway
from reconciler.agent.docker.executing import Executing
from reconciler.agent.docker.ledger import Ledger
from reconciler.agent.docker.order import Order
from reconciler.agent.docker.readiness import Broken
from reconciler.agent.link import Away, Refused
from reconciler.agent.options import DockerOptions
from reconciler.agent.pulse import Pulse
from support.replay import NOW


@dataclass
class FakeLink:
    waiting: list[dict[str, Any]] = field(default_factory=list)
    answers: list[tuple[str, str, str]] = field(default_factory=list)
    trouble: list[Exception] = field(default_factory=list)
    pulse: Pulse = field(default_factory=Pulse)
    waited: int = 0

    def next_command(self, wait: int) -> dict[str, Any] | None:
        self.waited += wait
        return self.waiting[0] if self.waiting else None

    def answer(self, command_id: str, status: str, message: str) -> None:
        if self.trouble:
            raise self.trouble.pop(0)
        self.answers.append((command_id, status, message))
        self.waiting = [one for one in self.waiting if one["command_id"] != command_id]


@dataclass
class FakeScaling:
    done: list[Order] = field(default_factory=list)
    trouble: list[Exception] = field(default_factory=list)

    def carry_out(self, order: Order) -> str:
        self.done.append(order)
        if self.trouble:
            raise self.trouble.pop(0)
        return f"{order.replicas} of {order.group} run here"


@dataclass
class Bench:
    link: FakeLink
    scaling: FakeScaling
    ledger: Ledger
    executing: Executing
    now: datetime = NOW

    def order(self, command_id: str, **payload: Any) -> None:
        body = {
            "command_id": command_id,
            "type": "docker.scale",
            "policyId": "scp_1",
            "payload": {"hostPool": "web-pool", "group": "web", "replicas": 3, "lbPoolRef": None, **payload},
            "issued_at": NOW.isoformat(),
            "expires_at": (NOW + timedelta(minutes=2)).isoformat(),
        }
        self.link.waiting.append(body)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    link, scaling, ledger = FakeLink(), FakeScaling(), Ledger(tmp_path)
    options = DockerOptions("web-pool", tmp_path)
    made: list[Bench] = []
    executing = Executing(
        link,  # type: ignore[arg-type]
        ledger,
        scaling,  # type: ignore[arg-type]
        options,
        clock=lambda: made[0].now,
        say=structlog.get_logger(),
    )
    made.append(Bench(link, scaling, ledger, executing))
    yield made[0]
    ledger.close()


def test_an_answer_that_does_not_arrive_is_given_again_and_nothing_is_done_again(bench: Bench) -> None:
    bench.order("c1")
    bench.link.trouble = [Away("no way"), Away("no way")]
    for act in (lambda: bench.executing.next(0), bench.executing.catch_up):
        with pytest.raises(Away):
            act()
    bench.executing.catch_up()
    assert bench.link.answers == [("c1", "succeeded", "3 of web run here")]
    bench.order("c1")
    assert bench.executing.next(0)
    assert bench.link.answers == [("c1", "succeeded", "3 of web run here")] * 2
    assert len(bench.scaling.done) == 1


def test_what_the_engine_kept_from_being_done_is_done_when_it_is_back(bench: Bench) -> None:
    bench.order("c1")
    bench.scaling.trouble = [EngineAway("away", after_seconds=1)]
    with pytest.raises(EngineAway):
        bench.executing.next(0)
    assert bench.link.answers == []
    bench.executing.catch_up()
    assert [order.id for order in bench.scaling.done] == ["c1", "c1"]
    assert bench.link.answers == [("c1", "succeeded", "3 of web run here")]


def test_what_has_expired_meanwhile_is_left_until_it_is_asked_for_again(bench: Bench) -> None:
    bench.order("c1")
    bench.scaling.trouble = [EngineAway("away", after_seconds=1)]
    with pytest.raises(EngineAway):
        bench.executing.next(0)
    bench.now += timedelta(minutes=2)
    bench.executing.catch_up()
    assert len(bench.scaling.done) == 1
    assert bench.link.answers == []
    assert bench.executing.next(0), "the server still has it: its clock is what counts"
    assert bench.link.answers == [("c1", "succeeded", "3 of web run here")]


def test_a_command_that_the_server_has_forgotten_does_not_hold_up_the_next(bench: Bench) -> None:
    bench.order("c1")
    bench.link.trouble = [Refused("no such command", status=404)]
    assert bench.executing.next(0)
    bench.link.waiting.clear()
    bench.executing.catch_up()
    assert bench.link.answers == []
    bench.order("c2")
    bench.executing.next(0)
    assert [answer[0] for answer in bench.link.answers] == ["c2"]


def test_why_it_failed_is_told_with_the_next_step_and_not_at_length(bench: Bench) -> None:
    bench.scaling.trouble = [Broken("web-3 ended with code 3", hint="look at its log"), Broken("x" * 2000)]
    bench.order("c1")
    bench.executing.next(0)
    bench.order("c2")
    bench.executing.next(0)
    bench.order("c3", hostPool="other")
    bench.executing.next(0)
    assert bench.link.answers[0] == ("c1", "failed", "web-3 ended with code 3; next: look at its log")
    assert len(bench.link.answers[1][2]) == 500
    assert bench.link.answers[2][1] == "failed" and "is for host pool 'other'" in bench.link.answers[2][2]
    assert len(bench.scaling.done) == 2


def test_the_load_balancers_pool_is_remembered_from_the_newest_command(bench: Bench) -> None:
    bench.order("c1", lbPoolRef="web-lb")
    bench.executing.next(0)
    assert bench.ledger.pools("web-pool") == (("web", "web-lb"),)
    bench.order("c2")
    bench.executing.next(0)
    assert bench.ledger.pools("web-pool") == ()
