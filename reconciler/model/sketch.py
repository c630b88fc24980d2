"""Usage in few bytes: one mergeable quantile sketch, read within 1 % (DESIGN §7). For many at once: ``sketches``."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from reconciler.model.sketch_codec import pack, unpack_blobs
from reconciler.model.sketches import Folded, Sketches, concatenate, fold

__all__ = ["Folded", "Sketch", "Sketches", "fold"]


@dataclass(frozen=True, eq=False)
class Sketch:
    """One sketch. ``indices`` ascend; ``count`` includes the ``zeros``; ``total`` and ``maximum`` in the samples' unit."""

    indices: NDArray[np.int32]
    counts: NDArray[np.int64]
    zeros: int
    count: int
    total: float
    maximum: float

    @classmethod
    def from_values(cls, values: NDArray[np.float64]) -> Self:
        """:raises ValueError: when a value is negative or not finite."""
        if not len(values):
            return cls.merge()
        nothing = np.zeros(len(values), np.int64)
        return cls._only(fold(nothing, nothing, np.asarray(values, np.float64)).sketches)

    @classmethod
    def merge(cls, *sketches: "Sketch") -> Self:
        """One sketch of everything that is in ``sketches``; of nothing, the empty sketch."""
        if not sketches:
            return cls(np.empty(0, np.int32), np.empty(0, np.int64), 0, 0, 0.0, 0.0)
        columns = concatenate([sketch._columns() for sketch in sketches])
        return cls._only(columns.merge_by(np.zeros(len(columns), np.int64), 1))

    def quantile(self, q: float) -> float:
        """The smallest value whose cumulated share is at least ``q``, within 1 %; NaN when empty."""
        return float(self._columns().quantiles(q)[0])

    def to_bytes(self) -> bytes:
        return pack(self._columns()).blobs()[0]

    @classmethod
    def from_bytes(cls, blob: bytes) -> Self:
        """:raises ValueError: when ``blob`` is not what :meth:`to_bytes` gave."""
        return cls._only(unpack_blobs([blob]))

    def _columns(self) -> Sketches:
        return Sketches(
            starts=np.array([0, len(self.indices)]),
            indices=self.indices,
            counts=self.counts,
            samples=np.array([self.count]),
            totals=np.array([self.total]),
            maxima=np.array([self.maximum]),
        )

    @classmethod
    def _only(cls, columns: Sketches) -> Self:
        count = int(columns.samples[0])
        return cls(
            indices=columns.indices,
            counts=columns.counts.astype(np.int64),
            zeros=count - int(columns.counts.sum()),
            count=count,
            total=float(columns.totals[0]),
            maximum=float(columns.maxima[0]),
        )
