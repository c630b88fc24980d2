"""A base and copies of it in one root: kustomize also goes by the names from before, and Trimtab must hit the one it means."""

import csv
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from support.fleets import RIGHTSIZE, FleetRepo, fleet_yaml, git, new_fleet, policy
from support.replay import NOW

ROOT = "clusters/prod"
OVERLAY = f"{ROOT}/trimtab"
EVENING, MIDNIGHT = "2026-06-17T20:00:00Z", "2026-06-18T00:00:00Z"
WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: server
          image: web
          resources: {requests: {cpu: "2", memory: 2Gi}}
"""
SLEEP = """\
apiVersion: trimtab.dev/v1alpha1
kind: ActionConfig
metadata: {name: sleep}
spec:
  scope: global
  action: namespaceTurndown
  config: {enabled: true, filter: 'namespace:"shop"', maintenanceWindow: "* 20-23 * * *"}
"""
USED = {("shop", "web"): (0.13, 130), ("shop", "canary-web"): (0.26, 260), ("dev", "web"): (0.39, 390)}
"""Cores and MiB, all the time: at a target of 65 % that is 200m and 200Mi, 400m and 400Mi, 600m and 600Mi."""

Layout = Mapping[str, str]
CANARY: Layout = {
    f"{ROOT}/apps/kustomization.yaml": "resources: [base, canary]\n",
    f"{ROOT}/apps/base/kustomization.yaml": "resources: [web.yaml]\n",
    f"{ROOT}/apps/base/web.yaml": WEB,
    f"{ROOT}/apps/canary/kustomization.yaml": "namePrefix: canary-\nresources: [../base]\n",
}
TWO_NAMESPACES: Layout = {
    **CANARY,
    f"{ROOT}/apps/canary/kustomization.yaml": "namespace: dev\nresources: [../base]\n",
}
INDISTINCT: Layout = {
    f"{ROOT}/apps/kustomization.yaml": "resources: [one, two]\n",
    f"{ROOT}/apps/one/kustomization.yaml": "namePrefix: my-\nnameSuffix: -a\nresources: [w.yaml]\n",
    f"{ROOT}/apps/one/w.yaml": WEB.replace("name: web,", "name: x,"),
    f"{ROOT}/apps/two/kustomization.yaml": "namePrefix: b-\nresources: [w.yaml]\n",
    f"{ROOT}/apps/two/w.yaml": WEB.replace("name: web,", "name: my-x-a,"),
}
"""``my-x-a`` was made in two steps; ``b-my-x-a`` had that very name before."""


def fleet(home: Path, layout: Layout, **more: str) -> FleetRepo:
    base = {
        "trimtab.yaml": fleet_yaml(f"{{name: prod, path: {ROOT}}}"),
        "actions/rightsize.yaml": RIGHTSIZE,
        f"{ROOT}/kustomization.yaml": "resources: [apps]\ncomponents: [trimtab]\n",
        f"{OVERLAY}/kustomization.yaml": (
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: []\n"
        ),
    }
    repo = new_fleet(home, {**base, **layout, **more})
    repo.trimtab("usage", "import", str(usage(home / "usage.csv")), code=0)
    return repo


def usage(path: Path, used: Mapping[tuple[str, str], tuple[float, int]] = USED) -> Path:
    with path.open("w", newline="") as handle:
        out = csv.writer(handle)
        out.writerow(["timestamp", "cluster", "namespace", "kind", "name", "container", "cpu_cores", "memory_bytes"])
        for (namespace, name), (cores, mebibytes) in used.items():
            for hour in range(14 * 24):
                at = (NOW - timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%M:%SZ")
                out.writerow([at, "prod", namespace, "Deployment", name, "server", cores, mebibytes * 1024**2])
    return path


Built = dict[tuple[str, str, str], Any]


def built(repo: FleetRepo) -> Built:
    return {(o["kind"], o["metadata"]["namespace"], o["metadata"]["name"]): o["spec"] for o in repo.build(ROOT)}


def requests(objects: Built, namespace: str, name: str) -> dict[str, str]:
    (container,) = objects["Deployment", namespace, name]["template"]["spec"]["containers"]
    return dict(container["resources"]["requests"])


def replicas(objects: Built) -> dict[tuple[str, str], int | None]:
    return {key[1:]: spec.get("replicas") for key, spec in objects.items() if key[0] == "Deployment"}


@pytest.mark.parametrize(
    ("layout", "other"), [(CANARY, ("shop", "canary-web")), (TWO_NAMESPACES, ("dev", "web"))], ids=["canary", "dev"]
)
def test_each_of_two_twins_gets_its_own_size_and_sleeps_alone(
    tmp_path: Path, layout: Layout, other: tuple[str, str]
) -> None:
    repo = fleet(tmp_path, layout, **{"actions/sleep.yaml": SLEEP})
    people = {path: repo.show(path) for path in layout}
    done = repo.at("reconcile", "--once", "--json", code=0).json()
    assert (done["blocked"], done["problems"]) == ([], [])
    objects = built(repo)
    assert requests(objects, "shop", "web") == {"cpu": "200m", "memory": "200Mi"}
    assert requests(objects, *other) == {
        "cpu": f"{int(USED[other][0] / 0.65 * 1000)}m",
        "memory": f"{int(USED[other][1] / 0.65)}Mi",
    }
    assert "annotationSelector" in repo.show(f"{OVERLAY}/kustomization.yaml")
    repo.at("reconcile", "--once", now=EVENING, code=0)
    asleep = 0 if other[0] == "shop" else 3
    assert replicas(built(repo)) == {("shop", "web"): 0, other: asleep}
    repo.at("reconcile", "--once", now=MIDNIGHT, code=0)
    assert replicas(built(repo)) == {("shop", "web"): 3, other: 3}
    settled = repo.head()
    repo.at("reconcile", "--once", now=MIDNIGHT, code=0)
    assert repo.head() == settled
    assert {path: repo.show(path) for path in layout} == people


def test_rolling_back_the_sizes_of_twins_leaves_what_people_wrote(tmp_path: Path) -> None:
    repo = fleet(tmp_path, CANARY)
    before = git(repo.bare, "rev-parse", f"main:{ROOT}")
    repo.at("reconcile", "--once", code=0)
    repo.at("rollback", repo.head(), code=0)
    assert git(repo.bare, "rev-parse", f"main:{ROOT}") == before


def test_a_twin_in_another_namespace_is_handed_over_alone(tmp_path: Path) -> None:
    files = {"policies/web.yaml": policy("web", "shop/web", minReplicas=2, maxReplicas=6, handOver=True)}
    repo = fleet(tmp_path, TWO_NAMESPACES, **files)
    assert repo.at("reconcile", "--once", "--json", code=0).json()["blocked"] == []
    objects = built(repo)
    assert replicas(objects) == {("shop", "web"): None, ("dev", "web"): 3}
    assert objects["HorizontalPodAutoscaler", "shop", "web"]["scaleTargetRef"]["name"] == "web"


def test_a_policy_whose_hpa_would_go_astray_is_blocked_with_the_reason(tmp_path: Path) -> None:
    files = {
        "policies/web.yaml": policy("web", "shop/web", minReplicas=2, maxReplicas=6, handOver=True),
        "policies/canary.yaml": policy("canary", "shop/canary-web", minReplicas=1, maxReplicas=2, handOver=True),
    }
    repo = fleet(tmp_path, CANARY, **files)
    (blocked,) = repo.at("reconcile", "--once", "--json", code=0).json()["blocked"]
    assert (blocked["subject"], blocked["workload"]) == ("web", "web")
    assert "would point an HPA for web at canary-web instead" in blocked["reason"]
    objects = built(repo)
    assert objects["HorizontalPodAutoscaler", "shop", "canary-web"]["scaleTargetRef"]["name"] == "canary-web"
    assert ("HorizontalPodAutoscaler", "shop", "web") not in objects
    assert replicas(objects) == {("shop", "web"): 3, ("shop", "canary-web"): None}


def test_what_nothing_tells_apart_is_blocked_with_the_reason(tmp_path: Path) -> None:
    files = {
        "actions/sleep.yaml": SLEEP,
        "policies/x.yaml": policy("x", "shop/my-x-a", minReplicas=2, maxReplicas=6, handOver=True),
    }
    repo = fleet(tmp_path, INDISTINCT, **files)
    used = {("shop", "my-x-a"): (0.13, 130), ("shop", "b-my-x-a"): (0.26, 260)}
    repo.trimtab("usage", "import", str(usage(tmp_path / "more.csv", used)), code=0)
    done = repo.at("reconcile", "--once", "--json", now=EVENING, code=0).json()
    reasons = {(one["subject"], one["workload"]): one["reason"] for one in done["blocked"]}
    assert "cannot tell Deployment my-x-a from another one" in reasons["rightsize", "my-x-a"]
    assert "x" in {subject for subject, _ in reasons}
    assert any("my-x-a" in note and "cannot tell" in note for note in done["notes"]), "the turndown says what stays up"
    objects = built(repo)
    assert requests(objects, "shop", "my-x-a") == {"cpu": "2", "memory": "2Gi"}
    assert requests(objects, "shop", "b-my-x-a") == {"cpu": "400m", "memory": "400Mi"}
    assert replicas(objects) == {("shop", "my-x-a"): 3, ("shop", "b-my-x-a"): 0}


def alone(layout: Layout) -> Layout:
    """The same without the copy."""
    return {**layout, f"{ROOT}/apps/kustomization.yaml": "resources: [base]\n"}


def with_copy(repo: FleetRepo, layout: Layout) -> None:
    repo.pull()
    repo.write(f"{ROOT}/apps/kustomization.yaml", layout[f"{ROOT}/apps/kustomization.yaml"])
    repo.commit("A copy of it")


@pytest.mark.parametrize(
    ("layout", "other"), [(CANARY, ("shop", "canary-web")), (TWO_NAMESPACES, ("dev", "web"))], ids=["canary", "dev"]
)
def test_a_copy_that_comes_later_is_not_hit_by_what_stands(
    tmp_path: Path, layout: Layout, other: tuple[str, str]
) -> None:
    repo = fleet(tmp_path, alone(layout))
    repo.at("reconcile", "--once", code=0)
    repo.trimtab("usage", "import", str(usage(tmp_path / "none.csv", {})), code=0)
    with_copy(repo, layout)
    assert requests(built(repo), *other) == {"cpu": "200m", "memory": "200Mi"}, "kustomize takes one for the other"
    done = repo.at("reconcile", "--once", "--json", code=0).json()
    assert done["problems"] == []
    objects = built(repo)
    assert requests(objects, "shop", "web") == {"cpu": "200m", "memory": "200Mi"}
    assert requests(objects, *other)["cpu"] == f"{int(USED[other][0] / 0.65 * 1000)}m"
    settled = repo.head()
    repo.at("reconcile", "--once", code=0)
    assert repo.head() == settled


def test_a_copy_that_comes_while_its_namespace_is_down_is_not_turned_down_with_it(tmp_path: Path) -> None:
    repo = fleet(tmp_path, alone(TWO_NAMESPACES), **{"actions/sleep.yaml": SLEEP})
    repo.at("reconcile", "--once", now=EVENING, code=0)
    with_copy(repo, TWO_NAMESPACES)
    assert replicas(built(repo)) == {("shop", "web"): 0, ("dev", "web"): 0}, "kustomize takes one for the other"
    repo.at("reconcile", "--once", now=EVENING, code=0)
    assert replicas(built(repo)) == {("shop", "web"): 0, ("dev", "web"): 3}
    repo.at("reconcile", "--once", now=MIDNIGHT, code=0)
    assert replicas(built(repo)) == {("shop", "web"): 3, ("dev", "web"): 3}


def test_a_canary_of_what_is_scaled_already_takes_the_hpa_away(tmp_path: Path) -> None:
    files = {"policies/web.yaml": policy("web", "shop/web", minReplicas=2, maxReplicas=6, handOver=True)}
    repo = fleet(tmp_path, alone(CANARY), **files)
    repo.at("reconcile", "--once", code=0)
    assert replicas(built(repo)) == {("shop", "web"): None}
    with_copy(repo, CANARY)
    assert built(repo)["HorizontalPodAutoscaler", "shop", "web"]["scaleTargetRef"]["name"] == "canary-web"
    done = repo.at("reconcile", "--once", "--json", code=0).json()
    assert done["problems"] == []
    objects = built(repo)
    assert replicas(objects) == {("shop", "web"): 3, ("shop", "canary-web"): 3}
    assert [key for key in objects if key[0] == "HorizontalPodAutoscaler"] == []
    (blocked,) = repo.at("reconcile", "--once", "--json", code=0).json()["blocked"]
    assert "at canary-web instead" in blocked["reason"]
