"""Forgetting what an agent has pushed."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from sqlalchemy import Connection, bindparam, delete, exists, select

from reconciler.store.tables import (
    incidents,
    observed,
    pod_counters,
    push_sources,
    pushes,
    recent_incidents,
    usage_clusters,
    usage_days,
    usage_hours,
    usage_series,
)
from reconciler.store.transactions import execute_many, lock_clusters
from reconciler.store.usage_rows import LAST_DAY

_DAYS = LAST_DAY + 1
"""A key of usage_days and usage_hours is series id × this + day."""


def forget_agent(connection: Connection, cluster: str, agent: str) -> None:
    """Erase an agent's pushes and state; the history of each of its clusters, too, when nobody else has recorded any of it.

    ``cluster`` is what the agent is observed as now; it may have pushed under other keys before. Usage is kept by cluster,
    not by who pushed it: what several have recorded stays whole until the last of them goes. The names of series stay:
    every process remembers their numbers, and a number must never mean another series.
    """
    mine = select(push_sources.c.cluster).where(push_sources.c.agent == agent)
    lock_clusters(connection, {cluster, *connection.execute(mine).scalars()})
    for name in sorted(connection.execute(mine).scalars()):
        _forget_pushes(connection, name, agent)
        others = select(exists().where(push_sources.c.cluster == name))
        if not connection.execute(others).scalar():
            _forget_history(connection, name)


def _forget_pushes(connection: Connection, cluster: str, agent: str) -> None:
    mine = (push_sources.c.cluster == cluster, push_sources.c.agent == agent)
    source = select(push_sources.c.id).where(*mine).scalar_subquery()
    connection.execute(delete(pushes).where(pushes.c.source == source))
    connection.execute(delete(push_sources).where(*mine))
    connection.execute(delete(observed).where(observed.c.cluster == cluster, observed.c.agent == agent))


def _forget_history(connection: Connection, cluster: str) -> None:
    ids = select(usage_series.c.id).where(usage_series.c.cluster == cluster).order_by(usage_series.c.id)
    ranges = [
        {"first": first * _DAYS, "last": last * _DAYS + LAST_DAY}
        for first, last in _runs(connection.execute(ids).scalars())
    ]
    for table in (usage_days, usage_hours):
        within = delete(table).where(table.c.key.between(bindparam("first"), bindparam("last")))
        execute_many(connection, within, ranges)
    for other in (usage_clusters, incidents, recent_incidents, pod_counters):
        connection.execute(delete(other).where(other.c.cluster == cluster))


def _runs(ascending: Iterable[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of numbers without a gap: a cluster's series are mostly one."""
    for _, run in groupby(enumerate(ascending), lambda placed: placed[1] - placed[0]):
        numbers = [number for _, number in run]
        yield numbers[0], numbers[-1]
