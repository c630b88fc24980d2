"""Values that a rollback, or a person's revert, refused: they are not written again (DESIGN §4)."""

from collections.abc import Iterable

from sqlalchemy import Connection, Engine, delete, select

from reconciler.model.change import Refusal
from reconciler.store.tables import refusals
from reconciler.store.transactions import execute_many, insert_into, reading, writing


class RefusalStore:
    """Refusals by fleet."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, fleet: str, new: Iterable[Refusal]) -> None:
        """One refusal a subject, path, field and refused commit: adding it again changes nothing."""
        with writing(self._engine) as connection:
            refuse_in(connection, fleet, new)

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

    def clear_subject(self, fleet: str, subject: str) -> None:
        """Forget everything that was refused to a policy or an action: a person has decided anew."""
        with writing(self._engine) as connection:
            connection.execute(delete(refusals).where(refusals.c.fleet == fleet, refusals.c.subject == subject))


def refuse_in(connection: Connection, fleet: str, new: Iterable[Refusal], *, change_id: str = "") -> None:
    """Within a transaction, what :meth:`RefusalStore.add` does.

    ``change_id``: the change that a person has rejected. Its refusals have no commit; another rejection of the same field
    stands beside them.
    """
    rows = [
        {
            "fleet": fleet,
            "subject": refusal.subject,
            "path": refusal.path,
            "field": refusal.field,
            "commit": refusal.commit or change_id,
            "body": refusal.model_dump_json(by_alias=True),
        }
        for refusal in new
    ]
    execute_many(connection, insert_into(connection, refusals).on_conflict_do_nothing(), rows)
