"""What one policy comes to right now: its target, a forecast, the HPA that it asks for, and what stands against it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.evaluate.hpa_spec import desired_hpa
from reconciler.evaluate.index import Index, Placed, handover_path, identity, overlay_of, patch_problem, unwired
from reconciler.evaluate.observed import (
    CONNECTED,
    OwnerKey,
    current_replicas,
    is_fresh,
    owner_key,
    pods_by_owner,
    statuses,
)
from reconciler.evaluate.request_base import BASE_CPU_ANNOTATION, pod_cpu_request_base
from reconciler.evaluate.scaling_forecast import Forecast, forecast
from reconciler.manifests.machine_files import path_for
from reconciler.model.container_group import ContainerGroup
from reconciler.model.inventory import Problem
from reconciler.model.lxc_container import LXCContainer
from reconciler.model.machine_file import MachineFile
from reconciler.model.observation import Observation, Pod, WorkloadStatus
from reconciler.model.policy import ScalingPolicy
from reconciler.model.workload import Workload, WorkloadKey


@dataclass(frozen=True, eq=False)
class Outlook:
    """``rendered``: the HPA that the policy asks for, and ``path`` where it goes; None and empty without a target.

    Of a docker policy, ``group`` is the file that it would decide on now, None while it decides nothing, and ``manifest``
    its text (filled in by whoever has templates).
    ``conflict``: why it cannot be committed as things are, and what to do; empty when nothing stands against it.
    """

    policy: ScalingPolicy
    target: Workload | None = None
    forecast: Forecast | None = None
    path: str = ""
    rendered: MachineFile | None = None
    conflict: str = ""
    group: ContainerGroup | None = None
    manifest: str = ""
    container: LXCContainer | None = None
    """Of an lxc policy, what ``group`` is of a docker policy."""


@dataclass(frozen=True, eq=False)
class Live:
    """The current state of one cluster; empty where it was not observed within 45 s."""

    statuses: Mapping[OwnerKey, WorkloadStatus] = field(default_factory=dict)
    pods: Mapping[OwnerKey, Sequence[Pod]] = field(default_factory=dict)

    @staticmethod
    def of(observation: Observation, now: datetime) -> "Live":
        return Live(
            statuses(observation) if is_fresh(observation, "workloads", now, CONNECTED) else {},
            pods_by_owner(observation) if is_fresh(observation, "pods", now, CONNECTED) else {},
        )


def outlook_of(
    policy: ScalingPolicy,
    placed: Placed,
    index: Index,
    live: Live,
    *,
    sized_cpu: Collection[WorkloadKey],
    pressure: float | None,
) -> Outlook:
    """``sized_cpu``: workloads whose CPU this pass sizes. ``pressure`` (percent) of the nodes, where it was observed."""
    workload = placed.workload
    path = path_for(overlay_of(placed.state), "hpa", workload.ref, workload.key.namespace)
    sized = _is_sized(placed, placed.state.overlay.get(path), sized_cpu)
    owner = owner_key(workload)
    pods = live.pods.get(owner, ())
    seen = forecast(
        policy.spec,
        current_replicas(workload, live.statuses.get(owner), pods),
        pods,
        workload=workload,
        cpu_base=pod_cpu_request_base(workload) if sized else None,
        node_pressure=pressure,
    )
    rendered = desired_hpa(policy, workload, sized_cpu=sized)
    return Outlook(policy, workload, seen, path, rendered, _conflict(policy, placed, index))


def second_policy(policy: ScalingPolicy, first: ScalingPolicy) -> Problem:
    """A workload has one policy; ``policy`` is the second."""
    other = f"{first.spec.name} ({first.path})" if first.path else first.spec.name
    return Problem(
        path=policy.path or f"policy {policy.spec.name}",
        field="spec.targetRef",
        message=f"{policy.spec.target_ref} already has the policy {other}",
        hint="keep one policy for each workload",
    )


def _is_sized(placed: Placed, hpa: MachineFile | None, sized_cpu: Collection[WorkloadKey]) -> bool:
    """Whether the HPA's CPU target is to be absolute.

    It is where the head of the branch sizes the workload's CPU (in the overlay; in place, then there is the annotation).
    An HPA that is made anew is told about this pass, too. One that stands is left to the sizing itself, which changes
    request and target in one commit; and once absolute it stays so, which is the same figure until the request changes.
    """
    workload = placed.workload
    if BASE_CPU_ANNOTATION in workload.annotations:
        return True
    file = placed.state.overlay.get(
        path_for(overlay_of(placed.state), "requests", workload.ref, workload.key.namespace)
    )
    if file is not None and any(name.endswith("/requests/cpu") for name in file.values):
        return True
    if hpa is None:
        return workload.key in sized_cpu
    return not hpa.values.get("metrics/cpu", "%").endswith("%")


def _conflict(policy: ScalingPolicy, placed: Placed, index: Index) -> str:
    workload, inventory = placed.workload, placed.state.inventory
    if problem := unwired(placed.state):
        return problem
    if other := inventory.strays.get(workload.ref.key):
        return (
            f"kustomize would point an HPA for {workload.ref.name} at {other} instead, as it goes by the names from before "
            f"namePrefix and nameSuffix; give one of them another name in its own manifest, or move it out of {inventory.root}"
        )
    for hpa in index.person_hpas.get(identity(workload), ()):
        return (
            f"{hpa.kind} {hpa.namespace}/{hpa.name} ({_place(hpa.source.path, hpa.source.line)}) already scales this "
            "workload and stays its owner's; remove it there, or disable the policy"
        )
    if workload.replicas is None or handover_path(placed) in placed.state.overlay:
        return ""
    if policy.spec.hand_over:
        return patch_problem(placed.state, workload.ref)
    return (
        f"{_place(workload.source.path, workload.replicas_line or workload.source.line)} sets spec.replicas: "
        f"{workload.replicas}, which every apply would put back against the HPA; remove that field there, or set "
        "handOver: true in the policy"
    )


def _place(path: str, line: int) -> str:
    return f"{path}:{line}" if line else path
