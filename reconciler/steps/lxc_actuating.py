"""Actuate: give each LXC container what its file at the head of the branch says (DESIGN §8).

Nothing is changed without a commit. A container is looked after when a policy is about it, or its file was made for one, or
one of our commits ever touched that file; then a person's edit or revert of it counts like a decision. A call that Proxmox VE
refuses is told, and the change of ours that asked for it is named to be reverted. While Proxmox VE is away, the container is
locked, or its node has no room, it is tried again with growing pauses.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from reconciler.actuate.proxmox import NoContainer, NoNode, Proxmox, Refused
from reconciler.commit.history import LandedCommit
from reconciler.errors import TrimtabError
from reconciler.evaluate.resources_room import NodeSeen, Room
from reconciler.manifests.lxc_container import path_for
from reconciler.model.lxc_container import ContainerKey, LXCContainer, LXCState, scaling
from reconciler.model.plan import Pass
from reconciler.model.state import FleetState
from reconciler.steps import lxc_turns
from reconciler.steps.catching_up import whole_history
from reconciler.steps.house import House
from reconciler.steps.lxc_answers import applied, failed
from reconciler.steps.lxc_containers import lxc_policies, nodes_of, policies_by_container, read_containers
from reconciler.steps.lxc_states import ContainerState, Looked, container_states, keep_look, last_look
from reconciler.steps.lxc_turns import Busy
from reconciler.steps.lxc_watch import Pauses, look_again
from reconciler.steps.scene import Scene, read_fleet_of
from reconciler.steps.view import View

_SOON = timedelta(seconds=10)


@dataclass(frozen=True)
class TakeBack:
    """A commit of ours that Proxmox VE has refused, and its words."""

    commit: str
    because: str


def actuate(house: House, state: FleetState, view: View, *, head: str) -> tuple[TakeBack, ...]:
    """Change every container that differs from its file at ``view``, which holds what the branch's ``head`` does; gives the
    commits that are to be reverted because they cannot come true.

    Calling it again changes nothing until a container, a file or the time has moved on.
    """
    if house.proxmox is None:
        return ()
    containers, _ = read_containers(view, state, keeps=house.keeps_lxc_node)
    if not containers.files:
        keep_look(house, Looked(head, None, _watches(house, state), {}))
        return ()
    house.step("actuate")
    work = _Work(house, house.proxmox, state, head)
    nodes = nodes_of(house, state, containers.files)
    for key, file in sorted(containers.files.items()):
        if key[0] in nodes and work.looks_after(file):
            work.bring(file, nodes[key[0]])
    waiting = (one.pauses.until for one in work.states.values() if not one.settled)
    due = min((at for at in waiting if at), default=None)
    keep_look(house, Looked(head, due, _watches(house, state), work.states))
    return tuple(work.take_back)


def actuate_again(house: House, head: str) -> tuple[TakeBack, ...]:
    """:func:`actuate` in a pass that rests: only when something is due, such as a call to Proxmox VE that was away."""
    looked = last_look(house)
    if looked is not None and looked.head == head and (looked.due is None or house.now() < looked.due):
        return ()
    return actuate_at(house, head)


def actuate_at(house: House, head: str) -> tuple[TakeBack, ...]:
    """:func:`actuate` at a commit. :raises Stalled: when trimtab.yaml cannot be used there."""
    if house.proxmox is None:
        return ()
    view = View(house.repository.tree(head))
    return actuate(house, read_fleet_of(house, view), view, head=head)


def told(house: House, found: Pass) -> Pass:
    """``found`` with a note for each container that has not what its file says."""
    notes = (one.failure for one in container_states(house).values() if one.failure)
    return found.model_copy(update={"notes": tuple(dict.fromkeys((*found.notes, *notes)))})


def watches(house: House) -> bool:
    """Whether policies watch containers: nobody says when what they use has changed, so that it is looked at again."""
    looked = last_look(house)
    return looked is not None and looked.watches


def drifted(house: House, scene: Scene) -> bool:
    """Whether a container that had what its file says has it no more."""
    containers, _ = read_containers(scene.view, scene.state, keeps=house.keeps_lxc_node)
    nodes = nodes_of(house, scene.state, containers.files)
    for key, known in container_states(house).items():
        file, node = containers.files.get(key), nodes.get(key[0])
        seen = node.newest(key[1]) if node is not None else None
        if known.settled and file is not None and seen is not None and _differs(file, seen):
            return True
    return False


def _watches(house: House, state: FleetState) -> bool:
    return house.proxmox is not None and any(policy.spec.enabled for policy in lxc_policies(state))


class _Work:
    """One look at all containers: what is read once for all of them."""

    def __init__(self, house: House, proxmox: Proxmox, state: FleetState, head: str) -> None:
        self._house, self._proxmox, self._now = house, proxmox, house.now()
        self._policies = policies_by_container(state.policies)
        self._commits, self._found = whole_history(house, head)
        self._before = container_states(house)
        self._room = Room()
        self.states: dict[ContainerKey, ContainerState] = {}
        self.take_back: list[TakeBack] = []

    def looks_after(self, file: LXCContainer) -> bool:
        """Whether it is more than a file that a person keeps for the record."""
        return file.key in self._policies or bool(file.policy) or any(c.ours for c in self._of(file))

    def bring(self, file: LXCContainer, node: NodeSeen) -> None:
        """Have the container get what its file says, and note what came of it."""
        newest = next(iter(self._of(file)), None)
        sha = newest.sha if newest is not None else ""
        known = self._before.get(file.key)
        before = known if known is not None and known.commit == sha else ContainerState(sha)
        if before.pauses.goes_on(self._now):
            self.states[file.key] = before
            return
        if before.lasting and newest in self._found.stands:  # the revert has not come through yet
            self.states[file.key] = before
            self.take_back.append(TakeBack(sha, before.failure))
            return
        try:
            self.states[file.key] = self._brought(file, node, before)
        except Busy:
            self.states[file.key] = ContainerState(sha, pauses=Pauses(0, self._now + _SOON))
        except (Refused, NoContainer, NoNode) as error:
            self._refused(file, error, before, newest)
        except TrimtabError as error:  # away, or a token that a person must mend: nothing is wrong with the commit
            told = f"{error.message} ({error.hint})" if error.hint else error.message
            self._wait(file.key, before, told, error)
        if self.states[file.key].settled:
            applied(self._house, self._of(file), self._found)

    def _brought(self, file: LXCContainer, node: NodeSeen, before: ContainerState) -> ContainerState:
        """:raises TrimtabError: when Proxmox VE does not do it."""
        seen = node.newest(file.vmid)
        if node.trouble or seen is None:
            raise NotNow(node.trouble or node.missing(file.key))
        if before.settled and not _differs(file, seen):
            return before
        with lxc_turns.alone(self._house.stores.leases, file.vmid, wait_seconds=0):
            exact = self._proxmox.container(file.key)
            shrinks = _shrinks(file, exact)
            if _differs(file, exact) or _growth(file, exact):
                self._may(file, exact, node)
                self._call(file, exact)
        return ContainerState(before.commit, settled=not shrinks, failure=shrinks)

    def _call(self, file: LXCContainer, exact: LXCState) -> None:
        cores = file.cores if file.cores != exact.cores else None
        memory = file.memory_mb if file.memory_mb != exact.memory_mb else None
        look_again(self._house, file.node)
        if cores is not None or memory is not None:
            with self._unless_changed(exact):
                self._proxmox.set_resources(file.key, cores=cores, memory_mb=memory, digest=exact.digest)
            if cores is not None:
                self._house.scaled(file.vmid, scaling(exact.cores, cores), "cpu")
            if memory is not None:
                self._house.scaled(file.vmid, scaling(exact.memory_mb, memory), "memory")
            exact = self._proxmox.container(file.key)
        if by := _growth(file, exact):
            if task := self._proxmox.task_of(
                file.key
            ):  # its disk may be growing already, as nobody can tell by its config
                raise NotNow(f"container {file.node}/{file.vmid} waits for a task of Proxmox VE's to end ({task})")
            with self._unless_changed(exact):
                self._proxmox.grow_rootfs(file.key, by, digest=exact.digest)
            self._house.scaled(file.vmid, "scale_up", "storage")

    @contextmanager
    def _unless_changed(self, read: LXCState) -> Iterator[None]:
        """A refusal counts only where the container still is as it was ``read``.

        :raises NotNow: when somebody has changed or locked it in between.
        """
        try:
            yield
        except Refused as error:
            now = self._proxmox.container((read.node, read.vmid))
            if now.lock or now.digest != read.digest:
                why = f"locked ({now.lock})" if now.lock else "changed by somebody else"
                raise NotNow(f"container {read.node}/{read.vmid} was {why} meanwhile: {error.message}") from error
            raise

    def _may(self, file: LXCContainer, exact: LXCState, node: NodeSeen) -> None:
        """:raises NotNow: while the container is locked, or its node has not what the file asks for."""
        if exact.lock:
            raise NotNow(
                f"container {file.node}/{file.vmid} is locked ({exact.lock}); it gets its size when that is over"
            )
        if file.cores and node.cpus and file.cores > max(node.cpus, exact.cores or 0):
            raise NotNow(f"{path_for(file.key)} asks for {file.cores} cores, and {file.node} has {node.cpus}")
        rise = (file.memory_mb or 0) - exact.memory_mb
        if exact.status == "running" and (no := self._room.refusal(node, rise)):
            raise NotNow(no)
        self._room.take(file.node, rise)

    def _refused(
        self, file: LXCContainer, error: TrimtabError, before: ContainerState, newest: LandedCommit | None
    ) -> None:
        told = f"Proxmox VE could not resize {file.node}/{file.vmid}: {error.message}"
        if newest is None or newest not in self._found.stands or isinstance(error, NoContainer | NoNode):
            self._wait(file.key, before, told, error)  # a person's edit, or what undoes one of ours: it stays as asked
            return
        self.states[file.key] = ContainerState(before.commit, failure=told, lasting=True)
        failed(self._house, newest, path_for(file.key), told)
        self.take_back.append(TakeBack(newest.sha, told))

    def _wait(self, key: ContainerKey, before: ContainerState, why: str, error: TrimtabError) -> None:
        pauses = before.pauses.after(error, self._now)
        self.states[key] = ContainerState(before.commit, failure=why, pauses=pauses)

    def _of(self, file: LXCContainer) -> Sequence[LandedCommit]:
        """The commits of a container's file, the newest first."""
        path = path_for(file.key)
        return [commit for commit in reversed(self._commits) if path in commit.paths]


class NotNow(TrimtabError):
    """It cannot be brought about as things are."""


def _differs(file: LXCContainer, has: LXCState) -> bool:
    return (file.cores is not None and file.cores != has.cores) or (
        file.memory_mb is not None and file.memory_mb != has.memory_mb
    )


def _growth(file: LXCContainer, has: LXCState) -> int:
    """GiB by which the root disk is to grow."""
    if file.rootfs_gb is None or has.rootfs_gb is None or file.rootfs_gb <= has.rootfs_gb:
        return 0
    return math.ceil(file.rootfs_gb - has.rootfs_gb)


def _shrinks(file: LXCContainer, has: LXCState) -> str:
    """Why a disk stays larger than its file says; empty when it does not."""
    if file.rootfs_gb is None or has.rootfs_gb is None or file.rootfs_gb >= math.floor(has.rootfs_gb):
        return ""
    size = f"{has.rootfs_gb:g}"
    return f"a disk cannot shrink: {path_for(file.key)} says rootfsGB {file.rootfs_gb}, and it has {size}; write {size} there"
