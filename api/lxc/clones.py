"""`/clone/*`: make a container of another one, and delete one."""

from fastapi import APIRouter

from api.auth import HasServer, Principal
from api.errors import documented
from api.lxc.asking import Writer, alone, apart, as_file, ask, bad, carry_out, find, note, turn
from api.lxc.schemas import DeleteContainer, Done, MakeClone, hostname_of
from api.server import Server
from reconciler.manifests.lxc_container import fields_of
from reconciler.steps import lxc_requests
from reconciler.steps.lxc_requests import Wish

router = APIRouter(prefix="/clone", tags=["LXC"])


@router.post("/create", summary="Clone a container", responses=documented(400, 404))
async def create_clone(body: MakeClone, principal: Writer, server: HasServer) -> Done:
    """Commits the new container's file, then makes a full clone on the same node. One that runs is cloned from a snapshot
    that is made for it and goes away after."""
    await apart(_create, server, principal, body)
    return Done(message=f"Cloned VM {body.vm_id} to new VM {body.new_vm_id} ({body.new_vm_name})")


@router.delete("/delete", summary="Delete a container", responses=documented(400, 404))
async def delete_container(body: DeleteContainer, principal: Writer, server: HasServer) -> Done:
    """For good, with its disks. Its file goes away in a commit first; one that runs is stopped."""
    await apart(_delete, server, principal, body)
    return Done(message=f"Deleted VM {body.vm_id}")


def _create(server: Server, principal: Principal, body: MakeClone) -> None:
    if body.new_vm_id == body.vm_id:
        raise bad("new_vm_id", "must be another one than vm_id")
    found = find(server, principal, body.vm_id)
    first, second = sorted((body.vm_id, body.new_vm_id))  # in one order, or two that cross wait for one another
    with alone(server, first), alone(server, second):
        if found.proxmox.taken(body.new_vm_id):
            raise bad("new_vm_id", "is in use already: choose another one")
        ask(found.steward, lxc_requests.may)
        hostname = hostname_of(body.new_vm_name)
        made = as_file(found.state()).model_copy(update={"vmid": body.new_vm_id, "hostname": hostname})
        reason = f"{found.who} had container {body.vm_id} cloned to {body.new_vm_id} ({hostname}) through the LXC API"
        wish = Wish(made, lambda _file: fields_of(made), reason, new=True)
        carry_out(found, wish, lambda: found.proxmox.clone(found.key, body.new_vm_id, hostname))


def _delete(server: Server, principal: Principal, body: DeleteContainer) -> None:
    with turn(server, principal, body.vm_id) as found:
        ask(found.steward, lxc_requests.may)
        reason = f"{found.who} had container {body.vm_id} deleted through the LXC API"
        committed = carry_out(
            found, Wish(as_file(found.state()), None, reason), lambda: found.proxmox.delete(found.key)
        )
        if not committed:
            note(found, "apply", reason)
