"""What the workloads of a namespace need of its ResourceQuota: sums over pods, at most, now, and during a rollout."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from reconciler.evaluate.index import Identity, Index, Placed, identity, overlay_of
from reconciler.evaluate.observed import OwnerKey, owner_key
from reconciler.evaluate.sizing_bounds import Bounds
from reconciler.evaluate.sizing_current import current_of
from reconciler.manifests.machine_files import path_for
from reconciler.model.machine_file import MachineFile
from reconciler.model.observation import WorkloadStatus
from reconciler.model.recommendation import ContainerRecommendation
from reconciler.model.workload import SCALABLE_KINDS, Bound, Container, Resource, Workload

DEFAULT_MAX_SURGE = "25%"
"""``spec.strategy.rollingUpdate.maxSurge`` of a Deployment (``k8s.io/kubernetes/pkg/apis/apps/v1/defaults.go``), and of a Rollout."""

Recommended = Mapping[tuple[Identity, str], ContainerRecommendation]
"""Recommendations by workload and container."""


@dataclass(frozen=True)
class Demand:
    """Millicores or bytes. ``most``: Σ recommended × (HPA max, else replicas). ``declared``: Σ current × replicas.

    ``surge``: Σ max(current, recommended) × surge pods.
    """

    most: int
    declared: int
    surge: int


def by_container(recommendations: Iterable[ContainerRecommendation]) -> Recommended:
    return {(identity(one.workload), one.container): one for one in recommendations}


@dataclass(frozen=True, eq=False, slots=True)
class Running:
    """A workload with what its sums need. ``file``: its ``requests`` file in the overlay.

    ``replicas`` run now; ``most`` may run: an HPA's maximum, else the manifest's replicas or what runs.
    """

    workload: Workload
    file: MachineFile | None
    replicas: int
    most: int


def running(placed: Placed, index: Index, statuses: Mapping[OwnerKey, WorkloadStatus]) -> Running:
    workload = placed.workload
    path = path_for(overlay_of(placed.state), "requests", workload.ref, workload.key.namespace)
    replicas, most = _replicas(placed, index, statuses.get(owner_key(workload)))
    return Running(workload, placed.state.overlay.get(path), replicas, most)


def demand(
    workloads: Sequence[Running], resource: Resource, bound: Bound, *, bounds: Bounds, recommended: Recommended
) -> Demand:
    """Over all workloads of a namespace. ``bounds`` of its LimitRanges fill in what containers leave out."""
    most = declared = surge = 0
    for one in workloads:
        old, new = _pod_sizes(one, resource, bound, bounds, recommended)
        most += new * one.most
        declared += old * one.replicas
        surge += max(old, new) * surge_pods(one.workload, one.replicas)
    return Demand(most, declared, surge)


def surge_pods(workload: Workload, replicas: int) -> int:
    """How many pods beyond ``replicas`` a rollout may run: maxSurge (25 % where not set; a percentage is rounded up).

    Recreate, StatefulSets and DaemonSets replace pods in place: 0. A blue-green Rollout runs all of them twice.
    """
    if workload.key.kind not in ("Deployment", "Rollout") or workload.strategy == "Recreate":
        return 0
    if workload.strategy.casefold() == "bluegreen":
        return replicas
    text = (workload.max_surge or DEFAULT_MAX_SURGE).strip()
    try:
        return math.ceil(replicas * float(text[:-1]) / 100) if text.endswith("%") else int(text)
    except ValueError:
        return replicas  # not to be read: the API server will refuse it, until then nothing is too much


def pod_sum(workload: Workload, figure: Callable[[Container], int]) -> int:
    """What the scheduler and the quota count for one pod: the larger of all that run together and each init container's turn.

    Native sidecars run beside the main containers, and beside the init containers that come after them (KEP-753).
    """
    sidecars = together = turn = 0
    for container in workload.containers:
        if container.role == "init":
            turn = max(turn, sidecars + figure(container))
        elif container.role == "sidecar":
            sidecars += figure(container)
        else:
            together += figure(container)
    return max(together + sidecars, turn)


def _pod_sizes(
    one: Running, resource: Resource, bound: Bound, bounds: Bounds, recommended: Recommended
) -> tuple[int, int]:
    """What one pod counts for now, and with what is recommended."""
    workload = one.workload
    if resource == "cpu" and bound == "requests" and workload.pod_cpu_request is not None:
        return workload.pod_cpu_request, workload.pod_cpu_request
    who = identity(workload)
    now: dict[str, int] = {}
    then: dict[str, int] = {}
    for container in workload.containers:
        current = current_of(container, resource, one.file, bounds)
        figure = current.request if bound == "requests" else current.limit or bounds.default_limit
        now[container.name] = then[container.name] = figure or 0
        advice = recommended.get((who, container.name))
        if advice is not None and resource in advice.changes:
            values = advice.recommended
            then[container.name] = (values.request(resource) if bound == "requests" else values.limit(resource)) or 0
    old = pod_sum(workload, lambda container: now[container.name])
    return old, old if now == then else pod_sum(workload, lambda container: then[container.name])


def _replicas(placed: Placed, index: Index, status: WorkloadStatus | None) -> tuple[int, int]:
    """How many pods run now, and how many may.

    At 0 (asleep) the manifest's figure still counts as what may run.
    """
    workload = placed.workload
    if workload.key.kind not in SCALABLE_KINDS:
        count = status.replicas if status is not None else 1
        return count, max(count, 1)
    lower, upper = _hpa_range(placed, index)
    declared = workload.replicas if workload.replicas is not None else lower or 1
    count = status.replicas if status is not None else declared
    return count, upper if upper is not None else max(declared, count)


def _hpa_range(placed: Placed, index: Index) -> tuple[int | None, int | None]:
    """minReplicas and maxReplicas of the workload's HPA, ours at head or a person's; None where there is none."""
    workload = placed.workload
    ours = placed.state.overlay.get(path_for(overlay_of(placed.state), "hpa", workload.ref, workload.key.namespace))
    theirs = [hpa.max_replicas for hpa in index.person_hpas.get(identity(workload), ()) if hpa.max_replicas is not None]
    upper = [value for value in (_count(ours, "maxReplicas"), *theirs) if value is not None]
    return _count(ours, "minReplicas"), max(upper, default=None)


def _count(file: MachineFile | None, name: str) -> int | None:
    text = file.values.get(name) if file is not None else None
    return int(text) if text is not None and text.isdecimal() else None
