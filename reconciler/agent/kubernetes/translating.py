"""Objects of the API server as the push body has them (``reconciler.model.observation``): plain JSON, by its wire names.

What is not known is left out, so that a body of a thousand pods stays small.
"""

from collections.abc import Mapping
from typing import Any

from reconciler.agent.kubernetes.quantities import mebibytes, millicores

Json = Mapping[str, Any]

POOL_LABELS = (
    "karpenter.sh/nodepool",
    "eks.amazonaws.com/nodegroup",
    "cloud.google.com/gke-nodepool",
    "kubernetes.azure.com/agentpool",
)
"""Which pool a node is of, as each provider labels it; the first that is there."""

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def workload(kind: str, item: Json) -> dict[str, Any]:
    """An item of ``workloads``. ``replicas`` are the wanted ones; of a CronJob, how many of its Jobs run.

    While the controller has not seen the newest generation, what it says of updated pods is about an older one: then none
    is updated.
    """
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    found: dict[str, Any] = {"kind": kind, "namespace": metadata.get("namespace", ""), "name": metadata["name"]}
    found["uid"] = metadata.get("uid", "")
    if kind == "CronJob":
        active = len(status.get("active") or ())
        return {**found, "replicas": active, "readyReplicas": active}
    if kind == "DaemonSet":
        found["replicas"] = status.get("desiredNumberScheduled", 0)
        found["readyReplicas"] = status.get("numberReady", 0)
        updated = status.get("updatedNumberScheduled", 0)
    else:
        replicas = spec.get("replicas")
        found["replicas"] = 1 if replicas is None else replicas
        found["readyReplicas"] = status.get("readyReplicas", 0)
        updated = status.get("updatedReplicas", 0)
    seen = _generation(status.get("observedGeneration"))
    found["updatedReplicas"] = updated if seen is None or seen >= metadata.get("generation", 0) else 0
    if seen is not None:
        found["observedGeneration"] = seen
    strategy = _strategy(kind, spec)
    return {**found, "strategy": strategy} if strategy else found


def _generation(value: object) -> int | None:
    """Rollouts write theirs as text."""
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isdecimal() else None


def _strategy(kind: str, spec: Json) -> str:
    given = spec.get("strategy" if kind in ("Deployment", "Rollout") else "updateStrategy") or {}
    if kind == "Rollout":
        return next((name for name in ("blueGreen", "canary") if name in given), "")
    return str(given.get("type", ""))


def quota(item: Json) -> dict[str, Any]:
    """An item of ``quotas``. ``hard``: what is asked for; ``used``: as last counted."""
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    return {
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "hard": _texts(spec.get("hard") or {}),
        "used": _texts(status.get("used") or {}),
    }


def _texts(amounts: Json) -> dict[str, str]:
    return {name: str(amount) for name, amount in amounts.items()}


def whole(item: Json) -> dict[str, Any]:
    """An object as the cluster has it, without what is only about its history."""
    metadata = {name: value for name, value in item["metadata"].items() if name != "managedFields"}
    annotations = metadata.get("annotations")
    if annotations and _LAST_APPLIED in annotations:
        metadata["annotations"] = {name: value for name, value in annotations.items() if name != _LAST_APPLIED}
    return {**item, "metadata": metadata}


def node(item: Json, requested: tuple[float, float], used: tuple[float, float] | None) -> dict[str, Any]:
    """An item of ``nodes``. ``requested`` and ``used``: millicores and MiB. Capacity is the node's own (``status.capacity``),
    which is what Karpenter's limits count and kube-state-metrics exports.
    """
    metadata, status = item["metadata"], item.get("status") or {}
    labels, capacity = metadata.get("labels") or {}, status.get("capacity") or {}
    found = {
        "name": metadata["name"],
        "nodePool": next((labels[label] for label in POOL_LABELS if labels.get(label)), ""),
        "ready": has_condition(status, "Ready"),
        "cpuCapacityMillicores": millicores(capacity.get("cpu", 0)),
        "memoryCapacityMB": mebibytes(capacity.get("memory", 0)),
        "cpuRequestedMillicores": round(requested[0], 3),
        "memoryRequestedMB": round(requested[1], 3),
    }
    return found if used is None else {**found, "cpuUsedMillicores": used[0], "memoryUsedMB": used[1]}


def has_condition(status: Json, kind: str) -> bool:
    return any(one.get("type") == kind and one.get("status") == "True" for one in status.get("conditions") or ())
