"""Sizing beside an HPA: when a resource is left alone, and the metric that changes together with the CPU request.

DESIGN §7; the shrink spiral that this prevents is krr PR #80 (FACTS §HPA).
"""

from reconciler.evaluate.request_base import (
    BASE_CPU_ANNOTATION,
    absolute_cpu_target,
    pod_cpu_request_base,
    request_base_problem,
)
from reconciler.evaluate.sizing_context import SizingContext
from reconciler.evaluate.sizing_units import LABEL
from reconciler.manifests.machine_files import path_for
from reconciler.model.change import ValueEdit
from reconciler.model.fleet import Root
from reconciler.model.inventory import PersonHpa
from reconciler.model.quantity import format_cpu
from reconciler.model.workload import Resource, Workload

CPU_METRIC = "metrics/cpu"
MEMORY_METRIC = "metrics/memory"

BASE_CPU_FIELD = f"metadata/annotations/{BASE_CPU_ANNOTATION.replace('~', '~0').replace('/', '~1')}"
"""The key path of the annotation; a ``/`` within one key is ``~1``, as in a JSON pointer (RFC 6901)."""


def left_alone(workload: Workload, resource: Resource, context: SizingContext) -> str:
    """Why the resource is not sized on this workload, for a person; empty when it is."""
    if not (context.params.cpu if resource == "cpu" else context.params.memory):
        owner = f"action {context.action}" if context.action else "the fleet's rightsizing"
        return f"left alone: {owner} does not size {LABEL[resource]}"
    for hpa in context.hpas_on(workload):
        if resource in hpa.metrics:
            return f"left alone: {_named(hpa)} scales on {LABEL[resource]}, a share of the request"
    if resource == "cpu" and scales_on_cpu(workload, context) and pod_cpu_request_base(workload) is None:
        return f"left alone: Trimtab's HPA scales on CPU and {request_base_problem(workload)}"
    if resource == "memory" and _scales_on_memory(workload, context):
        return (
            "left alone: Trimtab's HPA scales on memory, a share of the request: a new request would move the replicas"
        )
    return ""


def scales_on_cpu(workload: Workload, context: SizingContext) -> bool:
    """Whether a live policy, or an HPA of ours that is still there, scales the workload on CPU."""
    if context.policy_cpu_percent and workload.key in context.policy_cpu_percent:
        return True
    return _has_metric(workload, CPU_METRIC, context)


def metric_edit(workload: Workload, context: SizingContext, root: Root) -> ValueEdit | None:
    """The edit that makes our HPA's CPU target absolute; None when there is nothing to edit.

    An HPA that is not in the overlay yet is not edited: whoever renders it writes the absolute target from the start
    (it is told which workloads are sized, :func:`reconciler.evaluate.sizing.sized_cpu`).
    """
    file = context.hpa_files.get(workload.key) if context.hpa_files else None
    if file is None or CPU_METRIC not in file.values:
        return None
    standing = file.values[CPU_METRIC]
    percent = context.policy_cpu_percent.get(workload.key, _percent(standing))
    target = absolute_cpu_target(percent, workload) if percent is not None else None
    if target is None or target == standing:
        return None
    path = path_for(root.overlay_path, "hpa", file.target, workload.key.namespace)
    return ValueEdit(path=path, form="hpa", target=file.target, field=CPU_METRIC, old=standing, new=target)


def annotation_edit(workload: Workload, context: SizingContext) -> ValueEdit | None:
    """In place: keep people's pod request before the first edit hides it; None when no HPA of ours needs it."""
    base = pod_cpu_request_base(workload)
    if base is None or BASE_CPU_ANNOTATION in workload.annotations or not scales_on_cpu(workload, context):
        return None
    return ValueEdit(
        path=workload.source.path,
        form="source",
        target=workload.ref,
        field=BASE_CPU_FIELD,
        old=None,
        new=format_cpu(base),
    )


def _scales_on_memory(workload: Workload, context: SizingContext) -> bool:
    if context.policy_memory and workload.key in context.policy_memory:
        return True
    return _has_metric(workload, MEMORY_METRIC, context)


def _has_metric(workload: Workload, metric: str, context: SizingContext) -> bool:
    file = context.hpa_files.get(workload.key) if context.hpa_files else None
    return file is not None and metric in file.values


def _named(hpa: PersonHpa) -> str:
    place = f"{hpa.source.path}:{hpa.source.line}" if hpa.source.line else hpa.source.path
    return f"{hpa.kind} {hpa.namespace}/{hpa.name} ({place})"


def _percent(metric: str) -> float | None:
    """``70%`` → 70.0; None for an absolute target, which no longer moves with the request."""
    if not metric.endswith("%"):
        return None
    try:
        return float(metric[:-1])
    except ValueError:
        return None
