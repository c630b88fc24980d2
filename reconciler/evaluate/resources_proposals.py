"""The proposals that an lxc policy makes: a container's file made, its cores and memory changed, the file taken away."""

from collections.abc import Mapping

from reconciler.manifests.lxc_container import CORES, MEMORY, fields_of, path_for
from reconciler.model.change import Proposal, ProposalKind, Subject, ValueEdit
from reconciler.model.lxc_container import LXCContainer
from reconciler.model.policy import ScalingPolicy

UNITS = {CORES: "cores", MEMORY: "MB of memory"}


def adopt(policy: ScalingPolicy, container: LXCContainer) -> Proposal:
    """The file of a container that has none: what it has, so that nothing changes by it and the next step can be undone."""
    edits = tuple(edit_of(container, field, None, value) for field, value in fields_of(container).items())
    reason = f"policy {policy.spec.name}: takes {_name(container)} on as it runs"
    return _proposal("adopt", policy, container, edits, reason)


def resize(
    policy: ScalingPolicy, container: LXCContainer, new: Mapping[str, int], reason: str, *, takes: bool
) -> Proposal:
    """Other numbers of cores and MiB; ``takes``: whether they are smaller ones."""
    have = fields_of(container)
    edits = tuple(edit_of(container, field, have.get(field), str(value)) for field, value in new.items())
    told = ", ".join(f"{have.get(field, 'all of the node’s')} → {value} {UNITS[field]}" for field, value in new.items())
    return _proposal("resources", policy, container, edits, f"policy {policy.spec.name}: {reason}: {told}", takes=takes)


def dropped(container: LXCContainer) -> Proposal:
    """The file that was made for a policy which is gone, goes with it."""
    return Proposal(
        kind="adopt",
        subject=Subject(kind="policy", id=container.policy, name=container.policy),
        cluster="",
        root="",
        namespace=container.node,
        workload=str(container.vmid),
        edits=tuple(edit_of(container, field, value, None) for field, value in fields_of(container).items()),
        reason=f"policy {container.policy} is gone: its file of {_name(container)} goes with it, the container stays as it is",
    )


def edit_of(container: LXCContainer, field: str, old: str | None, new: str | None) -> ValueEdit:
    """One value of a container's file."""
    path = path_for(container.key)
    return ValueEdit(path=path, form="lxc", target=container.target, field=field, old=old, new=new)


def _proposal(
    kind: ProposalKind,
    policy: ScalingPolicy,
    container: LXCContainer,
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
        namespace=container.node,
        workload=str(container.vmid),
        edits=edits,
        reason=reason,
        takes_capacity=takes,
        approval_required=policy.spec.approval_required,
        policy_snapshot=policy.spec.model_dump(by_alias=True, mode="json"),
    )


def _name(container: LXCContainer) -> str:
    return f"{container.node}/{container.vmid}"
