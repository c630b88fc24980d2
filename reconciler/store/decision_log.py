"""The decision log: rows are added and read, never changed; the database's own triggers refuse that too."""

from collections.abc import Iterable

from sqlalchemy import Engine, func, select

from reconciler.model.log import DecisionRow
from reconciler.store.instants import from_micros, to_micros
from reconciler.store.tables import decision_log
from reconciler.store.transactions import execute_many, insert_into, reading, writing


class DecisionLog:
    """Append-only rows of all fleets."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def append(self, rows: Iterable[DecisionRow]) -> None:
        """Add rows, in order; their ids are given here. A decision (by its id) that already has a row for the same action
        is not added again, so that whoever logs after a crash need not know what was logged before it.
        """
        values = [{**row.model_dump(exclude={"id"}), "ts": to_micros(row.ts)} for row in rows]
        with writing(self._engine) as connection:
            execute_many(connection, insert_into(connection, decision_log).on_conflict_do_nothing(), values)

    def append_once(self, fleet: str, rows: Iterable[DecisionRow]) -> None:
        """:meth:`append` for one fleet, whatever ``fleet`` the rows say."""
        self.append([row.model_copy(update={"fleet": fleet}) for row in rows])

    def newest(self, fleet: str) -> dict[str, DecisionRow]:
        """The newest row of each policy, by policy id."""
        last = (
            select(func.max(decision_log.c.id)).where(decision_log.c.fleet == fleet).group_by(decision_log.c.policy_id)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(select(decision_log).where(decision_log.c.id.in_(last))).mappings()
            found = [DecisionRow.model_validate({**row, "ts": from_micros(row["ts"])}) for row in rows]
        return {row.policy_id: row for row in found}

    def recent(self, fleet: str, policy_id: str | None = None, limit: int = 100) -> tuple[DecisionRow, ...]:
        """The newest rows first, of all policies or of one."""
        query = select(decision_log).where(decision_log.c.fleet == fleet)
        if policy_id is not None:
            query = query.where(decision_log.c.policy_id == policy_id)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(decision_log.c.id.desc()).limit(limit)).mappings()
            return tuple(DecisionRow.model_validate({**row, "ts": from_micros(row["ts"])}) for row in rows)
