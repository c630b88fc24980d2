"""Usage history: recording once, by hour and by day, and reading it back over any window."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sqlalchemy import Engine, func, select

from reconciler.clock import stopwatch
from reconciler.model.observation import SeriesKey, UsageSummary
from reconciler.model.samples import Samples
from reconciler.model.workload import Resource, WorkloadKey
from reconciler.store import seen
from reconciler.store.database import open_database
from reconciler.store.tables import usage_days, usage_hours
from reconciler.store.transactions import reading
from reconciler.store.usage import Recorded, UsageStore

DAY = 86_400
END = int(datetime(2026, 6, 17, 10, tzinfo=UTC).timestamp())

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def series(number: int = 0, resource: Resource = "cpu", cluster: str = "prod") -> SeriesKey:
    workload = WorkloadKey(cluster=cluster, namespace="default", kind="Deployment", name=f"w{number}")
    return SeriesKey(workload=workload, container="server", resource=resource)


def of_one(key: SeriesKey, seconds: Ints, values: Floats) -> Samples:
    return Samples((key,), np.zeros(len(seconds), np.int64), seconds, np.asarray(values, np.float64))


def fourteen_days(step: int) -> Ints:
    return np.arange(END - 14 * DAY, END, step)


def read(
    store: UsageStore, since: int, until: int, q: float = 0.95, cluster: str = "prod"
) -> dict[SeriesKey, UsageSummary]:
    return store.summaries(
        cluster,
        since=datetime.fromtimestamp(since, UTC),
        until=datetime.fromtimestamp(until, UTC),
        quantiles={"cpu": q, "memory": q},
    )


@pytest.fixture
def store(engine: Engine) -> UsageStore:
    return UsageStore(engine)


def test_a_window_is_summed_up_as_numpy_would(store: UsageStore) -> None:
    seconds = fourteen_days(300)
    random = np.random.default_rng(1)
    cpu, memory = random.lognormal(-1, 0.7, len(seconds)), random.normal(4e8, 3e7, len(seconds))
    cpu[::50] = 0
    both = Samples(
        (series(), series(resource="memory")),
        np.repeat([0, 1], len(seconds)),
        np.tile(seconds, 2),
        np.concatenate([cpu, memory]),
    )
    assert store.record(both) == Recorded(new=2 * len(seconds), seen=0)
    found = read(store, END - 14 * DAY, END, q=0.9)
    assert set(found) == {series(), series(resource="memory")}
    for key, raw in ((series(), cpu), (series(resource="memory"), memory)):
        summary = found[key]
        assert summary.samples == len(raw)
        assert summary.maximum == summary.base["max"] == raw.max()
        assert summary.average == pytest.approx(raw.mean())
        assert summary.base["quantile"] == pytest.approx(np.quantile(raw, 0.9, method="inverted_cdf"), rel=0.01)
        for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            assert summary.quantiles[name] == pytest.approx(np.quantile(raw, q, method="inverted_cdf"), rel=0.01)
        assert (summary.first.timestamp(), summary.last.timestamp()) == (seconds[0], seconds[-1])
        assert summary.days == pytest.approx(14 - 300 / DAY)


def finest_buckets(seconds: Ints) -> Ints:
    """Hours while the day ended less than two days before the newest sample, else days."""
    first_by_hour = (int(seconds.max()) - 2 * DAY) // DAY * DAY
    return np.where(seconds >= first_by_hour, seconds // 3600 * 3600, seconds // DAY * DAY)


@pytest.mark.parametrize("q", [0.5, 0.95, 1.0])
def test_averages_and_maxima_are_by_the_hour_for_two_days_and_by_the_day_before(store: UsageStore, q: float) -> None:
    seconds = fourteen_days(300)
    raw = np.random.default_rng(2).gamma(2, 0.1, len(seconds))
    store.record(of_one(series(), seconds, raw))
    base = read(store, END - 14 * DAY, END, q=q)[series()].base
    buckets = finest_buckets(seconds)
    averages = [raw[buckets == bucket].mean() for bucket in np.unique(buckets)]
    maxima = [raw[buckets == bucket].max() for bucket in np.unique(buckets)]
    assert base["quantileOfAverages"] == pytest.approx(np.quantile(averages, q, method="inverted_cdf"))
    assert base["quantileOfMaxes"] == pytest.approx(np.quantile(maxima, q, method="inverted_cdf"))


@pytest.mark.parametrize("hours", [1, 5, 30, 47])
def test_a_short_window_is_cut_at_the_hour(store: UsageStore, hours: int) -> None:
    seconds = fourteen_days(60)
    raw = np.arange(len(seconds), dtype=np.float64) + 1
    store.record(of_one(series(), seconds, raw))
    summary = read(store, END - hours * 3600, END - 1)[series()]
    inside = raw[seconds >= END - hours * 3600]
    assert summary.samples == len(inside)
    assert summary.average == pytest.approx(inside.mean())
    assert summary.quantiles["p50"] == pytest.approx(np.quantile(inside, 0.5, method="inverted_cdf"), rel=0.01)
    assert summary.first.timestamp() == END - hours * 3600
    assert summary.last.timestamp() == seconds[-1] or summary.last.timestamp() == END - 1


def test_a_window_may_end_before_the_newest_sample(store: UsageStore) -> None:
    seconds = np.arange(END - 6 * 3600, END, 60)
    store.record(of_one(series(), seconds, seconds - END + 6 * 3600 + 1.0))
    assert read(store, END - 6 * 3600, END - 4 * 3600 - 1)[series()].samples == 120
    assert read(store, END - 30 * DAY, END - 20 * DAY) == {}
    assert read(store, END + 3600, END + DAY) == {}


def test_days_lose_their_hours_but_nothing_else(engine: Engine, store: UsageStore) -> None:
    seconds = np.arange(END - 3 * DAY, END, 300)
    raw = np.random.default_rng(3).gamma(2, 0.1, len(seconds))
    store.record(of_one(series(), seconds, raw))
    before = read(store, END - 20 * DAY, END)[series()]
    store.compact({"prod": datetime.fromtimestamp(END + 10 * DAY, UTC)})
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(usage_hours)).scalar() == 0
    after = read(store, END - 20 * DAY, END)[series()]
    assert (after.samples, after.quantiles, after.maximum) == (before.samples, before.quantiles, before.maximum)
    store.compact()
    assert read(store, END - 20 * DAY, END)[series()] == after


def test_history_that_grows_day_by_day_is_the_history_imported_at_once(tmp_path: Path, store: UsageStore) -> None:
    seconds = fourteen_days(300)
    raw = np.random.default_rng(4).gamma(2, 0.1, len(seconds))
    for part in np.array_split(np.arange(len(seconds)), 23):
        store.record(of_one(series(), seconds[part], raw[part]))
    other_engine = open_database(f"sqlite:///{tmp_path}/other.db")
    other = UsageStore(other_engine)
    other.record(of_one(series(), seconds, raw))
    for since in (END - 14 * DAY, END - 40 * 3600):
        one, two = read(store, since, END)[series()], read(other, since, END)[series()]
        assert one.average == pytest.approx(two.average)
        assert one.quantiles == two.quantiles
        assert (one.samples, one.maximum, one.first, one.last) == (two.samples, two.maximum, two.first, two.last)
        assert one.base == pytest.approx(two.base)
    other_engine.dispose()


def test_recording_again_changes_nothing(store: UsageStore) -> None:
    seconds = fourteen_days(300)
    raw = np.random.default_rng(5).gamma(2, 0.1, len(seconds))
    store.record(of_one(series(), seconds, raw))
    before = read(store, END - 14 * DAY, END)
    assert store.record(of_one(series(), seconds, raw)) == Recorded(new=0, seen=len(seconds))
    assert read(store, END - 14 * DAY, END) == before


def test_of_two_values_at_one_second_the_first_stays(store: UsageStore) -> None:
    at = np.array([END, END, END + 1])
    assert store.record(of_one(series(), at, np.array([1.0, 9.0, 2.0]))) == Recorded(new=2, seen=1)
    assert store.record(of_one(series(), at[:1], np.array([7.0]))) == Recorded(new=0, seen=1)
    assert read(store, END, END)[series()].maximum == 2.0


def test_pushes_may_have_several_samples_at_one_second(store: UsageStore) -> None:
    at = np.array([END, END])
    assert store.record(of_one(series(), at, np.array([1.0, 3.0])), dedupe=False) == Recorded(new=2, seen=0)
    summary = read(store, END, END)[series()]
    assert (summary.samples, summary.average) == (2, 2.0)


def test_a_push_does_not_forget_what_an_import_has_seen(store: UsageStore) -> None:
    at = np.array([END])
    store.record(of_one(series(), at, np.array([1.0])))
    store.record(of_one(series(), at + 1, np.array([1.0])), dedupe=False)
    assert store.record(of_one(series(), at, np.array([1.0]))) == Recorded(new=0, seen=1)


def test_clusters_are_apart(store: UsageStore) -> None:
    keys = (series(cluster="prod"), series(cluster="test"))
    store.record(Samples(keys, np.array([0, 1]), np.array([END, END - 30 * DAY]), np.array([1.0, 2.0])))
    assert {key.workload.cluster: s.maximum for key, s in read(store, END - DAY, END).items()} == {"prod": 1.0}
    assert read(store, END - DAY, END, cluster="test") == {}
    assert read(store, END - 31 * DAY, END, cluster="test")[keys[1]].maximum == 2.0


def test_only_the_series_asked_for_are_read(store: UsageStore) -> None:
    keys = tuple(series(number) for number in range(5))
    store.record(Samples(keys, np.arange(5), np.full(5, END), np.ones(5)))
    wanted = [keys[3], series(99)]
    now = datetime.fromtimestamp(END, UTC)
    assert set(store.summaries("prod", since=now, until=now, quantiles={}, series=wanted)) == {keys[3]}


def test_another_process_sees_series_that_came_later(engine: Engine, store: UsageStore) -> None:
    other = UsageStore(engine)
    assert read(other, END - DAY, END) == {}
    store.record(of_one(series(1), np.array([END]), np.array([1.0])))
    assert set(read(other, END - DAY, END)) == {series(1)}
    other.record(of_one(series(2), np.array([END]), np.array([1.0])))
    assert store.record(of_one(series(2), np.array([END]), np.array([1.0]))) == Recorded(new=0, seen=1)
    assert set(read(store, END - DAY, END)) == {series(1), series(2)}


@pytest.mark.parametrize(
    ("second", "value"), [(END, -1.0), (END, np.nan), (END, np.inf), (-1, 1.0), (65536 * DAY, 1.0)]
)
def test_what_cannot_be_is_refused_and_nothing_of_its_batch_is_kept(
    store: UsageStore, second: int, value: float
) -> None:
    with pytest.raises(ValueError, match="usage must"):
        store.record(of_one(series(), np.array([END, second]), np.array([1.0, value])))
    assert read(store, 0, END) == {}


def test_nothing_is_recorded_of_nothing(store: UsageStore) -> None:
    assert store.record(of_one(series(), np.empty(0, np.int64), np.empty(0))) == Recorded(new=0, seen=0)


def test_late_samples_of_an_old_day_are_counted(store: UsageStore) -> None:
    store.record(of_one(series(), np.array([END]), np.array([1.0])))
    late = np.array([END - 10 * DAY, END - 10 * DAY + 60])
    assert store.record(of_one(series(), late, np.array([4.0, 5.0]))) == Recorded(new=2, seen=0)
    summary = read(store, END - 14 * DAY, END)[series()]
    assert (summary.samples, summary.maximum, summary.first.timestamp()) == (3, 5.0, late[0])


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.3, 1.0])
def test_rows_stay_small(tmp_path: Path, spread: float) -> None:
    """A day of one-minute samples in at most 700 bytes, the hours of two days in at most 4,100, everything counted."""
    one_day, two_days = (sizes(tmp_path / str(days), days, spread) for days in (1, 2))
    assert one_day["usage_days"] <= 700
    assert two_days["usage_days"] + two_days["usage_hours"] <= 4_100


def sizes(directory: Path, days: int, spread: float) -> dict[str, float]:
    """Bytes a series on disk, by table, from SQLite's own pages."""
    engine = open_database(f"sqlite:///{directory}/trimtab.db")
    count, midnight = 100, END // DAY * DAY
    seconds = np.arange(midnight - days * DAY, midnight, 60)
    shape = 1 + 0.5 * np.sin(seconds / DAY * 2 * np.pi)
    raw = 0.3 * shape * np.random.default_rng(7).lognormal(0, spread, (count, len(seconds)))
    keys = tuple(series(number) for number in range(count))
    index = np.repeat(np.arange(count), len(seconds))
    UsageStore(engine).record(Samples(keys, index, np.tile(seconds, count), raw.ravel()))
    with reading(engine) as connection:
        overhead = 20  # the row's header, its key and its place in the page
        found = {}
        for table, columns in ((usage_days, ("sketch", "seen")), (usage_hours, ("stats", "sketches"))):
            length = sum(func.length(table.c[name]) for name in columns)
            total, rows = connection.execute(select(func.sum(length), func.count()).select_from(table)).one()
            found[table.name] = ((total or 0) + overhead * rows) / count
    engine.dispose()
    return found


def test_a_hundred_thousand_samples_take_about_a_second(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/trimtab.db")
    store, random = UsageStore(engine), np.random.default_rng(8)
    keys = tuple(series(number) for number in range(1_000))
    index = np.repeat(np.arange(1_000), 100)
    took = []
    for batch in range(3):
        seconds = np.tile(END + (np.arange(100) + 100 * batch) * 300, 1_000)
        elapsed = stopwatch()
        store.record(Samples(keys, index, seconds, random.lognormal(-1, 0.5, 100_000)))
        took.append(elapsed())
    engine.dispose()
    assert min(took) < 2.0  # 0.3 s on an idle machine


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], UsageStore]]:
    directory = tmp_path_factory.mktemp("usage")
    engines: list[Engine] = []

    def fresh() -> UsageStore:
        engines.append(open_database(f"sqlite:///{directory}/{len(engines)}.db"))
        return UsageStore(engines[-1])

    yield fresh
    for engine in engines:
        engine.dispose()


batches = st.lists(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5 * DAY), st.floats(0, 100)), min_size=1, max_size=30),
    min_size=1,
    max_size=4,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches)
def test_any_batches_in_any_order_count_each_second_once(
    shared_store: Callable[[], UsageStore], parts: list[list[tuple[int, int, float]]]
) -> None:
    store, first_values = shared_store(), dict[tuple[int, int], float]()
    keys = tuple(series(number) for number in range(3))
    for part in parts:
        fresh = {(number, second) for number, second, _ in part} - set(first_values)
        for number, second, value in part:
            first_values.setdefault((number, second), value)
        index, seconds, values = (np.array(column) for column in zip(*part, strict=True))
        recorded = store.record(Samples(keys, index, seconds, values))
        assert recorded == Recorded(new=len(fresh), seen=len(part) - len(fresh))
    found = read(store, 0, 6 * DAY)
    for number, key in enumerate(keys):
        mine = [value for (one, _), value in first_values.items() if one == number]
        assert (key in found) == bool(mine)
        if mine:
            assert (found[key].samples, found[key].maximum) == (len(mine), max(mine))
            assert found[key].average == pytest.approx(sum(mine) / len(mine))


@given(st.lists(st.sets(st.integers(0, DAY - 1), max_size=200), max_size=5))
def test_seen_seconds_come_back_as_they_were(rows: list[set[int]]) -> None:
    codes = np.array(sorted(row * DAY + second for row, seconds in enumerate(rows) for second in seconds), np.int64)
    blobs = seen.encode(codes, len(rows))
    assert np.array_equal(seen.decode(blobs), codes)
    assert [bool(blob) for blob in blobs] == [bool(seconds) for seconds in rows]


@pytest.mark.parametrize("step", [15, 60, 300])
def test_seen_seconds_of_regular_data_take_a_few_bytes(step: int) -> None:
    assert len(seen.encode(np.arange(0, DAY, step), 1)[0]) <= 8


RECORDER = """
import sys
import numpy as np
from reconciler.model.observation import SeriesKey
from reconciler.model.samples import Samples
from reconciler.model.workload import WorkloadKey
from reconciler.store.database import open_database
from reconciler.store.usage import UsageStore
engine, mine = open_database(sys.argv[1]), int(sys.argv[2])
store = UsageStore(engine)
print("ready", flush=True)
sys.stdin.readline()
for n in range(20):
    workload = WorkloadKey(cluster="prod", namespace="default", kind="Deployment", name=f"w{n % 3}")
    key = SeriesKey(workload=workload, container="server", resource="cpu")
    at = 1781690400 + np.array([2 * n + mine, 100, 101])
    store.record(Samples((key,), np.zeros(3, int), at, np.ones(3)))
engine.dispose()
"""


def test_processes_that_record_at_once_lose_nothing_of_each_other(store: UsageStore, database_url: str) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-c", RECORDER, database_url, str(mine)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for mine in (0, 1)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate()[1] for process in both] == ["", ""]
    found = read(store, END, END + 3600)
    assert {key.workload.name: summary.samples for key, summary in found.items()} == {"w0": 16, "w1": 16, "w2": 14}
