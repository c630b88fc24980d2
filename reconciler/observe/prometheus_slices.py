"""Since when a container runs and until when, read from how often it was scraped in each slice of the window.

To ask Prometheus for the time of the first and the last scrape means to look at every one again, several times as slow
as counting them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.observe.prometheus_usage import Place

SLICES = 14
"""A day each in the default window."""


@dataclass(frozen=True)
class Slice:
    """The ``seconds`` up to ``end``."""

    end: datetime
    seconds: int

    @property
    def start(self) -> datetime:
        return self.end - timedelta(seconds=self.seconds)


@dataclass(frozen=True)
class Life:
    """A container of a pod, as scraped. ``every``: seconds between two scrapes."""

    scrapes: int
    first: datetime
    last: datetime
    every: float


def slices(at: datetime, seconds: int) -> list[Slice]:
    """The window in parts of one length, the earliest first: whole seconds, so that one range query asks for all of them.
    Up to thirteen seconds at the start of the window, less than a scrape, are in none.
    """
    each = max(1, seconds // SLICES)
    return [Slice(at - timedelta(seconds=each * later), each) for later in reversed(range(min(SLICES, seconds)))]


def lives(cuts: Sequence[Slice], counts: Sequence[Mapping[Place, float]], every: float) -> dict[Place, Life]:
    """By container, from its scrapes in each slice. ``every``: seconds between two of them, 0 where that is not known.

    A container ran at the end of every slice but its last, and from the start of every slice but its first. One that is
    in a single slice is taken to have ended with it, unless another slice comes after: then nothing says when.
    """
    by_place: dict[Place, dict[int, int]] = {}
    for number, found in enumerate(counts):
        for place, count in found.items():
            if count >= 1:
                by_place.setdefault(place, {})[number] = int(count)
    usual = every or _interval(cuts, [max(by.values()) for by in by_place.values()])
    return {place: _life(cuts, by, usual) for place, by in by_place.items()}


def _interval(cuts: Sequence[Slice], most: Sequence[int]) -> float:
    """Seconds between two scrapes: that of the container in the middle, which is up all through at least one slice."""
    return cuts[0].seconds / sorted(most)[len(most) // 2] if most else 0.0


def _life(cuts: Sequence[Slice], by: Mapping[int, int], usual: float) -> Life:
    early, late = min(by), max(by)
    between = [number for number in by if early < number < late]
    # A slice in the middle of its life has all its scrapes; without one, it is as the others are.
    every = min((cuts[number].seconds / by[number] for number in between), default=usual)
    first = cuts[early].end - timedelta(seconds=(by[early] - 1) * every)
    last = cuts[late].end if early == late else cuts[late].start + timedelta(seconds=by[late] * every)
    first, last = max(first, cuts[early].start), min(max(last, first), cuts[late].end)
    return Life(sum(by.values()), first, last, every)
