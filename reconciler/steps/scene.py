"""Observe: everything that a decision may depend on, read at one commit and one instant."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from reconciler.errors import Stalled, TrimtabError, Where
from reconciler.gate.windows import check_window
from reconciler.model.change import Refusal
from reconciler.model.fleet import Cluster, Root
from reconciler.model.inventory import Inventory, Problem, RootState
from reconciler.model.observation import Observation
from reconciler.model.state import FleetState
from reconciler.observe.git_state import read_fleet
from reconciler.observe.inventory import overlay_fingerprint, read_root, root_fingerprint
from reconciler.steps.house import BRANCH, House
from reconciler.steps.view import View

_CACHE_VERSION = 1
"""Raised whenever reading a root would give another answer for the same bytes."""


@dataclass(frozen=True)
class RootScene:
    """One root with its owner, as read."""

    cluster: Cluster
    root: Root
    state: RootState


@dataclass(frozen=True)
class Scene:
    """The fleet at ``view`` and what was observed up to ``now``."""

    now: datetime
    view: View
    state: FleetState
    roots: Mapping[str, RootScene]
    observations: Mapping[str, Observation]
    refusals: tuple[Refusal, ...]

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
    state = read_fleet(view, check_window=check_window)
    _same_branch(house, state)
    roots = {root.path: (cluster, root) for cluster in state.fleet.clusters for root in cluster.roots}
    read = _read_roots(house, view, roots)
    return Scene(
        now=now,
        view=view,
        state=state,
        roots=read,
        observations={c.name: house.stores.observations.newest(c.name) for c in state.fleet.clusters},
        refusals=house.stores.refusals.standing(house.name),
    )


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
    """The scene after changes of this pass were laid over it: only roots with changed files are read again."""
    changed = {path for path in view.changed if view.changed[path] != scene.view.changed.get(path, ...)}
    touched = {
        path: (known.cluster, known.root)
        for path, known in scene.roots.items()
        if any(_inside(name, path) for name in changed)
    }
    return replace(scene, view=view, roots={**scene.roots, **_read_roots(house, view, touched)})


def _inside(path: str, folder: str) -> bool:
    return folder in ("", ".") or path.startswith(folder + "/")


def _read_roots(house: House, view: View, roots: Mapping[str, tuple[Cluster, Root]]) -> dict[str, RootScene]:
    keys = {path: _cache_key(view, cluster, root) for path, (cluster, root) in roots.items()}
    known = house.stores.cache.get_many([key for key in keys.values() if key not in house.parsed])
    fresh: dict[str, bytes] = {}
    read: dict[str, RootScene] = {}
    for path, (cluster, root) in roots.items():
        key = keys[path]
        state = house.parsed.get(key)
        if not isinstance(state, RootState):
            state = RootState.model_validate_json(known[key]) if key in known else None
        if state is None:
            state = _read_root(house, view, cluster, root)
            if not any(problem.blocks_root for problem in state.inventory.problems):
                fresh[key] = state.model_dump_json().encode()
        house.parsed[key] = state
        read[path] = RootScene(cluster, root, state)
    if fresh:
        house.stores.cache.put_many(fresh)
    return read


def _cache_key(view: View, cluster: Cluster, root: Root) -> str:
    parts = (cluster.name, root.model_dump_json(), root_fingerprint(view, root), overlay_fingerprint(view, root))
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
