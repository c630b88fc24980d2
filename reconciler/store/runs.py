"""Runs of action configs and the actions in them."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Executable,
    RowMapping,
    Select,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)

from reconciler.model.run import Outcome, Run, RunAction
from reconciler.store.instants import from_micros, to_micros
from reconciler.store.tables import action_runs, run_actions
from reconciler.store.transactions import chunks_of, execute_many, insert_into, reading, writing

_PENDING: Outcome = "pending"
_FAILURE: Outcome = "failure"
_COLUMNS = frozenset(column.name for column in run_actions.columns)
_COMPLETE = (
    update(run_actions)
    .where(run_actions.c.id == bindparam("which"))
    .values({name: bindparam(name) for name in ("outcome", "completed_at", "change_id", "body")})
)


class RunStore:
    """What was recommended in which window opening, and what became of it. Counts are never stored, but counted."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, run: Run, actions: Sequence[RunAction]) -> None:
        """A run as it begins or goes on, with the actions that were found in it this time. May be told again.

        The earliest start stays. An action that is still pending takes the new parameters and change. One that was completed
        is pending again when another change carries it: one that has succeeded only if nothing holds that change, so that
        what was done is not forgotten over what may never come. Actions that are not among ``actions`` stay as they are.
        """
        ordered = sorted(actions, key=lambda action: action.id)
        with writing(self._engine) as connection:
            connection.execute(_earliest(connection), _run_row(run))
            for held in (False, True):
                rows = [_row(action) for action in ordered if bool(action.errors) is held]
                execute_many(connection, _newest(connection, over_success=not held), rows)

    def pending(self, fleet: str) -> tuple[RunAction, ...]:
        """The actions of a fleet repo that nothing is known of yet, the oldest first."""
        mine = (run_actions.c.fleet == fleet, run_actions.c.outcome == _PENDING)
        query = select(run_actions).where(*mine).order_by(run_actions.c.created_at, run_actions.c.id)
        with reading(self._engine) as connection:
            return tuple(_action(row) for row in connection.execute(query).mappings())

    def complete(self, actions: Sequence[RunAction]) -> int:
        """Write down what became of ``actions``: how many of them were still pending, and are completed now.

        What was completed before stays as it is, so that it can be told twice.

        :raises ValueError: when one of them has no outcome, or no instant at which it was completed.
        """
        if open_still := [one.id for one in actions if one.outcome == _PENDING or one.completed_at is None]:
            raise ValueError(f"not completed: {', '.join(open_still)}")
        rows = {action.id: _row(action) for action in actions}
        with writing(self._engine) as connection:
            waiting = _still_pending(connection, sorted(rows))
            execute_many(connection, _COMPLETE, [{"which": one, **rows[one]} for one in waiting])
        return len(waiting)

    def completed(
        self,
        organization: str,
        *,
        since: datetime,
        until: datetime,
        action: str = "",
        outcome: str = "",
        cluster: str = "",
        clusters: Collection[str] | None = None,
        limit: int = 0,
        offset: int = 0,
    ) -> tuple[int, tuple[RunAction, ...]]:
        """Actions that were completed at ``since`` or later and before ``until``, the newest first; and how many there are.

        ``action``, ``outcome`` and ``cluster`` narrow it; empty = all. ``clusters``: only those of these (None = no matter).
        ``limit`` 0 = all of them; the number is that before ``limit`` and ``offset``.
        """
        at = run_actions.c.completed_at
        query = select(run_actions).where(run_actions.c.organization == organization, *_between(at, since, until))
        for column, wanted in ((run_actions.c.action, action), (run_actions.c.outcome, outcome)):
            query = query.where(column == wanted) if wanted else query
        query = query.where(*_within(cluster, clusters))
        with reading(self._engine) as connection:
            total = _count(connection, query)
            page = _paged(query.order_by(at.desc(), run_actions.c.id.desc()), limit, offset)
            return total, tuple(_action(row) for row in connection.execute(page).mappings())

    def runs(
        self,
        organization: str,
        *,
        since: datetime,
        until: datetime,
        run_id: str = "",
        clusters: Collection[str] | None = None,
        limit: int = 0,
        offset: int = 0,
    ) -> tuple[int, tuple[Run, ...]]:
        """Runs of which any part lies at ``since`` or later and before ``until``, the newest first; and how many there are.

        A run lasts from its start until its last action was completed, and goes on while one is pending. With ``clusters``,
        only what is about these is seen of a run, as if there were nothing else in it. ``limit`` as :meth:`completed` has it.
        Three queries, however many runs there are.
        """
        query = _runs(organization, since, until, clusters)
        query = query.where(action_runs.c.id == run_id) if run_id else query
        page = _paged(query.order_by(action_runs.c.started_at.desc(), action_runs.c.id.desc()), limit, offset)
        with reading(self._engine) as connection:
            total = _count(connection, query)
            rows = connection.execute(page).mappings().all()
            counts = {row["run_id"]: row for row in connection.execute(_counts(page, clusters)).mappings()}
        return total, tuple(_run(row, counts[row["id"]]) for row in rows)

    def forget(self, before: datetime) -> int:
        """Drop the runs of every organization in which nothing has happened since ``before``, with their actions: how many."""
        at = func.coalesce(run_actions.c.completed_at, run_actions.c.created_at)
        since = exists().where(run_actions.c.run_id == action_runs.c.id, at >= to_micros(before))
        old = select(action_runs.c.id).where(action_runs.c.started_at < to_micros(before), ~since)
        with writing(self._engine) as connection:
            ids = connection.scalars(old).all()
            for some in chunks_of(ids):
                connection.execute(delete(run_actions).where(run_actions.c.run_id.in_(some)))
                connection.execute(delete(action_runs).where(action_runs.c.id.in_(some)))
        return len(ids)

    def processed(self, organization: str) -> dict[str, int]:
        """How many actions were completed, and are not forgotten, by cluster."""
        query = (
            select(run_actions.c.cluster, func.count())
            .where(run_actions.c.organization == organization, run_actions.c.completed_at.is_not(None))
            .group_by(run_actions.c.cluster)
        )
        with reading(self._engine) as connection:
            return {cluster: int(number) for cluster, number in connection.execute(query)}


def _earliest(connection: Connection) -> Executable:
    insert = insert_into(connection, action_runs)
    earlier = case(
        (insert.excluded.started_at < action_runs.c.started_at, insert.excluded.started_at),
        else_=action_runs.c.started_at,
    )
    return insert.on_conflict_do_update(index_elements=["id"], set_={"started_at": earlier})


def _newest(connection: Connection, *, over_success: bool) -> Executable:
    insert = insert_into(connection, run_actions)
    new = {name: insert.excluded[name] for name in ("change_id", "outcome", "completed_at", "body")}
    again = insert.excluded.change_id.not_in([run_actions.c.change_id, ""])
    may = again if over_success else and_(run_actions.c.outcome == _FAILURE, again)
    return insert.on_conflict_do_update(
        index_elements=["id"], set_=new, where=or_(run_actions.c.outcome == _PENDING, may)
    )


def _still_pending(connection: Connection, ids: Sequence[str]) -> list[str]:
    """Locked, so that nobody else completes them meanwhile."""
    found: list[str] = []
    for some in chunks_of(ids):
        query = select(run_actions.c.id).where(run_actions.c.id.in_(some), run_actions.c.outcome == _PENDING)
        found += connection.scalars(query.order_by(run_actions.c.id).with_for_update())
    return found


def _runs(
    organization: str, since: datetime, until: datetime, clusters: Collection[str] | None
) -> Select[tuple[Any, ...]]:
    """The query of the runs with a part in the window, and an action that is to be seen."""
    # From one end of an index of actions, instead of looking at all actions of every run there ever was.
    mine = select(run_actions.c.run_id).where(run_actions.c.organization == organization, *_within("", clusters))
    going_on = mine.where(run_actions.c.completed_at.is_(None))
    ended_since = mine.where(run_actions.c.completed_at >= to_micros(since))
    begun_since = action_runs.c.started_at >= to_micros(since)
    return select(action_runs).where(
        action_runs.c.organization == organization,
        action_runs.c.started_at < to_micros(until),
        or_(begun_since, action_runs.c.id.in_(going_on), action_runs.c.id.in_(ended_since)),
        exists().where(run_actions.c.run_id == action_runs.c.id, *_within("", clusters)),
    )


def _counts(page: Select[tuple[Any, ...]], clusters: Collection[str] | None) -> Select[tuple[Any, ...]]:
    """The query of how many actions of each run on a page have which outcome, and of when the last one was completed."""
    ids = select(page.subquery("page").c.id)
    by_outcome = [
        func.sum(case((run_actions.c.outcome == outcome, 1), else_=0)).label(outcome)
        for outcome in ("success", "failure", _PENDING)
    ]
    return (
        select(run_actions.c.run_id, *by_outcome, func.max(run_actions.c.completed_at).label("last"))
        .where(run_actions.c.run_id.in_(ids), *_within("", clusters))
        .group_by(run_actions.c.run_id)
    )


def _between(column: ColumnElement[int | None], since: datetime, until: datetime) -> tuple[ColumnElement[bool], ...]:
    return column >= to_micros(since), column < to_micros(until)


def _within(cluster: str, clusters: Collection[str] | None) -> list[ColumnElement[bool]]:
    """Of one cluster, and of those that may be seen."""
    asked = [run_actions.c.cluster == cluster] if cluster else []
    return asked + ([run_actions.c.cluster.in_(list(clusters))] if clusters is not None else [])


def _count(connection: Connection, query: Select[tuple[Any, ...]]) -> int:
    return int(connection.scalar(select(func.count()).select_from(query.subquery("found"))) or 0)


def _paged(query: Select[tuple[Any, ...]], limit: int, offset: int) -> Select[tuple[Any, ...]]:
    query = query.limit(limit) if limit else query
    return query.offset(offset) if offset else query


def _run_row(run: Run) -> dict[str, Any]:
    fields = run.model_dump(include={"id", "organization", "fleet", "action_id", "config_name", "action"})
    return fields | {"started_at": to_micros(run.start)}


def _row(action: RunAction) -> dict[str, Any]:
    at = action.completed_at
    values = action.model_dump() | {
        "created_at": to_micros(action.created_at),
        "completed_at": to_micros(at) if at is not None else None,
    }
    body = json.dumps({name: value for name, value in values.items() if name not in _COLUMNS})
    return {name: value for name, value in values.items() if name in _COLUMNS} | {"body": body}


def _action(row: RowMapping) -> RunAction:
    columns = {name: value for name, value in row.items() if name != "body"}
    at = row["completed_at"]
    instants = {
        "created_at": from_micros(row["created_at"]),
        "completed_at": from_micros(at) if at is not None else None,
    }
    return RunAction.model_validate(json.loads(row["body"]) | columns | instants)


def _run(row: RowMapping, counts: RowMapping) -> Run:
    numbers = {outcome: int(counts[outcome]) for outcome in ("success", "failure", _PENDING)}
    columns = {name: value for name, value in row.items() if name != "started_at"}
    end = None if numbers[_PENDING] or counts["last"] is None else from_micros(counts["last"])
    return Run.model_validate({**columns, **numbers, "start": from_micros(row["started_at"]), "end": end})
