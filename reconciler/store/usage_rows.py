"""The bytes of a usage row.

A row of ``usage_days`` is one series and UTC day: :data:`SPAN` and the day's sketch. While its hours are kept, a row of
``usage_hours`` with the same key has them: ``stats`` is one :data:`HOUR` record an hour, ascending, ``sketches`` their
payloads one after the other. So a window is read from whole days alone, and averages and maxima by the hour from
``stats`` alone; payloads of hours are read only where a window begins or ends within a day.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reconciler.model.sketch_codec import HEADER, join, pack, records_at, unpack, without_buckets
from reconciler.model.sketches import Sketches

HOUR_SECONDS = 3600
HOURS_A_DAY = 24

SPAN = np.dtype([("first", "<u4"), ("last", "<u4")])
"""The second of the day of the first and of the last sample."""

DAY_HEADER = np.dtype([*SPAN.descr, *HEADER.descr])
"""What a blob of ``usage_days`` begins with."""

HOUR = np.dtype([("hour", "u1"), ("size", "<u4"), *HEADER.descr])
"""An hour of the day, the length of its payload, and its sketch's header."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_DAY_BITS = 16
LAST_DAY = (1 << _DAY_BITS) - 1


def key_of(series: Ints, day: Ints) -> Ints:
    """The key of a row: rows of one series lie together, by day."""
    return (series << _DAY_BITS) | day


def split_key(key: Ints) -> tuple[Ints, Ints]:
    """Series id and day of a key."""
    return key >> _DAY_BITS, key & LAST_DAY


@dataclass(frozen=True, eq=False)
class Days:
    """Decoded rows of ``usage_days``; ``first`` and ``last`` are seconds of the day. ``sketches`` may be without buckets."""

    first: Ints
    last: Ints
    sketches: Sketches


def pack_days(days: Days) -> list[bytes]:
    spans = np.empty(len(days.first), SPAN)
    spans["first"], spans["last"] = days.first, days.last
    return pack(days.sketches).blobs(prefixes=[span.tobytes() for span in spans])


def unpack_days(blobs: Sequence[bytes]) -> Days:
    data, begin, end = join(blobs)
    records = records_at(data, begin, DAY_HEADER)
    sketches = unpack(records, data, begin + DAY_HEADER.itemsize, end)
    return Days(records["first"].astype(np.int64), records["last"].astype(np.int64), sketches)


def unpack_day_headers(headers: Sequence[bytes]) -> Days:
    """The same from :data:`DAY_HEADER` bytes alone: sketches without buckets."""
    records = np.frombuffer(b"".join(headers), DAY_HEADER)
    return Days(records["first"].astype(np.int64), records["last"].astype(np.int64), without_buckets(records))


@dataclass(frozen=True, eq=False)
class HourStats:
    """Records of ``stats`` columns, and which row each is from."""

    row: Ints
    records: NDArray[np.void]

    @property
    def hour(self) -> Ints:
        return self.records["hour"].astype(np.int64)

    @property
    def maxima(self) -> Floats:
        return np.asarray(self.records["maximum"], np.float64)

    def take(self, rows: Ints) -> "HourStats":
        return HourStats(self.row[rows], self.records[rows])

    @property
    def averages(self) -> Floats:
        return np.asarray(self.records["total"] / self.records["samples"], np.float64)


def read_stats(stats: Sequence[bytes]) -> HourStats:
    records = np.frombuffer(b"".join(stats), HOUR)
    lengths = np.fromiter(map(len, stats), np.int64, len(stats)) // HOUR.itemsize
    return HourStats(np.repeat(np.arange(len(stats)), lengths), records)


def unpack_hours(stats: HourStats, sketches: Sequence[bytes]) -> Sketches:
    """One sketch for each record of ``stats``."""
    data = np.frombuffer(b"".join(sketches), np.uint8)
    ends = np.cumsum(stats.records["size"].astype(np.int64))
    return unpack(stats.records, data, ends - stats.records["size"], ends)


def pack_hours(row: Ints, hour: Ints, sketches: Sketches, rows: int) -> tuple[list[bytes], list[bytes]]:
    """``stats`` and ``sketches`` of ``rows`` rows; the sketches are sorted by row and hour."""
    packed = pack(sketches, quick_bytes=0)
    records = np.empty(len(sketches), HOUR)
    records["hour"], records["size"] = hour, np.diff(packed.starts)
    for name in HEADER.names or ():
        records[name] = packed.headers[name]
    stops = np.searchsorted(row, np.arange(rows + 1))
    bytes_at = packed.starts[stops].tolist()
    stats = [records[stops[k] : stops[k + 1]].tobytes() for k in range(rows)]
    return stats, [packed.payload[bytes_at[k] : bytes_at[k + 1]] for k in range(rows)]
