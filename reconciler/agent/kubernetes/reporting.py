"""What the server and the log are told of a step, and when."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from reconciler.agent.options import Say
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


class Summary:
    """Says in the log what came of each revision: once, and again when something of it has changed."""

    def __init__(self, say: Say, *, dry_run: bool) -> None:
        self._say, self._dry_run = say, dry_run
        self._brought: tuple[str, dict[str, int]] | None = None
        self._roots: dict[str, tuple[str, bool, str, str]] = {}

    def tell(self, outcome: Outcome) -> None:
        """Nothing is said of a step in which not everything had its turn."""
        if not outcome.complete:
            return
        counts = dict(sorted(Counter(str(one.status) for one in outcome.objects).items()))
        brought = (outcome.revision, counts)
        if brought != self._brought and (counts or not outcome.roots):
            self._brought = brought
            partly = " in part" if counts.get("failed") else ""
            self._say.info(
                f"the cluster {'would be' if self._dry_run else 'is'} as Git says{partly}",
                revision=outcome.revision[:12],
                **counts,
            )
        for root in outcome.roots:
            self._tell_root(root)

    def _tell_root(self, root: RootStatus) -> None:
        now = (root.revision, root.synced, root.health, root.message)
        if self._roots.get(root.path) == now:
            return
        self._roots[root.path] = now
        level = self._say.warning if root.health in ("degraded", "missing") else self._say.info
        told = {"by": root.source, "revision": root.revision[:12], "message": root.message}
        level(
            f"root of {root.sync}",
            path=root.path,
            synced=root.synced,
            health=root.health,
            **{name: text for name, text in told.items() if text},
        )
