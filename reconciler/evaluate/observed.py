"""What the newest observation of a cluster says about a workload, and whether it is new enough to be believed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from reconciler.model.agent import AHEAD
from reconciler.model.observation import Observation, Pod, WorkloadStatus
from reconciler.model.workload import Workload

CONNECTED = timedelta(seconds=45)
"""How old an observation may be to count as the current state (DESIGN §6, §8)."""

RECENT = timedelta(minutes=15)
"""How old it may be where slow figures (nodes, quotas) are read, which imports and replays push less often."""

TERMINATED = ("Failed", "Succeeded")
"""Phases of pods that run no more."""

OwnerKey = tuple[str, str, str]
"""(namespace, kind, name)."""


def is_fresh(observation: Observation | None, part: str, now: datetime, max_age: timedelta) -> bool:
    """Whether the list ``part`` was measured at most ``max_age`` before ``now`` (or after it, as an agent's clock may run ahead)."""
    if observation is None or part not in observation.at:
        return False
    return -AHEAD <= now - observation.at[part] <= max_age


def pods_by_owner(observation: Observation | None) -> Mapping[OwnerKey, list[Pod]]:
    """Pods by the workload that owns them. Agents may name the ReplicaSet in between; its name ends in the template's hash."""
    found: dict[OwnerKey, list[Pod]] = defaultdict(list)
    for pod in observation.pods if observation else ():
        if pod.owner_kind == "ReplicaSet":
            stem = pod.owner_name.rpartition("-")[0]
            for kind in ("Deployment", "Rollout"):
                found[pod.namespace, kind, stem].append(pod)
        else:
            found[pod.namespace, pod.owner_kind, pod.owner_name].append(pod)
    return dict(found)


def statuses(observation: Observation | None) -> Mapping[OwnerKey, WorkloadStatus]:
    return {(s.namespace, s.kind, s.name): s for s in (observation.workloads if observation else ())}


def owner_key(workload: Workload) -> OwnerKey:
    return workload.key.namespace, workload.key.kind, workload.key.name


def current_replicas(workload: Workload, status: WorkloadStatus | None, pods: Sequence[Pod] = ()) -> int:
    """The newest observation (``status``, else how many ``pods`` there are), else the manifest, else 1 (DESIGN §6).

    ``status`` and ``pods`` are to be fresh ones; a workload at 0 has no pods, so without a status the manifest counts.
    """
    if status is not None:
        return status.replicas
    running = sum(pod.phase not in TERMINATED for pod in pods)
    if running:
        return running
    return workload.replicas if workload.replicas is not None else 1
