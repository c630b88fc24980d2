"""What an analysis saw, read back from the usage history (``metrics_snapshot`` of the Recommendations API)."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from api.recommendations.schemas import ContainerSnapshot, Cpu, Memory, MetricsSnapshot, Replicas, Window
from reconciler.model.observation import UsageSummary
from reconciler.model.recommendation import ContainerSizes, WorkloadRecommendation
from reconciler.model.workload import Resource
from reconciler.store.usage_workload import WorkloadHistory

_SHOWN = ("p50", "p95", "p99")
_UNITS: dict[Resource, str] = {"cpu": "cores", "memory": "bytes"}
_MILLICORES_A_CORE = 1000
_PLACES: dict[Resource, int | None] = {"cpu": 6, "memory": None}
"""A microcore is finer than any kubelet tells; bytes are whole."""

_Container = tuple[ContainerSizes, UsageSummary | None]


def analyzed(one: WorkloadRecommendation) -> tuple[datetime, datetime]:
    """The analysis window: from when until when."""
    return one.analyzed_at - timedelta(seconds=one.window_seconds), one.analyzed_at


def snapshot(one: WorkloadRecommendation, history: WorkloadHistory) -> MetricsSnapshot:
    """The figures of a pod, and of each of its containers."""
    start, end = analyzed(one)
    # Init containers are gone once the pod runs; their requests are in no sum of costs either.
    steady = [sizes for sizes in one.current if sizes.role != "init"] or one.current
    return MetricsSnapshot(
        window=Window(start_at=start, end_at=end, samples=_samples(one.current, history)),
        cpu=Cpu(**_figures("cpu", steady, history)),
        memory=Memory(**_figures("memory", steady, history)),
        replicas=Replicas(desired_avg=float(one.replicas), running_avg=float(one.replicas)),
        restarts_total=one.restarts,
        oom_kills_total=one.oom_kills,
        containers=[_container(sizes, history) for sizes in one.current],
    )


def _container(sizes: ContainerSizes, history: WorkloadHistory) -> ContainerSnapshot:
    seen = history.incidents.get(sizes.name)
    return ContainerSnapshot(
        name=sizes.name,
        samples=_samples([sizes], history),
        cpu=Cpu(**_figures("cpu", [sizes], history)),
        memory=Memory(**_figures("memory", [sizes], history)),
        restarts=seen.restarts if seen else 0,
        oom_kills=seen.oom_kills if seen else 0,
    )


def _samples(containers: Sequence[ContainerSizes], history: WorkloadHistory) -> int:
    names = {one.name for one in containers}
    return max((summary.samples for (name, _), summary in history.usage.items() if name in names), default=0)


def _figures(resource: Resource, containers: Sequence[ContainerSizes], history: WorkloadHistory) -> dict[str, Any]:
    """By name: the sums over ``containers``; what nothing is known of is left out.

    Utilization compares what containers with a request use with just their requests.
    """
    found = [(one, history.usage.get((one.name, resource))) for one in containers]
    figures: dict[str, float] = {}
    requests = [_request(resource, one) for one, _ in found]
    if any(request is not None for request in requests):
        figures[f"request_{_UNITS[resource]}"] = sum(request or 0 for request in requests)
    used = [summary for _, summary in found if summary is not None]
    for name in _SHOWN if used else ():
        figures[_used(resource, name)] = sum(summary.quantiles[name] for summary in used)
    if used:
        figures[_used(resource, "max")] = sum(summary.maximum for summary in used)
        figures[_used(resource, "avg")] = sum(summary.average for summary in used)
    rounded = {name: round(figure, _PLACES[resource]) for name, figure in figures.items()}
    return rounded | _utilization(resource, found)


def _used(resource: Resource, figure: str) -> str:
    return f"used_{_UNITS[resource]}_{figure}"


def _utilization(resource: Resource, found: Sequence[_Container]) -> dict[str, float]:
    both = [(request, summary) for one, summary in found if summary and (request := _request(resource, one))]
    if not both:
        return {}
    used = sum(summary.quantiles["p95"] for _, summary in both)
    return {"utilization_percent_p95": round(100 * used / sum(request for request, _ in both), 2)}


def _request(resource: Resource, one: ContainerSizes) -> float | None:
    """Cores or bytes; None = not set."""
    request = one.resources.request(resource)
    if request is None:
        return None
    return request / _MILLICORES_A_CORE if resource == "cpu" else request
