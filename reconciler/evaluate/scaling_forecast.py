"""How many replicas a HorizontalPodAutoscaler would run now: a forecast, shown and never written (DESIGN §6).

The formula, the tolerance and the rules for missing and unready pods are those of Kubernetes'
``pkg/controller/podautoscaler/replica_calculator.go``. Arithmetic is exact (fractions), so that a ratio of 1.1 is within
a tolerance of 0.1 and not a hair above it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from reconciler.evaluate.observed import TERMINATED
from reconciler.model.observation import Pod, PodContainer
from reconciler.model.policy import ScalingPolicySpec
from reconciler.model.quantity import MIB
from reconciler.model.workload import Resource, Workload

TOLERANCE = Fraction(1, 10)

Direction = Literal["up", "down", "none"]


@dataclass(frozen=True)
class Forecast:
    """``desired_replicas`` is None until something was observed, and while the workload rests at 0 replicas.

    ``trigger_metric`` is the worst of ``cpu_percent``, ``memory_percent`` and ``node_pressure_percent``: the one that is
    highest as a share of its ``threshold``. ``trigger_value`` and ``threshold`` are percent.
    """

    current_replicas: int
    desired_replicas: int | None = None
    direction: Direction = "none"
    trigger_metric: str | None = None
    trigger_value: float | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class _Sample:
    """One pod: usage and request in millicores or bytes."""

    usage: Fraction
    request: Fraction


@dataclass(frozen=True)
class _Samples:
    """``counted`` pods have a say; ``missing`` have no metric; ``unready`` are Pending, or (for CPU) not ready yet."""

    counted: list[_Sample]
    missing: list[_Sample]
    unready: list[_Sample]


@dataclass(frozen=True)
class _Reading:
    metric: str
    percent: Fraction
    threshold: Fraction
    replicas: int


def forecast(
    spec: ScalingPolicySpec,
    current_replicas: int,
    pods: Sequence[Pod],
    *,
    workload: Workload | None = None,
    cpu_base: int | None = None,
    node_pressure: float | None = None,
) -> Forecast:
    """The replicas that ``spec`` leads to with ``pods`` (of the target) as they are.

    ``workload`` supplies requests that the push leaves out. ``cpu_base``: millicores that CPU percent is a share of where
    the HPA has an absolute target; None = each pod's own request. ``node_pressure`` (percent) is shown, and moves nothing.
    """
    readings, failed = _readings(spec, current_replicas, pods, workload, cpu_base)
    trigger = _trigger(spec, readings, node_pressure)
    if not readings or current_replicas == 0:
        return Forecast(current_replicas, None, "none", *trigger)
    wanted = max(reading.replicas for reading in readings)
    if failed:
        wanted = max(wanted, current_replicas)
    desired = bounded(spec, current_replicas, wanted)
    return Forecast(current_replicas, desired, direction_of(current_replicas, desired), *trigger)


def _readings(
    spec: ScalingPolicySpec, current: int, pods: Sequence[Pod], workload: Workload | None, cpu_base: int | None
) -> tuple[list[_Reading], bool]:
    """The metrics that could be computed, and whether one could not."""
    targets: tuple[tuple[Resource, float | None], ...] = (
        ("cpu", spec.cpu_target_percent),
        ("memory", spec.memory_target_percent),
    )
    asked = [(resource, Fraction(str(percent))) for resource, percent in targets if percent is not None]
    readings = []
    for resource, threshold in asked:
        base = Fraction(cpu_base) if resource == "cpu" and cpu_base else None
        samples = _samples(resource, pods, workload, base)
        # An absolute target fills missing pods at the target, a utilization target at the whole request.
        fill = threshold if base is not None else Fraction(100)
        reading = _reading(resource, threshold, samples, current, fill)
        if reading is not None:
            readings.append(reading)
    return readings, len(readings) < len(asked)


def _reading(
    resource: Resource, threshold: Fraction, samples: _Samples | None, current: int, fill: Fraction
) -> _Reading | None:
    """One metric. None when it fails: a pod without a request, or no pod that counts."""
    requested = _requested(samples.counted) if samples is not None else Fraction(0)
    if samples is None or not requested:
        return None
    percent = 100 * _used(samples.counted) / requested
    replicas = _replicas(percent / threshold, threshold, samples, current, fill)
    return _Reading(f"{resource}_percent", percent, threshold, replicas)


def _replicas(ratio: Fraction, threshold: Fraction, samples: _Samples, current: int, fill: Fraction) -> int:
    """``current`` within the tolerance, else ceil(pods × ratio), after pods without a say were filled in conservatively."""
    counted, missing = samples.counted, samples.missing
    unready = samples.unready if ratio > 1 else []
    if not missing and not unready:
        return current if abs(1 - ratio) <= TOLERANCE else math.ceil(ratio * len(counted))
    filled = [*counted, *missing, *unready]
    used = _used(counted) + (_requested(missing) * fill / 100 if ratio < 1 else 0)
    adjusted = 100 * used / _requested(filled) / threshold
    if abs(1 - adjusted) <= TOLERANCE or (ratio < 1) != (adjusted < 1):
        return current
    replicas = math.ceil(adjusted * len(filled))
    return max(current, replicas) if adjusted > 1 else min(current, replicas)


def _used(samples: Sequence[_Sample]) -> Fraction:
    return sum((sample.usage for sample in samples), Fraction(0))


def _requested(samples: Sequence[_Sample]) -> Fraction:
    return sum((sample.request for sample in samples), Fraction(0))


def _samples(
    resource: Resource, pods: Sequence[Pod], workload: Workload | None, base: Fraction | None
) -> _Samples | None:
    """None when a pod's request is unknown: the metric has failed then, as it has for Kubernetes."""
    groups = _Samples([], [], [])
    for pod in pods:
        if pod.phase in TERMINATED:
            continue
        request = base if base is not None else _request(resource, pod, workload)
        if request is None:
            return None
        usage = _usage(resource, pod, workload)
        _group(groups, resource, pod, usage).append(_Sample(usage or Fraction(0), request))
    return groups


def _group(groups: _Samples, resource: Resource, pod: Pod, usage: Fraction | None) -> list[_Sample]:
    if pod.phase == "Pending":
        return groups.unready
    if usage is None:
        return groups.missing
    # Readiness matters for CPU only: a starting pod burns CPU that says nothing; its memory is what it is.
    return groups.unready if resource == "cpu" and not pod.ready else groups.counted


def _usage(resource: Resource, pod: Pod, workload: Workload | None) -> Fraction | None:
    """A pod's usage; None when any of its containers has no metric: a part of the sum would look like idleness."""
    used = Fraction(0)
    counted = _counted(pod, workload)
    for container in counted:
        value = container.cpu_millicores if resource == "cpu" else container.memory_mb
        if value is None:
            return None
        used += Fraction(value) * (1 if resource == "cpu" else MIB)
    return used if counted else None


def _request(resource: Resource, pod: Pod, workload: Workload | None) -> Fraction | None:
    if resource == "cpu" and workload is not None and workload.pod_cpu_request:
        return Fraction(workload.pod_cpu_request)
    containers = _counted(pod, workload)
    if not containers:
        return _declared_pod_request(resource, workload)
    requests = [_container_request(resource, container, workload) for container in containers]
    known = [request for request in requests if request is not None]
    return sum(known, Fraction(0)) if len(known) == len(requests) else None


def _container_request(resource: Resource, container: PodContainer, workload: Workload | None) -> Fraction | None:
    pushed = container.cpu_request_millicores if resource == "cpu" else container.memory_request_mb
    if pushed is not None:
        return Fraction(pushed) * (1 if resource == "cpu" else MIB)
    return _declared_request(resource, container.name, workload)


def _declared_request(resource: Resource, name: str, workload: Workload | None) -> Fraction | None:
    declared = workload.container(name) if workload is not None else None
    if declared is None:
        return None
    request, limit = declared.resources.request(resource), declared.resources.limit(resource)
    figure = request if request is not None else limit
    return Fraction(figure) if figure is not None else None


def _declared_pod_request(resource: Resource, workload: Workload | None) -> Fraction | None:
    """For a pod that was pushed without its containers: Pending ones, mostly."""
    names = [c.name for c in workload.containers if c.role != "init"] if workload is not None else []
    requests = [_declared_request(resource, name, workload) for name in names]
    known = [request for request in requests if request is not None]
    return sum(known, Fraction(0)) if known and len(known) == len(requests) else None


def _counted(pod: Pod, workload: Workload | None) -> list[PodContainer]:
    """The containers that run as long as the pod does: init containers have ended and have neither usage nor a say."""
    ended = {c.name for c in workload.containers if c.role == "init"} if workload is not None else set()
    return [container for container in pod.containers if container.name not in ended]


def bounded(spec: ScalingPolicySpec, current: int, wanted: int) -> int:
    """At most ``stepSize`` away from ``current``; the policy's minimum and maximum have the last word."""
    stepped = min(max(wanted, current - spec.step_size), current + spec.step_size)
    return min(max(stepped, spec.min_replicas), spec.max_replicas)


def direction_of(current: int, desired: int) -> Direction:
    if desired == current:
        return "none"
    return "up" if desired > current else "down"


def _trigger(
    spec: ScalingPolicySpec, readings: Sequence[_Reading], node_pressure: float | None
) -> tuple[str | None, float | None, float | None]:
    measured = [(r.metric, r.percent, r.threshold) for r in readings]
    if node_pressure is not None and spec.node_pressure_target_percent is not None:
        threshold = Fraction(str(spec.node_pressure_target_percent))
        measured.append(("node_pressure_percent", Fraction(node_pressure), threshold))
    return worst(measured)


def worst(measured: Sequence[tuple[str, Fraction, Fraction]]) -> tuple[str | None, float | None, float | None]:
    """Of (metric, percent, threshold), the one that is highest as a share of its threshold; all None when there is none."""
    if not measured:
        return None, None, None
    metric, percent, threshold = max(measured, key=lambda one: one[1] / one[2])
    return metric, round(float(percent), 2), float(threshold)
