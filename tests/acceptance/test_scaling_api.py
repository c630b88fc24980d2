"""The Scaling API's document, request by request and field by field, and what a policy becomes in Git."""

import json
import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx import Response

from api.scaling.schemas import DecisionView, PolicyCreate, PolicyView
from reconciler.model.agent import ObjectStatus, StatusReport
from reconciler.model.log import DecisionRow
from reconciler.model.policy import PolicyState, ScalingPolicySpec
from support.fleets import PROJECT, FleetRepo, fleet_yaml, new_fleet, policy
from support.served import Served, serving
from support.small import root_files

CLUSTER = "prod-eu-west-1"
CLUSTER_ID = "c1a2b3c4-d5e6-7890-abcd-ef1234567890"
ROOT = f"clusters/{CLUSTER}"
HPA = f"{ROOT}/trimtab/prod/hpa-checkout-api.yaml"
POLICIES = "/api/v1/scaling/policies"
DECISIONS = "/api/v1/scaling/decisions"
FREEZE = """\
  windows:
    exclusion: [{cron: "0 0 17 6 *", duration: 2d, name: freeze}]
"""
DOCUMENTED = {
    "name": "checkout-api autoscaler",
    "runtime": "kubernetes",
    "targetRef": "prod/checkout-api",
    "cpuTargetPercent": 70,
    "minReplicas": 2,
    "maxReplicas": 10,
    "stepSize": 1,
    "cooldownScaleUpSeconds": 30,
    "cooldownScaleDownSeconds": 300,
    "approvalRequired": False,
}
"""The body of the document's POST."""

SHOWN = {
    "name": "checkout-api autoscaler",
    "runtime": "kubernetes",
    "targetRef": "prod/checkout-api",
    "strategy": "pods",
    "enabled": True,
    "dryRun": False,
    "minReplicas": 2,
    "maxReplicas": 10,
    "stepSize": 1,
    "cooldownScaleUpSeconds": 30,
    "cooldownScaleDownSeconds": 300,
    "cpuTargetPercent": 70,
    "memoryTargetPercent": None,
    "nodePressureTargetPercent": None,
    "maxReplicasPerHost": None,
    "approvalRequired": False,
    "currentReplicas": 4,
    "desiredReplicas": 5,
    "applyHealth": "applied",
    "lbPoolRef": None,
    "lastEvaluatedAt": "2026-06-17T10:00:00Z",
}
"""The policy as the document's GET shows it, with the instant of this test's clock; its id comes first."""

BEYOND = {
    "cluster": CLUSTER,
    "handOver": False,
    "minMemoryMB": None,
    "maxMemoryMB": None,
    "source": "api",
    "conflict": None,
    "held": None,
    "applyMessage": None,
}
ROW = [
    *("id", "policyId", "ts", "runtime", "triggerMetric", "triggerValue", "threshold", "direction", "fromReplicas"),
    *("toReplicas", "action", "dryRun", "renderedManifest", "outcome"),
]


FILES = {
    "trimtab.yaml": fleet_yaml(
        f"{{name: {CLUSTER}, id: {CLUSTER_ID}, path: {ROOT}}}", extra="  hostPools: [{name: web-pool}]\n"
    ),
    **root_files(ROOT, "checkout-api", "storefront", namespace="prod"),
    "policies/storefront.yaml": policy("storefront", "prod/storefront", dryRun=True),
}
TWO_CLUSTERS = fleet_yaml(
    f"{{name: {CLUSTER}, id: {CLUSTER_ID}, path: {ROOT}}}", "{name: staging, path: clusters/staging}"
)


@pytest.fixture
def repo(tmp_path: Path) -> FleetRepo:
    return new_fleet(tmp_path / "home", FILES)


@pytest.fixture
def served(tmp_path: Path, repo: FleetRepo, database_url: str) -> Iterator[Served]:
    with serving(tmp_path, repo, database_url=database_url) as served:
        yield served


def post(served: Served, code: int = 201, **fields: object) -> dict[str, Any]:
    """Create the document's policy, with other fields."""
    answer = served.client.post(POLICIES, json=DOCUMENTED | fields)
    assert answer.status_code == code, answer.text
    found: dict[str, Any] = answer.json()
    return found


def put(served: Served, policy_id: str, code: int = 200, **fields: object) -> dict[str, Any]:
    served.clock.forward(seconds=5)
    answer = served.client.put(f"{POLICIES}/{policy_id}", json=fields)
    assert answer.status_code == code, answer.text
    found: dict[str, Any] = answer.json()
    return found


def get(served: Served, policy_id: str) -> dict[str, Any]:
    answer = served.client.get(f"{POLICIES}/{policy_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def decisions(served: Served, policy_id: str, **query: object) -> list[dict[str, Any]]:
    answer = served.client.get(DECISIONS, params={"policyId": policy_id, **query})  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def made_by_api(served: Served) -> list[dict[str, Any]]:
    return [one for one in served.client.get(POLICIES).json() if one["source"] == "api"]


def look_again(served: Served) -> None:
    """The steward reads what a person has pushed."""
    served.steward.ask(served.steward.read).result(timeout=60)


def refused(answer: Response, code: int, field: str | None, *words: str) -> None:
    body = answer.json()
    assert answer.status_code == code, answer.text
    assert body.keys() == {"error", "requestId"} | ({"field"} if field else set())
    assert body.get("field") == field
    for word in words:
        assert word in body["error"], body["error"]


def evaluated(served: Served, policy_id: str) -> None:
    """A pass has made this of the policy, and the cluster's agent has reported it as applied."""
    name = served.steward.ask(lambda house: house.name).result(timeout=60)
    seen = PolicyState(
        policy_id=policy_id,
        current_replicas=4,
        desired_replicas=5,
        cluster=CLUSTER,
        objects=("HorizontalPodAutoscaler prod/checkout-api",),
        revision="c0ffee",
    )
    at, stores = served.clock(), served.server.stores
    stores.policies.keep_states(name, [seen], at + timedelta(microseconds=123456))
    agent = stores.agents.register(
        organization="acme",
        platform="kubernetes",
        name=CLUSTER,
        hostname="a-1",
        version="1",
        cluster=CLUSTER_ID,
        host_pool="",
        observed_as="anything",
        at=at,
    )
    hpa = {"api_version": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "namespace": "prod"}
    said = ObjectStatus.model_validate({**hpa, "name": "checkout-api", "status": "applied"})
    stores.reports.keep(StatusReport(agent_id=agent.id, cluster="anything", revision="c0ffee", at=at, objects=(said,)))


def test_create_and_list_as_documented(served: Served) -> None:
    answer = served.client.post(POLICIES, json=DOCUMENTED)
    assert answer.status_code == 201
    created = answer.json()
    assert created.keys() == {"id"}
    assert re.fullmatch(r"scp_\d{19}", created["id"])
    (before,) = made_by_api(served)
    assert before == {"id": created["id"], **SHOWN, **BEYOND} | {
        "dryRun": True,
        "currentReplicas": None,
        "desiredReplicas": None,
        "applyHealth": "unknown",
        "lastEvaluatedAt": None,
    }
    assert put(served, created["id"], dryRun=False)["dryRun"] is False
    served.clock.forward(seconds=-5)
    evaluated(served, created["id"])
    (shown,) = made_by_api(served)
    assert shown == {"id": created["id"], **SHOWN, **BEYOND}
    assert list(shown) == ["id", *SHOWN, *BEYOND]
    text = served.client.get(POLICIES).text
    assert '"cpuTargetPercent":70,' in text
    assert get(served, created["id"]) == shown


def test_both_headers_and_only_what_the_scopes_allow(served: Served) -> None:
    reader = served.key("scaling:read")
    secret = reader["Authorization"].removeprefix("Bearer ")
    bare = {"Authorization": ""}
    assert served.client.get(POLICIES, headers=reader).status_code == 200
    assert served.client.get(POLICIES, headers=bare | {"X-API-Key": secret}).status_code == 200
    assert served.client.get(POLICIES, headers=bare).status_code == 401
    for method, path in (("POST", POLICIES), ("PUT", f"{POLICIES}/scp_1"), ("POST", f"{POLICIES}/scp_1/rollback")):
        refused(served.client.request(method, path, json=DOCUMENTED, headers=reader), 403, None, "scaling:write")
    refused(served.client.delete(f"{POLICIES}/scp_1", headers=reader), 403, None, "scaling:write")
    assert made_by_api(served) == []


def test_every_field_has_the_default_that_is_promised(served: Served) -> None:
    least = {"name": "least", "runtime": "docker", "targetRef": "web-pool/storefront", "memoryTargetPercent": 80.5}
    made = served.client.post(POLICIES, json=least).json()["id"]
    assert get(served, made) == {
        "id": made,
        **SHOWN,
        **BEYOND,
        "name": "least",
        "runtime": "docker",
        "targetRef": "web-pool/storefront",
        "strategy": "containers",
        "dryRun": True,
        "minReplicas": 1,
        "cpuTargetPercent": None,
        "memoryTargetPercent": 80.5,
        "currentReplicas": None,
        "desiredReplicas": None,
        "applyHealth": "unknown",
        "lastEvaluatedAt": None,
        "cluster": None,
    }
    put(served, made, maxReplicasPerHost=2, lbPoolRef="lb-1", nodePressureTargetPercent=90)
    assert put(served, made, lbPoolRef=None)["maxReplicasPerHost"] == 2
    assert get(served, made)["lbPoolRef"] is None


def test_what_a_client_was_given_it_may_send_back(served: Served) -> None:
    made = post(served)["id"]
    evaluated(served, made)
    shown = get(served, made)
    assert put(served, made, **shown) == shown
    again = post(served, 201, **{**shown, "targetRef": "prod/other"})
    assert get(served, again["id"])["targetRef"] == "prod/other"


def test_live_retuned_paused_and_deleted_is_what_git_says(served: Served, repo: FleetRepo) -> None:
    made = post(served)["id"]
    before = repo.head()
    served.reconcile()
    assert repo.head() == before
    put(served, made, dryRun=False)
    served.reconcile()
    assert "maxReplicas: 10" in repo.show(HPA)
    assert f"Trimtab-Policy: {made}" in repo.log("%B", "-1")
    put(served, made, maxReplicas=20, cpuTargetPercent=60)
    served.reconcile()
    assert "maxReplicas: 20" in repo.show(HPA)
    assert "averageUtilization: 60" in repo.show(HPA)
    live = get(served, made)
    assert (live["minReplicas"], live["lastEvaluatedAt"]) == (2, "2026-06-17T10:00:10Z")
    put(served, made, enabled=False)
    paused = repo.head()
    served.reconcile()
    assert repo.head() == paused
    answer = served.client.delete(f"{POLICIES}/{made}")
    assert (answer.status_code, answer.content) == (204, b"")
    served.reconcile()
    assert HPA not in repo.files()
    assert len(repo.log("%H", f"{paused}..main")) == 1
    for gone in (
        served.client.get(f"{POLICIES}/{made}"),
        served.client.put(f"{POLICIES}/{made}", json={"enabled": True}),
        served.client.delete(f"{POLICIES}/{made}"),
        served.client.post(f"{POLICIES}/{made}/rollback"),
    ):
        refused(gone, 404, None, made)
    assert made_by_api(served) == []
    history = decisions(served, made)
    assert [row["action"] for row in history][-3:] == ["apply", "apply", "dry_run"]
    assert post(served)["id"] != made


def test_the_decision_log_as_documented(served: Served) -> None:
    made = post(served)["id"]
    served.reconcile()
    put(served, made, dryRun=False)
    served.reconcile()
    rolled = served.client.post(f"{POLICIES}/{made}/rollback").json()
    newest, applied, dry = decisions(served, made)
    assert [list(row) for row in (newest, applied, dry)] == [ROW] * 3
    assert [row["action"] for row in (newest, applied, dry)] == ["rollback", "apply", "dry_run"]
    assert [row["dryRun"] for row in (newest, applied, dry)] == [False, False, True]
    assert newest["id"] == rolled["decisionId"] > applied["id"] > dry["id"]
    assert applied["policyId"] == made
    assert applied["ts"] == "2026-06-17T10:00:05Z"
    assert applied["renderedManifest"].startswith("apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\n")
    assert "kind: HorizontalPodAutoscaler" in applied["renderedManifest"]
    assert applied["outcome"]
    assert (applied["triggerMetric"], applied["triggerValue"], applied["threshold"]) == (None, None, None)
    everything = served.client.get(DECISIONS).json()
    assert {row["policyId"] for row in everything} == {made, "scp_storefront"}
    assert [row["id"] for row in everything] == sorted((row["id"] for row in everything), reverse=True)
    assert decisions(served, made, limit=1) == [newest]
    assert decisions(served, "scp_1") == []
    assert decisions(served, "' OR 1=1 --") == []
    for wrong in ("0", "1001", "-1", "many", "1.5"):
        refused(served.client.get(DECISIONS, params={"limit": wrong}), 400, "limit")


def test_figures_in_the_log_are_printed_as_people_write_them(served: Served) -> None:
    name = served.steward.ask(lambda house: house.name).result(timeout=60)
    given = {
        "policyId": "scp_1718000000000000000",
        "ts": "2026-06-30T08:12:04.987Z",
        "runtime": "kubernetes",
        "triggerMetric": "cpu_percent",
        "triggerValue": 88.4,
        "threshold": 70,
        "direction": "up",
        "fromReplicas": 4,
        "toReplicas": 5,
        "action": "apply",
        "dryRun": False,
        "renderedManifest": "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\n...",
        "outcome": "Applying HPA spec: 2 to 10 replicas, CPU 70% target.",
    }
    served.server.stores.log.append_once(name, [DecisionRow.model_validate(given)])
    (row,) = decisions(served, "scp_1718000000000000000")
    assert row == {"id": row["id"], **given, "ts": "2026-06-30T08:12:04Z"}
    text = served.client.get(DECISIONS).text
    assert '"triggerValue":88.4,"threshold":70,' in text


def test_rolling_back_restores_what_was_before(served: Served, repo: FleetRepo) -> None:
    made = post(served, dryRun=False)["id"]
    refused(served.client.post(f"{POLICIES}/{made}/rollback"), 400, None, "nothing to roll back")
    served.reconcile()
    put(served, made, maxReplicas=20)
    served.reconcile()
    answer = served.client.post(f"{POLICIES}/{made}/rollback", json={})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert list(body) == ["ok", "decisionId", "changeId", "commit", "state", "kept"]
    assert (body["ok"], body["commit"], body["state"], body["kept"]) == (True, repo.head(), "committed", [])
    assert f"Trimtab-Change: {body['changeId']}" in "\n".join(repo.log("%B", "-1"))
    assert served.steward.watch.head == repo.head()
    assert "maxReplicas: 10" in repo.show(HPA)
    assert get(served, made)["maxReplicas"] == 10
    put(served, made, maxReplicas=20, cpuTargetPercent=60)
    served.reconcile()
    assert "maxReplicas: 20" in repo.show(HPA), "a person has decided anew"
    repo.pull()
    repo.write(HPA, repo.show(HPA).replace("maxReplicas: 20", "maxReplicas: 30"))
    repo.commit()
    kept = served.client.post(f"{POLICIES}/{made}/rollback")
    assert kept.json()["kept"] == [{"path": HPA, "field": "maxReplicas", "value": "30"}], kept.text
    assert "averageUtilization: 70" in repo.show(HPA)


def test_an_exclusion_window_holds_a_rollback_until_it_is_forced(served: Served, repo: FleetRepo) -> None:
    made = post(served, dryRun=False)["id"]
    served.reconcile()
    repo.pull()
    repo.write("trimtab.yaml", FILES["trimtab.yaml"] + FREEZE)
    frozen = repo.commit("Freeze")
    held = served.client.post(f"{POLICIES}/{made}/rollback", json={"force": False})
    refused(held, 400, None, "freeze", "2026-06-19", "force")
    assert repo.head() == frozen
    for body in ({"force": "yes"}, {"forced": True}, []):
        assert served.client.post(f"{POLICIES}/{made}/rollback", json=body).status_code == 400
    forced = served.client.post(f"{POLICIES}/{made}/rollback", json={"force": True})
    assert forced.status_code == 200, forced.text
    assert HPA not in repo.files()
    assert get(served, made)["dryRun"] is True


def test_policies_declared_in_git_are_shown_and_changed_there(served: Served, repo: FleetRepo) -> None:
    (shown,) = served.client.get(POLICIES).json()
    assert shown["id"] == "scp_storefront"
    assert (shown["source"], shown["cluster"], shown["targetRef"]) == ("git", CLUSTER, "prod/storefront")
    assert get(served, "scp_storefront") == shown
    writes = [
        served.client.put(f"{POLICIES}/scp_storefront", json={"dryRun": False}),
        served.client.delete(f"{POLICIES}/scp_storefront"),
    ]
    for answer in writes:
        refused(answer, 409, None, "policies/storefront.yaml")
    refused(
        served.client.post(POLICIES, json=DOCUMENTED | {"targetRef": "prod/storefront"}),
        409,
        "targetRef",
        "storefront",
        "policies/storefront.yaml",
    )
    repo.write("policies/storefront.yaml", policy("storefront", "prod/storefront"))
    repo.commit("Live")
    served.reconcile()
    assert get(served, "scp_storefront")["dryRun"] is False
    rolled = served.client.post(f"{POLICIES}/scp_storefront/rollback")
    assert rolled.status_code == 200, rolled.text
    assert get(served, "scp_storefront")["dryRun"] is True


def test_a_target_has_one_policy(served: Served) -> None:
    first = post(served)["id"]
    second = post(served, name="other", targetRef="prod/other")["id"]
    refused(served.client.post(POLICIES, json=DOCUMENTED), 409, "targetRef", first)
    refused(served.client.put(f"{POLICIES}/{second}", json={"targetRef": "prod/checkout-api"}), 409, "targetRef", first)
    refused(
        served.client.put(f"{POLICIES}/{second}", json={"targetRef": "prod/storefront"}),
        409,
        "targetRef",
        "in policies/",
    )
    assert get(served, second)["targetRef"] == "prod/other"
    assert put(served, second, targetRef="prod/third")["targetRef"] == "prod/third"


def test_an_unknown_target_is_created_and_says_that_it_does_nothing(served: Served, repo: FleetRepo) -> None:
    made = post(served, targetRef="prod/checkout-apo", dryRun=False)["id"]
    nowhere = post(served, runtime="docker", targetRef="no-pool/web")["id"]
    before = repo.head()
    served.reconcile()
    assert repo.head() == before
    assert "prod/checkout-apo" in get(served, made)["conflict"]
    assert "no-pool" in get(served, nowhere)["conflict"]
    refused(served.client.post(f"{POLICIES}/{nowhere}/rollback"), 400, None, "nothing to roll back")


def test_an_lxc_policy_without_proxmox_says_what_to_set(served: Served, repo: FleetRepo) -> None:
    made = post(served, runtime="lxc", targetRef="pve1/104", dryRun=False)["id"]
    before = repo.head()
    served.reconcile()
    assert repo.head() == before
    shown = get(served, made)
    assert shown["conflict"] == "no Proxmox VE is configured: set TRIMTAB_PROXMOX_URL"
    assert shown["applyMessage"] == shown["conflict"]


@pytest.mark.parametrize("ahead", [0, 60, 290])
def test_an_agent_whose_clock_runs_ahead_is_believed(served: Served, ahead: float) -> None:
    made = post(served)["id"]
    agent, token = served.agent(CLUSTER)
    at = (served.clock() + timedelta(seconds=ahead)).isoformat()
    seen = {"namespace": "prod", "kind": "Deployment", "name": "checkout-api", "replicas": 7, "readyReplicas": 7}
    answer = served.client.post(
        f"/api/v1/agents/{agent}/push", json={"timestamp": at, "workloads": [seen]}, headers=token
    )
    assert answer.status_code == 200, answer.text
    served.reconcile()
    assert get(served, made)["currentReplicas"] == 7


def test_a_policy_that_loses_one_target_or_moves_says_what_is_done(served: Served, repo: FleetRepo) -> None:
    (repo.work / "policies/storefront.yaml").unlink()
    repo.commit()
    look_again(served)
    made = post(served, dryRun=False, memoryTargetPercent=80)["id"]
    served.reconcile()
    put(served, made, memoryTargetPercent=None)
    served.reconcile()
    assert repo.log("%s")[0] == "Scale checkout-api: HPA without its memory target"
    assert decisions(served, made)[0]["outcome"] == "Applying HPA spec: 2 to 10 replicas, CPU 70% target."
    put(served, made, targetRef="prod/storefront")
    served.reconcile()
    assert repo.log("%s")[0] == "Scale storefront: HPA 2–10 replicas at 70% CPU"


def test_a_policy_from_before_there_was_a_cluster_has_its_target(served: Served) -> None:
    fields = {name: value for name, value in DOCUMENTED.items() if name != "stepSize"}
    early = served.server.stores.policies.create("acme", ScalingPolicySpec.model_validate(fields), served.clock())
    refused(served.client.post(POLICIES, json=DOCUMENTED), 409, "targetRef", early.id)
    assert put(served, early.id, stepSize=2)["cluster"] == CLUSTER


def test_updates_at_once_do_not_lose_one_anothers_fields(served: Served) -> None:
    made = post(served, minReplicas=1)["id"]

    def write(field: str) -> None:
        for value in range(2, 12):
            assert served.client.put(f"{POLICIES}/{made}", json={field: value}).status_code == 200

    fields = ("stepSize", "cooldownScaleUpSeconds", "maxReplicas", "memoryTargetPercent")
    threads = [threading.Thread(target=write, args=(field,)) for field in fields]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = get(served, made)
    assert {field: found[field] for field in fields} == dict.fromkeys(fields, 11)


def test_every_write_wakes_the_fleet(served: Served, repo: FleetRepo) -> None:
    """What a person has pushed is seen at once, and not after the hour that is this test's interval."""
    made: list[str] = []
    writes = [
        lambda: made.append(post(served)["id"]),
        lambda: put(served, made[0], enabled=False),
        lambda: served.client.delete(f"{POLICIES}/{made[0]}"),
    ]
    for number, write in enumerate(writes):
        repo.write("NOTES.md", f"note {number}\n")
        pushed = repo.commit("Note")
        assert served.steward.watch.head != pushed
        write()
        served.steward.ask(lambda house: house.name).result(timeout=60)  # what is asked later is done later
        assert served.steward.watch.head == pushed


WRONG: list[tuple[dict[str, object], str, str]] = [
    ({"name": ""}, "name", "character"),
    ({"name": "  "}, "name", "one line"),
    ({"name": "x" * 300}, "name", "253"),
    ({"name": "a\nTrimtab-Policy: scp_1"}, "name", "control"),
    ({"name": "a\x00b"}, "name", "control"),
    ({"name": 7}, "name", "string"),
    ({"runtime": "nomad"}, "runtime", "'docker'"),
    ({"targetRef": "checkout-api"}, "targetRef", "namespace/workload"),
    ({"targetRef": "prod/"}, "targetRef", "namespace/workload"),
    ({"targetRef": "../secrets"}, "targetRef", "namespace/workload"),
    ({"targetRef": "prod/../x"}, "targetRef", "namespace/workload"),
    ({"targetRef": "prod/a..b"}, "targetRef", "namespace/workload"),
    ({"targetRef": "prod/Checkout"}, "targetRef", "lower-case"),
    ({"targetRef": "prod/a\n"}, "targetRef", "namespace/workload"),
    ({"targetRef": "prod/deployment/web"}, "targetRef", "namespace/workload"),
    ({"targetRef": "prod/" + "x" * 300}, "targetRef", "namespace/workload"),
    ({"targetRef": "x" * 600}, "targetRef", "507"),
    ({"runtime": "docker", "targetRef": "pool/../etc"}, "targetRef", "host-pool/group"),
    ({"runtime": "docker", "targetRef": "pool/a..b"}, "targetRef", "host-pool/group"),
    ({"runtime": "lxc", "targetRef": "pve1/web"}, "targetRef", "node/vmid"),
    ({"runtime": "lxc", "targetRef": "pve1/99"}, "targetRef", "node/vmid"),
    ({"runtime": "docker", "targetRef": "web-pool/web", "cluster": CLUSTER}, "cluster", "leave it out"),
    ({"cluster": "staging"}, "cluster", CLUSTER),
    ({"cluster": "\ud800"}, "cluster", ""),
    ({"strategy": "containers"}, "strategy", "pods"),
    ({"cpuTargetPercent": None}, "cpuTargetPercent", "memoryTargetPercent"),
    ({"cpuTargetPercent": 0}, "cpuTargetPercent", "1"),
    ({"cpuTargetPercent": 101}, "cpuTargetPercent", "100"),
    ({"cpuTargetPercent": "70"}, "cpuTargetPercent", "number"),
    ({"cpuTargetPercent": True}, "cpuTargetPercent", "number"),
    ({"memoryTargetPercent": -5}, "memoryTargetPercent", "1"),
    ({"nodePressureTargetPercent": 1000}, "nodePressureTargetPercent", "100"),
    ({"minReplicas": 0}, "minReplicas", "1"),
    ({"minReplicas": 1.5}, "minReplicas", "integer"),
    ({"minReplicas": None}, "minReplicas", "integer"),
    ({"minReplicas": 11}, "minReplicas", "maxReplicas"),
    ({"maxReplicas": 1}, "minReplicas", "maxReplicas"),
    ({"maxReplicas": 10**30}, "maxReplicas", ""),
    ({"stepSize": 0}, "stepSize", "1"),
    ({"cooldownScaleUpSeconds": -1}, "cooldownScaleUpSeconds", "0"),
    ({"cooldownScaleDownSeconds": 1801}, "cooldownScaleDownSeconds", "1800"),
    ({"maxReplicasPerHost": 0}, "maxReplicasPerHost", "1"),
    ({"minMemoryMB": 512, "maxMemoryMB": 256}, "minMemoryMB", "maxMemoryMB"),
    ({"dryRun": "false"}, "dryRun", "boolean"),
    ({"enabled": 1}, "enabled", "boolean"),
    ({"lbPoolRef": "a\tb"}, "lbPoolRef", "control"),
    ({"minReplcas": 2}, "minReplcas", "did you mean minReplicas?"),
    ({"target_ref": "a/b"}, "target_ref", "did you mean targetRef?"),
    ({"\ud800": 1}, "?", "no such field"),
]


def test_what_cannot_be_used_is_refused_by_the_name_of_its_field_and_nothing_is_stored(served: Served) -> None:
    for fields, field, word in WRONG:
        refused(_sent(served, "POST", POLICIES, DOCUMENTED | fields), 400, field, word)
    for missing in ("name", "runtime", "targetRef"):
        body = {name: value for name, value in DOCUMENTED.items() if name != missing}
        refused(served.client.post(POLICIES, json=body), 400, missing)
    assert made_by_api(served) == []
    made = post(served)["id"]
    before = get(served, made)
    for fields, _field, _word in WRONG:
        if not {"minReplcas", "target_ref"} & fields.keys():
            assert _sent(served, "PUT", f"{POLICIES}/{made}", fields).status_code == 400, fields
    refused(served.client.put(f"{POLICIES}/{made}", json={"runtime": "docker"}), 400, "runtime", "kubernetes")
    refused(served.client.put(f"{POLICIES}/{made}", json={"maxReplicas": 1}), 400, "maxReplicas", "minReplicas")
    refused(served.client.put(f"{POLICIES}/{made}", json={"cpuTargetPercent": None}), 400, "cpuTargetPercent")
    assert get(served, made) == before
    assert put(served, made) == before


def _sent(served: Served, method: str, path: str, body: object) -> Response:
    """As ASCII JSON, which may carry halves of characters."""
    return served.client.request(
        method, path, content=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"policy"', '{"name": NaN}', "[" * 3000])
def test_a_body_that_is_no_policy_is_refused(text: str, tmp_path: Path, repo: FleetRepo) -> None:
    with serving(tmp_path, repo) as served:
        for method, path in (("POST", POLICIES), ("PUT", f"{POLICIES}/scp_storefront")):
            json = {"Content-Type": "application/json"}
            answer = served.client.request(method, path, content=text, headers=json)
            assert answer.status_code == 400, answer.text
            assert answer.json()["error"]


def test_a_cluster_is_named_where_there_are_several(served: Served, repo: FleetRepo) -> None:
    alone = post(served, cluster=CLUSTER_ID)["id"]
    assert get(served, alone)["cluster"] == CLUSTER
    repo.write("trimtab.yaml", TWO_CLUSTERS)
    repo.commit("Staging")
    look_again(served)
    refused(served.client.post(POLICIES, json=DOCUMENTED), 400, "cluster", CLUSTER, "staging")
    refused(served.client.post(POLICIES, json=DOCUMENTED | {"cluster": CLUSTER}), 409, "targetRef", alone)
    assert get(served, post(served, cluster="staging")["id"])["cluster"] == "staging"
    assert put(served, alone, stepSize=2)["cluster"] == CLUSTER
    refused(served.client.put(f"{POLICIES}/{alone}", json={"cluster": None}), 400, "cluster", "staging")


def test_a_key_for_some_clusters_reaches_no_others(served: Served, repo: FleetRepo) -> None:
    repo.write("trimtab.yaml", TWO_CLUSTERS + "  hostPools: [{name: web-pool}]\n")
    repo.commit("Staging")
    look_again(served)
    prod = post(served, cluster=CLUSTER)["id"]
    docker = post(served, runtime="docker", targetRef="web-pool/web")["id"]
    name = served.steward.ask(lambda house: house.name).result(timeout=60)
    given = {"ts": served.clock(), "runtime": "kubernetes", "action": "dry_run", "dry_run": True}
    served.server.stores.log.append_once(
        name, [DecisionRow.model_validate({"policy_id": one, **given}) for one in (prod, docker)]
    )
    staging = served.key("scaling:write", clusters=("staging",))
    by_id = served.key("scaling:write", clusters=(CLUSTER_ID,))
    assert served.client.get(POLICIES, headers=staging).json() == []
    assert [one["id"] for one in served.client.get(POLICIES, headers=by_id).json() if one["source"] == "api"] == [prod]
    assert served.client.get(DECISIONS, headers=staging).json() == []
    assert {row["policyId"] for row in served.client.get(DECISIONS, headers=by_id).json()} == {prod}
    assert served.client.get(f"{DECISIONS}?policyId={docker}", headers=by_id).json() == []
    for policy_id in (prod, docker):
        path = f"{POLICIES}/{policy_id}"
        for method, at in (("GET", path), ("PUT", path), ("DELETE", path), ("POST", f"{path}/rollback")):
            json = {} if method in ("PUT", "POST") else None
            refused(served.client.request(method, at, json=json, headers=staging), 403, None, "staging")
    refused(served.client.post(POLICIES, json=DOCUMENTED | {"cluster": CLUSTER}, headers=staging), 403, None, "staging")
    other = {**DOCUMENTED, "runtime": "docker", "targetRef": "web-pool/other"}
    refused(served.client.post(POLICIES, json=other, headers=staging), 403, None, "staging")
    refused(served.client.put(f"{POLICIES}/{prod}", json={"cluster": "staging"}, headers=by_id), 403, None, CLUSTER_ID)
    assert get(served, prod)["cluster"] == CLUSTER


def test_an_organization_sees_nothing_of_another(served: Served) -> None:
    made = post(served)["id"]
    served.reconcile()
    stranger = served.key("admin", organization="other")
    assert served.client.get(POLICIES, headers=stranger).json() == []
    assert served.client.get(DECISIONS, headers=stranger).json() == []
    assert served.client.get(f"{DECISIONS}?policyId={made}", headers=stranger).json() == []
    assert decisions(served, made) != []
    for policy_id in (made, "scp_storefront"):
        path = f"{POLICIES}/{policy_id}"
        for method, at in (("GET", path), ("PUT", path), ("DELETE", path), ("POST", f"{path}/rollback")):
            json = {"dryRun": False} if method == "PUT" else None
            refused(served.client.request(method, at, json=json, headers=stranger), 404, None, policy_id)
    theirs = served.client.post(POLICIES, json=DOCUMENTED, headers=stranger)
    assert theirs.status_code == 201, theirs.text
    shown = served.client.get(f"{POLICIES}/{theirs.json()['id']}", headers=stranger).json()
    assert (shown["cluster"], shown["conflict"].startswith("no fleet repo")) == (None, True)
    assert [one["id"] for one in made_by_api(served)] == [made]
    assert get(served, made)["dryRun"] is True


def test_the_page_explains_every_field() -> None:
    page = (PROJECT / "docs/policies.md").read_text(encoding="utf-8")
    explained = {name for line in page.splitlines() if line.startswith("| `") for name in re.findall(r"`(\w+)`", line)}
    for model in (PolicyCreate, PolicyView, DecisionView):
        assert {field.alias for field in model.model_fields.values()} <= explained, model
