"""Values that a rollback, or a person's revert, refused: they are not written again (DESIGN §4)."""

from collections.abc import Iterable

from sqlalchemy import Engine, delete, select

from reconciler.model.change import Refusal
from reconciler.store.tables import refusals
from reconciler.store.transactions import execute_many, insert_into, reading, writing


class RefusalStore:
    """Refusals by fleet."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, fleet: str, new: Iterable[Refusal]) -> None:
        """One refusal a subject, path, field and refused commit: adding it again changes nothing."""
        rows = [
            {
                "fleet": fleet,
                "subject": refusal.subject,
                "path": refusal.path,
                "field": refusal.field,
                "commit": refusal.commit,
                "body": refusal.model_dump_json(by_alias=True),
            }
            for refusal in new
        ]
        with writing(self._engine) as connection:
            execute_many(connection, insert_into(connection, refusals).on_conflict_do_nothing(), rows)

    def standing(self, fleet: str) -> tuple[Refusal, ...]:
        """In the order in which they were added."""
        query = select(refusals.c.body).where(refusals.c.fleet == fleet).order_by(refusals.c.id)
        with reading(self._engine) as connection:
            return tuple(Refusal.model_validate_json(body) for (body,) in connection.execute(query))

    def clear(self, fleet: str, subject: str, path: str, field: str) -> None:
        """Forget what was refused for one value, whichever commits it was in."""
        mine = (refusals.c.fleet == fleet, refusals.c.subject == subject)
        with writing(self._engine) as connection:
            connection.execute(delete(refusals).where(*mine, refusals.c.path == path, refusals.c.field == field))
