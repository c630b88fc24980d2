"""The rounds of a Kubernetes agent: its parts do not wait for each other, nor fall with each other."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs
from tenacity import retry, stop_after_delay, wait_fixed

from reconciler.agent.failures import Away, Refused
from reconciler.agent.kubernetes.answers import Unreachable
from reconciler.agent.kubernetes.observing import Observed
from reconciler.agent.kubernetes.rounds import Rounds
from reconciler.agent.kubernetes.snapshot import Snapshot
from reconciler.agent.link import Desired
from reconciler.agent.pulse import Pulse
from support.replay import NOW

DESIRED = Desired(revision="4f1c", cluster="prod", manifests=(), roots=(), repository="", changed=True)


class Server:
    """A link that takes what it is given, or fails with what is in ``errors``; a push waits while ``hangs`` is set."""

    def __init__(self) -> None:
        self.push_interval, self.pulse = 0.01, Pulse()
        self.pushed: list[tuple[Any, Any]] = []
        self.pulls = 0
        self.errors: dict[str, Exception] = {}
        self.free = threading.Event()
        self.free.set()

    def twin(self) -> "Server":
        return self

    def register(self) -> None:
        self._fail("register")

    def push(self, lists: Any, at: Any) -> None:
        self.free.wait(10)
        self._fail("push")
        self.pushed.append((lists, at))

    def desired(self) -> Desired:
        self.pulls += 1
        self._fail("desired")
        return DESIRED

    def _fail(self, what: str) -> None:
        if what in self.errors:
            raise self.errors[what]


class Watching:
    """A cluster of which each look is numbered."""

    def __init__(self) -> None:
        self.looks = 0
        self.error: Exception | None = None

    def observe(self) -> Observed:
        if self.error is not None:
            raise self.error
        self.looks += 1
        return Observed({"quotas": [{"look": self.looks}]}, Snapshot(kinds=frozenset({("look", str(self.looks))})))


class Applying:
    """Writes down which look each step was given; ``during`` is done in a step."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.reports: list[str] = []
        self.during: Callable[[], None] = lambda: None
        self.error: Exception | None = None

    def step(self, desired: Desired, snapshot: Snapshot) -> str:
        ((_, look),) = snapshot.kinds
        self.steps.append(int(look))
        self.during()
        if self.error is not None:
            raise self.error
        return desired.revision

    def report(self, outcome: str) -> bool:
        self.reports.append(outcome)
        return True


class World:
    def __init__(self) -> None:
        self.server, self.cluster, self.applier = Server(), Watching(), Applying()
        self.rounds = Rounds(
            self.server, self.cluster, self.applier, clock=lambda: NOW, say=structlog.get_logger("test")
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self.rounds.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            self.server.free.set()
            thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def world() -> World:
    return World()


@retry(stop=stop_after_delay(10), wait=wait_fixed(0.005), reraise=True)
def until(true: Callable[[], bool]) -> None:
    assert true()


def test_a_round_looks_pushes_pulls_applies_and_reports(world: World) -> None:
    world.rounds.once()
    assert world.server.pushed == [({"quotas": [{"look": 1}]}, NOW)]
    assert (world.applier.steps, world.applier.reports) == ([1], ["4f1c"])


def test_each_look_is_pushed_once_and_in_order(world: World) -> None:
    with world.running():
        until(lambda: len(world.server.pushed) >= 5)
    looks = [lists["quotas"][0]["look"] for lists, _ in world.server.pushed]
    assert looks == sorted(set(looks))


def test_a_push_that_hangs_holds_up_neither_looking_nor_applying(world: World) -> None:
    world.server.free.clear()
    with world.running():
        until(lambda: len(world.applier.steps) >= 4)
        assert world.server.pushed == []
        world.server.free.set()
        until(lambda: len(world.server.pushed) >= 2)
    assert world.server.pushed[1][0]["quotas"][0]["look"] > 3, "of what was seen meanwhile only the newest is pushed"


def test_a_change_that_takes_long_holds_up_no_push(world: World) -> None:
    goes_on = threading.Event()
    world.applier.during = lambda: goes_on.wait(10) and None
    with world.running():
        until(lambda: len(world.server.pushed) >= 5)
        assert world.applier.steps == [1]
        goes_on.set()


def test_a_step_is_given_a_look_that_began_after_the_one_before_was_over(world: World) -> None:
    seen_after: list[int] = []
    enough = threading.Event()

    def three_looks_long() -> None:
        until(lambda: enough.is_set() or world.cluster.looks >= world.applier.steps[-1] + 3)
        seen_after.append(world.cluster.looks)

    world.applier.during = three_looks_long
    with world.running():
        until(lambda: len(world.applier.steps) >= 4)
        enough.set()
    assert len(seen_after) >= 3
    for looked_at_the_end, given_next in zip(seen_after, world.applier.steps[1:], strict=False):
        assert given_next >= looked_at_the_end, "a look from before would show what was there before the step"


def test_pushes_that_are_refused_do_not_keep_anything_from_being_applied(world: World) -> None:
    world.server.errors["push"] = Refused("cannot push: the key was revoked", hint="make another")
    with capture_logs() as log, world.running():
        until(lambda: len(world.applier.steps) >= 3)
    assert sum("push" in line["event"] for line in log) == 1


def test_what_is_the_matter_with_several_parts_is_said_once(world: World) -> None:
    refused = Refused("cannot register: the key was revoked", hint="make another")
    world.server.errors |= {"register": refused, "push": refused, "desired": refused}
    with capture_logs() as log, pytest.raises(Refused):
        world.rounds.once()
    (line,) = (line for line in log if line.get("error") == "cannot register: the key was revoked")
    assert line["next"] == "make another" and "retry_in" not in line, "there is no other try"


def test_a_cluster_that_is_away_is_looked_at_again_and_the_server_still_hears_of_the_agent(world: World) -> None:
    world.cluster.error = Unreachable("connection refused", after_seconds=0)
    with world.running():
        until(lambda: world.server.pulls >= 1)
        assert world.applier.steps == []
        world.cluster.error = None
        until(lambda: len(world.server.pushed) >= 1 and len(world.applier.steps) >= 1)


def test_a_defect_in_a_step_ends_neither_the_agent_nor_its_pushes(world: World) -> None:
    world.applier.error = KeyError("spec")
    with capture_logs() as log, world.running():
        until(lambda: len(world.server.pushed) >= 3)
    assert any("applying" in line["event"] for line in log)
    assert world.applier.reports == []


@pytest.mark.parametrize("what", ["look", "push", "desired", "step"])
def test_once_says_what_went_wrong_after_all_else_was_tried(world: World, what: str) -> None:
    error = Away("the server is away", after_seconds=1)
    if what == "look":
        world.cluster.error = error
    elif what == "step":
        world.applier.error = error
    else:
        world.server.errors[what] = error
    with pytest.raises(Away, match="the server is away"):
        world.rounds.once()
    assert world.server.pulls == 1
    assert len(world.server.pushed) == (what not in ("look", "push"))
    assert len(world.applier.steps) == (what not in ("look", "desired"))


def test_it_ends_at_once_though_the_next_look_is_far_away(world: World) -> None:
    world.server.push_interval = timedelta(hours=1).total_seconds()
    with world.running():
        until(lambda: len(world.applier.steps) == 1 and len(world.server.pushed) == 1)
    assert world.cluster.looks == 1
