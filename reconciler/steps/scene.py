"""Observe: everything that a decision may depend on, read at one commit and one instant."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

from reconciler.commit.values import is_declared_path
from reconciler.errors import Stalled, TrimtabError, Where
from reconciler.gate.windows import check_window
from reconciler.manifests import machine_files
from reconciler.model.change import Refusal
from reconciler.model.fleet import Cluster, Fleet, Root
from reconciler.model.inventory import Inventory, Problem, RootState
from reconciler.model.observation import Observation
from reconciler.model.policy import ScalingPolicy
from reconciler.model.state import FleetState
from reconciler.model.window import Windows
from reconciler.model.workload import ObjectRef, Workload
from reconciler.observe.git_state import read_fleet
from reconciler.observe.inventory import overlay_fingerprint, read_root, root_fingerprint
from reconciler.steps.action_configs import made_through_api
from reconciler.steps.house import BRANCH, House
from reconciler.steps.machine_files import MachineFiles
from reconciler.steps.view import View, paths_below

_CACHE_VERSION = 3
"""Raised whenever reading a root would give another answer for the same bytes."""

_STATES_OF_A_ROOT = 3
"""How many are kept in memory: at the head that was read, as the pass has left it, and where an agent's pull looks."""
_ENTRIES_A_FILE = 4
"""How much is remembered of files of earlier commits before it is let go, for each file that there is."""


RefKey = tuple[str, str, str, str | None]


def ref_key(ref: ObjectRef) -> RefKey:
    """(group, kind, name, namespace or None): a version bump is the same object."""
    return ref.group, ref.kind, ref.name, ref.namespace


@dataclass(frozen=True)
class RootScene:
    """One root with its owner, as read."""

    cluster: Cluster
    root: Root
    state: RootState
    people: str = ""
    """:func:`~reconciler.observe.inventory.root_fingerprint`: what the state depends on beside our own files."""
    stored: bool = True
    """Whether the store has the state, so that another process need not read the root again."""


@dataclass(frozen=True)
class Scene:
    """The fleet at ``view`` and what was observed up to ``now``."""

    now: datetime
    view: View
    state: FleetState
    roots: Mapping[str, RootScene]
    observations: Mapping[str, Observation]
    refusals: tuple[Refusal, ...]
    approvals: Mapping[str, str] = field(default_factory=dict)
    """Who approved which decision, by its fingerprint."""

    @cached_property
    def windows(self) -> Mapping[str, Windows]:
        """The windows of each policy and action, by its id."""
        policies = {policy.id: policy.windows for policy in self.state.policies}
        return policies | {action.id: action.windows for action in self.state.actions}

    @cached_property
    def workloads(self) -> Mapping[str, Mapping[RefKey, Workload]]:
        """The workloads of each root by what a patch calls them; roots by the folder of our component in them."""
        return {
            scene.root.overlay_path: {ref_key(workload.ref): workload for workload in scene.state.inventory.workloads}
            for scene in self.roots.values()
        }

    @property
    def root_states(self) -> tuple[RootState, ...]:
        return tuple(scene.state for scene in self.roots.values())

    @property
    def problems(self) -> tuple[Problem, ...]:
        found = [*self.state.problems]
        for scene in self.roots.values():
            found += scene.state.inventory.problems
        return tuple(found)

    def cluster_states(self, cluster: str) -> tuple[RootState, ...]:
        """The roots of one cluster."""
        return tuple(scene.state for scene in self.roots.values() if scene.cluster.name == cluster)


def read_scene(house: House, view: View, now: datetime) -> Scene:
    """Read the configuration and every root at ``view``; what was read before at the same content is not read again.

    :raises Stalled: when trimtab.yaml cannot be used.
    """
    state = read_fleet_of(house, view)
    roots = {root.path: (cluster, root) for cluster in state.fleet.clusters for root in cluster.roots}
    read = _read_roots(house, view, roots)
    return Scene(
        now=now,
        view=view,
        state=state,
        roots=read,
        observations={c.name: house.stores.observations.newest(c.name) for c in state.fleet.clusters},
        refusals=house.stores.refusals.standing(house.name),
        approvals=house.stores.verdicts.approved(house.name),
    )


def read_fleet_of(house: House, view: View) -> FleetState:
    """trimtab.yaml, policies/ and actions/ at ``view``; with them the policies and action configs made through the API that
    are about this fleet. A config that cannot be used any more is a problem by name.

    :raises Stalled: when trimtab.yaml cannot be used.
    """
    state = read_fleet(view, check_window=check_window)
    _same_branch(house, state)
    house.admit(state.fleet)
    made = [stored.as_policy() for stored in house.stores.policies.of(state.fleet.name)]
    actions, problems = made_through_api(house.stores.action_configs.of(state.fleet.name), state.fleet, house.name)
    return state.model_copy(
        update={
            "policies": (*state.policies, *(policy for policy in made if concerns(policy, state.fleet))),
            "ended_policies": house.stores.policies.ended(state.fleet.name),
            "ended_actions": house.stores.action_configs.ended(state.fleet.name),
            "actions": (*state.actions, *actions),
            "problems": (*state.problems, *problems),
            "actions_complete": state.actions_complete and not problems,
        }
    )


def concerns(policy: ScalingPolicy, fleet: Fleet) -> bool:
    """Whether a policy's target belongs to ``fleet``: an organization may have several fleet repos."""
    if policy.spec.runtime == "kubernetes":
        named = {name for cluster in fleet.clusters for name in (cluster.name, cluster.id)}
        return policy.spec.cluster is None or policy.spec.cluster in named
    if policy.spec.runtime == "docker":
        return policy.spec.target_namespace in {pool.name for pool in fleet.host_pools}
    return not fleet.lxc_nodes or fleet.declares_node(policy.spec.target_namespace)


def _same_branch(house: House, state: FleetState) -> None:
    """The clone stands on the branch that trimtab.yaml named when it was opened; a person may have named another since."""
    named = state.fleet.delivery.branch
    if named != house.repository.branch:
        house.stores.marks.set(house.given, BRANCH, "")
        raise Stalled(
            f"delivery.branch is {named}, and this process stands on {house.repository.branch}",
            where=Where("trimtab.yaml", field="spec.delivery.branch"),
            hint="run the command again: it starts on the branch that is named now",
        )


def reread(house: House, scene: Scene, view: View) -> Scene:
    """The scene after changes of this pass were laid over it: only what changed is read again."""
    changed = [path for path in _changed(scene.view, view) if not _is_declared(scene, path)]
    ours = {path: paths_below(changed, root.root.overlay_path) for path, root in scene.roots.items()}
    if sum(map(len, ours.values())) == len(changed):
        relaid = {path: _relaid(house, root, view, ours[path]) for path, root in scene.roots.items()}
    else:  # a person's own file was edited, and any root may read it
        relaid = dict.fromkeys(scene.roots)
    unknown = {path: (scene.roots[path].cluster, scene.roots[path].root) for path, root in relaid.items() if not root}
    read = _read_roots(house, view, unknown)
    return replace(scene, view=view, roots={path: root or read[path] for path, root in relaid.items()})


def _is_declared(scene: Scene, path: str) -> bool:
    """Whether it is the file of a group of containers, or of an LXC container, which no root reads."""
    return is_declared_path(path) and not any(path.startswith(f"{root}/") for root in scene.roots)


def _changed(before: View, after: View) -> list[str]:
    """The paths at which two views of one commit differ, sorted."""
    paths = before.changed.keys() | after.changed.keys()
    return sorted(path for path in paths if before.changed.get(path, ...) != after.changed.get(path, ...))


def _relaid(house: House, root: RootScene, view: View, paths: Sequence[str]) -> RootScene | None:
    """The root after our own files ``paths`` in it have changed; None when only reading it says what it is now.

    People's objects stay as they were, and the values of what was just rendered are at hand.
    """
    overlay = root.root.overlay_path
    if not paths:
        return root
    state = root.state
    if state.mistargeted or any(problem.path.startswith(f"{overlay}/") for problem in state.inventory.problems):
        return None
    known, files = MachineFiles(house.parsed), dict(root.state.overlay)
    for path in paths:
        text = view.get(path)
        if machine_files.is_list(path.removeprefix(f"{overlay}/")):
            if text is None or path not in view.blobs_below:
                return None
        elif text is None:
            files.pop(path, None)
        elif file := known.find(text, path):
            files[path] = file
        else:
            return None
    return replace(root, state=root.state.model_copy(update={"overlay": dict(sorted(files.items()))}), stored=False)


def keep(house: House, scene: Scene) -> None:
    """Store what this pass has made of the roots, so that the next process need not read our files."""
    fresh: dict[str, bytes] = {}
    for path, root in scene.roots.items():
        if not root.stored:
            key = _cache_key(scene.view, root.cluster, root.root, root.people)
            _remember(house, path, key, root.state)
            fresh[key] = root.state.model_dump_json().encode()
    if fresh:
        house.stores.cache.put_many(fresh)


def read_roots_of(house: House, view: View, cluster: Cluster) -> dict[str, RootScene]:
    """The roots of one cluster at ``view``, by path; those that were read before at the same content are at hand."""
    return _read_roots(house, view, {root.path: (cluster, root) for root in cluster.roots})


def _read_roots(house: House, view: View, roots: Mapping[str, tuple[Cluster, Root]]) -> dict[str, RootScene]:
    people = {path: root_fingerprint(view, root) for path, (_, root) in roots.items()}
    keys = {path: _cache_key(view, cluster, root, people[path]) for path, (cluster, root) in roots.items()}
    known = house.stores.cache.get_many([key for path, key in keys.items() if key not in _states_of(house, path)])
    fresh: dict[str, bytes] = {}
    read: dict[str, RootScene] = {}
    for path, (cluster, root) in roots.items():
        key = keys[path]
        state = _states_of(house, path).get(key)
        if state is None and key in known:
            state = RootState.model_validate_json(known.pop(key))
            MachineFiles(house.parsed).keep_all(state, view)
        if state is None:
            state = _read_root(house, view, cluster, root)
            if not any(problem.blocks_root for problem in state.inventory.problems):
                fresh[key] = state.model_dump_json().encode()
        _remember(house, path, key, state)
        read[path] = RootScene(cluster, root, state, people[path])
    if fresh:
        house.stores.cache.put_many(fresh)
    house.parsed.age(_ENTRIES_A_FILE * len(view.blobs))
    return read


def _states_of(house: House, path: str) -> Mapping[str, RootState]:
    """What is in memory of a root: its states by :func:`_cache_key`, the one used last at the end."""
    known = house.parsed.get(f"root:{path}")
    return known if isinstance(known, dict) else {}


def _remember(house: House, path: str, key: str, state: RootState) -> None:
    earlier = {k: s for k, s in _states_of(house, path).items() if k != key}
    house.parsed[f"root:{path}"] = dict([*earlier.items(), (key, state)][-_STATES_OF_A_ROOT:])


def _cache_key(view: View, cluster: Cluster, root: Root, people: str) -> str:
    parts = (cluster.name, root.model_dump_json(), people, overlay_fingerprint(view, root))
    return f"root:{_CACHE_VERSION}:{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()}"


def _read_root(house: House, view: View, cluster: Cluster, root: Root) -> RootState:
    try:
        return read_root(view, cluster.name, root, build=builder_for(house, view), cache=house.parsed)
    except TrimtabError as error:
        problem = Problem(
            path=error.where.path if error.where else root.path,
            line=error.where.line if error.where else 0,
            message=error.message,
            hint=error.hint,
            blocks_root=True,
        )
        return RootState(inventory=Inventory(cluster=cluster.name, root=root.path, problems=(problem,)))


def builder_for(house: House, view: View) -> Callable[[str], bytes] | None:
    """A function that builds a path of ``view`` with kustomize, None where there is no kustomize."""
    builder = house.builder
    if builder is None:
        return None

    def build(path: str) -> bytes:
        builder.materialize(view.base, view.changed)
        return builder.build(path)

    return build
