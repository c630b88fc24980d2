"""Every route of the application, asked for by everybody who may not: 401, 403 or 404, and never anybody's data.

A route that is not listed here fails the test, so that nobody adds one without saying who may use it.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from api.app import create_app
from api.tokens import Tokens
from reconciler.model.access import SCOPES, Scope, grants
from reconciler.model.agent import Command, DockerScale
from reconciler.model.run import Heartbeat, Run, RunAction
from support.fleets import FleetRepo, fleet_yaml, new_fleet
from support.proxmox import Pve, proxmox
from support.recommended import recommendation
from support.served import Served, serving

MARK = "xyzzy"
"""Is in every name of acme's, and in no answer to anybody else."""

USERS = "a secret that the users' issuer has, long enough"
PUBLIC = {
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /health/check",
    "GET /openapi.json",
    "GET /docs",
    "GET /docs/oauth2-redirect",
}
POLICY = {"name": f"{MARK} two", "runtime": "kubernetes", "targetRef": f"{MARK}/two", "cpuTargetPercent": 70}
AGENT = {"name": f"{MARK}-new", "version": "1", "platform": "docker", "hostname": f"{MARK}-new-01"}
PUSH = {"timestamp": "2026-06-17T10:00:00Z", "containers": [], "nodes": [], "pods": []}
ACTION = {
    "scope": "cluster",
    "cluster": MARK,
    "name": f"{MARK} two",
    "action": "containerRequestRightSizing",
    "config": {"profile": "Production"},
}
HEAD = "the head of the branch"
REPORT = {"revision": "0" * 40, "objects": []}


@dataclass(frozen=True)
class Route:
    """``scope`` None: the agent's own. ``about_one``: about one thing, named in the path."""

    scope: Scope | None
    body: Any = None
    about_one: bool = False
    query: dict[str, str] | None = None
    bearer_only: bool = False
    query_key: bool = False


def lxc(scope: Scope, body: Any = None, *, about_one: bool = True, **query: str) -> Route:
    """A route of the LXC API, which takes a key in the query, too."""
    return Route(scope, body, about_one, query or None, query_key=True)


ROUTES: dict[str, Route] = {
    "GET /api/v1/scaling/policies": Route("scaling:read"),
    "POST /api/v1/scaling/policies": Route("scaling:write", POLICY),
    "GET /api/v1/scaling/policies/{policy_id}": Route("scaling:read", about_one=True),
    "PUT /api/v1/scaling/policies/{policy_id}": Route("scaling:write", {"maxReplicas": 9}, about_one=True),
    "POST /api/v1/scaling/policies/{policy_id}/rollback": Route("scaling:write", about_one=True),
    "DELETE /api/v1/scaling/policies/{policy_id}": Route("scaling:write", about_one=True),
    "GET /api/v1/scaling/decisions": Route("scaling:read"),
    "GET /api/v1/agents": Route("agents:read"),
    "POST /api/v1/agents/register": Route("agents:register", AGENT),
    "DELETE /api/v1/agents/{agent_id}": Route("agents:write", about_one=True),
    "GET /api/v1/changes": Route("changes:read"),
    "GET /api/v1/changes/{change_id}": Route("changes:read", about_one=True),
    "POST /api/v1/changes/{change_id}/approve": Route("changes:write", {}, about_one=True),
    "POST /api/v1/changes/{change_id}/reject": Route("changes:write", {}, about_one=True),
    "GET /api/v1/status": Route("changes:read"),
    "GET /api/v1/windows": Route("changes:read"),
    "GET /actions/completed": Route("actions:read", query={"window": "7d"}),
    "GET /action/enabled": Route("actions:read"),
    "GET /action/configs": Route("actions:read"),
    "GET /action/config": Route("actions:read", query={"id": "{action_config_id}"}, about_one=True),
    "POST /action/config": Route("actions:write", ACTION),
    "DELETE /action/config": Route("actions:write", query={"id": "{action_config_id}"}, about_one=True),
    "GET /actions/runs": Route("actions:read", query={"window": "7d"}),
    "GET /action/heartbeats": Route("actions:read"),
    "GET /action/heartbeats/latest": Route("actions:read"),
    "GET /v1/recommendations": Route("recommendations:read", bearer_only=True),
    "GET /v1/recommendations/{rec_id}": Route("recommendations:read", about_one=True, bearer_only=True),
    "POST /api/v1/agents/{agent_id}/push": Route(None, PUSH),
    "GET /api/v1/agents/{agent_id}/commands": Route(None),
    "POST /api/v1/agents/{agent_id}/commands/{command_id}/result": Route(None, {"status": "succeeded", "message": ""}),
    "GET /api/v1/agents/{agent_id}/scaling/desired": Route(None),
    "POST /api/v1/agents/{agent_id}/scaling/status": Route(None, REPORT),
    "POST /api/v1/agents/{agent_id}/scaling/base": Route(None, {"revision": HEAD, "fields": []}),
    "GET /routes": lxc("lxc:read", about_one=False),
    "POST /scale/cores": lxc("lxc:write", {"vm_id": 104, "cores": 4}),
    "POST /scale/ram": lxc("lxc:write", {"vm_id": 104, "memory": 2048}),
    "POST /scale/storage/increase": lxc("lxc:write", {"vm_id": 104, "disk_size": 5}),
    "POST /snapshot/create": lxc("lxc:write", {"vm_id": 104, "snapshot_name": f"{MARK}-2"}),
    "GET /snapshot/list": lxc("lxc:read", vm_id="104"),
    "POST /snapshot/rollback": lxc("lxc:write", {"vm_id": 104, "snapshot_name": MARK}),
    "POST /clone/create": lxc("lxc:write", {"vm_id": 104, "new_vm_id": 105, "new_vm_name": MARK}),
    "DELETE /clone/delete": lxc("lxc:write", {"vm_id": 104}),
    "GET /resource/vm/status": lxc("lxc:read", vm_id="104"),
    "GET /resource/vm/config": lxc("lxc:read", vm_id="104"),
    "GET /resource/node/status": lxc("lxc:read", node_name="pve1"),
    "POST /action/config/sync": Route("actions:write"),
    "POST /action/submitter/sync": Route("actions:write"),
    "POST /action/ingestor/sync": Route("actions:write"),
    "POST /action/heartbeat/sync": Route("actions:write"),
}


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> FleetRepo:
    """acme's fleet repo."""
    root = f"clusters/{MARK}"
    deployment = f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: one, namespace: {MARK}}}
spec:
  selector: {{matchLabels: {{app: one}}}}
  template:
    metadata: {{labels: {{app: one}}}}
    spec: {{containers: [{{name: one, image: one, resources: {{requests: {{cpu: 100m, memory: 64Mi}}}}}}]}}
"""
    fleet = fleet_yaml(f"{{name: {MARK}, path: {root}}}", extra=f"  hostPools: [{{name: {MARK}-pool}}]\n")
    files = {
        "trimtab.yaml": fleet,
        f"{root}/kustomization.yaml": "resources: [apps]\ncomponents: [trimtab]\n",
        f"{root}/apps/kustomization.yaml": "resources: [one.yaml]\n",
        f"{root}/apps/one.yaml": deployment,
        f"{root}/trimtab/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: []\n",
    }
    return new_fleet(tmp_path_factory.mktemp("acme"), files)


@dataclass
class Stage:
    """acme, where everything there is exists, and those who are not to see it."""

    served: Served
    ids: dict[str, str]
    own: dict[str, dict[str, str]]
    """By agent id, the header with that agent's token."""
    agent_id: str

    def ask(self, name: str, headers: dict[str, str], **other: str) -> Any:
        """The answer to a request for a route about acme's things. Two seconds pass, so that no rate limit is met."""
        self.served.clock.forward(seconds=2)
        method, template = name.split()
        values = self.ids | ({"agent_id": self.agent_id} if ROUTES[name].scope is None else {}) | other
        query = {key: value.format(**values) for key, value in (ROUTES[name].query or {}).items()}
        more = {"params": {"wait": 0}} if template.endswith("/commands") else {"params": query} if query else {}
        body = ROUTES[name].body
        if body is not None and body.get("revision") == HEAD:
            body = {**body, "revision": self.served.steward.watch.head}
        return self.served.client.request(method, template.format(**values), headers=headers, json=body, **more)


@pytest.fixture(scope="module")
def pve() -> Iterator[Pve]:
    with proxmox() as running:
        yield running


@pytest.fixture
def stage(repo: FleetRepo, database_url: str, tmp_path: Path, pve: Pve) -> Iterator[Stage]:
    mine = replace(repo, bare=tmp_path / "fleet.git")
    shutil.copytree(repo.bare, mine.bare)
    pve.clear()
    container = pve.add(104, hostname=MARK)
    container.snapshots[MARK] = dict(container.config, snaptime=1735020000)
    with serving(tmp_path, mine, database_url=database_url, **pve.settings) as served:
        policy = {
            **POLICY,
            "name": f"{MARK} one",
            "targetRef": f"{MARK}/one",
            "dryRun": False,
            "approvalRequired": True,
        }
        policy_id = served.client.post("/api/v1/scaling/policies", json=policy).json()["id"]
        served.reconcile()
        change_id = served.client.get("/api/v1/changes").json()["items"][0]["id"]
        agent_id, token = served.agent(MARK, cluster=MARK)
        doomed, _ = served.agent(f"{MARK}-doomed", "docker", hostPool=f"{MARK}-pool")
        now = served.clock()
        command = Command(
            id="cmd_1", agent_id=agent_id, policy_id=policy_id, issued_at=now, expires_at=now,
            payload=DockerScale(host_pool=f"{MARK}-pool", group=MARK, replicas=2, from_replicas=1),
        )  # fmt: skip
        served.server.stores.commands.issue([command])
        _action_run(served, now)
        action = served.client.post("/action/config", json={**ACTION, "name": f"{MARK} one"}).json()["data"]
        ids = {"policy_id": policy_id, "change_id": change_id, "agent_id": doomed, "command_id": command.id}
        ids["action_config_id"] = action["id"]
        recommended = recommendation(MARK, cluster=MARK, cluster_id="", namespace=MARK)
        served.server.stores.recommendations.save([recommended])
        ids["rec_id"] = recommended.id
        served.client.headers.pop("Authorization")
        yield Stage(served, ids, {agent_id: token}, agent_id)


def _action_run(served: Served, now: datetime) -> None:
    """One completed action of acme's, its run, and a heartbeat."""
    common = {"organization": "acme", "fleet": "acme", "action_id": "a1", "config_name": MARK}
    run = Run(id="run1", action="namespaceTurndown", start=now, **common)
    done = RunAction(
        id="done1", run_id="run1", cluster=MARK, action="namespaceTurndown", parameters={"namespace": MARK},
        change_id="", outcome="success", created_at=now, completed_at=now, **common,
    )  # fmt: skip
    served.server.stores.runs.record(run, [done])
    beat = Heartbeat(
        organization="acme", cluster=MARK, controller="reconciler", at=now, status="healthy", version="1",
        actions_processed=1,
    )  # fmt: skip
    served.server.stores.heartbeats.beat([beat])


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def strangers(stage: Stage, route: Route) -> Iterator[tuple[str, dict[str, str], set[int]]]:
    """Who may not use a route: what they are, what they send, and the answers that are right."""
    served = stage.served
    tokens, clock = served.server.tokens, served.clock
    yield "no credentials", {}, {401}
    yield "a wrong key", bearer("tt_live_" + "0" * 32), {401}
    yield "a wrong key in the other header", {"X-API-Key": "tt_live_" + "0" * 32}, {401}
    secret, key = served.server.stores.keys.create("acme", "revoked", ("admin",), (), clock())
    served.server.stores.keys.revoke(key.id, clock())
    yield "a revoked key", bearer(secret), {401}
    yield "a token of another issuer", bearer(_forged(stage)), {401}
    unsigned = jwt.encode({"sub": "pat", "org_id": "acme", "scope": "admin", "exp": 9**11}, None, algorithm="none")
    yield "an unsigned token", bearer(unsigned), {401}
    expired = tokens.for_agent(stage.agent_id, "acme", clock.now.replace(year=2025))
    yield "an agent's expired token", bearer(expired), {401} if route.scope is None else {401, 403}
    yield "a deleted agent's token", bearer(tokens.for_agent("agent_gone", "acme", clock())), {401, 403}
    if route.scope is None:
        yield "acme's own key", served.key("admin"), {401, 403}
        yield "another agent's token", bearer(tokens.for_agent(stage.ids["agent_id"], "acme", clock())), {403}
        yield (
            "the agent's id in another organization",
            bearer(tokens.for_agent(stage.agent_id, "globex", clock())),
            {401},
        )
        return
    yield "an agent's token", stage.own[stage.agent_id], {401, 403}
    scopes: tuple[Scope, ...] = tuple(s for s in SCOPES if not grants(frozenset({s}), route.scope))
    yield "a key without the scope", served.key(*scopes), {403}


def outsiders(stage: Stage) -> Iterator[tuple[str, dict[str, str], set[int]]]:
    """Who may use the route, and yet must not see what is acme's; and the answers about a thing of acme's."""
    yield "another organization's key", stage.served.key("admin", organization="globex"), {404}
    limited = stage.served.key("admin", clusters=("elsewhere",))
    yield "a key that is limited to another cluster", limited, {403, 404}
    claims = {"sub": "mallory", "org_id": "globex", "scope": "admin", "exp": stage.served.clock().timestamp() + 60}
    yield "another organization's user", bearer(jwt.encode(claims, USERS, algorithm="HS256")), {404}


def _forged(stage: Stage) -> str:
    return Tokens("some other secret, just as long as the real one").for_agent(
        stage.agent_id, "acme", stage.served.clock()
    )


def test_every_route_is_listed_with_who_may_use_it(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        app = served.client.app
        found = {f"{m} {route.path}" for route in iter_route_contexts(app.routes) for m in (route.methods or ())}
        documented = app.openapi()["paths"]
    served_too = {name for name in found if name.startswith("HEAD ")}
    assert found - served_too - PUBLIC == set(ROUTES)
    for name, route in ROUTES.items():
        method, template = name.split()
        security = documented[template][method.lower()]["security"]
        expected = [{"agent": []}] if route.scope is None else [{"bearer": [route.scope]}, {"apiKey": [route.scope]}]
        expected = expected[:1] if route.bearer_only else expected
        expected += [{"apiKeyQuery": [route.scope]}] if route.query_key else []
        assert security == expected, f"{name} is documented to need something else"


def test_nobody_gets_what_is_not_theirs(stage: Stage) -> None:
    tokens = Tokens("a secret of the server's, long enough to sign", user_secret=USERS)
    stage = _with_tokens(stage, tokens)
    wrong = []
    for name, route in ROUTES.items():
        for who, headers, right in strangers(stage, route):
            answer = stage.ask(name, headers)
            if answer.status_code not in right or MARK in answer.text or "error" not in answer.text:
                wrong.append(f"{name} for {who}: {answer.status_code} {answer.text[:200]}")
        for who, headers, right in outsiders(stage) if route.scope is not None else ():
            answer = stage.ask(name, headers)
            refused = answer.status_code in right if route.about_one else answer.status_code < 500
            if not refused or MARK in _without_echo(answer.text, route):
                wrong.append(f"{name} for {who}: {answer.status_code} {answer.text[:200]}")
    assert not wrong, "\n".join(wrong)
    _still_there(stage)


def test_a_deleted_agents_token_opens_nothing(stage: Stage) -> None:
    doomed = stage.ids["agent_id"]
    token = bearer(stage.served.server.tokens.for_agent(doomed, "acme", stage.served.clock()))
    push = "POST /api/v1/agents/{agent_id}/push"
    assert stage.ask(push, token, agent_id=doomed).status_code == 200
    assert stage.ask("DELETE /api/v1/agents/{agent_id}", stage.served.key("agents:write")).status_code == 204
    for name in (name for name, route in ROUTES.items() if route.scope is None):
        answer = stage.ask(name, token, agent_id=doomed)
        assert answer.status_code == 401 and "register again" in answer.json()["error"], name


def test_whoever_may_is_let_in(stage: Stage) -> None:
    order = ["GET", "PUT", "POST", "DELETE"]
    for name, route in sorted(ROUTES.items(), key=lambda item: order.index(item[0].split()[0])):
        headers = stage.own[stage.agent_id] if route.scope is None else stage.served.key(route.scope)
        answer = stage.ask(name, headers)
        assert answer.status_code not in (401, 403, 404, 405, 429), f"{name}: {answer.status_code} {answer.text[:200]}"
        assert answer.status_code < 500, f"{name}: {answer.status_code} {answer.text[:200]}"


def _with_tokens(stage: Stage, tokens: Tokens) -> Stage:
    """The same with an issuer of users' tokens."""
    server = replace(stage.served.server, tokens=tokens)
    client = TestClient(create_app(server), raise_server_exceptions=False)
    served = replace(stage.served, server=server, client=client)
    own = {agent: bearer(tokens.for_agent(agent, "acme", served.clock())) for agent in stage.own}
    return replace(stage, served=served, own=own)


def _without_echo(text: str, route: Route) -> str:
    """An answer to a request with a body may quote what was sent in it."""
    for value in route.body.values() if isinstance(route.body, dict) else ():
        text = text.replace(value, "") if isinstance(value, str) else text
    return text


def _still_there(stage: Stage) -> None:
    """All of it is as it was before they came."""
    stores = stage.served.server.stores
    policy = stage.ask("GET /api/v1/scaling/policies/{policy_id}", stage.served.key("scaling:read")).json()
    assert (policy["name"], policy["maxReplicas"]) == (f"{MARK} one", 10)
    kept = stage.ask("GET /resource/vm/config", stage.served.key("lxc:read")).json()["data"]
    assert (kept["cores"], kept["memory_mb"]) == (2, 1024)
    change = stage.ask("GET /api/v1/changes/{change_id}", stage.served.key("changes:read")).json()
    assert change["state"] == "held"
    (action,) = stage.ask("GET /action/configs", stage.served.key("actions:read")).json()["data"]
    assert (action["id"], action["name"]) == (stage.ids["action_config_id"], f"{MARK} one")
    assert {agent.id for agent in stores.agents.list("acme")} == {stage.agent_id, stage.ids["agent_id"]}
