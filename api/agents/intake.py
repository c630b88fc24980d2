"""Pushes on their way to the store: taken at once, and written down many at a time by one thread.

A push is answered as soon as it is in the buffer, which is written a third of a second later, or when the process stops.
The buffer is bounded: when the database is away for long, agents are told to push again later, and nothing that was
answered is dropped.
"""

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from api.agents.observed import DOCKER, Places
from api.errors import Unavailable
from api.server import Server
from reconciler.errors import RetryLater, TrimtabError
from reconciler.model.agent import Agent
from reconciler.model.observation import PushBody
from reconciler.store.agents import LastPush
from reconciler.store.observations import LISTS, Incoming, Parcel
from reconciler.store.pushes import forget_pushes, record_usable
from reconciler.store.usage import UsageStore

LINGER_SECONDS = 0.3
"""How long a push waits for others to be written with it."""

MOST_PUSHES = 10_000
MOST_BYTES = 64 * 1024 * 1024
"""What the buffer holds; bytes as they came in."""

BATCH = 1_000
"""Pushes in one transaction."""

REMEMBERED = timedelta(days=2)
"""How long a push is known by agent, timestamp and part, so that sending it again changes nothing."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_PAUSE_SECONDS = 5.0
_LAST_PAUSE_SECONDS = 0.5
_LAST_TRIES = 20

log = structlog.get_logger(__name__)


Share = tuple[str, PushBody | Parcel]
"""A host pool (empty: the agent's own cluster or pool), and what of a push is about it."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A push in the buffer: whose, when it came, its length in bytes, and how many containers the agent sees, if it says."""

    agent: Agent
    at: datetime
    size: int
    shares: Sequence[Share]
    containers: int | None


class Intake:
    """One for each application, from its first push until the server stops."""

    def __init__(self, server: Server, *, most_pushes: int = MOST_PUSHES, most_bytes: int = MOST_BYTES) -> None:
        self._server, self._most_pushes, self._most_bytes = server, most_pushes, most_bytes
        self._usage = UsageStore(server.stores.engine)  # one for each thread
        self._sorting = Sorting()
        self._places = Places(server)
        self._changed = threading.Condition()
        self._waiting: list[Taken] = []
        self._bytes = self._taken = self._stored = 0
        self._forget_at: datetime | None = None
        self._arrived, self._hurry, self._closing = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._keep, name="pushes", daemon=True)
        self._thread.start()
        server.flushes.append(self.flush)
        server.on_stop.append(self.close)

    def take(self, agent: Agent, body: PushBody, size: int) -> None:
        """Put a push of ``size`` bytes into the buffer.

        :raises Unavailable: when it is full, or the server is stopping.
        """
        with self._changed:
            if self._closing.is_set():
                raise Unavailable("the server is stopping: push again in a moment", headers={"Retry-After": "5"})
            if self._taken - self._stored >= self._most_pushes or self._bytes + size > self._most_bytes:
                raise Unavailable(
                    "too many pushes wait to be stored: push again in a moment", headers={"Retry-After": "15"}
                )
            shares, containers = self._sorting.shares(agent, body), self._sorting.count(agent, body)
            self._waiting.append(Taken(agent, self._server.clock(), size, shares, containers))
            self._bytes += size
            self._taken += 1
            self._arrived.set()

    def flush(self, timeout: float = 2.0) -> bool:
        """Wait until what was taken so far is stored; False when it takes longer."""
        with self._changed:
            until = self._taken
            if self._stored < until:
                self._hurry.set()
            return self._changed.wait_for(lambda: self._stored >= until, timeout)

    def close(self) -> None:
        """Take no more, and store what is there."""
        with self._changed:
            self._closing.set()
            self._hurry.set()
            self._arrived.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._closing.is_set() or self._waiting:
            self._arrived.wait()
            if len(self._waiting) < BATCH:
                self._hurry.wait(LINGER_SECONDS)
            self._forget()
            batch = self._next()
            self._store(batch)
            with self._changed:
                self._stored += len(batch)
                self._bytes -= sum(push.size for push in batch)
                self._changed.notify_all()

    def _forget(self) -> None:
        """Once a day: which pushes came in longer ago than :data:`REMEMBERED`."""
        now = self._server.clock()
        if self._forget_at is not None and now < self._forget_at:
            return
        self._forget_at = now + timedelta(days=1)
        try:
            forget_pushes(self._server.stores.engine, now - REMEMBERED)
        except (TrimtabError, SQLAlchemyError) as error:
            log.warning("old pushes stay", error=str(error))

    def _next(self) -> list[Taken]:
        with self._changed:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            if not self._waiting and not self._closing.is_set():
                self._arrived.clear()
                self._hurry.clear()
            return batch

    def _store(self, batch: Sequence[Taken]) -> None:
        """Until it is stored; a server that is stopping gives up after some tries."""
        tries = 0
        while batch:
            try:
                self._write(batch)
                return
            except (TrimtabError, SQLAlchemyError) as error:
                tries = tries + 1 if self._closing.is_set() else 0
                if tries > _LAST_TRIES:
                    log.error("pushes lost", pushes=len(batch), error=str(error))
                    return
                log.warning("pushes wait", pushes=len(batch), error=str(error))
                self._pause(error)
            except Exception:  # a defect must not end the thread that all pushes wait for
                log.exception("pushes lost", pushes=len(batch))
                return

    def _pause(self, error: Exception) -> None:
        if self._closing.is_set():
            threading.Event().wait(_LAST_PAUSE_SECONDS)
        else:
            after = error.after_seconds if isinstance(error, RetryLater) else _LONGEST_PAUSE_SECONDS
            self._closing.wait(min(after, _LONGEST_PAUSE_SECONDS))

    def _write(self, batch: Sequence[Taken]) -> None:
        self._places.look()
        incoming, stewards, newest = [], set(), dict[str, LastPush]()
        for push in batch:
            for pool, body in push.shares:
                place = self._places.of(push.agent, pool)
                incoming.append(Incoming(body, place.key, push.agent.id, (push.at - _EPOCH).days))
                stewards |= {place.steward} if place.steward is not None else set()
            newest[push.agent.id] = self._last(push, newest.get(push.agent.id))
        for refused in record_usable(self._server.stores.engine, incoming, usage=self._usage):
            log.error("push refused by the database", agent=refused.push.agent, error=str(refused.error))
        self._server.stores.agents.pushed(newest)
        if stewards:
            self._server.nudge(stewards)

    def _last(self, push: Taken, before: LastPush | None) -> LastPush:
        """What is to be noted of the agent."""
        key = self._places.of(push.agent).key
        containers = before.container_count if push.containers is None and before is not None else push.containers
        return LastPush(push.at, containers, key if key != push.agent.observed_as else None)


_NONE: frozenset[str] = frozenset()


class Sorting:
    """Takes pushes apart: what of one is about which host pool, and how many containers its agent sees."""

    def __init__(self) -> None:
        self._other_pools: dict[str, frozenset[str]] = {}
        self._counts: dict[str, tuple[datetime, dict[int, int]]] = {}

    def shares(self, agent: Agent, body: PushBody) -> list[Share]:
        """A host may run containers of other pools than its own: each pool is told its own, and when there are no more."""
        given = {name: getattr(body, name) for name in LISTS if name in body.model_fields_set}
        if agent.platform != DOCKER or "containers" not in given:
            return [("", _light(body, given))]
        # The document's example has empty lists of nodes and pods, which a host has none of: they say nothing.
        mine = {name: items for name, items in given.items() if items or name == "containers"}
        named = {container.host_pool for container in body.containers} - {"", agent.host_pool}
        others = named | self._other_pools.get(agent.id, _NONE)
        if not others:
            return [("", _light(body, mine))]
        # A pool that was told once that it is empty need not be told again.
        self._other_pools[agent.id] = frozenset(others if body.parts > 1 else named)
        by_pool = defaultdict(list)
        for container in body.containers:
            by_pool[container.host_pool or agent.host_pool].append(container)
        own: Share = ("", _light(body, mine | {"containers": tuple(by_pool[agent.host_pool])}))
        return [own, *((pool, Parcel.of(body, {"containers": tuple(by_pool[pool])})) for pool in sorted(others))]

    def count(self, agent: Agent, body: PushBody) -> int | None:
        """How many containers the agent sees, once all parts of a timestamp are there."""
        if not {"containers", "pods"} & body.model_fields_set:
            return None
        at, parts = self._counts.get(agent.id, (body.timestamp, {}))
        if body.timestamp < at:
            return None
        if body.timestamp > at:
            parts = {}
        parts[body.part] = len(body.containers) + sum(len(pod.containers) for pod in body.pods)
        self._counts[agent.id] = (body.timestamp, parts)
        return sum(parts.values()) if len(parts) >= body.parts else None


def _light(body: PushBody, lists: Mapping[str, Sequence[object]]) -> PushBody | Parcel:
    """The body with these lists; as JSON already, unless there is more to count in it than to store."""
    return body.model_copy(update=lists) if body.pods else Parcel.of(body, lists)
