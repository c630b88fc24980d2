"""What is recommended and planned fits the cluster, or says that it does not: nodes, LimitRanges, quotas, limits."""

import csv
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from support.fleets import FleetRepo, fleet_yaml, new_fleet
from support.replay import NOW

ROOT = "clusters/prod"
USED: dict[str, dict[str, tuple[float, int]]] = {
    "modest": {"server": (0.065, 65)},
    "steady": {"server": (0.0605, 65)},
    "huge": {"server": (6.5, 6500)},
    "bound": {"server": (1.3, 650)},
    "pair": {"left": (1.95, 130), "right": (1.95, 130)},
}
"""Cores and MiB that each container of each workload uses at most; 65 % of a request is the target."""

WRITTEN = {
    "modest": ("shop", {"server": "requests: {cpu: 300m, memory: 300Mi}, limits: {cpu: 600m, memory: 450Mi}"}),
    "steady": ("shop", {"server": "requests: {cpu: 100m, memory: 100Mi}, limits: {cpu: 200m}"}),
    "huge": ("shop", {"server": "requests: {cpu: 1, memory: 1Gi}, limits: {cpu: 2, memory: 2Gi}"}),
    "bound": ("tight", {"server": "requests: {cpu: 500m, memory: 512Mi}, limits: {cpu: 1, memory: 1Gi}"}),
    "pair": ("full", {"left": "requests: {cpu: 1, memory: 128Mi}", "right": "requests: {cpu: 1, memory: 128Mi}"}),
}
LIMITS = """\
apiVersion: v1
kind: LimitRange
metadata: {name: bounds, namespace: tight}
spec: {limits: [{type: Container, max: {cpu: 1500m, memory: 2Gi}, min: {cpu: 50m}, maxLimitRequestRatio: {memory: "1.5"}}]}
---
apiVersion: v1
kind: LimitRange
metadata: {name: pods, namespace: full}
spec: {limits: [{type: Pod, max: {cpu: 5}}]}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: compute, namespace: shop}
spec: {hard: {requests.cpu: "4500m", limits.cpu: "100", requests.memory: 100Gi}}
"""
ACTION = """\
apiVersion: trimtab.dev/v1alpha1
kind: ActionConfig
metadata: {name: all}
spec:
  scope: global
  action: containerRequestRightSizing
  config: {profile: Production%s}
"""


def deployment(name: str) -> str:
    namespace, containers = WRITTEN[name]
    listed = ", ".join(f"{{name: {c}, image: {c}, resources: {{{given}}}}}" for c, given in containers.items())
    return f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{listed}]}}
"""


def usage(path: Path) -> None:
    with path.open("w", newline="") as handle:
        out = csv.writer(handle)
        out.writerow(["timestamp", "cluster", "namespace", "kind", "name", "container", "cpu_cores", "memory_bytes"])
        for hours in range(200):
            at = (NOW - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
            for name, containers in USED.items():
                for container, (cores, mib) in containers.items():
                    out.writerow([at, "prod", WRITTEN[name][0], "Deployment", name, container, cores, mib * 2**20])


def fleet(home: Path, *, rightsizing: str = "", config: str = "") -> FleetRepo:
    extra = f"  rightsizing: {{{rightsizing}}}\n" if rightsizing else ""
    files = {
        "trimtab.yaml": fleet_yaml(f"{{name: prod, path: {ROOT}}}", extra=extra),
        "actions/all.yaml": ACTION % config,
        f"{ROOT}/kustomization.yaml": "resources: [apps]\ncomponents: [trimtab]\n",
        f"{ROOT}/trimtab/kustomization.yaml": (
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: []\n"
        ),
        f"{ROOT}/apps/kustomization.yaml": f"resources: [{', '.join(f'{n}.yaml' for n in WRITTEN)}, limits.yaml]\n",
        f"{ROOT}/apps/limits.yaml": LIMITS,
        **{f"{ROOT}/apps/{name}.yaml": deployment(name) for name in WRITTEN},
    }
    made = new_fleet(home, files)
    usage(home / "usage.csv")
    made.trimtab("usage", "import", "usage.csv", code=0)
    nodes = [
        {"name": f"n{cores}", "ready": True, "cpuCapacityMillicores": cores * 1000, "memoryCapacityMB": cores * 2048}
        for cores in (2, 4)
    ]
    (home / "push.json").write_text(json.dumps({"timestamp": made.now, "cluster": "prod", "nodes": nodes}))
    made.trimtab("usage", "import", "push.json", code=0)
    return made


Find = Callable[[str], dict[str, Any]]


def finder(repo: FleetRepo) -> Find:
    found = repo.at("recommend", "--json", code=0).json()
    return lambda name: next(one for one in found if f"{one['name']}/{one['container']}".startswith(name))


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetRepo]:
    yield fleet(tmp_path_factory.mktemp("sizes"))


@pytest.fixture(scope="module")
def recommended(repo: FleetRepo) -> Find:
    return finder(repo)


def values(one: dict[str, Any], resource: str) -> tuple[str, str | None]:
    return one["recommended"]["requests"][resource], one["recommended"]["limits"].get(resource)


def test_nothing_is_larger_than_the_largest_node(recommended: Find) -> None:
    huge = recommended("huge")
    assert values(huge, "cpu") == ("4", "8")
    assert "reduced to 4, what the largest node has" in huge["why"]["cpu"]
    assert values(huge, "memory") == ("8Gi", "16Gi")
    assert "reduced to 8Gi, what the largest node has" in huge["why"]["memory"]


def test_nothing_is_outside_a_limit_range(recommended: Find) -> None:
    bound = recommended("bound")
    assert values(bound, "cpu") == ("1500m", "1500m")
    assert "reduced to 1500m, the maximum of LimitRange bounds" in bound["why"]["cpu"]
    assert "limit reduced to 1500m, the maximum of LimitRange bounds" in bound["why"]["cpu"]
    assert values(bound, "memory") == ("1000Mi", "1500Mi")
    assert "limit 1500Mi for maxLimitRequestRatio 1.5 of LimitRange bounds" in bound["why"]["memory"]


def test_a_ratio_is_kept_and_a_small_change_is_not_proposed(recommended: Find) -> None:
    modest = recommended("modest")
    assert values(modest, "cpu") == ("100m", "200m")
    assert values(modest, "memory") == ("100Mi", "150Mi")
    steady = recommended("steady")
    assert steady["changes"] == []
    assert "100m → 94m is under the minimum change of 10 %" in steady["why"]["cpu"]


def test_a_pod_whose_containers_fit_one_by_one_and_not_together_says_so(recommended: Find) -> None:
    for name in ("pair/left", "pair/right"):
        why = recommended(name)["why"]["cpu"]
        assert values(recommended(name), "cpu") == ("3", None)
        assert "the pod would request 6, above 4 that the largest node has" in why
        assert "the pod would have 6 of CPU, above the maximum 5 for pods of LimitRange pods" in why
        assert "above" not in recommended(name)["why"]["memory"]


def test_workloads_that_pass_their_quota_together_only_say_so(recommended: Find) -> None:
    """4 and 94m and 100m would fit a quota of 4500m one by one; the next test has one that they do not fit."""
    assert "ResourceQuota" not in recommended("huge")["why"]["cpu"]


def test_a_quota_counts_all_workloads_of_its_namespace(repo: FleetRepo) -> None:
    repo.write(f"{ROOT}/apps/limits.yaml", LIMITS.replace("4500m", "4100m").replace('"100"', '"8"'))
    repo.commit("A smaller quota")
    find = finder(repo)
    together = "with the replicas of today, the namespace would"
    for name in ("huge", "modest"):
        why = find(name)["why"]["cpu"]
        assert f"{together} request 4200m together, above requests.cpu 4100m of ResourceQuota compute" in why
        assert f"{together} have limits of 8400m together, above limits.cpu 8 of ResourceQuota compute" in why
    assert "Quota" not in find("huge")["why"]["memory"]
    assert "Quota" not in find("bound")["why"]["cpu"]


def test_a_filter_on_what_git_does_not_declare_is_said(repo: FleetRepo) -> None:
    ran = repo.at("recommend", "--filter", 'pod<~:"huge-"', code=0)
    assert "No container matches" in ran.out
    assert "--filter: the filter asks for pod, which reads as empty of what Git declares" in ran.err
    repo.write("actions/all.yaml", ACTION % """, filter: 'node!:"n2"'""")
    repo.commit("Not on n2")
    said = "action all: the filter asks for node, which reads as empty of what Git declares"
    assert said in repo.at("plan", "--json", code=2).json()["notes"]


def test_no_request_is_above_its_limit_and_the_plan_writes_what_was_recommended(repo: FleetRepo) -> None:
    found = repo.at("recommend", "--json", code=0).json()
    diff = repo.at("plan", code=2).out
    for one in found:
        config = one["recommended"]
        for resource, limit in config["limits"].items():
            assert millis(config["requests"][resource]) <= millis(limit), one
        for resource in one["changes"]:
            assert config["requests"][resource] in diff
    assert "requests-deployment-steady" not in diff


def millis(quantity: str) -> float:
    units = {"m": 1.0, "Mi": 1000.0 * 2**20, "Gi": 1000.0 * 2**30}
    unit = next((u for u in units if quantity.endswith(u)), "")
    return float(quantity.removesuffix(unit)) * units.get(unit, 1000.0)


@pytest.mark.parametrize(
    ("rightsizing", "config"),
    [("keepLimitRatio: false, minChangePercent: 5", ""), ("", ", keepLimitRatio: false, minChangePercent: 5")],
)
def test_the_ratio_and_the_smallest_change_can_be_told_otherwise(tmp_path: Path, rightsizing: str, config: str) -> None:
    find = finder(fleet(tmp_path, rightsizing=rightsizing, config=config))
    assert values(find("modest"), "cpu") == ("100m", "600m")
    assert values(find("huge"), "cpu") == ("4", "4")
    assert "limit raised to 4, which is requested" in find("huge")["why"]["cpu"]
    assert find("steady")["changes"] == ["cpu"]
    assert values(find("steady"), "cpu") == ("94m", "200m")
