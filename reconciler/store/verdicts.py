"""Who approved or rejected which decision (DESIGN §4)."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from sqlalchemy import Engine, select

from reconciler.store.instants import to_micros
from reconciler.store.tables import verdicts
from reconciler.store.transactions import execute_many, reading, upsert_into, writing

Said = Literal["approved", "rejected"]


class VerdictStore:
    """Verdicts of people by fleet and the decision's fingerprint."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def give(
        self, fleet: str, fingerprints: Iterable[str], verdict: Said, *, change_id: str, by: str, at: datetime
    ) -> None:
        """Note what somebody said of every decision in a change; the last word counts."""
        rows = [
            {
                "fleet": fleet,
                "fingerprint": fingerprint,
                "change_id": change_id,
                "verdict": verdict,
                "by": by,
                "at": to_micros(at),
            }
            for fingerprint in fingerprints
        ]
        with writing(self._engine) as connection:
            execute_many(connection, upsert_into(connection, verdicts), rows)

    def approved(self, fleet: str) -> dict[str, str]:
        """Who approved, by fingerprint."""
        query = select(verdicts.c.fingerprint, verdicts.c.by)
        with reading(self._engine) as connection:
            rows = connection.execute(query.where(verdicts.c.fleet == fleet, verdicts.c.verdict == "approved")).all()
        return {row.fingerprint: row.by for row in rows}

    def of_change(self, change_id: str) -> tuple[Said, str] | None:
        """What was said of a change, and by whom."""
        query = select(verdicts.c.verdict, verdicts.c.by).where(verdicts.c.change_id == change_id).limit(1)
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return (row.verdict, row.by) if row is not None else None
