"""Whether an agent is alive: what it does again and again must come round in time.

An agent whose server is away is alive, for it goes on asking; one that hangs is not.
"""

import threading
from collections.abc import Callable

from reconciler.agent.pace import LONGEST_SECONDS
from reconciler.clock import stopwatch

AWAY_SECONDS = 3 * LONGEST_SECONDS
"""For what waits for somebody else, who may be away: longer than any wait between two tries."""

WORK_SECONDS = 600.0
"""For what a new desired state or a command takes."""


class Pulse:
    """One for each process; shared by its threads."""

    def __init__(self, watch: Callable[[], Callable[[], float]] = stopwatch) -> None:
        """``watch()`` starts a stopwatch: a function that gives the seconds since then."""
        self._elapsed = watch()
        self._lock = threading.Lock()
        self._due: dict[str, float] = {}
        self.ready = False
        """Whether the agent has been registered once."""

    def beat(self, what: str, *, within: float) -> None:
        """``what`` came round, and will come round again ``within`` so many seconds."""
        with self._lock:
            self._due[what] = self._elapsed() + within

    def overdue(self) -> tuple[str, ...]:
        """What has not come round in time."""
        with self._lock:
            now = self._elapsed()
            return tuple(sorted(what for what, due in self._due.items() if due < now))
