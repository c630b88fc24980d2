"""The usage of a cluster's containers from a Prometheus, and their restarts: a stretch of time in a few range queries.

One sample is five minutes: the average of CPU and the maximum of memory in them, whether the stretch is two weeks or five
minutes long. So no day weighs more than another, and no peak of memory is missed between two samples.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from reconciler.model.observation import ObservedName, SeriesKey
from reconciler.model.pulled import STEP_SECONDS, Pulled, Restarted
from reconciler.model.samples import Samples
from reconciler.model.workload import Resource, WorkloadKey
from reconciler.observe.prometheus import Line, Prometheus
from reconciler.observe.prometheus_owners import Asking, Owners, PodName
from reconciler.observe.prometheus_scope import RUNNING, Scope
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
    from_zero: bool,
) -> Pulled:
    """What the containers in ``scopes`` (parts of one cluster) used, and how often they restarted, in ``span``.

    ``from_zero``: a restart counter of which nothing is known was 0 before the span; otherwise what it says first is old.
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
    readings: list[Restarted] = []
    if restarts:
        readings = _readings(
            restarts, ask.ended(), folding, peaks=_peaks([*memory, *ask.limits()]), span=span, from_zero=from_zero
        )
    return Pulled(folding.samples(), tuple(readings), folding.refused, len(pods - folding.owners.keys()))


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

    def lines(
        self, of: str, name: str, *matchers: str, by: Sequence[str] = Place._fields, having: str = ""
    ) -> list[Line]:
        """The highest of the series of each container, as restarts and two servers that scrape the same leave several."""
        found = []
        for scope in self.scopes:
            promql = f"max by ({', '.join(by)}) ({of.format(scope.series(name, *matchers))}){having}"
            first, last = _instant(self.span.first), _instant(self.span.last)
            found += self.prometheus.query_range(promql, first, last, STEP_SECONDS)
        return found

    def restarts(self) -> list[Line]:
        return self.lines("{}", RESTARTS, by=(*Place._fields, "uid"), having=" > 0")

    def ended(self) -> list[Line]:
        return self.lines("{}", ENDED, _BY_OOM, by=(*Place._fields, "uid"), having=" > 0")

    def limits(self) -> list[Line]:
        """Memory limits of the containers that an OOM kill has ended."""
        found = []
        for scope in self.scopes:
            ended = f" and max by ({', '.join(Place._fields)}) ({scope.series(ENDED, _BY_OOM)}) > 0"
            found += replace(self, scopes=[scope]).lines("{}", LIMITS, 'resource="memory"', having=ended)
        return found


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


def _readings(
    restarts: Iterable[Line],
    ended: Iterable[Line],
    folding: _Folding,
    *,
    peaks: Mapping[Place, float],
    span: Span,
    from_zero: bool,
) -> list[Restarted]:
    killed = {(_place(line), line.labels.get("uid", "")): frozenset(line.seconds.tolist()) for line in ended}
    found = []
    for line in restarts:
        place, uid = _place(line), line.labels.get("uid", "")
        workload = folding.owners.get(place[:2])
        if workload is None:
            continue
        counts = tuple(_changes(line, killed.get((place, uid), frozenset())))
        if not counts:
            continue
        old = counts[0][1] if counts[0][0] == span.first and not from_zero else 0
        pod = uid or f"{place.namespace}/{place.pod}"
        found.append(Restarted(workload, pod, place.container, old, counts, int(peaks.get(place, 0))))
    return found


def _changes(line: Line, killed: frozenset[int]) -> Iterator[tuple[int, int, bool]]:
    usable = np.isfinite(line.values) & (line.values < 2**31)
    seconds, values = line.seconds[usable], line.values[usable].astype(np.int64)
    for place in np.flatnonzero(np.diff(values, prepend=-1)).tolist():
        yield int(seconds[place]), int(values[place]), int(seconds[place]) in killed
