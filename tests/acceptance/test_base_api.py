"""What an agent hands back before it lets a field go: people's own values, out of what the roots build to without our overlay."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.fleets import FleetRepo, fleet_yaml, new_fleet, policy
from support.served import Served, serving
from support.small import ROOT, root_files

CPU = ["spec", "template", "spec", "containers", "server", "resources", "requests", "cpu"]
CPU_LIMIT = ["spec", "template", "spec", "containers", "server", "resources", "limits", "cpu"]
WEB = {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web"}
SIZED = """\
# Written by Trimtab.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  template:
    spec:
      containers:
        - name: server
          resources:
            requests:
              cpu: 20m
"""
QUOTA = """\
apiVersion: v1
kind: ResourceQuota
metadata: {name: all, namespace: shop}
spec: {hard: {requests.cpu: "4", pods: 10}}
"""
POOL = """\
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: general}
spec: {limits: {cpu: "100"}, template: {spec: {}}}
"""


def _files() -> dict[str, str]:
    root, argo = root_files(ROOT), root_files("clusters/argo", "api")
    return {
        "trimtab.yaml": fleet_yaml(
            f"{{name: prod, roots: [{{path: {ROOT}}}, {{path: clusters/argo, namespace: tools, sync: argocd}}]}}"
        ),
        **root,
        **argo,
        f"{ROOT}/apps/kustomization.yaml": "resources: [web.yaml, quota.yaml, pool.yaml]\n",
        f"{ROOT}/apps/quota.yaml": QUOTA,
        f"{ROOT}/apps/pool.yaml": POOL,
        "policies/web.yaml": policy("web", "shop/web"),
    }


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> FleetRepo:
    return new_fleet(tmp_path_factory.mktemp("fleet"), _files())


@pytest.fixture(scope="module")
def served(fleet: FleetRepo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served"), fleet) as running:
        running.reconcile()
        yield running


@pytest.fixture(scope="module")
def agent(served: Served) -> tuple[str, dict[str, str]]:
    return served.agent("prod", cluster="prod")


def ask(served: Served, agent: tuple[str, dict[str, str]], revision: str, *fields: dict[str, Any]) -> Any:
    body = {"revision": revision, "fields": list(fields)}
    return served.client.post(f"/api/v1/agents/{agent[0]}/scaling/base", json=body, headers=agent[1])


def pulled(served: Served, agent: tuple[str, dict[str, str]]) -> dict[str, Any]:
    answer = served.client.get(f"/api/v1/agents/{agent[0]}/scaling/desired", headers=agent[1])
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_desired_says_which_repository_and_which_roots(
    served: Served, agent: tuple[str, dict[str, str]], fleet: FleetRepo
) -> None:
    told = pulled(served, agent)
    assert told["repository"] == str(fleet.bare)
    assert told["roots"] == [
        {"path": ROOT, "namespace": "default", "sync": "agent"},
        {"path": "clusters/argo", "namespace": "tools", "sync": "argocd"},
    ]


def test_people_s_own_values_are_told_whatever_our_overlay_says(
    served: Served, agent: tuple[str, dict[str, str]], fleet: FleetRepo
) -> None:
    fleet.pull()
    fleet.write(f"{ROOT}/trimtab/shop/requests-deployment-web.yaml", SIZED)
    kustomization = f"{ROOT}/trimtab/kustomization.yaml"
    listed = "patches:\n  - path: shop/requests-deployment-web.yaml\n"
    fleet.write(kustomization, (fleet.work / kustomization).read_text() + listed)
    fleet.commit("The overlay sizes web")
    assert "cpu: 20m" in str(fleet.build(ROOT)).replace("'", "")
    served.steward.ask(lambda house: (house.repository.fetch(), served.steward.read(house))).result(timeout=60)
    revision = pulled(served, agent)["revision"]
    answer = ask(
        served,
        agent,
        revision,
        {**WEB, "paths": [CPU, CPU_LIMIT, ["spec", "replicas"]]},
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "namespace": "shop",
            "name": "all",
            "paths": [["spec", "hard", "pods"]],
        },
        {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "name": "general", "paths": [["spec", "limits", "cpu"]]},
        {**WEB, "name": "gone", "paths": [CPU]},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "revision": revision,
        "objects": [
            {**WEB, "found": True, "values": [{"path": CPU, "value": "100m"}]},
            {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "namespace": "shop",
                "name": "all",
                "found": True,
                "values": [{"path": ["spec", "hard", "pods"], "value": 10}],
            },
            {
                "apiVersion": "karpenter.sh/v1",
                "kind": "NodePool",
                "namespace": "",
                "name": "general",
                "found": True,
                "values": [{"path": ["spec", "limits", "cpu"], "value": "100"}],
            },
            {**WEB, "name": "gone", "found": False, "values": []},
        ],
    }


def test_what_argo_brings_about_is_not_told(served: Served, agent: tuple[str, dict[str, str]]) -> None:
    revision = pulled(served, agent)["revision"]
    answer = ask(served, agent, revision, {**WEB, "name": "api", "paths": [CPU]})
    assert answer.json()["objects"] == [{**WEB, "name": "api", "found": False, "values": []}]


def test_an_earlier_commit_has_its_own_values(
    served: Served, agent: tuple[str, dict[str, str]], fleet: FleetRepo
) -> None:
    before = pulled(served, agent)["revision"]
    fleet.pull()
    path = f"{ROOT}/apps/web.yaml"
    fleet.write(path, (fleet.work / path).read_text().replace("cpu: 100m", "cpu: 300m"))
    after = fleet.commit("More CPU")
    served.steward.ask(lambda house: house.repository.fetch()).result(timeout=60)
    told = [ask(served, agent, at, {**WEB, "paths": [CPU]}).json()["objects"][0]["values"] for at in (before, after)]
    assert told == [[{"path": CPU, "value": "100m"}], [{"path": CPU, "value": "300m"}]]


@pytest.mark.parametrize(
    "path",
    [
        ["spec", "template", "spec", "containers", "server", "image"],
        ["spec", "template", "spec", "containers", "server", "env", "PASSWORD", "value"],
        ["metadata", "annotations", "x"],
        ["spec", "template"],
        ["spec", "template", "spec", "containers", "server", "resources", "claims", "x"],
        ["data", "hard", "x"],
    ],
)
def test_other_fields_than_those_of_capacity_are_refused(
    served: Served, agent: tuple[str, dict[str, str]], path: list[str]
) -> None:
    answer = ask(served, agent, pulled(served, agent)["revision"], {**WEB, "paths": [CPU, path]})
    assert answer.status_code == 400
    assert answer.json()["field"] == "fields.0.paths.1"
    assert ".".join(path) in answer.json()["error"]


def test_a_commit_that_is_not_on_the_branch_is_a_404_with_the_next_step(
    served: Served, agent: tuple[str, dict[str, str]]
) -> None:
    answer = ask(served, agent, "f" * 40, {**WEB, "paths": [CPU]})
    assert answer.status_code == 404
    assert answer.json()["field"] == "revision"
    assert "pull the desired state again" in answer.json()["error"]


def test_a_root_that_does_not_build_is_a_503_never_no_values(tmp_path: Path) -> None:
    repo = new_fleet(tmp_path, {"trimtab.yaml": fleet_yaml(f"{{name: prod, path: {ROOT}}}"), **root_files(ROOT)})
    repo.write(f"{ROOT}/apps/kustomization.yaml", "resources: [web.yaml, missing.yaml]\n")
    head = repo.commit("A mistake")
    with serving(tmp_path, repo) as served:
        answer = ask(served, served.agent("prod", cluster="prod"), head, {**WEB, "paths": [CPU]})
    assert answer.status_code == 503
    assert "missing.yaml" in answer.json()["error"]
