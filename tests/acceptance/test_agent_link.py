"""An agent's link to a real server: pushes that were kept arrive in the history, tokens and keys that end are dealt with."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.agent.link import Away, Link, Refused
from reconciler.model.agent import ObjectStatus
from support.fleets import FleetRepo
from support.linked import Through, link_to
from support.served import Served, serving
from support.small import small_fleet


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> FleetRepo:
    return small_fleet(tmp_path_factory.mktemp("acme"), extra="  hostPools: [{name: web-pool}]\n")


@pytest.fixture
def served(repo: FleetRepo, tmp_path: Path, database_url: str) -> Iterator[Served]:
    with serving(tmp_path, repo, database_url=database_url) as opened:
        yield opened


@pytest.fixture
def alone(repo: FleetRepo, tmp_path: Path) -> Iterator[Served]:
    """On SQLite only, where what is stored is not the matter."""
    with serving(tmp_path, repo) as opened:
        yield opened


def pods(number: int = 1) -> dict[str, list[dict[str, Any]]]:
    container = {"name": "server", "cpuMillicores": 250, "memoryMB": 180, "restartCount": 0, "oomKills": 0}
    return {
        "pods": [
            {
                "namespace": "app",
                "name": f"web-6f7d8c9b5-{n:05}",
                "uid": f"uid-{n}",
                "ownerKind": "ReplicaSet",
                "ownerName": "web-6f7d8c9b5",
                "node": "node-1",
                "phase": "Running",
                "ready": True,
                "containers": [container],
            }
            for n in range(number)
        ],
        "nodes": [],
        "workloads": [{"namespace": "app", "kind": "Deployment", "name": "web", "uid": "w", "replicas": number}],
    }


def samples(served: Served, since: datetime) -> int:
    served.server.flush()
    store = served.server.stores.usage
    found = store.summaries("prod", since=since, until=served.clock(), quantiles={})
    return max((summary.samples for summary in found.values()), default=0)


def agents(served: Served) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = served.client.get("/api/v1/agents").json()
    return listed


def test_an_agent_is_connected_and_what_it_pushed_is_observed(served: Served) -> None:
    link = link_to(served, cluster="prod")
    link.push(pods(3), served.clock())
    served.server.flush()
    (agent,) = agents(served)
    assert (agent["name"], agent["platform"], agent["status"]) == ("prod", "kubernetes", "connected")
    assert agent["version"] and agent["containerCount"] == 3
    observed = served.server.stores.observations.newest("prod")
    assert observed is not None and len(observed.pods) == 3


def test_a_large_push_in_parts_becomes_the_state_as_a_whole(served: Served) -> None:
    link = link_to(served, cluster="prod")
    link._body_bytes = 20_000
    link.push(pods(300), served.clock())
    served.server.flush()
    observed = served.server.stores.observations.newest("prod")
    assert observed is not None and len(observed.pods) == 300 and len(observed.workloads) == 1


def test_an_hour_without_a_server_costs_neither_usage_nor_a_restart(served: Served) -> None:
    """Twenty pushes of that hour are kept; the token has expired by then, too."""
    through = Through(served)
    link, began = link_to(served, cluster="prod", through=through), served.clock()
    link.push(pods(), served.clock())
    through.away = True
    for _ in range(60):
        served.clock.forward(minutes=1)
        with pytest.raises(Away, match="cannot be reached"):
            link.push(pods(), served.clock())
    through.away = False
    served.clock.forward(minutes=1)
    link.push(pods(2), served.clock())
    assert samples(served, began) == 1 + 19 + 2, "the newest has two pods"
    observed = served.server.stores.observations.newest("prod")
    assert observed is not None and len(observed.pods) == 2, "and is what counts"
    assert [path for _, path, _ in through.seen].count("/api/v1/agents/register") == 2
    assert [agent["status"] for agent in agents(served)] == ["connected"]
    assert link.unsent == 0


def test_a_deleted_agent_registers_again(alone: Served) -> None:
    link = link_to(alone, cluster="prod")
    link.push(pods(), alone.clock())
    (agent,) = agents(alone)
    assert alone.client.delete(f"/api/v1/agents/{agent['id']}").status_code == 204
    assert agents(alone) == []
    link.push(pods(), alone.clock())
    assert len(agents(alone)) == 1


def test_the_desired_state_can_be_had_after_the_agent_that_pushed_was_deleted(served: Served) -> None:
    link = link_to(served, cluster="prod")
    link.push(pods(), served.clock())
    served.server.flush()
    revision = link.desired().revision
    (agent,) = agents(served)
    assert served.client.delete(f"/api/v1/agents/{agent['id']}").status_code == 204
    assert link.desired().revision == revision


def test_a_revoked_key_ends_the_agent_within_seconds_and_a_new_one_lets_it_in_again(served: Served) -> None:
    keys = served.server.stores.keys
    secret, key = keys.create("acme", "agent", ("agents:register",), (), served.clock())
    other, _ = keys.create("acme", "other", ("agents:register",), (), served.clock())
    held = [secret]
    link = link_to(served, cluster="prod", key=lambda: held[0])
    link.push(pods(), served.clock())
    keys.revoke(key.id, served.clock())
    served.clock.forward(seconds=6)
    with pytest.raises(Refused, match="the key is not valid, or was revoked") as told:
        link.push(pods(), served.clock())
    assert "trimtab key create" in str(told.value) and secret not in str(told.value)
    assert link.unsent == 1
    held[0] = other
    link.push(pods(), served.clock())
    assert link.unsent == 0


def test_a_key_without_the_scope_or_for_another_cluster(alone: Served) -> None:
    bare = alone.key("scaling:read")["Authorization"].removeprefix("Bearer ")
    with pytest.raises(Refused, match="the scope agents:register is needed"):
        link_to(alone, cluster="prod", key=bare).register()
    other = alone.key("agents:register", clusters=("staging",))["Authorization"].removeprefix("Bearer ")
    with pytest.raises(Refused, match="the key is for other clusters"):
        link_to(alone, cluster="prod", key=other).register()


def test_the_desired_state_costs_one_304_until_it_changes(alone: Served) -> None:
    through = Through(alone)
    link = link_to(alone, cluster="prod", through=through)
    first, second = link.desired(), link.desired()
    assert (first.cluster, first.changed, second.changed) == ("prod", True, False)
    assert first.revision == second.revision == alone.steward.watch.head
    assert first.repository and [root["sync"] for root in first.roots] == ["agent"]
    assert [status for _, path, status in through.seen if path.endswith("desired")] == [200, 304]
    objects = [ObjectStatus(api_version="apps/v1", kind="Deployment", namespace="app", name="web", status="applied")]
    link.report(first.revision, objects)


def test_a_cluster_that_no_fleet_declares_is_said_with_the_next_step(alone: Served) -> None:
    with pytest.raises(Refused, match="declares the cluster 'elsewhere': add it to spec.clusters"):
        link_to(alone, cluster="elsewhere").desired()


def test_what_the_tree_says_without_the_overlay(alone: Served) -> None:
    link = link_to(alone, cluster="prod")
    revision = link.desired().revision
    field = {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "app", "name": "nobody"}
    (answer,) = link.base(revision, [{**field, "paths": [["spec", "replicas"]]}])
    assert answer["found"] is False and answer["values"] == []
    with pytest.raises(Refused, match="capacity"):
        link.base(revision, [{**field, "paths": [["spec", "template", "spec", "serviceAccountName"]]}])


def test_a_docker_agent_is_told_that_there_is_no_command(alone: Served) -> None:
    link: Link = link_to(alone, platform="docker", host_pool="web-pool")
    assert link.next_command(wait=0) is None
    with pytest.raises(Refused, match="no such command"):
        link.answer("cmd_00000000000000000000000001", "succeeded", "")
