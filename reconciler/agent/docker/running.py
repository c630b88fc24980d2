"""The agent on a Docker host: what its containers use goes to the server, and what the server asks for is done.

Two threads, each with a link of its own: pushes go on while a command is carried out.
"""

import os
import threading
from contextlib import closing
from typing import Final

from reconciler.agent.docker.balancers import Balancers
from reconciler.agent.docker.engine import Engine
from reconciler.agent.docker.executing import Executing
from reconciler.agent.docker.ledger import Ledger
from reconciler.agent.docker.scaling import Scaling
from reconciler.agent.docker.statistics import Statistics
from reconciler.agent.link import Link
from reconciler.agent.options import DockerOptions, Say
from reconciler.agent.rounds import Trouble, rounds
from reconciler.clock import Clock, stopwatch
from reconciler.errors import Stalled

POLL_SECONDS: Final = 25
SOONEST_SECONDS: Final = 1.0
"""A poll that comes back at once without a command is not tried again sooner."""

_AWAY_SECONDS: Final = 180.0


def run(link: Link, options: DockerOptions, *, stop: threading.Event, clock: Clock, say: Say, once: bool) -> None:
    """Push and carry out commands until ``stop`` is set; with ``once``, one push, and the commands that wait already.

    :raises Stalled: the ledger or a load balancer's template cannot be used; with ``once``, whatever goes wrong.
    """
    balancers = Balancers(options.balancers)
    with closing(Ledger(options.ledger)) as ledger, closing(Engine(options.host, environment=os.environ)) as engine:
        statistics = Statistics(engine, pause=stop.wait)
        scaling = Scaling(engine, balancers, options, clock=clock, wait=stop.wait, say=say)
        twin = link.twin()
        executing = Executing(twin, ledger, scaling, options, clock=clock, say=say)
        commands = _Commands(executing, balancers, say)

        def push() -> None:
            link.pulse.beat("round", within=_AWAY_SECONDS)  # an engine that is away does not make the agent hang
            at = clock()
            link.push({"containers": statistics.containers()}, at)

        if once:
            push()
            commands.all_that_wait()
            return
        listening = threading.Thread(
            target=rounds,
            kwargs={"do": commands.one, "what": "commands", "every": commands.pause, "stop": stop, "say": say},
            name="commands",
        )
        listening.start()
        try:
            rounds(push, what="push", every=lambda: link.push_interval, stop=stop, say=say)
        finally:
            stop.set()
            link.hang_up()
            listening.join()


class _Commands:
    def __init__(self, executing: Executing, balancers: Balancers, say: Say) -> None:
        self._executing, self._balancers = executing, balancers
        self._trouble = Trouble("load balancer", say)
        self._pause = 0.0

    def all_that_wait(self) -> None:
        self._executing.catch_up()
        while self._executing.next(0):
            pass
        self._executing.refresh(self._balancers)

    def one(self) -> None:
        self._executing.catch_up()
        elapsed = stopwatch()
        found = self._executing.next(POLL_SECONDS)
        self._pause = 0.0 if found or elapsed() > SOONEST_SECONDS else SOONEST_SECONDS
        self._refresh()

    def pause(self) -> float:
        return self._pause

    def _refresh(self) -> None:
        """A file that cannot be written does not keep commands from being done."""
        try:
            self._executing.refresh(self._balancers)
        except Stalled as error:
            self._trouble.met(error, POLL_SECONDS)
        else:
            self._trouble.over()
