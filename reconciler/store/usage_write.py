"""Folding samples into the rows of days and hours: one read and one write for some thousand rows at a time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from reconciler.model.sketches import Sketches, concatenate, fold
from reconciler.store import seen
from reconciler.store.tables import usage_days, usage_hours
from reconciler.store.transactions import execute_many, upsert_into
from reconciler.store.usage_rows import (
    HOUR_SECONDS,
    HOURS_A_DAY,
    Days,
    Floats,
    Ints,
    pack_days,
    pack_hours,
    read_stats,
    unpack_days,
    unpack_hours,
)

_ROWS_AT_A_TIME = 2_000
"""Bounds memory: the seconds of that many days are looked at side by side."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples, one a row: the key of the row of ``usage_days`` that each goes to, its second of the day, its value.

    ``by_hour``: whether the hours of that day are kept.
    """

    key: Ints
    second: Ints
    value: Floats
    by_hour: NDArray[np.bool_]

    def take(self, rows: "Ints | NDArray[np.bool_]") -> "Batch":
        return Batch(self.key[rows], self.second[rows], self.value[rows], self.by_hour[rows])


def fold_in(connection: Connection, batch: Batch, *, dedupe: bool) -> int:
    """Write the samples; gives how many of them were new."""
    batch = batch.take(np.argsort(batch.key, kind="stable"))  # stable: of two at one second the first one wins
    keys = _distinct(batch.key)
    new = 0
    for begin in range(0, len(keys), _ROWS_AT_A_TIME):
        some = keys[begin : begin + _ROWS_AT_A_TIME]
        rows = slice(*np.searchsorted(batch.key, [some[0], some[-1] + 1]))
        new += _fold_some(connection, batch.take(np.arange(rows.start, rows.stop)), some, dedupe=dedupe)
    return new


def _fold_some(connection: Connection, batch: Batch, keys: Ints, *, dedupe: bool) -> int:
    query = select(usage_days.c.key, usage_days.c.sketch, usage_days.c.seen).where(usage_days.c.key.in_(keys.tolist()))
    stored = {key: (sketch, seconds) for key, sketch, seconds in connection.execute(query)}
    seconds = [stored[key][1] if key in stored else b"" for key in keys.tolist()]
    if dedupe:
        fresh, seconds = _unseen(batch, keys, seconds)
        batch = batch.take(np.sort(fresh))
    if not len(batch.key):
        return 0
    sketches = _fold_days(batch, {key: sketch for key, (sketch, _) in stored.items()})
    seen_of = dict(zip(keys.tolist(), seconds, strict=True))
    rows = [{"key": key, "sketch": sketch, "seen": seen_of[key]} for key, sketch in sketches.items()]
    execute_many(connection, upsert_into(connection, usage_days), rows)
    _fold_hours(connection, batch.take(batch.by_hour))
    return len(batch.key)


def _distinct(ascending: Ints) -> Ints:
    return ascending[np.flatnonzero(np.diff(ascending, prepend=-1))]


def _unseen(batch: Batch, keys: Ints, seconds: list[bytes]) -> tuple[Ints, list[bytes]]:
    """Which samples are new, and the seconds of every row with them."""
    codes, first = np.unique(np.searchsorted(keys, batch.key) * seen.DAY + batch.second, return_index=True)
    before = seen.decode(seconds)
    return first[~np.isin(codes, before, assume_unique=True)], seen.encode(np.union1d(codes, before), len(keys))


def _fold_days(batch: Batch, stored: dict[int, bytes]) -> dict[int, bytes]:
    """The new blob of each row that samples go to, by key."""
    folded = fold(batch.key, np.zeros_like(batch.key), batch.value)
    keys = folded.series
    row = np.searchsorted(keys, batch.key)
    first = np.full(len(keys), seen.DAY, np.int64)
    last = np.zeros(len(keys), np.int64)
    np.minimum.at(first, row, batch.second)
    np.maximum.at(last, row, batch.second)
    old_rows = [k for k, key in enumerate(keys.tolist()) if key in stored]
    sketches = folded.sketches
    if old_rows:
        old = unpack_days([stored[key] for key in keys[old_rows].tolist()])
        first[old_rows] = np.minimum(first[old_rows], old.first)
        last[old_rows] = np.maximum(last[old_rows], old.last)
        group = np.concatenate([np.arange(len(keys)), np.array(old_rows)])
        sketches = concatenate([sketches, old.sketches]).merge_by(group, len(keys))
    return dict(zip(keys.tolist(), pack_days(Days(first, last, sketches)), strict=True))


def _fold_hours(connection: Connection, batch: Batch) -> None:
    if not len(batch.key):
        return
    keys = _distinct(batch.key)
    query = select(usage_hours).where(usage_hours.c.key.in_(keys.tolist()))
    stored = connection.execute(query).all()
    hour_of = np.searchsorted(keys, batch.key) * HOURS_A_DAY + batch.second // HOUR_SECONDS
    folded = fold(hour_of, np.zeros_like(hour_of), batch.value)
    hours, sketches = folded.series, folded.sketches
    if stored:
        stats = read_stats([row.stats for row in stored])
        old_row = np.searchsorted(keys, np.array([row.key for row in stored]))
        old_hours = old_row[stats.row] * HOURS_A_DAY + stats.hour
        old = unpack_hours(stats, [row.sketches for row in stored])
        hours, sketches = _merge_hours(hours, sketches, old_hours, old)
    written = pack_hours(hours // HOURS_A_DAY, hours % HOURS_A_DAY, sketches, len(keys))
    rows = [
        {"key": key, "stats": stats_blob, "sketches": payloads}
        for key, stats_blob, payloads in zip(keys.tolist(), *written, strict=True)
    ]
    execute_many(connection, upsert_into(connection, usage_hours), rows)


def _merge_hours(hours: Ints, sketches: Sketches, old_hours: Ints, old: Sketches) -> tuple[Ints, Sketches]:
    all_hours, group = np.unique(np.concatenate([hours, old_hours]), return_inverse=True)
    return all_hours, concatenate([sketches, old]).merge_by(group, len(all_hours))
