"""The main job on recorded usage and real manifests, by the command line: what is recommended is what the raw series say."""

import math
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from reconciler.model.quantity import MIB, parse_cpu, parse_memory
from support.fleets import RIGHTSIZE, FleetRepo, boutique, fleet_yaml, policy
from support.replay import CLUSTER, REAL, REPLAY, quantile, series, write_csv

ROOT = "clusters/boutique-prod"
WORKLOADS = sorted(REPLAY["workloads"])
SHOP = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [shop]\nnamespace: shop\n"


def imported(repo: FleetRepo, **names: str) -> FleetRepo:
    file = write_csv(repo.home / "usage.csv", **names)
    repo.trimtab("usage", "import", str(file), code=0)
    return repo


def expected(workload: str) -> tuple[float, float]:
    """Production: the maximum over the window ÷ 0.65, in millicores and MiB, before rounding up; floors 10m and 20 MiB."""
    cpu, memory = series(workload, "cpu").max() / 0.65 * 1000, series(workload, "memory").max() / 0.65 / MIB
    return max(cpu, 10), max(memory, 20)


def close(got: float, exact: float) -> bool:
    """Within 1 % plus one unit of rounding."""
    return abs(got - exact) <= exact * 0.01 + 1


def resources(objects: list[dict[str, Any]], name: str, kind: str = "Deployment") -> dict[str, Any]:
    found = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, name
    return dict(found[0]["spec"]["template"]["spec"]["containers"][0]["resources"])


def people(repo: FleetRepo, root: str = ROOT) -> dict[str, str]:
    return {path: repo.show(path) for path in repo.files() if "/trimtab/" not in path}


def valid(objects: list[dict[str, Any]]) -> None:
    for one in objects:
        if one["apiVersion"].startswith("karpenter.sh/"):
            assert set(one["spec"]) <= {"template", "disruption", "limits", "weight", "replicas"}
            assert all(isinstance(v, str) for v in one["spec"]["limits"].values())
        else:
            kubernetes_validate.validate(one, "1.32", strict=True)


def check_overlay(
    repo: FleetRepo, *, root: str = ROOT, prefix: str = "", names: list[str] | None = None
) -> list[dict[str, Any]]:
    objects = repo.build(root)
    valid(objects)
    for name in names or WORKLOADS:
        got = resources(objects, prefix + name)["requests"]
        cpu, memory = expected(name)
        manifest = people_request(name)
        if abs(math.ceil(cpu) - manifest[0]) / manifest[0] >= 0.12:
            assert close(parse_cpu(got["cpu"]), cpu), (name, got, cpu)
        if abs(math.ceil(memory) - manifest[1] / MIB) / (manifest[1] / MIB) >= 0.12:
            assert close(parse_memory(got["memory"]) / MIB, memory), (name, got, memory)
    return objects


def people_request(name: str) -> tuple[int, int]:
    import yaml

    for document in yaml.safe_load_all((REAL / f"online-boutique/{name}.yaml").read_text()):
        if document and document["kind"] == "Deployment" and document["metadata"]["name"] == name:
            requests = document["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
            return parse_cpu(requests["cpu"]), parse_memory(requests["memory"])
    raise AssertionError(name)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> FleetRepo:
    """Online Boutique with two weeks of usage, read only."""
    return imported(boutique(tmp_path_factory.mktemp("boutique")))


def test_recommended_values_are_those_of_the_raw_series(shop: FleetRepo) -> None:
    rows = shop.at("recommend", "--json", code=0).json()
    got = {row["name"]: row["recommended"]["requests"] for row in rows if row["samples"]}
    assert sorted(got) == WORKLOADS
    for name, requests in got.items():
        cpu, memory = expected(name)
        assert close(parse_cpu(requests["cpu"]), cpu), name
        assert close(parse_memory(requests["memory"]) / MIB, memory), name


@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
def test_quantiles_are_those_of_the_raw_series(shop: FleetRepo, q: float) -> None:
    rows = {row["name"]: row for row in shop.at("recommend", "--json", code=0).json()}
    for name in WORKLOADS:
        for resource in ("cpu", "memory"):
            exact = quantile(series(name, resource), q)
            assert rows[name]["usage"][resource][f"p{int(q * 100)}"] == pytest.approx(exact, rel=0.01), (name, resource)


def test_a_profile_and_a_filter_on_the_command_line(shop: FleetRepo) -> None:
    rows = shop.at(
        "recommend", "--profile", "High Availability", "--filter", 'controllerName:"frontend"', "--json", code=0
    ).json()
    assert [row["name"] for row in rows] == ["frontend"]
    exact = series("frontend", "cpu").max() / 0.5 * 1000
    assert close(parse_cpu(rows[0]["recommended"]["requests"]["cpu"]), exact)


def test_limits_keep_their_ratio_and_stay_above_requests(shop: FleetRepo) -> None:
    for row in shop.at("recommend", "--json", code=0).json():
        if not row["samples"]:
            continue
        for resource, parse, unit in (("cpu", parse_cpu, 1), ("memory", parse_memory, MIB)):
            before = parse(row["current"]["limits"][resource]) / parse(row["current"]["requests"][resource])
            request, limit = (parse(row["recommended"][b][resource]) for b in ("requests", "limits"))
            assert limit >= request
            assert limit / request == pytest.approx(before, abs=2 * unit / request * max(before, 1) + 0.01)


def test_the_same_usage_twice_changes_nothing(shop: FleetRepo) -> None:
    before = shop.at("recommend", "--json", code=0).json()
    again = shop.trimtab("usage", "import", str(shop.home / "usage.csv"), "--json", code=0).json()
    assert again["samples"] == 0
    assert again["seenBefore"] == 2 * 4032 * len(WORKLOADS)
    assert shop.at("recommend", "--json", code=0).json() == before


def test_plan_then_reconcile_then_nothing(tmp_path: Path) -> None:
    repo = imported(
        boutique(
            tmp_path,
            files={"policies/frontend.yaml": policy("frontend", "default/frontend", minReplicas=2, maxReplicas=6)},
        )
    )
    before = people(repo)
    head = repo.head()
    plan = repo.at("plan", "--json", code=2)
    assert repo.head() == head
    landed = repo.at("reconcile", "--once", "--json", code=0).json()
    assert [c["summary"] for c in landed["changes"]] == [c["summary"] for c in plan.json()["changes"]]
    assert people(repo) == before
    objects = check_overlay(repo)
    hpa = next(o for o in objects if o["kind"] == "HorizontalPodAutoscaler")
    assert hpa["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend"}
    # CPU is sized under the HPA, so its target is absolute: 70 % of what people requested (100m).
    assert hpa["spec"]["metrics"][0]["resource"]["target"] == {"type": "AverageValue", "averageValue": "70m"}
    after = repo.head()
    assert repo.at("reconcile", "--once", "--json", code=0).json()["changes"] == []
    assert repo.head() == after
    repo.at("plan", code=0)


def test_commits_name_change_decisions_and_action(tmp_path: Path) -> None:
    repo = imported(boutique(tmp_path))
    repo.at("reconcile", "--once", code=0)
    subject, trailers = (
        repo.log("%s%x00%(trailers:only,unfold)%x01", "-1")[0].split("\0")[0],
        repo.log("%(trailers:key=Trimtab-Change,valueonly)", "-1"),
    )
    assert len(subject) <= 72
    assert len(trailers[0]) == 26
    body = "\n".join(repo.log("%B", "-1"))
    assert "Trimtab-Action: " in body
    assert "Trimtab-Run: " in body
    assert body.count("Trimtab-Decision: ") >= 5
    assert "Trimtab-Policy" not in body


def test_in_another_namespace_set_by_a_transformer(tmp_path: Path) -> None:
    repo = boutique(tmp_path, files={f"{ROOT}/apps/kustomization.yaml": SHOP})
    move_down(repo, "shop")
    imported(repo, namespace="shop").at("reconcile", "--once", code=0)
    objects = check_overlay(repo)
    assert {o["metadata"]["namespace"] for o in objects if o["kind"] == "Deployment"} == {"shop"}
    assert any(path.startswith(f"{ROOT}/trimtab/shop/requests-deployment-") for path in repo.files())


def test_with_a_name_prefix(tmp_path: Path) -> None:
    repo = boutique(tmp_path, files={f"{ROOT}/apps/kustomization.yaml": SHOP + "namePrefix: eu-\n"})
    move_down(repo, "shop")
    repo.write("policies/frontend.yaml", policy("frontend", "shop/eu-frontend", maxReplicas=4))
    repo.commit()
    imported(repo, namespace="shop", prefix="eu-").at("reconcile", "--once", code=0)
    objects = check_overlay(repo, prefix="eu-")
    hpa = next(o for o in objects if o["kind"] == "HorizontalPodAutoscaler")
    assert (hpa["metadata"]["namespace"], hpa["spec"]["scaleTargetRef"]["name"]) == ("shop", "eu-frontend")


def move_down(repo: FleetRepo, folder: str) -> None:
    """Put Online Boutique one more level down, as a base that another kustomization transforms."""
    import shutil

    target = repo.work / ROOT / "apps" / folder
    target.mkdir()
    for file in (REAL / "online-boutique").iterdir():
        (repo.work / ROOT / "apps" / file.name).unlink(missing_ok=True)
        shutil.copyfile(file, target / file.name)
    repo.write(f"{ROOT}/apps/kustomization.yaml", repo.show(f"{ROOT}/apps/kustomization.yaml"))
    repo.commit("One level down")


def test_with_two_roots(tmp_path: Path) -> None:
    other = "clusters/second"
    component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: []\n"
    half = sorted(WORKLOADS)[:5]
    repo = boutique(tmp_path)
    for name in half:
        text = (REAL / f"online-boutique/{name}.yaml").read_text()
        repo.write(f"{other}/apps/{name}.yaml", text)
        (repo.work / ROOT / f"apps/{name}.yaml").unlink()
    for root, names in ((other, half), (ROOT, [n for n in WORKLOADS if n not in half])):
        listed = "".join(f"- {name}.yaml\n" for name in names)
        repo.write(f"{root}/apps/kustomization.yaml", f"resources:\n{listed}")
        repo.write(f"{root}/kustomization.yaml", "resources: [apps]\ncomponents: [trimtab]\n")
        repo.write(f"{root}/trimtab/kustomization.yaml", component)
    repo.write(
        "trimtab.yaml",
        fleet_yaml(f"{{name: {CLUSTER}, roots: [{{path: {ROOT}}}, {{path: {other}, namespace: default}}]}}"),
    )
    repo.commit("Two roots")
    imported(repo).at("reconcile", "--once", code=0)
    check_overlay(repo, root=other, names=half)
    check_overlay(repo, root=ROOT, names=[n for n in WORKLOADS if n not in half])


def test_after_a_person_deleted_a_workload(tmp_path: Path) -> None:
    repo = imported(boutique(tmp_path))
    repo.at("reconcile", "--once", code=0)
    repo.pull()
    gone = next(n for n in WORKLOADS if (repo.work / ROOT / f"trimtab/default/requests-deployment-{n}.yaml").exists())
    (repo.work / ROOT / f"apps/{gone}.yaml").unlink()
    listed = (repo.work / ROOT / "apps/kustomization.yaml").read_text()
    repo.write(f"{ROOT}/apps/kustomization.yaml", listed.replace(f" - {gone}.yaml\n", ""))
    assert gone in repo.trimtab("check", str(repo.work), code=1).text
    repo.commit(f"Delete {gone}")
    repo.build(ROOT)
    repo.at("reconcile", "--once", code=0)
    assert not any(gone in path for path in repo.files(f"{ROOT}/trimtab"))
    check_overlay(repo, names=[n for n in WORKLOADS if n != gone])
    repo.pull()
    repo.trimtab("check", str(repo.work), code=0)


def test_after_a_person_renamed_a_workload(tmp_path: Path) -> None:
    repo = imported(boutique(tmp_path))
    repo.at("reconcile", "--once", code=0)
    repo.pull()
    file = repo.work / ROOT / "apps/adservice.yaml"
    file.write_text(
        file.read_text().replace(
            "kind: Deployment\nmetadata:\n  name: adservice", "kind: Deployment\nmetadata:\n  name: adverts"
        )
    )
    repo.commit("Rename adservice")
    repo.at("reconcile", "--once", code=0)
    assert not any("adservice" in path for path in repo.files(f"{ROOT}/trimtab"))
    assert resources(repo.build(ROOT), "adverts")["requests"] == {"cpu": "200m", "memory": "180Mi"}
    check_overlay(repo, names=[n for n in WORKLOADS if n != "adservice"])


def test_after_a_person_duplicated_a_workload(tmp_path: Path) -> None:
    repo = imported(boutique(tmp_path))
    repo.at("reconcile", "--once", code=0)
    repo.pull()
    text = (repo.work / ROOT / "apps/adservice.yaml").read_text()
    copy = text.replace("name: adservice", "name: adservice-canary")
    repo.write(f"{ROOT}/apps/adservice-canary.yaml", copy)
    listed = (repo.work / ROOT / "apps/kustomization.yaml").read_text()
    repo.write(
        f"{ROOT}/apps/kustomization.yaml", listed + " - adservice-canary.yaml\n" if listed.endswith("\n") else listed
    )
    listed = listed.replace(" - adservice.yaml\n", " - adservice.yaml\n - adservice-canary.yaml\n")
    repo.write(f"{ROOT}/apps/kustomization.yaml", listed)
    repo.commit("A canary of adservice")
    repo.at("reconcile", "--once", code=0)
    objects = check_overlay(repo)
    assert resources(objects, "adservice-canary")["requests"] == {"cpu": "200m", "memory": "180Mi"}


def test_in_place_changes_only_the_values(tmp_path: Path) -> None:
    repo = boutique(
        tmp_path,
        files={
            "trimtab.yaml": fleet_yaml(f"{{name: {CLUSTER}, path: {ROOT}, write: inPlace}}"),
            "actions/rightsize.yaml": RIGHTSIZE,
        },
    )
    before = people(repo)
    imported(repo).at("reconcile", "--once", code=0)
    after = people(repo)
    check_overlay(repo)
    assert before.keys() == after.keys()
    for path, text in before.items():
        changed = [(a, b) for a, b in zip(text.splitlines(), after[path].splitlines(), strict=True) if a != b]
        assert all(
            a.split(":")[0] == b.split(":")[0] and a.split(":")[0].strip() in ("cpu", "memory") for a, b in changed
        ), path
    assert before != after
