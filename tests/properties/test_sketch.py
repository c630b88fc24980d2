"""What a sketch promises: exact counts, 1 % on every quantile, any order of merging, few bytes."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from reconciler.model.sketch import Sketch, fold

TRACES = Path(__file__).resolve().parents[2] / "../shared/real/traces"
QUANTILES = (0.0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)

Floats = NDArray[np.float64]

values = st.one_of(st.just(0.0), st.floats(1e-9, 1e15), st.floats(0.001, 64.0), st.integers(0, 2**40).map(float))
arrays = hnp.arrays(np.float64, st.integers(1, 300), elements=values)
few_levels = st.lists(st.sampled_from([0.0, 0.25, 1.0, 3e9]), min_size=1, max_size=2000).map(np.array)
samples = st.one_of(arrays, few_levels)


def trace_columns() -> dict[str, Floats]:
    """Every series of the real traces, by file and column."""
    columns: dict[str, Floats] = {}
    for file in sorted(TRACES.glob("*.csv")):
        with file.open() as lines:
            rows = list(csv.DictReader(lines))
        for name in rows[0]:
            if name != "timestamp":
                columns[f"{file.stem}:{name}"] = np.array([float(row[name]) for row in rows if row[name]])
    return columns


def same(one: Sketch, other: Sketch) -> bool:
    return (
        np.array_equal(one.indices, other.indices)
        and np.array_equal(one.counts, other.counts)
        and (one.zeros, one.count, one.maximum) == (other.zeros, other.count, other.maximum)
        and one.total == pytest.approx(other.total, rel=1e-12)
    )


def assert_within_one_percent(sketch: Sketch, raw: Floats) -> None:
    for q in QUANTILES:
        exact = np.quantile(raw, q, method="inverted_cdf")
        assert abs(sketch.quantile(q) - exact) <= 0.01 * exact, (q, exact)


@given(samples)
def test_every_quantile_is_within_one_percent_of_numpys(raw: Floats) -> None:
    sketch = Sketch.from_values(raw)
    assert_within_one_percent(sketch, raw)
    assert sketch.quantile(1.0) <= sketch.maximum == raw.max()
    assert sketch.total == pytest.approx(raw.sum(), rel=1e-9)
    assert (sketch.count, sketch.zeros) == (len(raw), np.count_nonzero(raw == 0))


@given(samples, samples, samples)
def test_merging_is_associative_and_commutative_and_the_same_as_sketching_together(
    a: Floats, b: Floats, c: Floats
) -> None:
    x, y, z = (Sketch.from_values(raw) for raw in (a, b, c))
    together = Sketch.from_values(np.concatenate([a, b, c]))
    assert same(Sketch.merge(Sketch.merge(x, y), z), together)
    assert same(Sketch.merge(x, Sketch.merge(y, z)), together)
    assert same(Sketch.merge(z, x, y), together)


@given(samples)
def test_bytes_come_back_as_they_were(raw: Floats) -> None:
    sketch = Sketch.from_values(raw)
    back = Sketch.from_bytes(sketch.to_bytes())
    assert same(back, sketch)
    assert back.total == sketch.total


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), values), min_size=1, max_size=200))
def test_folding_many_series_at_once_is_sketching_each(rows: list[tuple[int, int, float]]) -> None:
    series, bucket, raw = (np.array(column) for column in zip(*rows, strict=True))
    folded = fold(series, bucket, raw)
    groups = list(zip(folded.series.tolist(), folded.bucket_start.tolist(), strict=True))
    assert groups == sorted(set(zip(series.tolist(), bucket.tolist(), strict=True)))
    for k, (one, start) in enumerate(groups):
        mine = Sketch.from_values(raw[(series == one) & (bucket == start)])
        buckets = slice(folded.sketches.starts[k], folded.sketches.starts[k + 1])
        assert np.array_equal(folded.sketches.indices[buckets], mine.indices)
        assert np.array_equal(folded.sketches.counts[buckets], mine.counts)
        assert folded.sketches.maxima[k] == mine.maximum


@pytest.mark.parametrize("name", trace_columns())
def test_real_series_are_within_one_percent_whole_and_merged_from_days(name: str) -> None:
    raw = trace_columns()[name]
    usable = raw[raw >= 0]
    days = [Sketch.from_values(day) for day in np.array_split(usable, 14)]
    merged = Sketch.merge(*days)
    assert same(merged, Sketch.from_values(usable))
    assert_within_one_percent(merged, usable)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf, -1e-12])
def test_what_usage_can_never_be_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="usage must"):
        Sketch.from_values(np.array([1.0, bad]))


def test_nothing_merges_to_nothing() -> None:
    empty = Sketch.merge()
    assert (empty.count, empty.total, empty.maximum) == (0, 0.0, 0.0)
    assert np.isnan(empty.quantile(0.5))
    one = Sketch.from_values(np.array([2.0]))
    assert same(Sketch.merge(empty, one), one)
    assert same(Sketch.from_bytes(empty.to_bytes()), empty)


def test_a_blob_that_is_cut_off_is_refused() -> None:
    with pytest.raises(ValueError, match="not a sketch"):
        Sketch.from_bytes(Sketch.from_values(np.array([1.0])).to_bytes()[:10])


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.2, 0.5, 1.0, 2.0, 4.0])
def test_a_day_of_one_minute_samples_stays_small(spread: float) -> None:
    random = np.random.default_rng(int(spread * 100))
    shape = 1 + 0.5 * np.sin(np.arange(1440) / 1440 * 2 * np.pi)
    assert len(Sketch.from_values(0.3 * shape * random.lognormal(0, spread, 1440)).to_bytes()) <= 560
