"""Usage history: how fast it is imported and read, how large it is, and how close its quantiles are to numpy's."""

import csv
import shutil
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.fleet import NOW, App, series_of, usage_like
from bench.printing import line, note
from bench.scale import Scale
from bench.stage import home, with_history
from reconciler.bootstrap import open_stores
from reconciler.model.observation import SeriesKey
from reconciler.model.samples import Samples
from reconciler.model.workload import WorkloadKey
from reconciler.settings import Settings
from reconciler.steps.importing import import_usage
from reconciler.store.database import open_database
from reconciler.store.usage import UsageStore

REAL = Path(__file__).resolve().parents[1] / "../shared/real/traces"
DAYS_LIMIT = 700.0
HOURS_LIMIT = 4100.0
ERROR_LIMIT = 1.0
QUANTILES = (0.5, 0.9, 0.95, 0.99)


def run(scale: Scale) -> None:
    _import_rate(scale)
    _size_on_disk(scale)
    _error()
    _summaries(scale)


# --- import ---------------------------------------------------------------------------------------------------------


def _import_rate(scale: Scale) -> None:
    file = home() / "usage.csv"
    rows = _write_csv(file, scale.rows)
    start = time.perf_counter()
    with file.open(newline="") as handle:
        read = sum(1 for _ in csv.reader(handle)) - 1
    alone = rows / (time.perf_counter() - start)
    assert read == rows
    stores = open_stores(Settings(state_dir=home() / "import"))
    start = time.perf_counter()
    done = import_usage(stores, file)
    ours = rows / (time.perf_counter() - start)
    stores.engine.dispose()
    assert done.new == 2 * rows
    line(f"import of {rows:,} rows of CSV, two samples each", ours, "rows/s", against="csv.reader alone", limit=alone)


def _write_csv(file: Path, rows: int) -> int:
    """As an export gives it: all containers at one instant, then the next instant, a minute apart."""
    apps = [App(number, 100) for number in range(50)]
    seconds = np.arange(rows // len(apps)) * 60 + int(NOW.timestamp()) - 86400
    usage = usage_like(np.ones(2 * len(apps)), seconds, 0.3, seed=1)
    with file.open("w", newline="") as handle:
        out = csv.writer(handle)
        out.writerow(["timestamp", "cluster", "namespace", "kind", "name", "container", "cpu_cores", "memory_bytes"])
        for at, second in enumerate(seconds.tolist()):
            stamp = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            for app in apps:
                cpu, memory = usage[2 * app.number, at], usage[2 * app.number + 1, at] * 2**29
                out.writerow(
                    [stamp, app.cluster, app.namespace, "Deployment", app.name, "server", f"{cpu:.5f}", f"{memory:.0f}"]
                )
    return len(seconds) * len(apps)


# --- size -----------------------------------------------------------------------------------------------------------


def _size_on_disk(scale: Scale) -> None:
    """The file with everything, less the same file without the hours, less an empty one."""
    folder = home() / "size"
    folder.mkdir()
    place = folder / "usage.sqlite3"
    empty = _file_size(place, open_store=True)
    engine = open_database(f"sqlite:///{place}")
    store = UsageStore(engine)
    midnight = NOW.replace(hour=0)
    days = np.arange(int((midnight - timedelta(days=scale.days)).timestamp()), int(midnight.timestamp()), 60)
    keys = tuple(key for number in range(scale.series // 2) for key in series_of(App(number, 100)))
    store.record(_samples(keys, days, usage_like(np.ones(len(keys)), days, 0.3, seed=2)))
    whole = _file_size(place)
    store.compact({keys[0].workload.cluster: NOW + timedelta(days=10)})
    engine.dispose()
    without_hours = _file_size(place)
    note(f"{len(keys)} series of {scale.days} days, one sample a minute, noise of 20 %; SQLite with its indexes")
    per_day = (without_hours - empty) / len(keys) / scale.days
    per_hours = (whole - without_hours) / len(keys)
    line("bytes a series and day", per_day, "B", against="limit", limit=DAYS_LIMIT, wanted="≤ 1")
    line("  and the hours of the last two days", per_hours, "B", against="limit", limit=HOURS_LIMIT, wanted="≤ 1")


def _file_size(place: Path, *, open_store: bool = False) -> int:
    """Bytes of a copy in which no page is unused."""
    if open_store:
        open_database(f"sqlite:///{place}").dispose()
    copy = place.with_suffix(".copy")
    with sqlite3.connect(place) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(place, copy)
    with sqlite3.connect(copy) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return copy.stat().st_size


def _samples(keys: tuple[SeriesKey, ...], seconds: NDArray[np.int64], values: NDArray[np.float64]) -> Samples:
    return Samples(
        series=keys,
        index=np.repeat(np.arange(len(keys)), len(seconds)),
        seconds=np.tile(seconds, len(keys)),
        values=values.ravel(),
    )


# --- error ----------------------------------------------------------------------------------------------------------


def _error() -> None:
    """The largest relative distance of any quantile of any recorded series from numpy's ``inverted_cdf``, and of any
    maximum from the largest sample."""
    columns = dict(_recorded()) or {"made up": usage_like(np.ones(1), np.arange(4032) * 300, 0.3, seed=3)[0]}
    engine = open_database(f"sqlite:///{home() / 'error.sqlite3'}")
    distances = [_distance(UsageStore(engine), name, values) for name, values in columns.items()]
    engine.dispose()
    names = f"{len(columns)} recorded series" if REAL.is_dir() else f"a made-up series ({REAL} is not there)"
    note(f"{', '.join(f'p{100 * q:g}' for q in QUANTILES)} of {names}")
    quantiles, maxima = (100 * max(found) for found in zip(*distances, strict=True))
    line("largest error of a quantile", quantiles, "%", against="limit", limit=ERROR_LIMIT, wanted="≤ 1")
    line("largest error of a maximum", maxima, "%", wanted="0")


def _recorded() -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Every column of numbers in the recorded traces."""
    for file in sorted(REAL.glob("*.csv")):
        with file.open(newline="") as handle:
            head, *rows = csv.reader(handle)
        for at, name in enumerate(head):
            try:
                values = np.array([float(row[at]) for row in rows])
            except ValueError:
                continue
            if np.isfinite(values).all() and (values >= 0).all() and values.max() < 1e9:
                yield f"{file.stem}-{name}", values


def _distance(store: UsageStore, name: str, values: NDArray[np.float64]) -> tuple[float, float]:
    """How far off the worst quantile and the maximum are, relative to the exact one."""
    seconds = int(NOW.timestamp()) - 300 * np.arange(len(values))[::-1]
    owner = WorkloadKey(cluster=name, namespace="real", kind="Deployment", name="app")
    key = SeriesKey(workload=owner, container="server", resource="cpu")
    store.record(_samples((key,), seconds, values))
    since = datetime.fromtimestamp(int(seconds[0]), UTC)
    worst = 0.0
    for q in QUANTILES:
        summary = store.summaries(name, since=since, until=NOW, quantiles={"cpu": q})[key]
        worst = max(worst, _off(summary.base["quantile"], float(np.quantile(values, q, method="inverted_cdf"))))
    return worst, _off(summary.maximum, float(values.max()))


def _off(found: float, exact: float) -> float:
    return abs(found - exact) / exact if exact else abs(found)


# --- reading --------------------------------------------------------------------------------------------------------


def _summaries(scale: Scale) -> None:
    fleet, _ = with_history(scale, scale.summaries // 2)
    engine = open_database(fleet.database_url)
    clusters = sorted({app.cluster for app in fleet.apps})
    times = []
    for _ in range(3):
        store = UsageStore(engine)
        start = time.perf_counter()
        found = [
            store.summaries(cluster, since=NOW - timedelta(days=14), until=NOW, quantiles={"cpu": 0.95, "memory": 0.95})
            for cluster in clusters
        ]
        times.append(time.perf_counter() - start)
    engine.dispose()
    count = sum(map(len, found))
    assert count == 2 * len(fleet.apps)
    line(f"summaries of {count:,} series over {scale.days} days, all four algorithms", min(times))
