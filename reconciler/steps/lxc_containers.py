"""Observe and evaluate for LXC: containers' files and Proxmox VE as they are, and what the policies make of them."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from reconciler.errors import InputError
from reconciler.evaluate.resources import Containers, ResourcesResult, key_of_policy, resource_proposals
from reconciler.evaluate.resources_room import NodeSeen
from reconciler.evaluate.scaling_outlook import Outlook
from reconciler.manifests.lxc_container import (
    CORES,
    FOLDER,
    MEMORY,
    fields_of,
    is_node_name,
    key_of,
    parse,
    path_for,
    with_values,
)
from reconciler.model.fleet import Fleet
from reconciler.model.inventory import Problem
from reconciler.model.lxc_container import ContainerKey, LXCContainer
from reconciler.model.policy import ScalingPolicy
from reconciler.model.state import FleetState
from reconciler.render.lxc_text import lxc_text
from reconciler.render.templates import Templates
from reconciler.steps.house import House
from reconciler.steps.lxc_states import container_states
from reconciler.steps.lxc_watch import watch
from reconciler.steps.own_files import in_the_way, last_decided, paths_below
from reconciler.steps.scene import Scene
from reconciler.steps.templates_at import templates_at
from reconciler.steps.view import View

Keeps = Callable[[Fleet, str], bool]


def evaluate_lxc(house: House, scene: Scene) -> ResourcesResult:
    """What the lxc policies propose, and what is wrong with containers' files."""
    state = scene.state
    containers, problems = read_containers(scene.view, state, keeps=house.keeps_lxc_node)
    refused = {key: one.failure for key, one in container_states(house).items() if one.lasting}
    containers = replace(containers, unusable={**refused, **containers.unusable})  # until that is reverted
    result = resource_proposals(
        state.policies,
        containers,
        nodes_of(house, state, containers.files),
        now=scene.now,
        refusals=scene.refusals,
        last_decided=last_decided(house, scene, "lxc", lambda path: key_of(path) is not None),
        ended=state.ended_policies,
        policies_complete=state.policies_complete,
    )
    outlooks = _with_manifests(house, scene.view, result.outlooks, containers)
    return replace(result, outlooks=outlooks, problems=(*problems, *result.problems))


def nodes_of(house: House, state: FleetState, files: Mapping[ContainerKey, LXCContainer]) -> dict[str, NodeSeen]:
    """The nodes that policies and files of the fleet are about, as far as they are its to look after."""
    policies = [key_of_policy(policy) for policy in lxc_policies(state) if policy.spec.enabled]
    named = {policy.spec.target_namespace for policy in lxc_policies(state)} | {node for node, _ in files}
    wanted: dict[str, set[int]] = {
        node: set() for node in named if is_node_name(node) and house.keeps_lxc_node(state.fleet, node)
    }
    configs: dict[str, set[int]] = defaultdict(set)
    for node, vmid in (*policies, *files):
        if node in wanted:
            wanted[node].add(vmid)
    for key in policies:
        if key not in files:
            configs[key[0]].add(key[1])
    return watch(house, wanted, configs=configs)


def lxc_policies(state: FleetState) -> list[ScalingPolicy]:
    """The fleet's policies about LXC containers."""
    return [policy for policy in state.policies if policy.spec.runtime == "lxc"]


def policies_by_container(policies: Sequence[ScalingPolicy]) -> dict[ContainerKey, ScalingPolicy]:
    """The policy of each container; a live one before one that is not."""
    ordered = sorted(policies, key=lambda policy: (policy.spec.live, policy.spec.name, policy.id))
    return {key_of_policy(policy): policy for policy in ordered if policy.spec.runtime == "lxc"}


def read_containers(
    view: View,
    state: FleetState,
    *,
    keeps: Keeps = lambda fleet, node: not fleet.lxc_nodes or fleet.declares_node(node),
) -> tuple[Containers, list[Problem]]:
    """The containers that have files, on nodes that the fleet looks after. What is in a cluster's root is not ours to read."""
    policies = lxc_policies(state)
    files: dict[ContainerKey, LXCContainer] = {}
    unusable: dict[ContainerKey, str] = {}
    problems: list[Problem] = []
    paths = paths_below(view, state.fleet, FOLDER)
    view.fetch(path for path in paths if key_of(path))
    for path in paths:
        key = key_of(path)
        if key is None:
            problems += [_stray(path)] if policies or state.fleet.lxc_nodes else []
        elif not keeps(state.fleet, key[0]):
            problems.append(_foreign(path, key[0]))
        else:
            try:
                files[key] = parse(view.read(path), path=path)
            except InputError as error:
                problems.append(Problem.of(path, error))
                unusable[key] = f"{path} cannot be read: {error.message}"
    for key in {key_of_policy(policy) for policy in policies} - files.keys() - unusable.keys():
        if obstacle := _in_the_way(view, key):
            unusable[key] = obstacle
    return Containers(files, unusable), problems


def _stray(path: str) -> Problem:
    return Problem(path=path, message="not read", hint=f"LXC containers are {FOLDER}/<node>/<vmid>.yaml")


def _foreign(path: str, node: str) -> Problem:
    message = f"not read: the node {node} is not looked after by this fleet"
    return Problem(path=path, message=message, hint="name it under spec.lxcNodes of trimtab.yaml")


def _in_the_way(view: View, key: ContainerKey) -> str:
    """What stands where a container's file is to go; empty when nothing does."""
    try:
        return in_the_way(view, path_for(key))
    except InputError as error:
        return error.message


def _with_manifests(
    house: House, view: View, outlooks: Mapping[str, Outlook], containers: Containers
) -> dict[str, Outlook]:
    """Each outlook with the text of the file that it asks for."""
    templates: Templates | None = None
    told: dict[str, Outlook] = {}
    for policy_id, outlook in outlooks.items():
        asked = outlook.container
        if asked is None:
            told[policy_id] = outlook
            continue
        file = containers.files.get(asked.key)
        if file is not None:
            have, want = fields_of(file), fields_of(asked)
            new: dict[str, str] = {
                name: want[name] for name in (CORES, MEMORY) if name in want and want[name] != have.get(name)
            }
            text = with_values(view.read(outlook.path), new, path=outlook.path)
        else:
            templates = templates or templates_at(house, view)
            text = lxc_text(asked, templates, path=outlook.path)
        told[policy_id] = replace(outlook, manifest=text.decode("utf-8-sig", "replace"))
    return told
