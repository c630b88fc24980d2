"""Runs of action configs, from submission to what became of them: over real Git, real passes and an agent's reports."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from reconciler import loop
from reconciler.bootstrap import open_house
from reconciler.model.observation import SeriesKey
from reconciler.model.run import RunAction
from reconciler.model.samples import Samples
from reconciler.model.workload import WorkloadKey
from reconciler.store.usage import UsageStore
from support.fleets import FleetRepo, fleet_yaml, git, new_fleet
from support.replay import NOW
from support.served import Served, serving
from support.small import ROOT, root_files

MIB = 1024**2
TEXTS = {
    "config": "Successfully synced config manager",
    "submitter": "Successfully submitted actions",
    "ingestor": "Successfully ingested completed actions",
    "heartbeat": "Action Service: successfully ingested heartbeats",
}
PULL_REQUESTS = "  delivery: {mode: pullRequest}\n"
"""What is proposed is held, for a reason that is no window."""

RIGHTSIZE = """\
apiVersion: trimtab.dev/v1alpha1
kind: ActionConfig
metadata: {{name: nightly}}
spec:
  scope: global
  action: containerRequestRightSizing
  config: {{profile: Production, rightSizingWindow: 7d{more}}}
"""
QUOTAS = """\
apiVersion: trimtab.dev/v1alpha1
kind: ActionConfig
metadata: {name: quotas}
spec: {scope: global, action: resourceQuotaRightSizing, config: {namespace: shop}}
"""
SLEEP = """\
apiVersion: trimtab.dev/v1alpha1
kind: ActionConfig
metadata: {name: sleep}
spec:
  scope: global
  action: namespaceTurndown
  config: {namespace: shop, maintenanceWindow: "* 9-11 * * *"}
"""
QUOTA = """\
apiVersion: v1
kind: ResourceQuota
metadata: {name: compute, namespace: shop}
spec: {hard: {requests.cpu: 100m, requests.memory: 10Gi, limits.cpu: 500m, pods: "20"}}
"""


def fleet(home: Path, *, windows: str = "", extra: str = "", sync: str = "agent", **files: str) -> FleetRepo:
    """Two Deployments of one container each, and an action that right-sizes them."""
    more = f", maintenanceWindow: '{windows}'" if windows else ""
    base = {
        "trimtab.yaml": fleet_yaml(f"{{name: prod, id: prod-id, path: {ROOT}, sync: {sync}}}", extra=extra),
        **root_files(ROOT, "web", "api"),
        "actions/nightly.yaml": RIGHTSIZE.format(more=more),
    }
    return new_fleet(home, {path: text for path, text in (base | files).items() if text})


def used(engine: Engine, name: str, cores: float, size: int, *, days: int = 7) -> None:
    """What a Deployment's container has used, hour by hour, up to :data:`NOW`."""
    workload = WorkloadKey(cluster="prod", namespace="shop", kind="Deployment", name=name)
    hours = np.arange(days * 24)
    seconds = int(NOW.timestamp()) - 3600 * hours
    keys = (
        SeriesKey(workload=workload, container="server", resource="cpu"),
        SeriesKey(workload=workload, container="server", resource="memory"),
    )
    values = np.concatenate([np.full(len(hours), cores), np.full(len(hours), float(size))])
    UsageStore(engine).record(Samples(keys, np.repeat([0, 1], len(hours)), np.tile(seconds, 2), values))


@pytest.fixture(autouse=True)
def _migrated(tmp_path: Path, sqlite_template: Path) -> None:
    """The database where a server of the test's own looks for it, so that each need not migrate one."""
    for home in (tmp_path, tmp_path / "undone"):
        (home / "server").mkdir(parents=True)
        shutil.copyfile(sqlite_template, home / "server/trimtab.sqlite3")


@contextmanager
def running(home: Path, repo: FleetRepo, database_url: str = "") -> Iterator[Served]:
    """A server that has a week's usage of ``web`` and ``api``."""
    with serving(home, repo, database_url=database_url) as served:
        used(served.server.stores.engine, "web", 0.52, 65 * MIB)
        used(served.server.stores.engine, "api", 0.013, 260 * MIB)
        yield served


def sync(served: Served, what: str) -> None:
    answer = served.client.post(f"/action/{what}/sync")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"code": 200, "data": TEXTS[what]}


def get(served: Served, path: str, **query: str) -> Any:
    answer = served.client.get(path, params={"window": "30d", **query})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def runs(served: Served) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = get(served, "/actions/runs")["runs"]
    for run in found:
        assert run["countRecommended"] == run["countSuccess"] + run["countFailure"] + run["countPending"]
        assert (run["status"] == "pending") == (run["end"] is None) == bool(run["countPending"])
    return found


def completed(served: Served) -> dict[str, dict[str, Any]]:
    """By the object that each is about."""
    found = get(served, "/actions/completed")["actions"]
    named = ("controllerName", "name", "namespace")
    return {next(one["parameters"][n] for n in named if n in one["parameters"]): one for one in found}


def pending(served: Served) -> Mapping[str, RunAction]:
    found = served.server.stores.runs.pending(served.steward.watch.url)
    return {action.parameters["controllerName"]: action for action in found}


def reported(served: Served, agent: tuple[str, dict[str, str]], revision: str, **refused: str) -> None:
    """An agent's report; ``refused``: Deployments that the API server did not take, and what it said."""
    objects = [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "namespace": "shop",
            "name": name,
            "status": "failed" if name in refused else "applied",
            "message": refused.get(name, ""),
        }
        for name in ("web", "api")
    ]
    body = {"revision": revision, "objects": objects}
    answer = served.client.post(f"/api/v1/agents/{agent[0]}/scaling/status", json=body, headers=agent[1])
    assert answer.status_code == 200, answer.text
    served.steward.ask(lambda _house: None).result(timeout=60)  # what was asked before is done


@pytest.fixture
def nightly(tmp_path: Path, database_url: str) -> Iterator[tuple[Served, FleetRepo]]:
    """A right-sizing that may run from 9:00 to 12:00; it is 10:00."""
    repo = fleet(tmp_path, windows="* 9-11 * * *")
    with running(tmp_path, repo, database_url) as served:
        yield served, repo


def test_from_submission_to_what_the_cluster_said(nightly: tuple[Served, FleetRepo]) -> None:
    served, repo = nightly
    agent = served.agent("prod")
    reported(served, agent, repo.head())
    served.clock.forward(minutes=5)
    sync(served, "config")
    sync(served, "submitter")
    (run,) = runs(served)
    assert (run["actionConfigName"], run["actionType"]) == ("nightly", "containerRequestRightSizing")
    assert (run["start"], run["countRecommended"], run["countPending"]) == ("2026-06-17T09:00:00Z", 2, 2)

    sync(served, "ingestor")
    assert runs(served) == [run], "the agent has not said yet what came of it"
    served.clock.forward(minutes=5)
    reported(served, agent, repo.head(), api="exceeded quota: compute, requested: requests.memory=400Mi")
    served.clock.forward(minutes=5)
    sync(served, "ingestor")
    (over,) = runs(served)
    assert over["runId"] == run["runId"]
    assert (over["countSuccess"], over["countFailure"], over["countPending"]) == (1, 1, 0)
    assert over["end"] == "2026-06-17T10:10:00Z"

    found = completed(served)
    assert found["web"].pop("id") != found["api"]["id"]
    assert found["web"] == {
        "configName": "nightly",
        "cluster": "prod",
        "action": "containerRequestRightSizing",
        "parameters": {
            "cluster": "prod",
            "namespace": "shop",
            "controllerKind": "deployment",
            "controllerName": "web",
            "containerName": "server",
            "lastCPURequest": "100m",
            "targetCPURequest": "800m",
            "lastRAMRequest": "64Mi",
            "targetRAMRequest": "100Mi",
        },
        "status": "success",
        "createdAt": "2026-06-17T10:05:00Z",
        "completedAt": "2026-06-17T10:10:00Z",
    }
    assert found["api"]["status"] == "failure"
    (error,) = found["api"]["errors"]
    assert "exceeded quota: compute" in error
    assert found["api"]["parameters"]["targetRAMRequest"] == "400Mi"

    sync(served, "submitter")
    sync(served, "ingestor")
    assert runs(served) == [over], "the same window again is the same run"


def test_a_config_made_through_the_api_has_runs_too(nightly: tuple[Served, FleetRepo]) -> None:
    served, _ = nightly
    body = {
        "scope": "local",
        "name": "by-hand",
        "action": "namespaceTurndown",
        "config": {"namespace": "shop", "maintenanceWindow": "* 10 * * *"},
    }
    made = served.client.post("/action/config", json=body)
    assert made.status_code == 200, made.text
    sync(served, "submitter")
    sync(served, "ingestor")
    by_name = {run["actionConfigName"]: run for run in runs(served)}
    assert by_name.keys() == {"nightly", "by-hand"}
    assert by_name["by-hand"]["start"] == "2026-06-17T10:00:00Z"
    assert (by_name["by-hand"]["actionType"], by_name["by-hand"]["countSuccess"]) == ("namespaceTurndown", 1)


def test_what_nobody_reports_on_is_done_when_it_is_committed(tmp_path: Path) -> None:
    repo = fleet(tmp_path)
    with running(tmp_path, repo) as served:
        sync(served, "submitter")
        served.clock.forward(minutes=10)
        sync(served, "ingestor")
        (run,) = runs(served)
        assert (run["start"], run["end"]) == ("2026-06-17T00:00:00Z", "2026-06-17T10:00:00Z")
        assert (run["status"], run["countSuccess"]) == ("completed", 2)

        landed = completed(served)["web"]
        served.clock.forward(hours=20)
        commit = repo.head()
        served.steward.ask(lambda house: loop.rollback(house, commit)).result(timeout=60)
        sync(served, "ingestor")
        assert completed(served)["web"] == landed, "what is undone later was a success all the same"
        sync(served, "submitter")
        assert len(runs(served)) == 1, "no run where nothing is recommended"


def test_a_cluster_that_was_silent_for_a_day_is_not_waited_for(tmp_path: Path) -> None:
    with running(tmp_path, repo := fleet(tmp_path, sync="argocd")) as served:
        reported(served, served.agent("prod"), repo.head())
        sync(served, "submitter")
        served.clock.forward(hours=23)
        sync(served, "ingestor")
        assert runs(served)[0]["countPending"] == 2
        served.clock.forward(hours=2)
        sync(served, "ingestor")
        assert runs(served)[0]["countSuccess"] == 2


def test_what_an_agent_applies_is_not_done_while_it_is_away(tmp_path: Path) -> None:
    with running(tmp_path, repo := fleet(tmp_path, sync="agent")) as served:
        reported(served, served.agent("prod"), repo.head())
        sync(served, "submitter")
        served.clock.forward(hours=50)
        sync(served, "ingestor")
        assert runs(served)[0]["countPending"] == 2, "nobody has applied it"
        reported(served, served.agent("prod"), repo.head())
        sync(served, "ingestor")
        assert runs(served)[0]["countSuccess"] == 2


@pytest.mark.parametrize("windows", ["", "* * * * *"])
def test_a_freeze_once_a_year_does_not_make_one_run_of_the_rest(tmp_path: Path, windows: str) -> None:
    freeze = "  windows: {exclusion: [{cron: '0 0 20 12 *', duration: 14d}, '0-29 0 18 6 *']}\n"
    with running(tmp_path, fleet(tmp_path, windows=windows, extra=PULL_REQUESTS + freeze)) as served:
        sync(served, "submitter")
        assert runs(served)[0]["start"] == "2026-06-17T00:00:00Z"
        served.clock.forward(hours=15)
        sync(served, "submitter")
        sync(served, "ingestor")
        second, first = runs(served)
        assert (second["start"], second["countPending"]) == ("2026-06-18T00:30:00Z", 2), "the freeze is over by then"
        assert first["countFailure"] == 2
        assert completed(served)["web"]["errors"][0].startswith("the day of the run ended first")


def test_what_was_applied_and_is_reverted_before_it_is_ingested_was_a_success(tmp_path: Path) -> None:
    with running(tmp_path, repo := fleet(tmp_path)) as served:
        agent = served.agent("prod")
        reported(served, agent, repo.head())
        sync(served, "submitter")
        served.clock.forward(minutes=1)
        reported(served, agent, repo.head())
        served.clock.forward(minutes=5)
        repo.pull()
        git(repo.work, "revert", "--no-edit", "HEAD")
        git(repo.work, "push", "-q")
        sync(served, "submitter")
        sync(served, "ingestor")
        assert {(one["status"], one["completedAt"]) for one in completed(served).values()} == {
            ("success", "2026-06-17T10:01:00Z")
        }


def test_what_is_recommended_again_in_the_same_run_has_another_try(tmp_path: Path) -> None:
    with running(tmp_path, repo := fleet(tmp_path, extra=PULL_REQUESTS)) as served:
        sync(served, "submitter")
        nightly = (repo.work / "actions/nightly.yaml").read_text()
        repo.pull()
        repo.write("actions/nightly.yaml", RIGHTSIZE.format(more=", enabled: false"))
        repo.commit()
        sync(served, "submitter")
        sync(served, "ingestor")
        (failed,) = runs(served)
        assert failed["countFailure"] == 2
        repo.write("actions/nightly.yaml", nightly)
        repo.write("trimtab.yaml", fleet_yaml(f"{{name: prod, id: prod-id, path: {ROOT}}}"))
        repo.commit()
        sync(served, "submitter")
        sync(served, "ingestor")
        (again,) = runs(served)
        assert (again["runId"], again["countSuccess"], again["countFailure"]) == (failed["runId"], 2, 0)
        first = completed(served)["web"]
        assert first["parameters"]["targetCPURequest"] == "800m"

        repo.pull()
        repo.write("actions/nightly.yaml", nightly.replace("Production", "Development"))
        repo.commit()
        served.clock.forward(minutes=30)
        sync(served, "submitter")
        sync(served, "ingestor")
        (run,) = runs(served)
        assert (run["runId"], run["countRecommended"], run["countSuccess"]) == (failed["runId"], 2, 2)
        newest = completed(served)["web"]
        assert newest["id"] == first["id"] and newest["parameters"]["lastCPURequest"] == "800m"
        assert newest["parameters"]["targetCPURequest"] == "650m", "what the newest commit of the run has done"


def test_a_config_without_windows_makes_one_run_a_utc_day(tmp_path: Path) -> None:
    with running(tmp_path, fleet(tmp_path, extra=PULL_REQUESTS)) as served:
        for _ in range(2):
            sync(served, "submitter")
            served.clock.forward(hours=6, minutes=55)
        (first,) = runs(served)
        assert (first["start"], first["countPending"]) == ("2026-06-17T00:00:00Z", 2)
        sync(served, "submitter")
        served.clock.forward(minutes=20)
        sync(served, "submitter")
        sync(served, "ingestor")
        second, first = runs(served)
        assert (second["start"], second["countPending"]) == ("2026-06-18T00:00:00Z", 2)
        assert (first["status"], first["countFailure"]) == ("completed", 2)
        (error,) = completed(served)["web"]["errors"]
        assert error.startswith("the day of the run ended first: ") and "pullRequest" in error


def test_the_window_closes_before_what_held_it_does(tmp_path: Path) -> None:
    repo = fleet(tmp_path, windows="* 9-11 * * *", extra=PULL_REQUESTS)
    with running(tmp_path, repo) as served:
        sync(served, "submitter")
        sync(served, "ingestor")
        assert runs(served)[0]["countPending"] == 2
        served.clock.forward(hours=3)
        sync(served, "submitter")
        sync(served, "ingestor")
        (run,) = runs(served)
        assert run["countFailure"] == 2
        (error,) = completed(served)["web"]["errors"]
        assert error.startswith("the maintenance window closed first: ") and "pullRequest" in error
        assert completed(served)["web"]["completedAt"] == "2026-06-17T13:00:00Z"


def test_outside_of_its_windows_nothing_is_submitted(tmp_path: Path) -> None:
    with running(tmp_path, fleet(tmp_path, windows="* 23 * * *")) as served:
        sync(served, "submitter")
        assert runs(served) == []
        served.clock.forward(hours=13, minutes=30)
        sync(served, "submitter")
        assert [run["start"] for run in runs(served)] == ["2026-06-17T23:00:00Z"]


def test_rejected_reverted_and_gone_are_failures_that_say_so(tmp_path: Path) -> None:
    with running(tmp_path, repo := fleet(tmp_path, extra=PULL_REQUESTS)) as served:
        sync(served, "submitter")
        change_id = pending(served)["web"].change_id
        rejected = served.client.post(f"/api/v1/changes/{change_id}/reject", json={"reason": "after the launch"})
        assert rejected.status_code == 200, rejected.text
        sync(served, "ingestor")
        assert completed(served)["web"]["errors"] == ["rejected by all: after the launch"]

    undone = fleet(tmp_path / "undone")
    with running(tmp_path / "undone", undone) as served:
        reported(served, served.agent("prod"), undone.head())
        sync(served, "submitter")
        undone.pull()
        git(undone.work, "revert", "--no-edit", "HEAD")
        git(undone.work, "push", "-q")
        sync(served, "submitter")
        sync(served, "ingestor")
        (error,) = completed(served)["api"]["errors"]
        assert "reverted" in error
    assert repo.head() != undone.head()


def test_what_is_not_recommended_any_more_has_failed(tmp_path: Path) -> None:
    with running(tmp_path, repo := fleet(tmp_path, extra=PULL_REQUESTS)) as served:
        sync(served, "submitter")
        repo.pull()
        git(repo.work, "rm", "-q", f"{ROOT}/apps/api.yaml")
        repo.write(f"{ROOT}/apps/kustomization.yaml", "resources: [web.yaml]\n")
        repo.commit()
        sync(served, "submitter")
        sync(served, "ingestor")
        (run,) = runs(served)
        assert (run["countPending"], run["countFailure"]) == (1, 1), "one has left the change, the other has not"
        assert completed(served)["api"]["errors"] == ["not recommended any more"]
        repo.write("actions/nightly.yaml", RIGHTSIZE.format(more=", enabled: false"))
        repo.commit()
        sync(served, "submitter")
        sync(served, "ingestor")
        assert runs(served)[0]["countFailure"] == 2
        assert completed(served)["web"]["errors"] == ["not recommended any more"]


def test_what_waited_for_the_next_opening_is_a_success_of_that_run(tmp_path: Path) -> None:
    with running(tmp_path, repo := fleet(tmp_path, windows="* 9-11 * * *", extra=PULL_REQUESTS)) as served:
        sync(served, "submitter")
        served.clock.forward(days=1)
        repo.write("trimtab.yaml", fleet_yaml(f"{{name: prod, id: prod-id, path: {ROOT}}}"))
        repo.commit()
        sync(served, "submitter")
        sync(served, "ingestor")
        second, first = runs(served)
        assert (second["start"], second["countSuccess"]) == ("2026-06-18T09:00:00Z", 2)
        assert (first["start"], first["countFailure"]) == ("2026-06-17T09:00:00Z", 2)


def test_quotas_and_namespaces_by_their_documented_parameters(tmp_path: Path) -> None:
    files = {
        "actions/nightly.yaml": "",
        "actions/quotas.yaml": QUOTAS,
        "actions/sleep.yaml": SLEEP,
        f"{ROOT}/apps/quota.yaml": QUOTA,
        f"{ROOT}/apps/kustomization.yaml": "resources: [web.yaml, api.yaml, quota.yaml]\n",
    }
    with running(tmp_path, fleet(tmp_path, **files)) as served:
        sync(served, "submitter")
        sync(served, "ingestor")
        starts = {run["actionConfigName"]: run["start"] for run in runs(served)}
        assert starts == {"quotas": "2026-06-17T00:00:00Z", "sleep": "2026-06-17T09:00:00Z"}
        quota = completed(served)["compute"]["parameters"]
        assert quota == {
            "cluster": "prod",
            "namespace": "shop",
            "name": "compute",
            "lastCPURequest": "100m",
            "targetCPURequest": "1100m",
            "lastRAMRequest": "10Gi",
            "targetRAMRequest": "10Gi",
            "lastCPULimit": "500m",
            "targetCPULimit": "500m",
        }
        assert completed(served)["shop"]["parameters"] == {"cluster": "prod", "namespace": "shop"}
        assert completed(served)["shop"]["status"] == "success"


def test_a_process_that_dies_before_its_push_neither_loses_nor_repeats_a_run(tmp_path: Path, database_url: str) -> None:
    repo = fleet(tmp_path, windows="* 9-11 * * *")

    class Died(Exception):
        pass

    def dies(step: str) -> None:
        if step == "push":
            raise Died

    with running(tmp_path, repo, database_url) as served:
        start, clock = repo.head(), served.clock
        with (
            open_house(
                served.settings.model_copy(update={"state_dir": tmp_path / "other"}), clock=clock, step=dies
            ) as house,
            pytest.raises(Died),
        ):
            loop.reconcile(house)
        assert repo.head() == start
        (run,) = runs(served)
        before = {action.id: action.parameters for action in pending(served).values()}
        assert run["countPending"] == 2
    with serving(tmp_path / "anew", repo, database_url=database_url) as served:
        served.clock.forward(minutes=20)
        sync(served, "submitter")
        assert {action.id: action.parameters for action in pending(served).values()} == before
        sync(served, "ingestor")
        (after,) = runs(served)
        assert (after["runId"], after["countSuccess"], after["countPending"]) == (run["runId"], 2, 0)
