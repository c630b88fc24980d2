"""Health is judged as ``kubectl rollout status`` and Argo CD judge it."""

from typing import Any

import pytest

from reconciler.agent.kubernetes.health import health_of


def live(kind: str, status: dict[str, Any], *, generation: int = 2, **spec: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"generation": generation}, "spec": spec, "status": status}


def counts(number: int, **more: Any) -> dict[str, Any]:
    names = ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas")
    return {"observedGeneration": 2, **dict.fromkeys(names, number), **more}


def condition(kind: str, status: str, reason: str = "R") -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": status, "reason": reason, "message": f"{kind} is {status}"}]}


def active(status: str, reason: str = "R") -> dict[str, Any]:
    able = {"type": "AbleToScale", "status": "True"}
    return {
        "conditions": [able, {"type": "ScalingActive", "status": status, "reason": reason, "message": "no metrics"}]
    }


DAEMONS = {"observedGeneration": 2, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3}


@pytest.mark.parametrize(
    ("found", "health"),
    [
        (live("Deployment", counts(3), replicas=3), "healthy"),
        (live("Deployment", counts(3), replicas=3, generation=3), "progressing"),
        (live("Deployment", counts(3, updatedReplicas=1), replicas=3), "progressing"),
        (live("Deployment", counts(3, availableReplicas=2), replicas=3), "progressing"),
        (live("Deployment", counts(4, updatedReplicas=3, availableReplicas=3), replicas=3), "progressing"),
        (live("Deployment", {"observedGeneration": 2}, replicas=0), "healthy"),
        (live("Deployment", counts(1)), "healthy"),
        (live("Deployment", {**counts(3, updatedReplicas=1), **condition("Progressing", "False", "ProgressDeadlineExceeded")}, replicas=3), "degraded"),
        (live("StatefulSet", counts(2, currentRevision="a", updateRevision="a"), replicas=2), "healthy"),
        (live("StatefulSet", counts(2, updatedReplicas=1, currentRevision="a", updateRevision="b"), replicas=2), "progressing"),
        (live("DaemonSet", {**DAEMONS, "numberAvailable": 3}), "healthy"),
        (live("DaemonSet", {**DAEMONS, "numberAvailable": 2}), "progressing"),
        (live("Rollout", {"phase": "Healthy"}), "healthy"),
        (live("Rollout", {"phase": "Degraded"}), "degraded"),
        (live("Rollout", {"phase": "Paused"}), "progressing"),
        (live("CronJob", {}), "healthy"),
        (live("HorizontalPodAutoscaler", {}), "progressing"),
        (live("HorizontalPodAutoscaler", active("True")), "healthy"),
        (live("HorizontalPodAutoscaler", active("False")), "degraded"),
        (live("HorizontalPodAutoscaler", active("False", "ScalingDisabled")), "healthy"),
        (live("HorizontalPodAutoscaler", condition("AbleToScale", "False")), "degraded"),
        (live("NodePool", condition("Ready", "True")), "healthy"),
        (live("NodePool", condition("Ready", "False")), "degraded"),
        (live("SomethingElse", {}), "unknown"),
    ],
)  # fmt: skip
def test_health(found: dict[str, Any], health: str) -> None:
    judged, why = health_of(found)
    assert judged == health
    assert bool(why) == (health in ("progressing", "degraded"))
