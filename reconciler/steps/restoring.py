"""Restore a declared policy's fields after its commit was undone, so that Git does not go on asking for it (DESIGN §4)."""

from reconciler.commit.history import LandedCommit
from reconciler.commit.values import same_value, values_of
from reconciler.errors import InputError
from reconciler.model.change import Proposal, Subject, ValueEdit
from reconciler.model.policy import ScalingPolicy
from reconciler.model.workload import ObjectRef
from reconciler.steps.catching_up import policy_commits, whole_history
from reconciler.steps.house import House
from reconciler.steps.scene import Scene

DRY_RUN = "spec/dryRun"


def restored(house: House, scene: Scene, policy: ScalingPolicy) -> Proposal | None:
    """A commit that puts a live policy's fields back after a person reverted what it had written; None when there is no need."""
    refusals = [r for r in scene.refusals if r.subject == policy.id]
    if not (policy.spec.live and policy.path and refusals):
        return None
    _, found = whole_history(house, scene.view.commit)
    undone = [by for sha, by in found.reverted.items() if by.kind not in ("turnup", "rollback")]
    newest = next((r for r in refusals if r.commit in {by.sha for by in undone}), None)
    if newest is None:
        return None
    edits = policy_edits(house, scene, policy, last=_standing_of(house, scene, policy.id))
    if not edits:
        return None
    return Proposal(
        kind="policy",
        subject=Subject(kind="policy", id=policy.id, name=policy.spec.name),
        cluster=policy.spec.cluster or "",
        root="",
        namespace="",
        edits=edits,
        reason=f"{newest.by} reverted what policy {policy.spec.name} had written (commit {newest.commit[:10]})",
        ignores_windows=True,
        ignores_budget=True,
    )


def _standing_of(house: House, scene: Scene, policy_id: str) -> LandedCommit | None:
    _, found = whole_history(house, scene.view.commit)
    stands = policy_commits(found, policy_id)
    return stands[-1] if stands else None


def policy_edits(
    house: House, scene: Scene, policy: ScalingPolicy, *, last: LandedCommit | None
) -> tuple[ValueEdit, ...]:
    """The edits that give a declared policy the fields it had when ``last`` was committed; dry run when there is none."""
    target = ObjectRef(api_version="trimtab.dev/v1alpha1", kind="ScalingPolicy", name=_declared_name(policy))
    now = _fields(scene.view.get(policy.path), policy.path, target)
    then: dict[str, str] = {}
    if last is not None:
        then = _fields(house.repository.files_at(last.sha, [policy.path]).get(policy.path), policy.path, target)
    if not then:
        then = {**now, DRY_RUN: "true"}
    return tuple(
        ValueEdit(path=policy.path, form="config", target=target, field=name, old=now.get(name), new=then.get(name))
        for name in sorted({*now, *then})
        if not same_value(now.get(name), then.get(name))
    )


def _declared_name(policy: ScalingPolicy) -> str:
    return policy.id.removeprefix("scp_")


def _fields(text: bytes | None, path: str, target: ObjectRef) -> dict[str, str]:
    """The scalars below ``spec`` of one declared policy."""
    try:
        values = values_of(text, path, machine=False)
    except InputError:
        return {}
    return {
        at.field: value
        for at, value in values.items()
        if (at.target.kind, at.target.name) == (target.kind, target.name) and at.field.startswith("spec/")
    }
