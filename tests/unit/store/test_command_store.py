"""Commands on their way to agents, on both databases."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from reconciler.model.agent import Command, DockerScale
from reconciler.store.commands import CommandStore
from support.replay import NOW


@pytest.fixture
def commands(engine: Engine) -> CommandStore:
    return CommandStore(engine)


def scale(
    number: int, agent: str = "agent_1", replicas: int = 3, *, group: str = "web", after: float = 0, change: str = ""
) -> Command:
    at = NOW + timedelta(seconds=after)
    return Command(
        id=f"cmd_{number:x}",
        agent_id=agent,
        policy_id="scp_1",
        change_id=change,
        payload=DockerScale(host_pool="pool", group=group, replicas=replicas, from_replicas=2, lb_pool_ref="lb"),
        issued_at=at,
        expires_at=at + timedelta(minutes=2),
    )


def test_what_is_issued_waits_as_it_is_until_it_expires(commands: CommandStore) -> None:
    command = scale(1)
    assert commands.issue([command]) == (command,)
    assert commands.waiting("agent_1", NOW) == command
    assert commands.waiting("agent_2", NOW) is None
    assert commands.waiting("agent_1", command.expires_at - timedelta(microseconds=1)) == command
    assert commands.waiting("agent_1", command.expires_at) is None


def test_the_same_command_is_issued_once(commands: CommandStore) -> None:
    commands.issue([scale(1)])
    assert commands.issue([scale(1, after=60)]) == ()
    assert commands.waiting("agent_1", NOW) == scale(1)
    assert commands.waiting("agent_1", NOW + timedelta(seconds=121)) is None


def test_a_newer_command_for_the_same_group_ends_the_one_that_waits(commands: CommandStore) -> None:
    commands.issue([scale(1), scale(2, group="worker"), scale(3, agent="agent_2")])
    commands.issue([scale(4, replicas=5, after=10)])
    now = NOW + timedelta(seconds=10)
    waiting = commands.waiting("agent_1", now)
    assert waiting is not None and waiting.payload.group == "worker"
    commands.answer("agent_1", "cmd_2", "succeeded", "", now)
    assert commands.waiting("agent_1", now) == scale(4, replicas=5, after=10)
    other = commands.waiting("agent_2", now)
    assert other is not None and other.id == "cmd_3"


def test_commands_wait_in_the_order_they_were_issued(commands: CommandStore) -> None:
    commands.issue([scale(9, group="b"), scale(1, group="a")])
    first = commands.waiting("agent_1", NOW)
    assert first is not None and first.id == "cmd_9"


def test_the_first_answer_wins(commands: CommandStore) -> None:
    commands.issue([scale(1)])
    first = commands.answer("agent_1", "cmd_1", "failed", "no space", NOW)
    second = commands.answer("agent_1", "cmd_1", "succeeded", "", NOW + timedelta(seconds=1))
    assert first is not None and second is not None
    assert (first[1], second[1]) == (True, False)
    assert (second[0].answer, second[0].message, second[0].answered_at) == ("failed", "no space", NOW)
    assert commands.waiting("agent_1", NOW) is None


def test_nobody_answers_what_is_not_theirs(commands: CommandStore) -> None:
    commands.issue([scale(1)])
    assert commands.answer("agent_2", "cmd_1", "succeeded", "", NOW) is None
    assert commands.answer("agent_1", "cmd_2", "succeeded", "", NOW) is None
    assert commands.waiting("agent_1", NOW) is not None


def test_the_newest_of_each_agent_and_group(commands: CommandStore) -> None:
    commands.issue([scale(1), scale(2, group="worker"), scale(3, agent="agent_2")])
    commands.issue([scale(4, replicas=7, after=5)])
    found = commands.newest(["agent_1", "agent_2", "agent_3"])
    assert {slot: command.id for slot, command in found.items()} == {
        ("agent_1", "pool", "web"): "cmd_4",
        ("agent_1", "pool", "worker"): "cmd_2",
        ("agent_2", "pool", "web"): "cmd_3",
    }
    assert commands.newest([]) == {}


def test_the_commands_of_a_change_are_the_newest_of_each_host(commands: CommandStore) -> None:
    commands.issue([scale(1, change="C1"), scale(2, agent="agent_2", change="C1")])
    commands.issue([scale(3, change="C1", after=130), scale(4, agent="agent_2", change="C2", after=130)])
    assert [command.id for command in commands.of_change("C1")] == ["cmd_3", "cmd_2"]
    assert commands.of_change("") == ()


def test_who_has_something_waiting(commands: CommandStore) -> None:
    commands.issue([scale(1), scale(2, agent="agent_2"), scale(3, agent="agent_3")])
    commands.answer("agent_2", "cmd_2", "succeeded", "", NOW)
    assert commands.open_agents(NOW) == {"agent_1", "agent_3"}
    assert commands.open_agents(NOW + timedelta(minutes=2)) == frozenset()


def test_who_listens_hears_of_each_new_command_once(commands: CommandStore) -> None:
    heard: list[frozenset[str]] = []
    commands.listen(heard.append)
    commands.issue([scale(1), scale(2, agent="agent_2")])
    commands.issue([scale(1)])
    commands.issue([])
    assert heard == [{"agent_1", "agent_2"}]


def test_commands_that_others_have_followed_go_after_a_week(commands: CommandStore) -> None:
    week = 7 * 86400
    commands.issue([scale(1, change="C"), scale(2, group="worker", change="C")])
    commands.issue([scale(3, after=week + 1)])
    assert [command.id for command in commands.of_change("C")] == ["cmd_2"]
