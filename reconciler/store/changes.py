"""Changes and decisions on their way to Git, and the one id that a decision keeps until its change is closed."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Engine, Executable, Row, case, delete, exists, select, update

from reconciler.errors import RetryLater
from reconciler.model.change import Change, ChangeState
from reconciler.store.decision_body import said
from reconciler.store.decision_log import DecisionLog
from reconciler.store.instants import from_micros, to_micros
from reconciler.store.tables import changes, decisions, open_decisions, verdicts
from reconciler.store.transactions import chunks_of, execute_many, insert_into, reading, upsert_into, writing

__all__ = ["OPEN_STATES", "ChangeStore", "DecisionLog", "Recorded"]

OPEN_STATES: tuple[ChangeState, ...] = ("proposed", "held", "prOpen")
_LANDED_STATES: tuple[ChangeState, ...] = ("committed", "merged")


@dataclass(frozen=True)
class Recorded:
    """A change and what is known about it beside: its fleet, since when it is in its state, and when it landed."""

    change: Change
    fleet: str
    since: datetime
    landed_at: datetime | None


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

        A change whose decisions have all moved on to others leaves nothing behind. One that a person has dismissed since it
        was looked at stays so.

        :raises RetryLater: as :meth:`save` does.
        """
        with writing(self._engine) as connection:
            # Locked, so that nobody rejects a change between our look at it and our writing it down as open.
            before = {row.id for row in connection.execute(select(changes.c.id).where(*_open(fleet)).with_for_update())}
            dismissed = _dismissed(connection, {change.id for change in current} - before)
            current = [change for change in current if change.id not in dismissed]
            _save(connection, fleet, current)
            gone = sorted(before - {change.id for change in current})
            emptied = ~exists().where(decisions.c.change_id == changes.c.id)
            for some in chunks_of(gone):
                connection.execute(delete(changes).where(changes.c.id.in_(some), emptied))
                connection.execute(update(changes).where(changes.c.id.in_(some)).values(state="superseded"))
                release(connection, some)

    def open_changes(self, fleet: str, *, heads: bool = False) -> tuple[Change, ...]:
        """Changes that are proposed, held or in an open pull request; the oldest first. ``heads``: with their first decisions
        only, for a summary."""
        with reading(self._engine) as connection:
            return _read(connection, *_open(fleet), heads=heads)

    def find(self, change_id: str) -> Change | None:
        with reading(self._engine) as connection:
            return next(iter(_read(connection, changes.c.id == change_id)), None)

    def recorded(self, change_id: str) -> Recorded | None:
        """A change with what is known about it beside."""
        with reading(self._engine) as connection:
            return next(iter(_recorded(connection, select(changes).where(changes.c.id == change_id))), None)

    def heads(self, change_ids: Iterable[str]) -> dict[str, Recorded]:
        """Changes by id, with their first decisions only; those that there are."""
        found: dict[str, Recorded] = {}
        with reading(self._engine) as connection:
            for some in chunks_of(change_ids):
                query = select(changes).where(changes.c.id.in_(some))
                found |= {one.change.id: one for one in _recorded(connection, query, heads=True)}
        return found

    def page(
        self,
        fleets: Collection[str],
        *,
        states: Collection[ChangeState] = (),
        clusters: Collection[str] | None = None,
        cluster: str = "",
        policy_id: str = "",
        action_id: str = "",
        before: str = "",
        limit: int = 100,
        heads: bool = False,
    ) -> tuple[Recorded, ...]:
        """The newest changes of some fleets first. Two queries, however many there are.

        ``before``: only those older than the change with this id. ``clusters``: only those that are about nothing but these
        (None = no matter). ``states``, ``cluster``, ``policy_id``, ``action_id`` narrow it further; empty = all.
        ``heads``: with their first decisions only.
        """
        query = select(changes).where(changes.c.fleet.in_(list(fleets)))
        if states:
            query = query.where(changes.c.state.in_(list(states)))
        if before:
            query = query.where(changes.c.id < before)
        with reading(self._engine) as connection:
            mine = decisions.c.change_id == changes.c.id
            place, kind, subject = (
                said(connection, "proposal", *path) for path in (("cluster",), ("subject", "kind"), ("subject", "id"))
            )
            if clusters is not None:
                query = query.where(~exists().where(mine, place.not_in(list(clusters))))
            if cluster:
                query = query.where(exists().where(mine, place == cluster))
            for wanted, name in ((policy_id, "policy"), (action_id, "action")):
                if wanted:
                    first = decisions.c.position == 0  # all decisions of a change have one subject
                    query = query.where(exists().where(mine, first, kind == name, subject == wanted))
            return _recorded(connection, query.order_by(changes.c.id.desc()).limit(limit), heads=heads)

    def states(self, fleet: str) -> dict[str, tuple[ChangeState, str, datetime]]:
        """Of every change of a fleet, by id: its state, the commit it landed as (or empty), and since when it is so."""
        query = select(changes.c.id, changes.c.state, changes.c.commit, changes.c.at).where(changes.c.fleet == fleet)
        with reading(self._engine) as connection:
            return {row.id: (row.state, row.commit, from_micros(row.at)) for row in connection.execute(query)}

    def paths(self, change_ids: Iterable[str]) -> dict[str, frozenset[str]]:
        """The files that the decisions of changes edit, by the change's id."""
        found: dict[str, frozenset[str]] = {}
        with reading(self._engine) as connection:
            for some in chunks_of(change_ids):
                for change in _read(connection, changes.c.id.in_(some)):
                    edits = (edit for decision in change.decisions for edit in decision.proposal.edits)
                    found[change.id] = frozenset(edit.path for edit in edits)
        return found

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
                _spend(connection, change_id)
            if state not in OPEN_STATES:
                release(connection, [change_id])
        return known

    def came_out(
        self,
        change_id: str,
        state: Literal["applied", "failed"],
        *,
        failure: str = "",
        healthy: bool = False,
        at: datetime,
    ) -> bool:
        """Note what became of a change that has landed; one that was reverted meanwhile stays so. False when nothing changed.

        ``healthy``: what it asked for runs, and is known to be healthy, too.
        """
        landed = (changes.c.id == change_id, changes.c.state.in_((*_LANDED_STATES, "applied", "failed")))
        with writing(self._engine) as connection:
            row = connection.execute(select(changes).where(*landed).with_for_update()).one_or_none()
            body = json.loads(row.body) if row is not None else {}
            if row is None or (row.state, body.get("failure", "")) == (state, failure):
                return False
            body["failure"] = failure
            for name in ("appliedAt", "syncedAt", *(["healthyAt"] if healthy else [])) if state == "applied" else ():
                body[name] = body.get(name) or at.isoformat()
            new = {"state": state, "at": to_micros(at), "body": json.dumps(body)}
            connection.execute(update(changes).where(changes.c.id == change_id).values(new))
        return True

    def prove(self, change: Change, *, at: datetime) -> bool:
        """Write what is known of how a change that has landed came out: its state, failure, proof and instants.

        One that was reverted meanwhile stays so, and its instants are kept all the same. False when it has not landed.
        """
        known = {"failure", "applied_at", "synced_at", "healthy_at", "proof"}
        said = change.model_dump(mode="json", by_alias=True, include=known)
        landed = (changes.c.id == change.id, changes.c.state.in_((*_LANDED_STATES, "applied", "failed", "reverted")))
        with writing(self._engine) as connection:
            row = connection.execute(select(changes).where(*landed).with_for_update()).one_or_none()
            if row is None:
                return False
            new: dict[str, Any] = {"body": json.dumps({**json.loads(row.body), **said})}
            if row.state not in ("reverted", change.state):
                new |= {"state": change.state, "at": to_micros(at)}
            connection.execute(update(changes).where(changes.c.id == change.id).values(new))
        return True

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
    execute_many(connection, _upsert_changes(connection), [_change_row(fleet, change) for change in current])
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
    release(connection, sorted(closed))
    claims = {row["fingerprint"]: row["id"] for row in rows if row["change_id"] not in closed}
    _claim(connection, fleet, claims)
    if _ids(connection, fleet, claims.keys()) != claims:
        raise RetryLater("another process is deciding the same thing", after_seconds=5)


def _upsert_changes(connection: Connection) -> Executable:
    """``at`` is since when a change is in its state: saving it again in the same state leaves that."""
    insert = insert_into(connection, changes)
    new = insert.excluded
    since = case((changes.c.state == new.state, changes.c.at), else_=new["at"])
    given = {name: new[name] for name in ("fleet", "state", "commit", "body")}
    return insert.on_conflict_do_update(index_elements=["id"], set_={**given, "at": since})


def _dismissed(connection: Connection, ids: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for some in chunks_of(sorted(ids)):
        gone = (changes.c.id.in_(some), changes.c.state == "dismissed")
        found.update(row.id for row in connection.execute(select(changes.c.id).where(*gone)))
    return found


def _spend(connection: Connection, change_id: str) -> None:
    """An approval is good for one landing: what was approved is on record with the change that landed, and no more stands."""
    theirs = select(decisions.c.fingerprint).where(decisions.c.change_id == change_id)
    fleet = select(changes.c.fleet).where(changes.c.id == change_id).scalar_subquery()
    standing = (verdicts.c.fleet == fleet, verdicts.c.fingerprint.in_(theirs), verdicts.c.verdict == "approved")
    here = verdicts.alias()
    same = (here.c.fleet == verdicts.c.fleet, here.c.fingerprint == verdicts.c.fingerprint)
    elsewhere = ~exists().where(*same, here.c.change_id == change_id)
    connection.execute(update(verdicts).where(*standing, elsewhere).values(change_id=change_id))
    connection.execute(update(verdicts).where(*standing).values(verdict="spent"))


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


def release(connection: Connection, change_ids: Sequence[str]) -> None:
    """Free the ids of the decisions of changes that are closed."""
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


def _read(connection: Connection, *wanted: ColumnElement[bool], heads: bool = False) -> tuple[Change, ...]:
    """Changes by id, ascending, with their decisions."""
    rows = connection.execute(select(changes).where(*wanted).order_by(changes.c.id)).all()
    bodies = _bodies(connection, [row.id for row in rows], heads=heads)
    return tuple(_change(row, bodies[row.id]) for row in rows)


def _recorded(connection: Connection, query: Executable, *, heads: bool = False) -> tuple[Recorded, ...]:
    rows = connection.execute(query).all()
    bodies = _bodies(connection, [row.id for row in rows], heads=heads)
    return tuple(
        Recorded(
            _change(row, bodies[row.id]),
            row.fleet,
            from_micros(row.at),
            from_micros(row.landed_at) if row.landed_at is not None else None,
        )
        for row in rows
    )


def _bodies(connection: Connection, ids: Sequence[str], *, heads: bool = False) -> dict[str, list[str]]:
    """The decisions of changes, as JSON, in their order."""
    bodies: dict[str, list[str]] = {change_id: [] for change_id in ids}
    for some in chunks_of(ids):
        query = select(decisions.c.change_id, decisions.c.body).where(decisions.c.change_id.in_(some))
        if heads:
            query = query.where(decisions.c.position == 0)
        for change_id, body in connection.execute(query.order_by(decisions.c.change_id, decisions.c.position)):
            bodies[change_id].append(body)
    return bodies


def _change(row: Row[Any], bodies: Sequence[str]) -> Change:
    """Both kinds of body are JSON, so that one validation reads a change of ten thousand decisions."""
    change = Change.model_validate_json(f'{row.body[:-1]},"decisions":[{",".join(bodies)}]}}')
    return change.model_copy(update={"state": row.state, "commit": row.commit})
