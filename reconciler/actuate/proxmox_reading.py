"""From Proxmox VE's answers to our words. Pure.

Its sizes are bytes, save ``memory`` in a config, which is MiB; its ``cpu`` is the share that is used of the cores that a
container may use; ``mem`` of a container is without the page cache, which Proxmox VE subtracts itself.
"""

import re
from datetime import datetime
from typing import Any, Literal

from reconciler.errors import Stalled
from reconciler.model.lxc_container import ContainerKey, LXCContainer, LXCState, NodeState

_MIB, _GIB = 1024**2, 1024**3
_SIZE = re.compile(r"(?:^|,)size=(\d+(?:\.\d+)?)([KMGT])?")
_UNITS = {"": 1 / _GIB, "K": 1 / 1024**2, "M": 1 / 1024, "G": 1.0, "T": 1024.0}
_DEFAULT_MEMORY_MB = 512
"""Of a config that says nothing (pct.conf)."""


def container_state(key: ContainerKey, status: dict[str, Any], config: dict[str, Any], at: datetime) -> LXCState:
    """A container of ``status/current`` and ``config``."""
    return _state(key, status, at).model_copy(
        update={
            "hostname": str(config.get("hostname") or status.get("name") or ""),
            "cores": _whole(config.get("cores")),
            "memory_mb": _whole(config.get("memory")) or _DEFAULT_MEMORY_MB,
            "rootfs_gb": _rootfs(config),
            "lock": str(config.get("lock") or status.get("lock") or ""),
            "digest": str(config.get("digest") or ""),
        }
    )


def listed_state(node: str, row: dict[str, Any], at: datetime) -> LXCState:
    """A container of a node's list, which shows no config."""
    return _state((node, int(row["vmid"])), row, at)


def configured(key: ContainerKey, config: dict[str, Any]) -> LXCContainer:
    """The values of a config that a file of ours holds."""
    size = _rootfs(config)
    return LXCContainer(
        node=key[0],
        vmid=key[1],
        cores=_whole(config.get("cores")),
        memory_mb=_whole(config.get("memory")) or _DEFAULT_MEMORY_MB,
        rootfs_gb=int(size) if size and size >= 1 else None,
        hostname=str(config.get("hostname") or ""),
    )


def node_state(row: dict[str, Any]) -> NodeState:
    """A node of the list of nodes; what an offline one has is not known, and 0.

    :raises Stalled: when the token may not see what an online one has.
    """
    if not is_shown(row):
        raise Stalled(
            f"Proxmox VE does not show what the node {row.get('node')} has",
            hint="give the API token (and its user) the privilege Sys.Audit on /nodes",
        )
    return NodeState(
        node=str(row.get("node", "")),
        online=_is_online(row),
        cpus=int(row.get("maxcpu") or 0),
        memory_mb=int(row.get("maxmem") or 0) // _MIB,
        used_memory_mb=int(row.get("mem") or 0) // _MIB,
        cpu=float(row.get("cpu") or 0.0),
        uptime_seconds=int(row.get("uptime") or 0),
    )


def is_shown(row: dict[str, Any]) -> bool:
    """Whether a node of the list of nodes comes with what it has, or is offline, when there is nothing to show."""
    return not _is_online(row) or bool(row.get("maxcpu") and row.get("maxmem"))


def _is_online(row: dict[str, Any]) -> bool:
    return row.get("status") == "online"


def _state(key: ContainerKey, row: dict[str, Any], at: datetime) -> LXCState:
    cpus = float(row.get("cpus") or 0.0)
    disk = int(row.get("maxdisk") or 0)
    return LXCState(
        node=key[0],
        vmid=key[1],
        hostname=str(row.get("name") or ""),
        status=_status(row.get("status")),
        cores=max(1, round(cpus)) if cpus else None,
        memory_mb=int(row.get("maxmem") or 0) // _MIB,
        rootfs_gb=disk / _GIB if disk else None,
        cpu_cores=float(row.get("cpu") or 0.0) * cpus,
        used_memory_mb=int(row.get("mem") or 0) / _MIB,
        uptime_seconds=int(row.get("uptime") or 0),
        lock=str(row.get("lock") or ""),
        at=at,
    )


def _status(said: object) -> Literal["running", "stopped", "unknown"]:
    return "running" if said == "running" else "stopped" if said == "stopped" else "unknown"


def _whole(value: object) -> int | None:
    """A number of a config, which may come as text."""
    return int(float(str(value))) if value not in (None, "") else None


def _rootfs(config: dict[str, Any]) -> float | None:
    """GiB of ``local-lvm:vm-104-disk-0,size=8G``; None for a folder of the node, which has no size."""
    found = _SIZE.search(str(config.get("rootfs") or ""))
    return float(found[1]) * _UNITS[found[2] or ""] if found else None
