"""``docker.scale``: so many containers of a group on this host, new ones healthy before old ones stop.

Level-triggered: each time what runs is counted and what is missing or too many is made up for. So it may be broken off at any
instant and taken up again, and done twice it does nothing the second time. Only containers with the group's label are touched.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from reconciler.agent.docker.balancers import Balancers, servers_of
from reconciler.agent.docker.engine import Engine, EngineRefused, NoContainer
from reconciler.agent.docker.members import GROUP, Member, leaving_order, members, template_of
from reconciler.agent.docker.order import Order
from reconciler.agent.docker.readiness import Broken, serves
from reconciler.agent.docker.starting import DEAD, Started, Starting
from reconciler.agent.docker.stopping import Stopping
from reconciler.agent.options import DockerOptions, Say
from reconciler.agent.pace import Wait
from reconciler.clock import Clock
from reconciler.errors import Stalled, TrimtabError

Json = dict[str, Any]

_NO_MEMBERS: Final = "start one by hand: docker run --label {label}={group} …; the agent makes the others like it"


class Scaling:
    """Carries out orders on one engine, one at a time."""

    def __init__(
        self, engine: Engine, balancers: Balancers, options: DockerOptions, *, clock: Clock, wait: Wait, say: Say
    ) -> None:
        """``wait(seconds)`` is True when the agent is to stop."""
        self._engine, self._balancers, self._options = engine, balancers, options
        self._clock, self._say = clock, say
        self._starting = Starting(engine, wait=wait, grace_seconds=options.grace_seconds)
        self._stopping = Stopping(engine, wait=wait, say=say, grace_seconds=options.grace_seconds)

    def carry_out(self, order: Order) -> str:
        """Do it; what was done, in a line.

        :raises Broken: a new container does not come up; the group is as it was.
        :raises EngineRefused: the engine does not let it happen; what is done of it stays.
        :raises Stalled: the load balancer's file, or the engine's socket, cannot be used; the group is as it was.
        :raises EngineAway: take it up again later. :raises Interrupted: likewise, the agent is to stop.
        """
        group = self._group(order)
        if order.replicas == 0 and not group:
            return f"none of {order.group} run here"
        template = template_of(group)
        if template is None:
            raise Broken(
                f"no container on this host has the label {GROUP}={order.group}",
                hint=_NO_MEMBERS.format(label=GROUP, group=order.group),
            )
        if order.ref:
            self._balancers.check(order.ref)
        dead = [member for member in group if member.ours and member.state in DEAD and member is not template]
        self._starting.clear(dead)
        started = self._grow(order, [member for member in group if member not in dead])
        running = [member for member in self._group(order) if member.running]
        leaving = leaving_order(running)[: max(0, len(running) - order.replicas)]
        self._tell_balancer(order, [member for member in running if member not in leaving], started)
        self._stopping.stop(leaving, _same(template, running))
        self._starting.clear([m for m in self._group(order) if m.ours and m.state == "restarting"])
        return _account(order, started, leaving)

    def refresh(self, group: str, ref: str) -> None:
        """Write the load balancer's file anew where containers got other addresses, or are not healthy any more.

        A group of which none is healthy stays in the file as it is: better a sick backend than none.
        """
        listed = self._engine.containers()
        servers = self._healthy([m for m in members(listed, self._options.host_pool, group) if m.running])
        if servers and self._balancers.write(ref, group, servers_of(servers)):
            self._say.info("load balancer's file written", pool=ref, group=group, servers=len(servers))

    def _grow(self, order: Order, group: Sequence[Member]) -> Started:
        """:raises Broken: once what was started is gone again."""
        started = Started()
        before = [member for member in group if member.running and member.made_by != order.id]
        missing = order.replicas - len(before)
        if missing <= 0:
            return started
        try:
            self._starting.more(order, group, missing, started)
            self._starting.until_up(started, order.seconds(self._clock(), self._options.healthy_seconds))
        except (Broken, EngineRefused, Stalled) as error:
            self._undo(started, error)
            raise
        return started

    def _undo(self, started: Started, why: TrimtabError) -> None:
        try:
            self._starting.undo(started)
        except EngineRefused as error:
            raise EngineRefused(
                f"{why.message}; and not all could be put back: {error.message}", hint=why.hint
            ) from why

    def _tell_balancer(self, order: Order, staying: Sequence[Member], started: Started) -> None:
        if not order.ref:
            return
        try:
            self._balancers.write(
                order.ref, order.group, servers_of(self._healthy(staying) or self._inspected(staying))
            )
        except Stalled as error:
            self._undo(started, error)
            raise

    def _healthy(self, some: Sequence[Member]) -> list[Json]:
        return [inspected for inspected in self._inspected(some) if serves(inspected)]

    def _inspected(self, some: Sequence[Member]) -> list[Json]:
        found = []
        for member in some:
            with suppress(NoContainer):
                found.append(self._engine.inspect(member.id))
        return found

    def _group(self, order: Order) -> tuple[Member, ...]:
        return members(self._engine.containers(), order.host_pool, order.group)


def _same(template: Member, running: Sequence[Member]) -> Member | None:
    return next((member for member in running if member.id == template.id), None)


def _account(order: Order, started: Started, leaving: Sequence[Member]) -> str:
    told = [f"{order.replicas} of {order.group} run here"]
    if started.all:
        told.append(f"started {', '.join(sorted(started.all.values()))}")
    if leaving:
        told.append(f"stopped {', '.join(sorted(member.name for member in leaving))}")
    return "; ".join(told)
