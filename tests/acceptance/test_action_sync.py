"""The sync routes and heartbeats: who may, what is answered when a fleet repo cannot be used, what is stored."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from api.actions.passes import jobs
from api.app import create_app
from api.serve import open_server
from api.server import Server
from reconciler import __version__
from reconciler.settings import Settings
from support.fleets import FleetRepo, fleet_yaml, new_fleet
from support.replay import NOW
from support.served import Served, SetClock, serving
from support.small import root_files, small_fleet

SYNCS = ("config", "submitter", "ingestor", "heartbeat")


def two_clusters(home: Path) -> FleetRepo:
    fleet = fleet_yaml(
        "{name: prod, id: prod-id, path: clusters/prod}",
        "{name: dev, path: clusters/dev}",
        extra="  hostPools: [{name: web-pool}]\n",
    )
    return new_fleet(home, {"trimtab.yaml": fleet, **root_files("clusters/prod"), **root_files("clusters/dev")})


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> FleetRepo:
    return two_clusters(tmp_path_factory.mktemp("fleet"))


@pytest.fixture
def served(repo: FleetRepo, tmp_path: Path, database_url: str) -> Iterator[Served]:
    with serving(tmp_path, repo, database_url=database_url) as served:
        yield served


def tick(server: Server, name: str, clock: SetClock) -> None:
    """What the schedule does at the newest minute of its cron line."""
    minute = clock.now.replace(second=0, microsecond=0)
    next(job for job in jobs(server) if job.name == name).run(minute)


def heartbeats(served: Served, **query: str) -> list[dict[str, Any]]:
    answer = served.client.get("/action/heartbeats", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def beat_of(served: Served, cluster: str) -> list[tuple[str, str, str]]:
    found = heartbeats(served, cluster=cluster)
    return [(one["timestamp"], one["metadata"]["status"], one["metadata"]["version"]) for one in found]


def test_heartbeats_of_the_reconciler_and_of_each_agent(served: Served) -> None:
    served.agent("one", cluster="prod-id")
    served.agent("two", "docker", hostPool="web-pool")
    served.clock.forward(seconds=40)
    assert served.client.post("/action/heartbeat/sync").status_code == 200
    own, theirs = "2026-06-17T10:00:40Z", "2026-06-17T10:00:00Z"
    assert beat_of(served, "prod") == [(own, "healthy", __version__), (theirs, "healthy", "1.0")]
    assert beat_of(served, "dev") == [(own, "healthy", __version__)]
    assert beat_of(served, "web-pool") == [(theirs, "healthy", "1.0")]
    assert all(one["metadata"]["actionsProcessed"] == 0 for one in heartbeats(served))

    served.clock.forward(minutes=4, seconds=22)
    tick(served.server, "heartbeats", served.clock)
    assert beat_of(served, "prod")[0] == ("2026-06-17T10:05:00Z", "healthy", __version__)
    assert beat_of(served, "web-pool") == [(theirs, "stale", "1.0")], "it has not been heard of since"

    served.agent("two", "docker", hostPool="web-pool")
    tick(served.server, "heartbeats", served.clock)
    assert len(beat_of(served, "prod")) == 3, "the same tick again, as another server fires it, is the same heartbeat"
    assert beat_of(served, "web-pool")[0] == ("2026-06-17T10:05:02Z", "healthy", "1.0")

    served.clock.forward(days=31)
    tick(served.server, "heartbeats", served.clock)
    assert {one["timestamp"] for one in heartbeats(served)} == {"2026-07-18T10:05:00Z"}, "kept for thirty days"


def test_a_heartbeat_says_when_the_fleet_repo_cannot_be_used(tmp_path: Path) -> None:
    repo = small_fleet(tmp_path)
    with serving(tmp_path, repo) as served:
        shutil.move(repo.bare, tmp_path / "away")
        for what, status in (("config", 500), ("submitter", 500), ("ingestor", 200), ("heartbeat", 200)):
            answer = served.client.post(f"/action/{what}/sync")
            assert answer.status_code == status, answer.text
            if status == 500:
                assert answer.json().keys() == {"code", "status", "message"}
                assert (answer.json()["code"], answer.json()["status"]) == (500, "error")
                assert "fleet.git" in answer.json()["message"]
        shutil.move(tmp_path / "away", repo.bare)
        for what in SYNCS:
            assert served.client.post(f"/action/{what}/sync").status_code == 200, what
        assert served.steward.watch.found is not None, "the pass was made, though the server makes none of its own"
        assert len(repo.log()) == 2


def test_a_broken_trimtab_yaml_is_named_and_shows_as_degraded(tmp_path: Path) -> None:
    repo, clock = small_fleet(tmp_path), SetClock()
    settings = Settings(fleet=str(repo.bare), state_dir=tmp_path / "server")
    with open_server(settings, interval=3600, clock=clock) as server:
        client = TestClient(create_app(server), raise_server_exceptions=False)
        key, _ = server.stores.keys.create("acme", "pat", ("admin",), (), clock())
        client.headers["Authorization"] = f"Bearer {key}"
        _until(lambda: server.stewards[0].watch.found is not None)
        repo.pull()
        repo.write("trimtab.yaml", "kind: Fleet\n")
        repo.commit()
        for what in ("config", "submitter"):
            answer = client.post(f"/action/{what}/sync")
            assert answer.status_code == 500 and "trimtab.yaml" in answer.json()["message"]
        server.wake("acme")
        _until(lambda: bool(server.stewards[0].watch.error))
        assert client.post("/action/heartbeat/sync").status_code == 200
        (beat,) = client.get("/action/heartbeats").json()["data"]
        assert (beat["metadata"]["cluster"], beat["metadata"]["status"]) == ("prod", "degraded")
    with serving_unread(settings, clock) as client:
        answer = client.post("/action/submitter/sync", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 500 and "could not be read" in answer.json()["message"]


@contextmanager
def serving_unread(settings: Settings, clock: SetClock) -> Iterator[TestClient]:
    """A server that has never seen its fleet repo whole."""
    with open_server(settings, interval=3600, passes=False, clock=clock) as server:
        yield TestClient(create_app(server), raise_server_exceptions=False)


def test_what_is_about_all_clusters_is_not_for_a_key_of_one(served: Served) -> None:
    limited = served.key("actions:write", clusters=("prod",))
    reader = served.key("actions:read")
    stranger = served.key("actions:write", organization="globex")
    for what in SYNCS:
        path = f"/action/{what}/sync"
        refused = served.client.post(path, headers=limited)
        assert refused.status_code == 403 and "limited to prod" in refused.json()["message"]
        assert served.client.post(path, headers=reader).status_code == 403
        assert served.client.post(path, headers=stranger).status_code == (200 if what == "heartbeat" else 404)
        assert served.client.post(path, headers=served.key("actions:write")).status_code == 200
        wrong = served.client.get(path)
        assert (wrong.status_code, wrong.json()["code"]) == (405, 405)
    assert (
        served.client.get("/action/heartbeats", headers=served.key("admin", organization="globex")).json()["data"] == []
    )


def test_the_schedule_is_the_documents(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        minutes = {job.name: job.minutes for job in jobs(served.server)}
    assert minutes == {
        "heartbeats": "*/5 * * * *",
        "config sync and submission": "*/10 * * * *",
        "ingestion": "*/10 * * * *",
    }


def test_a_server_that_makes_passes_keeps_the_schedule_and_ends_it(tmp_path: Path) -> None:
    settings = Settings(fleet=str(small_fleet(tmp_path).bare), state_dir=tmp_path / "server")
    clock = SetClock(NOW + timedelta(minutes=4, seconds=59.9))
    with open_server(settings, interval=3600, clock=clock) as server:
        _until(lambda: server.stewards[0].watch.fleet is not None)
        clock.forward(seconds=1)
        _until(lambda: bool(server.stores.heartbeats.latest("acme")))
        assert server.stores.heartbeats.latest("acme") == {"prod": NOW + timedelta(minutes=5)}
    assert "schedule" not in {thread.name for thread in threading.enumerate()}
    with serving(tmp_path, FleetRepo(tmp_path, tmp_path / "work", tmp_path / "fleet.git")):
        assert "schedule" not in {thread.name for thread in threading.enumerate()}, "another process makes the passes"


@retry(stop=stop_after_delay(60), wait=wait_fixed(0.02), retry=retry_if_result(lambda there: not there))
def _until(there: Callable[[], bool]) -> bool:
    return there()
