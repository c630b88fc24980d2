"""Usage history: samples in, summaries over any window out (DESIGN §7).

By the hour while a UTC day ended less than two days before the newest sample of its cluster, by the day before that.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy import Connection, Engine, case, delete, select, update

from reconciler.model.observation import SeriesKey, UsageSummary
from reconciler.model.samples import Samples
from reconciler.model.sketches import refuse_unusable
from reconciler.model.workload import Resource
from reconciler.store.observations import note_source
from reconciler.store.seen import DAY
from reconciler.store.series import SeriesIndex
from reconciler.store.tables import usage_clusters, usage_hours, usage_series
from reconciler.store.transactions import insert_into, lock_cluster, reading, writing
from reconciler.store.usage_read import DEFAULT_QUANTILE, Figures, Window, summarize
from reconciler.store.usage_rows import LAST_DAY, Ints, key_of
from reconciler.store.usage_write import Batch, fold_in

EVERYTHING = Figures()

_HOURS_KEPT_SECONDS = 2 * DAY


@dataclass(frozen=True)
class Recorded:
    """How many samples were new, and how many had been recorded before (and changed nothing)."""

    new: int
    seen: int


class UsageStore:
    """Safe to use from several processes; one instance for each thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._series = SeriesIndex()

    def record(self, samples: Samples, *, dedupe: bool = True) -> Recorded:
        """Fold samples into the history; all of them or, when it fails, none.

        With ``dedupe`` a second of a series that was recorded before is left as it is (the first value wins), also
        within the batch; without, every row counts (several pods of one workload at the same second).

        :raises ValueError: when a value is negative or not finite, or an instant is before 1970 or after 2149.
        """
        with writing(self._engine) as connection:
            recorded = self.record_in(connection, samples, dedupe=dedupe)
            for cluster in sorted({key.workload.cluster for key in samples.series}):
                note_source(connection, cluster)
            return recorded

    def record_in(self, connection: Connection, samples: Samples, *, dedupe: bool = True) -> Recorded:
        """:meth:`record` as part of a transaction that the caller has begun, at most once in it."""
        _refuse_unusable(samples)
        if not len(samples.values):
            return Recorded(0, 0)
        keep_from = _advance(connection, _newest_by_cluster(samples))
        ids = self._series.number(connection, samples.series)
        kept = np.array([keep_from[key.workload.cluster] for key in samples.series])
        day = samples.seconds // DAY
        batch = Batch(
            key=key_of(ids[samples.index], day),
            second=samples.seconds % DAY,
            value=samples.values,
            by_hour=day >= kept[samples.index],
        )
        new = fold_in(connection, batch, dedupe=dedupe)
        return Recorded(new, len(samples.values) - new)

    def compact(self, now_by_cluster: Mapping[str, datetime] | None = None) -> None:
        """Drop hours that ended two days before a cluster's newest sample, or before ``now_by_cluster`` where it is later.

        Recording does this by itself; it matters only for clusters that nothing is recorded for any more.
        """
        newest = {cluster: int(now.timestamp()) for cluster, now in (now_by_cluster or {}).items()}
        with writing(self._engine) as connection:
            rows = connection.execute(select(usage_clusters.c.cluster, usage_clusters.c.newest_second)).all()
            for cluster, second in sorted(rows):
                lock_cluster(connection, cluster)
                _drop_hours(connection, cluster, _keep_from(max(second, newest.get(cluster, 0))))

    def summaries(
        self,
        cluster: str,
        *,
        since: datetime,
        until: datetime,
        quantiles: Mapping[Resource, float],
        series: Iterable[SeriesKey] | None = None,
        figures: Figures = EVERYTHING,
    ) -> dict[SeriesKey, UsageSummary]:
        """What the history says of a cluster's series from ``since`` to ``until``, all hours and days that overlap it.

        ``base`` has all four algorithms, ``quantile…`` at ``quantiles`` of the series' resource, or with ``figures`` only
        what is asked for, which is up to twice as quick. ``series``: only these. Series without a sample in the window
        are left out.
        """
        window = Window(int(since.timestamp()), int(until.timestamp()))
        with reading(self._engine) as connection:
            keys = self._series.of_cluster(connection, cluster)
            if series is not None:
                wanted = set(series)
                keys = {number: key for number, key in keys.items() if key in wanted}
            q = np.array([quantiles.get(key.resource, DEFAULT_QUANTILE) for key in keys.values()])
            return summarize(connection, keys, q, window, figures)


def _refuse_unusable(samples: Samples) -> None:
    refuse_unusable(samples.values)
    if len(samples.seconds) and not 0 <= samples.seconds.min() <= samples.seconds.max() < (LAST_DAY + 1) * DAY:
        raise ValueError("usage must be of an instant between 1970 and 2149")


def _newest_by_cluster(samples: Samples) -> dict[str, int]:
    newest: Ints = np.full(len(samples.series), -1, np.int64)
    np.maximum.at(newest, samples.index, samples.seconds)
    by_cluster: dict[str, int] = {}
    for key, second in zip(samples.series, newest.tolist(), strict=True):
        by_cluster[key.workload.cluster] = max(second, by_cluster.get(key.workload.cluster, 0))
    return by_cluster


def _keep_from(newest_second: int) -> int:
    """The first day whose hours are kept."""
    return max(0, (newest_second - _HOURS_KEPT_SECONDS) // DAY)


def _advance(connection: Connection, newest: Mapping[str, int]) -> dict[str, int]:
    """Note the newest second of each cluster and drop the hours that are too old for it; gives what is kept from."""
    insert = insert_into(connection, usage_clusters)
    later = insert.excluded.newest_second
    statement = insert.on_conflict_do_update(
        index_elements=["cluster"],
        set_={
            "newest_second": case((later > usage_clusters.c.newest_second, later), else_=usage_clusters.c.newest_second)
        },
    )
    for cluster in sorted(newest):
        lock_cluster(connection, cluster)
        connection.execute(statement, {"cluster": cluster, "newest_second": newest[cluster], "compacted_day": 0})
    query = select(usage_clusters).where(usage_clusters.c.cluster.in_(newest))
    keep = {}
    for row in connection.execute(query).all():
        keep[row.cluster] = max(_keep_from(row.newest_second), row.compacted_day)
        if keep[row.cluster] > row.compacted_day:
            _drop_hours(connection, row.cluster, keep[row.cluster])
    return keep


def _drop_hours(connection: Connection, cluster: str, before_day: int) -> None:
    """The days' rows have everything already: dropping their hours is all there is to do."""
    mine = select(usage_series.c.id).where(usage_series.c.cluster == cluster)
    days, theirs = usage_hours.c.key % (LAST_DAY + 1), usage_hours.c.key // (LAST_DAY + 1)
    connection.execute(delete(usage_hours).where(days < before_day, theirs.in_(mine)))
    connection.execute(
        update(usage_clusters)
        .where(usage_clusters.c.cluster == cluster, usage_clusters.c.compacted_day < before_day)
        .values(compacted_day=before_day)
    )
