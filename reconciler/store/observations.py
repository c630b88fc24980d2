"""The newest state of each cluster, as agents and imports push it, and which pushes were recorded.

Many pushes are taken in at a time: what the state becomes is worked out in memory, push by push, and only what is left of
it in the end is written. So a batch of a thousand pushes costs a handful of statements, and a list that the next push of
the same batch replaces is never packed.
"""

import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple, get_type_hints

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Connection, Engine, Row, bindparam, delete, func, or_, select, tuple_, update

from reconciler.model.observation import Node, Observation, OomRecord, PushBody
from reconciler.model.workload import WorkloadKey
from reconciler.store import incidents
from reconciler.store.instants import from_micros, to_micros
from reconciler.store.tables import observed, push_sources, pushes
from reconciler.store.transactions import (
    chunks_of,
    execute_many,
    insert_into,
    insert_new,
    lock_clusters,
    pieces_of,
    reading,
    writing,
)

LISTS = ("pods", "nodes", "workloads", "quotas", "containers", "limit_ranges", "hpas", "pdbs")
"""What of a push is kept as state. A list that a push does not carry stays as it was; an empty one empties it."""

_OF_EACH_AGENT = ("containers",)
"""Lists of which each agent knows its own host's part: the state is what all of them say together."""

_TYPES = get_type_hints(PushBody)
_WRITERS: Mapping[str, TypeAdapter[Any]] = {name: TypeAdapter(_TYPES[name]) for name in LISTS}


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is left of a push body without pods: its lists as the JSON that is stored. Thousands of these may wait without
    anything in them that the garbage collector would have to look through again and again."""

    timestamp: datetime
    part: int
    parts: int
    lists: Mapping[str, bytes]

    @classmethod
    def of(cls, body: PushBody, lists: Mapping[str, Sequence[object]]) -> "Parcel":
        """``lists``: what of the body is to be kept, by name; pods cannot be, their usage and restarts are yet to be counted."""
        written = {name: _WRITERS[name].dump_json(items) for name, items in lists.items()}
        return cls(body.timestamp, body.part, body.parts, written)


@dataclass(frozen=True, slots=True)
class Incoming:
    """One push, and whose it is: ``cluster`` is the key that the cluster or host pool is observed as.

    ``day``: when it came in, days since 1970.
    """

    body: PushBody | Parcel
    cluster: str
    agent: str = ""
    day: int = 0

    @property
    def lists(self) -> Collection[str]:
        """Names of the lists that it carries."""
        return self.body.lists if isinstance(self.body, Parcel) else self.body.model_fields_set.intersection(LISTS)

    def packed(self, name: str) -> bytes:
        """A list as it is stored."""
        body = self.body
        written = body.lists[name] if isinstance(body, Parcel) else _WRITERS[name].dump_json(getattr(body, name))
        return zlib.compress(written, 1)


class ObservationStore:
    """Observations by cluster."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, body: PushBody, *, cluster: str, agent: str = "") -> bool:
        """Take one push in; False, and nothing changes, when this agent's timestamp and part was recorded before.

        The parts of one timestamp become the state together, once the last of them is there; what is older than the
        state never replaces it.

        :raises ValueError: when the timestamp has no offset from UTC.
        """
        with writing(self._engine) as connection:
            return bool(record_in(connection, [Incoming(body, cluster, agent)]))

    def newest(self, cluster: str) -> Observation:
        """The newest state; empty where nothing was pushed."""
        return self._newest(cluster, LISTS)

    def nodes(self, cluster: str) -> tuple[Node, ...]:
        """The nodes of the newest state, and nothing else of it, which may be far larger."""
        return self._newest(cluster, ("nodes",)).nodes

    def _newest(self, cluster: str, lists: Collection[str]) -> Observation:
        query = select(observed).where(observed.c.cluster == cluster, observed.c.complete, observed.c.list.in_(lists))
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(observed.c.at, observed.c.agent, observed.c.part)).all()
        state: dict[str, Any] = {"cluster": cluster, "at": {}}
        for name in lists:
            if current := _current(name, [row for row in rows if row.list == name]):
                state["at"][name] = from_micros(max(row.at for row in current))
                state[name] = [item for row in current for item in json.loads(zlib.decompress(row.body))]
        return Observation.model_validate(state)

    def ooms(self, cluster: str, since: datetime, until: datetime) -> dict[tuple[WorkloadKey, str], OomRecord]:
        """OOM kills and restarts on the UTC days from ``since`` to ``until``, by workload and container."""
        with reading(self._engine) as connection:
            return incidents.ooms(connection, cluster, since, until)


def record_in(connection: Connection, batch: Sequence[Incoming]) -> list[Incoming]:
    """:meth:`ObservationStore.record` of many pushes, one after the other, in a transaction that the caller has begun.

    Gives those that were new, in their order.
    """
    lock_clusters(connection, {push.cluster for push in batch})
    fresh = _first_seen(connection, batch)
    by_cluster: dict[str, list[PushBody]] = defaultdict(list)
    for push in fresh:
        if isinstance(push.body, PushBody) and push.body.pods:
            by_cluster[push.cluster].append(push.body)
    _keep_newest(connection, fresh)
    for cluster, bodies in by_cluster.items():
        incidents.count(connection, bodies, cluster)
    return [push.push for push in fresh]


def _current(name: str, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Of complete rows, by time and agent, those of the newest push: of each agent, or of any."""
    newest = {row.agent if name in _OF_EACH_AGENT else "": (row.at, row.agent) for row in rows}
    return [row for row in rows if (row.at, row.agent) in newest.values()]


# --- which pushes are new --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Fresh:
    """A push that was not recorded before. ``parts_there``: how many parts of its timestamp there are with this one."""

    push: Incoming
    at: int
    parts_there: int = 1

    @property
    def body(self) -> PushBody | Parcel:
        return self.push.body

    @property
    def cluster(self) -> str:
        return self.push.cluster

    @property
    def agent(self) -> str:
        return self.push.agent

    @property
    def whole(self) -> bool:
        return self.parts_there >= self.body.parts


def _first_seen(connection: Connection, batch: Sequence[Incoming]) -> list[_Fresh]:
    sources = _sources(connection, {(push.cluster, push.agent) for push in batch})
    given: dict[tuple[int, int, int], Incoming] = {}
    for push in batch:
        given.setdefault((sources[push.cluster, push.agent], to_micros(push.body.timestamp), push.body.part), push)
    insert = insert_into(connection, pushes).on_conflict_do_nothing().returning(*pushes.primary_key)
    rows = [{"source": source, "at": at, "part": part, "day": push.day} for (source, at, part), push in given.items()]
    new = {tuple(row) for row in connection.execute(insert, rows)} if rows else set()
    kept = {key: push for key, push in given.items() if key in new}
    before = _parts_before(connection, kept)
    fresh = []
    for (source, at, _), push in kept.items():
        before[source, at] += 1
        fresh.append(_Fresh(push, at, before[source, at]))
    return fresh


def _parts_before(connection: Connection, new: Mapping[tuple[int, int, int], Incoming]) -> Counter[tuple[int, int]]:
    """How many parts were there before ``new`` ones; only looked up where a push has several."""
    partial = {(source, at) for (source, at, _), push in new.items() if push.body.parts > 1}
    found: Counter[tuple[int, int]] = Counter()
    for some in pieces_of(sorted(partial)):
        columns = (pushes.c.source, pushes.c.at)
        query = select(*columns, func.count()).where(tuple_(*columns).in_(some)).group_by(*columns)
        found.update({(source, at): count for source, at, count in connection.execute(query)})
    found.subtract([(source, at) for source, at, _ in new if (source, at) in partial])
    return found


def _sources(connection: Connection, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """The number of each cluster and agent; new ones are written."""
    found = _known_sources(connection, wanted)
    if missing := sorted(wanted - set(found)):
        rows = [{"cluster": cluster, "agent": agent} for cluster, agent in missing]
        execute_many(connection, insert_into(connection, push_sources).on_conflict_do_nothing(), rows)
        found |= _known_sources(connection, set(missing))
    return found


def _known_sources(connection: Connection, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], int]:
    found = {}
    for some in pieces_of(sorted(wanted)):
        mine = tuple_(push_sources.c.cluster, push_sources.c.agent).in_(some)
        for row in connection.execute(select(push_sources).where(mine)):
            found[row.cluster, row.agent] = row.id
    return found


def note_source(connection: Connection, cluster: str, agent: str = "") -> None:
    """Say that ``agent`` (empty: an import) has recorded something of a cluster, so that its history is not one agent's alone."""
    insert_new(connection, push_sources, {"cluster": cluster, "agent": agent})


# --- the newest state ------------------------------------------------------------------------------------------------


class _Key(NamedTuple):
    """The primary key of ``observed``."""

    cluster: str
    list: str
    agent: str
    at: int
    part: int

    @property
    def subject(self) -> tuple[str, str, str]:
        """What the rows that rival this one share with it."""
        return self.cluster, self.list, self.agent if self.list in _OF_EACH_AGENT else ""

    @property
    def push(self) -> tuple[str, str, int]:
        """What the rows of one push's parts share."""
        return self.cluster, self.agent, self.at


@dataclass(frozen=True)
class _Part:
    """A part of a list: ``push`` has it, where it is not in the database yet."""

    complete: bool
    push: Incoming | None = None


class _State:
    """Rows of ``observed`` as pushes change them."""

    def __init__(self, stored: Mapping[_Key, bool]) -> None:
        self.rows = {key: _Part(complete) for key, complete in stored.items()}
        self._subjects: dict[tuple[str, str, str], set[_Key]] = defaultdict(set)
        self._pushes: dict[tuple[str, str, int], set[_Key]] = defaultdict(set)
        self._newest: dict[tuple[str, str, str], int] = {}
        for key, complete in stored.items():
            self._subjects[key.subject].add(key)
            self._pushes[key.push].add(key)
            if complete:
                self._newest[key.subject] = max(key.at, self._newest.get(key.subject, key.at))

    def take(self, push: _Fresh) -> None:
        """Add each list of a push, unless a newer state is there; with its last part, they are the state."""
        for name in push.push.lists:
            key = _Key(push.cluster, name, push.agent, push.at, push.body.part)
            if self._newest.get(key.subject, push.at) <= push.at:
                self.rows[key] = _Part(complete=False, push=push.push)
                self._subjects[key.subject].add(key)
                self._pushes[key.push].add(key)
        if push.whole:
            for key in self._pushes.get((push.cluster, push.agent, push.at), ()):
                self._complete(key)

    def _complete(self, key: _Key) -> None:
        """All parts of its timestamp are there: it is the state now, and what it replaces goes."""
        self.rows[key] = replace(self.rows[key], complete=True)
        self._newest[key.subject] = max(key.at, self._newest.get(key.subject, key.at))
        for older in [k for k in self._subjects[key.subject] if k.at < key.at]:
            self._subjects[key.subject].remove(older)
            self._pushes[older.push].remove(older)
            del self.rows[older]


def _keep_newest(connection: Connection, fresh: Sequence[_Fresh]) -> None:
    stored = _stored(connection, fresh)
    state = _State(stored)
    for push in fresh:
        state.take(push)
    gone = [key for key in stored if key not in state.rows]
    completed = [key for key, part in state.rows.items() if part.complete and stored.get(key) is False]
    new = [
        {**key._asdict(), "complete": part.complete, "body": part.push.packed(key.list)}
        for key, part in state.rows.items()
        if part.push is not None
    ]
    here = [column == bindparam(f"key_{column.name}") for column in observed.primary_key]
    execute_many(connection, delete(observed).where(*here), _named(gone))
    execute_many(connection, update(observed).where(*here).values(complete=True), _named(completed))
    execute_many(connection, insert_into(connection, observed), new)


def _stored(connection: Connection, fresh: Sequence[_Fresh]) -> dict[_Key, bool]:
    """The rows that the pushes may replace, or are parts with, and whether each is complete."""
    agents = sorted({push.agent for push in fresh})
    found = {}
    for clusters in chunks_of(sorted({push.cluster for push in fresh})):
        for some in chunks_of(agents):
            mine: ColumnElement[bool] = or_(observed.c.list.not_in(_OF_EACH_AGENT), observed.c.agent.in_(some))
            columns = [*observed.primary_key, observed.c.complete]
            for *key, complete in connection.execute(select(*columns).where(observed.c.cluster.in_(clusters), mine)):
                found[_Key(*key)] = complete
    return found


def _named(keys: Iterable[_Key]) -> list[dict[str, object]]:
    return [{f"key_{name}": value for name, value in key._asdict().items()} for key in keys]
