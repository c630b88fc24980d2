"""What is pulled from a metrics server, with how far it goes: one transaction, so that a crash loses nothing of it and
doubles nothing."""

from sqlalchemy import Connection, Engine, func, select

from reconciler.model.pulled import Progress, Pulled
from reconciler.store import incidents
from reconciler.store.instants import from_micros
from reconciler.store.observations import note_source
from reconciler.store.seen import DAY
from reconciler.store.tables import marks, observed, usage_clusters, usage_days, usage_series
from reconciler.store.transactions import lock_cluster, reading, upsert_into, writing
from reconciler.store.usage import UsageStore
from reconciler.store.usage_rows import LAST_DAY

_NAME = "prometheus:{}"


class PulledStore:
    """Safe to use from several processes; one instance for each thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._usage = engine, UsageStore(engine)

    def progress(self, cluster: str) -> Progress | None:
        """How far a cluster's history was pulled; None = nothing was."""
        with reading(self._engine) as connection:
            return _progress(connection, cluster)

    def known(self, cluster: str) -> tuple[int, int] | None:
        """First and last unix second of a cluster's history; the first one by the UTC day."""
        days = func.min(usage_days.c.key % (LAST_DAY + 1))
        mine = usage_days.c.key.between(
            usage_series.c.id * (LAST_DAY + 1), usage_series.c.id * (LAST_DAY + 1) + LAST_DAY
        )
        first = select(days).select_from(usage_series.join(usage_days, mine)).where(usage_series.c.cluster == cluster)
        last = select(usage_clusters.c.newest_second).where(usage_clusters.c.cluster == cluster)
        with reading(self._engine) as connection:
            day, second = connection.execute(first).scalar(), connection.execute(last).scalar()
        return None if day is None or second is None else (day * DAY, second)

    def pods_pushed(self, cluster: str) -> int | None:
        """The unix second of the newest pods that an agent has pushed of a cluster; None = no agent did."""
        mine = (observed.c.cluster == cluster, observed.c.list == "pods", observed.c.agent != "", observed.c.complete)
        with reading(self._engine) as connection:
            at = connection.execute(select(func.max(observed.c.at)).where(*mine)).scalar()
        return None if at is None else int(from_micros(at).timestamp())

    def record(self, cluster: str, before: Progress | None, after: Progress, pulled: Pulled | None = None) -> bool:
        """Store what was pulled, and that the history now goes to ``after``.

        False, and nothing changes, when it does not go to ``before`` any more: another server was quicker.

        :raises ValueError: when a value is negative or not finite.
        """
        with writing(self._engine) as connection:
            lock_cluster(connection, cluster)
            if _progress(connection, cluster) != before:
                return False
            if pulled is not None:
                self._usage.record_in(connection, pulled.samples, dedupe=False)
                incidents.count_restarts(connection, pulled.restarts)
                note_source(connection, cluster)
            row = {"fleet": "", "name": _NAME.format(cluster), "value": after.dump()}
            connection.execute(upsert_into(connection, marks), row)
            return True


def _progress(connection: Connection, cluster: str) -> Progress | None:
    mine = (marks.c.fleet == "", marks.c.name == _NAME.format(cluster))
    value = connection.execute(select(marks.c.value).where(*mine)).scalar()
    return None if value is None else Progress.load(value)
