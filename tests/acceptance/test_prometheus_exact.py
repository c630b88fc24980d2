"""What is read from a real Prometheus, held against numpy on the same raw samples: maxima exact, quantiles within 1 %."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import SecretStr

from reconciler.bootstrap import open_stores
from reconciler.model.fleet import Cluster
from reconciler.model.observation import UsageSummary
from reconciler.model.workload import RESOURCES
from reconciler.observe.prometheus import Prometheus
from reconciler.settings import Settings
from reconciler.steps.prometheus import History
from reconciler.steps.scanning import Asked, recommend_from
from support.prometheus import Running, Sampled
from support.scraped import END, MIB, NOW, World

DAYS = 2
STARTED = END - DAYS * 86400
PODS = ("web-6f7d8c9b5-aaaaa", "web-6f7d8c9b5-bbbbb", "web-6f7d8c9b5-ccccc")
CPU, MEMORY = "container_cpu_usage_seconds_total", "container_memory_working_set_bytes"


@pytest.fixture(scope="module")
def world() -> World:
    """Three pods that use now this and now that much, scraped in the middle of every minute; a restart resets a counter."""
    random = np.random.default_rng(4)
    world = World(every=60)
    for pod in PODS:
        world.owned("shop", pod, "ReplicaSet", "web-6f7d8c9b5", since=STARTED)
        seconds = np.arange(STARTED + 30, END, 60)
        counter = np.round(np.cumsum(random.gamma(2, 0.05, len(seconds)) * 60), 6)
        if pod == PODS[1]:
            counter[1500:] = np.round(counter[1500:] - counter[1500], 6)
        memory = np.round(random.gamma(5, 40 * MIB, len(seconds)))
        names = {"namespace": "shop", "pod": pod, "container": "server"}
        world.add(CPU, counter.tolist(), seconds.tolist(), **names)
        world.add(MEMORY, memory.tolist(), seconds.tolist(), **names)
    return world


@pytest.fixture(scope="module")
def running(prometheus: Callable[..., Running], world: World) -> Running:
    return prometheus(world.series)


def series(world: World, name: str) -> list[Sampled]:
    return [one for one in world.series if one.name == name]


def rates(counter: Sampled) -> NDArray[np.float64]:
    """Cores in the five scrapes before each fifth minute, which are four minutes: a counter that falls began at 0."""
    grown = np.diff(counter.values, prepend=counter.values[0])
    grown = np.where(grown < 0, counter.values, grown)
    total = np.cumsum(grown)
    return np.array([(total[last] - total[last - 4]) / 240 for last in range(4, len(total), 5)])


def peaks(gauge: Sampled) -> NDArray[np.float64]:
    return np.array(gauge.values).reshape(-1, 5).max(axis=1)


def test_one_look_has_the_maxima_and_the_highest_quantiles_of_the_pods(running: Running, world: World) -> None:
    with Prometheus(running.url) as prometheus:
        (web,) = recommend_from(prometheus, Asked(now=NOW, window=f"{DAYS}d", everything=True)).recommendations
    cpu, memory = web.usage["cpu"], web.usage["memory"]
    cores, sizes = [rates(one) for one in series(world, CPU)], [np.array(one.values) for one in series(world, MEMORY)]
    assert memory.maximum == max(size.max() for size in sizes)
    assert cpu.maximum == pytest.approx(max(core.max() for core in cores), rel=1e-9)
    assert memory.quantiles["p95"] == pytest.approx(max(np.quantile(size, 0.95) for size in sizes), rel=1e-9)
    assert cpu.quantiles["p95"] == pytest.approx(max(np.quantile(core, 0.95) for core in cores), rel=0.01)
    assert memory.average == pytest.approx(np.mean(sizes), rel=1e-9)
    assert cpu.average == pytest.approx(np.mean(cores), rel=0.01)
    assert memory.samples == sum(len(size) for size in sizes)


def test_the_history_of_the_server_has_them_of_all_pods_together(
    running: Running, world: World, tmp_path: Path, database_url: str
) -> None:
    stores = open_stores(Settings(database_url=SecretStr(database_url), state_dir=tmp_path))
    found: dict[str, UsageSummary] = {}
    with Prometheus(running.url) as prometheus:
        clock = NOW + timedelta(minutes=1)
        keeper = History(prometheus, stores, clock=lambda: clock, label="cluster")
        assert keeper.keep([Cluster(name="prod", roots=())]).error is None
    for q in (0.5, 0.95, 0.99):
        for key, one in stores.usage.summaries(
            "prod", since=NOW - timedelta(days=9), until=NOW + timedelta(days=1), quantiles=dict.fromkeys(RESOURCES, q)
        ).items():
            found[f"{key.resource} {q}"] = one
    stores.engine.dispose()
    raw = {
        "cpu": np.concatenate([rates(one) for one in series(world, CPU)]),
        "memory": np.concatenate([peaks(one) for one in series(world, MEMORY)]),
    }
    for resource, values in raw.items():
        assert found[f"{resource} 0.5"].samples == len(values)
        assert found[f"{resource} 0.5"].maximum == pytest.approx(values.max(), rel=1e-12)
        # Of a counter that begins, Prometheus guesses what it grew before its first scrape.
        assert found[f"{resource} 0.5"].average == pytest.approx(values.mean(), rel=1e-3)
        for q in (0.5, 0.95, 0.99):
            # The sketch answers with a sample that there is, numpy with what is between two of them.
            low, high = np.quantile(values, q, method="lower"), np.quantile(values, q, method="higher")
            assert low * 0.99 <= found[f"{resource} {q}"].base["quantile"] <= high * 1.01, (resource, q)
