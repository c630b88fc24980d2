"""An LXC container on a Proxmox VE node: as its file declares it, and as Proxmox says it is."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from reconciler.model.base import Model
from reconciler.model.workload import ObjectRef

API_VERSION = "trimtab.dev/v1alpha1"
KIND = "LXCContainer"

Vmid = Annotated[int, Field(ge=100, le=999_999_999)]
Cores = Annotated[int, Field(ge=1, le=8192)]
"""Proxmox VE takes up to 8192."""
MemoryMB = Annotated[int, Field(ge=16)]
"""MiB, which Proxmox VE calls MB."""

ContainerKey = tuple[str, int]
"""(node, vmid)."""

Scaling = Literal["scale_up", "scale_down"]
ScaledResource = Literal["cpu", "memory", "storage"]


class LXCContainer(Model):
    """``lxc/<node>/<vmid>.yaml``. None = the file leaves it as it is. ``policy``: the id of the policy that the file was made
    for, empty when a person made it. ``rootfs_gb`` in GiB."""

    node: str
    vmid: Vmid
    cores: Cores | None = None
    memory_mb: MemoryMB | None = None
    rootfs_gb: Annotated[int, Field(ge=1)] | None = None
    hostname: str = ""
    policy: str = ""

    @property
    def key(self) -> ContainerKey:
        return self.node, self.vmid

    @property
    def target(self) -> ObjectRef:
        return target_of(self.vmid)


def scaling(before: int | None, after: int) -> Scaling:
    """Which way; what had no limit before has one now, and so less."""
    return "scale_up" if before is not None and after > before else "scale_down"


def target_of(vmid: int) -> ObjectRef:
    """What a file's values are about."""
    return ObjectRef(api_version=API_VERSION, kind=KIND, name=str(vmid))


class LXCState(Model):
    """A container as Proxmox VE says it is at ``at``.

    ``cores``: None = not limited, so that it has all of the node's. ``cpu_cores``: how many cores it uses right now.
    ``used_memory_mb`` is MiB without the page cache. ``rootfs_gb`` is GiB, None where its disk has no size. ``lock``: what
    holds it (``backup``, ``snapshot``, …), empty = nothing. ``digest``: of its config, for compare-and-swap.
    """

    node: str
    vmid: Vmid
    hostname: str = ""
    status: Literal["running", "stopped", "unknown"] = "unknown"
    cores: int | None = None
    memory_mb: int
    rootfs_gb: float | None = None
    cpu_cores: float = 0.0
    used_memory_mb: float = 0.0
    uptime_seconds: int = 0
    lock: str = ""
    digest: str = ""
    at: datetime


class NodeState(Model):
    """A node: what it has, and what it uses. Memory in MiB; ``cpu`` is the share of all its cores that is used (0 to 1)."""

    node: str
    online: bool = True
    cpus: int
    memory_mb: int
    used_memory_mb: int = 0
    cpu: float = 0.0
    uptime_seconds: int = 0


class Snapshot(Model):
    """A snapshot of a container; ``at`` None where Proxmox VE does not say."""

    name: str
    at: datetime | None = None
    description: str = ""


def node_key(node: str) -> str:
    """The name under which what was observed of a node's containers goes."""
    return f"lxc/{node}"
