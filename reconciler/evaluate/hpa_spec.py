"""The HPA that a policy asks for, made from the policy's fields only, never from load (DESIGN §6)."""

import math

from reconciler.evaluate.request_base import absolute_cpu_target
from reconciler.model.change import ValueEdit
from reconciler.model.machine_file import MachineFile
from reconciler.model.policy import ScalingPolicy, ScalingPolicySpec
from reconciler.model.quantity import parse_quantity
from reconciler.model.workload import Workload

MIN_PERIOD_SECONDS = 15
MAX_PERIOD_SECONDS = 1800
"""An HPA's own bounds: it is synced every 15 s, and ``periodSeconds`` may be 1800 at most (FACTS §HPA)."""


def desired_hpa(policy: ScalingPolicy, workload: Workload, *, sized_cpu: bool) -> MachineFile:
    """The values of the HPA for ``workload``.

    ``sized_cpu``: Trimtab sizes the workload's CPU. Then CPU is an ``AverageValue`` of people's own request, which does
    not move with ours; where there is no such request, it stays a percentage.
    """
    spec = policy.spec
    values = {"minReplicas": str(spec.min_replicas), "maxReplicas": str(spec.max_replicas), "policy": policy.id}
    if spec.cpu_target_percent is not None:
        absolute = absolute_cpu_target(spec.cpu_target_percent, workload) if sized_cpu else None
        values["metrics/cpu"] = absolute or utilization(spec.cpu_target_percent)
    if spec.memory_target_percent is not None:
        values["metrics/memory"] = utilization(spec.memory_target_percent)
    values |= _behavior("scaleUp", 0, spec.cooldown_scale_up_seconds, spec.step_size)
    values |= _behavior("scaleDown", spec.cooldown_scale_down_seconds, spec.cooldown_scale_down_seconds, spec.step_size)
    return MachineFile(form="hpa", target=workload.ref, values=values)


def utilization(percent: float) -> str:
    """``averageUtilization`` is an int32: rounded half up, so that 70.5 is 71 as people expect."""
    return f"{math.floor(percent + 0.5)}%"


def describe(spec: ScalingPolicySpec, workload: Workload) -> str:
    """``HPA shop/web 2–10 replicas, CPU 70 %``."""
    targets = (("CPU", spec.cpu_target_percent), ("memory", spec.memory_target_percent))
    metrics = "".join(f", {name} {percent:g} %" for name, percent in targets if percent is not None)
    return f"HPA {spec.target_namespace}/{workload.key.name} {spec.min_replicas}–{spec.max_replicas} replicas{metrics}"


def takes_capacity(edits: tuple[ValueEdit, ...], workload: Workload) -> bool:
    """Whether fewer replicas may run afterwards: a lower minimum or maximum, a higher target, a metric or the file gone.

    A new HPA takes capacity where its maximum is below what the manifest runs.
    """
    return any(_lowers(edit, workload) for edit in edits)


def _lowers(edit: ValueEdit, workload: Workload) -> bool:
    if edit.field == "maxReplicas" and edit.old is None and edit.new is not None:
        return workload.replicas is not None and int(edit.new) < workload.replicas
    if edit.old is None or edit.field not in ("minReplicas", "maxReplicas", "metrics/cpu", "metrics/memory"):
        return False
    if edit.new is None:
        return True
    if edit.field.startswith("metrics/"):
        return _rises(edit.old, edit.new, workload)
    return int(edit.new) < int(edit.old)


def _rises(old: str, new: str, workload: Workload) -> bool:
    if old.endswith("%") and new.endswith("%"):
        return int(new[:-1]) > int(old[:-1])
    before, after = _absolute(old, workload), _absolute(new, workload)
    # Without a request to compare by, a change of kind is taken for one that takes capacity: it then waits for a window.
    return before is None or after is None or parse_quantity(after) > parse_quantity(before)


def _absolute(target: str, workload: Workload) -> str | None:
    return absolute_cpu_target(float(target[:-1]), workload) if target.endswith("%") else target


def _behavior(direction: str, stabilization: int, cooldown: int, step: int) -> dict[str, str]:
    period = min(MAX_PERIOD_SECONDS, max(MIN_PERIOD_SECONDS, cooldown))
    return {
        f"behavior/{direction}/stabilizationWindowSeconds": str(stabilization),
        f"behavior/{direction}/pods": str(step),
        f"behavior/{direction}/periodSeconds": str(period),
    }
