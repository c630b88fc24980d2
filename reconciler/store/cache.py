"""What can be computed again but takes long: bytes by key, the least recently used dropped first."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, Engine, bindparam, delete, func, select, update

from reconciler.store.tables import cache
from reconciler.store.transactions import chunks_of, execute_many, reading, upsert_into, writing

MAX_BYTES = 256 * 1024**2


class CacheStore:
    """Bounded by the sum of the values' sizes. One instance a process and thread."""

    def __init__(self, engine: Engine, *, max_bytes: int = MAX_BYTES) -> None:
        self._engine = engine
        self._max_bytes = max_bytes
        self._read: set[str] = set()

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The values that are there. Only reads: what was used is written down with the next :meth:`put_many`."""
        found: dict[str, bytes] = {}
        with reading(self._engine) as connection:
            for some in chunks_of(keys):
                query = select(cache.c.key, cache.c.value).where(cache.c.key.in_(some))
                found.update((key, body) for key, body in connection.execute(query))
        self._read.update(found)
        return found

    def put_many(self, values: Mapping[str, bytes]) -> None:
        """Keep values; a value above the whole bound is not kept."""
        with writing(self._engine) as connection:
            newest = connection.execute(select(func.coalesce(func.max(cache.c.used), 0) + 1)).scalar_one()
            touch = update(cache).where(cache.c.key == bindparam("touched")).values(used=newest)
            execute_many(connection, touch, [{"touched": key} for key in sorted(self._read - values.keys())])
            rows = [
                {"key": key, "value": value, "size": len(value), "used": newest}
                for key, value in sorted(values.items())
                if len(value) <= self._max_bytes
            ]
            execute_many(connection, upsert_into(connection, cache), rows)
            self._evict(connection)
        self._read.clear()

    def _evict(self, connection: Connection) -> None:
        total = connection.execute(select(func.coalesce(func.sum(cache.c.size), 0))).scalar_one()
        if total <= self._max_bytes:
            return
        oldest_first = select(cache.c.key, cache.c.size).order_by(cache.c.used, cache.c.key)
        dropped = []
        for key, size in connection.execute(oldest_first):
            if total <= self._max_bytes:
                break
            dropped.append(key)
            total -= size
        for some in chunks_of(dropped):
            connection.execute(delete(cache).where(cache.c.key.in_(some)))
