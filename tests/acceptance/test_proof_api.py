"""Proof: committed → synced → healthy, by whoever brings a root about, as the API and `trimtab status` show it."""

from pathlib import Path
from typing import Any

import pytest

from support.fleets import FleetRepo, fleet_yaml, new_fleet, policy
from support.guarded import Sized, applied, sized
from support.served import Served, serving
from support.small import ROOT, root_files

ARGO = {"path": ROOT, "sync": "argocd", "source": "Application argocd/demo"}


def post(served: Served, agent: tuple[str, dict[str, str]], body: dict[str, Any]) -> Any:
    answer = served.client.post(f"/api/v1/agents/{agent[0]}/scaling/status", json=body, headers=agent[1])
    served.steward.ask(lambda _house: None).result(timeout=60)
    return answer


def said(served: Served, agent: tuple[str, dict[str, str]], revision: str, **root: Any) -> None:
    """What the agent read of the Argo CD Application."""
    given = {**ARGO, "revision": revision, "synced": True, "health": "healthy", **root}
    answer = post(served, agent, {"revision": revision or "a" * 40, "objects": [], "roots": [given]})
    assert answer.status_code == 200, answer.text


def newest(served: Served) -> dict[str, Any]:
    change_id = served.client.get("/api/v1/changes").json()["items"][0]["id"]
    found: dict[str, Any] = served.client.get(f"/api/v1/changes/{change_id}").json()
    return found


def only(shown: dict[str, Any]) -> dict[str, Any]:
    """The one root of a change."""
    (root,) = shown["proof"]["clusters"]
    return dict(root)


def policies(served: Served) -> tuple[str, str | None]:
    (view,) = served.client.get("/api/v1/scaling/policies").json()
    return view["applyHealth"], view["applyMessage"]


def argo_fleet(home: Path, sync: str = "argocd") -> FleetRepo:
    """A policy whose HPA Argo CD or Flux is to bring about."""
    files = {"trimtab.yaml": fleet_yaml(f"{{name: prod, path: {ROOT}, sync: {sync}}}"), **root_files(ROOT)}
    return new_fleet(home, {**files, "policies/web.yaml": policy("web", "shop/web")})


def test_an_agent_proves_sync_first_and_health_later(tmp_path: Path, database_url: str) -> None:
    with sized(tmp_path, database_url) as one:
        (made,) = one.changes()
        commit = made.commit
        shown = one.change(made.id)
        assert shown["proof"]["state"] == "committed"
        assert only(shown) | {"cluster": "", "root": ""} == {
            "cluster": "", "root": "", "by": "agent", "revision": "", "synced": False, "health": "unknown",
            "message": "no agent of cluster prod has reported yet",
        }  # fmt: skip
        one.report(commit, applied("progressing", message="1 of 3 pods are updated"))
        synced = one.served.clock.now.isoformat()
        shown = one.change(made.id)
        assert (shown["state"], shown["proof"]["state"]) == ("applied", "synced")
        assert only(shown)["health"] == "progressing"
        assert only(shown)["message"] == "Deployment web: 1 of 3 pods are updated"
        assert shown["times"]["synced"] == shown["times"]["applied"] == synced
        assert "healthy" not in shown["times"]
        one.report(commit, applied("unknown"))
        assert one.change(made.id)["proof"]["state"] == "synced"
        one.report(commit, applied("healthy"))
        healthy = one.served.clock.now.isoformat()
        one.report(commit, applied("degraded"))
        shown = one.change(made.id)
        assert (shown["proof"]["state"], shown["times"]["synced"], shown["times"]["healthy"]) == (
            "healthy", synced, healthy,
        )  # fmt: skip
        assert only(shown) == {
            "cluster": "prod", "root": ROOT, "by": "agent", "revision": commit, "synced": True, "health": "healthy",
            "message": "",
        }  # fmt: skip
        status = one.status()
        (landed,) = status["landed"]
        assert (landed["commit"], landed["syncedAt"], landed["healthyAt"]) == (commit, synced, healthy)
        (root,) = status["roots"]
        assert (root["by"], root["revision"], root["since"], root["health"]) == ("agent", commit, synced, "degraded")
        assert root["reportedAt"] == one.served.clock.now.isoformat()


def test_what_somebody_else_has_changed_is_synced_and_not_healthy(tmp_path: Path) -> None:
    with sized(tmp_path) as one:
        (made,) = one.changes()
        one.report(made.commit, applied("healthy", "drifted", message="vpa owns the memory request"))
        shown = one.change(made.id)
        assert (shown["state"], shown["proof"]["state"]) == ("applied", "synced")
        assert only(shown)["message"] == "Deployment web: vpa owns the memory request"
        one.report(made.commit, applied("healthy", "failed", message="admission denied"))
        assert one.change(made.id)["state"] == "applied"


def test_argo_proves_a_change_when_its_revision_is_synced_and_healthy(tmp_path: Path) -> None:
    repo = argo_fleet(tmp_path)
    before = repo.head()
    with serving(tmp_path, repo) as served:
        served.reconcile()
        agent = served.agent("prod", cluster="prod")
        assert policies(served) == ("pending", "no agent of cluster prod has reported yet")
        commit = newest(served)["commit"]
        steps = [
            (before, {}, f"Application argocd/demo is at {before[:12]}, and has not synced the commit yet"),
            (commit, {"synced": False}, "Application argocd/demo is not synced, and healthy"),
            (commit, {"health": "progressing"}, "Application argocd/demo is progressing"),
            (commit, {"health": "degraded", "message": "web: no quota"}, "Application argocd/demo is degraded: web: no quota"),
        ]  # fmt: skip
        for revision, how, why in steps:
            said(served, agent, revision, **how)
            shown = newest(served)
            assert (shown["state"], only(shown)["message"]) == ("committed", why)
            assert only(shown)["by"] == "Application argocd/demo"
            assert policies(served)[0] == "pending"
            assert (policies(served)[1] or "").startswith("Application argocd/demo")
        assert shown["proof"]["state"] == "synced"
        served.clock.forward(minutes=1)
        said(served, agent, commit)
        shown = newest(served)
        assert (shown["state"], shown["proof"]["state"]) == ("applied", "healthy")
        assert shown["times"]["healthy"] == shown["times"]["applied"] == served.clock.now.isoformat()
        assert shown["times"]["synced"] < shown["times"]["healthy"]
        assert policies(served) == ("applied", None)
        said(served, agent, commit, health="progressing")
        assert policies(served) == ("applied", None)


def test_a_report_of_objects_alone_proves_nothing_of_what_flux_brings_about(tmp_path: Path) -> None:
    with serving(tmp_path, argo_fleet(tmp_path, "flux")) as served:
        served.reconcile()
        agent, commit = served.agent("prod", cluster="prod"), newest(served)["commit"]
        post(served, agent, {"revision": commit, "objects": []})
        assert newest(served)["state"] == "committed"
        assert only(newest(served))["message"] == f"nothing was reported yet of the Flux object that syncs {ROOT}"
        assert policies(served)[1] == (
            f"the agent of the cluster has found no Flux object that syncs {ROOT}, or has not told of it yet"
        )
        said(served, agent, commit, sync="flux", source="Kustomization flux-system/prod")
        assert newest(served)["state"] == "applied"
        assert only(newest(served))["by"] == "Kustomization flux-system/prod"


def test_a_change_of_several_roots_needs_all_of_them(tmp_path: Path) -> None:
    other = "clusters/infra"
    files = {
        "trimtab.yaml": fleet_yaml(
            f"{{name: prod, roots: [{{path: {ROOT}}}, {{path: {other}, sync: argocd}}]}}",
            extra="  delivery: {groupBy: [kind]}\n",
        ),
        **root_files(ROOT, "web"),
        **root_files(other, "web", namespace="tools"),
        "actions/sleep.yaml": (
            "apiVersion: trimtab.dev/v1alpha1\nkind: ActionConfig\nmetadata: {name: sleep}\nspec:\n  scope: global\n"
            "  action: namespaceTurndown\n"
            "  config: {enabled: true, filter: 'namespace:\"shop\",\"tools\"', maintenanceWindow: '* 9-11 * * *'}\n"
        ),
    }
    with serving(tmp_path, new_fleet(tmp_path, files)) as served:
        served.reconcile()
        served.reconcile()
        agent, shown = served.agent("prod", cluster="prod"), newest(served)
        assert (shown["kind"], len(shown["proof"]["clusters"])) == ("turndown", 2)
        down = applied(namespace="shop")
        root = {**ARGO, "path": other, "synced": True, "health": "healthy"}
        post(served, agent, {"revision": shown["commit"], "objects": [down], "roots": [root | {"revision": ""}]})
        shown = newest(served)
        assert (shown["state"], [proof["synced"] for proof in shown["proof"]["clusters"]]) == (
            "committed",
            [True, False],
        )
        assert "has synced nothing yet" in shown["proof"]["clusters"][1]["message"]
        root["revision"] = shown["commit"]
        post(served, agent, {"revision": shown["commit"], "objects": [down], "roots": [root]})
        assert (newest(served)["state"], newest(served)["proof"]["state"]) == ("applied", "healthy")


def test_the_command_line_shows_the_same(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    with sized(tmp_path, url) as one:
        (made,) = one.changes()
        one.report(made.commit, applied("healthy"))
        one.repo.env = {"TRIMTAB_DATABASE_URL": url, "COLUMNS": "80"}
        now = one.served.clock.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        table = one.repo.at("status", code=0, now=now).out
        lines = table.splitlines()
        (first,) = (number for number, line in enumerate(lines) if line.startswith(made.commit[:10]))
        for step, line in zip(("committed", "synced", "healthy"), lines[first:], strict=False):
            assert f"{step:<9} 2026-06-17 10:00 UTC" in line
        assert any(line.rstrip().endswith("  applied") for line in lines[first:])
        assert f"prod           {made.commit[:10]}            healthy" in table
        found = one.repo.at("status", "--json", code=0, now=now).json()
        assert found["fleets"][0]["landed"] == one.status()["landed"]
        assert found["fleets"][0]["roots"] == one.status()["roots"]


@pytest.mark.parametrize(
    ("field", "root"),
    [
        ("roots.0.sync", {**ARGO, "sync": "agent"}),
        ("roots.0.revision", {**ARGO, "revision": "main"}),
        ("roots.0.health", {**ARGO, "health": "fine"}),
        ("roots.0.path", {"sync": "flux"}),
    ],
)
def test_a_root_that_makes_no_sense_is_a_400(one_served: Sized, field: str, root: dict[str, Any]) -> None:
    answer = post(one_served.served, one_served.agent, {"revision": "a" * 40, "objects": [], "roots": [root]})
    assert (answer.status_code, answer.json()["field"]) == (400, field)


@pytest.fixture(scope="module")
def one_served(tmp_path_factory: pytest.TempPathFactory) -> Any:
    home = tmp_path_factory.mktemp("served")
    repo = argo_fleet(home)
    with serving(home, repo) as served:
        yield Sized(served, repo)
