"""Which seconds of a day a series has a sample of: regular data takes a few bytes a day.

The seconds of a day, ascending, are differences, each from the second before it (the first from midnight). Runs of the same
difference are pairs of varints, (difference, how often): samples every five minutes from 00:00 are two pairs, five bytes.
Blobs of irregular data, where that helps, are deflated. Many blobs are read and written at a time.
"""

import itertools
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DAY = 86_400

Ints = NDArray[np.int64]

_PLAIN, _DEFLATED = b"\0", b"\1"
_WORTH_DEFLATING = 64


def decode(blobs: Sequence[bytes]) -> Ints:
    """``row * DAY + second`` for every second in ``blobs[row]``, ascending. An empty blob has none."""
    pairs, row = _read_varints([zlib.decompress(blob[1:]) if blob[:1] == _DEFLATED else blob[1:] for blob in blobs])
    repeats = pairs[1::2]
    differences = np.repeat(pairs[::2], repeats)
    rows = np.repeat(row[::2], repeats)
    summed = np.cumsum(differences)
    first = _first_of_each(rows)
    before = (summed - differences)[first]
    return summed - np.repeat(before, np.diff(np.append(np.flatnonzero(first), len(rows)))) + rows * DAY


def encode(codes: Ints, rows: int) -> list[bytes]:
    """The blobs of ``codes`` (``row * DAY + second``, ascending, 0 ≤ row < ``rows``); empty for a row without any."""
    row, second = np.divmod(codes, DAY)
    first = _first_of_each(row)
    differences = np.diff(second, prepend=0)
    differences[first] = second[first]
    begins = first.copy()
    begins[1:] |= differences[1:] != differences[:-1]
    at = np.flatnonzero(begins)
    pairs = np.empty(2 * len(at), np.int64)
    pairs[::2] = differences[at]
    pairs[1::2] = np.diff(np.append(at, len(codes)))
    plain = _write_varints(pairs, np.bincount(row[at], minlength=rows) * 2)
    return [_with_form(blob) if blob else b"" for blob in plain]


def _first_of_each(row: Ints) -> NDArray[np.bool_]:
    first = np.ones(len(row), bool)
    first[1:] = row[1:] != row[:-1]
    return first


def _with_form(blob: bytes) -> bytes:
    if len(blob) > _WORTH_DEFLATING:
        deflated = zlib.compress(blob)
        if len(deflated) < len(blob):
            return _DEFLATED + deflated
    return _PLAIN + blob


def _read_varints(blobs: Sequence[bytes]) -> tuple[Ints, Ints]:
    """Every number (7 bits a byte, lowest first, the top bit says that more follow), and the blob that each is from."""
    data = np.frombuffer(b"".join(blobs), np.uint8)
    blob = np.repeat(np.arange(len(blobs)), np.fromiter(map(len, blobs), np.int64, len(blobs)))
    last = np.flatnonzero(data < 0x80)
    begin = np.concatenate(([0], last[:-1] + 1)) if len(last) else last
    place = np.arange(len(data)) - np.repeat(begin, last - begin + 1)
    parts = (data & 0x7F).astype(np.int64) << (7 * place)
    return (np.add.reduceat(parts, begin) if len(begin) else parts), blob[last]


def _write_varints(numbers: Ints, per_blob: Ints) -> list[bytes]:
    sizes = 1 + (numbers >= 1 << 7).astype(np.int64) + (numbers >= 1 << 14)
    ends = np.cumsum(sizes)
    data = np.zeros(int(sizes.sum()), np.uint8)
    for place in range(3):  # no number of a day is above 2²¹
        wide = sizes > place
        more = (sizes[wide] > place + 1).astype(np.int64) << 7
        data[(ends - sizes)[wide] + place] = (numbers[wide] >> (7 * place)) & 0x7F | more
    stops = np.concatenate(([0], ends))[np.concatenate(([0], np.cumsum(per_blob)))].tolist()
    written = data.tobytes()
    return [written[start:stop] for start, stop in itertools.pairwise(stops)]
