"""Sketches as bytes, many at a time.

A blob is a header (:data:`HEADER`) and a payload in one of two forms:

*dense*: one count for each bucket from the lowest to the highest, 1, 2, 4 or 8 bytes wide; the quickest to read.
*unary*: a bit string in which a 1 is one more sample in this bucket and a 0 moves to the next bucket; *n* samples over *k*
buckets take (n + k) / 8 bytes, which is the smallest for an hour of samples or for a wide spread.

The smaller form is taken; dense also when it stays under ``quick_bytes``. zlib gains nothing on either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reconciler.model.sketches import Sketches

HEADER = np.dtype([("form", "u1"), ("base", "<i4"), ("samples", "<u4"), ("total", "<f8"), ("maximum", "<f8")])
"""``form``: 0 unary, else the width of a dense count. ``base``: the lowest bucket. Packed, 25 bytes."""

QUICK_BYTES = 400
"""A day's sketch may take that many bytes if that makes it quicker to read (a day row stays under 700 bytes)."""

_UNARY = 0
_WIDTHS = np.array([1, 2, 4, 8])


@dataclass(frozen=True, eq=False)
class Packed:
    """Headers and payloads of many sketches; payload *k* is ``payload[starts[k]:starts[k + 1]]``."""

    headers: NDArray[np.void]
    payload: bytes
    starts: NDArray[np.int64]

    def blobs(self, *, prefixes: Sequence[bytes] | None = None) -> list[bytes]:
        """One blob a sketch: its prefix, if any, its header, its payload."""
        size = HEADER.itemsize
        heads = self.headers.tobytes()
        ends = self.starts.tolist()
        return [
            (prefixes[k] if prefixes else b"") + heads[k * size : (k + 1) * size] + self.payload[ends[k] : ends[k + 1]]
            for k in range(len(self.headers))
        ]


def pack(sketches: Sketches, *, quick_bytes: int = QUICK_BYTES) -> Packed:
    """Encode sketches.

    :raises ValueError: when a sketch has more samples than a header can count (2³² - 1).
    """
    if (sketches.samples > np.iinfo(np.uint32).max).any():
        raise ValueError("more samples than a sketch can hold")
    lengths, filled = sketches.lengths, sketches.lengths > 0
    base, span, peak, inside = (np.zeros(len(sketches), np.int64) for _ in range(4))
    base[filled] = sketches.indices[sketches.starts[:-1][filled]]
    span[filled] = sketches.indices[sketches.starts[1:][filled] - 1] - base[filled] + 1
    peak[filled] = np.maximum.reduceat(sketches.counts, sketches.starts[:-1][filled]) if filled.any() else 0
    inside[filled] = np.add.reduceat(sketches.counts, sketches.starts[:-1][filled]) if filled.any() else 0
    width = _WIDTHS[np.searchsorted([0xFF, 0xFFFF, 0xFFFFFFFF], peak)].astype(np.int64)
    unary_bytes = (span + inside + 7) // 8
    unary = span * width > np.maximum(unary_bytes, quick_bytes)
    starts = np.concatenate(([0], np.cumsum(np.where(unary, unary_bytes, span * width))))

    headers = np.zeros(len(sketches), HEADER)
    headers["form"] = np.where(unary, _UNARY, width)
    headers["base"], headers["samples"] = base, sketches.samples
    headers["total"], headers["maximum"] = sketches.totals, sketches.maxima
    step = (sketches.indices - np.repeat(base, lengths)).astype(np.int64)
    of_unary = np.repeat(unary, lengths)
    payload = _unary_payload(sketches, step, of_unary, starts)
    _write_dense(payload, sketches, step, np.where(unary, 0, width), starts)
    return Packed(headers, payload.tobytes(), starts)


def _unary_payload(
    sketches: Sketches, step: NDArray[np.int64], of_unary: NDArray[np.bool_], starts: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """All payload bytes, with the bits of the unary sketches set and the dense ones left empty."""
    if not of_unary.any():
        return np.zeros(int(starts[-1]), np.uint8)
    lengths = sketches.lengths
    before = np.concatenate(([0], np.cumsum(sketches.counts)))[:-1]
    earlier = before - np.repeat(before[np.minimum(sketches.starts[:-1], len(before) - 1)], lengths)
    first_bit = np.repeat(starts[:-1] * 8, lengths) + step + earlier
    counts = np.where(of_unary, sketches.counts, 0)
    ones = np.repeat(first_bit - (np.cumsum(counts) - counts), counts) + np.arange(int(counts.sum()))
    bits = np.zeros(int(starts[-1]) * 8, np.uint8)
    bits[ones] = 1
    return np.packbits(bits, bitorder="little")


def _write_dense(
    payload: NDArray[np.uint8],
    sketches: Sketches,
    step: NDArray[np.int64],
    width: NDArray[np.int64],
    starts: NDArray[np.int64],
) -> None:
    """Write the counts of the dense sketches (``width`` > 0), lowest byte first."""
    widths = np.repeat(width, sketches.lengths)
    at = np.repeat(starts[:-1], sketches.lengths) + step * widths
    for byte in range(int(width.max(initial=0))):
        wide = widths > byte
        payload[at[wide] + byte] = (sketches.counts[wide] >> (8 * byte)) & 0xFF


def unpack_blobs(blobs: Sequence[bytes]) -> Sketches:
    """Decode blobs as :meth:`Packed.blobs` gives them.

    :raises ValueError: when a blob is too short.
    """
    data, begin, end = join(blobs)
    if (end - begin < HEADER.itemsize).any():
        raise ValueError("not a sketch: too short")
    sketches = unpack(records_at(data, begin, HEADER), data, begin + HEADER.itemsize, end)
    return sketches.merge_by(np.arange(len(sketches)), len(sketches))  # which drops empty buckets


def join(blobs: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """All blobs one after the other, and where each begins and ends."""
    end = np.cumsum(np.fromiter(map(len, blobs), np.int64, len(blobs)))
    return np.frombuffer(b"".join(blobs), np.uint8), np.concatenate(([0], end[:-1])), end


def records_at(data: NDArray[np.uint8], at: NDArray[np.int64], dtype: np.dtype[np.void]) -> NDArray[np.void]:
    """The packed records of one type that begin at ``at``."""
    records: NDArray[np.void] = data[at[:, None] + np.arange(dtype.itemsize)].view(dtype)
    return records.reshape(-1)


def unpack(
    headers: NDArray[np.void], data: NDArray[np.uint8], begin: NDArray[np.int64], end: NDArray[np.int64]
) -> Sketches:
    """Decode sketches whose payload *k* is ``data[begin[k]:end[k]]``; dense ones keep their empty buckets."""
    form = headers["form"]
    if (form == 1).all():
        # Nearly every sketch is of this form: few passes over the entries, in narrow numbers, are half of reading's time.
        lengths = end - begin
        starts = np.concatenate(([0], np.cumsum(lengths)))
        counts = data[np.arange(int(starts[-1])) + np.repeat(begin - starts[:-1], lengths)]
        shift = (headers["base"] - starts[:-1]).astype(np.int32)
        indices = np.arange(int(starts[-1]), dtype=np.int32) + np.repeat(shift, lengths)
        return _columns(headers, starts, indices, counts)
    parts, rows = [], []
    for kind in np.unique(form):
        row = np.flatnonzero(form == kind)
        rows.append(row)
        reader = _read_unary if kind == _UNARY else _read_wide
        parts.append(reader(headers[row], data, begin[row], end[row]))
    return _in_order(headers, np.concatenate(rows), parts)


def without_buckets(headers: NDArray[np.void]) -> Sketches:
    """Sketches of which only samples, totals and maxima are known: they merge, and have no quantiles."""
    nothing = np.empty(0, np.int64)
    return _columns(headers, np.zeros(len(headers) + 1, np.int64), nothing, nothing)


Entries = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Lengths by sketch; then bucket and count by entry."""


def _layout(lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts of consecutive runs of these lengths, and for each element its place within its run."""
    starts = np.concatenate(([0], np.cumsum(lengths)))
    within = np.arange(int(starts[-1]))
    within -= np.repeat(starts[:-1], lengths)
    return starts, within


def _read_wide(
    headers: NDArray[np.void], data: NDArray[np.uint8], begin: NDArray[np.int64], end: NDArray[np.int64]
) -> Entries:
    width = int(headers["form"][0])
    lengths = (end - begin) // width
    _, within = _layout(lengths)
    at = np.repeat(begin, lengths) + within * width
    counts = data[at].astype(np.int64)
    for byte in range(1, width):
        counts |= data[at + byte].astype(np.int64) << (8 * byte)
    return lengths, within + np.repeat(headers["base"], lengths), counts


def _read_unary(
    headers: NDArray[np.void], data: NDArray[np.uint8], begin: NDArray[np.int64], end: NDArray[np.int64]
) -> Entries:
    sizes = end - begin
    starts, within = _layout(sizes)
    bits = np.unpackbits(data[np.repeat(begin, sizes) + within], bitorder="little")
    ones = np.flatnonzero(bits)
    sketch = np.searchsorted(starts * 8, ones, side="right") - 1
    samples = np.bincount(sketch, minlength=len(sizes))
    _, rank = _layout(samples)
    bucket = ones - starts[sketch] * 8 - rank + headers["base"][sketch]
    fresh = np.ones(len(ones), bool)
    fresh[1:] = (sketch[1:] != sketch[:-1]) | (bucket[1:] != bucket[:-1])
    firsts = np.flatnonzero(fresh)
    counts = np.diff(np.append(firsts, len(ones)))
    return np.bincount(sketch[firsts], minlength=len(sizes)), bucket[firsts], counts


def _in_order(headers: NDArray[np.void], rows: NDArray[np.int64], parts: list[Entries]) -> Sketches:
    """Put the entries of sketches ``rows``, read form by form, back into the order of the headers."""
    lengths = np.concatenate([part[0] for part in parts])
    read_starts, _ = _layout(lengths)
    back = np.argsort(rows)
    starts, within = _layout(lengths[back])
    source = within + np.repeat(read_starts[:-1][back], lengths[back])
    indices = np.concatenate([part[1] for part in parts])[source]
    counts = np.concatenate([part[2] for part in parts])[source]
    return _columns(headers, starts, indices, counts)


def _columns(
    headers: NDArray[np.void],
    starts: NDArray[np.int64],
    indices: NDArray[np.integer[Any]],
    counts: NDArray[np.integer[Any]],
) -> Sketches:
    return Sketches(
        starts=starts,
        indices=indices.astype(np.int32, copy=False),
        counts=counts,
        samples=headers["samples"].astype(np.int64),
        totals=headers["total"].astype(np.float64),
        maxima=headers["maximum"].astype(np.float64),
    )
