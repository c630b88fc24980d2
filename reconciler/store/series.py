"""Usage series and their numbers. A series never changes or goes away, so what was read once stays true."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from reconciler.model.observation import SeriesKey
from reconciler.model.workload import Resource, WorkloadKey
from reconciler.store.tables import usage_series
from reconciler.store.transactions import execute_many, insert_into

Identity = tuple[str, str, str, str, str, str]

_COLUMNS = ("cluster", "namespace", "kind", "name", "container", "resource")
_FIELDS = [usage_series.c[name] for name in _COLUMNS]


class SeriesIndex:
    """Numbers of series, remembered for one process. Only committed series are remembered."""

    def __init__(self) -> None:
        self._ids: dict[str, dict[Identity, int]] = {}
        self._keys: dict[str, dict[int, SeriesKey]] = {}

    def number(self, connection: Connection, series: Sequence[SeriesKey]) -> NDArray[np.int64]:
        """The id of each series; new ones are written.

        The caller has locked the series' clusters against other writers, and has not numbered series of them before
        in the same transaction (it could still be rolled back).
        """
        identities = [_identity(key) for key in series]
        for cluster in {identity[0] for identity in identities}:
            mine = [identity for identity in identities if identity[0] == cluster]
            if not self._knows(cluster, mine):
                self._load(connection, cluster)
        unknown = [identity for identity in identities if identity not in self._ids[identity[0]]]
        written = _write(connection, unknown) if unknown else {}
        ids = [written.get(identity) or self._ids[identity[0]][identity] for identity in identities]
        return np.array(ids, np.int64)

    def of_cluster(self, connection: Connection, cluster: str) -> dict[int, SeriesKey]:
        """Every series of a cluster, by id, ascending."""
        newest = select(func.count()).where(usage_series.c.cluster == cluster)
        if connection.execute(newest).scalar_one() != len(self._keys.get(cluster, {})):
            self._load(connection, cluster)
            self._keys[cluster] = _keys_of(self._ids[cluster])
        return self._keys.get(cluster, {})

    def _knows(self, cluster: str, identities: list[Identity]) -> bool:
        known = self._ids.get(cluster)
        return known is not None and all(identity in known for identity in identities)

    def _load(self, connection: Connection, cluster: str) -> None:
        query = select(usage_series.c.id, *_FIELDS).where(usage_series.c.cluster == cluster).order_by(usage_series.c.id)
        self._ids[cluster] = {tuple(fields): number for number, *fields in connection.execute(query)}


def _identity(key: SeriesKey) -> Identity:
    owner = key.workload
    return owner.cluster, owner.namespace, owner.kind, owner.name, key.container, key.resource


def _keys_of(ids: dict[Identity, int]) -> dict[int, SeriesKey]:
    """Series that share a workload share its key, which halves the memory of twenty thousand of them."""
    owners: dict[tuple[str, ...], WorkloadKey] = {}
    keys = {}
    for (cluster, namespace, kind, name, container, resource), number in ids.items():
        at = (namespace, kind, name)
        if at not in owners:
            owners[at] = WorkloadKey(cluster=cluster, namespace=namespace, kind=kind, name=name)
        keys[number] = SeriesKey(workload=owners[at], container=container, resource=cast(Resource, resource))
    return keys


def _write(connection: Connection, unknown: list[Identity]) -> dict[Identity, int]:
    newest = connection.execute(select(func.coalesce(func.max(usage_series.c.id), 0))).scalar_one()
    statement = insert_into(connection, usage_series).on_conflict_do_nothing()
    execute_many(connection, statement, [dict(zip(_COLUMNS, identity, strict=True)) for identity in unknown])
    clusters = {identity[0] for identity in unknown}
    query = select(usage_series.c.id, *_FIELDS).where(usage_series.c.cluster.in_(clusters), usage_series.c.id > newest)
    return {tuple(fields): number for number, *fields in connection.execute(query)}
