"""Pushes of agents, taken in whole: state, incidents and usage of many of them in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy import Connection, Engine, delete, select
from sqlalchemy.exc import InterfaceError, OperationalError

from reconciler.errors import TrimtabError
from reconciler.model.observation import PushBody, SeriesKey
from reconciler.model.ownership import samples_of
from reconciler.model.samples import Samples
from reconciler.store.instants import to_micros
from reconciler.store.observations import Incoming, Parcel, record_in
from reconciler.store.tables import agents, push_sources, pushes
from reconciler.store.transactions import chunks_of, lock_clusters, reading, writing
from reconciler.store.usage import UsageStore

__all__ = ["Incoming", "Parcel", "Refused", "forget_pushes", "record_push", "record_pushes", "record_usable"]

_DAY_MICROS = 86_400_000_000


def record_push(
    engine: Engine, body: PushBody, cluster: str, agent: str = "", *, usage: UsageStore | None = None
) -> bool:
    """Record a push, all of it or nothing; False when this agent's timestamp and part was recorded before.

    ``usage``: a store that knows the cluster's series already, which saves reading them for each push.

    :raises ValueError: when the timestamp has no offset from UTC, or a usage is not finite.
    """
    return record_pushes(engine, [Incoming(body, cluster, agent)], usage=usage) == 1


def record_pushes(
    engine: Engine, batch: Sequence[Incoming], *, usage: UsageStore | None = None, registered: bool = False
) -> int:
    """Record many pushes, all of them or nothing, as if one after the other; gives how many had not been recorded before.

    With ``registered``, what agents pushed that are not registered (any more) is left out, so that nothing of an agent
    that was just deleted comes back. Locks are taken in one order, so that servers never wait for each other in a ring.

    :raises ValueError: when a timestamp has no offset from UTC, or a usage is not finite.
    """
    if not batch:
        return 0
    with writing(engine) as connection:
        lock_clusters(connection, {push.cluster for push in batch})
        if registered:
            known = _registered(connection, {push.agent for push in batch})
            batch = [push for push in batch if push.agent in known]
        fresh = record_in(connection, batch)
        samples = _together([samples_of(push.body, push.cluster) for push in fresh if isinstance(push.body, PushBody)])
        (usage or UsageStore(engine)).record_in(connection, samples, dedupe=False)
    return len(fresh)


@dataclass(frozen=True)
class Refused:
    """A push that the database cannot take, and why."""

    push: Incoming
    error: Exception


def record_usable(engine: Engine, batch: Sequence[Incoming], *, usage: UsageStore | None = None) -> list[Refused]:
    """:func:`record_pushes` of registered agents, where one push that cannot be stored does not take others with it.

    Whenever a batch is refused, its halves are tried by themselves, down to the push that is at fault.

    :raises TrimtabError: when the database is away; then some of the batch may be stored, and giving it again does no harm.
    """
    try:
        record_pushes(engine, batch, usage=usage, registered=True)
    except (TrimtabError, OperationalError, InterfaceError):
        raise
    except Exception as error:
        if len(batch) == 1:
            return [Refused(batch[0], error)]
        middle = len(batch) // 2
        halves = (batch[:middle], batch[middle:])
        return [refused for half in halves for refused in record_usable(engine, half, usage=usage)]
    return []


def forget_pushes(engine: Engine, before: datetime) -> int:
    """Forget which pushes of agents came in before ``before``, and were of before: nobody sends those again. Gives how many.

    What they said stays. One agent at a time, so that nobody waits for long.
    """
    day, at = to_micros(before) // _DAY_MICROS, to_micros(before)
    with reading(engine) as connection:
        sources = connection.execute(select(push_sources.c.id).where(push_sources.c.agent != "")).scalars().all()
    forgotten = 0
    for source in sources:
        old = (pushes.c.source == source, pushes.c.at < at, pushes.c.day < day)
        with writing(engine) as connection:
            forgotten += connection.execute(delete(pushes).where(*old)).rowcount
    return forgotten


def _registered(connection: Connection, ids: set[str]) -> set[str]:
    found: set[str] = set()
    for some in chunks_of(sorted(ids)):
        found.update(connection.execute(select(agents.c.id).where(agents.c.id.in_(some))).scalars())
    return found


def _together(parts: Sequence[Samples]) -> Samples:
    """The samples of all parts, each series once."""
    numbers: dict[SeriesKey, int] = {}
    index = [np.empty(0, np.int64)]
    for part in parts:
        places = np.array([numbers.setdefault(key, len(numbers)) for key in part.series], np.int64)
        index.append(places[part.index])
    return Samples(
        series=tuple(numbers),
        index=np.concatenate(index),
        seconds=np.concatenate([np.empty(0, np.int64), *(part.seconds for part in parts)]),
        values=np.concatenate([np.empty(0, np.float64), *(part.values for part in parts)]),
    )
