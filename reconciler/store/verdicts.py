"""Who approved or rejected which decision (DESIGN §4)."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, Engine, and_, or_, select, update

from reconciler.model.change import Change, Refusal
from reconciler.store.changes import OPEN_STATES, release
from reconciler.store.instants import from_micros, to_micros
from reconciler.store.refusals import refuse_in
from reconciler.store.tables import changes, decisions, verdicts
from reconciler.store.transactions import chunks_of, execute_many, insert_into, reading, upsert_into, writing

Said = Literal["approved", "rejected"]


@dataclass(frozen=True)
class Given:
    """What somebody said of one decision, found by its fingerprint."""

    fingerprint: str
    verdict: Said
    by: str
    at: datetime
    reason: str


class VerdictStore:
    """Verdicts of people by fleet, change and the decision's fingerprint.

    An approval stands until a change with that decision has landed: what lands a second time, after a rollback, is asked
    for a second time. The record of who approved stays with the change that landed.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def give(
        self,
        fleet: str,
        fingerprints: Iterable[str],
        verdict: Said,
        *,
        change_id: str,
        by: str,
        at: datetime,
        reason: str = "",
    ) -> None:
        """Note what somebody said of every decision in a change; the last word counts."""
        rows = _rows(fleet, fingerprints, verdict, change_id, by, at, reason)
        with writing(self._engine) as connection:
            execute_many(connection, upsert_into(connection, verdicts), rows)

    def approve(
        self, fleet: str, change_id: str, fingerprints: Iterable[str], *, by: str, at: datetime, reason: str = ""
    ) -> bool:
        """Approve the decisions of a change that is open; False, and nothing is noted, when it is not any more.

        What was approved before keeps its first approver.
        """
        with writing(self._engine) as connection:
            if not _still_open(connection, fleet, change_id):
                return False
            known = _standing(connection, fleet)
            rows = _rows(fleet, set(fingerprints) - known.keys(), "approved", change_id, by, at, reason)
            execute_many(connection, insert_into(connection, verdicts).on_conflict_do_nothing(), rows)
        return True

    def reject(
        self, fleet: str, change: Change, refused: Iterable[Refusal], *, by: str, at: datetime, reason: str = ""
    ) -> bool:
        """Dismiss a change that is open and refuse its values, all or nothing; False when it is not open any more."""
        fingerprints = [decision.proposal.fingerprint for decision in change.decisions]
        with writing(self._engine) as connection:
            if not _still_open(connection, fleet, change.id):
                return False
            mine = changes.c.id == change.id
            connection.execute(update(changes).where(mine).values(state="dismissed", at=to_micros(at)))
            rows = _rows(fleet, fingerprints, "rejected", change.id, by, at, reason)
            execute_many(connection, upsert_into(connection, verdicts), rows)
            # An approval that was given under another change's id falls, too.
            theirs = (verdicts.c.fleet == fleet, verdicts.c.verdict == "approved")
            for some in chunks_of(fingerprints):
                fallen = update(verdicts).where(*theirs, verdicts.c.fingerprint.in_(some))
                connection.execute(fallen.values(verdict="spent"))
            refuse_in(connection, fleet, refused, change_id=change.id)
            release(connection, [change.id])
        return True

    def approved(self, fleet: str) -> dict[str, str]:
        """Who approved, by fingerprint; only approvals that stand."""
        with reading(self._engine) as connection:
            return _standing(connection, fleet)

    def of_change(self, change_id: str) -> tuple[Said, str] | None:
        """What was said of a change, and by whom."""
        found = self.about([change_id]).get(change_id)
        return (found[0].verdict, found[0].by) if found else None

    def about(self, change_ids: Collection[str]) -> dict[str, tuple[Given, ...]]:
        """What was said of changes, by the change's id, the first word first; one query, however many they are.

        For a change that is open, an approval counts that was given while its decision was in another one.
        """
        still = and_(verdicts.c.verdict == "approved", changes.c.state.in_(OPEN_STATES))
        query = (
            select(decisions.c.change_id.label("of"), verdicts)
            .join(changes, changes.c.id == decisions.c.change_id)
            .join(
                verdicts, and_(verdicts.c.fleet == changes.c.fleet, verdicts.c.fingerprint == decisions.c.fingerprint)
            )
            .where(or_(verdicts.c.change_id == decisions.c.change_id, still))
            .order_by(verdicts.c.at, decisions.c.position)
        )
        found: dict[str, tuple[Given, ...]] = {}
        with reading(self._engine) as connection:
            for some in chunks_of(change_ids):
                for row in connection.execute(query.where(decisions.c.change_id.in_(some))):
                    verdict: Said = "rejected" if row.verdict == "rejected" else "approved"
                    given = Given(row.fingerprint, verdict, row.by, from_micros(row.at), row.reason)
                    found[row.of] = (*found.get(row.of, ()), given)
        return found


def _rows(
    fleet: str, fingerprints: Iterable[str], verdict: Said, change_id: str, by: str, at: datetime, reason: str
) -> list[dict[str, object]]:
    same = {"fleet": fleet, "change_id": change_id, "verdict": verdict, "by": by, "at": to_micros(at), "reason": reason}
    return [{**same, "fingerprint": fingerprint} for fingerprint in sorted(set(fingerprints))]


def _still_open(connection: Connection, fleet: str, change_id: str) -> bool:
    """Whether a change is open; until the transaction ends nobody else closes it."""
    mine = (changes.c.id == change_id, changes.c.fleet == fleet, changes.c.state.in_(OPEN_STATES))
    return connection.execute(select(changes.c.id).where(*mine).with_for_update()).first() is not None


def _standing(connection: Connection, fleet: str) -> dict[str, str]:
    """``spent``: an approval whose change has landed or was rejected."""
    query = select(verdicts.c.fingerprint, verdicts.c.by).where(
        verdicts.c.fleet == fleet, verdicts.c.verdict == "approved"
    )
    return {row.fingerprint: row.by for row in connection.execute(query.order_by(verdicts.c.at.desc()))}
