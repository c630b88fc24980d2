"""Files that a runtime has in a folder of its own (``docker/…``, ``lxc/…``): where they are, what stands in the way of one,
and when the policies about them decided last."""

from collections.abc import Callable
from datetime import datetime

from reconciler.model.fleet import Fleet
from reconciler.model.policy import Runtime
from reconciler.steps.catching_up import whole_history
from reconciler.steps.house import House
from reconciler.steps.scene import Scene
from reconciler.steps.view import View


def paths_below(view: View, fleet: Fleet, folder: str) -> list[str]:
    """The YAML files below ``folder``, without what is in a cluster's root."""
    roots = tuple(f"{root.path}/" for cluster in fleet.clusters for root in cluster.roots if root.path not in ("", "."))
    below = [path for path in view.list(folder) if path.endswith((".yaml", ".yml"))]
    return [path for path in below if not path.startswith(roots)]


def in_the_way(view: View, path: str) -> str:
    """What stands where the file ``folder/parent/name.yaml`` is to go; empty when nothing does."""
    folder, parent, _ = path.split("/")
    for above in (folder, f"{folder}/{parent}", path):
        if above in view.oddities:
            return f"{above} is {view.oddities[above]}: put a plain folder or file there"
        if above != path and above in view.blobs:
            return f"{above} is a file, and {path} is to go below it"
    return f"{path} is a folder" if view.list(path) else ""


def last_decided(house: House, scene: Scene, runtime: Runtime, is_theirs: Callable[[str], bool]) -> dict[str, datetime]:
    """When each policy of a runtime decided last: by its newest commit to a file that ``is_theirs``, or in dry run by its
    newest row in the log."""
    asked = [policy for policy in scene.state.policies if policy.spec.runtime == runtime and policy.spec.enabled]
    found: dict[str, datetime] = {}
    if live := {policy.id for policy in asked if policy.spec.live}:
        commits, _ = whole_history(house, scene.view.commit)
        for commit in commits:
            if commit.trailers.policy in live and any(map(is_theirs, commit.paths)):
                found[commit.trailers.policy] = commit.at
    if dry := [policy.id for policy in asked if policy.spec.dry_run]:
        rows = house.stores.log.newest(house.name)
        found |= {policy_id: rows[policy_id].ts for policy_id in dry if policy_id in rows}
    return found
