"""Commands to agents: delivered until the first answer, or until they expire (DESIGN §8)."""

import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Engine, RowMapping, delete, func, select, update

from reconciler.model.agent import Command, DockerScale
from reconciler.store.instants import from_micros, to_micros
from reconciler.store.tables import commands
from reconciler.store.transactions import chunks_of, insert_into, reading, writing

Slot = tuple[str, str, str]
"""(agent id, host pool, group): what one command is about, and the next one again."""

_KEPT = timedelta(days=7)
"""How long commands stay that a newer one has followed."""


class CommandStore:
    """Commands by agent, in the order in which they were issued."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._listeners: list[Callable[[frozenset[str]], None]] = []

    def listen(self, heard: Callable[[frozenset[str]], None]) -> None:
        """Have ``heard`` told the agents that this process issues commands to, once they are stored. From any thread."""
        self._listeners.append(heard)

    def issue(self, new: Iterable[Command]) -> tuple[Command, ...]:
        """Store commands, and end those that wait for the same agent and group; gives those that were not there before.

        A command whose id is known is not issued again, so that whoever issues after a crash need not know what was
        issued before it.
        """
        wanted = tuple(new)
        if not wanted:
            return ()
        with writing(self._engine) as connection:
            issued = tuple(command for command in wanted if _insert(connection, command))
        if issued:
            agents = frozenset(command.agent_id for command in issued)
            for heard in self._listeners:
                heard(agents)
        return issued

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

    def newest(self, agent_ids: Iterable[str]) -> dict[Slot, Command]:
        """The newest command of each agent and group, answered, expired or not."""
        slot = (commands.c.agent_id, commands.c.host_pool, commands.c.group_name)
        found: dict[Slot, Command] = {}
        with reading(self._engine) as connection:
            for some in chunks_of(sorted(set(agent_ids))):
                last = select(func.max(commands.c.seq)).where(commands.c.agent_id.in_(some)).group_by(*slot)
                rows = connection.execute(select(commands).where(commands.c.seq.in_(last))).mappings()
                found |= {slot_of(command): command for command in map(_command, rows)}
        return found

    def of_change(self, change_id: str) -> tuple[Command, ...]:
        """The newest command of each agent and group among those that a change has led to."""
        query = select(commands).where(commands.c.change_id == change_id, commands.c.change_id != "")
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(commands.c.seq)).mappings()
            return tuple({slot_of(command): command for command in map(_command, rows)}.values())

    def open_agents(self, now: datetime) -> frozenset[str]:
        """The agents that have a command which is neither answered nor expired: one look for all who wait."""
        query = select(commands.c.agent_id).where(commands.c.answer == "", commands.c.expires_at > to_micros(now))
        with reading(self._engine) as connection:
            return frozenset(connection.execute(query.distinct()).scalars())


def slot_of(command: Command) -> Slot:
    """What a command is about."""
    return command.agent_id, command.payload.host_pool, command.payload.group


def _insert(connection: Connection, command: Command) -> bool:
    """Store one, and end what waits in its slot; False, and nothing changes, when its id is known."""
    agent_id, host_pool, group = slot_of(command)
    row = {
        **command.model_dump(exclude={"payload", "issued_at", "expires_at", "answered_at"}),
        "host_pool": host_pool,
        "group_name": group,
        "payload": command.payload.model_dump_json(by_alias=True),
        "issued_at": to_micros(command.issued_at),
        "expires_at": to_micros(command.expires_at),
    }
    insert = insert_into(connection, commands).values(row).on_conflict_do_nothing(index_elements=["id"])
    seq = connection.execute(insert.returning(commands.c.seq)).scalar()
    if seq is None:
        return False
    mine = (commands.c.agent_id == agent_id, commands.c.host_pool == host_pool, commands.c.group_name == group)
    now = to_micros(command.issued_at)
    waiting = (*mine, commands.c.seq < seq, commands.c.answer == "", commands.c.expires_at > now)
    connection.execute(update(commands).where(*waiting).values(expires_at=now))
    followed = commands.c.issued_at < to_micros(command.issued_at - _KEPT)
    connection.execute(delete(commands).where(*mine, commands.c.seq < seq, followed))
    return True


def _command(row: RowMapping) -> Command:
    values: dict[str, Any] = {name: row[name] for name in Command.model_fields}
    values["payload"] = DockerScale.model_validate(json.loads(row["payload"]))
    for name in ("issued_at", "expires_at"):
        values[name] = from_micros(row[name])
    values["answered_at"] = from_micros(row["answered_at"]) if row["answered_at"] is not None else None
    return Command.model_validate(values)
