"""The Agents API: every request of its document as printed there, and what becomes of bad ones."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from fastapi.testclient import TestClient
from httpx import Response

from api.agents.observed import observed_as
from api.app import create_app
from api.tokens import Tokens
from reconciler.clock import parse_instant
from reconciler.model.observation import Observation
from support.fleets import FleetRepo, fleet_yaml, git
from support.served import Served, serving
from support.small import small_fleet

REGISTRATION = {"name": "prod-web", "version": "1.4.2", "platform": "docker", "hostname": "prod-web-01"}
PUSH: dict[str, Any] = {
    "timestamp": "2026-06-16T10:00:00Z",
    "containers": [
        {
            "id": "a1b2c3d4e5f6",
            "name": "nginx-prod",
            "image": "nginx:1.25",
            "status": "running",
            "cpuPercent": 12.4,
            "memoryMB": 48,
            "memoryLimitMB": 512,
            "networkRxBytes": 10240,
            "networkTxBytes": 8192,
            "restartCount": 0,
        }
    ],
    "nodes": [],
    "pods": [],
}
"""As the document prints it."""

USERS = "a secret that the users' issuer has, long enough"
HERE = "/api/v1/agents"


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> FleetRepo:
    return small_fleet(tmp_path_factory.mktemp("acme"), extra="  hostPools: [{name: web-pool}, {name: blue}]\n")


@pytest.fixture
def served(repo: FleetRepo, database_url: str, tmp_path: Path) -> Iterator[Served]:
    """On the day of the document's examples."""
    with serving(tmp_path, repo, database_url=database_url) as opened:
        opened.clock.now = parse_instant("2026-06-16T10:00:05Z")
        yield opened


@pytest.fixture
def alone(repo: FleetRepo, tmp_path: Path) -> Iterator[Served]:
    """The same on SQLite only, where what is stored is not the matter."""
    with serving(tmp_path, repo) as opened:
        opened.clock.now = parse_instant("2026-06-16T10:00:05Z")
        yield opened


def ask(served: Served, method: str, path: str = "", *, headers: dict[str, str], **more: Any) -> Response:
    """A request with these credentials and no others."""
    client = TestClient(served.client.app, raise_server_exceptions=False)
    return client.request(method, HERE + path, headers=headers, **more)


def push(served: Served, agent: tuple[str, dict[str, str]], body: Any) -> Response:
    return served.client.post(f"{HERE}/{agent[0]}/push", json=body, headers=agent[1])


def newest(served: Served, key: str) -> Observation:
    """What is stored, once it is."""
    served.server.flush()
    return served.server.stores.observations.newest(key)


def pod(name: str = "web-0", **container: Any) -> dict[str, Any]:
    listed = {"name": "web", "cpuMillicores": 100, "memoryMB": 64, **container}
    return {"namespace": "default", "name": name, "uid": name, "ownerKind": "StatefulSet", "ownerName": "web"} | {
        "containers": [listed]
    }


# --- as the document prints it --------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["X-API-Key", "Authorization"])
def test_every_request_of_the_document(served: Served, header: str) -> None:
    key, _ = served.server.stores.keys.create("acme", "agents", ("agents:register",), (), served.clock())
    credentials = {header: key if header == "X-API-Key" else f"Bearer {key}"}
    registered = ask(served, "POST", "/register", headers=credentials, json=REGISTRATION)
    assert registered.status_code == 200
    made = registered.json()
    agent_id, token = made.pop("agentId"), made.pop("token")
    assert made == {"tokenExpiresIn": 3600, "pushIntervalSeconds": 15}
    assert agent_id.startswith("agent_")

    own = {"Authorization": f"Bearer {token}"}
    pushed = ask(served, "POST", f"/{agent_id}/push", headers=own, json=PUSH)
    assert (pushed.status_code, pushed.json()) == (200, {"ok": True})

    server = replace(served.server, tokens=Tokens("another secret, also long enough", user_secret=USERS))
    users = TestClient(create_app(server))
    claims = {"sub": "pat", "org_id": "acme", "scope": "agents:write", "exp": served.clock().timestamp() + 60}
    user = {"Authorization": f"Bearer {jwt.encode(claims, USERS, algorithm='HS256')}"}
    listed = users.get(HERE, headers=user)
    assert listed.status_code == 200
    assert listed.json() == [
        {
            "id": agent_id,
            "name": "prod-web",
            "platform": "docker",
            "hostname": "prod-web-01",
            "version": "1.4.2",
            "lastSeen": "2026-06-16T10:00:05Z",
            "status": "connected",
            "containerCount": 1,
        }
    ]

    deleted = users.delete(f"{HERE}/{agent_id}", headers=user)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert users.get(HERE, headers=user).json() == []


def test_what_was_pushed_is_stored_field_by_field(served: Served) -> None:
    agent = served.agent("prod-web", "docker", hostPool="web-pool")
    push(served, agent, PUSH)
    (container,) = newest(served, "docker/web-pool").containers
    assert container.model_dump(by_alias=True, exclude={"group", "host_pool"}) == PUSH["containers"][0]


# --- registering ----------------------------------------------------------------------------------------------------


def test_registering_again_is_the_same_agent_with_a_new_token(served: Served) -> None:
    first = served.client.post(f"{HERE}/register", json=REGISTRATION).json()
    served.clock.forward(seconds=30)
    again = served.client.post(f"{HERE}/register", json=REGISTRATION | {"platform": "Docker", "version": "1.5"})
    assert again.status_code == 200
    assert again.json()["agentId"] == first["agentId"]
    assert again.json()["token"] != first["token"]
    (listed,) = served.client.get(HERE).json()
    assert (listed["version"], listed["lastSeen"]) == ("1.5", "2026-06-16T10:00:35Z")


def test_the_same_names_in_two_organizations_are_two_agents(served: Served) -> None:
    theirs = served.key("admin", organization="globex")
    a = served.client.post(f"{HERE}/register", json=REGISTRATION).json()["agentId"]
    b = ask(served, "POST", "/register", headers=theirs, json=REGISTRATION).json()["agentId"]
    assert a != b
    assert [agent["id"] for agent in served.client.get(HERE).json()] == [a]
    assert [agent["id"] for agent in ask(served, "GET", headers=theirs).json()] == [b]
    assert ask(served, "DELETE", f"/{a}", headers=theirs).status_code == 404
    assert served.client.delete(f"{HERE}/{a}").status_code == 204


BAD_NAMES = ["a/b", "..", "a..b", ".a", "a.", "", " ", "a b", "a\nb", "a\x00b", "a\x7f", "é", "x" * 300, "x" * 254]
BAD_VALUES: list[object] = [*BAD_NAMES, None, 7, ["a"], {}]


@pytest.mark.parametrize("field", ["name", "hostname", "cluster", "hostPool"])
def test_names_that_are_no_names_are_refused_by_field(alone: Served, field: str) -> None:
    optional = field in ("cluster", "hostPool")
    for value in BAD_VALUES:
        if optional and value is None:
            continue
        answer = alone.client.post(f"{HERE}/register", json=REGISTRATION | {field: value})
        assert answer.status_code == 400, value
        assert answer.json()["field"] == field
        assert field in answer.json()["error"]
    assert alone.client.get(HERE).json() == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("platform", "lxc"), ("platform", None), ("platform", 3), ("version", "1\n2"), ("version", "v" * 300)],
)
def test_what_else_a_registration_cannot_say(alone: Served, field: str, value: object) -> None:
    answer = alone.client.post(f"{HERE}/register", json=REGISTRATION | {field: value})
    assert (answer.status_code, answer.json()["field"]) == (400, field)


@pytest.mark.parametrize("field", ["name", "hostname", "platform"])
def test_what_a_registration_needs(alone: Served, field: str) -> None:
    body = {name: value for name, value in REGISTRATION.items() if name != field}
    answer = alone.client.post(f"{HERE}/register", json=body)
    assert (answer.status_code, answer.json()["field"]) == (400, field)


@pytest.mark.parametrize(
    "name", ["prod", "Prod_1", "node-1.eu.example.com", "kind:dev", "gke_acme_west1_prod", "x" * 253]
)
def test_names_that_hosts_and_clusters_have(alone: Served, name: str) -> None:
    body = {"name": name, "hostname": name, "cluster": name, "platform": "KUBERNETES"}
    assert alone.client.post(f"{HERE}/register", json=body).status_code == 200
    assert alone.client.get(HERE).json()[0]["platform"] == "kubernetes"


def test_a_key_with_clusters_registers_agents_of_those_only(alone: Served) -> None:
    mine = alone.key("agents:write", "agents:register", clusters=("prod",))
    web = REGISTRATION | {"platform": "kubernetes"}

    def register(**more: str) -> Response:
        return ask(alone, "POST", "/register", headers=mine, json=web | more)

    assert register(cluster="prod").status_code == 200
    for body in ({"cluster": "dev"}, {"name": "other"}, {"platform": "docker", "hostPool": "web-pool"}):
        refused = register(**body)
        assert (refused.status_code, refused.json()["field"]) == (403, "cluster")
    dev, _ = alone.agent("dev", cluster="dev")
    pool, _ = alone.agent("pool", "docker", hostPool="web-pool")
    assert [agent["name"] for agent in ask(alone, "GET", headers=mine).json()] == ["prod-web"]
    assert [ask(alone, "DELETE", f"/{other}", headers=mine).status_code for other in (dev, pool)] == [404, 404]
    # Nor can it take over an agent of another cluster by giving the same names.
    taken = register(name="dev", hostname="dev-01", cluster="prod")
    assert (taken.status_code, taken.json()["field"]) == (403, "name")


# --- pushing --------------------------------------------------------------------------------------------------------


def instant(served: Served, **by: float) -> str:
    return (served.clock() + timedelta(**by)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_repeated_push_changes_nothing(served: Served) -> None:
    agent = served.agent("prod")
    body = {"timestamp": instant(served), "pods": [pod(oomKills=1)]}
    for _ in range(3):
        assert push(served, agent, body).json() == {"ok": True}
    assert push(served, agent, body | {"pods": []}).json() == {"ok": True}
    assert len(newest(served, "prod").pods) == 1
    assert push(served, agent, body).json() == {"ok": True}
    assert len(newest(served, "prod").pods) == 1
    usage = served.server.stores.usage.summaries("prod", since=served.clock(), until=served.clock(), quantiles={})
    assert {summary.samples for summary in usage.values()} == {1}


def test_a_push_from_the_past_is_history_and_no_state(served: Served) -> None:
    agent = served.agent("prod")
    push(served, agent, {"timestamp": instant(served), "pods": [pod("web-1")]})
    assert push(served, agent, {"timestamp": instant(served, days=-3), "pods": [pod("web-0")]}).json() == {"ok": True}
    assert [one.name for one in newest(served, "prod").pods] == ["web-1"]
    since = served.clock() - timedelta(days=4)
    usage = served.server.stores.usage.summaries("prod", since=since, until=served.clock(), quantiles={})
    assert {summary.samples for summary in usage.values()} == {2}


def test_a_clock_that_runs_ahead_is_told_so(alone: Served) -> None:
    agent = alone.agent("prod")
    assert push(alone, agent, {"timestamp": instant(alone, minutes=5), "nodes": []}).status_code == 200
    answer = push(alone, agent, {"timestamp": instant(alone, minutes=5, seconds=1), "nodes": [{"name": "n"}]})
    assert (answer.status_code, answer.json()["field"]) == (400, "timestamp")
    assert "ahead" in answer.json()["error"]
    assert newest(alone, "prod").nodes == ()


def test_parts_become_the_state_together(served: Served) -> None:
    agent, at = served.agent("prod"), instant(served)
    push(served, agent, {"timestamp": at, "pods": [pod("web-0")], "part": 0, "parts": 2})
    assert newest(served, "prod").pods == ()
    assert served.client.get(HERE).json()[0]["containerCount"] == 0
    push(served, agent, {"timestamp": at, "pods": [pod("web-1")], "part": 1, "parts": 2})
    assert len(newest(served, "prod").pods) == 2
    assert served.client.get(HERE).json()[0]["containerCount"] == 2


GOOD = {"timestamp": "2026-06-16T10:00:00Z"}
BAD_PUSHES: list[tuple[str, str, object]] = [
    ("no timestamp", "timestamp", {"containers": []}),
    ("a time without offset", "timestamp", {"timestamp": "2026-06-16T10:00:00"}),
    ("a day", "timestamp", {"timestamp": "2026-06-16"}),
    ("no day", "timestamp", {"timestamp": "2026-02-30T10:00:00Z"}),
    ("seconds since 1970", "timestamp", {"timestamp": 1781604000}),
    ("the same in quotes", "timestamp", {"timestamp": "1781604000"}),
    ("long ago", "timestamp", {"timestamp": "1999-12-31T23:59:59Z"}),
    ("the beginning of time", "timestamp", {"timestamp": "0001-01-01T00:00:00+14:00"}),
    ("no list", "containers", GOOD | {"containers": {}}),
    ("null", "pods", GOOD | {"pods": None}),
    ("a number that is text", "containers.0.cpuPercent", GOOD | {"containers": [{"cpuPercent": "12"}]}),
    ("a number that is true", "containers.0.restartCount", GOOD | {"containers": [{"restartCount": True}]}),
    ("half a restart", "containers.0.restartCount", GOOD | {"containers": [{"restartCount": 0.5}]}),
    ("less than nothing", "containers.1.memoryMB", GOOD | {"containers": [{}, {"memoryMB": -1}]}),
    ("absurd", "containers.0.memoryMB", GOOD | {"containers": [{"memoryMB": 1e300}]}),
    ("too many restarts", "containers.0.restartCount", GOOD | {"containers": [{"restartCount": 10**30}]}),
    ("negative traffic", "containers.0.networkRxBytes", GOOD | {"containers": [{"networkRxBytes": -1}]}),
    ("a slash", "containers.0.name", GOOD | {"containers": [{"name": "a/b"}]}),
    ("dots", "containers.0.group", GOOD | {"containers": [{"group": ".."}]}),
    ("somebody else's pool", "containers.0.hostPool", GOOD | {"containers": [{"hostPool": "../globex"}]}),
    ("a control character", "containers.0.image", GOOD | {"containers": [{"image": "a\x00b"}]}),
    ("300 characters", "pods.0.name", GOOD | {"pods": [pod("x" * 300)]}),
    ("a line end", "pods.0.namespace", GOOD | {"pods": [pod() | {"namespace": "a\nb"}]}),
    ("negative CPU", "pods.0.containers.0.cpuMillicores", GOOD | {"pods": [pod(cpuMillicores=-0.1)]}),
    ("a pod without a name", "pods.0.name", GOOD | {"pods": [{"namespace": "default"}]}),
    (
        "a quota in numbers",
        "quotas.0.hard.cpu",
        GOOD | {"quotas": [{"namespace": "a", "name": "b", "hard": {"cpu": 2}}]},
    ),
    ("a limit range that is text", "limitRanges.0", GOOD | {"limitRanges": ["x"]}),
    ("a part too many", "part", GOOD | {"part": 2, "parts": 2}),
    ("no part", "part", GOOD | {"part": -1, "parts": 2}),
    ("no parts", "parts", GOOD | {"parts": 0}),
    ("too many parts", "parts", GOOD | {"part": 0, "parts": 100000}),
]


def test_a_push_that_cannot_be_is_refused_by_field_and_nothing_of_it_is_stored(served: Served) -> None:
    agent = served.agent("prod-web", "docker", hostPool="web-pool")
    for what, field, body in BAD_PUSHES:
        answer = push(served, agent, body)
        assert (answer.status_code, answer.json().get("field")) == (400, field), (what, answer.json())
        assert answer.json()["error"].startswith(f"{field}: "), what
        assert set(answer.json()) == {"error", "field", "requestId"}
    assert newest(served, "docker/web-pool") == Observation(cluster="docker/web-pool")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"nonsense",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"timestamp": "2026-06-16T10:00:00Z", "containers": [{"cpuPercent": NaN}]}',
        b'{"timestamp": "2026-06-16T10:00:00Z", "containers": [{"cpuPercent": 1e999}]}',
        b'{"timestamp": "2026-06-16T10:00:00Z", "containers": [{"name": "\\ud800"}]}',
        b'{"timestamp": "2026-06-16T10:00:00Z", "hpas": [' + b"[" * 100_000 + b"]}",
    ],
    ids=lambda raw: raw[-20:].decode("latin-1"),
)
def test_what_is_no_push_at_all(alone: Served, raw: bytes) -> None:
    agent, token = alone.agent("prod-web", "docker")
    answer = alone.client.post(f"{HERE}/{agent}/push", content=raw, headers=token)
    assert answer.status_code == 400
    assert {"error", "requestId"} <= set(answer.json())
    assert alone.client.get(HERE).json()[0]["containerCount"] == 0


def test_a_body_over_2_mb_is_413(alone: Served) -> None:
    agent = alone.agent("prod-web", "docker")
    assert push(alone, agent, GOOD | {"containers": [{"image": "x" * 1000}] * 2200}).status_code == 413
    assert push(alone, agent, GOOD | {"containers": [{"image": "x" * 1000}] * 1900}).status_code == 200
    assert alone.client.get(HERE).json()[0]["containerCount"] == 1900


def test_fields_that_the_server_does_not_know_are_passed_over(alone: Served) -> None:
    agent = alone.agent("prod")
    body = GOOD | {"gpus": [1], "nodes": [{"name": "n1", "arch": "arm64"}], "cluster": "somebody-elses"}
    assert push(alone, agent, body).json() == {"ok": True}
    assert [node.name for node in newest(alone, "prod").nodes] == ["n1"]
    assert newest(alone, "somebody-elses").nodes == ()


def test_all_lists_are_kept(served: Served) -> None:
    lists: dict[str, Any] = {
        "pods": [{"namespace": "a", "name": "p", "ownerKind": "ReplicaSet", "phase": "Running"}],
        "nodes": [{"name": "n1", "nodePool": "general", "cpuCapacityMillicores": 4000}],
        "workloads": [{"namespace": "a", "kind": "Deployment", "name": "b", "replicas": 2, "strategy": "Recreate"}],
        "quotas": [{"namespace": "a", "name": "q", "hard": {"requests.cpu": "2"}}],
        "limitRanges": [{"metadata": {"name": "bounds"}, "spec": {"limits": [{"type": "Container"}]}}],
        "hpas": [{"kind": "ScaledObject", "metadata": {"name": "keda"}}],
        "pdbs": [{"metadata": {"name": "web"}, "spec": {"minAvailable": 1}}],
    }
    push(served, served.agent("prod"), GOOD | lists)
    state = newest(served, "prod").model_dump(mode="json", by_alias=True)
    for name, items in lists.items():
        assert state[name][0] | items[0] == state[name][0], name


def test_an_ended_token_says_to_register_again(alone: Served) -> None:
    agent, other = alone.agent("one"), alone.agent("two")
    foreign = push(alone, (agent[0], other[1]), GOOD)
    assert (foreign.status_code, "register again" in foreign.json()["error"]) == (403, True)
    alone.clock.forward(seconds=3599)
    assert push(alone, agent, GOOD).status_code == 200
    alone.clock.forward(seconds=1)
    expired = push(alone, agent, GOOD)
    assert (expired.status_code, "register again" in expired.json()["error"]) == (401, True)


# --- under which key --------------------------------------------------------------------------------------------------


def test_what_a_fleet_repo_of_the_agents_organization_declares_is_observed_by_its_name(alone: Served) -> None:
    def key(organization: str, platform: Any, name: str) -> str:
        return observed_as(alone.server, organization, platform, name, name)

    assert key("acme", "kubernetes", "prod") == "prod"
    assert key("acme", "docker", "web-pool") == "docker/web-pool"
    assert key("globex", "kubernetes", "prod") == "globex/prod"
    assert key("globex", "docker", "web-pool") == "globex/docker/web-pool"
    assert key("acme", "kubernetes", "web-pool") == "acme/web-pool"
    everywhere = {
        key(organization, platform, name)
        for organization in ("acme", "globex", "docker", "acme/docker", "%64ocker", "a b")
        for platform in ("kubernetes", "docker")
        for name in ("prod", "web-pool")
    }
    assert len(everywhere) == 24  # nobody ever writes where somebody else does


def test_another_organization_does_not_write_into_ones_clusters(served: Served) -> None:
    theirs = served.key("agents:register", organization="globex")
    body = {"name": "prod", "hostname": "x", "platform": "kubernetes", "cluster": "prod"}
    made = ask(served, "POST", "/register", headers=theirs, json=body).json()
    push(served, (made["agentId"], {"Authorization": f"Bearer {made['token']}"}), GOOD | {"nodes": [{"name": "bad"}]})
    assert newest(served, "prod").nodes == ()
    assert [node.name for node in newest(served, "globex/prod").nodes] == ["bad"]


def test_a_cluster_that_is_declared_later_is_observed_by_its_name_from_then_on(repo: FleetRepo, tmp_path: Path) -> None:
    mine = replace(repo, home=tmp_path, bare=tmp_path / "fleet.git", work=tmp_path / "work")
    shutil.copytree(repo.bare, mine.bare)
    git(tmp_path, "clone", "-q", str(mine.bare), str(mine.work))
    with serving(tmp_path, mine) as served:
        agent = served.agent("dev")
        push(served, agent, {"timestamp": instant(served), "nodes": [{"name": "before"}]})
        assert [node.name for node in newest(served, "acme/dev").nodes] == ["before"]
        declared = fleet_yaml("{name: prod, path: clusters/prod}", "{name: dev, id: c2, path: clusters/dev}")
        mine.write("trimtab.yaml", declared)
        for name in ("kustomization.yaml", "trimtab/kustomization.yaml", "apps/kustomization.yaml", "apps/web.yaml"):
            mine.write(f"clusters/dev/{name}", mine.show(f"clusters/prod/{name}"))
        mine.commit()
        served.reconcile()
        served.clock.forward(seconds=15)
        push(served, agent, {"timestamp": instant(served), "nodes": [{"name": "after"}]})
        assert [node.name for node in newest(served, "dev").nodes] == ["after"]
        found = served.server.stores.agents.find(agent[0])
        assert found is not None and found.observed_as == "dev"


def test_a_host_tells_each_pool_of_its_containers(served: Served) -> None:
    agent = served.agent("prod-web", "docker", hostPool="web-pool")
    mine, blue = {"name": "mine"}, {"name": "blue", "hostPool": "blue", "group": "g"}
    push(served, agent, {"timestamp": instant(served), "containers": [mine, blue]})
    assert [c.name for c in newest(served, "docker/web-pool").containers] == ["mine"]
    assert [c.name for c in newest(served, "docker/blue").containers] == ["blue"]
    push(served, agent, {"timestamp": instant(served, seconds=15), "containers": [mine]})
    assert [c.name for c in newest(served, "docker/web-pool").containers] == ["mine"]
    assert newest(served, "docker/blue").containers == ()
    assert served.client.get(HERE).json()[0]["containerCount"] == 1


# --- listing and deleting -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "status"), [(45, "connected"), (46, "stale"), (300, "stale"), (301, "disconnected")]
)
def test_the_status_follows_the_last_push(alone: Served, seconds: int, status: str) -> None:
    agent = alone.agent("prod")
    alone.clock.forward(seconds=20)
    push(alone, agent, {"timestamp": instant(alone)})
    alone.clock.forward(seconds=seconds)
    (listed,) = alone.client.get(HERE).json()
    assert (listed["status"], listed["lastSeen"]) == (status, "2026-06-16T10:00:25Z")


def test_a_deleted_agent_is_gone_with_its_metrics_and_its_token(served: Served) -> None:
    agent, other = served.agent("prod"), served.agent("dev")
    body = {"timestamp": instant(served), "pods": [pod()], "nodes": [{"name": "n1"}]}
    push(served, agent, body)
    push(served, other, body)
    served.server.flush()
    push(served, agent, body | {"timestamp": instant(served, seconds=15)})  # still on its way to the store
    assert served.client.delete(f"{HERE}/{agent[0]}").status_code == 204
    assert newest(served, "prod") == Observation(cluster="prod")
    window = {"since": served.clock() - timedelta(days=1), "until": served.clock() + timedelta(days=1)}
    assert served.server.stores.usage.summaries("prod", **window, quantiles={}) == {}  # type: ignore[arg-type]
    assert len(newest(served, "acme/dev").pods) == 1
    refused = push(served, agent, body)
    assert (refused.status_code, "register again" in refused.json()["error"]) == (401, True)
    assert served.client.delete(f"{HERE}/{agent[0]}").status_code == 404
    assert [listed["name"] for listed in served.client.get(HERE).json()] == ["dev"]
    again = served.client.post(
        f"{HERE}/register", json={"name": "prod", "version": "1.0", "platform": "kubernetes", "hostname": "prod-01"}
    )
    assert again.json()["agentId"] != agent[0]


def test_unknown_agents_are_404(alone: Served) -> None:
    for agent_id in ("agent_00000000", "..", "x" * 300, "a%00b"):
        assert alone.client.delete(f"{HERE}/{agent_id}").status_code in (400, 404)


def test_the_document_describes_a_push_with_its_fields(alone: Served) -> None:
    document = alone.client.get("/openapi.json").json()
    push_of = document["paths"]["/api/v1/agents/{agent_id}/push"]["post"]
    schema = push_of["requestBody"]["content"]["application/json"]
    assert schema["schema"]["$ref"].endswith("/PushBody")
    assert json.loads(json.dumps(schema["examples"]["docker"]["value"])) == PUSH
    container = document["components"]["schemas"]["GroupContainer"]["properties"]
    assert set(PUSH["containers"][0]) <= set(container)
