"""The rounds of a Kubernetes agent: look; push what was seen; pull, apply and report.

The three go on beside each other, each in a thread of its own, so that neither a server that does not take pushes nor a
change that takes minutes to apply holds up the others. What is applied is compared with a listing that began after the step
before it was over: an older one would show what was there before.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from reconciler.agent.kubernetes.observing import Observed
from reconciler.agent.kubernetes.parts import Part
from reconciler.agent.kubernetes.snapshot import Snapshot
from reconciler.agent.link import Desired, Link
from reconciler.agent.options import Say
from reconciler.agent.pace import Pace
from reconciler.agent.pulse import AWAY_SECONDS
from reconciler.clock import Clock, stopwatch

Result = TypeVar("Result")

_ENDING_SECONDS = 3.0
"""How long what is being pushed and applied may take when the agent is to stop."""


class Looks(Protocol):
    """Looks at the cluster once."""

    def observe(self) -> Observed: ...


class Applies(Protocol[Result]):
    """Brings the cluster to what Git says, and tells the server what came of it, where there is something to tell."""

    def step(self, desired: Desired, snapshot: Snapshot) -> Result: ...
    def report(self, outcome: Result) -> bool: ...


@dataclass(frozen=True)
class _Look:
    """What was seen ``at`` an instant. ``began``: by the stopwatch."""

    began: float
    at: datetime
    observed: Observed


class Rounds(Generic[Result]):
    """One for each agent."""

    def __init__(
        self,
        link: Link,
        observer: Looks,
        applier: Applies[Result],
        *,
        clock: Clock,
        say: Say,
        watch: Callable[[], Callable[[], float]] = stopwatch,
    ) -> None:
        """``watch()`` starts a stopwatch."""
        self._link, self._pushing_link = link, link.twin()
        self._observer, self._applier, self._clock = observer, applier, clock
        self._elapsed = watch()
        self._changed = threading.Condition()
        self._newest: _Look | None = None
        self._ending = False
        among: set[str] = set()
        self._parts = [
            Part(what, say, Pace(threading.Event()), among)
            for what in ("listing the cluster", "push", "pulling the desired state", "applying", "reporting")
        ]
        self._looking, self._pushing, self._pulling, self._applying, self._reporting = self._parts

    def once(self) -> None:
        """One round, one part after the other; :raises: what went wrong first, after all were tried."""
        for part in self._parts:
            part.again = False
        look = self._look()
        if look is not None:
            self._push(look)
        desired = self._pulling.tried(self._link.desired)
        if desired is not None and look is not None:
            self._apply_and_report(desired, look.observed.snapshot)
        for part in self._parts:
            if part.error is not None:
                raise part.error

    def run(self, stop: threading.Event) -> None:
        """Go on until ``stop`` is set. What is cut short then is gone on with by the agent's next start."""
        self._pulling.tried(
            self._link.register
        )  # which says how often to look; where it fails, the others go on trying
        others = [
            threading.Thread(target=do, name=do.__name__, daemon=True) for do in (self._push_all, self._bring_about)
        ]
        for thread in others:
            thread.start()
        try:
            while not stop.is_set():
                began = self._elapsed()
                if self._look() is None:  # a cluster that is away does not make the agent hang
                    self._link.pulse.beat("round", within=AWAY_SECONDS)
                due = began + self._link.push_interval - self._elapsed()
                stop.wait(max(due, self._looking.wait, 0.0))
        finally:
            with self._changed:
                self._ending = True
                self._changed.notify_all()
            waited = stopwatch()
            for thread in others:
                thread.join(max(0.0, _ENDING_SECONDS - waited()))

    def _look(self) -> _Look | None:
        began, at = self._elapsed(), self._clock()
        observed = self._looking.tried(self._observer.observe)
        if observed is None:
            return None
        look = _Look(began, at, observed)
        with self._changed:
            self._newest = look
            self._changed.notify_all()
        return look

    def _push(self, look: _Look) -> None:
        self._pushing.tried(lambda: self._pushing_link.push(look.observed.lists, look.at))

    def _push_all(self) -> None:
        """Push each look; while one takes long, only the newest of the next is kept."""
        over = -1.0
        while not self._ending:
            look = self._next(over)
            if look is not None:
                over = look.began
                self._push(look)
            self._pause(self._pushing.wait)

    def _bring_about(self) -> None:
        """Pull and apply, once for each look; without a new one just pull, which also shows that the agent is there."""
        over = -1.0
        while not self._ending:
            look = self._next(over)
            if self._ending:
                return
            desired = self._pulling.tried(self._link.desired)
            if desired is not None and look is not None:
                self._apply_and_report(desired, look.observed.snapshot)
            over = self._elapsed()
            self._pause(max(self._pulling.wait, self._applying.wait, self._reporting.wait))

    def _apply_and_report(self, desired: Desired, snapshot: Snapshot) -> None:
        outcome = self._applying.tried(lambda: self._applier.step(desired, snapshot))
        if outcome is not None:
            self._reporting.tried(lambda: self._applier.report(outcome))

    def _next(self, over: float) -> _Look | None:
        """The newest look once it began after ``over``; None when there is none for two intervals, or at the end."""

        def is_there() -> bool:
            return self._ending or (self._newest is not None and self._newest.began > over)

        with self._changed:
            found = self._changed.wait_for(is_there, 2 * self._link.push_interval)
            return self._newest if found and not self._ending else None

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._ending, seconds)
