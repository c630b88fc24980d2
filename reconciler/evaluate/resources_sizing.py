"""What one lxc policy makes of one container: cores and memory within its bounds, its steps and its node."""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from reconciler.evaluate.resources_load import (
    MEMORY_STEP_MB,
    Measured,
    confirmed,
    cores_of,
    measured,
    memory_floor,
    wanted_cores,
    wanted_memory,
)
from reconciler.evaluate.resources_room import NodeSeen
from reconciler.evaluate.scaling_forecast import bounded, worst
from reconciler.manifests.lxc_container import CORES, MEMORY
from reconciler.model.lxc_container import LXCContainer, LXCState
from reconciler.model.policy import ScalingPolicySpec


class Asked(NamedTuple):
    """One value: what the file says (or the container has, where it says nothing), and what it should be.

    ``outside``: the policy does not allow ``base`` at all. ``conflict``: why it is not what it should be.
    """

    field: str
    base: int
    value: int
    outside: bool = False
    conflict: str = ""
    aside: str = ""
    """Words for the reason: what it would have been, were there room."""


class Sizing(NamedTuple):
    """``asked``: of the values that the policy decides. ``seen``: the metrics of the newest reading."""

    asked: tuple[Asked, ...]
    seen: tuple[Measured, ...]
    reason: str


def sized(spec: ScalingPolicySpec, readings: Sequence[LXCState], node: NodeSeen, file: LXCContainer | None) -> Sizing:
    """What the policy asks for, given ``readings`` (oldest first, at least one) of a container that runs."""
    newest, window = readings[-1], confirmed(readings)
    asked: list[Asked] = []
    if spec.cpu_target_percent is not None:
        base = (file.cores if file else None) or cores_of(newest, node.cpus)
        asked.append(_cores(spec, window, node, base, spec.cpu_target_percent))
    if spec.memory_target_percent is not None and not (spec.min_memory_mb is None and spec.max_memory_mb is None):
        base = (file.memory_mb if file else None) or newest.memory_mb
        asked.append(_memory(spec, window, newest, base, spec.memory_target_percent))
    seen = measured(spec, newest, node.cpus)
    return Sizing(tuple(asked), tuple(seen), _reason(spec, asked, seen, newest, node.cpus))


def _cores(
    spec: ScalingPolicySpec, window: Sequence[LXCState], node: NodeSeen, base: int, target_percent: float
) -> Asked:
    wanted = wanted_cores(target_percent, window, node.cpus, base) if window else base
    most = max(node.cpus, 1) if node.cpus else spec.max_replicas
    value = min(bounded(spec, base, wanted), max(most, min(base, spec.max_replicas)))
    outside = not spec.min_replicas <= base <= spec.max_replicas
    conflict = ""
    if spec.min_replicas > most:
        conflict = f"minReplicas {spec.min_replicas} is more than the {most} cores that the node has"
    aside = f"; {wanted} would be more than the {most} cores of its node" if wanted > max(most, base) else ""
    return Asked(CORES, base, value, outside, conflict, aside)


def _memory(
    spec: ScalingPolicySpec, window: Sequence[LXCState], newest: LXCState, base: int, target_percent: float
) -> Asked:
    wanted = wanted_memory(target_percent, window, base) if window else base
    step = MEMORY_STEP_MB * spec.step_size
    value = min(max(wanted, base - step), base + step)
    floor = min(memory_floor(window or [newest]), base)
    value = max(value, floor) if value < base else value
    low, high = spec.min_memory_mb or 0, spec.max_memory_mb or max(value, base)
    value = min(max(value, low), high)
    outside = not low <= base <= high
    if value < floor:
        used = f"{newest.used_memory_mb:.0f} MB are in use"
        return Asked(MEMORY, base, base, outside, f"maxMemoryMB {high} is too little: {used}; raise it, or use less")
    return Asked(MEMORY, base, value, outside)


def _reason(
    spec: ScalingPolicySpec, asked: Sequence[Asked], seen: Sequence[Measured], newest: LXCState, cpus: int
) -> str:
    has = {"cpu_percent": f"{cores_of(newest, cpus)} cores", "memory_percent": f"{newest.memory_mb} MB"}
    parts = [
        f"{one.metric.removesuffix('_percent')} at {_figure(one.percent)}% of {has[one.metric]} "
        f"against a target of {float(one.threshold):g}%"
        for one in seen
    ]
    bounds = {
        CORES: f"{spec.min_replicas} to {spec.max_replicas} cores",
        MEMORY: f"{spec.min_memory_mb or 'any'} to {spec.max_memory_mb or 'any'} MB",
    }
    parts += [f"{bounds[one.field]} are allowed" for one in asked if one.outside]
    return " and ".join(parts) + "".join(one.aside for one in asked)


def _figure(percent: Fraction) -> str:
    return f"{round(float(percent), 2):g}"


def trigger(sizing: Sizing) -> tuple[str | None, float | None, float | None]:
    """The metric that is highest as a share of its target, its percent, and the target."""
    return worst(sizing.seen)
