"""What is pulled from a metrics server, and how far it goes."""

from dataclasses import dataclass, replace
from typing import Self

from reconciler.model.samples import Samples
from reconciler.model.workload import WorkloadKey

STEP_SECONDS = 300
"""One sample of each container every five minutes."""

NOTICED_SECONDS = 3600
"""An agent that is noticed now began to push at most so long ago: it can push only while a server is there to notice it."""


@dataclass(frozen=True)
class Progress:
    """Everything up to and with unix second ``at`` is in the history, or will not be asked for.

    ``ahead``: a stretch further on, from a second to a second, that others have recorded (agents, an import), and that is
    therefore left out.
    """

    at: int
    ahead: tuple[int, int] | None = None

    @classmethod
    def begin(cls, oldest: int, known: tuple[int, int] | None) -> Self:
        """Nothing was pulled yet. ``known``: the first and last second of what the history has from elsewhere."""
        return cls(oldest, known).moved(oldest)

    def next(self, until: int) -> tuple[int, int] | None:
        """What is to be asked for now: the seconds after the first, up to and with the second; None when no sample is due."""
        last = min(until, self.ahead[0] - 1) if self.ahead else until
        return (self.at, last) if last // STEP_SECONDS > self.at // STEP_SECONDS else None

    def moved(self, to: int) -> Self:
        """What is up to and with ``to`` is in the history now."""
        at = max(self.at, to)
        if self.ahead is not None and (self.ahead[0] - 1) // STEP_SECONDS <= at // STEP_SECONDS:
            return replace(self, at=max(at, self.ahead[1]), ahead=None)
        return replace(self, at=at)

    def covered(self, until: int) -> Self:
        """Somebody else has recorded what there is shortly before ``until``, and since the stretch ahead, if there is one."""
        if until <= self.at:
            return self
        first, last = self.ahead or (until - NOTICED_SECONDS, until)
        return replace(self, ahead=(first, max(last, until))).moved(self.at)

    def dump(self) -> str:
        return " ".join(map(str, (self.at, *(self.ahead or ()))))

    @classmethod
    def load(cls, text: str) -> Self:
        at, *ahead = map(int, text.split())
        return cls(at, (ahead[0], ahead[1]) if ahead else None)


@dataclass(frozen=True)
class Restarted:
    """How often a pod's container has restarted in the five minutes up to unix ``second``; ``killed``: the newest of these
    ends was an OOM kill. ``peak_bytes``: the most that it used, or its limit."""

    workload: WorkloadKey
    container: str
    second: int
    restarts: int
    killed: bool
    peak_bytes: int


@dataclass(frozen=True)
class Pulled:
    """Part of a cluster's history. ``refused``: samples that no container can have used, ``unowned``: pods of which
    nobody says whose they are."""

    samples: Samples
    restarts: tuple[Restarted, ...] = ()
    refused: int = 0
    unowned: int = 0
