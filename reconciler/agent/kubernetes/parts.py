"""The parts of a round, each of which may fail without the others."""

from collections.abc import Callable
from typing import TypeVar

from reconciler.agent.options import Say
from reconciler.agent.pace import Pace
from reconciler.agent.rounds import Trouble, at_least

Result = TypeVar("Result")


class Part:
    """One thing that is done in each round, such as pushing.

    ``wait``: seconds until it is worth trying again; 0 when it went well. ``error``: what went wrong in the last try.
    ``again``: whether there will be another try.
    """

    def __init__(self, what: str, say: Say, pace: Pace, among: set[str]) -> None:
        """``among``: shared by the parts of a round, so that what is the matter with all of them is said once."""
        self._trouble, self._pace = Trouble(what, say, among), pace
        self.error: Exception | None = None
        self.wait = 0.0
        self.again = True

    def tried(self, do: Callable[[], Result]) -> Result | None:
        """What ``do`` gives; None when it failed. A defect of ours fails a part, too, and never ends the agent."""
        try:
            result = do()
        except Exception as error:
            self.error, self.wait = error, self._pace.after_failure(at_least(error))
            self._trouble.met(error, self.wait if self.again else None)
            return None
        self.error, self.wait = None, 0.0
        self._pace.went_well()
        self._trouble.over()
        return result
