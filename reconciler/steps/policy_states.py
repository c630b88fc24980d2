"""What a pass has made of each policy, kept for whoever asks between passes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from reconciler.evaluate.scaling_outlook import Outlook
from reconciler.model.change import Change
from reconciler.model.log import DecisionRow
from reconciler.model.policy import PolicyState
from reconciler.report.passes import instant
from reconciler.steps.actuating import group_states
from reconciler.steps.catching_up import policy_commits, whole_history
from reconciler.steps.container_groups import policies_by_group
from reconciler.steps.deciding import Worked
from reconciler.steps.house import House
from reconciler.steps.lxc_containers import policies_by_container
from reconciler.steps.lxc_states import container_states
from reconciler.steps.scene import Scene


def keep_states(house: House, worked: Worked) -> None:
    """Store the state of every policy of the fleet, as of this pass."""
    scene = worked.scene
    held = _held(worked.held)
    last = house.stores.log.newest(house.name)
    problems = _problems(worked)
    objects, roots = _objects(scene)
    revisions = _revisions(house, worked, objects)
    groups = _groups(house, scene) | _containers(house, scene)
    states = [
        _state(worked.outlooks.get(policy.id), policy.id, last.get(policy.id)).model_copy(
            update={
                "held": held.get(policy.id, ""),
                "conflict": problems.get(policy.id, ""),
                "cluster": policy.spec.cluster or "",
                "objects": objects.get(policy.id, ()),
                **roots.get(policy.id, {}),
                "revision": revisions.get(policy.id, ""),
                **groups.get(policy.id, {}),
            }
        )
        for policy in scene.state.policies
    ]
    house.stores.policies.keep_states(house.name, states, scene.now)


def _state(outlook: Outlook | None, policy_id: str, last: DecisionRow | None) -> PolicyState:
    seen = outlook.forecast if outlook else None
    return PolicyState(
        policy_id=policy_id,
        current_replicas=seen.current_replicas if seen else None,
        desired_replicas=seen.desired_replicas if seen else None,
        failure=last.outcome if last is not None and last.action == "apply_failed" else "",
    )


def _held(changes: Iterable[Change]) -> dict[str, str]:
    """By policy: what holds its change, and until when."""
    found: dict[str, str] = {}
    for change in changes:
        until = f" until {instant(change.verdict.until)}" if change.verdict.until else ""
        found.setdefault(change.subject.id, f"{change.verdict.reason}{until}")
    return found


def _problems(worked: Worked) -> dict[str, str]:
    """By policy: why it does nothing as things are."""
    found = {policy_id: outlook.conflict for policy_id, outlook in worked.outlooks.items() if outlook.conflict}
    for proposal in worked.blocked:
        found.setdefault(proposal.subject.id, proposal.blocked)
    return found


def _objects(scene: Scene) -> tuple[Mapping[str, tuple[str, ...]], Mapping[str, dict[str, object]]]:
    """By policy: its HPAs that stand in the overlay, by the identity that they have in the cluster; and the root, as fields
    of its state."""
    found: dict[str, list[str]] = defaultdict(list)
    roots: dict[str, dict[str, object]] = {}
    for root in scene.roots.values():
        names = {workload.ref.key: workload.key for workload in root.state.inventory.workloads}
        for file in root.state.overlay.values():
            key = names.get(file.target.key)
            if file.form == "hpa" and key is not None:
                policy_id = file.values.get("policy", "")
                found[policy_id].append(f"HorizontalPodAutoscaler {key.namespace}/{key.name}")
                roots[policy_id] = {"root": root.root.path, "sync": root.root.sync}
    return {policy_id: tuple(sorted(objects)) for policy_id, objects in found.items()}, roots


def _groups(house: House, scene: Scene) -> dict[str, dict[str, object]]:
    """By docker policy: its group's file, as of which commit, and whether hosts run what it says."""
    found: dict[str, dict[str, object]] = {}
    states = group_states(house)
    for key, policy in policies_by_group(scene.state.policies).items():
        state = states.get(key)
        if state is None:
            continue
        told: dict[str, object] = {"revision": state.commit, "proved": state.settled}
        told["objects"] = (f"ContainerGroup {key[0]}/{key[1]}",)
        if state.settled or state.failure:
            told["failure"] = state.failure
        found[policy.id] = told
    return found


def _containers(house: House, scene: Scene) -> dict[str, dict[str, object]]:
    """By lxc policy: its container's file, as of which commit, and whether the container has what it says."""
    found: dict[str, dict[str, object]] = {}
    states = container_states(house)
    for key, policy in policies_by_container(scene.state.policies).items():
        state = states.get(key)
        if state is None:
            continue
        objects = (f"LXCContainer {key[0]}/{key[1]}",)
        found[policy.id] = {"revision": state.commit, "proved": state.settled, "objects": objects}
        if state.settled or state.lasting:
            found[policy.id]["failure"] = state.failure
        elif state.failure:  # it may yet come true: what it waits for stands against it, and it has not failed
            found[policy.id]["conflict"] = state.failure
    return found


def _revisions(house: House, worked: Worked, objects: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """By policy: its newest commit that stands; what this pass has just committed is not in the history read before."""
    found: dict[str, str] = {}
    if objects:
        _, standing = whole_history(house, worked.scene.view.commit)
        for policy_id in objects:
            if commits := policy_commits(standing, policy_id):
                found[policy_id] = commits[-1].sha
    return found | {change.subject.id: change.commit for change in worked.ready if change.commit}
