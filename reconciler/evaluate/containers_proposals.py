"""The proposals that a docker policy makes: a group's file made, its replicas changed, the file taken away."""

from collections.abc import Collection

from reconciler.evaluate.scaling import MADE_BY_API
from reconciler.manifests.container_group import REPLICAS, fields_of, path_for
from reconciler.model.change import Proposal, ProposalKind, Subject, ValueEdit
from reconciler.model.container_group import ContainerGroup
from reconciler.model.policy import ScalingPolicy


def adopt(policy: ScalingPolicy, group: ContainerGroup) -> Proposal:
    """The file of a group that has none: what runs, so that nothing changes by it and the next step can be undone."""
    edits = tuple(_edit(group, field, None, value) for field, value in fields_of(group).items())
    containers = "1 container" if group.replicas == 1 else f"{group.replicas} containers"
    reason = f"policy {policy.spec.name}: takes {_name(group)} on as it runs, with {containers}"
    return _proposal("adopt", policy, group, edits, reason)


def scale(policy: ScalingPolicy, group: ContainerGroup, replicas: int, reason: str) -> Proposal:
    """Another number of containers."""
    edits = (_edit(group, REPLICAS, str(group.replicas), str(replicas)),)
    told = f"policy {policy.spec.name}: {reason}: {group.replicas} → {replicas}"
    return _proposal("containers", policy, group, edits, told, takes=replicas < group.replicas)


def dropped(group: ContainerGroup) -> Proposal:
    """The file that was made for a policy which is gone, goes with it."""
    return Proposal(
        kind="adopt",
        subject=Subject(kind="policy", id=group.policy, name=group.policy),
        cluster="",
        root="",
        namespace=group.host_pool,
        workload=group.name,
        edits=tuple(_edit(group, field, value, None) for field, value in fields_of(group).items()),
        reason=f"policy {group.policy} is gone: its file of {_name(group)} goes with it, what runs goes on running",
    )


def is_ours_to_drop(policy_id: str, ended: Collection[str]) -> bool:
    """Whether a policy that is not there was deleted, and is not just in another server's database."""
    return policy_id in ended or not MADE_BY_API.fullmatch(policy_id)


def _proposal(
    kind: ProposalKind,
    policy: ScalingPolicy,
    group: ContainerGroup,
    edits: tuple[ValueEdit, ...],
    reason: str,
    *,
    takes: bool = False,
) -> Proposal:
    return Proposal(
        kind=kind,
        subject=Subject(kind="policy", id=policy.id, name=policy.spec.name),
        cluster="",
        root="",
        namespace=group.host_pool,
        workload=group.name,
        edits=edits,
        reason=reason,
        takes_capacity=takes,
        approval_required=policy.spec.approval_required,
        policy_snapshot=policy.spec.model_dump(by_alias=True, mode="json"),
    )


def _edit(group: ContainerGroup, field: str, old: str | None, new: str | None) -> ValueEdit:
    return ValueEdit(path=path_for(group.key), form="group", target=group.target, field=field, old=old, new=new)


def _name(group: ContainerGroup) -> str:
    return f"{group.host_pool}/{group.name}"
