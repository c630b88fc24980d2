"""Two servers over one database and one fleet repo: what a person or an agent says to one is done by the other."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import tenacity

from support.fleets import FleetRepo, new_fleet
from support.processes import WAIT, Process, process

FLEET = (
    "apiVersion: trimtab.dev/v1alpha1\nkind: Fleet\nmetadata: {name: acme}\nspec:\n  hostPools: [{name: web-pool}]\n"
)
POLICY = {
    "name": "web",
    "runtime": "docker",
    "targetRef": "web-pool/web",
    "cpuTargetPercent": 70,
    "minReplicas": 2,
    "maxReplicas": 3,
}
SECRET = "a secret that both servers have, long enough"


def call(server: Process, method: str, path: str, headers: dict[str, str], body: object = None) -> Any:
    answer = httpx.request(method, server.url + path, headers=headers, json=body, timeout=WAIT)
    assert answer.status_code < 300, (answer.text, server.log)
    return answer.json()


def push(server: Process, agent: dict[str, Any], cpu: float) -> None:
    fields = {"image": "web:1", "status": "running", "memoryMB": 10, "group": "web", "cpuPercent": cpu}
    containers = [{"id": f"c{number}", "name": f"web-{number}", **fields} for number in range(2)]
    body = {"timestamp": datetime.now(UTC).isoformat(), "containers": containers}  # noqa: TID251 - as a real agent does
    call(server, "POST", f"/api/v1/agents/{agent['agentId']}/push", token_of(agent), body)


def token_of(agent: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {agent['token']}"}


@tenacity.retry(stop=tenacity.stop_after_delay(WAIT), wait=tenacity.wait_fixed(0.05), reraise=True)
def held(server: Process, headers: dict[str, str]) -> str:
    (change,) = call(server, "GET", "/api/v1/changes?state=held", headers)["items"]
    return str(change["id"])


@tenacity.retry(stop=tenacity.stop_after_delay(WAIT), wait=tenacity.wait_fixed(0.05), reraise=True)
def landed(repo: FleetRepo) -> None:
    assert "docker/web-pool/web.yaml" in repo.files()


@pytest.fixture
def repo(tmp_path: Path, database_url: str) -> FleetRepo:
    made = new_fleet(tmp_path, {"trimtab.yaml": FLEET})
    made.env = {"TRIMTAB_DATABASE_URL": database_url, "TRIMTAB_SECRET_KEY": SECRET}
    return made


def test_what_is_said_to_one_server_is_done_by_the_other(repo: FleetRepo) -> None:
    key = repo.trimtab("key", "create", "--org", "acme", "--name", "all", "--scope", "admin", code=0).out.strip()
    headers = {"X-API-Key": key}
    other = repo.env | {"TRIMTAB_STATE_DIR": str(repo.home / "other")}
    with (
        process(repo, "--no-loop", "--interval", "1", **repo.env) as asked,
        process(repo, "--interval", "1", **other) as acts,
    ):
        asked.until("/readyz", 200)
        acts.until("/readyz", 200)
        live = POLICY | {"dryRun": False, "approvalRequired": True, "cooldownScaleUpSeconds": 0}
        policy = call(asked, "POST", "/api/v1/scaling/policies", headers, live)["id"]
        assert [one["id"] for one in call(acts, "GET", "/api/v1/scaling/policies", headers)] == [policy]
        host = {"name": "h", "version": "1", "platform": "docker", "hostname": "h", "hostPool": "web-pool"}
        agent = call(asked, "POST", "/api/v1/agents/register", headers, host)
        push(acts, agent, 50)
        call(asked, "POST", f"/api/v1/changes/{held(asked, headers)}/approve", headers, {})
        landed(repo)
        call(asked, "PUT", f"/api/v1/scaling/policies/{policy}", headers, {"approvalRequired": False})
        push(acts, agent, 200)
        command = call(asked, "GET", f"/api/v1/agents/{agent['agentId']}/commands?wait=30", token_of(agent))
        assert command["payload"]["replicas"] == 3
        rows = call(asked, "GET", "/api/v1/scaling/decisions", headers)
        assert [(row["action"], row["toReplicas"]) for row in rows] == [("apply", 3), ("apply", 2)]
        assert (asked.stop(), acts.stop()) == (0, 0)
