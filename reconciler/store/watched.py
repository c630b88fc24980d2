"""Changes that the guard looks after, and what happened to containers in the last two days."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from sqlalchemy import Engine, delete, select, update

from reconciler.model.guard import Incident, Outcome, Watch
from reconciler.model.workload import WorkloadKey
from reconciler.store import incidents
from reconciler.store.instants import to_micros
from reconciler.store.tables import watched_changes
from reconciler.store.transactions import chunks_of, insert_new, reading, writing

KEPT = timedelta(days=90)
"""For how long it is known what became of a change that is not looked after any more."""


class WatchedStore:
    """Watches by change."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, watch: Watch) -> bool:
        """Look after a change from now on; False, and nothing changes, when it is or was looked after already."""
        row = {
            "change_id": watch.change_id,
            "fleet": watch.fleet,
            "begins": to_micros(watch.begins),
            "outcome": watch.outcome,
            "body": watch.model_dump_json(by_alias=True),
        }
        with writing(self._engine) as connection:
            return insert_new(connection, watched_changes, row)

    def is_known(self, change_id: str) -> bool:
        """Whether a change is looked after, or was."""
        query = select(watched_changes.c.change_id).where(watched_changes.c.change_id == change_id)
        with reading(self._engine) as connection:
            return connection.execute(query).first() is not None

    def find(self, change_id: str) -> Watch | None:
        """None when a change never was looked after, or long ago."""
        return self.of([change_id]).get(change_id)

    def of(self, change_ids: Iterable[str]) -> dict[str, Watch]:
        """By change; of those that are looked after, or were."""
        found: dict[str, Watch] = {}
        with reading(self._engine) as connection:
            for some in chunks_of(change_ids):
                query = select(watched_changes.c.body).where(watched_changes.c.change_id.in_(some))
                for (body,) in connection.execute(query):
                    watch = Watch.model_validate_json(body)
                    found[watch.change_id] = watch
        return found

    def open(self, fleet: str) -> tuple[Watch, ...]:
        """Those of a fleet that are looked after, the oldest first."""
        mine = (watched_changes.c.fleet == fleet, watched_changes.c.outcome == "")
        query = select(watched_changes.c.body).where(*mine).order_by(watched_changes.c.begins)
        with reading(self._engine) as connection:
            return tuple(Watch.model_validate_json(body) for (body,) in connection.execute(query))

    def note(self, watch: Watch) -> None:
        """Write down what is known of a change that is still looked after."""
        mine = (watched_changes.c.change_id == watch.change_id, watched_changes.c.outcome == "")
        with writing(self._engine) as connection:
            body = watch.model_dump_json(by_alias=True)
            connection.execute(update(watched_changes).where(*mine).values(body=body))

    def close(self, watch: Watch, outcome: Outcome) -> None:
        """End a watch. What ended long ago is forgotten."""
        body = watch.model_copy(update={"outcome": outcome}).model_dump_json(by_alias=True)
        mine = watched_changes.c.change_id == watch.change_id
        ended = (watched_changes.c.outcome != "", watched_changes.c.begins < to_micros(watch.begins - KEPT))
        with writing(self._engine) as connection:
            connection.execute(update(watched_changes).where(mine).values(outcome=outcome, body=body))
            connection.execute(delete(watched_changes).where(*ended))

    def incidents(self, clusters: Iterable[str], workloads: Collection[WorkloadKey], since: datetime) -> list[Incident]:
        """What happened to the containers of some workloads since an instant, within the last two days."""
        with reading(self._engine) as connection:
            found = [one for cluster in sorted(set(clusters)) for one in incidents.recent(connection, cluster, since)]
        return [one for one in found if one.workload in workloads]
