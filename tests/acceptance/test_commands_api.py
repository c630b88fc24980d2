"""The command channel as an agent uses it: long polls, delivery again and again, results once."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.clock import stopwatch
from reconciler.model.agent import Command, DockerScale
from reconciler.store.commands import CommandStore
from reconciler.store.database import open_database
from support.fleets import new_fleet
from support.hosts import DockerHost, docker_host
from support.served import Served, serving

FLEET = (
    "apiVersion: trimtab.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\nspec:\n  hostPools: [{name: web-pool}]\n"
)


@pytest.fixture
def served(tmp_path: Path, database_url: str) -> Iterator[Served]:
    with serving(tmp_path, new_fleet(tmp_path / "home", {"trimtab.yaml": FLEET}), database_url=database_url) as served:
        yield served


@pytest.fixture
def host(served: Served) -> DockerHost:
    return docker_host(served, "host-1", web=2)


def scale(served: Served, agent_id: str, number: int = 1, replicas: int = 3, group: str = "web") -> Command:
    payload = DockerScale(host_pool="web-pool", group=group, replicas=replicas, from_replicas=2)
    now = served.clock()
    return Command(
        id=f"cmd_{number:026x}",
        agent_id=agent_id,
        policy_id="scp_1",
        payload=payload,
        issued_at=now,
        expires_at=now + timedelta(minutes=2),
    )


class Poll(threading.Thread):
    """A long poll in the background: what it was told, and how long after ``since`` started."""

    def __init__(self, host: DockerHost, wait: int) -> None:
        super().__init__()
        self._host, self._wait = host, wait
        self.told: dict[str, Any] | None = None
        self.elapsed = stopwatch()
        self.seconds = 0.0
        self.start()

    def run(self) -> None:
        self.told = self._host.poll(self._wait)
        self.seconds = self.elapsed()

    def over(self) -> dict[str, Any] | None:
        self.join(timeout=30)
        return self.told


def until_somebody_waits(served: Served) -> None:
    """A poll is noted as heard of when it begins; the bell's thread runs while anybody waits."""
    while not any(thread.name == "bell" for thread in threading.enumerate()):
        assert served.server.settings


def test_a_poll_is_answered_with_the_fields_of_the_document(served: Served, host: DockerHost) -> None:
    served.server.stores.commands.issue([scale(served, host.id)])
    assert host.poll() == {
        "command_id": f"cmd_{1:026x}",
        "type": "docker.scale",
        "policyId": "scp_1",
        "payload": {"hostPool": "web-pool", "group": "web", "replicas": 3, "fromReplicas": 2, "lbPoolRef": None},
        "issued_at": "2026-06-17T10:00:00Z",
        "expires_at": "2026-06-17T10:02:00Z",
    }


def test_without_a_command_the_wait_ends_with_204_and_no_body(served: Served, host: DockerHost) -> None:
    elapsed = stopwatch()
    answer = served.client.get(f"/api/v1/agents/{host.id}/commands?wait=1", headers=host.token)
    assert (answer.status_code, answer.content) == (204, b"")
    assert 0.9 < elapsed() < 5


def test_a_command_that_is_queued_meanwhile_arrives_at_once(served: Served, host: DockerHost) -> None:
    poll = Poll(host, 30)
    until_somebody_waits(served)
    queued = stopwatch()
    served.server.stores.commands.issue([scale(served, host.id)])
    assert poll.over() is not None
    assert queued() < 2


def test_a_command_of_another_process_arrives_too(served: Served, host: DockerHost) -> None:
    other = open_database(served.settings.database)
    poll = Poll(host, 30)
    until_somebody_waits(served)
    queued = stopwatch()
    CommandStore(other).issue([scale(served, host.id)])
    told = poll.over()
    other.dispose()
    assert told is not None
    assert queued() < 2


def test_commands_for_others_are_not_told(served: Served, host: DockerHost) -> None:
    other = docker_host(served, "host-2")
    poll = Poll(host, 1)
    served.server.stores.commands.issue([scale(served, other.id)])
    assert poll.over() is None
    told = other.poll()
    assert told is not None and told["payload"]["replicas"] == 3


def test_it_is_told_again_until_it_is_answered(served: Served, host: DockerHost) -> None:
    served.server.stores.commands.issue([scale(served, host.id, 1), scale(served, host.id, 2, group="worker")])
    first, again = host.poll(), host.poll(5)
    assert first is not None and first == again
    assert host.answer(first["command_id"], "succeeded").json() == {"ok": True}
    second = host.poll()
    assert second is not None and second["payload"]["group"] == "worker"
    host.answer(second["command_id"], "failed", "no such image")
    assert host.poll() is None


def test_it_is_told_until_it_has_expired(served: Served, host: DockerHost) -> None:
    served.server.stores.commands.issue([scale(served, host.id)])
    served.clock.forward(seconds=119)
    assert host.poll() is not None
    served.clock.forward(seconds=1)
    assert host.poll() is None
    assert host.answer(f"cmd_{1:026x}", "succeeded").json() == {"ok": True}, "late is not wrong"


def test_the_first_result_wins_and_all_are_answered_the_same(served: Served, host: DockerHost) -> None:
    served.server.stores.commands.issue([scale(served, host.id)])
    command_id = f"cmd_{1:026x}"
    answers = [
        host.answer(command_id, "succeeded", "done"),
        host.answer(command_id, "failed", "oh"),
        host.answer(command_id, "succeeded"),
    ]
    assert [(a.status_code, a.json()) for a in answers] == [(200, {"ok": True})] * 3
    kept = served.server.stores.commands.newest([host.id])[host.id, "web-pool", "web"]
    assert (kept.answer, kept.message) == ("succeeded", "done")


def test_a_failure_without_a_change_is_logged_once(served: Served, host: DockerHost) -> None:
    served.server.stores.commands.issue([scale(served, host.id)])
    for _ in range(3):
        host.answer(f"cmd_{1:026x}", "failed", "no\x00 space\n\nleft")
    rows = served.server.stores.log.recent(served.steward.watch.url, "scp_1")
    assert [(row.action, row.runtime, row.from_replicas, row.to_replicas) for row in rows] == [
        ("apply_failed", "docker", 2, 3)
    ]
    assert "no space left" in rows[0].outcome


@pytest.mark.parametrize("wait", ["-1", "61", "soon", "1e9", ""])
def test_a_wait_that_cannot_be_is_a_400_that_names_it(served: Served, host: DockerHost, wait: str) -> None:
    answer = served.client.get(f"/api/v1/agents/{host.id}/commands?wait={wait}", headers=host.token)
    assert (answer.status_code, answer.json()["field"]) == (400, "wait")


@pytest.mark.parametrize("body", [{}, {"status": "done"}, {"status": "failed", "message": 3}, [], {"status": None}])
def test_a_result_that_is_none_is_a_400(served: Served, host: DockerHost, body: Any) -> None:
    served.server.stores.commands.issue([scale(served, host.id)])
    path = f"/api/v1/agents/{host.id}/commands/cmd_{1:026x}/result"
    answer = served.client.post(path, json=body, headers=host.token)
    assert answer.status_code == 400
    assert host.poll() is not None


@pytest.mark.parametrize("command_id", ["cmd_00", "x", "cmd_" + "f" * 300, "cmd_%F0%9F%A6%A9"])
def test_a_result_for_no_command_is_a_404(served: Served, host: DockerHost, command_id: str) -> None:
    assert host.answer(command_id, "succeeded").status_code == 404


def test_another_agents_command_is_nobodys(served: Served, host: DockerHost) -> None:
    other = docker_host(served, "host-2")
    served.server.stores.commands.issue([scale(served, host.id)])
    assert other.answer(f"cmd_{1:026x}", "succeeded").status_code == 404
    foreign = served.client.get(f"/api/v1/agents/{host.id}/commands?wait=0", headers=other.token)
    assert foreign.status_code == 403
    assert host.poll() is not None


def test_a_kubernetes_agent_may_poll(served: Served) -> None:
    agent_id, token = served.agent("prod", "kubernetes")
    answer = served.client.get(f"/api/v1/agents/{agent_id}/commands?wait=0", headers=token)
    assert answer.status_code == 204


def test_a_poll_is_a_sign_of_life(served: Served, host: DockerHost) -> None:
    served.clock.forward(minutes=4)
    status = {a["name"]: a["status"] for a in served.client.get("/api/v1/agents").json()}
    assert status["host-1"] == "stale"
    host.poll()
    status = {a["name"]: a["status"] for a in served.client.get("/api/v1/agents").json()}
    assert status["host-1"] == "connected"


def test_polls_end_when_the_server_is_closing(served: Served, host: DockerHost) -> None:
    poll = Poll(host, 60)
    until_somebody_waits(served)
    closing = stopwatch()
    served.server.closing.set()
    assert poll.over() is None
    assert closing() < 5
    assert host.poll(60) is None


def test_a_host_of_a_pool_that_nobody_declares_is_told_so_when_it_registers(served: Served) -> None:
    body = {"name": "h", "version": "1", "platform": "docker", "hostname": "h", "hostPool": "web-pol"}
    notice = served.client.post("/api/v1/agents/register", json=body).headers["Trimtab-Notice"]
    assert "no fleet repo declares the host pool 'web-pol'" in notice and "web-pool" in notice
    assert "spec.hostPools of trimtab.yaml" in notice
    known = served.client.post("/api/v1/agents/register", json={**body, "hostPool": "web-pool"})
    assert known.status_code == 200 and "Trimtab-Notice" not in known.headers
