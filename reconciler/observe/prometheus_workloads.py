"""From the containers of pods that a scan has found to workloads with what they were given and what they used."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from reconciler.model.observation import ObservedName, OomRecord, SeriesKey, UsageSummary
from reconciler.model.workload import (
    BUILT_IN_KINDS,
    RESOURCES,
    Container,
    ObjectRef,
    Resource,
    Resources,
    Source,
    Workload,
    WorkloadKey,
)
from reconciler.observe import prometheus_questions as questions
from reconciler.observe.prometheus_bulk import by_place, place_of
from reconciler.observe.prometheus_questions import INIT_LIMITS, INIT_REQUESTS, LIMITS, REQUESTS
from reconciler.observe.prometheus_scan import QUANTILES, Scan
from reconciler.observe.prometheus_slices import Life
from reconciler.observe.prometheus_usage import Place

SEEN_IN = Source(path="seen in Prometheus")
"""Where what no file declares comes from."""

_ROLLOUT = "argoproj.io/v1alpha1"
_NAME = TypeAdapter[str](ObservedName)
Role = Literal["main", "init", "sidecar"]


@dataclass(frozen=True, eq=False)
class Found:
    """The workloads of one cluster. ``replicas``: pods that run now, of those that have any."""

    workloads: tuple[Workload, ...]
    usage: Mapping[SeriesKey, UsageSummary]
    ooms: Mapping[tuple[WorkloadKey, str], OomRecord]
    replicas: Mapping[WorkloadKey, int]


def workloads_in(scan: Scan) -> Found:
    """Every workload whose pods were seen in the window."""
    places: dict[WorkloadKey, list[Place]] = defaultdict(list)
    for place in scan.lives:
        owner = scan.owners.get(place[:2])
        if owner is not None and _is_name(place.container):
            places[owner].append(place)
    running = {key: {place[:2] for place in found if place in scan.running} for key, found in places.items()}
    sized, labels = _Sized(scan), _labels(scan)
    restarts = _Restarts(scan)
    workloads: list[Workload] = []
    usage: dict[SeriesKey, UsageSummary] = {}
    ooms: dict[tuple[WorkloadKey, str], OomRecord] = {}
    for key, found in sorted(places.items(), key=lambda item: str(item[0])):
        pods = running[key] or _newest(scan, found)
        workloads.append(_workload(key, sized.containers(pods), labels.get(next(iter(sorted(pods))), ({}, {}))))
        usage.update(_usage(scan, key, found))
        ooms.update(restarts.of(key, found))
    return Found(tuple(workloads), usage, ooms, {key: len(pods) for key, pods in running.items() if pods})


def _is_name(text: str) -> bool:
    try:
        return bool(_NAME.validate_python(text))
    except ValidationError:
        return False


def _newest(scan: Scan, places: Iterable[Place]) -> set[tuple[str, str]]:
    """The pod that was seen last, where none runs: its containers and sizes count."""
    return {max(places, key=lambda place: (scan.lives[place].last, place))[:2]}


def _workload(
    key: WorkloadKey, containers: tuple[Container, ...], labels: tuple[dict[str, str], dict[str, str]]
) -> Workload:
    version = _ROLLOUT if key.kind == "Rollout" else BUILT_IN_KINDS.get(key.kind, "")
    ref = ObjectRef(api_version=version, kind=key.kind, name=key.name, namespace=key.namespace)
    return Workload(
        key=key, ref=ref, root="", source=SEEN_IN, containers=containers, pod_labels=labels[0], annotations=labels[1]
    )


# --- what was given ---------------------------------------------------------------------------------------------------


class _Sized:
    """Containers by pod, with their roles, requests and limits."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._roles: dict[tuple[str, str], dict[str, Role]] = defaultdict(dict)
        for place in scan.lives:
            self._roles[place[:2]][place.container] = "main"
        for name in questions.SIZES:
            for place, _ in scan.sizes[name]:
                self._roles[place[:2]].setdefault(place.container, "main")
        self._find_init()

    def _find_init(self) -> None:
        """An init container that goes on beside the others is a sidecar: the API says so, and so does that it runs."""
        found = {place: "" for name in (INIT_REQUESTS, INIT_LIMITS) for place, _ in self._scan.sizes[name]}
        for point in self._scan.answers[questions.INIT]:
            found[place_of(point)] = point.labels.get("restart_policy", "")
        for place, policy in found.items():
            beside = policy == "Always" or (not policy and place in self._scan.running)
            self._roles[place[:2]][place.container] = "sidecar" if beside else "init"

    def containers(self, pods: Iterable[tuple[str, str]]) -> tuple[Container, ...]:
        """Those of these pods, which are of one workload: main containers by name, then init containers and sidecars."""
        by_name: dict[str, list[Place]] = defaultdict(list)
        roles: dict[str, Role] = {}
        for pod in pods:
            for name, role in self._roles[pod].items():
                by_name[name].append(Place(*pod, name))
                roles[name] = role
        names = sorted((name for name in by_name if _is_name(name)), key=lambda name: (roles[name] != "main", name))
        return tuple(Container(name=name, role=roles[name], resources=self._resources(by_name[name])) for name in names)

    def _resources(self, places: list[Place]) -> Resources:
        return Resources(
            cpu_request=self._size(places, (REQUESTS, INIT_REQUESTS), "cpu"),
            memory_request=self._size(places, (REQUESTS, INIT_REQUESTS), "memory"),
            cpu_limit=self._size(places, (LIMITS, INIT_LIMITS), "cpu"),
            memory_limit=self._size(places, (LIMITS, INIT_LIMITS), "memory"),
        )

    def _size(self, places: list[Place], metrics: tuple[str, ...], resource: Resource) -> int | None:
        """What most pods have, of as many the larger; in a rollout they differ. Millicores or bytes."""
        sizes = (self._scan.sizes[metric].get((place, resource)) for metric in metrics for place in places)
        found = Counter(whole(size, resource) for size in sizes if size is not None)
        return max(found, key=lambda size: (found[size], size)) if found else None


def whole(size: float, resource: Resource) -> int:
    """Millicores of cores, which come as binary fractions (0.1 is 100m, not 101m); bytes of bytes."""
    return math.ceil(round(size * 1000, 6)) if resource == "cpu" else int(size)


def _labels(scan: Scan) -> dict[tuple[str, str], tuple[dict[str, str], dict[str, str]]]:
    """Labels and annotations of pods, as kube-state-metrics spells their names."""
    found: dict[tuple[str, str], tuple[dict[str, str], dict[str, str]]] = {}
    for at, (metric, prefix) in enumerate(((questions.LABELS, "label_"), (questions.ANNOTATIONS, "annotation_"))):
        for point in scan.answers.get(metric, ()):
            both = found.setdefault(place_of(point)[:2], ({}, {}))
            both[at].update(
                {name.removeprefix(prefix): value for name, value in point.labels.items() if name.startswith(prefix)}
            )
    return found


# --- what was used ----------------------------------------------------------------------------------------------------


def _usage(scan: Scan, key: WorkloadKey, places: Iterable[Place]) -> Iterator[tuple[SeriesKey, UsageSummary]]:
    by_container: dict[str, list[Place]] = defaultdict(list)
    for place in places:
        by_container[place.container].append(place)
    for container, found in by_container.items():
        for resource in RESOURCES:
            series = SeriesKey(workload=key, container=container, resource=resource)
            if (summary := _summary(scan, resource, found)) is not None:
                yield series, summary


def _summary(scan: Scan, resource: Resource, places: Iterable[Place]) -> UsageSummary | None:
    """All pods of a workload's container together. The highest of their maxima and of their quantiles counts: enough for
    each pod, and never less than what all of them together have.
    """
    maxima = scan.cpu if resource == "cpu" else scan.memory
    seen = [place for place in places if place in maxima]
    if not seen:
        return None
    lives = [scan.lives[place] for place in seen]
    maximum = max(maxima[place] for place in seen)
    quantiles = {
        f"p{q * 100:g}": max(by[place] for place in seen if place in by)
        for q in QUANTILES
        if (by := scan.quantiles.get((resource, q))) and any(place in by for place in seen)
    }
    base = {"max": maximum} | ({"quantile": quantiles["p95"]} if "p95" in quantiles else {})
    return UsageSummary(
        samples=sum(life.scrapes for life in lives),
        maximum=maximum,
        average=min(maximum, _average(scan, resource, seen)),
        base=base,
        quantiles=quantiles,
        first=min(life.first for life in lives),
        last=max(life.last for life in lives),
    )


def _average(scan: Scan, resource: Resource, places: list[Place]) -> float:
    """Of all pods, each by how long it ran; 0 where it was not asked for.

    CPU is counted on where nobody scrapes, so it is over all of the time from the first scrape to the last.
    """
    if resource == "cpu":
        ran = sum(_ran(scan.lives[place]) for place in places)
        return sum(scan.cpu_seconds.get(place, 0.0) for place in places) / ran if ran else 0.0
    added = [place for place in places if place in scan.memory_sums]
    scrapes = sum(scan.lives[place].scrapes for place in added)
    return sum(scan.memory_sums[place] for place in added) / scrapes if scrapes else 0.0


def _ran(life: Life) -> float:
    """Seconds."""
    return max(life.scrapes * life.every, (life.last - life.first).total_seconds())


# --- restarts and OOM kills -------------------------------------------------------------------------------------------


class _Restarts:
    """Restarts in the window. A container whose last end was an OOM kill, and was not so when the window began, counts
    each restart as one kill.
    """

    def __init__(self, scan: Scan) -> None:
        self._now, self._before = by_place(scan.answers[questions.RESTARTS]), by_place(scan.answers["restarts before"])
        self._killed, self._old = by_place(scan.answers["killed"]), by_place(scan.answers["killed before"])

    def of(self, key: WorkloadKey, places: Iterable[Place]) -> Iterator[tuple[tuple[WorkloadKey, str], OomRecord]]:
        """One record for each container that was restarted or killed."""
        kills: Counter[str] = Counter()
        restarts: Counter[str] = Counter()
        for place in places:
            more = max(0, int(self._now.get(place, 0) - self._before.get(place, 0)))
            restarts[place.container] += more
            if self._killed.get(place):
                kills[place.container] += more if self._old.get(place) else max(1, more)
        for name, count in restarts.items():
            if count or kills[name]:
                yield (key, name), OomRecord(workload=key, container=name, oom_kills=kills[name], restarts=count)
