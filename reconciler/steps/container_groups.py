"""Observe and evaluate for Docker: groups' files and hosts as they are, and what the policies make of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from reconciler.errors import InputError
from reconciler.evaluate.containers import ContainersResult, Groups, container_proposals
from reconciler.evaluate.scaling_outlook import Outlook
from reconciler.manifests.container_group import FOLDER, key_of, parse, path_for, with_replicas
from reconciler.model.container_group import ContainerGroup, GroupKey, Host, pool_key
from reconciler.model.fleet import Fleet
from reconciler.model.inventory import Problem
from reconciler.model.policy import ScalingPolicy
from reconciler.model.state import FleetState
from reconciler.render.group_text import group_text
from reconciler.render.templates import Templates
from reconciler.steps.house import House
from reconciler.steps.own_files import in_the_way, last_decided, paths_below
from reconciler.steps.scene import Scene
from reconciler.steps.templates_at import templates_at
from reconciler.steps.view import View
from reconciler.store.hosts import HostStore


def evaluate_containers(house: House, scene: Scene) -> ContainersResult:
    """What the docker policies propose, and what is wrong with groups' files."""
    state = scene.state
    groups, problems = read_groups(scene.view, state)
    result = container_proposals(
        state.policies,
        groups,
        state.fleet,
        now=scene.now,
        observations={pool_key(pool): hosts for pool, hosts in hosts_of(house, state.fleet).items()},
        refusals=scene.refusals,
        last_decided=last_decided(house, scene, "docker", lambda path: key_of(path) is not None),
        ended=state.ended_policies,
        policies_complete=state.policies_complete,
    )
    outlooks = _with_manifests(house, scene.view, result.outlooks, groups)
    return replace(result, outlooks=outlooks, problems=(*problems, *result.problems))


def hosts_of(house: House, fleet: Fleet) -> dict[str, tuple[Host, ...]]:
    """The hosts of each pool that the fleet declares."""
    store = HostStore(house.stores.engine)
    return {pool.name: store.of(fleet.name, pool.name) for pool in fleet.host_pools}


def read_groups(view: View, state: FleetState) -> tuple[Groups, list[Problem]]:
    """The groups of the declared host pools. What is in a cluster's root, or beside where no pool is declared, is not ours to read."""
    pools = {pool.name for pool in state.fleet.host_pools}
    paths = paths_below(view, state.fleet, FOLDER) if pools else []
    view.fetch(paths)
    files: dict[GroupKey, ContainerGroup] = {}
    unusable: dict[GroupKey, str] = {}
    problems: list[Problem] = []
    for path in paths:
        key = key_of(path)
        if key is None or key[0] not in pools:
            problems.append(_stray(path, pools))
            continue
        try:
            files[key] = parse(view.read(path), path=path)
        except InputError as error:
            problems.append(Problem.of(path, error))
            unusable[key] = f"{path} cannot be read: {error.message}"
    wanted = {(p.spec.target_namespace, p.spec.target_name) for p in state.policies if p.spec.runtime == "docker"}
    for key in wanted - files.keys() - unusable.keys():
        if key[0] in pools and (obstacle := _in_the_way(view, key)):
            unusable[key] = obstacle
    return Groups(files, unusable), problems


def _stray(path: str, pools: set[str]) -> Problem:
    if (key := key_of(path)) is not None:
        message = f"not read: there is no host pool {key[0]!r} in trimtab.yaml"
        return Problem(path=path, message=message, hint=f"there are {', '.join(sorted(pools))}")
    return Problem(path=path, message="not read", hint=f"groups of containers are {FOLDER}/<host-pool>/<group>.yaml")


def _in_the_way(view: View, key: GroupKey) -> str:
    """What stands where a group's file is to go; empty when nothing does."""
    try:
        return in_the_way(view, path_for(key))
    except InputError as error:
        return error.message


def _with_manifests(house: House, view: View, outlooks: Mapping[str, Outlook], groups: Groups) -> dict[str, Outlook]:
    """Each outlook with the text of the file that it asks for."""
    templates: Templates | None = None
    told: dict[str, Outlook] = {}
    for policy_id, outlook in outlooks.items():
        group = outlook.group
        if group is None:
            told[policy_id] = outlook
            continue
        if group.key in groups.files:
            text = with_replicas(view.read(outlook.path), group.replicas, path=outlook.path)
        else:
            templates = templates or templates_at(house, view)
            text = group_text(group, templates, path=outlook.path)
        told[policy_id] = replace(outlook, manifest=text.decode("utf-8-sig", "replace"))
    return told


def policies_by_group(policies: Sequence[ScalingPolicy]) -> dict[GroupKey, ScalingPolicy]:
    """The policy of each group; a live one before one that is not."""
    ordered = sorted(policies, key=lambda policy: (policy.spec.live, policy.spec.name, policy.id))
    return {(p.spec.target_namespace, p.spec.target_name): p for p in ordered if p.spec.runtime == "docker"}
