"""Push bodies: pods, nodes, workloads and quotas as agents see them, imported from a file; what is decided on them."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.quantity import MIB, parse_cpu, parse_memory
from support.fleets import FleetRepo, boutique, fleet_yaml, policy
from support.replay import CLUSTER, NOW

ROOT = "clusters/boutique-prod"
CAPACITY = """\
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: general}
spec:
  limits: {cpu: "16", memory: 64Gi}
  template:
    spec:
      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: general}
      requirements: []
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: compute, namespace: default}
spec:
  hard: {requests.cpu: "2", requests.memory: 2Gi}
---
apiVersion: v1
kind: LimitRange
metadata: {name: bounds, namespace: default}
spec:
  limits: [{type: Container, max: {cpu: 150m, memory: 4Gi}}]
"""
QUOTA = """\
apiVersion: trimtab.dev/v1alpha1
kind: ActionConfig
metadata: {name: quota}
spec: {scope: global, action: resourceQuotaRightSizing, config: {enabled: true, filter: 'namespace:"default"'}}
"""


def pod(name: str, cpu: float, memory: float, **container: object) -> dict[str, Any]:
    return {
        "namespace": "default",
        "name": f"{name}-6f7d8c9b5-abcde",
        "uid": f"uid-{name}",
        "ownerKind": "ReplicaSet",
        "ownerName": f"{name}-6f7d8c9b5",
        "node": "n1",
        "phase": "Running",
        "ready": True,
        "containers": [{"name": "server", "cpuMillicores": cpu, "memoryMB": memory, **container}],
    }


def pushes(count: int, *pods: dict[str, Any], **more: object) -> list[dict[str, Any]]:
    """One push every five minutes, the last one now."""
    return [
        {
            "timestamp": (NOW - timedelta(minutes=5 * back)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "cluster": CLUSTER,
            "pods": list(pods),
            **more,
        }
        for back in range(count - 1, -1, -1)
    ]


def imported(repo: FleetRepo, bodies: list[dict[str, Any]]) -> dict[str, Any]:
    file = repo.home / "pushes.jsonl"
    file.write_text("".join(json.dumps(body) + "\n" for body in bodies))
    return dict(repo.trimtab("usage", "import", str(file), "--json", code=0).json())


def row(repo: FleetRepo, name: str) -> dict[str, Any]:
    rows = repo.at("recommend", "--filter", f'controllerName:"{name}"', "--json", code=0).json()
    assert len(rows) == 1
    return dict(rows[0])


def test_usage_of_pods_counts_for_their_workload(tmp_path: Path) -> None:
    repo = boutique(tmp_path)
    bodies = pushes(200, pod("frontend", 130, 100))
    assert imported(repo, bodies)["pushes"] == 200
    found = row(repo, "frontend")
    assert found["samples"] == 200
    assert found["recommended"]["requests"] == {"cpu": "200m", "memory": "154Mi"}
    again = imported(repo, bodies)
    assert (again["pushes"], again["pushesSeenBefore"]) == (0, 200)
    assert row(repo, "frontend") == found


def test_too_few_samples_recommend_nothing_and_say_so(tmp_path: Path) -> None:
    repo = boutique(tmp_path)
    imported(repo, pushes(42, pod("frontend", 130, 100)))
    found = row(repo, "frontend")
    assert found["recommended"] == found["current"]
    assert "42 samples" in found["why"]["cpu"]


def test_an_oom_kill_raises_memory(tmp_path: Path) -> None:
    repo = boutique(tmp_path)
    calm = pushes(150, pod("frontend", 50, 60))
    killed = pushes(1, pod("frontend", 50, 128, oomKills=1, restartCount=1, memoryLimitMB=128))
    imported(repo, calm[:-1] + killed)
    found = row(repo, "frontend")
    # max(used + 100 MiB, used × 1.2) of the 128 MiB in use when it was killed.
    assert parse_memory(found["recommended"]["requests"]["memory"]) >= 228 * MIB
    assert found["risk"] == "high"
    assert found["oomKills"] == 1


def test_a_limit_range_clamps_and_says_so(tmp_path: Path) -> None:
    repo = boutique(tmp_path)
    repo.write(f"{ROOT}/apps/capacity.yaml", CAPACITY)
    listed = (repo.work / ROOT / "apps/kustomization.yaml").read_text()
    repo.write(f"{ROOT}/apps/kustomization.yaml", listed.replace("resources:\n", "resources:\n - capacity.yaml\n"))
    repo.commit("Capacity")
    imported(repo, pushes(150, pod("frontend", 190, 100)))
    found = row(repo, "frontend")
    assert parse_cpu(found["recommended"]["limits"]["cpu"]) <= 150
    assert "LimitRange bounds" in found["why"]["cpu"]


@pytest.fixture
def busy(tmp_path: Path) -> FleetRepo:
    files = {
        "trimtab.yaml": fleet_yaml(f"{{name: {CLUSTER}, path: {ROOT}}}"),
        "policies/frontend.yaml": policy("frontend", "default/frontend", nodePressureTargetPercent=80),
        "actions/quota.yaml": QUOTA,
        f"{ROOT}/apps/capacity.yaml": CAPACITY.partition("---\napiVersion: v1\nkind: LimitRange")[0],
    }
    repo = boutique(tmp_path, files=files)
    (repo.work / "actions/rightsize.yaml").unlink()
    listed = (repo.work / ROOT / "apps/kustomization.yaml").read_text()
    repo.write(f"{ROOT}/apps/kustomization.yaml", listed.replace("resources:\n", "resources:\n - capacity.yaml\n"))
    repo.commit("Capacity")
    return repo


def nodes(requested: float) -> dict[str, object]:
    node = {
        "name": "n1",
        "nodePool": "general",
        "ready": True,
        "cpuCapacityMillicores": 16000,
        "memoryCapacityMB": 65536,
    }
    return {"nodes": [{**node, "cpuRequestedMillicores": requested, "memoryRequestedMB": 20000}]}


def test_node_pressure_raises_the_node_pools_limit(busy: FleetRepo) -> None:
    imported(busy, pushes(1, pod("frontend", 50, 60), **nodes(15000)))
    busy.at("reconcile", "--once", code=0)
    pools = [o for o in busy.build(ROOT) if o["kind"] == "NodePool"]
    # 15 cores requested at a target of 80 % need 18.75, in whole cores; memory has room.
    assert pools[0]["spec"]["limits"] == {"cpu": "19", "memory": "64Gi"}
    head = busy.head()
    busy.at("reconcile", "--once", code=0)
    assert busy.head() == head


def test_without_pressure_the_node_pool_stays(busy: FleetRepo) -> None:
    imported(busy, pushes(1, pod("frontend", 50, 60), **nodes(12000)))
    busy.at("reconcile", "--once", code=0)
    assert not any("nodepools" in path for path in busy.files())


def test_a_quota_follows_what_is_used(busy: FleetRepo) -> None:
    used = {"requests.cpu": "1900m", "requests.memory": "1Gi"}
    hard = {"requests.cpu": "2", "requests.memory": "2Gi"}
    imported(busy, pushes(1, quotas=[{"namespace": "default", "name": "compute", "hard": hard, "used": used}]))
    busy.at("reconcile", "--once", code=0)
    quotas = [o for o in busy.build(ROOT) if o["kind"] == "ResourceQuota"]
    got = quotas[0]["spec"]["hard"]
    assert parse_cpu(got["requests.cpu"]) >= 1900 * 1.25
    assert set(got) == {"requests.cpu", "requests.memory"}
    head = busy.head()
    busy.at("reconcile", "--once", code=0)
    assert busy.head() == head


def test_a_bad_body_is_told_by_line_and_field(tmp_path: Path) -> None:
    repo = boutique(tmp_path)
    file = tmp_path / "pushes.jsonl"
    good, bad = pushes(2, pod("frontend", 1, 1))
    bad["pods"][0] = {"name": "no-namespace"}
    file.write_text(json.dumps(good) + "\n" + json.dumps(bad) + "\n")
    ran = repo.trimtab("usage", "import", str(file), code=1)
    assert "line 2" in ran.err
    assert "namespace" in ran.err
