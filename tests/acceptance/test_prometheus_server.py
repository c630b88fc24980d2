"""A server with TRIMTAB_PROMETHEUS_URL, beside a real Prometheus: usage comes from there, with no agent at all."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api.app import create_app
from api.serve import open_server
from api.server import Server
from reconciler.errors import Stalled
from reconciler.model.observation import SeriesKey, UsageSummary
from reconciler.model.workload import RESOURCES, WorkloadKey
from reconciler.observe.prometheus import Prometheus
from reconciler.settings import Settings
from reconciler.steps.prometheus import History
from support.fake_prometheus import fake_prometheus
from support.fleets import FleetRepo
from support.prometheus import Running, Sampled
from support.served import SetClock
from support.small import small_fleet

NOW = datetime(2026, 6, 17, 10, 2, tzinfo=UTC)
NEWEST = int(datetime(2026, 6, 17, 10, 0, tzinfo=UTC).timestamp())
HOURS = 8
MIB = 1 << 20
PODS = {"web-6f7d8c9b5-aaaaa": 0.1, "web-6f7d8c9b5-bbbbb": 0.25}
WEB = WorkloadKey(cluster="prod", namespace="default", kind="Deployment", name="web")


def scraped() -> list[Sampled]:
    """Eight hours of two pods of Deployment default/web, every minute, and ten minutes more; one is killed once."""
    seconds = np.arange(NEWEST - HOURS * 3600, NEWEST + 601, 60)
    samples: list[Sampled] = []
    for pod, cores in PODS.items():
        place = {"namespace": "default", "pod": pod}
        container = place | {"container": "server", "image": "web", "node": "node-1"}
        killed = pod.endswith("aaaaa") * (seconds >= NEWEST - 3600)
        memory = np.full(len(seconds), 100.0 * MIB)
        memory[200 + 7 * len(samples)] = (300 + len(samples)) * MIB  # one scrape between two samples of ours
        owner = {"owner_kind": "ReplicaSet", "owner_name": "web-6f7d8c9b5", "owner_is_controller": "true"}
        for name, labels, values in (
            ("container_cpu_usage_seconds_total", container, (seconds - seconds[0]) * cores),
            ("container_cpu_usage_seconds_total", place | {"container": "", "image": ""}, (seconds - seconds[0]) * 9.0),
            ("container_memory_working_set_bytes", container, memory),
            ("container_memory_working_set_bytes", place | {"container": "POD"}, memory * 9),
            ("kube_pod_owner", place | owner, np.ones(len(seconds))),
            ("kube_pod_container_status_restarts_total", place | {"container": "server", "uid": pod}, 7 + killed),
            (
                "kube_pod_container_status_last_terminated_reason",
                place | {"container": "server", "uid": pod, "reason": "OOMKilled"},
                killed,
            ),
        ):
            samples.append(Sampled(name, labels, seconds.tolist(), values.astype(float).tolist()))
    return samples


@pytest.fixture(scope="module")
def running(prometheus: Callable[..., Running]) -> Running:
    return prometheus(scraped())


@pytest.fixture(scope="module")
def narrow(prometheus: Callable[..., Running]) -> Running:
    """One that refuses what touches more than a few samples."""
    return prometheus(scraped(), "--query.max-samples=400")


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> FleetRepo:
    return small_fleet(tmp_path_factory.mktemp("fleet"))


@contextmanager
def served(home: Path, repo: FleetRepo, url: str) -> Iterator[tuple[Server, TestClient]]:
    settings = Settings(fleet=str(repo.bare), state_dir=home, prometheus_url=url, rate_limit="10000/minute")
    with open_server(settings, interval=3600, passes=False, clock=SetClock(NOW)) as server:
        key, _ = server.stores.keys.create("acme", "all", ("changes:read",), (), NOW)
        yield server, TestClient(create_app(server), headers={"Authorization": f"Bearer {key}"})


def usage(server: Server) -> dict[SeriesKey, UsageSummary]:
    since, until = NOW - timedelta(days=20), NOW + timedelta(days=1)
    quantiles = dict.fromkeys(RESOURCES, 0.95)
    return server.stores.usage.summaries("prod", since=since, until=until, quantiles=quantiles)


def eventually(found: Callable[[], bool]) -> None:
    for _ in range(1200):
        if found():
            return
        threading.Event().wait(0.05)
    raise AssertionError("it did not come to be within a minute")


def test_a_server_keeps_its_history_from_a_real_prometheus(tmp_path: Path, repo: FleetRepo, running: Running) -> None:
    with served(tmp_path, repo, running.url) as (server, client):
        eventually(lambda: server.pulse.beats > 0)  # a pass is asked for, since there is something new
        found = usage(server)
        notes = client.get("/api/v1/status").json()["fleets"][0]["notes"]
        metrics = client.get("/metrics").text
    cpu, memory = (found[SeriesKey(workload=WEB, container="server", resource=resource)] for resource in RESOURCES)
    assert len(found) == 2
    assert cpu.samples == 2 * HOURS * 12
    assert cpu.maximum == pytest.approx(0.25)
    assert cpu.average == pytest.approx(0.175)
    assert memory.maximum == 307 * MIB
    (killed,) = server.stores.observations.ooms("prod", NOW - timedelta(days=1), NOW).values()
    assert (killed.oom_kills, killed.restarts, killed.peak_bytes) == (1, 1, 300 * MIB)
    assert notes == []
    assert f'trimtab_prometheus_samples_total{{result="stored"}} {cpu.samples + memory.samples}.0' in metrics


def test_a_real_prometheus_that_limits_questions_gives_the_same(
    tmp_path: Path, running: Running, narrow: Running, repo: FleetRepo
) -> None:
    found = []
    for number, url in enumerate((running.url, narrow.url)):
        settings = Settings(fleet=str(repo.bare), state_dir=tmp_path / str(number), database_url=SecretStr(""))
        clock = SetClock(NOW)
        with open_server(settings, interval=3600, passes=False, clock=clock) as server, Prometheus(url) as prometheus:
            server.stewards[0].ask(server.stewards[0].read).result(timeout=60)
            history = History(prometheus, server.stores, clock=clock, label="cluster")
            clusters = server.clusters("acme")
            first = history.keep(clusters)
            clock.forward(minutes=5)
            second = history.keep(clusters)
            assert (first.error, second.error) == (None, None)
            # The first scrape is memory's, and no rate's.
            assert (first.samples, second.samples) == (4 * HOURS * 12 + 2, 4)
            # What was added up in other parts may differ in the last digit.
            found.append(
                {key: one.model_copy(update={"average": round(one.average, 9)}) for key, one in usage(server).items()}
            )
    assert found[0] == found[1]


def test_a_prometheus_that_is_away_is_in_the_status_and_takes_nothing_down(tmp_path: Path, repo: FleetRepo) -> None:
    with served(tmp_path, repo, "http://me:s3cret@127.0.0.1:9") as (_, client):

        def notes() -> list[str]:
            (fleet,) = client.get("/api/v1/status").json()["fleets"] or [{"notes": []}]
            return list(fleet["notes"])

        eventually(lambda: notes() != [])
        assert "Prometheus at http://127.0.0.1:9 cannot be reached" in notes()[0]
        assert "s3cret" not in notes()[0]
        assert client.get("/readyz").status_code == 200


def test_an_address_that_is_none_stops_the_start(tmp_path: Path, repo: FleetRepo) -> None:
    with pytest.raises(Stalled, match="address of Prometheus"), served(tmp_path, repo, "prometheus:9090"):
        pass


def test_the_question_in_hand_is_the_last_when_the_server_stops(tmp_path: Path, repo: FleetRepo) -> None:
    with fake_prometheus() as fake:
        fake.fail = lambda _asked: "hang"
        with served(tmp_path, repo, fake.url) as (server, _):
            eventually(lambda: len(fake.asked) > 0)
            server.on_stop.insert(0, fake.released.set)
        assert len(fake.asked) == 1
