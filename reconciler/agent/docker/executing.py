"""From the server's command to its answer, each step written down first."""

from typing import Any, Final

from reconciler.agent.docker.balancers import Balancers
from reconciler.agent.docker.ledger import Entry, Ledger, Status
from reconciler.agent.docker.order import read_order
from reconciler.agent.docker.scaling import Scaling
from reconciler.agent.docker.starting import Interrupted
from reconciler.agent.link import Link, Refused
from reconciler.agent.options import DockerOptions, Say
from reconciler.clock import Clock
from reconciler.errors import InputError, RetryLater, Stalled, TrimtabError

LONGEST_MESSAGE: Final = 500
WORK_SECONDS: Final = 600.0
"""How long one command may take before the agent counts as hung."""


class Executing:
    """For one thread, with a link of its own. Every method raises what the link and the engine raise: try again later."""

    def __init__(
        self, link: Link, ledger: Ledger, scaling: Scaling, options: DockerOptions, *, clock: Clock, say: Say
    ) -> None:
        self._link, self._ledger, self._scaling, self._options = link, ledger, scaling, options
        self._clock, self._say = clock, say

    def catch_up(self) -> None:
        """Finish what was broken off, and answer what was not answered.

        What has expired meanwhile is left: the server asks for what is missing by a new command.
        """
        for entry in self._ledger.open():
            self._link.pulse.beat("commands", within=WORK_SECONDS)
            if entry.status or not self._expired(entry):
                self._finish(entry)

    def next(self, wait: int) -> bool:
        """Wait so many seconds for a command, carry it out and answer it; whether there was one."""
        body = self._link.next_command(wait)
        if body is None:
            return False
        if not isinstance(body.get("command_id"), str):
            raise Stalled("the server sent a command without an id", hint="run the agent in the version of the server")
        self._finish(self._ledger.received(body, self._clock()))
        return True

    def refresh(self, balancers: Balancers) -> None:
        """Keep the load balancers' files as the containers are now."""
        for group, ref in self._ledger.pools(self._options.host_pool):
            if balancers.knows(ref):
                self._scaling.refresh(group, ref)

    def _finish(self, entry: Entry) -> None:
        status, message = entry.status, entry.message
        if not status:
            status, message = self._outcome(entry.body)
            self._ledger.done(entry.id, status, message)
        try:
            self._link.answer(entry.id, status, message)
        except Refused as error:
            if error.status not in (400, 404):  # else the server has forgotten it, and will not ask again
                raise
        self._ledger.told(entry.id)

    def _outcome(self, body: dict[str, Any]) -> tuple[Status, str]:
        """:raises RetryLater: not now: the engine is away. :raises Interrupted: likewise, the agent is to stop."""
        say = self._say.bind(command=body.get("command_id"))
        try:
            order = read_order(body, self._options.host_pool)
            say = say.bind(group=order.group, replicas=order.replicas)
            said = self._scaling.carry_out(order)
            self._ledger.remember_pool(order.host_pool, order.group, order.ref)
        except (RetryLater, Interrupted):
            raise
        except TrimtabError as error:
            said = _short(f"{error.message}; next: {error.hint}" if error.hint else error.message)
            say.error("scaling failed", error=error.message, next=error.hint or None)
            return "failed", said
        say.info("scaled", outcome=said)
        return "succeeded", _short(said)

    def _expired(self, entry: Entry) -> bool:
        try:
            return read_order(entry.body, self._options.host_pool).expired(self._clock())
        except InputError:
            return False


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_MESSAGE else f"{text[: LONGEST_MESSAGE - 1]}…"
