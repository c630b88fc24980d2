"""Commands to agents: delivered until the first answer, or until they expire (DESIGN §8)."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Engine, RowMapping, func, select, update

from reconciler.model.agent import Command, DockerScale
from reconciler.store.instants import from_micros, to_micros
from reconciler.store.tables import commands
from reconciler.store.transactions import execute_many, insert_into, reading, writing


class CommandStore:
    """Commands by agent, in the order in which they were issued."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def issue(self, new: Iterable[Command]) -> None:
        rows = [
            {
                **command.model_dump(exclude={"payload", "issued_at", "expires_at", "answered_at"}),
                "payload": command.payload.model_dump_json(by_alias=True),
                "issued_at": to_micros(command.issued_at),
                "expires_at": to_micros(command.expires_at),
            }
            for command in new
        ]
        with writing(self._engine) as connection:
            execute_many(connection, insert_into(connection, commands).on_conflict_do_nothing(), rows)

    def waiting(self, agent_id: str, now: datetime) -> Command | None:
        """The oldest command of an agent that is neither answered nor expired."""
        mine = (commands.c.agent_id == agent_id, commands.c.answer == "", commands.c.expires_at > to_micros(now))
        query = select(commands).where(*mine).order_by(commands.c.seq).limit(1)
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
        return _command(row) if row is not None else None

    def answer(
        self, agent_id: str, command_id: str, answer: Literal["succeeded", "failed"], message: str, at: datetime
    ) -> tuple[Command, bool] | None:
        """Record a result: the first one wins. The command and whether this one was it; None when there is no such command."""
        mine = (commands.c.agent_id == agent_id, commands.c.id == command_id)
        new = {"answer": answer, "message": message, "answered_at": to_micros(at)}
        with writing(self._engine) as connection:
            first = connection.execute(update(commands).where(*mine, commands.c.answer == "").values(new)).rowcount == 1
            row = connection.execute(select(commands).where(*mine)).mappings().one_or_none()
        return (_command(row), first) if row is not None else None

    def newest(self, agent_ids: Iterable[str], host_pool: str, group: str) -> dict[str, Command]:
        """The newest command of each agent for one group, answered, expired or not."""
        query = select(commands).where(commands.c.agent_id.in_(list(agent_ids))).order_by(commands.c.seq)
        with reading(self._engine) as connection:
            found = [_command(row) for row in connection.execute(query).mappings()]
        mine = [c for c in found if (c.payload.host_pool, c.payload.group) == (host_pool, group)]
        return {command.agent_id: command for command in mine}

    def issued_after(self, seq: int) -> tuple[int, frozenset[str]]:
        """The newest sequence number, and the agents that were given a command after ``seq``: one look for all who wait."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(commands.c.seq, commands.c.agent_id).where(commands.c.seq > seq)).all()
        return max((row.seq for row in rows), default=seq), frozenset(row.agent_id for row in rows)

    def newest_seq(self) -> int:
        with reading(self._engine) as connection:
            return int(connection.execute(select(func.max(commands.c.seq))).scalar() or 0)


def _command(row: RowMapping) -> Command:
    values: dict[str, Any] = {**row}
    del values["seq"]
    values["payload"] = DockerScale.model_validate(json.loads(row["payload"]))
    for name in ("issued_at", "expires_at"):
        values[name] = from_micros(row[name])
    values["answered_at"] = from_micros(row["answered_at"]) if row["answered_at"] is not None else None
    return Command.model_validate(values)
