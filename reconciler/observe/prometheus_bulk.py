"""Asking a Prometheus for all containers of a cluster at once, and for parts of them where that is too much for it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Lock

from reconciler.observe.prometheus import Point, Prometheus, TooMuch
from reconciler.observe.prometheus_scope import Scope
from reconciler.observe.prometheus_slices import Slice
from reconciler.observe.prometheus_usage import MEMORY, RUNNING, Place

AT_ONCE = 2
"""So many questions are under way at a time: each is a large one, and Prometheus has other things to do."""

SHORTEST_SECONDS = 3600
"""A stretch of time that is not cut any more."""

Question = Callable[[Scope, int], str]
"""PromQL about a scope in so many seconds up to the instant that it is asked at (0: at that instant only)."""


@dataclass
class Bulk:
    """One cluster (``scope``) in the ``seconds`` up to ``at``. Safe to use from several threads."""

    prometheus: Prometheus
    scope: Scope
    at: datetime
    seconds: int
    _namespaces: list[str] | None = None
    _lock: Lock = field(default_factory=Lock, repr=False)

    def within(self, question: Question, *, at: datetime | None = None, seconds: int | None = None) -> list[Point]:
        """The answer about a stretch of time, the whole one by default. Where it comes in parts, a series may have one
        point in each: what is asked must be such that they can be put together (a maximum, a sum).

        Raises what :meth:`Prometheus.query` does, :class:`TooMuch` only where an hour of one namespace is too much.
        """
        return self._ask(question, self.scope, at or self.at, self.seconds if seconds is None else seconds)

    def now(self, question: Question, *, at: datetime | None = None) -> list[Point]:
        """The answer about one instant. Raises what :meth:`within` does."""
        return self._ask(question, self.scope, at or self.at, 0)

    def along(self, question: Question, cuts: Sequence[Slice]) -> list[Point]:
        """The answers about each of these slices, which follow one another: ``second`` of a point is the end of its slice.
        One range query for all of them is several times as quick as a question each.

        Raises what :meth:`within` does.
        """
        return self._ask_along(question, self.scope, cuts)

    def _ask_along(self, question: Question, scope: Scope, cuts: Sequence[Slice]) -> list[Point]:
        if len(cuts) == 1:
            end = int(cuts[0].end.timestamp())
            found = self._ask(question, scope, cuts[0].end, cuts[0].seconds)
            return [replace(point, second=end) for point in found]
        try:
            promql, step = question(scope, cuts[0].seconds), cuts[0].seconds
            lines = self.prometheus.query_range(promql, cuts[0].end, cuts[-1].end, step)
        except TooMuch:
            half = len(cuts) // 2
            if parts := self._parts(scope):
                return [point for part in parts for point in self._ask_along(question, part, cuts)]
            return [point for part in (cuts[:half], cuts[half:]) for point in self._ask_along(question, scope, part)]
        return [
            Point(line.labels, value, second)
            for line in lines
            for second, value in zip(line.seconds.tolist(), line.values.tolist(), strict=True)
        ]

    def _ask(self, question: Question, scope: Scope, at: datetime, seconds: int) -> list[Point]:
        try:
            return self.prometheus.query(question(scope, seconds), at)
        except TooMuch:
            parts = self._parts(scope)
            if parts:
                return [point for part in parts for point in self._ask(question, part, at, seconds)]
            if seconds < 2 * SHORTEST_SECONDS:
                raise
        late = seconds // 2
        early = at - timedelta(seconds=late)
        return [*self._ask(question, scope, early, seconds - late), *self._ask(question, scope, at, late)]

    def _parts(self, scope: Scope) -> Sequence[Scope]:
        """Two halves of the namespaces; none where there is just one."""
        if scope.outside:
            return ()
        names = scope.namespaces or tuple(self._all_namespaces())
        if len(names) < 2:
            return ()
        halves = names[::2], names[1::2]
        return [replace(scope, namespaces=half) for half in halves] if scope.namespaces else scope.split(halves)

    def _all_namespaces(self) -> list[str]:
        """Those that have, or had in the window, containers; the largest first, so that halves are about as large."""
        with self._lock:
            if self._namespaces is None:
                series = self.scope.series(MEMORY, *RUNNING)
                counted = f"count by (namespace) (last_over_time({series}[{self.seconds}s]))"
                found = sorted(self.prometheus.query(counted, self.at), key=lambda point: -point.value)
                self._namespaces = [point.labels.get("namespace", "") for point in found]
            return self._namespaces


Answers = Mapping[str, list[Point]]
Asking = Callable[[], list[Point]]


def ask_all(questions: Mapping[str, Asking], on_progress: Callable[[int, int], None]) -> Answers:
    """All answers by name; ``on_progress`` is told how many of how many have come. The first error ends it."""
    found: dict[str, list[Point]] = {}
    on_progress(0, len(questions))
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="prometheus") as pool:
        asked = {pool.submit(asking): name for name, asking in questions.items()}
        try:
            for done in as_completed(asked):
                found[asked[done]] = done.result()
                on_progress(len(found), len(questions))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return found


def by_place(points: Iterable[Point], most: float = float("inf")) -> dict[Place, float]:
    """The highest value of each container; NaN, negative and absurd ones (over ``most``) are left out."""
    found: dict[Place, float] = {}
    for point in points:
        if 0 <= point.value <= most:
            place = place_of(point)
            found[place] = max(found.get(place, 0.0), point.value)
    return found


def place_of(point: Point) -> Place:
    labels = point.labels
    return Place(labels.get("namespace", ""), labels.get("pod", ""), labels.get("container", ""))
