"""Rings for agents that wait for a command: one thread and one query for all of them, however many there are.

Commands of this process ring at once; those of another are seen by a look at the store every 100 ms, which is taken only
while somebody waits.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import anyio
import structlog

from api.server import Server
from reconciler.clock import stopwatch
from reconciler.model.agent import Command

LOOK_SECONDS = 0.1
"""How often the store is looked at: half of the 200 ms within which a command is to arrive."""

HEARD_SECONDS = 5.0
"""How often it is written down who waits: many polls, one write. A poll may last longer than an agent may be silent."""

_IDLE_LOOKS = 60
_AFTER_ERROR_SECONDS = 1.0
_THREADS = 4

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class _Waiter:
    """One poll: the future is done when its agent should look."""

    agent_id: str
    loop: asyncio.AbstractEventLoop
    rung: "asyncio.Future[None]"

    def ring(self) -> None:
        """From any thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody is there any more
            self.loop.call_soon_threadsafe(self._done)

    def _done(self) -> None:
        if not self.rung.done():
            self.rung.set_result(None)


class Bell:
    """One for each application."""

    def __init__(self, server: Server) -> None:
        self._server, self._commands = server, server.stores.commands
        self._lock = threading.Lock()
        self._waiting: dict[str, set[_Waiter]] = defaultdict(set)
        self._thread: threading.Thread | None = None
        self._threads = anyio.CapacityLimiter(_THREADS)
        self._stopped = threading.Event()
        self._commands.listen(self.ring)
        server.on_stop.append(self._stop)

    @property
    def waiting(self) -> int:
        """How many agents wait right now."""
        return len(self._waiting)

    async def next_command(self, agent_id: str, wait_seconds: float) -> Command | None:
        """The oldest command that waits for an agent, or the first that comes within ``wait_seconds``; None when none does.

        Ends at once when the server is closing. The wait costs no thread, and no query of its own.
        """
        if wait_seconds <= 0 or self._server.closing.is_set():
            return await self._look(agent_id)
        loop = asyncio.get_running_loop()
        ends = loop.time() + wait_seconds
        while True:
            waiter = self._enlist(agent_id, loop)
            try:
                async with asyncio.timeout_at(ends):
                    await waiter.rung
            except TimeoutError:
                return None
            finally:
                self._leave(waiter)
            if self._server.closing.is_set():
                return None
            if command := await self._look(agent_id):
                return command

    def ring(self, agent_ids: Iterable[str]) -> None:
        """Have these agents' polls look now. From any thread."""
        with self._lock:
            rung = [waiter for agent_id in agent_ids for waiter in self._waiting.get(agent_id, ())]
        for waiter in rung:
            waiter.ring()

    async def _look(self, agent_id: str) -> Command | None:
        now = self._server.clock()
        return await anyio.to_thread.run_sync(self._commands.waiting, agent_id, now, limiter=self._threads)

    def _enlist(self, agent_id: str, loop: asyncio.AbstractEventLoop) -> _Waiter:
        waiter = _Waiter(agent_id, loop, loop.create_future())
        with self._lock:
            self._waiting[agent_id].add(waiter)
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep_looking, name="bell", daemon=True)
                self._thread.start()
        return waiter

    def _leave(self, waiter: _Waiter) -> None:
        with self._lock:
            waiters = self._waiting.get(waiter.agent_id, set())
            waiters.discard(waiter)
            if not waiters:
                self._waiting.pop(waiter.agent_id, None)

    def _keep_looking(self) -> None:
        """Look until nobody has waited for a while."""
        idle, since_heard = 0, stopwatch()
        while not self._stopped.is_set():
            seconds = LOOK_SECONDS
            with self._lock:
                waiting = frozenset(self._waiting)
                idle = 0 if waiting else idle + 1
                if idle > _IDLE_LOOKS:
                    self._thread = None
                    return
            if waiting:
                seconds = self._one_look(waiting)
            if since_heard() > HEARD_SECONDS:
                self._note_heard(waiting)
                since_heard = stopwatch()
            self._stopped.wait(seconds)

    def _stop(self) -> None:
        """The database goes away: nobody looks any more."""
        self._stopped.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()
        self._server.flush_heard()

    def _note_heard(self, waiting: frozenset[str]) -> None:
        self._server.heard.update(dict.fromkeys(waiting, self._server.clock()))
        try:
            self._server.flush_heard()
        except Exception as error:  # it is noted again in five seconds
            log.warning("who was heard of cannot be stored", error=str(error))

    def _one_look(self, waiting: frozenset[str]) -> float:
        """Ring for those of ``waiting`` that have a command; the seconds until the next look."""
        if self._server.closing.is_set():
            self.ring(waiting)
            return LOOK_SECONDS
        try:
            self.ring(self._commands.open_agents(self._server.clock()) & waiting)
        except Exception as error:  # whatever it is, those who wait are to wait on: their polls end by themselves
            log.warning("commands cannot be looked at", error=str(error))
            return _AFTER_ERROR_SECONDS
        return LOOK_SECONDS
