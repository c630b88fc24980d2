"""Small states of a fleet: the last commit that was scanned, the key of each root's last good build."""

from collections.abc import Mapping

from sqlalchemy import Engine, select

from reconciler.store.tables import marks
from reconciler.store.transactions import execute_many, reading, upsert_into, writing


class MarkStore:
    """Values by fleet and name."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, fleet: str, name: str) -> str | None:
        query = select(marks.c.value).where(marks.c.fleet == fleet, marks.c.name == name)
        with reading(self._engine) as connection:
            return connection.execute(query).scalar()

    def every(self, fleet: str, prefix: str) -> dict[str, str]:
        """All marks whose name begins with ``prefix``, by full name."""
        query = select(marks.c.name, marks.c.value).where(
            marks.c.fleet == fleet, marks.c.name.startswith(prefix, autoescape=True)
        )
        with reading(self._engine) as connection:
            return dict(connection.execute(query).all())

    def set(self, fleet: str, name: str, value: str) -> None:
        self.set_many(fleet, {name: value})

    def set_many(self, fleet: str, values: Mapping[str, str]) -> None:
        rows = [{"fleet": fleet, "name": name, "value": value} for name, value in values.items()]
        with writing(self._engine) as connection:
            execute_many(connection, upsert_into(connection, marks), rows)
