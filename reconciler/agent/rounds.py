"""Doing one thing again and again for as long as the agent runs, whatever goes wrong with it."""

import threading
from collections.abc import Callable

from reconciler.agent.options import Say
from reconciler.agent.pace import LONGEST_SECONDS, Pace
from reconciler.clock import stopwatch
from reconciler.errors import RetryLater, Stalled, TrimtabError


def rounds(
    do: Callable[[], None],
    *,
    what: str,
    every: Callable[[], float],
    stop: threading.Event,
    say: Say,
    once: bool = False,
    pace: Pace | None = None,
) -> None:
    """Do it every ``every()`` seconds until ``stop`` is set.

    After a failure it is tried again at the pace's growing waits, at the slowest where a person must act first. What is the
    matter is said when it changes, not at every try. ``what`` names the thing in the log. With ``once`` it is done once, and
    :raises: what goes wrong.
    """
    if once:
        do()
        return
    trouble = Trouble(what, say)
    pace = pace or Pace(stop)
    while not stop.is_set():
        elapsed = stopwatch()
        try:
            do()
        except Exception as error:  # an agent goes on: whoever starts it again would see the same error
            if stop.is_set():
                return
            seconds = pace.after_failure(at_least(error))
            trouble.met(error, seconds)
        else:
            pace.went_well()
            trouble.over()
            seconds = every() - elapsed()
        if pace.wait(seconds):
            return


def at_least(error: Exception) -> float:
    """Seconds until the next try. What a person must see to first is not tried again in a hurry."""
    if isinstance(error, RetryLater):
        return error.after_seconds
    return LONGEST_SECONDS if isinstance(error, Stalled) else 0.0


class Trouble:
    """Says that something goes wrong, once for each thing that is the matter, and that it is well again."""

    def __init__(self, what: str, say: Say, among: set[str] | None = None) -> None:
        """``among``: what is the matter with others of the same agent, and is not said here, too (a key that is refused)."""
        self._what, self._say, self._last = what, say, ""
        self._among = set() if among is None else among

    def met(self, error: Exception, retry_in: float | None) -> None:
        """``retry_in``: seconds until the next try; None when there is none."""
        said = f"{type(error).__name__}: {error}"
        if said in self._among:
            return
        self._among.discard(self._last)
        self._among.add(said)
        self._last = said
        more: dict[str, object] = {} if retry_in is None else {"retry_in": round(retry_in, 1)}
        if isinstance(error, TrimtabError):
            level = self._say.error if isinstance(error, Stalled) else self._say.warning
            hint = {"next": error.hint} if error.hint else {}
            level(f"trouble: {self._what}", error=error.message, **hint, **more)
        else:  # a defect: the place where it happened is wanted
            self._say.exception(f"trouble: {self._what}", **more)

    def over(self) -> None:
        """It went well."""
        if self._last:
            self._say.info(f"well again: {self._what}")
            self._among.discard(self._last)
        self._last = ""
