"""Forgetting what an agent has pushed."""

from sqlalchemy import Connection, delete, exists, select

from reconciler.store.tables import (
    incidents,
    observed,
    pod_counters,
    push_sources,
    pushes,
    usage_clusters,
    usage_days,
    usage_hours,
    usage_series,
)
from reconciler.store.transactions import lock_cluster

_DAY_BITS = 16
"""A key of usage_days and usage_hours is series id << 16 | day."""


def forget_agent(connection: Connection, cluster: str, agent: str) -> None:
    """Erase an agent's pushes and state; the cluster's history, too, when nobody else has pushed any of it."""
    lock_cluster(connection, cluster)
    sources = select(push_sources.c.id).where(push_sources.c.cluster == cluster, push_sources.c.agent == agent)
    connection.execute(delete(pushes).where(pushes.c.source.in_(sources)))
    connection.execute(delete(push_sources).where(push_sources.c.cluster == cluster, push_sources.c.agent == agent))
    connection.execute(delete(observed).where(observed.c.cluster == cluster, observed.c.agent == agent))
    others = select(exists().where(push_sources.c.cluster == cluster))
    if not connection.execute(others).scalar():
        _forget_history(connection, cluster)


def _forget_history(connection: Connection, cluster: str) -> None:
    ids = select(usage_series.c.id).where(usage_series.c.cluster == cluster)
    for table in (usage_days, usage_hours):
        mine = table.c.key.between(usage_series.c.id << _DAY_BITS, ((usage_series.c.id + 1) << _DAY_BITS) - 1)
        connection.execute(delete(table).where(exists().where(usage_series.c.id.in_(ids), mine)))
    for table in (usage_series, usage_clusters, incidents, pod_counters):
        connection.execute(delete(table).where(table.c.cluster == cluster))
