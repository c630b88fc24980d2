"""Pods as they are pushed: whose they are, and what each container was given and uses."""

from collections.abc import Mapping
from typing import Any

from reconciler.agent.kubernetes.kills import Kills
from reconciler.agent.kubernetes.quantities import sized
from reconciler.agent.kubernetes.requested import is_sidecar
from reconciler.agent.kubernetes.translating import has_condition
from reconciler.agent.kubernetes.usage import Usage

Json = Mapping[str, Any]
Named = Mapping[tuple[str, str, str], str]
"""uids of workloads by kind, namespace and name."""

FINISHED = frozenset({"Succeeded", "Failed"})
"""Phases of pods that take nothing of their node any more."""

_HASH_LABELS = (("Deployment", "pod-template-hash"), ("Rollout", "rollouts-pod-template-hash"))
_NO_USAGE = Usage()


def pod(item: Json, workloads: Named, usage: Usage | None, kills: Kills) -> dict[str, Any]:
    """An item of ``pods``. What owns the ReplicaSet or the Job in between is named as the owner where it is in ``workloads``."""
    metadata, spec, status = item["metadata"], item["spec"], item.get("status") or {}
    namespace = metadata.get("namespace", "")
    found: dict[str, Any] = {"namespace": namespace, "name": metadata["name"], "uid": metadata.get("uid", "")}
    found |= _owner(metadata, namespace, workloads)
    if spec.get("nodeName"):
        found["node"] = spec["nodeName"]
    found["phase"] = status.get("phase", "")
    found["ready"] = "deletionTimestamp" not in metadata and has_condition(status, "Ready")
    found["containers"] = _containers(found, spec, status, usage or _NO_USAGE, kills)
    return found


def _owner(metadata: Json, namespace: str, workloads: Named) -> dict[str, str]:
    owners = metadata.get("ownerReferences") or ()
    owner = next((one for one in owners if one.get("controller")), owners[0] if owners else None)
    if owner is None:
        return {}
    kind, name, uid = owner["kind"], owner["name"], owner.get("uid", "")
    for above, above_name in _above(kind, name, metadata.get("labels") or {}):
        above_uid = workloads.get((above, namespace, above_name))
        if above_uid is not None:
            kind, name, uid = above, above_name, above_uid
            break
    return {"ownerKind": kind, "ownerName": name, "ownerUid": uid}


def _above(kind: str, name: str, labels: Json) -> list[tuple[str, str]]:
    """What may own an owner. A ReplicaSet is named after its Deployment and the template's hash, which its pods have as a
    label; a Job after its CronJob and the minute.
    """
    if kind == "ReplicaSet":
        hashes = ((above, labels.get(label)) for above, label in _HASH_LABELS)
        return [(above, name.removesuffix(f"-{end}")) for above, end in hashes if end and name.endswith(f"-{end}")]
    if kind == "Job":
        stem, _, minute = name.rpartition("-")
        return [("CronJob", stem)] if stem and minute.isdecimal() else []
    return []


def _containers(pod: Json, spec: Json, status: Json, usage: Usage, kills: Kills) -> list[dict[str, Any]]:
    """Those that run as long as the pod does, and init containers until they have done their work."""
    told = {one["name"]: one for one in status.get("containerStatuses") or ()}
    told_init = {one["name"]: one for one in status.get("initContainerStatuses") or ()}
    found = [_container(pod, one, told.get(one["name"]), usage, kills) for one in spec.get("containers") or ()]
    for one in spec.get("initContainers") or ():
        said = told_init.get(one["name"])
        if is_sidecar(one) or not _is_done(said):
            found.append(_container(pod, one, said, usage, kills))
    return found


def _is_done(status: Json | None) -> bool:
    ended = ((status or {}).get("state") or {}).get("terminated")
    return ended is not None and ended.get("exitCode") == 0


def _container(pod: Json, spec: Json, status: Json | None, usage: Usage, kills: Kills) -> dict[str, Any]:
    name = spec["name"]
    found: dict[str, Any] = {"name": name}
    key = pod["namespace"], pod["name"], name
    cpu, memory = usage.containers.get(key, (None, None))
    resources = spec.get("resources")
    cpu_request, memory_request = sized(resources, "requests")
    cpu_limit, memory_limit = sized(resources, "limits")
    figures = {
        "cpuMillicores": cpu,
        "memoryMB": memory,
        "cpuRequestMillicores": cpu_request,
        "cpuLimitMillicores": cpu_limit,
        "memoryRequestMB": memory_request,
        "memoryLimitMB": memory_limit,
        "throttledPercent": usage.throttled.get(key),
    }
    found |= {what: value for what, value in figures.items() if value is not None}
    if status is not None:
        found["restartCount"] = status.get("restartCount", 0)
        killed = kills.of(pod["uid"], status)
        if killed:
            found["oomKills"] = killed
    return found
