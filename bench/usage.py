"""Usage history: importing, bytes on disk, quantile error on recorded series, and reading it all back."""

import csv
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import numpy as np

from bench.fleet import NOW
from bench.printing import line, note
from bench.scale import Scale
from reconciler.model.observation import SeriesKey
from reconciler.model.samples import Samples
from reconciler.model.sketch import Sketch
from reconciler.model.workload import WorkloadKey
from reconciler.observe.usage_import import read_usage
from reconciler.store.database import open_database
from reconciler.store.usage import UsageStore

TRACES = Path(__file__).resolve().parents[1] / "../shared/real/traces"
QUANTILES = (0.5, 0.9, 0.95, 0.99, 1.0)


def run(scale: Scale) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _import(Path(folder), scale)
        _disk(Path(folder), scale)
        _read(Path(folder), scale)
    _error()


def _key(number: int) -> SeriesKey:
    workload = WorkloadKey(cluster="c", namespace="n", kind="Deployment", name=f"app-{number}")
    return SeriesKey(workload=workload, container="server", resource="memory" if number % 2 else "cpu")


def _samples(series: int, start: int, count: int, step: int) -> Samples:
    """``count`` samples of each series from ``start`` on: a daily wave with noise."""
    random = np.random.default_rng(7)
    seconds = np.tile(start + step * np.arange(count), series)
    wave = 1 + 0.4 * np.sin(seconds / 86400 * 2 * np.pi)
    values = wave * random.lognormal(0, 0.3, len(seconds)) * 0.2
    return Samples(tuple(_key(n) for n in range(series)), np.repeat(np.arange(series), count), seconds, values)


def _import(home: Path, scale: Scale) -> None:
    file = home / "usage.csv"
    rows = [
        f"2026-06-{1 + n // 1440 % 14:02}T{n // 60 % 24:02}:{n % 60:02}:00Z,c,n,Deployment,app-{n // 20160},x,0.1,1000000"
        for n in range(scale.rows)
    ]
    header = "timestamp,cluster,namespace,kind,name,container,cpu_cores,memory_bytes"
    file.write_text("\n".join([header, *rows]) + "\n")
    start = time.perf_counter()
    with file.open(newline="") as handle:
        for _ in csv.reader(handle):
            pass
    bare = time.perf_counter() - start
    start = time.perf_counter()
    for _ in read_usage(file):
        pass
    line(
        f"reading {scale.rows:,} rows of CSV twice (checked, then kept)",
        time.perf_counter() - start,
        against="csv.reader once",
        limit=bare,
    )


def _disk(home: Path, scale: Scale) -> None:
    """At one sample a minute: days beyond two, and two days with their hours."""
    for name, days, per, wanted in (("a day beyond two days", 8, 5, 700), ("two days with their hours", 2, 1, 4100)):
        url = home / f"{days}.sqlite3"
        store = UsageStore(open_database(f"sqlite:///{url}"))
        start = int((NOW - timedelta(days=days)).timestamp()) // 86400 * 86400
        store.record(_samples(scale.series, start, 1440 * days, 60))
        size = _used(url) / scale.series
        if days > 2:
            recent = _recent(home, scale)
            size = (size - recent) / per
        line(f"bytes per container and resource: {name}", size, "bytes", against="the most", limit=wanted)


def _recent(home: Path, scale: Scale) -> float:
    """What the newest days, whose hours are kept, take of a longer history."""
    url = home / "recent.sqlite3"
    store = UsageStore(open_database(f"sqlite:///{url}"))
    start = int((NOW - timedelta(days=8)).timestamp()) // 86400 * 86400 + 5 * 86400
    store.record(_samples(scale.series, start, 1440 * 3, 60))
    return _used(url) / scale.series


def _used(file: Path) -> float:
    with open_database(f"sqlite:///{file}").connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT (SELECT coalesce(sum(length(sketch) + length(seen) + 12), 0) FROM usage_days)"
            " + (SELECT coalesce(sum(length(stats) + length(sketches) + 12), 0) FROM usage_hours)"
        )
        return float(rows.scalar_one())


def _read(home: Path, scale: Scale) -> None:
    store = UsageStore(open_database(f"sqlite:///{home / 'read.sqlite3'}"))
    since = NOW - timedelta(days=scale.days)
    for first in range(0, scale.summaries, 500):
        batch = _samples(min(500, scale.summaries - first), int(since.timestamp()), 48 * scale.days, 1800)
        series = tuple(_key(first + n) for n in range(len(batch.series)))
        store.record(Samples(series, batch.index, batch.seconds, batch.values))
    start = time.perf_counter()
    found = store.summaries("c", since=since, until=NOW, quantiles={"cpu": 0.95, "memory": 0.95})
    line(f"summaries of {len(found):,} series over {scale.days} days", time.perf_counter() - start)


def _error() -> None:
    """The largest relative error of a quantile over every recorded series, against numpy's inverted_cdf."""
    worst = 0.0
    count = 0
    for file in sorted(TRACES.glob("*.csv")):
        with file.open(newline="") as handle:
            rows = list(csv.DictReader(handle))
        for column in [name for name in rows[0] if name != "timestamp"]:
            values = np.array([float(row[column]) for row in rows if row[column] not in ("", "nan")])
            values = values[np.isfinite(values) & (values >= 0)]
            sketch = Sketch.merge(*(Sketch.from_values(part) for part in np.array_split(values, 28)))
            count += 1
            for q in QUANTILES:
                exact = float(np.quantile(values, q, method="inverted_cdf"))
                worst = max(worst, abs(sketch.quantile(q) - exact) / exact if exact else 0.0)
    note(f"{count} recorded series, each merged from 28 parts, quantiles {', '.join(map(str, QUANTILES))}")
    line("largest relative error of a quantile", worst, "", against="the most", limit=0.01)
