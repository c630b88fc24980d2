"""Rollouts (a kind that strategic merge does not know) are sized by JSON 6902: the right container, the right maps."""

import csv
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.fleets import RIGHTSIZE, FleetRepo, fleet_yaml, git, new_fleet
from support.replay import NOW

ROOT = "clusters/prod"
PATCH = f"{ROOT}/trimtab/shop/requests-rollout-web.yaml"
ROLLOUT = """\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata:
  name: {name}
spec:
  replicas: 2
  strategy: {{canary: {{steps: [{{setWeight: 20}}]}}}}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      initContainers:
        - name: wait
          image: wait
        - name: mesh # a native sidecar
          image: mesh
          restartPolicy: Always
          resources: {{}}
      containers:
        - name: limited # its requests are the limits
          image: limited
          resources:
            limits: {{cpu: "1", memory: 1Gi}}
        - name: bare
          image: bare
        - name: whole
          image: whole
          ports: [{{containerPort: 80}}]
"""
WHOLE = """\
          resources:
            requests: {cpu: "2", memory: 2Gi, ephemeral-storage: 1Gi}
            limits: {memory: 4Gi}
"""


def manifest(name: str) -> str:
    return ROLLOUT.format(name=name) + WHOLE


USED = {"mesh": (0.013, 26), "limited": (0.13, 130), "bare": (0.26, 260), "whole": (0.39, 390)}
"""Cores and MiB, all the time; at a target of 65 % that is 20m and 40Mi, 200m and 200Mi, 400m and 400Mi, 600m and 600Mi."""


def fleet(home: Path, **files: str) -> FleetRepo:
    base = {
        "trimtab.yaml": fleet_yaml(f"{{name: prod, path: {ROOT}}}"),
        "actions/rightsize.yaml": RIGHTSIZE,
        f"{ROOT}/kustomization.yaml": "resources: [apps]\ncomponents: [trimtab]\n",
        f"{ROOT}/trimtab/kustomization.yaml": (
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: []\n"
        ),
        f"{ROOT}/apps/kustomization.yaml": "namespace: shop\nresources: [web.yaml]\n",
        f"{ROOT}/apps/web.yaml": manifest("web"),
    }
    repo = new_fleet(home, base | files)
    feed(repo)
    return repo


def feed(repo: FleetRepo, name: str = "web") -> None:
    path = repo.home / "usage.csv"
    with path.open("w", newline="") as handle:
        out = csv.writer(handle)
        out.writerow(["timestamp", "cluster", "namespace", "kind", "name", "container", "cpu_cores", "memory_bytes"])
        for container, (cores, mebibytes) in USED.items():
            for hour in range(14 * 24):
                at = (NOW - timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%M:%SZ")
                row = [at, "prod", "shop", "Rollout", name, container]
                out.writerow([*row, cores, mebibytes * 1024**2])
    repo.trimtab("usage", "import", str(path), code=0)


def resources(repo: FleetRepo, name: str = "web") -> dict[str, Any]:
    rollout = next(o for o in repo.build(ROOT) if (o["kind"], o["metadata"]["name"]) == ("Rollout", name))
    pod = rollout["spec"]["template"]["spec"]
    return {c["name"]: c.get("resources") for c in (*pod["initContainers"], *pod["containers"])}


SIZED = {
    "wait": None,
    "mesh": {"requests": {"cpu": "20m", "memory": "40Mi"}},
    "limited": {"requests": {"cpu": "200m", "memory": "200Mi"}, "limits": {"cpu": "200m", "memory": "200Mi"}},
    "bare": {"requests": {"cpu": "400m", "memory": "400Mi"}},
    "whole": {
        "requests": {"cpu": "600m", "memory": "600Mi", "ephemeral-storage": "1Gi"},
        "limits": {"memory": "1200Mi"},
    },
}


def test_a_rollout_is_sized_container_by_container(tmp_path: Path) -> None:
    repo = fleet(tmp_path)
    people = git(repo.bare, "rev-parse", f"main:{ROOT}/apps")
    before = repo.build(ROOT)
    done = repo.at("reconcile", "--once", "--json", code=0).json()
    assert (done["blocked"], done["problems"]) == ([], [])
    assert resources(repo) == SIZED
    after = repo.build(ROOT)
    for objects in (before, after):
        (rollout,) = objects
        for role in ("initContainers", "containers"):
            for container in rollout["spec"]["template"]["spec"][role]:
                container.pop("resources", None)
    assert after == before, "nothing but resources differs: images, ports and order are people's"
    operations = yaml.safe_load(repo.show(PATCH))
    assert {operation["op"] for operation in operations} == {"test", "add"}
    assert git(repo.bare, "rev-parse", f"main:{ROOT}/apps") == people
    settled = repo.head()
    repo.at("reconcile", "--once", code=0)
    assert repo.head() == settled


MOVED = {
    "a container comes between": ("        - name: bare\n", "        - name: extra\n          image: extra\n        - name: bare\n"),
    "a container is renamed": ("name: bare\n", "name: bear\n"),
    "its resources go": (WHOLE, ""),
    "resources come": ("          image: bare\n", "          image: bare\n          resources: {requests: {ephemeral-storage: 2Gi}}\n"),
}  # fmt: skip


@pytest.mark.parametrize("case", MOVED)
def test_a_person_who_moves_containers_finds_the_root_mended_at_the_next_pass(tmp_path: Path, case: str) -> None:
    repo = fleet(tmp_path)
    repo.at("reconcile", "--once", code=0)
    repo.pull()
    before = manifest("web")
    text = before.replace(*MOVED[case])
    assert text != before
    repo.write(f"{ROOT}/apps/web.yaml", text)
    repo.commit("Another layout")
    done = repo.at("reconcile", "--once", "--json", code=0).json()
    assert (done["blocked"], done["problems"]) == ([], [])
    expected: dict[str, Any] = dict(SIZED)
    if case == "a container comes between":
        expected["extra"] = None
    elif case == "a container is renamed":
        del expected["bare"]
        expected["bear"] = None
    elif case == "its resources go":
        expected["whole"] = {"requests": {"cpu": "600m", "memory": "600Mi"}}
    else:
        expected["bare"] = {"requests": {"cpu": "400m", "memory": "400Mi", "ephemeral-storage": "2Gi"}}
    assert resources(repo) == expected
    settled = repo.head()
    repo.at("reconcile", "--once", code=0)
    assert repo.head() == settled


def test_a_rollback_keeps_the_value_that_a_person_changed_and_finds_its_container(tmp_path: Path) -> None:
    repo = fleet(tmp_path)
    repo.at("reconcile", "--once", code=0)
    wrote = repo.head()
    repo.pull()
    repo.write(PATCH, repo.show(PATCH).replace("value: 400m", "value: 500m") + "\n")
    repo.commit("I know better")
    done = repo.at("rollback", wrote, "--json", code=0).json()
    assert [kept["field"] for kept in done["kept"]] == ["containers/bare/requests/cpu"]
    sizes = resources(repo)
    assert sizes["bare"] == {"requests": {"cpu": "500m"}}
    assert sizes["whole"]["requests"] == {"cpu": "2", "memory": "2Gi", "ephemeral-storage": "1Gi"}
    assert sizes["limited"] == {"limits": {"cpu": "1", "memory": "1Gi"}}
