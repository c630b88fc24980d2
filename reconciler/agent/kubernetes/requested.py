"""What a pod takes of its node, counted as the scheduler counts it.

Formula: ``k8s.io/component-helpers/resource/helpers.go`` (``PodRequests``): containers and native sidecars together, or what
an init container needs beside the sidecars that were started before it, whichever is more; pod-level requests where the pod
has them; plus overhead. While a resize in place is under way, what the node has given counts where it is more.
"""

from collections.abc import Mapping
from typing import Any

from reconciler.agent.kubernetes.quantities import largest, mebibytes, millicores, plus, sized

Json = Mapping[str, Any]
Request = tuple[float, float]
"""Millicores and MiB."""

NOTHING: Request = (0.0, 0.0)


def is_sidecar(container: Json) -> bool:
    """An init container that goes on running (a native sidecar)."""
    return container.get("restartPolicy") == "Always"


def requested(pod: Json) -> Request:
    """What a pod takes of the node it is on."""
    spec, status = pod["spec"], pod.get("status") or {}
    given = {
        one["name"]: one for role in ("containerStatuses", "initContainerStatuses") for one in status.get(role) or ()
    }
    total = NOTHING
    for container in spec.get("containers") or ():
        total = plus(total, _request(container, given))
    beside, highest = NOTHING, NOTHING
    for container in spec.get("initContainers") or ():
        asked = _request(container, given)
        if is_sidecar(container):
            total, beside = plus(total, asked), plus(beside, asked)
            asked = beside
        else:
            asked = plus(asked, beside)
        highest = largest(highest, asked)
    whole = sized(spec.get("resources"), "requests")
    most = largest(total, highest)
    most = (most[0] if whole[0] is None else whole[0], most[1] if whole[1] is None else whole[1])
    overhead = spec.get("overhead")
    if overhead:
        most = plus(most, (millicores(overhead.get("cpu", 0)), mebibytes(overhead.get("memory", 0))))
    return most


def _request(container: Json, given: Mapping[str, Json]) -> Request:
    """Of one container. The API server fills in a request where there is just a limit, so that limits need no look."""
    resources = container.get("resources") or {}
    cpu, memory = sized(resources, "requests")
    asked = (cpu or 0.0, memory or 0.0)
    actual = (given.get(container["name"]) or {}).get("allocatedResources")
    if actual and actual != resources.get("requests"):
        return largest(asked, (millicores(actual.get("cpu", 0)), mebibytes(actual.get("memory", 0))))
    return asked
