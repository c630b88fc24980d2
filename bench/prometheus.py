"""Usage from a real Prometheus: one look at everything against a query per container, and the server's next pass against its
first."""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import numpy as np
import structlog

from bench.fleet import NOW
from bench.printing import line, note
from bench.scale import Scale
from bench.stage import home
from reconciler.bootstrap import open_stores
from reconciler.model.fleet import Cluster
from reconciler.observe.prometheus import Prometheus
from reconciler.settings import Settings
from reconciler.steps.prometheus import History
from reconciler.steps.scanning import Asked, recommend_from
from tests.support.prometheus import Sampled, missing, prometheus_with

STEP = 300
NEXT_PASSES = 5
ROUNDS = 3
SCAN_WANTED = 5.0
PASS_WANTED = 50.0


def run(scale: Scale) -> None:
    if lacking := missing():
        note(f"not measured: {lacking}")
        return
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))  # how far a first pass is
    with prometheus_with(_exported(scale)) as running, Prometheus(running.url, timeout=300) as prometheus:
        note(f"{scale.scanned} workloads of one container each, {scale.scan_days} days at 5 minutes")
        _scan(prometheus, scale)
        _passes(prometheus, scale)


def _exported(scale: Scale) -> list[Sampled]:
    """What cAdvisor and kube-state-metrics export, up to an hour after :data:`~bench.fleet.NOW`."""
    end = int(NOW.timestamp()) + 3600
    seconds = list(range(end - 3600 - scale.scan_days * 86400, end + 1, STEP))
    late = seconds[-36:]  # sizes are read as they are now: three hours of them are quicker to make
    random = np.random.default_rng(1)
    found: list[Sampled] = []
    for number in range(scale.scanned):
        names = {"namespace": f"team-{number % 20}", "pod": f"app-{number}-6f7d8c9b5-abcde"}
        placed = {**names, "container": "server"}
        cores = np.round(np.cumsum(random.uniform(0.0, 0.2, len(seconds)) * STEP), 3).tolist()
        size = np.round(random.uniform(1e8, 3e8, len(seconds))).tolist()
        labels = {**placed, "id": f"/kubepods/burstable/pod{number:032d}/{number:064d}", "node": f"node-{number % 30}"}
        found.append(Sampled("container_cpu_usage_seconds_total", labels, seconds, cores))
        found.append(Sampled("container_memory_working_set_bytes", labels, seconds, size))
        owner = {"owner_kind": "ReplicaSet", "owner_name": f"app-{number}-6f7d8c9b5"}
        found.append(_steady("kube_pod_owner", {**names, **owner}, seconds, 1.0))
        found.append(_steady("kube_pod_container_status_restarts_total", placed, seconds, 0.0))
        for bound, times in (("requests", 1), ("limits", 2)):
            metric = f"kube_pod_container_resource_{bound}"
            found.append(_steady(metric, {**placed, "resource": "cpu", "unit": "core"}, late, 0.5 * times))
            found.append(_steady(metric, {**placed, "resource": "memory", "unit": "byte"}, late, 2.0**29 * times))
    return found


def _steady(name: str, labels: dict[str, str], seconds: list[int], value: float) -> Sampled:
    return Sampled(name, labels, seconds, [value] * len(seconds))


# --- one look ---------------------------------------------------------------------------------------------------------


def _scan(prometheus: Prometheus, scale: Scale) -> None:
    def scanned(*, everything: bool) -> Callable[[], None]:
        asked = Asked(now=NOW, window=f"{scale.scan_days}d", everything=everything)

        def scan() -> None:
            found = recommend_from(prometheus, asked).recommendations
            assert len(found) == scale.scanned
            assert all(one.changes for one in found)

        return scan

    # In turns, so that what else the machine does weighs on all of them.
    scans, everything, instants = [], [], []
    for _ in range(ROUNDS):
        scans.append(_seconds(scanned(everything=False)))
        instants.append(_seconds(lambda: _one_by_one(prometheus, scale)))
        everything.append(_seconds(scanned(everything=True)))
    samples = _seconds(lambda: _samples_one_by_one(prometheus, scale))
    against = "one query per container and resource, for its maximum"
    line("scan with nothing stored", min(scans), against=against, limit=min(instants), wanted=f"≤ {1 / SCAN_WANTED:g}")
    against = "one query per container and resource, for its samples"
    line("scan with nothing stored", min(scans), against=against, limit=samples, wanted=f"≤ {1 / SCAN_WANTED:g}")
    line("  with averages and quantiles, too", min(everything), against=against, limit=samples)


def _of_each(scale: Scale) -> Iterator[str]:
    for number in range(scale.scanned):
        yield f'{{namespace="team-{number % 20}",pod=~"app-{number}-[^-]+-[^-]+",container="server"}}'


def _one_by_one(prometheus: Prometheus, scale: Scale) -> None:
    """One figure of one container and resource at a time: what Prometheus does most quickly."""
    days = f"{scale.scan_days}d"
    for of in _of_each(scale):
        for promql in (
            f"max_over_time(rate(container_cpu_usage_seconds_total{of}[{2 * STEP}s])[{days}:{STEP}s])",
            f"max_over_time(container_memory_working_set_bytes{of}[{days}])",
        ):
            (found,) = prometheus.query(promql, NOW)
            assert found.value > 0


def _samples_one_by_one(prometheus: Prometheus, scale: Scale) -> None:
    """The samples of one container and resource at a time, which tell all figures."""
    since = NOW - timedelta(days=scale.scan_days)
    for of in _of_each(scale):
        for promql in (
            f"rate(container_cpu_usage_seconds_total{of}[{2 * STEP}s])",
            f"container_memory_working_set_bytes{of}",
        ):
            (found,) = prometheus.query_range(promql, since, NOW, STEP)
            assert found.values.max() > 0
            assert np.quantile(found.values, 0.95) > 0


# --- the server -------------------------------------------------------------------------------------------------------


def _passes(prometheus: Prometheus, scale: Scale) -> None:
    clock = [NOW]
    stores = open_stores(Settings(state_dir=home() / "prometheus"))
    history = History(prometheus, stores, clock=lambda: clock[0], label="cluster")
    clusters = [Cluster(name="prod", roots=())]
    samples: list[int] = []

    def keep() -> None:
        kept = history.keep(clusters)
        assert kept.error is None, kept.error
        samples.append(kept.samples)

    first = _seconds(keep)
    times = []
    for number in range(1, NEXT_PASSES + 1):
        clock[0] = NOW + timedelta(seconds=number * STEP)
        times.append(_seconds(keep))
    stores.engine.dispose()
    assert samples[1:] == [2 * scale.scanned] * NEXT_PASSES, "just what is new"
    note(f"the first pass stored {samples[0]:,} samples, each of the next {samples[1]:,}")
    line("next pass of the server", min(times), against="its first", limit=first, wanted=f"≤ {1 / PASS_WANTED:g}")


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
