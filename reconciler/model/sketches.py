"""Many quantile sketches at once, in columns: folding samples, merging and reading without a Python loop per sample.

Values fall into logarithmic buckets: bucket *i* holds ``γ^(i-1) < x ≤ γ^i`` with ``γ = (1 + α) / (1 - α)``, and is read
as ``2 γ^i / (γ + 1)``, which is within the relative accuracy α of every value in it. Source of the formula: Masson, Rim
and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019, §2.

Counts are exact, so merging is associative and commutative. The maximum is exact and no estimate exceeds it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RELATIVE_ACCURACY = 0.0099
"""A hair under the promised 1 %, so that float rounding at a bucket's edge cannot break the promise."""

SMALLEST = 1e-9
"""A nanocore, the finest unit that kubelets report. What is smaller counts as zero."""

_GAMMA = (1 + RELATIVE_ACCURACY) / (1 - RELATIVE_ACCURACY)
_LOG_GAMMA = math.log(_GAMMA)
_MIDDLE = 2 / (1 + _GAMMA)


@dataclass(frozen=True, eq=False)
class Sketches:
    """Many sketches in columns. The buckets of sketch *k* are ``indices[starts[k]:starts[k + 1]]``, ascending.

    ``samples`` includes zeros, which have no bucket: ``samples`` minus the sum of ``counts`` is the number of zeros.
    """

    starts: NDArray[np.int64]
    indices: NDArray[np.int32]
    counts: NDArray[np.integer[Any]]
    samples: NDArray[np.int64]
    totals: NDArray[np.float64]
    maxima: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """How many buckets each sketch has."""
        return np.diff(self.starts)

    def take(self, rows: NDArray[np.int64]) -> "Sketches":
        """The sketches ``rows``, in that order."""
        lengths = self.lengths[rows]
        starts = np.concatenate(([0], np.cumsum(lengths)))
        source = np.arange(int(starts[-1])) + np.repeat(self.starts[:-1][rows] - starts[:-1], lengths)
        return Sketches(
            starts=starts,
            indices=self.indices[source],
            counts=self.counts[source],
            samples=self.samples[rows],
            totals=self.totals[rows],
            maxima=self.maxima[rows],
        )

    def merge_by(self, group: NDArray[np.int64], groups: int) -> "Sketches":
        """Add up the sketches that have the same ``group`` (0 ≤ group < ``groups``), into ``groups`` sketches.

        A group that nothing belongs to is an empty sketch.
        """
        lengths = self.lengths
        low, high = _bounds(self, group, groups)
        offsets = np.concatenate(([0], np.cumsum(np.maximum(high - low + 1, 0))))
        cell = np.repeat((offsets[:-1] - low)[group], lengths)
        cell += self.indices
        histogram = np.bincount(cell, weights=self.counts, minlength=int(offsets[-1]))
        filled = np.flatnonzero(histogram)
        starts = np.searchsorted(filled, offsets)
        indices = filled - np.repeat(offsets[:-1] - low, np.diff(starts))
        maxima = np.zeros(groups)
        np.maximum.at(maxima, group, self.maxima)
        return Sketches(
            starts=starts.astype(np.int64),
            indices=indices.astype(np.int32),
            counts=histogram[filled].astype(np.int64),
            samples=np.bincount(group, weights=self.samples, minlength=groups).astype(np.int64),
            totals=_sums(group, self.totals, groups),
            maxima=maxima,
        )

    def quantiles(self, q: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """The smallest value whose cumulated share is at least ``q`` (numpy's ``inverted_cdf``), one a sketch.

        ``q``: one for all, or one for each sketch, 0 ≤ q ≤ 1. NaN for an empty sketch.
        """
        cumulated = np.concatenate(([0], np.cumsum(self.counts)))
        before = cumulated[self.starts[:-1]]
        zeros = self.samples - (cumulated[self.starts[1:]] - before)
        rank = inverted_cdf_rank(self.samples, q)
        at = np.searchsorted(cumulated[1:], before + np.maximum(rank - zeros, 0), side="right")
        found = rank >= zeros
        values = np.zeros(len(self))
        filled = found & (self.samples > 0)
        values[filled] = np.minimum(value_of(self.indices[at[filled]]), self.maxima[filled])
        values[self.samples == 0] = np.nan
        return values


def _bounds(sketches: Sketches, group: NDArray[np.int64], groups: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The lowest and the highest bucket of each group; high < low for a group without buckets."""
    low = np.zeros(groups, np.int64)
    high = np.full(groups, -1, np.int64)
    filled = np.flatnonzero(sketches.lengths)
    if len(filled):
        owner = group[filled]
        low[owner] = np.iinfo(np.int64).max
        high[owner] = np.iinfo(np.int64).min
        np.minimum.at(low, owner, sketches.indices[sketches.starts[filled]].astype(np.int64))
        np.maximum.at(high, owner, sketches.indices[sketches.starts[filled + 1] - 1].astype(np.int64))
    return low, high


def _sums(group: NDArray[np.int64], values: NDArray[np.float64], groups: int) -> NDArray[np.float64]:
    return np.bincount(group, weights=values, minlength=groups).astype(np.float64)


def inverted_cdf_rank(samples: NDArray[np.int64], q: float | NDArray[np.float64]) -> NDArray[np.int64]:
    """The place, from 0, of quantile ``q`` among ``samples`` sorted values; the same rounding as numpy's ``inverted_cdf``."""
    rank: NDArray[np.int64] = np.ceil(samples * q - 1).astype(np.int64)
    return np.minimum(np.maximum(rank, 0), np.maximum(samples - 1, 0))


def bucket_of(values: NDArray[np.float64]) -> NDArray[np.int32]:
    """The bucket of each value; every value is at least :data:`SMALLEST`."""
    return np.ceil(np.log(values) / _LOG_GAMMA).astype(np.int32)


def value_of(indices: NDArray[np.int32]) -> NDArray[np.float64]:
    """What a bucket is read as: within :data:`RELATIVE_ACCURACY` of everything in it."""
    with np.errstate(over="ignore"):  # the topmost bucket of float64; its reader clamps to the exact maximum
        return np.asarray(np.exp(indices * _LOG_GAMMA) * _MIDDLE, np.float64)


def concatenate(parts: Sequence[Sketches]) -> Sketches:
    """The sketches of all parts, in order, without merging any."""
    lengths = np.concatenate([part.lengths for part in parts])
    return Sketches(
        starts=np.concatenate(([0], np.cumsum(lengths))),
        indices=np.concatenate([part.indices for part in parts]),
        counts=np.concatenate([part.counts for part in parts]),
        samples=np.concatenate([part.samples for part in parts]),
        totals=np.concatenate([part.totals for part in parts]),
        maxima=np.concatenate([part.maxima for part in parts]),
    )


@dataclass(frozen=True, eq=False)
class Folded:
    """Sketch *k* holds the samples of series ``series[k]`` in the bucket of time that starts at ``bucket_start[k]``."""

    series: NDArray[np.int64]
    bucket_start: NDArray[np.int64]
    sketches: Sketches


def fold(series_index: NDArray[np.int64], bucket_start: NDArray[np.int64], values: NDArray[np.float64]) -> Folded:
    """Group samples, one a row, by series and bucket of time; ordered by both.

    :raises ValueError: when a value is negative or not finite.
    """
    refuse_unusable(values)
    order = np.lexsort((bucket_start, series_index))
    series, bucket = series_index[order], bucket_start[order]
    fresh = np.ones(len(order), bool)
    fresh[1:] = (series[1:] != series[:-1]) | (bucket[1:] != bucket[:-1])
    firsts = np.flatnonzero(fresh)
    return Folded(
        series=series[firsts],
        bucket_start=bucket[firsts],
        sketches=_sketch_groups(np.cumsum(fresh) - 1, firsts, values[order]),
    )


def refuse_unusable(values: NDArray[np.float64]) -> None:
    """:raises ValueError: when a value is negative or not finite; usage is neither."""
    if not np.isfinite(values).all():
        raise ValueError("usage must be finite")
    if (values < 0).any():
        raise ValueError("usage must not be negative")


def _sketch_groups(group: NDArray[np.int64], firsts: NDArray[np.int64], values: NDArray[np.float64]) -> Sketches:
    """Sketch values that are sorted by ``group``; ``firsts`` is where each group begins."""
    groups = len(firsts)
    positive = values >= SMALLEST
    cell = (group[positive] << 32) + (bucket_of(values[positive]).astype(np.int64) + (1 << 31))
    cells, counts = np.unique(cell, return_counts=True)
    return Sketches(
        starts=np.searchsorted(cells >> 32, np.arange(groups + 1)).astype(np.int64),
        indices=((cells & 0xFFFFFFFF) - (1 << 31)).astype(np.int32),
        counts=counts.astype(np.int64),
        samples=np.diff(np.append(firsts, len(values))).astype(np.int64),
        totals=_sums(group, values, groups),
        maxima=np.maximum.reduceat(values, firsts) if groups else np.empty(0),
    )
