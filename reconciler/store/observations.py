"""The newest state of each cluster, as agents and imports push it, and which pushes were recorded."""

import json
import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, delete, func, select, update

from reconciler.model.observation import Observation, OomRecord, PushBody
from reconciler.model.workload import WorkloadKey
from reconciler.store import incidents
from reconciler.store.instants import from_micros, to_micros
from reconciler.store.tables import observed, push_sources, pushes
from reconciler.store.transactions import insert_into, insert_new, lock_cluster, reading, writing

LISTS = ("pods", "nodes", "workloads", "quotas", "containers")
"""What of a push is kept as state. A list that a push does not carry stays as it was; an empty one empties it."""

_OF_EACH_AGENT = ("containers",)
"""Lists of which each agent knows its own host's part: the state is what all of them say together."""


class ObservationStore:
    """Observations by cluster."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, body: PushBody, *, cluster: str, agent: str = "") -> bool:
        """Take one push in; False, and nothing changes, when this agent's timestamp and part was recorded before.

        The parts of one timestamp become the state together, once the last of them is there; what is older than the
        state never replaces it.

        :raises ValueError: when the timestamp has no offset from UTC.
        """
        with writing(self._engine) as connection:
            return record_in(connection, body, cluster=cluster, agent=agent)

    def newest(self, cluster: str) -> Observation:
        """The newest state; empty where nothing was pushed."""
        query = select(observed).where(observed.c.cluster == cluster, observed.c.complete)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(observed.c.at, observed.c.agent, observed.c.part)).all()
        state: dict[str, Any] = {"cluster": cluster, "at": {}}
        for name in LISTS:
            if current := _current(name, [row for row in rows if row.list == name]):
                state["at"][name] = from_micros(max(row.at for row in current))
                state[name] = [item for row in current for item in json.loads(zlib.decompress(row.body))]
        return Observation.model_validate(state)

    def ooms(self, cluster: str, since: datetime, until: datetime) -> dict[tuple[WorkloadKey, str], OomRecord]:
        """OOM kills and restarts on the UTC days from ``since`` to ``until``, by workload and container."""
        with reading(self._engine) as connection:
            return incidents.ooms(connection, cluster, since, until)


def record_in(connection: Connection, body: PushBody, *, cluster: str, agent: str) -> bool:
    """:meth:`ObservationStore.record` as part of a transaction that the caller has begun."""
    at = to_micros(body.timestamp)
    lock_cluster(connection, cluster)
    source = _source(connection, cluster, agent)
    if not insert_new(connection, pushes, {"source": source, "at": at, "part": body.part}):
        return False
    for name in LISTS:
        if name in body.model_fields_set:
            _keep(connection, body, name, cluster, agent)
    here = select(func.count()).select_from(pushes).where(pushes.c.source == source, pushes.c.at == at)
    if connection.execute(here).scalar_one() >= body.parts:
        _complete(connection, cluster, agent, at)
    incidents.count(connection, body, cluster)
    return True


def _current(name: str, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Of complete rows, by time and agent, those of the newest push: of each agent, or of any."""
    newest = {row.agent if name in _OF_EACH_AGENT else "": (row.at, row.agent) for row in rows}
    return [row for row in rows if (row.at, row.agent) in newest.values()]


def _source(connection: Connection, cluster: str, agent: str) -> int:
    row = {"cluster": cluster, "agent": agent}
    insert_new(connection, push_sources, row)
    mine = select(push_sources.c.id).where(push_sources.c.cluster == cluster, push_sources.c.agent == agent)
    return int(connection.execute(mine).scalar_one())


def _keep(connection: Connection, body: PushBody, name: str, cluster: str, agent: str) -> None:
    """Add one part of a list, unless a newer state is there."""
    at = to_micros(body.timestamp)
    newer = [*_rivals(name, cluster, agent), observed.c.complete, observed.c.at > at]
    if connection.execute(select(observed.c.at).where(*newer).limit(1)).first():
        return
    items = body.model_dump(mode="json", include={name})[name]
    packed = zlib.compress(json.dumps(items, separators=(",", ":")).encode(), 1)
    row = {"cluster": cluster, "list": name, "agent": agent, "at": at, "part": body.part, "complete": False}
    connection.execute(insert_into(connection, observed).values(**row, body=packed))


def _complete(connection: Connection, cluster: str, agent: str, at: int) -> None:
    """All parts of a timestamp are there: the lists in them are the state now, and what they replace goes."""
    mine = (observed.c.cluster == cluster, observed.c.agent == agent, observed.c.at == at)
    connection.execute(update(observed).where(*mine).values(complete=True))
    for (name,) in connection.execute(select(observed.c.list).where(*mine).distinct()).all():
        connection.execute(delete(observed).where(*_rivals(name, cluster, agent), observed.c.at < at))


def _rivals(name: str, cluster: str, agent: str) -> list[ColumnElement[bool]]:
    """The rows that are about the same thing as this agent's list."""
    rows = [observed.c.cluster == cluster, observed.c.list == name]
    return [*rows, observed.c.agent == agent] if name in _OF_EACH_AGENT else rows
