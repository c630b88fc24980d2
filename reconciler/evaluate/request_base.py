"""People's own CPU request of a pod, and the HPA target that no longer moves when Trimtab changes the request.

An HPA's utilization is a share of the *request*, so a smaller request under a CPU HPA means more replicas, which use
less each, which makes the request smaller again (FACTS §HPA, krr PR #80). An ``AverageValue`` target of the policy's
percent × people's own pod request keeps the replicas where the policy wanted them (DESIGN §7).
"""

import math
from decimal import Decimal

from reconciler.model.quantity import format_cpu, parse_cpu
from reconciler.model.workload import Container, Workload

BASE_CPU_ANNOTATION = "trimtab.dev/base-cpu-request"
"""On a workload whose manifest Trimtab edits in place: the pod's CPU request as people had it before the first edit."""


def pod_cpu_request_base(workload: Workload) -> int | None:
    """Millicores of one pod as people wrote them, None when there is no such figure.

    The annotation wins (in place), then the pod-level request, then the sum over main containers and native sidecars;
    a container with a limit and no request counts with its limit, as the API server fills it in.
    """
    if BASE_CPU_ANNOTATION in workload.annotations:
        return _annotated(workload.annotations[BASE_CPU_ANNOTATION])
    if workload.pod_cpu_request is not None:
        return workload.pod_cpu_request or None
    requests = [_written_request(container) for container in _counted(workload)]
    known = [request for request in requests if request is not None]
    return (sum(known) or None) if len(known) == len(requests) else None


def request_base_problem(workload: Workload) -> str:
    """Why :func:`pod_cpu_request_base` is None, for a person; empty when it is not."""
    if pod_cpu_request_base(workload) is not None:
        return ""
    if BASE_CPU_ANNOTATION in workload.annotations:
        text = workload.annotations[BASE_CPU_ANNOTATION]
        return f"the annotation {BASE_CPU_ANNOTATION}: {text!r} is not a CPU quantity above zero"
    without = sorted(container.name for container in _counted(workload) if _written_request(container) is None)
    if without:
        one = len(without) == 1
        return f"container{'' if one else 's'} {', '.join(without)} {'has' if one else 'have'} no CPU request"
    return "the CPU requests of the pod add up to zero"


def absolute_cpu_target(percent: float, workload: Workload) -> str | None:
    """The canonical ``AverageValue`` for an HPA that is to keep CPU at ``percent`` of people's own pod request.

    Rounded up to 1m; None when there is no such request (:func:`request_base_problem` says why).
    """
    base = pod_cpu_request_base(workload)
    if base is None:
        return None
    # Decimal of the percent's shortest spelling: 70.1 is meant as 70.1, not as the binary fraction beside it.
    return format_cpu(max(1, math.ceil(Decimal(str(percent)) * base / 100)))


def _counted(workload: Workload) -> list[Container]:
    return [container for container in workload.containers if container.role != "init"]


def _written_request(container: Container) -> int | None:
    resources = container.resources
    return resources.cpu_request if resources.cpu_request is not None else resources.cpu_limit


def _annotated(text: str) -> int | None:
    try:
        return max(parse_cpu(text), 0) or None
    except ValueError:
        return None
