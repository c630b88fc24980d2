"""The parts of a round, each of which may fail without the others."""

from collections.abc import Callable
from typing import TypeVar

from reconciler.agent.options import Say
from reconciler.agent.pace import LONGEST_SECONDS, Pace
from reconciler.agent.rounds import Trouble
from reconciler.errors import RetryLater, Stalled

Result = TypeVar("Result")


class Part:
    """One thing that is done in each round, such as pushing.

    ``wait``: seconds until it is worth trying again; 0 when it went well. ``error``: what went wrong in the last try.
    """

    def __init__(self, what: str, say: Say, pace: Pace) -> None:
        self._trouble, self._pace = Trouble(what, say), pace
        self.error: Exception | None = None
        self.wait = 0.0

    def tried(self, do: Callable[[], Result]) -> Result | None:
        """What ``do`` gives; None when it failed. A defect of ours fails a part, too, and never ends the agent."""
        try:
            result = do()
        except Exception as error:
            self.error, self.wait = error, self._pace.after_failure(_at_least(error))
            self._trouble.met(error, self.wait)
            return None
        self.error, self.wait = None, 0.0
        self._pace.went_well()
        self._trouble.over()
        return result


def _at_least(error: Exception) -> float:
    """Seconds. What a person must see to, or is a defect, is not tried again in a hurry."""
    if isinstance(error, RetryLater):
        return error.after_seconds
    return LONGEST_SECONDS if isinstance(error, Stalled) else 0.0
