"""Shares of a group among hosts, and the commands that bring them about: level-triggered, sticky, idempotent."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.actuate.containers import CONFIRMED, RETRY, Cause, Orders, orders, place
from reconciler.model.agent import COMMAND_LIFETIME, Command
from reconciler.model.container_group import ContainerGroup, Host
from reconciler.model.observation import GroupContainer
from support.replay import NOW

CAUSE = Cause(commit="c" * 40, change_id="01CHANGE", policy_id="scp_1")


@pytest.mark.parametrize(
    ("replicas", "running", "per_host", "shares", "unplaced"),
    [
        (4, {"a": 0, "b": 0}, None, {"a": 2, "b": 2}, 0),
        (5, {"a": 0, "b": 0}, None, {"a": 3, "b": 2}, 0),
        (4, {"a": 3, "b": 1}, None, {"a": 3, "b": 1}, 0),
        (5, {"a": 3, "b": 1}, None, {"a": 3, "b": 2}, 0),
        (3, {"a": 3, "b": 1}, None, {"a": 2, "b": 1}, 0),
        (0, {"a": 3, "b": 1}, None, {"a": 0, "b": 0}, 0),
        (5, {"a": 0, "b": 0}, 2, {"a": 2, "b": 2}, 1),
        (4, {"a": 4, "b": 0}, 2, {"a": 2, "b": 2}, 0),
        (4, {"a": 2}, 2, {"a": 2}, 2),
        (3, {}, None, {}, 3),
    ],
)
def test_shares(
    replicas: int, running: dict[str, int], per_host: int | None, shares: dict[str, int], unplaced: int
) -> None:
    placed = place(replicas, running, per_host)
    assert (placed.shares, placed.unplaced) == (shares, unplaced)


HOSTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 9), max_size=6)


@given(st.integers(0, 40), HOSTS, st.none() | st.integers(1, 8))
def test_shares_add_up_move_nothing_needlessly_and_stay_once_reached(
    replicas: int, running: dict[str, int], per_host: int | None
) -> None:
    placed = place(replicas, running, per_host)
    shares = placed.shares
    assert sum(shares.values()) + placed.unplaced == replicas
    assert all(0 <= share <= (per_host or replicas + 99) for share in shares.values())
    if placed.unplaced:
        assert all(share == per_host for share in shares.values())
    if not per_host or max(running.values(), default=0) <= per_host:
        grows = replicas >= sum(running.values())
        assert all(shares[a] >= n if grows else shares[a] <= n for a, n in running.items())
    assert place(replicas, shares, per_host).shares == shares
    fresh = place(replicas, dict.fromkeys(running, 0), per_host).shares.values()
    assert max(fresh, default=0) - min(fresh, default=0) <= 1


def host(name: str, running: int, *, pushed: datetime | None = NOW, silent: float = 0) -> Host:
    container = GroupContainer(name="web-1", status="running", group="web")
    return Host(
        agent_id=name,
        last_seen=NOW + timedelta(hours=9) if not silent else NOW - timedelta(seconds=silent),
        pushed_at=pushed,
        containers=(container,) * running if pushed else (),
    )


def told(
    replicas: int,
    hosts: list[Host],
    *before: Command,
    now: datetime = NOW,
    cause: Cause = CAUSE,
    per_host: int | None = None,
) -> Orders:
    group = ContainerGroup(host_pool="web-pool", name="web", replicas=replicas)
    newest = {command.agent_id: command for command in before}
    return orders(group, hosts, newest, cause=cause, per_host=per_host, lb_pool_ref="lb", now=now)


def changes(found: Orders) -> dict[str, tuple[int, int]]:
    return {c.agent_id: (c.payload.from_replicas, c.payload.replicas) for c in found.commands}


def answered(command: Command, answer: str, at: datetime) -> Command:
    return command.model_copy(update={"answer": answer, "answered_at": at})


def test_only_hosts_that_differ_are_told() -> None:
    found = told(4, [host("a", 2), host("b", 1)])
    assert changes(found) == {"b": (1, 2)}
    (command,) = found.commands
    assert (command.policy_id, command.change_id, command.payload.lb_pool_ref) == ("scp_1", "01CHANGE", "lb")
    assert command.expires_at == NOW + COMMAND_LIFETIME
    assert (found.settled, found.due) == (False, command.expires_at)


def test_when_all_run_their_share_nothing_is_told_and_it_is_settled() -> None:
    found = told(3, [host("a", 2), host("b", 1)])
    assert (found.commands, found.settled, found.due) == ((), True, None)


def test_the_same_look_gives_the_same_command() -> None:
    first, again = told(3, [host("a", 2)]), told(3, [host("a", 2)], now=NOW + timedelta(seconds=1))
    assert [c.id for c in first.commands] == [c.id for c in again.commands]
    other = told(3, [host("a", 2)], cause=Cause(commit="d" * 40))
    assert other.commands[0].id != first.commands[0].id


def test_while_a_command_waits_it_is_not_repeated() -> None:
    (waiting,) = told(3, [host("a", 2)]).commands
    found = told(3, [host("a", 2)], waiting, now=NOW + timedelta(seconds=119))
    assert (found.commands, found.settled, found.due) == ((), False, waiting.expires_at)


def test_another_number_is_told_over_one_that_waits() -> None:
    (waiting,) = told(3, [host("a", 2)]).commands
    assert changes(told(5, [host("a", 2)], waiting)) == {"a": (2, 5)}
    assert changes(told(2, [host("a", 2)], waiting)) == {"a": (2, 2)}, "it may have been done already"


def test_what_has_expired_is_told_again_under_another_id() -> None:
    (expired,) = told(3, [host("a", 2)]).commands
    found = told(3, [host("a", 2)], expired, now=NOW + COMMAND_LIFETIME)
    assert changes(found) == {"a": (2, 3)}
    assert found.commands[0].id != expired.id


def test_what_an_agent_confirms_is_believed_over_an_older_push() -> None:
    (command,) = told(3, [host("a", 2)]).commands
    done = answered(command, "succeeded", NOW + timedelta(seconds=5))
    assert told(3, [host("a", 2)], done, now=NOW + timedelta(seconds=30)).settled
    later = done.answered_at + CONFIRMED + timedelta(seconds=1)  # type: ignore[operator]
    gone = told(3, [host("a", 2, pushed=later)], done, now=later)
    assert changes(gone) == {"a": (2, 3)}, "a container has died since"


def test_a_host_that_failed_is_told_the_same_again_after_ten_minutes_and_another_number_at_once() -> None:
    (command,) = told(3, [host("a", 2)]).commands
    failed = answered(command, "failed", NOW)
    held = told(3, [host("a", 2)], failed, now=NOW + RETRY - timedelta(seconds=1))
    assert (held.commands, held.settled, held.due) == ((), False, NOW + RETRY)
    assert changes(told(3, [host("a", 2)], failed, now=NOW + RETRY)) == {"a": (2, 3)}
    assert changes(told(4, [host("a", 2)], failed, now=NOW)) == {"a": (2, 4)}


def test_a_silent_host_is_told_nothing_and_others_take_its_share() -> None:
    found = told(4, [host("a", 2), host("b", 2, silent=46)])
    assert changes(found) == {"a": (2, 4)}
    back = told(4, [host("a", 4), host("b", 2)])
    assert changes(back) == {"a": (4, 2)}


def test_a_host_that_has_not_pushed_yet_is_told_nothing() -> None:
    found = told(4, [host("a", 2), host("b", 0, pushed=None)])
    assert changes(found) == {"a": (2, 4)}


def test_without_a_host_nothing_is_settled() -> None:
    found = told(2, [])
    assert (found.commands, found.unplaced, found.settled) == ((), 2, False)
