"""How an object is, from its status, in Argo CD's words. Pure.

Rollouts as ``kubectl rollout status`` judges them: everything is updated and available, and the controller has seen the
newest generation.
"""

from collections.abc import Callable, Mapping
from typing import Any

from reconciler.model.agent import Health

Json = Mapping[str, Any]


def health_of(live: Json) -> tuple[Health, str]:
    """The health of an object as the API server has it, and why when it is not healthy."""
    kind, status = str(live.get("kind")), live.get("status") or {}
    if kind in _STILL:
        return "healthy", ""
    if kind in _ROLLED and _unseen(live, status):
        return "progressing", "its controller has not seen the change yet"
    if kind in _COUNTED:
        return _COUNTED[kind](live, status)
    return _SAID[kind](status) if kind in _SAID else ("unknown", "")


def _unseen(live: Json, status: Json) -> bool:
    generation = (live.get("metadata") or {}).get("generation")
    return generation is not None and int(status.get("observedGeneration") or 0) < int(generation)


def _deployment(live: Json, status: Json) -> tuple[Health, str]:
    progressing = _condition(status, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return "degraded", str(progressing.get("message") or "its rollout has passed its progress deadline")
    return _counted(live, status, available="availableReplicas")


def _stateful_set(live: Json, status: Json) -> tuple[Health, str]:
    old, new = status.get("currentRevision"), status.get("updateRevision")
    if old != new and int(status.get("updatedReplicas") or 0) < int(status.get("replicas") or 0):
        return "progressing", f"{status.get('updatedReplicas') or 0} of {status.get('replicas') or 0} pods are updated"
    available = "availableReplicas" if "availableReplicas" in status else "readyReplicas"
    return _counted(live, {**status, "updatedReplicas": status.get("replicas", 0)}, available=available)


def _counted(live: Json, status: Json, *, available: str) -> tuple[Health, str]:
    wanted = (live.get("spec") or {}).get("replicas", 1)
    counts = {name: int(status.get(name) or 0) for name in ("replicas", "updatedReplicas", available)}
    if all(count == wanted for count in counts.values()):
        return "healthy", ""
    return (
        "progressing",
        f"{min(counts['updatedReplicas'], counts[available])} of {wanted} pods are updated and available",
    )


def _daemon_set(status: Json) -> tuple[Health, str]:
    wanted = int(status.get("desiredNumberScheduled") or 0)
    done = min(int(status.get("updatedNumberScheduled") or 0), int(status.get("numberAvailable") or 0))
    return ("healthy", "") if done >= wanted else ("progressing", f"{done} of {wanted} pods are updated and available")


_PHASES: Mapping[str, Health] = {
    "Healthy": "healthy",
    "Degraded": "degraded",
    "Progressing": "progressing",
    "Paused": "progressing",
}


def _argo_rollout(status: Json) -> tuple[Health, str]:
    phase = str(status.get("phase") or "")
    health = _PHASES.get(phase, "progressing")
    return health, "" if health == "healthy" else f"the rollout is {phase or 'starting'}"


def _hpa(status: Json) -> tuple[Health, str]:
    able, active = _condition(status, "AbleToScale"), _condition(status, "ScalingActive")
    if able.get("status") == "False":
        return "degraded", str(able.get("message") or able.get("reason") or "it cannot scale its target")
    if active.get("status") == "False":
        if active.get("reason") == "ScalingDisabled":  # its target rests at 0 replicas, as a turndown wants it
            return "healthy", ""
        return "degraded", str(active.get("message") or active.get("reason") or "it has no figures to scale by")
    return ("healthy", "") if active.get("status") == "True" else ("progressing", "it has not looked at its target yet")


def _node_pool(status: Json) -> tuple[Health, str]:
    ready = _condition(status, "Ready")
    if ready.get("status") == "False":
        return "degraded", str(ready.get("message") or ready.get("reason") or "it is not ready")
    return ("healthy", "") if ready.get("status") == "True" else ("unknown", "")


def _condition(status: Json, name: str) -> Json:
    return next((one for one in status.get("conditions") or () if one.get("type") == name), {})


_COUNTED: Mapping[str, Callable[[Json, Json], tuple[Health, str]]] = {
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
}
_SAID: Mapping[str, Callable[[Json], tuple[Health, str]]] = {
    "DaemonSet": _daemon_set,
    "Rollout": _argo_rollout,
    "HorizontalPodAutoscaler": _hpa,
    "NodePool": _node_pool,
}
_ROLLED = frozenset({"Deployment", "StatefulSet", "DaemonSet"})
_STILL = frozenset({"CronJob", "ResourceQuota", "LimitRange", "ConfigMap"})
"""What takes effect as soon as it is stored."""
