"""Leases: one holder at a time, over processes, and what happens when a holder dies."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, text

from reconciler.errors import RetryLater
from reconciler.store.leases import Lease, LeaseStore, process_owner
from reconciler.store.transactions import writing

NAME = "acme#main"
ELSEWHERE = "another-host/4026531836:17:12345"


class Hands:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = datetime(2026, 6, 17, 10, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def hold(stack: ExitStack, store: LeaseStore, owner: str = ELSEWHERE, wait: float = 0) -> Lease:
    return stack.enter_context(store.hold(NAME, owner=owner, wait_seconds=wait))


def test_a_held_lease_is_refused_by_the_holders_name_and_free_afterwards(engine: Engine) -> None:
    store = LeaseStore(engine)
    with ExitStack() as first:
        hold(first, store)
        with ExitStack() as second, pytest.raises(RetryLater, match=r"another-host.*:17:12345"):
            hold(second, store, process_owner())
        with ExitStack() as other, store.hold("other", owner=ELSEWHERE, wait_seconds=0) as lease:
            assert lease.name == "other"
            other.close()
    with ExitStack() as third:
        hold(third, store, process_owner()).renew()


def test_it_is_free_after_an_error_too(engine: Engine) -> None:
    store = LeaseStore(engine)
    with pytest.raises(ZeroDivisionError), store.hold(NAME, owner=ELSEWHERE, wait_seconds=0):
        _ = 1 / 0
    with ExitStack() as second:
        hold(second, store).renew()


def test_an_end_that_the_database_cannot_be_told_of_keeps_nobody_of_this_process_waiting(engine: Engine) -> None:
    def away(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("DELETE"):
            raise RetryLater("the database is away", after_seconds=1)

    store = LeaseStore(engine)
    event.listen(engine, "before_cursor_execute", away)
    with pytest.raises(ZeroDivisionError), store.hold(NAME, owner=process_owner(), wait_seconds=0):
        _ = 1 / 0
    event.remove(engine, "before_cursor_execute", away)
    with ExitStack() as elsewhere, pytest.raises(RetryLater):
        hold(elsewhere, LeaseStore(engine))
    with ExitStack() as second:
        hold(second, store, process_owner()).renew()


def test_who_waits_is_told_once_for_whom(engine: Engine) -> None:
    store, told = LeaseStore(engine), list[str]()
    with ExitStack() as first:
        hold(first, store)
        with pytest.raises(RetryLater), store.hold(NAME, owner="me:1:1", wait_seconds=0.6, on_wait=told.append):
            pytest.fail("held by two")
    assert told == [ELSEWHERE]


def test_a_holder_elsewhere_loses_it_after_a_minute_and_learns_of_it(engine: Engine) -> None:
    hands = Hands()
    store = LeaseStore(engine, hands)
    with ExitStack() as first, ExitStack() as second:
        lease = hold(first, store)
        hands.now += timedelta(seconds=59)
        with pytest.raises(RetryLater):
            hold(second, store, "b:1:1")
        lease.renew()
        hands.now += timedelta(seconds=59)
        with pytest.raises(RetryLater):
            hold(second, store, "b:1:1")
        hands.now += timedelta(seconds=2)
        hold(second, store, "b:1:1").renew()
        with pytest.raises(RetryLater, match="was lost"):
            lease.renew()
        first.close()
        with pytest.raises(RetryLater, match="b:1:1"), store.hold(NAME, owner="c:1:1", wait_seconds=0):
            pytest.fail("the loser let go of what was not its own")


def test_a_lease_is_renewed_while_it_is_held(engine: Engine) -> None:
    store = LeaseStore(engine, lease_seconds=1)
    with ExitStack() as first, ExitStack() as second:
        hold(first, store)
        with pytest.raises(RetryLater):
            hold(second, store, "b:1:1", wait=1.8)


def test_a_pid_that_was_given_to_another_process_does_not_count_as_alive(engine: Engine) -> None:
    host, pid, started = process_owner().split(":")
    store = LeaseStore(engine)
    with writing(engine) as connection:
        connection.execute(
            text("INSERT INTO leases VALUES (:name, :owner, 'token', 99999999999999)"),
            {"name": NAME, "owner": f"{host}:{pid}:{int(started) - 1}"},
        )
    with ExitStack() as first:
        hold(first, store, process_owner()).renew()


HOLDER = """
import sys
from reconciler.store.database import open_database
from reconciler.store.leases import LeaseStore, process_owner
store = LeaseStore(open_database(sys.argv[1]))
with store.hold("acme#main", owner=process_owner(), wait_seconds=30):
    print("held", flush=True)
    sys.stdin.readline()
"""

TURNS = """
import sys
from pathlib import Path
from reconciler.store.database import open_database
from reconciler.store.leases import LeaseStore, process_owner
store = LeaseStore(open_database(sys.argv[1]))
inside, log = Path(sys.argv[2]) / "inside", Path(sys.argv[2]) / "log"
for turn in range(5):
    with store.hold("acme#main", owner=process_owner(), wait_seconds=60):
        inside.touch(exist_ok=False)
        with log.open("a") as file:
            file.write(f"{sys.argv[3]} {turn}\\n")
        inside.unlink()
"""


@pytest.fixture
def start(database_url: str) -> Callable[..., subprocess.Popen[str]]:
    def run(script: str, *words: str) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([sys.executable, "-c", script, database_url, *words], **pipes)  # type: ignore[call-overload, no-any-return]

    return run


def test_two_processes_take_turns(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    both = [start(TURNS, str(tmp_path), name) for name in ("left", "right")]
    assert [(process.communicate()[1], process.returncode) for process in both] == [("", 0), ("", 0)]
    turns = (tmp_path / "log").read_text().splitlines()
    assert sorted(turns) == sorted(f"{name} {turn}" for name in ("left", "right") for turn in range(5))


def test_a_holder_that_is_killed_frees_it_at_once(engine: Engine, start: Callable[..., subprocess.Popen[str]]) -> None:
    store = LeaseStore(engine)
    holder = start(HOLDER)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with ExitStack() as second:
        with pytest.raises(RetryLater, match=f":{holder.pid}:"):
            hold(second, store, process_owner())
        holder.kill()
        hold(second, store, process_owner(), wait=10).renew()
    holder.communicate()
