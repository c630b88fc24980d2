"""Bring up more containers of a group: all of them healthy, or the group as it was."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.agent.docker.cloning import Origin, clone_of, image_of, names
from reconciler.agent.docker.engine import Engine, EngineRefused, NameTaken, NoContainer
from reconciler.agent.docker.members import Member, name_of, template_of
from reconciler.agent.docker.order import Order
from reconciler.agent.docker.readiness import Broken, is_up, without_secrets
from reconciler.agent.docker.stopping import stop_seconds
from reconciler.agent.pace import Wait
from reconciler.clock import stopwatch
from reconciler.errors import InputError, Stalled, TrimtabError

AT_ONCE: Final = 8
LOOK_SECONDS: Final = 0.2
DEAD: Final = ("created", "exited", "dead")
_TRIES: Final = 5

Json = dict[str, Any]


class Interrupted(TrimtabError):
    """The agent is to stop; the command is taken up again when it is started the next time."""


@dataclass
class Started:
    """What a command has begun: ``clones`` are removed when it fails, ``woken`` are stopped again. By id, with the name."""

    clones: dict[str, str] = field(default_factory=dict)
    woken: dict[str, str] = field(default_factory=dict)

    @property
    def all(self) -> dict[str, str]:
        return self.clones | self.woken


class Starting:
    """:raises EngineAway: from every method, when the engine goes away in the middle."""

    def __init__(self, engine: Engine, *, wait: Wait, grace_seconds: float) -> None:
        self._engine, self._wait, self._grace = engine, wait, grace_seconds

    def more(self, order: Order, group: Sequence[Member], count: int, started: Started) -> None:
        """Have ``count`` containers run that do not belong to those that ran before the command; tells what in ``started``.

        Those that the same command has begun before it was broken off count.

        :raises Broken: what does not start, and why.
        """
        template = template_of(group)
        assert template is not None, "a group has members"
        started.clones |= {m.id: m.name for m in group if m.made_by == order.id and m.running}
        sleeping = [m for m in group if m.state in DEAD and (not m.ours or m is template)]
        for member in sorted(sleeping, key=lambda m: m is not template)[: count - len(started.clones)]:
            started.woken[member.id] = member.name
        if (missing := count - len(started.all)) > 0:
            self._make(order, template, {m.name for m in group}, missing, started)
        self._start(started.all)

    def until_up(self, started: Started, seconds: float) -> None:
        """Wait until all are running and healthy.

        :raises Broken: when one is not, or not within so many seconds.
        :raises Interrupted: when the agent is to stop.
        """
        waiting = started.all
        watch = stopwatch()
        first: dict[str, tuple[float, int]] = {}
        while waiting:
            for container, name in list(waiting.items()):
                inspected = self._seen(container, name)
                since, restarts = first.setdefault(container, (watch(), inspected.get("RestartCount", 0)))
                if self._up(inspected, watch() - since, restarts):
                    del waiting[container]
            if waiting and watch() > seconds:
                late = ", ".join(sorted(waiting.values()))
                raise Broken(
                    f"{late} not healthy within {seconds:.0f} s", hint="look at the health check's start period"
                )
            if waiting and self._wait(LOOK_SECONDS):
                raise Interrupted("the agent is to stop")

    def undo(self, started: Started) -> None:
        """Put the group back: remove the clones, and stop what was woken."""
        for container in started.woken:
            with suppress(NoContainer):
                inspected = self._engine.inspect(container)
                self._engine.stop(container, stop_seconds(inspected, self._grace))
        _each(self._engine.remove, started.clones)

    def clear(self, members: Iterable[Member]) -> None:
        """Remove clones that do not run."""
        _each(self._engine.remove, [member.id for member in members])

    def _make(self, order: Order, template: Member, own: set[str], count: int, started: Started) -> None:
        origin = Origin(order.host_pool, order.group, order.id, order.policy_id)
        try:
            inspected = self._engine.inspect(template.id)
            image = image_of(inspected, self._engine.image_id(inspected["Config"]["Image"]))
            for _ in range(count):
                container, name = self._create(inspected, image, origin, own)
                started.clones[container] = name
                own.add(name)
        except (EngineRefused, NoContainer, InputError, Stalled) as error:
            raise Broken(f"no copy of {template.name} can be made: {error.message}", hint=error.hint) from error

    def _create(self, template: Json, image: str, origin: Origin, own: set[str]) -> tuple[str, str]:
        """Somebody may take a name between our look and our request: then look again."""
        for attempt in range(_TRIES):
            others = {name_of(one) for one in self._engine.containers()} - own
            name, number = next(names(origin.group, origin.host_pool, own, others))
            clone = clone_of(template, image, origin, number)
            try:
                container = self._engine.create(name, clone.config)
            except NameTaken:
                if attempt == _TRIES - 1:
                    raise
                continue
            for network, endpoint in clone.networks:
                self._engine.join(container, network, endpoint)
            return container, name
        raise AssertionError("the last try returns or raises")

    def _start(self, containers: dict[str, str]) -> None:
        def start(container: str) -> None:
            try:
                self._engine.start(container)
            except (EngineRefused, NoContainer) as error:
                raise Broken(f"{containers[container]} does not start: {error.message}") from error

        _each(start, containers)

    def _seen(self, container: str, name: str) -> Json:
        try:
            return self._engine.inspect(container)
        except NoContainer:
            raise Broken(f"{name} was removed while it started") from None

    def _up(self, inspected: Json, seconds: float, restarts: int) -> bool:
        """:raises Broken: with the last line of its log, and without what may be secret."""
        try:
            return is_up(inspected, seconds, restarts)
        except Broken as error:
            line = self._engine.last_line(inspected["Id"])
            text = f"{error.message}; its last words: {line}" if line else error.message
            raise Broken(without_secrets(text, inspected)) from error


def _each(act: Callable[[str], None], containers: Iterable[str]) -> None:
    """A few at once; :raises: the first error, once all were tried."""
    with ThreadPoolExecutor(AT_ONCE, "docker") as pool:
        waiting = [pool.submit(act, container) for container in containers]
    for one in waiting:
        one.result()
