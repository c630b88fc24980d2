"""Undo: a commit that puts back what one of ours changed, value by value (DESIGN §4)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reconciler.commit.history import LandedCommit
from reconciler.commit.rollback import RollbackPlan, rollback_edits, value_edits
from reconciler.commit.standing import Standing
from reconciler.commit.values import is_generated, is_machine_path
from reconciler.errors import HeldByWindow, InputError, NothingToRollBack, Stalled
from reconciler.evaluate.stale import disorder
from reconciler.gate.verdict import rollback_verdict
from reconciler.manifests import machine_files
from reconciler.model.change import Change, Decision, Proposal, Subject, ValueEdit
from reconciler.model.machine_file import MachineFile
from reconciler.model.policy import ScalingPolicy
from reconciler.model.tree import Tree
from reconciler.model.workload import BUILT_IN_KINDS
from reconciler.render.files import apply_edits
from reconciler.render.machine_text import ContainerIndex, places_of
from reconciler.render.message import commit_message
from reconciler.report.passes import instant
from reconciler.steps import deciding, gating, landing, restoring
from reconciler.steps.catching_up import policy_commits, whole_history
from reconciler.steps.house import House, Timings
from reconciler.steps.scene import RootScene, Scene

_SHA = re.compile(r"^[0-9a-f]{4,64}$")


@dataclass(frozen=True)
class Undone:
    """What a rollback did. ``kept``: values that stay because they were changed since."""

    commit: str
    reverts: str
    summary: str
    change_id: str
    decision_id: str
    restored: tuple[ValueEdit, ...]
    kept: tuple[ValueEdit, ...]


def undo(house: House, scene: Scene, target: str, *, force: bool, because: str = "") -> Undone:
    """Roll back a policy's newest standing commit, or the commit named, and push. ``because``: why, for the commit's message.

    :raises NothingToRollBack: when there is nothing of the kind.
    :raises HeldByWindow: inside an exclusion window, unless ``force``.
    :raises Stalled: when a root would not build afterwards.
    """
    head = scene.view.commit
    commits, found = whole_history(house, head)
    commit = find(scene, commits, found, target)
    _may(scene, commit, force=force)
    before = house.repository.tree(commit.parents[0])
    after = house.repository.tree(commit.sha)
    plan = rollback_edits(before, after, scene.view, is_machine=is_machine_path)
    plan = _without_what_it_made(plan, scene, _made_and_only_resized(commits, commit, before, after))
    plan = _in_order(plan, scene)
    change = _change(house, scene, commit, plan, _policy_restore(house, scene, found, commit), because)
    _builds(house, scene, change)
    house.stores.changes.save(change, house.name)
    landed = landing.write(house, scene.state.fleet.delivery, head, (change,))
    landing.settle(house, landed)
    return Undone(
        commit=landed[0].commit,
        reverts=commit.sha,
        summary=commit.subject,
        change_id=change.id,
        decision_id=change.decisions[0].id,
        restored=change.decisions[0].proposal.edits,
        kept=plan.kept,
    )


def _made_and_only_resized(
    commits: Sequence[LandedCommit], commit: LandedCommit, before: Tree, after: Tree
) -> frozenset[str]:
    """Machine files that a policy's ``commit`` made, and that nobody but actions has written since.

    A file that Trimtab made goes away (DESIGN §4). That right-sizing made its CPU target absolute in between is no
    decision of a person's, and would else leave half an HPA.
    """
    if not commit.trailers.policy:
        return frozenset()
    made = {p for p in commit.paths if is_machine_path(p) and p in after.blobs and p not in before.blobs}
    later = commits[commits.index(commit) + 1 :]
    by_others = {path for c in later if not c.trailers.action for path in c.paths}
    return frozenset(path for path in made - by_others if not is_generated(path))


def _without_what_it_made(plan: RollbackPlan, scene: Scene, made: frozenset[str]) -> RollbackPlan:
    """``plan`` with the files ``made`` gone, whatever values they hold by now."""
    gone = {path for path in made if path in scene.view.blobs and any(kept.path == path for kept in plan.kept)}
    if not gone:
        return plan
    removals = [e for path in sorted(gone) for e in value_edits(path, scene.view.read(path), None, machine=True)]
    lists = {f"{path.rpartition('/')[0].rpartition('/')[0]}/kustomization.yaml" for path in gone}
    kept_files = {path: data for path, data in plan.files.items() if path not in lists}
    return RollbackPlan(
        edits=(*(e for e in plan.edits if e.path not in gone), *removals),
        kept=tuple(kept for kept in plan.kept if kept.path not in gone),
        files={**kept_files, **dict.fromkeys(gone)},
        components=tuple(sorted({*plan.components, *lists})),
    )


def _in_order(plan: RollbackPlan, scene: Scene) -> RollbackPlan:
    """``plan`` with the values of a file going back one by one, where its bytes would bring the containers into an order
    that people's manifest does not have any more.

    :raises NothingToRollBack: when their order is all that the commit changed.
    """
    files = {path: file for path, text in plan.files.items() if (file := _sizing(path, text)) is not None}
    workloads = deciding.workloads_of(scene, {path: file.target for path, file in files.items()})
    late = {path for path, workload in workloads.items() if disorder(files[path], workload)}
    if late and not plan.edits and late == plan.files.keys():
        raise NothingToRollBack(
            "nothing to roll back: that commit only followed the order of containers in a manifest",
            hint="undo the change of the manifest, and Trimtab follows it again",
        )
    return replace(plan, files={path: data for path, data in plan.files.items() if path not in late})


def _sizing(path: str, text: bytes | None) -> MachineFile | None:
    """A ``requests`` file of ours; None for any other, and for one that cannot be read: it goes back as it was."""
    if text is None or not is_machine_path(path) or machine_files.form_of(path) != "requests":
        return None
    try:
        return machine_files.parse(text, path=path)
    except InputError:
        return None


def find(scene: Scene, commits: Sequence[LandedCommit], found: Standing, target: str) -> LandedCommit:
    """The commit that ``target`` (a policy's name or id, or a commit) means.

    :raises NothingToRollBack: when it means none that stands.
    """
    policies = scene.state.policies
    named = [p for p in policies if p.id == target] or [p for p in policies if p.spec.name == target]
    policy = named[0] if named else None
    policy_id = policy.id if policy else target
    known = [c for c in commits if c.trailers.policy == policy_id]
    if policy or known:
        stands = policy_commits(found, policy_id)
        if not stands:
            said = "everything it has committed was undone already" if known else "it has never committed anything"
            raise NothingToRollBack(f"nothing to roll back for policy {target}: {said}")
        return stands[-1]
    matching = [c for c in commits if _SHA.match(target) and c.sha.startswith(target)]
    if not matching:
        names = ", ".join(sorted(p.spec.name for p in scene.state.policies)) or "none are declared"
        raise NothingToRollBack(
            f"nothing to roll back: {target!r} is neither a policy nor a commit on the branch",
            hint=f"policies: {names}; commits: git log",
        )
    if len(matching) > 1:
        raise NothingToRollBack(f"{target} may be any of {len(matching)} commits", hint="give more of its digits")
    commit = matching[0]
    if not commit.ours:
        raise NothingToRollBack(
            f"commit {commit.sha[:10]} is not one of Trimtab's", hint=f"undo it yourself: git revert {commit.sha[:10]}"
        )
    if by := found.reverted.get(commit.sha):
        raise NothingToRollBack(f"commit {commit.sha[:10]} was undone already, by {by.sha[:10]} ({by.subject})")
    if commit not in found.stands:
        raise NothingToRollBack(
            f"commit {commit.sha[:10]} is itself a rollback", hint=f"undo it yourself: git revert {commit.sha[:10]}"
        )
    return commit


def held(house: House, scene: Scene, sha: str) -> str:
    """What holds the rollback of a commit now; empty where nothing does."""
    commits, found = whole_history(house, scene.view.commit)
    try:
        _may(scene, find(scene, commits, found, sha), force=False)
    except (HeldByWindow, NothingToRollBack) as error:
        return error.message
    return ""


def _may(scene: Scene, commit: LandedCommit, *, force: bool) -> None:
    cluster = next((r.cluster.name for r in scene.roots.values() if _touches(commit, r)), "")
    verdict = rollback_verdict(gating.owners(scene, cluster=cluster, subject=_subject(scene, commit)), scene.now, force)
    if not verdict.allowed:
        until = f" until {instant(verdict.until)}" if verdict.until else ""
        raise HeldByWindow(f"the rollback is held{until}: {verdict.reason}", hint="roll back all the same with --force")


def _touches(commit: LandedCommit, root: RootScene) -> bool:
    return any(path.startswith(f"{root.root.path}/") for path in commit.paths)


def _subject(scene: Scene, commit: LandedCommit) -> Subject:
    trailers = commit.trailers
    names = {p.id: p.spec.name for p in scene.state.policies} | {a.id: a.name for a in scene.state.actions}
    if trailers.policy:
        return Subject(kind="policy", id=trailers.policy, name=names.get(trailers.policy, trailers.policy))
    if trailers.action:
        name = names.get(trailers.action, trailers.action)
        return Subject(kind="action", id=trailers.action, name=name, run=trailers.run)
    return Subject(kind="trimtab", id="", name="trimtab")


def _policy_restore(house: House, scene: Scene, found: Standing, commit: LandedCommit) -> tuple[ValueEdit, ...]:
    """A declared policy gets the fields from before the commit, in the same commit (nothing earlier: dry run)."""
    policy: ScalingPolicy | None = next((p for p in scene.state.policies if p.id == commit.trailers.policy), None)
    if policy is None or not policy.path or policy.spec.dry_run:
        return ()
    stands = policy_commits(found, policy.id)
    if not stands or stands[-1].sha != commit.sha:
        return ()
    return restoring.policy_edits(house, scene, policy, last=stands[-2] if len(stands) > 1 else None)


def _change(
    house: House,
    scene: Scene,
    commit: LandedCommit,
    plan: RollbackPlan,
    policy: tuple[ValueEdit, ...],
    because: str,
) -> Change:
    """The rollback as a change with files and message."""
    root = next((r for r in scene.roots.values() if _touches(commit, r)), None)
    worked = deciding.begin(house, scene, Timings(house.step))
    rest = [edit for edit in plan.edits if edit.path not in plan.files]
    view = scene.view.over(plan.files)
    remake = [path.rpartition("/")[0] for path in plan.components if not path.endswith("/turndown/kustomization.yaml")]
    applied = apply_edits(
        view.files,
        [*rest, *policy],
        worked.templates,
        remake=remake,
        container_indexes=_places(scene, [*rest, *policy]),
        twins=deciding.twins_of(scene),
        parse=worked.parse,
    )
    proposal = Proposal(
        kind="rollback",
        subject=_subject(scene, commit),
        cluster=root.cluster.name if root else "",
        root=root.root.path if root else "",
        namespace="",
        edits=(*plan.edits, *policy),
        reason=f"rolls back {commit.sha[:10]}: {commit.subject}" + (f"; {because}" if because else ""),
        ignores_windows=True,
        ignores_budget=True,
        reverts=commit.sha,
    )
    decision = Decision(id=deciding.new_id(scene.now), at=scene.now, proposal=proposal)
    change = Change(id=deciding.new_id(scene.now), group=f"rollback-{commit.sha[:12]}", decisions=(decision,))
    message = commit_message(change, worked.templates, currency=scene.state.fleet.pricing.currency)
    return change.model_copy(update={"files": {**plan.files, **applied.files}, "message": message})


def _places(scene: Scene, edits: Sequence[ValueEdit]) -> dict[str, ContainerIndex]:
    """Where containers stand in people's manifests. A patch by index says itself for which places it was written."""
    targets = {e.path: e.target for e in edits if e.form == "requests" and e.target.kind in BUILT_IN_KINDS}
    return {path: places_of(workload) for path, workload in deciding.workloads_of(scene, targets).items()}


def _builds(house: House, scene: Scene, change: Change) -> None:
    root = change.decisions[0].proposal.root
    if house.builder is None or not root or not scene.roots[root].state.inventory.wired:
        return
    house.builder.materialize(scene.view.base, {**scene.view.changed, **change.files})
    built = house.builder.build_many([root])[root]
    if not isinstance(built, bytes):
        raise Stalled(f"{root} would not build after the rollback: {built.message}", hint="nothing was changed")
