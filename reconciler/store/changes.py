"""Changes and decisions on their way to Git, and the one id that a decision keeps until its change is closed."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, delete, exists, select, update

from reconciler.errors import RetryLater
from reconciler.model.change import Change, ChangeState
from reconciler.store.decision_log import DecisionLog
from reconciler.store.instants import from_micros, to_micros
from reconciler.store.tables import changes, decisions, open_decisions
from reconciler.store.transactions import chunks_of, execute_many, insert_into, reading, upsert_into, writing

__all__ = ["OPEN_STATES", "ChangeStore", "DecisionLog"]

OPEN_STATES: tuple[ChangeState, ...] = ("proposed", "held", "prOpen")
_LANDED_STATES: tuple[ChangeState, ...] = ("committed", "merged")


class ChangeStore:
    """Changes by fleet. What a change's files hold is in Git, and is not stored here."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def save(self, change: Change, fleet: str) -> None:
        """Write a change as it is now, in place of what was stored under its id.

        :raises RetryLater: when another process has given one of its open decisions another id (see :meth:`assign`).
        """
        with writing(self._engine) as connection:
            _save(connection, fleet, [change])

    def replace_open(self, fleet: str, current: Sequence[Change]) -> None:
        """Save ``current``; every other open change of the fleet is superseded. All or nothing.

        A change whose decisions have all moved on to others leaves nothing behind.

        :raises RetryLater: as :meth:`save` does.
        """
        with writing(self._engine) as connection:
            before = {row.id for row in connection.execute(select(changes.c.id).where(*_open(fleet)))}
            _save(connection, fleet, current)
            gone = sorted(before - {change.id for change in current})
            emptied = ~exists().where(decisions.c.change_id == changes.c.id)
            for some in chunks_of(gone):
                connection.execute(delete(changes).where(changes.c.id.in_(some), emptied))
                connection.execute(update(changes).where(changes.c.id.in_(some)).values(state="superseded"))
                _release(connection, some)

    def open_changes(self, fleet: str) -> tuple[Change, ...]:
        """Changes that are proposed, held or in an open pull request; the oldest first."""
        with reading(self._engine) as connection:
            return _read(connection, *_open(fleet))

    def find(self, change_id: str) -> Change | None:
        with reading(self._engine) as connection:
            return next(iter(_read(connection, changes.c.id == change_id)), None)

    def by_commit(self, sha: str) -> Change | None:
        """The change that landed as a commit (its full id)."""
        with reading(self._engine) as connection:
            return next(iter(_read(connection, changes.c.commit == sha)), None) if sha else None

    def list(self, fleet: str, states: Iterable[ChangeState] = (), limit: int = 100) -> tuple[Change, ...]:
        """The newest changes first, in any of ``states`` (none = all)."""
        wanted = [changes.c.fleet == fleet]
        if states := tuple(states):
            wanted.append(changes.c.state.in_(states))
        newest = select(changes.c.id).where(*wanted).order_by(changes.c.id.desc()).limit(limit)
        with reading(self._engine) as connection:
            return _read(connection, changes.c.id.in_(newest))[::-1]

    def mark(self, change_id: str, state: ChangeState, commit: str = "", *, at: datetime) -> bool:
        """Note that a change is in another state since ``at``, and as which commit it landed.

        Once a change is closed, its decisions' ids are free. False when there is no such change.
        """
        new: dict[str, Any] = {"state": state, "at": to_micros(at)}
        if commit:
            new["commit"] = commit
        with writing(self._engine) as connection:
            known = connection.execute(update(changes).where(changes.c.id == change_id).values(new)).rowcount == 1
            if state in _LANDED_STATES:
                first = (changes.c.id == change_id, changes.c.landed_at.is_(None))
                connection.execute(update(changes).where(*first).values(landed_at=new["at"]))
            if state not in OPEN_STATES:
                _release(connection, [change_id])
        return known

    def committed_since(
        self, fleet: str, now: datetime, *, within: timedelta = timedelta(hours=1)
    ) -> tuple[datetime, ...]:
        """When changes landed in the time ``within`` up to ``now``, ascending: what an hourly budget counts."""
        landed = changes.c.landed_at
        between = (landed > to_micros(now - within), landed <= to_micros(now))
        query = select(landed).where(changes.c.fleet == fleet, *between).order_by(landed)
        with reading(self._engine) as connection:
            return tuple(from_micros(at) for (at,) in connection.execute(query))

    def decision_ids(self, fleet: str, fingerprints: Iterable[str]) -> dict[str, str]:
        """The ids of open decisions, by fingerprint."""
        wanted = set(fingerprints)
        with reading(self._engine) as connection:
            return _ids(connection, fleet, wanted)

    def change_ids(self, decision_ids: Iterable[str]) -> dict[str, str]:
        """The open changes that decisions were last saved in, by the decision's id."""
        found: dict[str, str] = {}
        query = select(decisions.c.id, decisions.c.change_id).join(changes, changes.c.id == decisions.c.change_id)
        with reading(self._engine) as connection:
            for some in chunks_of(decision_ids):
                mine = query.where(decisions.c.id.in_(some), changes.c.state.in_(OPEN_STATES))
                found.update({row.id: row.change_id for row in connection.execute(mine)})
        return found

    def assign(self, fleet: str, candidates: Mapping[str, str]) -> dict[str, str]:
        """Agree on the ids of decisions: the one that is stored for a fingerprint, else its candidate, stored from now on.

        Processes that assign at once get the same answer. An id stays until the change that it is saved in is closed.
        """
        with writing(self._engine) as connection:
            _claim(connection, fleet, candidates)
            return _ids(connection, fleet, candidates.keys())


def _open(fleet: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return changes.c.fleet == fleet, changes.c.state.in_(OPEN_STATES)


def _save(connection: Connection, fleet: str, current: Sequence[Change]) -> None:
    execute_many(
        connection,
        upsert_into(connection, changes, keep=["landed_at"]),
        [_change_row(fleet, change) for change in current],
    )
    rows = [row for change in current for row in _decision_rows(change)]
    execute_many(connection, upsert_into(connection, decisions), rows)
    kept = {row["id"] for row in rows}
    for some in chunks_of(change.id for change in current):
        stored = connection.execute(select(decisions.c.id).where(decisions.c.change_id.in_(some)))
        dropped = sorted({row.id for row in stored} - kept)
        for ids in chunks_of(dropped):
            connection.execute(delete(open_decisions).where(open_decisions.c.decision_id.in_(ids)))
            connection.execute(delete(decisions).where(decisions.c.id.in_(ids)))
    closed = {change.id for change in current if change.state not in OPEN_STATES}
    _release(connection, sorted(closed))
    claims = {row["fingerprint"]: row["id"] for row in rows if row["change_id"] not in closed}
    _claim(connection, fleet, claims)
    if _ids(connection, fleet, claims.keys()) != claims:
        raise RetryLater("another process is deciding the same thing", after_seconds=5)


def _change_row(fleet: str, change: Change) -> dict[str, Any]:
    return {
        "id": change.id,
        "fleet": fleet,
        "state": change.state,
        "commit": change.commit,
        "at": max((to_micros(decision.at) for decision in change.decisions), default=0),
        "body": change.model_dump_json(by_alias=True, exclude={"decisions", "files", "state", "commit"}),
    }


def _decision_rows(change: Change) -> list[dict[str, Any]]:
    return [
        {
            "id": decision.id,
            "change_id": change.id,
            "position": position,
            "fingerprint": decision.proposal.fingerprint,
            "body": decision.model_dump_json(by_alias=True),
        }
        for position, decision in enumerate(change.decisions)
    ]


def _claim(connection: Connection, fleet: str, ids: Mapping[str, str]) -> None:
    rows = [
        {"fleet": fleet, "fingerprint": fingerprint, "decision_id": ids[fingerprint]} for fingerprint in sorted(ids)
    ]
    execute_many(connection, insert_into(connection, open_decisions).on_conflict_do_nothing(), rows)


def _release(connection: Connection, change_ids: Sequence[str]) -> None:
    for some in chunks_of(change_ids):
        theirs = select(decisions.c.id).where(decisions.c.change_id.in_(some))
        connection.execute(delete(open_decisions).where(open_decisions.c.decision_id.in_(theirs)))


def _ids(connection: Connection, fleet: str, fingerprints: Iterable[str]) -> dict[str, str]:
    query = select(open_decisions.c.fingerprint, open_decisions.c.decision_id)
    found: dict[str, str] = {}
    for some in chunks_of(fingerprints):
        rows = connection.execute(query.where(open_decisions.c.fleet == fleet, open_decisions.c.fingerprint.in_(some)))
        found.update((fingerprint, known) for fingerprint, known in rows)
    return found


def _read(connection: Connection, *wanted: ColumnElement[bool]) -> tuple[Change, ...]:
    """Changes by id, ascending, with their decisions."""
    rows = connection.execute(select(changes).where(*wanted).order_by(changes.c.id)).all()
    bodies: dict[str, list[str]] = {row.id: [] for row in rows}
    for some in chunks_of(bodies):
        query = select(decisions.c.change_id, decisions.c.body).where(decisions.c.change_id.in_(some))
        for change_id, body in connection.execute(query.order_by(decisions.c.change_id, decisions.c.position)):
            bodies[change_id].append(body)
    return tuple(_change(row, bodies[row.id]) for row in rows)


def _change(row: Row[Any], bodies: Sequence[str]) -> Change:
    """Both kinds of body are JSON, so that one validation reads a change of ten thousand decisions."""
    change = Change.model_validate_json(f'{row.body[:-1]},"decisions":[{",".join(bodies)}]}}')
    return change.model_copy(update={"state": row.state, "commit": row.commit})
