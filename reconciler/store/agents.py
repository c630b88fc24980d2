"""Registered agents, and when each was last heard of."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Integer, RowMapping, Text, bindparam, case, delete, func, select, update

from reconciler.model.agent import Agent, Platform
from reconciler.store.instants import from_micros, to_micros
from reconciler.store.tables import agents, commands, status_reports
from reconciler.store.transactions import execute_many, insert_into, reading, writing
from reconciler.store.wipe import forget_agent


@dataclass(frozen=True)
class LastPush:
    """When an agent was last heard of; None: what its container count and the key that it is observed as are, they stay."""

    at: datetime
    container_count: int | None = None
    observed_as: str | None = None

    @property
    def row(self) -> dict[str, object]:
        return {"at": to_micros(self.at), "count": self.container_count, "place": self.observed_as}


class AgentStore:
    """Agents of all organizations."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def register(
        self,
        *,
        organization: str,
        platform: Platform,
        name: str,
        hostname: str,
        version: str,
        cluster: str,
        host_pool: str,
        observed_as: str,
        at: datetime,
    ) -> Agent:
        """The agent of that organization, platform, name and hostname: the same id every time (DESIGN §8)."""
        row = {
            "id": f"agent_{secrets.token_hex(4)}",
            "organization": organization,
            "platform": platform,
            "name": name,
            "hostname": hostname,
            "version": version,
            "cluster": cluster,
            "host_pool": host_pool,
            "observed_as": observed_as,
            "registered_at": to_micros(at),
            "last_seen": to_micros(at),
            "container_count": 0,
        }
        keys = ["organization", "platform", "name", "hostname"]
        anew = {name: row[name] for name in ("version", "cluster", "host_pool", "observed_as", "last_seen")}
        with writing(self._engine) as connection:
            insert = insert_into(connection, agents).values(row)
            upsert = insert.on_conflict_do_update(index_elements=keys, set_=anew).returning(*agents.c)
            return _agent(connection.execute(upsert).mappings().one())

    def find(self, agent_id: str) -> Agent | None:
        with reading(self._engine) as connection:
            row = connection.execute(select(agents).where(agents.c.id == agent_id)).mappings().one_or_none()
        return _agent(row) if row is not None else None

    def list(self, organization: str) -> tuple[Agent, ...]:
        """In the order of their names."""
        query = select(agents).where(agents.c.organization == organization)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(agents.c.name, agents.c.hostname, agents.c.id)).mappings()
            return tuple(_agent(row) for row in rows)

    def of(self, observed_as: str) -> tuple[Agent, ...]:
        """The agents of one cluster or host pool."""
        query = select(agents).where(agents.c.observed_as == observed_as).order_by(agents.c.name, agents.c.id)
        with reading(self._engine) as connection:
            return tuple(_agent(row) for row in connection.execute(query).mappings())

    def last_seen(self) -> tuple[datetime, ...]:
        """When each agent, of whichever organization, was last heard of."""
        with reading(self._engine) as connection:
            return tuple(from_micros(at) for (at,) in connection.execute(select(agents.c.last_seen)))

    def heard(self, seen: Mapping[str, datetime]) -> None:
        """Note that agents have been heard of: a poll, a pull or a report is a sign of life as a push is."""
        self.pushed({agent_id: LastPush(at) for agent_id, at in seen.items()})

    def pushed(self, newest: Mapping[str, LastPush]) -> None:
        """Note what the newest pushes say of agents themselves, in one statement; agents that are gone are passed over."""
        # By ascending id: two servers that hear of the same agents must not wait for each other in a ring.
        rows = [{"agent": agent_id, **newest[agent_id].row} for agent_id in sorted(newest)]
        later = case((agents.c.last_seen < bindparam("at"), bindparam("at")), else_=agents.c.last_seen)
        new = {
            "last_seen": later,
            "container_count": func.coalesce(bindparam("count", type_=Integer), agents.c.container_count),
            "observed_as": func.coalesce(bindparam("place", type_=Text), agents.c.observed_as),
        }
        with writing(self._engine) as connection:
            execute_many(connection, update(agents).where(agents.c.id == bindparam("agent")).values(new), rows)

    def named(self, organization: str, platform: Platform, name: str, hostname: str) -> Agent | None:
        """The agent that registering by these names would give again."""
        mine = (agents.c.organization == organization, agents.c.platform == platform)
        query = select(agents).where(*mine, agents.c.name == name, agents.c.hostname == hostname)
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
        return _agent(row) if row is not None else None

    def delete(self, organization: str, agent_id: str) -> bool:
        """Remove an agent with its commands, reports, and the history that only it has pushed; False when not there."""
        with writing(self._engine) as connection:
            mine = (agents.c.id == agent_id, agents.c.organization == organization)
            row = connection.execute(delete(agents).where(*mine).returning(agents.c.observed_as)).one_or_none()
            if row is None:
                return False
            connection.execute(delete(commands).where(commands.c.agent_id == agent_id))
            connection.execute(delete(status_reports).where(status_reports.c.agent_id == agent_id))
            forget_agent(connection, row.observed_as, agent_id)
        return True


def _agent(row: RowMapping) -> Agent:
    values: dict[str, Any] = {**row}
    for name in ("registered_at", "last_seen"):
        values[name] = from_micros(row[name])
    return Agent.model_validate(values)
