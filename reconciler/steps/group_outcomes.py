"""What became of the changes to groups' files: they are applied once the hosts run what the files say at the head.

An agent's answers say so of the change that they are about. What they do not say is said here: of a change that another one
has overtaken before anybody was told, of one that asked for nothing new, and of one that took a file away.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from reconciler.commit.history import LandedCommit
from reconciler.manifests.container_group import key_of
from reconciler.model.fleet import Fleet
from reconciler.steps.catching_up import whole_history
from reconciler.steps.house import House

_SEEN: Final = "group outcomes"


def note_outcomes(house: House, fleet: Fleet, head: str, *, present: Iterable[str], settled: Mapping[str, str]) -> None:
    """Mark as applied what is in force at ``head``.

    ``present``: the paths of all files of groups; ``settled``: of those whose hosts run what they say, the newest commit by the
    path. One that has failed is marked if it is the newest of its file, for an older one never came true. Calling it
    again with the same costs nothing.
    """
    look = (head, frozenset(settled.items()))
    if not fleet.host_pools or house.parsed.get(_SEEN) == look:
        return
    waiting = frozenset(present) - settled.keys()
    states = house.stores.changes.states(house.name)
    for change_id, newest in _in_force(house, fleet, head, waiting):
        state = states[change_id][0] if change_id in states else ""
        if state in ("committed", "merged") or (newest and state == "failed"):
            house.stores.changes.came_out(change_id, "applied", healthy=True, at=house.now())
    house.parsed[_SEEN] = look


def _in_force(house: House, fleet: Fleet, head: str, waiting: frozenset[str]) -> Iterator[tuple[str, bool]]:
    """The changes to groups' files alone, none of which is waited for; and whether each is the newest of its files."""
    roots = tuple(f"{root.path}/" for cluster in fleet.clusters for root in cluster.roots if root.path not in ("", "."))
    commits, found = whole_history(house, head)
    overtaken: set[str] = set()
    for commit in reversed(commits):
        paths = _group_paths(commit, roots)
        if commit.ours and paths and commit.sha not in found.reverted and waiting.isdisjoint(paths):
            yield commit.trailers.change, overtaken.isdisjoint(paths)
        overtaken.update(paths)


def _group_paths(commit: LandedCommit, roots: tuple[str, ...]) -> tuple[str, ...]:
    """None of a commit that changes what clusters run as well: what came of that is proved by reports."""
    if roots and any(path.startswith(roots) for path in commit.paths):
        return ()
    return tuple(path for path in commit.paths if key_of(path) is not None)
