"""Answers to agents that pull their desired state, kept for as long as nothing has changed.

One application has one :class:`Answers`. A pull that finds its answer ready costs no thread, no Git and no database: an
answer is good while the branch is where it was and nothing was observed since. Then uids are looked up again in a thread,
and what Git says is asked of the fleet repo's steward.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace

import anyio
import structlog

from api.errors import NotFound, Unavailable
from api.server import Server
from reconciler.actuate.desired import Answer, Desired, LiveKey, answer
from reconciler.clock import stopwatch
from reconciler.model.agent import Agent
from reconciler.model.fleet import Cluster
from reconciler.steps.house import House
from reconciler.steps.serving import desired_of
from reconciler.steward import Steward
from reconciler.store.uids import ObservedUids, read_uids

LOOK_AGAIN_SECONDS = 10.0
"""Another process may have been told of uids: they are looked up again after this."""

HEARD_SECONDS = 5.0
"""How often it is written down who pulls."""

_PATIENCE_SECONDS = 25.0
_THREADS = 4

log = structlog.get_logger(__name__)

_Key = tuple[str, str]
"""Organization and cluster, as agents name it."""


@dataclass(frozen=True)
class _Ready:
    """An answer, and what it was made of. ``beats`` as of the server's pulse when the uids were read."""

    steward: Steward
    head: str
    desired: Desired
    uids: ObservedUids
    beats: int
    age: Callable[[], float]
    answer: Answer


class Answers:
    """Desired states by cluster."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ready: dict[_Key, _Ready] = {}
        self._asked: dict[tuple[str, str, str], Future[Desired]] = {}
        self._threads = anyio.CapacityLimiter(_THREADS)
        self._since_heard = stopwatch()
        server.on_stop.append(self._note_heard)

    async def of(self, agent: Agent) -> Answer:
        """What an agent is to apply now.

        :raises NotFound: when no fleet repo of its organization declares its cluster.
        :raises Unavailable: when the fleet repos are not read yet, or the steward is busy for long.
        :raises TrimtabError: when a root does not build.
        """
        key = (agent.organization, agent.cluster)
        known = self._ready.get(key)
        if known is not None and known.head == known.steward.watch.head:
            if known.beats == self._server.pulse.beats and known.age() < LOOK_AGAIN_SECONDS:
                return known.answer
            return await self._refreshed(key, known)
        self._ready.pop(key, None)
        steward, cluster, head = place_of(self._server, agent)
        found = await self._from_git(steward, cluster, head)
        fresh = _Ready(steward, head, found, ObservedUids(), -1, stopwatch(), answer(found, {}))
        return await self._refreshed(key, fresh)

    async def _refreshed(self, key: _Key, known: _Ready) -> Answer:
        """``known`` with the uids as they are now."""
        fresh = await anyio.to_thread.run_sync(self._with_uids, known, limiter=self._threads)
        self._ready[key] = fresh
        if self._since_heard() > HEARD_SECONDS:
            self._since_heard = stopwatch()
            asyncio.get_running_loop().run_in_executor(None, self._note_heard)
        return fresh.answer

    def _note_heard(self) -> None:
        """Many pulls, one write; nobody waits for it."""
        try:
            self._server.flush_heard()
        except Exception as error:  # it is noted again with the next pulls
            log.warning("who was heard of cannot be stored", error=str(error))

    def _with_uids(self, known: _Ready) -> _Ready:
        beats, age = self._server.pulse.beats, stopwatch()
        uids = read_uids(self._server.stores.engine, known.desired.cluster, known.uids)
        if uids is known.uids:
            return replace(known, beats=beats, age=age)
        told = answer(known.desired, {LiveKey(*key): uid for key, uid in uids.uids.items()})
        return replace(known, uids=uids, beats=beats, age=age, answer=told)

    async def _from_git(self, steward: Steward, cluster: Cluster, head: str) -> Desired:
        """One question to the steward, however many agents wait for its answer."""
        asked = (steward.watch.url, cluster.name, head)
        future = self._asked.get(asked)
        if future is None:
            future = self._asked[asked] = steward.ask(lambda house: _read(house, cluster, head))
            future.add_done_callback(lambda _: self._asked.pop(asked, None))
        done, _ = await asyncio.wait([asyncio.wrap_future(future)], timeout=_PATIENCE_SECONDS)
        if not done:
            raise Unavailable("the fleet repo is being worked on: pull again", headers={"Retry-After": "5"})
        return done.pop().result()


def _read(house: House, cluster: Cluster, head: str) -> Desired:
    return desired_of(house, cluster, head)


def place_of(server: Server, agent: Agent) -> tuple[Steward, Cluster, str]:
    """The steward of the fleet repo that declares a Kubernetes agent's cluster, the cluster, and the head of the branch.

    :raises NotFound: when none does, or the agent is not of a cluster.
    :raises Unavailable: when a fleet repo that may declare it could not be read yet.
    """
    if agent.platform != "kubernetes":
        raise NotFound("the desired state is for Kubernetes agents: a Docker agent is sent commands")
    for steward in server.stewards:
        watch = steward.watch
        if watch.fleet is not None and watch.fleet.name == agent.organization:
            for cluster in watch.fleet.clusters:
                if agent.cluster in (cluster.name, cluster.id):
                    return steward, cluster, watch.head
    if any(steward.watch.fleet is None for steward in server.stewards):
        raise Unavailable("a fleet repo has not been read yet: try again", headers={"Retry-After": "5"})
    raise NotFound(
        f"no fleet repo of {agent.organization} declares the cluster {agent.cluster!r}: add it to spec.clusters of "
        "trimtab.yaml, or register the agent with the name of a cluster that is there"
    )
