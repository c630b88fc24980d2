"""The usage of a cluster's containers from a Prometheus, and their restarts: a stretch of time in a few range queries.

One sample is five minutes: the average of CPU and the maximum of memory in them, whether the stretch is two weeks or five
minutes long. So no day weighs more than another, and no peak of memory is missed between two samples.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from reconciler.model.observation import ObservedName, SeriesKey
from reconciler.model.pulled import STEP_SECONDS, Pulled, Restarted
from reconciler.model.samples import Samples
from reconciler.model.workload import Resource, WorkloadKey
from reconciler.observe.prometheus import Line, Point, Prometheus
from reconciler.observe.prometheus_owners import Asking, Owners, PodName
from reconciler.observe.prometheus_scope import RUNNING, Scope, one_of
from reconciler.observe.usage_batch import MAX_CORES, MAX_MEMORY_BYTES

__all__ = [
    "CPU",
    "MEMORY",
    "RUNNING",
    "STEP_SECONDS",
    "Place",
    "Span",
    "Windows",
    "namespaces",
    "pull",
    "scrape_seconds",
    "series_by_cluster",
]

CPU = "container_cpu_usage_seconds_total"
MEMORY = "container_memory_working_set_bytes"
RESTARTS = "/kube_pod(_init)?_container_status_restarts_total/"
ENDED = "/kube_pod(_init)?_container_status_last_terminated_reason/"
LIMITS = "/kube_pod(_init)?_container_resource_limits/"

_MOST_RESTARTS = 10_000
"""In five minutes: what is more is no counter of restarts."""
_LONG_STEPS = 12
_FEW = 100
"""So many pods are asked for by name, more by asking for all."""
_UID = ("uid",)
_BY_OOM = 'reason="OOMKilled"'
_MOST: Mapping[Resource, float] = {"cpu": MAX_CORES, "memory": MAX_MEMORY_BYTES}
_NAME = TypeAdapter[str](ObservedName)
_RATE_INTERVALS = 2.5
"""A rate needs two samples, and scrapes come a little early or late."""
_GAUGE_INTERVALS = 1.2


class Place(NamedTuple):
    """A container of a pod."""

    namespace: str
    pod: str
    container: str


@dataclass(frozen=True)
class Span:
    """Unix seconds of the first and of the last sample, both multiples of :data:`STEP_SECONDS`."""

    first: int
    last: int

    @property
    def steps(self) -> int:
        return (self.last - self.first) // STEP_SECONDS + 1


@dataclass(frozen=True)
class Windows:
    """How far back a sample looks, in seconds: five minutes, more where containers are scraped more seldom."""

    rate: int = STEP_SECONDS
    peak: int = STEP_SECONDS

    @classmethod
    def for_scrapes(cls, every: float) -> "Windows":
        """``every``: seconds between two scrapes of a container."""
        return cls(*(max(STEP_SECONDS, math.ceil(every * by / 60) * 60) for by in (_RATE_INTERVALS, _GAUGE_INTERVALS)))


def series_by_cluster(prometheus: Prometheus, label: str, at: int) -> dict[str, int]:
    """How many containers there are at an instant, by the value of the cluster label; "" has those without it."""
    by = f" by ({label})" if label else ""
    found = prometheus.query(f"count{by} ({Scope().series(MEMORY, *RUNNING)})", _instant(at))
    return {point.labels.get(label, ""): int(point.value) for point in found}


def scrape_seconds(prometheus: Prometheus, scope: Scope, at: int) -> float:
    """Seconds between two scrapes of a container, as the last half hour has it; 0 where that cannot be said."""
    seen = f"count_over_time({scope.series(MEMORY, *RUNNING)}[30m])"
    found = prometheus.query(f"quantile(0.5, {seen})", _instant(at))
    return 1800 / found[0].value if found and found[0].value >= 1 else 0.0


def namespaces(prometheus: Prometheus, scope: Scope, at: int) -> list[str]:
    """The namespaces that have containers, those with the most first."""
    found = prometheus.query(f"count by (namespace) ({scope.series(MEMORY, *RUNNING)})", _instant(at))
    return [point.labels.get("namespace", "") for point in sorted(found, key=lambda point: -point.value)]


def pull(
    prometheus: Prometheus,
    scopes: Sequence[Scope],
    span: Span,
    *,
    owners: Owners,
    windows: Windows,
    now: int,
) -> Pulled:
    """What the containers in ``scopes`` (parts of one cluster) used, and how often they restarted, in ``span``.

    Raises what :meth:`Prometheus.query_range` does; nothing is kept then.
    """
    ask = _Asker(prometheus, scopes, span)
    cpu = ask.lines(f"rate({{}}[{windows.rate}s])", CPU, *RUNNING)
    memory = ask.lines(f"max_over_time({{}}[{windows.peak}s])", MEMORY, *RUNNING)
    restarts = ask.restarts()
    at = min(now, span.last + STEP_SECONDS)
    asking = Asking(prometheus, scopes, at, at - span.first + STEP_SECONDS)
    pods = {_place(line)[:2] for line in (*cpu, *memory, *restarts)}
    folding = _Folding(owners.of(pods, asking))
    folding.usage("cpu", cpu)
    folding.usage("memory", memory)
    return Pulled(
        folding.samples(),
        tuple(_restarted(restarts, ask, memory, folding.owners)) if restarts else (),
        folding.refused,
        len(pods - folding.owners.keys()),
    )


def _instant(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def _place(line: Line) -> Place:
    return Place(*(line.labels.get(name, "") for name in Place._fields))


@dataclass(frozen=True)
class _Asker:
    """Range queries over one span, for each scope one after the other."""

    prometheus: Prometheus
    scopes: Sequence[Scope]
    span: Span

    def lines(self, of: str, name: str, *matchers: str) -> list[Line]:
        """The highest of the series of each container, as restarts and two servers that scrape the same leave several."""
        return self._ask(lambda scope: _highest(of.format(scope.series(name, *matchers))))

    def restarts(self) -> list[Line]:
        """How much each restart counter grew in five minutes, where it did; a new one since it was seen first.

        In a long stretch, few pods restart at all: those are found first, which is ten times as quick.
        """
        only: tuple[str, ...] = ()
        if self.span.steps > _LONG_STEPS:
            names = sorted({point.labels.get("pod", "") for point in self._restarting()})
            if not names:
                return []
            only = (f"pod=~{one_of(names)}",) if len(names) <= _FEW else ()

        def promql(scope: Scope) -> str:
            series = scope.series(RESTARTS, *only)
            now, before = _highest(series, *_UID), _highest(f"{series} offset {STEP_SECONDS}s", *_UID)
            first = _highest(f"min_over_time({series}[{STEP_SECONDS}s])", *_UID)
            return f"(({now} - {before}) or ({now} - {first})) > 0"

        return self._ask(promql)

    def _restarting(self) -> Iterator[Point]:
        seconds = self.span.last - self.span.first + 2 * STEP_SECONDS
        for scope in self.scopes:
            promql = f"max by (namespace, pod) (changes({scope.series(RESTARTS)}[{seconds}s])) > 0"
            yield from self.prometheus.query(promql, _instant(self.span.last))

    def killed(self) -> list[Line]:
        """The containers whose last end was an OOM kill, while it was."""
        return self._ask(lambda scope: f"{_highest(scope.series(ENDED, _BY_OOM), *_UID)} > 0")

    def limits(self) -> list[Line]:
        """Memory limits of these containers."""

        def promql(scope: Scope) -> str:
            limit = _highest(scope.series(LIMITS, 'resource="memory"'))
            return f"{limit} and {_highest(scope.series(ENDED, _BY_OOM))} > 0"

        return self._ask(promql)

    def _ask(self, promql: Callable[[Scope], str]) -> list[Line]:
        first, last = _instant(self.span.first), _instant(self.span.last)
        asked = (self.prometheus.query_range(promql(scope), first, last, STEP_SECONDS) for scope in self.scopes)
        return [line for lines in asked for line in lines]


def _highest(vector: str, *more: str) -> str:
    return f"max by ({', '.join((*Place._fields, *more))}) ({vector})"


@dataclass
class _Folding:
    """Lines of pods' containers on their way to samples of workloads' containers."""

    owners: Mapping[PodName, WorkloadKey | None]
    refused: int = 0
    _numbers: dict[SeriesKey, int] = field(default_factory=dict)
    _index: list[NDArray[np.int64]] = field(default_factory=list)
    _lines: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = field(default_factory=list)
    _names: dict[str, bool] = field(default_factory=dict)

    def usage(self, resource: Resource, lines: Iterable[Line]) -> None:
        for line in lines:
            place = _place(line)
            workload = self.owners.get(place[:2])
            if workload is None:
                continue
            good = (line.values >= 0) & (line.values <= _MOST[resource])  # and not NaN
            if not self._is_name(place.container):
                good[:] = False
            self.refused += int(len(good) - good.sum())
            if good.any():
                key = SeriesKey(workload=workload, container=place.container, resource=resource)
                number = self._numbers.setdefault(key, len(self._numbers))
                self._index.append(np.full(int(good.sum()), number, np.int64))
                self._lines.append((line.seconds[good], line.values[good]))

    def _is_name(self, text: str) -> bool:
        if text not in self._names:
            try:
                self._names[text] = bool(_NAME.validate_python(text))
            except ValidationError:
                self._names[text] = False
        return self._names[text]

    def samples(self) -> Samples:
        return Samples(
            series=tuple(self._numbers),
            index=np.concatenate([np.empty(0, np.int64), *self._index]),
            seconds=np.concatenate([np.empty(0, np.int64), *(seconds for seconds, _ in self._lines)]),
            values=np.concatenate([np.empty(0, np.float64), *(values for _, values in self._lines)]),
        )


def _peaks(lines: Iterable[Line]) -> Mapping[Place, float]:
    peaks: dict[Place, float] = defaultdict(float)
    for line in lines:
        usable = line.values[(line.values >= 0) & (line.values <= MAX_MEMORY_BYTES)]
        if len(usable):
            peaks[_place(line)] = max(peaks[_place(line)], float(usable.max()))
    return peaks


def _restarted(
    restarts: Sequence[Line], ask: _Asker, memory: Sequence[Line], owners: Mapping[PodName, WorkloadKey | None]
) -> Iterator[Restarted]:
    killed = {(_place(line), line.labels.get("uid", "")): frozenset(line.seconds.tolist()) for line in ask.killed()}
    peaks = _peaks([*memory, *ask.limits()]) if killed else {}
    for line in restarts:
        place, uid = _place(line), line.labels.get("uid", "")
        workload, kills = owners.get(place[:2]), killed.get((place, uid), frozenset())
        if workload is None:
            continue
        for second, grown in zip(line.seconds.tolist(), line.values.tolist(), strict=True):
            if grown < _MOST_RESTARTS:
                yield Restarted(
                    workload, place.container, second, round(grown), second in kills, int(peaks.get(place, 0))
                )
