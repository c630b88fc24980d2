"""Reading usage over a window: many series at a time, merged in columns rather than sketch by sketch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, Select, Table, func, select

from reconciler.model.observation import SeriesKey, UsageSummary
from reconciler.model.sketch_codec import without_buckets
from reconciler.model.sketches import Sketches, concatenate, inverted_cdf_rank
from reconciler.store.instants import from_seconds
from reconciler.store.seen import DAY
from reconciler.store.tables import usage_days, usage_hours, usage_series
from reconciler.store.transactions import fetch_raw
from reconciler.store.usage_rows import (
    DAY_HEADER,
    HOUR_SECONDS,
    LAST_DAY,
    Floats,
    HourStats,
    Ints,
    read_stats,
    split_key,
    unpack_day_headers,
    unpack_days,
    unpack_hours,
)

DEFAULT_QUANTILE = 0.95

_SHOWN = {"p50": 0.50, "p95": 0.95, "p99": 0.99}

_SERIES_AT_A_TIME = 1_000
"""Bounds memory: some ten megabytes of sketches are decoded side by side."""


@dataclass(frozen=True)
class Figures:
    """What is read beside the number of samples, their maximum and average.

    ``quantiles``: ``quantile`` and p50, p95, p99, for which all sketches have to be read. ``by_bucket``:
    ``quantileOfAverages`` and ``quantileOfMaxes``, for which all hours have to be.
    """

    quantiles: bool = True
    by_bucket: bool = True


@dataclass(frozen=True)
class Window:
    """Unix seconds, both ends included. Hours that overlap it belong to it."""

    since: int
    until: int

    @property
    def begin(self) -> int:
        return self.since // HOUR_SECONDS * HOUR_SECONDS

    @property
    def end(self) -> int:
        """The first second after it."""
        return (self.until // HOUR_SECONDS + 1) * HOUR_SECONDS


@dataclass(frozen=True, eq=False)
class _Part:
    """Sketches to merge: whole days, or hours of days that the window cuts. ``position`` says which series each is of."""

    position: Ints
    first: Ints
    last: Ints
    sketches: Sketches


@dataclass(frozen=True, eq=False)
class _Buckets:
    """Averages and maxima of the finest buckets that there are, for ``quantileOfAverages`` and ``quantileOfMaxes``."""

    position: Ints
    averages: Floats
    maxima: Floats


def summarize(
    connection: Connection, keys: Mapping[int, SeriesKey], q: Floats, window: Window, figures: Figures
) -> dict[SeriesKey, UsageSummary]:
    """Summaries of the series ``keys`` (by id, ascending), each at its own ``q``."""
    summaries: dict[SeriesKey, UsageSummary] = {}
    ids = np.fromiter(keys, np.int64, len(keys))
    named = list(keys.values())
    for begin in range(0, len(ids), _SERIES_AT_A_TIME):
        some = slice(begin, begin + _SERIES_AT_A_TIME)
        read = _read(connection, ids[some], window, figures)
        if read is not None:
            summaries.update(_summaries(named[some], q[some], figures, *read))
    return summaries


def _read(connection: Connection, ids: Ints, window: Window, figures: Figures) -> tuple[_Part, _Buckets | None] | None:
    column = usage_days.c.sketch if figures.quantiles else func.substr(usage_days.c.sketch, 1, DAY_HEADER.itemsize)
    rows = fetch_raw(connection, _rows_of(usage_days, column, ids, window))
    if not rows:
        return None
    keys = np.array([row[0] for row in rows], np.int64)
    series, day = split_key(keys)
    unpacked = unpack_days if figures.quantiles else unpack_day_headers
    days = unpacked([row[1] for row in rows])
    everything = _Part(np.searchsorted(ids, series), days.first + day * DAY, days.last + day * DAY, days.sketches)

    inside = (everything.last >= window.begin) & (everything.first < window.end)
    edge = inside & ((everything.first < window.begin) | (everything.last >= window.end))
    buckets = None
    if figures.by_bucket:
        hour_keys, stats = _read_hours(connection, ids, window)
        has_hours = np.isin(keys, hour_keys)
        buckets = _buckets(everything, np.flatnonzero(inside & ~has_hours), ids, hour_keys, stats)
    else:
        has_hours = np.isin(keys, _keys_with_hours(connection, keys[edge]))
    cut = edge & has_hours
    part = _pick(everything, np.flatnonzero(inside & ~cut))
    if cut.any():
        days_cut = _pick(everything, np.flatnonzero(cut))
        part = _join(part, _read_cut(connection, ids, keys[cut], days_cut, window, figures))
    return part, buckets


def _keys_with_hours(connection: Connection, keys: Ints) -> Ints:
    """Those of ``keys`` whose hours are still there."""
    if not len(keys):
        return keys
    query = select(usage_hours.c.key).where(usage_hours.c.key.in_(keys.tolist()))
    return np.array([row[0] for row in fetch_raw(connection, query)], np.int64)


def _rows_of(table: Table, column: ColumnElement[Any], ids: Ints, window: Window) -> Select[Any]:
    """Rows of these series on the days of the window: one range of keys a series."""
    base = usage_series.c.id * (LAST_DAY + 1)
    first, last = window.begin // DAY, min((window.end - 1) // DAY, LAST_DAY)
    return (
        select(table.c.key, column)
        .join_from(usage_series, table, table.c.key.between(base + first, base + last))
        .where(usage_series.c.id.in_(ids.tolist()))
    )


def _read_hours(connection: Connection, ids: Ints, window: Window) -> tuple[Ints, HourStats]:
    """The keys of the rows that still have hours, and the records of the hours that are in the window."""
    rows = fetch_raw(connection, _rows_of(usage_hours, usage_hours.c.stats, ids, window))
    keys = np.array([row[0] for row in rows], np.int64)
    stats = read_stats([row[1] for row in rows])
    return keys, stats.take(_inside(_starts(keys, stats), window))


def _starts(keys: Ints, stats: HourStats) -> Ints:
    return split_key(keys)[1][stats.row] * DAY + stats.hour * HOUR_SECONDS


def _inside(starts: Ints, window: Window) -> Ints:
    return np.flatnonzero((starts >= window.begin) & (starts < window.end))


def _read_cut(connection: Connection, ids: Ints, keys: Ints, days: _Part, window: Window, figures: Figures) -> _Part:
    """The hours in the window of the days that it cuts."""
    query = select(usage_hours.c.key, usage_hours.c.stats, usage_hours.c.sketches)
    rows = connection.execute(query.where(usage_hours.c.key.in_(keys.tolist()))).all()
    found = np.array([row[0] for row in rows], np.int64)
    stats = read_stats([row[1] for row in rows])
    starts = _starts(found, stats)
    order = np.argsort(keys)
    day = order[np.searchsorted(keys, found, sorter=order)][stats.row]
    hours = _Part(
        position=np.searchsorted(ids, split_key(found)[0])[stats.row],
        first=np.maximum(starts, days.first[day]),
        last=np.minimum(starts + HOUR_SECONDS - 1, days.last[day]),
        sketches=unpack_hours(stats, [row[2] for row in rows]) if figures.quantiles else without_buckets(stats.records),
    )
    return _pick(hours, _inside(starts, window))


def _pick(part: _Part, rows: Ints) -> _Part:
    """Some of the sketches, in order; all of them, as nearly always, without copying."""
    if len(rows) == len(part.position):
        return part
    return _Part(part.position[rows], part.first[rows], part.last[rows], part.sketches.take(rows))


def _join(one: _Part, other: _Part) -> _Part:
    return _Part(
        position=np.concatenate([one.position, other.position]),
        first=np.concatenate([one.first, other.first]),
        last=np.concatenate([one.last, other.last]),
        sketches=concatenate([one.sketches, other.sketches]),
    )


def _buckets(days: _Part, coarse: Ints, ids: Ints, hour_keys: Ints, stats: HourStats) -> _Buckets:
    """Hours where they are kept, else days (the rows ``coarse``)."""
    hour_position = np.searchsorted(ids, split_key(hour_keys)[0])[stats.row]
    return _Buckets(
        position=np.concatenate([days.position[coarse], hour_position]),
        averages=np.concatenate([(days.sketches.totals / days.sketches.samples)[coarse], stats.averages]),
        maxima=np.concatenate([days.sketches.maxima[coarse], stats.maxima]),
    )


def _summaries(
    keys: Sequence[SeriesKey], q: Floats, figures: Figures, part: _Part, buckets: _Buckets | None
) -> dict[SeriesKey, UsageSummary]:
    merged = part.sketches.merge_by(part.position, len(keys))
    first = np.full(len(keys), np.iinfo(np.int64).max)
    last = np.zeros(len(keys), np.int64)
    np.minimum.at(first, part.position, part.first)
    np.maximum.at(last, part.position, part.last)
    base, quantiles = {"max": merged.maxima}, {}
    if figures.quantiles:
        base["quantile"] = merged.quantiles(q)
        quantiles = {name: merged.quantiles(share) for name, share in _SHOWN.items()}
    if buckets is not None:
        base["quantileOfAverages"] = _quantile_of(buckets.averages, buckets.position, q)
        base["quantileOfMaxes"] = _quantile_of(buckets.maxima, buckets.position, q)
    columns = (merged.samples, first, last, merged.totals / np.maximum(merged.samples, 1))
    rows = zip(keys, *[column.tolist() for column in columns], _rows(base, keys), _rows(quantiles, keys), strict=True)
    return {key: _summary(*values) for key, *values in rows if values[0]}


def _rows(columns: Mapping[str, Floats], keys: Sequence[SeriesKey]) -> Iterator[dict[str, float]]:
    """``columns`` as one dict for each key."""
    if not columns:
        return ({} for _ in keys)
    values = zip(*[column.tolist() for column in columns.values()], strict=True)
    return (dict(zip(columns, row, strict=True)) for row in values)


def _quantile_of(values: Floats, position: Ints, q: Floats) -> Floats:
    """``inverted_cdf`` of each series' values; 0 for a series without any. One row a series, sorted side by side."""
    counts = np.bincount(position, minlength=len(q))
    order = np.argsort(position, kind="stable")
    row = position[order]
    table = np.full((len(q), max(1, int(counts.max(initial=0)))), np.inf)
    table[row, np.arange(len(row)) - (np.cumsum(counts) - counts)[row]] = values[order]
    table.sort(axis=1)
    found = table[np.arange(len(q)), inverted_cdf_rank(counts, q)]
    return np.where(counts > 0, found, 0.0)


def _summary(
    samples: int, first: int, last: int, average: float, base: dict[str, float], quantiles: dict[str, float]
) -> UsageSummary:
    return UsageSummary.unchecked(
        samples=samples,
        maximum=base["max"],
        average=average,
        base=base,
        quantiles=quantiles,
        first=from_seconds(first),
        last=from_seconds(last),
    )
