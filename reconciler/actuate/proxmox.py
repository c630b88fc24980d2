"""Proxmox VE: what its nodes and containers are, and what is done to them (DESIGN §8).

Takes what a commit says, gives what Proxmox VE says. Promises: a method that changes something comes back when Proxmox VE
is done with it, or raises. Safe from any thread; nothing is remembered between two calls.

Every method may raise :class:`Away` (no answer, an offline node), :class:`Refused` (Proxmox VE said no: locked, out of space)
and :class:`~reconciler.errors.Stalled` (a certificate or a token that a person must mend).
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from reconciler.actuate.proxmox_calls import (
    Away,
    Calls,
    NoContainer,
    NoNode,
    Refused,
    StillRunning,
    TaskFailed,
    mapping,
    rows,
)
from reconciler.actuate.proxmox_reading import configured, container_state, is_shown, listed_state, node_state
from reconciler.clock import Clock
from reconciler.errors import TrimtabError
from reconciler.model.lxc_container import ContainerKey, LXCContainer, LXCState, NodeState, Snapshot

__all__ = ["Away", "NoContainer", "NoNode", "Proxmox", "Refused", "StillRunning", "TaskFailed"]

_MIB = 1024 * 1024
_CONSOLES = ("proxy", "shell", "console")


class Proxmox:
    """One cluster of Proxmox VE, or one node of it; any node answers for all."""

    def __init__(self, calls: Calls, *, clock: Clock) -> None:
        self._calls, self._clock = calls, clock

    @classmethod
    def open(
        cls, url: str, token: str, verify: str, *, clock: Clock, pause: Callable[[float], None] = time.sleep
    ) -> "Proxmox":
        """Nothing is asked of Proxmox VE yet. ``verify``: ``true``, ``false``, or the path of a CA file.

        :raises Stalled: when one of the three is not of its form.
        """
        return cls(Calls(url, token, verify, pause=pause), clock=clock)

    def close(self) -> None:
        """Let go of every connection."""
        self._calls.close()

    def find(self, vmid: int) -> ContainerKey | None:
        """The container of that id with its node; None where there is none, or it is a virtual machine."""
        guest = self._guest(vmid)
        return (str(guest["node"]), vmid) if guest and guest.get("type") == "lxc" else None

    def taken(self, vmid: int) -> bool:
        """Whether a container or a virtual machine has that id."""
        return self._guest(vmid) is not None

    def container(self, key: ContainerKey) -> LXCState:
        """A container with its exact config. :raises NoContainer: when there is none of that id on that node."""
        status = mapping(self._calls.get(f"{_at(key)}/status/current"))
        return container_state(key, status, mapping(self._calls.get(f"{_at(key)}/config")), self._clock())

    def containers(self, node: str) -> tuple[LXCState, ...]:
        """All of a node's in one call, templates left out. ``cores`` is what each may use in fact: the lesser of its cores
        and its CPU limit, the node's where it has neither; ``rootfs_gb`` is the size of its file system; no ``digest``."""
        now = self._clock()
        listed = rows(self._calls.get(f"nodes/{node}/lxc"))
        return tuple(listed_state(node, row, now) for row in listed if not row.get("template"))

    def node(self, node: str) -> NodeState:
        """:raises NoNode: when there is none of that name. :raises Stalled: when the token may not see what it has."""
        found = next((row for row in rows(self._calls.get("nodes")) if row.get("node") == node), None)
        if found is None:
            raise NoNode(f"there is no node {node}")
        return node_state(found)

    def nodes(self) -> tuple[NodeState, ...]:
        """All of which the token may see what they have, and those that are offline."""
        return tuple(node_state(row) for row in rows(self._calls.get("nodes")) if is_shown(row))

    def allocated_memory_mb(self, node: str) -> int:
        """Σ configured memory of the node's running containers and virtual machines, MiB."""
        guests = rows(self._calls.get("cluster/resources", type="vm"))
        mine = (g for g in guests if g.get("node") == node and g.get("status") == "running")
        return sum(int(g.get("maxmem") or 0) for g in mine) // _MIB

    def task_of(self, key: ContainerKey) -> str:
        """The kind of task that Proxmox VE is at for a container, such as ``resize``; empty when there is none. That somebody
        has its console open is none."""
        listed = rows(self._calls.get(f"nodes/{key[0]}/tasks", vmid=key[1], source="active"))
        running = (str(task.get("type") or "task") for task in listed if not task.get("endtime"))
        return next((kind for kind in running if not kind.endswith(_CONSOLES)), "")

    def set_resources(
        self, key: ContainerKey, *, cores: int | None = None, memory_mb: int | None = None, digest: str = ""
    ) -> None:
        """Set what is not None. With ``digest``, only where the config still is the one that was read."""
        values: dict[str, Any] = {"cores": cores, "memory": memory_mb, "digest": digest or None}
        if cores is None and memory_mb is None:
            return
        self._calls.put(f"{_at(key)}/config", **{name: value for name, value in values.items() if value is not None})

    def grow_rootfs(self, key: ContainerKey, by_gb: int, *, digest: str = "") -> None:
        """Make the root disk larger by so many GiB. With ``digest``, only where the config still is the one that was read:
        so that what two ask for at once is not done twice."""
        values = {"disk": "rootfs", "size": f"+{by_gb}G"} | ({"digest": digest} if digest else {})
        self._finish(self._calls.put(f"{_at(key)}/resize", **values))

    def snapshots(self, key: ContainerKey) -> tuple[Snapshot, ...]:
        """The oldest first; without ``current``, which is none."""
        listed = rows(self._calls.get(f"{_at(key)}/snapshot"))
        found = [_snapshot(row) for row in listed if row.get("name") != "current"]
        return tuple(sorted(found, key=lambda snapshot: (snapshot.at is not None, snapshot.at or 0, snapshot.name)))

    def snapshot(self, key: ContainerKey, name: str, *, description: str = "") -> None:
        self._finish(self._calls.post(f"{_at(key)}/snapshot", snapname=name, description=description))

    def remove_snapshot(self, key: ContainerKey, name: str) -> None:
        self._finish(self._calls.delete(f"{_at(key)}/snapshot/{name}"))

    def in_snapshot(self, key: ContainerKey, name: str) -> LXCContainer:
        """What a container's config was when the snapshot was made.

        :raises Refused: when there is no such snapshot.
        """
        return configured(key, mapping(self._calls.get(f"{_at(key)}/config", snapshot=name)))

    def roll_back(self, key: ContainerKey, name: str) -> None:
        """Back to a snapshot. Proxmox VE stops the container for it; one that ran is started again."""
        ran = mapping(self._calls.get(f"{_at(key)}/status/current")).get("status") == "running"
        self._finish(self._calls.post(f"{_at(key)}/snapshot/{name}/rollback", **({"start": 1} if ran else {})))

    def clone(self, key: ContainerKey, new_vmid: int, hostname: str) -> None:
        """A full clone on the same node. One that runs is cloned from a snapshot that is made for it and goes away after."""
        if mapping(self._calls.get(f"{_at(key)}/status/current")).get("status") != "running":
            self._finish(self._calls.post(f"{_at(key)}/clone", newid=new_vmid, hostname=hostname, full=1))
            return
        name = f"trimtab-clone-{new_vmid}"
        if name in {snapshot.name for snapshot in self.snapshots(key)}:
            self.remove_snapshot(key, name)  # of a try that was cut short
        self.snapshot(key, name, description=f"made to clone {key[1]} to {new_vmid}; goes away after")
        try:
            self._finish(
                self._calls.post(f"{_at(key)}/clone", newid=new_vmid, hostname=hostname, full=1, snapname=name)
            )
        except StillRunning:
            raise  # its snapshot is still being read
        except TrimtabError:
            self._without(key, name)
            raise
        self.remove_snapshot(key, name)

    def delete(self, key: ContainerKey) -> None:
        """Stop the container if it runs, and destroy it with its disks and its place in backup jobs."""
        if mapping(self._calls.get(f"{_at(key)}/status/current")).get("status") == "running":
            self._finish(self._calls.post(f"{_at(key)}/status/stop"))
        self._finish(self._calls.delete(_at(key), purge=1))

    def _without(self, key: ContainerKey, snapshot: str) -> None:
        """Tidy up behind a failed clone; that one's error is the one to tell."""
        try:
            self.remove_snapshot(key, snapshot)
        except TrimtabError:
            return

    def _guest(self, vmid: int) -> dict[str, Any] | None:
        guests = rows(self._calls.get("cluster/resources", type="vm"))
        return next((guest for guest in guests if str(guest.get("vmid")) == str(vmid)), None)

    def _finish(self, answer: object) -> None:
        self._calls.finish(answer)


def _at(key: ContainerKey) -> str:
    return f"nodes/{key[0]}/lxc/{key[1]}"


def _snapshot(row: dict[str, Any]) -> Snapshot:
    made = int(row.get("snaptime") or 0)
    return Snapshot(
        name=str(row.get("name", "")),
        at=datetime.fromtimestamp(made, UTC) if made else None,
        description=str(row.get("description") or "").strip(),
    )
