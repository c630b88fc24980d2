"""Let containers of a group go: their own hook first, then the time that they ask for to finish what they do."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from reconciler.agent.docker.engine import Engine, EngineRefused, NoContainer
from reconciler.agent.docker.members import PRE_STOP, PRE_STOP_SECONDS, Member
from reconciler.agent.options import Say
from reconciler.agent.pace import Wait
from reconciler.clock import stopwatch

AT_ONCE: Final = 8
LOOK_SECONDS: Final = 0.1
HOOK_SECONDS: Final = 10.0
LONGEST_HOOK_SECONDS: Final = 300.0


class Stopping:
    """:raises EngineAway, EngineRefused: what the engine says."""

    def __init__(self, engine: Engine, *, wait: Wait, say: Say, grace_seconds: float) -> None:
        self._engine, self._wait, self._say, self._grace = engine, wait, say, grace_seconds

    def stop(self, leaving: Sequence[Member], kept: Member | None) -> None:
        """Stop them, several at once, and remove those that we made, but for ``kept``, which others are made like.

        :raises: the first error, once all were tried.
        """
        with ThreadPoolExecutor(AT_ONCE, "docker") as pool:
            waiting = [pool.submit(self._one, member, kept) for member in leaving]
        for one in waiting:
            one.result()

    def _one(self, member: Member, kept: Member | None) -> None:
        try:
            inspected = self._engine.inspect(member.id)
            self._hook(member, inspected["Config"].get("Labels") or {})
            self._engine.stop(member.id, stop_seconds(inspected, self._grace))
        except NoContainer:
            return
        if member.ours and member != kept:
            self._engine.remove(member.id)

    def _hook(self, member: Member, labels: dict[str, str]) -> None:
        """A hook that fails or takes too long does not keep the container: it is said, and the container stops."""
        command = labels.get(PRE_STOP, "")
        if not command:
            return
        limit, watch = _hook_seconds(labels), stopwatch()
        try:
            begun = self._engine.begin_inside(member.id, command)
            while (code := self._engine.ended_inside(begun)) is None and watch() < limit:
                if self._wait(LOOK_SECONDS):
                    return
        except EngineRefused as error:
            self._say.warning("pre-stop hook failed", container=member.name, reason=error.message)
            return
        if code != 0:
            reason = f"exit code {code}" if code is not None else f"not done after {limit:.0f} s"
            self._say.warning("pre-stop hook failed", container=member.name, reason=reason)


def stop_seconds(inspected: dict[str, Any], grace_seconds: float) -> int:
    """How long it may take to end: its own stop timeout (0 is one), else the agent's."""
    own = inspected["Config"].get("StopTimeout")
    return round(grace_seconds if own is None else own)


def _hook_seconds(labels: dict[str, str]) -> float:
    try:
        return min(max(float(labels.get(PRE_STOP_SECONDS, HOOK_SECONDS)), 0.0), LONGEST_HOOK_SECONDS)
    except ValueError:
        return HOOK_SECONDS
