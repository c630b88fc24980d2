"""The hosts of a pool: its Docker agents, each with the containers that it pushed last."""

import json
import zlib

from sqlalchemy import Engine, and_, select

from reconciler.model.container_group import Host
from reconciler.model.observation import GroupContainer
from reconciler.store.instants import from_micros
from reconciler.store.tables import agents, observed
from reconciler.store.transactions import reading


class HostStore:
    """Hosts by organization and pool; each agent speaks for its own host only."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, organization: str, host_pool: str) -> tuple[Host, ...]:
        """By agent id. Connected or not: :meth:`~reconciler.model.container_group.Host.connected` tells."""
        mine = (
            agents.c.organization == organization,
            agents.c.platform == "docker",
            agents.c.host_pool == host_pool,
        )
        theirs = and_(
            observed.c.cluster == agents.c.observed_as,
            observed.c.agent == agents.c.id,
            observed.c.list == "containers",
            observed.c.complete,
        )
        columns = (agents.c.id, agents.c.last_seen, observed.c.at, observed.c.body)
        query = select(*columns).select_from(agents.outerjoin(observed, theirs)).where(*mine)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(agents.c.id, observed.c.at, observed.c.part)).all()
        newest = {row.id: row.at for row in rows}
        found: dict[str, Host] = {}
        for row in rows:
            host = found.get(row.id) or Host(agent_id=row.id, last_seen=from_micros(row.last_seen))
            if row.at is not None and row.at == newest[row.id]:
                more = tuple(GroupContainer.model_validate(item) for item in json.loads(zlib.decompress(row.body)))
                update = {"pushed_at": from_micros(row.at), "containers": (*host.containers, *more)}
                host = host.model_copy(update=update)
            found[row.id] = host
        return tuple(found.values())
