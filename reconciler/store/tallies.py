"""Counts over whole tables, for metrics: of all organizations, without anybody's name."""

from sqlalchemy import Engine, func, select

from reconciler.store.tables import changes, commands, decision_log
from reconciler.store.transactions import reading


class TallyStore:
    """Reads only."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def newest_decision(self) -> int:
        """The id of the decision log's newest row; 0 without one."""
        with reading(self._engine) as connection:
            return int(connection.execute(select(func.max(decision_log.c.id))).scalar() or 0)

    def decisions(self, after: int, up_to: int) -> dict[str, int]:
        """Rows of the decision log by action, with ``after`` < id ≤ ``up_to``."""
        some = (decision_log.c.id > after, decision_log.c.id <= up_to)
        query = select(decision_log.c.action, func.count()).where(*some).group_by(decision_log.c.action)
        with reading(self._engine) as connection:
            return dict(connection.execute(query).all())

    def held(self) -> int:
        """Changes that are held right now."""
        query = select(func.count()).select_from(changes).where(changes.c.state == "held")
        with reading(self._engine) as connection:
            return int(connection.execute(query).scalar_one())

    def answers(self) -> dict[str, int]:
        """Commands by answer; those of agents that were deleted are gone."""
        query = select(commands.c.answer, func.count()).where(commands.c.answer != "").group_by(commands.c.answer)
        with reading(self._engine) as connection:
            return dict(connection.execute(query).all())
