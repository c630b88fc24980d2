"""`/scale/*`: cores, memory and disk of one container."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fastapi import APIRouter

from api.auth import HasServer, Principal
from api.errors import Failed, documented
from api.lxc.asking import Found, Writer, apart, as_file, bad, carry_out, turn, whole_gb
from api.lxc.schemas import Done, IncreaseStorage, SetCores, SetRam
from api.server import Server
from reconciler.manifests.lxc_container import CORES, MEMORY, ROOTFS
from reconciler.model.lxc_container import LXCContainer, LXCState, ScaledResource, scaling
from reconciler.steps.lxc_requests import Wish

router = APIRouter(prefix="/scale", tags=["LXC"])


@router.post("/cores", summary="Set CPU cores", responses=documented(400, 404))
async def set_cores(body: SetCores, principal: Writer, server: HasServer) -> Done:
    """Commits the container's file, then tells Proxmox VE. More cores than the node has CPUs are a 400."""
    await apart(_cores, server, principal, body)
    return Done(message=f"CPU cores set to {body.cores} for VM {body.vm_id}")


@router.post("/ram", summary="Set memory", responses=documented(400, 404))
async def set_ram(body: SetRam, principal: Writer, server: HasServer) -> Done:
    """Commits the container's file, then tells Proxmox VE. More than the node has left is a 400 with the figures."""
    await apart(_ram, server, principal, body)
    return Done(message=f"Memory set to {body.memory} MB for VM {body.vm_id}")


@router.post("/storage/increase", summary="Increase storage", responses=documented(400, 404))
async def increase_storage(body: IncreaseStorage, principal: Writer, server: HasServer) -> Done:
    """Commits the root disk's new size, then tells Proxmox VE. A disk cannot be made smaller again."""
    await apart(_storage, server, principal, body)
    return Done(message=f"Storage increased by {body.disk_size} GB for VM {body.vm_id}")


@dataclass(frozen=True)
class _Step:
    """One value of one container: where it is in the file, what it is, what it becomes."""

    resource: ScaledResource
    field: str
    before: int | None
    after: int
    words: str


def _cores(server: Server, principal: Principal, body: SetCores) -> None:
    with turn(server, principal, body.vm_id) as found:
        state = found.state()
        if body.cores > (state.cores or 0):
            _room_for_cores(found, body.cores)
        step = _Step("cpu", CORES, state.cores, body.cores, f"{body.cores} cores")
        _set(server, found, state, step, lambda: found.proxmox.set_resources(found.key, cores=body.cores))


def _ram(server: Server, principal: Principal, body: SetRam) -> None:
    with turn(server, principal, body.vm_id) as found:
        state = found.state()
        if body.memory > state.memory_mb:
            _room_for_memory(found, state, body.memory)
        step = _Step("memory", MEMORY, state.memory_mb, body.memory, f"{body.memory} MB of memory")
        _set(server, found, state, step, lambda: found.proxmox.set_resources(found.key, memory_mb=body.memory))


def _storage(server: Server, principal: Principal, body: IncreaseStorage) -> None:
    with turn(server, principal, body.vm_id) as found:
        state = found.state()
        size = whole_gb(state)
        if size is None:
            raise bad("vm_id", f"the root disk of container {body.vm_id} has no size that could grow")
        if task := found.proxmox.task_of(
            found.key
        ):  # its disk may be growing already, for a request that waited no longer
            raise Failed(
                f"Proxmox VE is still at a task ({task}) on container {body.vm_id}: ask again when it has ended"
            )
        reason = f"{found.who} asked for {body.disk_size} GB more disk through the LXC API"
        wish = Wish(as_file(state), lambda _file: {ROOTFS: str(size + body.disk_size)}, reason)
        carry_out(found, wish, lambda: _grow(found, size + body.disk_size))
        server.metrics.lxc_scaled(body.vm_id, "scale_up", "storage")


def _grow(found: Found, to_gb: int) -> None:
    """Up to that size, and no further where a pass has read the commit and grown it meanwhile."""
    state = found.proxmox.container(found.key)
    by_gb = to_gb - (whole_gb(state) or 0)
    if by_gb > 0:
        found.proxmox.grow_rootfs(found.key, by_gb, digest=state.digest)


def _set(server: Server, found: Found, state: LXCState, step: _Step, call: Callable[[], None]) -> None:
    """Nothing is committed or called where both Git and Proxmox VE say so already."""

    def values(file: LXCContainer | None) -> Mapping[str, str]:
        is_so = file is None and step.before == step.after
        return {} if is_so else {step.field: str(step.after)}

    reason = f"{found.who} asked for {step.words} through the LXC API"
    wish = Wish(as_file(state), values, reason)
    carry_out(found, wish, call if step.before != step.after else lambda: None)
    if step.before != step.after:
        server.metrics.lxc_scaled(state.vmid, scaling(step.before, step.after), step.resource)


def _room_for_cores(found: Found, cores: int) -> None:
    """:raises BadRequest: when the node has fewer CPUs."""
    node = found.proxmox.node(found.key[0])
    if cores > node.cpus:
        raise bad("cores", f"the node {node.node} has {node.cpus} CPUs, and {cores} cores are more than that")


def _room_for_memory(found: Found, state: LXCState, memory_mb: int) -> None:
    """What a node has is not promised twice: beside what its other running guests may use, and beside what is free now.

    :raises BadRequest: with the figures.
    """
    node = found.proxmox.node(found.key[0])
    runs = state.status == "running"
    others = max(0, found.proxmox.allocated_memory_mb(node.node) - (state.memory_mb if runs else 0))
    left = max(0, node.memory_mb - others)
    if memory_mb > left:
        raise bad(
            "memory",
            f"the node {node.node} has {node.memory_mb} MB, of which its other running guests may use {others} MB: "
            f"{left} MB are left for this container, and {memory_mb} MB were asked for",
        )
    free = max(0, node.memory_mb - node.used_memory_mb)
    more = memory_mb - state.memory_mb
    if runs and more > free:
        raise bad(
            "memory",
            f"the node {node.node} has {free} MB of {node.memory_mb} MB free right now, and {more} MB more were asked for",
        )
