"""Errors that say what happens next.

Every error that a person may see is a :class:`TrimtabError`: a plain message, where it happened (file, line, field)
and the next step. The command line prints it and exits with 1; a pass of the loop reports it by name and goes on
with what is not touched by it, except for :class:`Stalled`, which needs a person before anything can go on.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Where:
    """A place in the fleet repo. ``line`` and ``column`` count from 1; 0 means unknown."""

    path: str
    line: int = 0
    column: int = 0
    field: str = ""

    def __str__(self) -> str:
        place = self.path + (f":{self.line}" if self.line else "") + (f":{self.column}" if self.column else "")
        return f"{place}: {self.field}" if self.field else place


class TrimtabError(Exception):
    """A failure that a person can act on."""

    def __init__(self, message: str, *, where: Where | None = None, hint: str = "") -> None:
        self.message = message
        self.where = where
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  → {self.hint}" if self.hint else text


class InputError(TrimtabError):
    """What a person wrote (a file of the fleet repo, an option, a row of usage) cannot be used as it is."""


class Stalled(TrimtabError):
    """Nothing can go on until a person changes something: no repository, no permission, a broken trimtab.yaml."""


class HeldByWindow(Stalled):
    """A person asked for what an exclusion window holds; the message says until when. Forcing it goes through."""


class RetryLater(TrimtabError):
    """The outside world said not now: a remote that is away, a lease that another process holds."""

    def __init__(self, message: str, *, after_seconds: float, where: Where | None = None, hint: str = "") -> None:
        self.after_seconds = after_seconds
        super().__init__(message, where=where, hint=hint)


class NothingToRollBack(TrimtabError):
    """Rolling back was asked of something that has no standing commit."""
