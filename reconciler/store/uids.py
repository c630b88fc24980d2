"""The uids of a cluster's workloads, as last pushed: what an agent is told about objects beside what Git says."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Engine, select

from reconciler.store.tables import observed
from reconciler.store.transactions import reading


@dataclass(frozen=True)
class ObservedUids:
    """``uids`` by kind, namespace and name. ``version`` stands for the push that they are from."""

    version: tuple[tuple[int, str, int], ...] = ()
    uids: Mapping[tuple[str, str, str], str] = field(default_factory=dict)


def read_uids(engine: Engine, cluster: str, known: ObservedUids) -> ObservedUids:
    """The uids that were pushed last, ``known`` itself when they still are; ``cluster`` as it is observed."""
    rows = (observed.c.cluster == cluster, observed.c.list == "workloads", observed.c.complete)
    keys = (observed.c.at, observed.c.agent, observed.c.part)
    with reading(engine) as connection:
        there = [tuple(row) for row in connection.execute(select(*keys).where(*rows).order_by(*keys))]
        if not there:  # nothing was pushed yet, or the agent that had pushed it was deleted
            return ObservedUids() if known.version else known
        newest = tuple(key for key in there if key[:2] == there[-1][:2])
        if newest == known.version:
            return known
        at, agent, _ = there[-1]
        here = (*rows, observed.c.at == at, observed.c.agent == agent)
        bodies = connection.execute(select(observed.c.body).where(*here)).scalars().all()
    items = [item for body in bodies for item in json.loads(zlib.decompress(body))]
    return ObservedUids(
        newest, {(item["kind"], item["namespace"], item["name"]): item["uid"] for item in items if item.get("uid")}
    )
