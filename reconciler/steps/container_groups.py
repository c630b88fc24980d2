"""Observe and evaluate for Docker: groups' files and hosts as they are, and what the policies make of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

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
from reconciler.steps.catching_up import whole_history
from reconciler.steps.house import House
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
        last_decided=_last_decided(house, scene),
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
    paths = _paths(view, state.fleet) if pools else []
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


def _paths(view: View, fleet: Fleet) -> list[str]:
    roots = tuple(f"{root.path}/" for cluster in fleet.clusters for root in cluster.roots if root.path not in ("", "."))
    below = [path for path in view.list(FOLDER) if path.endswith((".yaml", ".yml"))]
    return [path for path in below if not path.startswith(roots)]


def _stray(path: str, pools: set[str]) -> Problem:
    if (key := key_of(path)) is not None:
        message = f"not read: there is no host pool {key[0]!r} in trimtab.yaml"
        return Problem(path=path, message=message, hint=f"there are {', '.join(sorted(pools))}")
    return Problem(path=path, message="not read", hint=f"groups of containers are {FOLDER}/<host-pool>/<group>.yaml")


def _in_the_way(view: View, key: GroupKey) -> str:
    """What stands where a group's file is to go; empty when nothing does."""
    try:
        path = path_for(key)
    except InputError as error:
        return error.message
    for above in (FOLDER, f"{FOLDER}/{key[0]}", path):
        if above in view.oddities:
            return f"{above} is {view.oddities[above]}: put a plain folder or file there"
        if above != path and above in view.blobs:
            return f"{above} is a file, and {path} is to go below it"
    return f"{path} is a folder" if view.list(path) else ""


def _last_decided(house: House, scene: Scene) -> dict[str, datetime]:
    """When each docker policy decided last: by its newest commit, or in dry run by its newest row in the log."""
    asked = [policy for policy in scene.state.policies if policy.spec.runtime == "docker" and policy.spec.enabled]
    found: dict[str, datetime] = {}
    if live := {policy.id for policy in asked if policy.spec.live}:
        commits, _ = whole_history(house, scene.view.commit)
        for commit in commits:
            if commit.trailers.policy in live and any(key_of(path) for path in commit.paths):
                found[commit.trailers.policy] = commit.at
    if dry := [policy.id for policy in asked if policy.spec.dry_run]:
        rows = house.stores.log.newest(house.name)
        found |= {policy_id: rows[policy_id].ts for policy_id in dry if policy_id in rows}
    return found


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
