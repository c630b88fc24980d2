"""What the server is told of a step, and when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from reconciler.clock import Clock
from reconciler.model.agent import ObjectStatus, RootStatus

EVERY: Final = timedelta(minutes=5)
"""The server is told again after this long, though nothing has changed."""


class Tells(Protocol):
    """The part of the link to the server that is needed here."""

    def report(self, revision: str, objects: Sequence[ObjectStatus], roots: Sequence[RootStatus] = ()) -> None:
        """Say what came of the desired state at ``revision``."""


@dataclass(frozen=True)
class Outcome:
    """What came of one step. ``complete``: whether every object had its turn; else nothing may be said of ``revision`` yet.

    ``changed``: whether the server is to be told: there is something new, or it was told the same five minutes ago.
    """

    revision: str
    objects: tuple[ObjectStatus, ...] = ()
    roots: tuple[RootStatus, ...] = ()
    complete: bool = True
    changed: bool = False


class Reports:
    """Remembers what the server was told."""

    def __init__(self, link: Tells, clock: Clock) -> None:
        self._link, self._clock = link, clock
        self._told: tuple[str, tuple[ObjectStatus, ...], tuple[RootStatus, ...]] | None = None
        self._at: datetime | None = None

    def due(self, revision: str, objects: tuple[ObjectStatus, ...], roots: tuple[RootStatus, ...]) -> bool:
        """Whether the server does not know this yet, or has not been told for five minutes."""
        return (revision, objects, roots) != self._told or self._at is None or self._clock() - self._at >= EVERY

    def send(self, outcome: Outcome) -> bool:
        """Tell the server, where ``outcome.changed``; whether it was told. Raises what the link raises."""
        if not outcome.changed:
            return False
        self._link.report(outcome.revision, outcome.objects, outcome.roots)
        self._told, self._at = (outcome.revision, outcome.objects, outcome.roots), self._clock()
        return True
