"""How long to wait before trying again: 1, 2, 4 … 60 seconds, each a little longer by chance.

The chance is there so that a thousand agents do not all come back in the same second after the server was away.
"""

import random
import threading
from collections.abc import Callable

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 60.0
JITTER = 0.25
"""At most so much of a wait is added to it by chance."""

Wait = Callable[[float], bool]
"""Waits for so many seconds, or until the agent is to stop; True means stop. ``threading.Event().wait`` is one."""


class Pace:
    """Waits between tries of one thing. A wait ends at once when ``stop`` is set."""

    def __init__(
        self,
        stop: threading.Event,
        *,
        first: float = FIRST_SECONDS,
        longest: float = LONGEST_SECONDS,
        chance: Callable[[], float] = random.random,
        wait: Wait | None = None,
    ) -> None:
        """``chance`` gives numbers from 0 to 1."""
        self._first, self._longest, self._chance = first, longest, chance
        self._wait = wait or stop.wait
        self._failures = 0

    def after_failure(self, at_least: float = 0.0) -> float:
        """Seconds to wait after one more failure; never less than ``at_least``, which is what a ``Retry-After`` said."""
        seconds = min(self._first * 2.0 ** min(self._failures, 30), self._longest)
        self._failures += 1
        return max(seconds, at_least) * (1 + JITTER * self._chance())

    def went_well(self) -> None:
        """The next failure is the first one again."""
        self._failures = 0

    def wait(self, seconds: float) -> bool:
        """Wait; True when the agent is to stop."""
        return self._wait(max(0.0, seconds))
