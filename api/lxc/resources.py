"""`/resource/*`: what a container has, and how much of a node is used. Nothing here is committed."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.auth import HasServer, Principal
from api.errors import documented
from api.lxc.asking import Found, Reader, apart, find, missing_node, proxmox_of, steward_of
from api.lxc.schemas import (
    AskedVmid,
    NodeName,
    NodeStatus,
    NodeStatusData,
    VmConfig,
    VmConfigData,
    VmStatus,
    VmStatusData,
)
from api.server import Server
from reconciler.actuate.proxmox import NoNode
from reconciler.errors import RetryLater
from reconciler.model.lxc_container import LXCState

router = APIRouter(prefix="/resource", tags=["LXC"])

Asked = Annotated[AskedVmid, Query()]


@router.get("/vm/status", summary="What a container has", responses=documented(400, 404))
async def vm_status(principal: Reader, server: HasServer, vm_id: Asked) -> VmStatus:
    """Cores, memory in MB, root disk in GB; since when it runs, in seconds."""
    return await apart(_vm_status, server, principal, vm_id)


@router.get("/vm/config", summary="What a container may use", responses=documented(400, 404))
async def vm_config(principal: Reader, server: HasServer, vm_id: Asked) -> VmConfig:
    """Its limits: cores, and memory in MB."""
    return await apart(_vm_config, server, principal, vm_id)


@router.get("/node/status", summary="A node", responses=documented(400, 404))
async def node_status(principal: Reader, server: HasServer, node_name: Annotated[NodeName, Query()]) -> NodeStatus:
    """Percent of CPU and memory in use, memory in MB."""
    return await apart(_node_status, server, principal, node_name)


def _vm_status(server: Server, principal: Principal, vmid: int) -> VmStatus:
    found = find(server, principal, vmid)
    state = found.state()
    disk = round(state.rootfs_gb or 0, 1)
    return VmStatus(
        data=VmStatusData(
            vm_id=str(vmid),
            status=state.status,
            cpu=_cores(found, state),
            memory=state.memory_mb,
            disk=int(disk) if disk == int(disk) else disk,
            uptime=state.uptime_seconds,
        )
    )


def _vm_config(server: Server, principal: Principal, vmid: int) -> VmConfig:
    found = find(server, principal, vmid)
    state = found.state()
    return VmConfig(
        data=VmConfigData(vm_id=str(vmid), cores=_cores(found, state), memory_mb=state.memory_mb),
        message=f"Successfully retrieved configuration for VM {vmid}",
    )


def _cores(found: Found, state: LXCState) -> int:
    """One that is not limited has all of its node's."""
    return state.cores or found.proxmox.node(state.node).cpus


def _node_status(server: Server, principal: Principal, name: str) -> NodeStatus:
    proxmox = proxmox_of(server)
    if steward_of(server, principal, name) is None:
        raise missing_node(name)
    try:
        node = proxmox.node(name)
    except NoNode:
        raise missing_node(name) from None
    if not node.online:
        raise RetryLater(f"the node {name} is offline", after_seconds=30.0, hint="see in Proxmox VE why")
    return NodeStatus(
        data=NodeStatusData(
            node=node.node,
            cpu_usage=round(node.cpu * 100, 1),
            memory_usage=round(100 * node.used_memory_mb / node.memory_mb, 1) if node.memory_mb else 0.0,
            memory_total=node.memory_mb,
            memory_used=node.used_memory_mb,
            uptime=node.uptime_seconds,
        )
    )
