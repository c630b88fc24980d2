"""Registered agents, and when each was last heard of."""

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, RowMapping, delete, select, update

from reconciler.model.agent import Agent, Platform
from reconciler.store.instants import from_micros, to_micros
from reconciler.store.tables import agents, commands, status_reports
from reconciler.store.transactions import insert_into, reading, writing
from reconciler.store.wipe import forget_agent


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
        with writing(self._engine) as connection:
            for agent_id, at in seen.items():
                later = (agents.c.id == agent_id, agents.c.last_seen < to_micros(at))
                connection.execute(update(agents).where(*later).values(last_seen=to_micros(at)))

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
