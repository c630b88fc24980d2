"""Completed actions, runs and heartbeats over HTTP, as the document of the Actions API prints them."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from reconciler.model.run import RunAction
from support.fleets import FleetRepo, fleet_yaml, new_fleet
from support.ran import action, done, heartbeat, run
from support.replay import NOW
from support.served import Served, serving
from support.small import root_files

STAGING_ID = "0b8f3c1e-55a5-4c5e-9d3f-3c1f7c1b2a10"
WEEK = {"start": "2026-06-11T00:00:00Z", "end": "2026-06-18T00:00:00Z"}
RIGHT_SIZING = {
    "cluster": "production",
    "containerName": "test",
    "controllerKind": "deployment",
    "controllerName": "test",
    "lastCPURequest": "1000m",
    "lastRAMRequest": "500Mi",
    "namespace": "kubecost",
    "targetCPURequest": "500m",
    "targetRAMRequest": "200Mi",
}
TURNDOWN = {"cluster": "staging", "namespace": "test"}


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> FleetRepo:
    """A fleet of production and staging."""
    clusters = (
        "{name: production, path: clusters/production}",
        f"{{name: staging, id: {STAGING_ID}, path: clusters/staging}}",
    )
    files = {"trimtab.yaml": fleet_yaml(*clusters)}
    for name in ("production", "staging"):
        files |= root_files(f"clusters/{name}")
    return new_fleet(tmp_path_factory.mktemp("fleet"), files)


@pytest.fixture
def served(repo: FleetRepo, database_url: str, tmp_path: Path) -> Iterator[Served]:
    """It is Wednesday, 17 June 2026, 10:00. A run of right-sizing at 7, one of turning down at 8, which is not over yet."""
    mine = replace(repo, bare=tmp_path / "fleet.git")
    shutil.copytree(repo.bare, mine.bare)
    with serving(tmp_path, mine, database_url=database_url) as running:
        _fill(running)
        yield running


def _fill(served: Served) -> None:
    runs, hour = served.server.stores.runs, timedelta(hours=1)
    sizing = run("sizing", NOW - 3 * hour, config_name="resize test deployments")
    test = action(sizing, "test", cluster="production", parameters=RIGHT_SIZING, created_at=NOW - 3 * hour)
    runs.record(sizing, [test, web := action(sizing, "web", cluster="staging")])
    runs.complete([done(test, NOW - 2 * hour, "error1", "error2"), done(web, NOW - 2.5 * hour)])
    night = run("night", NOW - 2 * hour, config_name="turn down test namespaces", action="namespaceTurndown")
    kept = action(night, "kept", cluster="production", parameters={"cluster": "production", "namespace": "kept"})
    down = action(night, "test", cluster="staging", parameters=TURNDOWN)
    runs.record(night, [kept, down])
    runs.complete([done(down, NOW - hour)])
    old = run("old", NOW - 20 * 24 * hour)
    runs.record(old, [ancient := action(old, "ancient", cluster="production")])
    runs.complete([done(ancient, NOW - 20 * 24 * hour + hour)])
    served.server.stores.heartbeats.beat(
        [heartbeat(c, NOW - n * timedelta(minutes=5), actions_processed=n) for n in range(3) for c in CLUSTERS]
    )


CLUSTERS = ("production", "staging")


def data(served: Served, path: str, headers: dict[str, str] | None = None, **query: object) -> Any:
    answer = served.client.get(path, params={k: str(v) for k, v in query.items()}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"code", "data"} and answer.json()["code"] == 200
    return answer.json()["data"]


def names(served: Served, headers: dict[str, str] | None = None, **query: object) -> list[str]:
    """The containers and namespaces of the completed actions, in the order in which they are answered."""
    found = data(served, "/actions/completed", headers, **{"window": "7d"} | query)["actions"]
    return [one["parameters"].get("containerName") or one["parameters"]["namespace"] for one in found]


def test_completed_actions_look_as_in_the_document(served: Served) -> None:
    found = data(served, "/actions/completed", window="7d")
    assert (found["totalActionsCount"], found["window"]) == (3, WEEK)
    turndown, sizing, web = found["actions"]
    assert UUID(sizing.pop("id")) and UUID(turndown.pop("id"))
    assert sizing == {
        "configName": "resize test deployments",
        "cluster": "production",
        "action": "containerRequestRightSizing",
        "parameters": RIGHT_SIZING,
        "status": "failure",
        "errors": ["error1", "error2"],
        "createdAt": "2026-06-17T07:00:00Z",
        "completedAt": "2026-06-17T08:00:00Z",
    }
    assert turndown == {
        "configName": "turn down test namespaces",
        "cluster": "staging",
        "action": "namespaceTurndown",
        "parameters": TURNDOWN,
        "status": "success",
        "createdAt": "2026-06-17T08:05:00Z",
        "completedAt": "2026-06-17T09:00:00Z",
    }
    assert web["completedAt"] == "2026-06-17T07:30:00Z" and "errors" not in web


def test_completed_actions_are_filtered_and_paged(served: Served) -> None:
    assert names(served) == ["test", "test", "web"]
    assert names(served, type="containerRequestRightSizing") == names(served, type="rightsizing") == ["test", "web"]
    assert names(served, type="resourceQuotaRightSizing") == []
    assert names(served, status="failure") == ["test"] and names(served, status="success") == ["test", "web"]
    assert names(served, cluster="production") == ["test"]
    assert names(served, cluster="staging") == names(served, cluster=STAGING_ID) == ["test", "web"]
    assert names(served, cluster="nowhere") == []
    assert names(served, cluster="staging", type="rightsizing", status="success", limit=50) == ["web"]
    assert names(served, limit=1) + names(served, limit=2, offset=1) == names(served, limit=0, offset=0)
    assert names(served, offset=3) == []
    assert data(served, "/actions/completed", window="7d", limit=1, offset=2)["totalActionsCount"] == 3


def test_the_window_says_when_it_was_completed(served: Served) -> None:
    assert names(served, window="today") == ["test", "test", "web"]
    assert names(served, window="2h") == ["test"]
    assert names(served, window="lastmonth") == ["ancient"]
    assert names(served, window="1h offset 2h") == ["web"]
    assert names(served, window="2026-06-17T07:30:00Z,2026-06-17T08:00:00Z") == ["web"]
    at = int(NOW.timestamp())
    assert names(served, window=f"{at - 7200},{at}") == ["test", "test"]
    plus = served.client.get("/actions/completed?window=2026-06-17T09:30:00+02:00,2026-06-17T10:00:00+02:00")
    assert plus.json()["data"]["window"] == {"start": "2026-06-17T07:30:00Z", "end": "2026-06-17T08:00:00Z"}


def test_runs_look_as_in_the_document(served: Served) -> None:
    found = data(served, "/actions/runs", window="7d")
    assert (found["itemCount"], found["window"]) == (2, WEEK)
    night, sizing = found["runs"]
    assert UUID(night.pop("runId")) and UUID(run_id := sizing["runId"])
    assert night == {
        "actionConfigName": "turn down test namespaces",
        "actionType": "namespaceTurndown",
        "start": "2026-06-17T08:00:00Z",
        "end": None,
        "countRecommended": 2,
        "countSuccess": 1,
        "countFailure": 0,
        "countPending": 1,
        "status": "pending",
    }
    assert sizing == {
        "runId": run_id,
        "actionConfigName": "resize test deployments",
        "actionType": "containerRequestRightSizing",
        "start": "2026-06-17T07:00:00Z",
        "end": "2026-06-17T08:00:00Z",
        "countRecommended": 2,
        "countSuccess": 1,
        "countFailure": 1,
        "countPending": 0,
        "status": "completed",
    }


def test_runs_are_filtered_and_paged(served: Served) -> None:
    night, sizing = data(served, "/actions/runs", window="7d")["runs"]
    one = data(served, "/actions/runs", window="7d", runId=sizing["runId"])
    assert (one["itemCount"], one["runs"]) == (1, [sizing])
    assert data(served, "/actions/runs", window="7d", runId="unknown")["runs"] == []
    assert data(served, "/actions/runs", window="yesterday")["itemCount"] == 0
    page = data(served, "/actions/runs", window="7d", limit=1, offset=1)
    assert (page["itemCount"], page["runs"]) == (2, [sizing])
    assert data(served, "/actions/runs", window="7d", limit=2, offset=0)["runs"] == [night, sizing]


def test_heartbeats_look_as_in_the_document_and_are_filtered(served: Served) -> None:
    found = data(served, "/action/heartbeats", cluster="production")
    assert [one["timestamp"] for one in found] == [f"2026-06-17T{at}:00Z" for at in ("10:00", "09:55", "09:50")]
    assert found[2]["metadata"] == {
        "status": "healthy",
        "cluster": "production",
        "version": "1.0.0",
        "actionsProcessed": 2,
    }
    path = "/action/heartbeats"
    assert len(data(served, path)) == len(data(served, path, limit=0)) == 6
    assert data(served, path, cluster=STAGING_ID) == data(served, path, cluster="staging") != found
    between = data(served, path, start="2026-06-17T09:55:00Z", end="2026-06-17T09:55:00Z", limit=100)
    assert {one["timestamp"] for one in between} == {"2026-06-17T09:55:00Z"} and len(between) == 2
    plus = served.client.get(f"{path}?cluster=production&start=2026-06-17T11:58:00+02:00").json()["data"]
    assert plus == found[:1], "a plus sign stands for itself"
    assert data(served, path, limit=2) + data(served, path, offset=2) == data(served, path)


def test_the_latest_heartbeat_of_each_cluster(served: Served) -> None:
    latest = {"production": "2026-06-17T10:00:00Z", "staging": "2026-06-17T10:00:00Z"}
    assert data(served, "/action/heartbeats/latest") == latest


def test_a_limited_key_sees_its_clusters_only(served: Served) -> None:
    for cluster in ("staging", STAGING_ID):
        key = served.key("actions:read", clusters=(cluster,))
        assert names(served, key) == ["test", "web"] and names(served, key, cluster="production") == []
        night, sizing = data(served, "/actions/runs", key, window="7d")["runs"]
        assert (night["countRecommended"], night["status"], night["end"]) == (1, "completed", "2026-06-17T09:00:00Z")
        assert (sizing["countRecommended"], sizing["countFailure"]) == (1, 0)
        assert {one["metadata"]["cluster"] for one in data(served, "/action/heartbeats", key)} == {"staging"}
        assert list(data(served, "/action/heartbeats/latest", key)) == ["staging"]
    theirs = served.key("actions:read", organization="globex")
    assert names(served, theirs) == data(served, "/action/heartbeats", theirs) == []
    assert data(served, "/action/heartbeats/latest", theirs) == {}


WITH_WINDOW = ["/actions/completed", "/actions/runs"]
PAGED = [*WITH_WINDOW, "/action/heartbeats"]
LONG = "x" * 301
REFUSED: list[tuple[list[str], dict[str, str], str]] = [
    (WITH_WINDOW, {}, "window"),
    *((WITH_WINDOW, {"window": text}, "window") for text in ("", "7", "soon", "7d offset", "1,0", "9" * 400)),
    *((PAGED, {name: text}, name) for name in ("limit", "offset") for text in ("-1", "x", "1.5", "9" * 30)),
    *((["/actions/completed"], {"type": text}, "type") for text in ("delete", "RightSizing")),
    (["/actions/completed"], {"status": "pending"}, "status"),
    (["/actions/completed", "/action/heartbeats"], {"cluster": LONG}, "cluster"),
    (["/actions/runs"], {"runId": LONG}, "runId"),
    *((["/action/heartbeats"], {name: text}, name) for name in ("start", "end") for text in ("7d", "2026-06-17", LONG)),
    (["/action/heartbeats"], {"start": "2026-06-17T10:00:00Z", "end": "2026-06-17T09:00:00Z"}, "end"),
]  # fmt: skip


def test_what_cannot_be_used_is_refused_by_name(served: Served) -> None:
    for paths, query, field in REFUSED:
        for path in paths:
            window = {"window": "7d"} if path in WITH_WINDOW and field != "window" else {}
            answer = served.client.get(path, params=window | query)
            body = answer.json()
            assert answer.status_code == 400, f"{path} {query}: {answer.text}"
            assert set(body) == {"code", "status", "message"} and (body["code"], body["status"]) == (400, "error")
            assert body["message"].startswith(f"{field}: ") and len(body["message"]) < 400, body["message"]


def test_a_parameter_without_a_value_is_as_good_as_left_out(served: Served) -> None:
    empty = dict.fromkeys(("type", "status", "cluster", "limit", "offset"), "")
    assert data(served, "/actions/completed", window="7d", **empty) == data(served, "/actions/completed", window="7d")
    empty = dict.fromkeys(("runId", "limit", "offset"), "")
    assert data(served, "/actions/runs", window="7d", **empty) == data(served, "/actions/runs", window="7d")
    empty = dict.fromkeys(("cluster", "start", "end", "limit", "offset"), "")
    assert data(served, "/action/heartbeats", **empty) == data(served, "/action/heartbeats")


def test_credentials_and_scopes_are_needed(served: Served) -> None:
    for path in (
        "/actions/completed?window=7d",
        "/actions/runs?window=7d",
        "/action/heartbeats",
        "/action/heartbeats/latest",
    ):
        refused = served.client.get(path, headers={"Authorization": "Bearer tt_live_wrong"})
        assert refused.status_code == 401 and refused.json()["code"] == 401 and refused.json()["status"] == "error"
        scopeless = served.client.get(path, headers=served.key("scaling:read"))
        assert scopeless.status_code == 403 and "actions:read" in scopeless.json()["message"]
        assert served.client.get(path, headers=served.key("actions:write")).status_code == 200


def test_what_is_recorded_meanwhile_is_seen_at_once(served: Served) -> None:
    pending: tuple[RunAction, ...] = served.server.stores.runs.pending("acme")
    served.server.stores.runs.complete([done(one, served.clock()) for one in pending])
    night = data(served, "/actions/runs", window="1d")["runs"][0]
    assert (night["status"], night["end"], night["countPending"]) == ("completed", "2026-06-17T10:00:00Z", 0)
    assert data(served, "/actions/completed", window="1d")["totalActionsCount"] == 4
