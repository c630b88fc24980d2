"""Heartbeats of the reconciler and of agents, by cluster."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Engine, RowMapping, delete, func, select

from reconciler.model.run import Heartbeat
from reconciler.store.instants import from_micros, to_micros
from reconciler.store.tables import heartbeats
from reconciler.store.transactions import execute_many, reading, upsert_into, writing

_COLUMNS = ("organization", "cluster", "controller")


class HeartbeatStore:
    """One row a cluster, controller and instant, until it is forgotten."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def beat(self, heartbeats_now: Sequence[Heartbeat]) -> None:
        """Add heartbeats; one of the same cluster, controller and instant takes the place of the one before."""
        rows = [
            {**{name: getattr(beat, name) for name in _COLUMNS}, "at": to_micros(beat.at), "body": _body(beat)}
            for beat in heartbeats_now
        ]
        with writing(self._engine) as connection:
            execute_many(connection, upsert_into(connection, heartbeats), rows)

    def list(
        self,
        organization: str,
        *,
        cluster: str = "",
        start: datetime | None = None,
        end: datetime | None = None,
        clusters: Collection[str] | None = None,
        limit: int = 0,
        offset: int = 0,
    ) -> tuple[Heartbeat, ...]:
        """The newest first. ``start`` and ``end`` are both within; None = open. ``cluster`` empty = of all clusters;
        ``clusters``: only of these (None = no matter). ``limit`` 0 = all."""
        query = select(heartbeats).where(heartbeats.c.organization == organization)
        query = query.where(heartbeats.c.cluster == cluster) if cluster else query
        query = query.where(heartbeats.c.cluster.in_(clusters)) if clusters is not None else query
        query = query.where(heartbeats.c.at >= to_micros(start)) if start is not None else query
        query = query.where(heartbeats.c.at <= to_micros(end)) if end is not None else query
        query = query.order_by(heartbeats.c.at.desc(), heartbeats.c.cluster, heartbeats.c.controller)
        query = query.limit(limit) if limit else query
        query = query.offset(offset) if offset else query
        with reading(self._engine) as connection:
            return tuple(_heartbeat(row) for row in connection.execute(query).mappings())

    def latest(self, organization: str, clusters: Collection[str] | None = None) -> dict[str, datetime]:
        """When each cluster was last heard of, by cluster. ``clusters``: only of these (None = no matter)."""
        theirs = heartbeats.c.organization == organization
        # From one cluster to the next along the index, however many heartbeats lie in between.
        cluster = select(func.min(heartbeats.c.cluster).label("name")).where(theirs).cte("cluster", recursive=True)
        later = select(func.min(heartbeats.c.cluster)).where(theirs, heartbeats.c.cluster > cluster.c.name)
        cluster = cluster.union_all(
            select(later.correlate(cluster).scalar_subquery()).select_from(cluster).where(cluster.c.name.is_not(None))
        )
        newest = select(func.max(heartbeats.c.at)).where(theirs, heartbeats.c.cluster == cluster.c.name)
        query = select(cluster.c.name, newest.correlate(cluster).scalar_subquery())
        query = query.where(cluster.c.name.is_not(None)).order_by(cluster.c.name)
        with reading(self._engine) as connection:
            found = {name: from_micros(at) for name, at in connection.execute(query)}
        return {name: at for name, at in found.items() if clusters is None or name in clusters}

    def forget(self, before: datetime) -> int:
        """Drop the heartbeats of every organization that are older than ``before``: how many there were."""
        old = delete(heartbeats).where(heartbeats.c.at < to_micros(before))
        with writing(self._engine) as connection:
            return connection.execute(old).rowcount


def _body(beat: Heartbeat) -> str:
    return beat.model_dump_json(include={"status", "version", "actions_processed"}, by_alias=True)


def _heartbeat(row: RowMapping) -> Heartbeat:
    columns = {name: row[name] for name in _COLUMNS}
    return Heartbeat.model_validate(json.loads(row["body"]) | columns | {"at": from_micros(row["at"])})
