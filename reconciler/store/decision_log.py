"""The decision log: rows are added and read, never changed; the database's own triggers refuse that too."""

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Engine, RowMapping, Select, func, select

from reconciler.model.log import DecisionRow, LogAction
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
        with reading(self._engine) as connection:
            rows = connection.execute(select(decision_log).where(decision_log.c.id.in_(last_ids(fleet)))).mappings()
            found = [_row(row) for row in rows]
        return {row.policy_id: row for row in found}

    def recent(self, fleet: str, policy_id: str | None = None, limit: int = 100) -> tuple[DecisionRow, ...]:
        """The newest rows first, of all policies or of one."""
        return self.newest_of([fleet], None if policy_id is None else [policy_id], limit)

    def newest_of(
        self, fleets: Iterable[str], policy_ids: Collection[str] | None = None, limit: int = 100
    ) -> tuple[DecisionRow, ...]:
        """The newest rows of several fleets, newest first; of all their policies, or of those named.

        Each fleet's are read from the end of an index, however many rows there are.
        """
        found: list[DecisionRow] = []
        with reading(self._engine) as connection:
            for fleet in fleets:
                rows = connection.execute(newest_rows(fleet, policy_ids, limit)).mappings()
                found += [_row(row) for row in rows]
        return tuple(sorted(found, key=lambda row: row.id, reverse=True)[:limit])

    def of_actions(self, fleet: str, actions: Collection[LogAction]) -> tuple[DecisionRow, ...]:
        """Every row of a fleet that says one of ``actions``, the oldest first."""
        mine = (decision_log.c.fleet == fleet, decision_log.c.action.in_(list(actions)))
        with reading(self._engine) as connection:
            rows = connection.execute(select(decision_log).where(*mine).order_by(decision_log.c.id)).mappings()
            return tuple(_row(row) for row in rows)

    def of_decision(self, decision_id: str, action: LogAction) -> DecisionRow | None:
        """The row that says that of a decision (its ULID)."""
        mine = (decision_log.c.decision_id == decision_id, decision_log.c.decision_id != "")
        query = select(decision_log).where(*mine, decision_log.c.action == action)
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
        return _row(row) if row is not None else None


def newest_rows(fleet: str, policy_ids: Collection[str] | None, limit: int) -> Select[tuple[Any, ...]]:
    """The query of one fleet: by (fleet, id), or by (fleet, policy_id, id) where one policy is asked for."""
    query = select(decision_log).where(decision_log.c.fleet == fleet)
    if policy_ids is not None:
        one = next(iter(policy_ids), "") if len(policy_ids) == 1 else None
        query = query.where(
            decision_log.c.policy_id == one if one is not None else decision_log.c.policy_id.in_(list(policy_ids))
        )
    return query.order_by(decision_log.c.id.desc()).limit(limit)


def last_ids(fleet: str) -> Select[tuple[int]]:
    """The query of each policy's newest row: from one policy to the next along the index, whatever lies in between."""
    theirs = decision_log.c.fleet == fleet
    policy = select(func.min(decision_log.c.policy_id).label("id")).where(theirs).cte("policy", recursive=True)
    later = select(func.min(decision_log.c.policy_id)).where(theirs, decision_log.c.policy_id > policy.c.id)
    policy = policy.union_all(
        select(later.correlate(policy).scalar_subquery()).select_from(policy).where(policy.c.id.is_not(None))
    )
    last = select(func.max(decision_log.c.id)).where(theirs, decision_log.c.policy_id == policy.c.id)
    return select(last.correlate(policy).scalar_subquery()).select_from(policy).where(policy.c.id.is_not(None))


def _row(row: RowMapping) -> DecisionRow:
    return DecisionRow.model_validate({**row, "ts": from_micros(row["ts"])})
