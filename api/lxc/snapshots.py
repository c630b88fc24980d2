"""`/snapshot/*`: make, list, go back to."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query

from api.auth import HasServer, Principal
from api.errors import Failed, NotFound, documented
from api.lxc.asking import Found, Reader, Writer, apart, as_file, ask, bad, carry_out, find, missing, note, turn
from api.lxc.schemas import AskedVmid, Done, OfSnapshot, Snapshots, SnapshotView, moment
from api.server import Server
from reconciler.actuate.proxmox import NoContainer
from reconciler.errors import TrimtabError
from reconciler.manifests.lxc_container import CORES, MEMORY, ROOTFS, fields_of
from reconciler.model.lxc_container import LXCContainer
from reconciler.steps import lxc_requests
from reconciler.steps.lxc_requests import Wish, words

router = APIRouter(prefix="/snapshot", tags=["LXC"])


@router.post("/create", summary="Create a snapshot", responses=documented(400, 404))
async def create_snapshot(body: OfSnapshot, principal: Writer, server: HasServer) -> Done:
    """Changes nothing of the container, so that no window holds it."""
    await apart(_create, server, principal, body)
    return Done(message=f"Snapshot '{body.snapshot_name}' created for VM {body.vm_id}")


@router.get("/list", summary="List snapshots", responses=documented(400, 404), response_model_exclude_none=True)
async def list_snapshots(principal: Reader, server: HasServer, vm_id: Annotated[AskedVmid, Query()]) -> Snapshots:
    """The oldest first."""
    return await apart(_list, server, principal, vm_id)


@router.post("/rollback", summary="Go back to a snapshot", responses=documented(400, 404))
async def roll_back_to_snapshot(body: OfSnapshot, principal: Writer, server: HasServer) -> Done:
    """Where the snapshot has other cores, memory or disk, these are committed first. The container is stopped meanwhile."""
    await apart(_roll_back, server, principal, body)
    return Done(message=f"Rolled back VM {body.vm_id} to snapshot '{body.snapshot_name}'")


def _create(server: Server, principal: Principal, body: OfSnapshot) -> None:
    with turn(server, principal, body.vm_id) as found:
        if body.snapshot_name in _names(found):
            raise bad("snapshot_name", f"container {body.vm_id} has a snapshot of that name already")
        reason = f"{found.who} had snapshot '{body.snapshot_name}' of container {body.vm_id} made through the LXC API"
        try:
            found.proxmox.snapshot(found.key, body.snapshot_name)
        except TrimtabError as error:
            note(found, "apply_failed", f"{reason}: {words(error)}")
            raise Failed(words(error)) from None
        note(found, "apply", reason)


def _names(found: Found) -> set[str]:
    try:
        return {snapshot.name for snapshot in found.proxmox.snapshots(found.key)}
    except NoContainer:
        raise missing(found.key[1]) from None


def _list(server: Server, principal: Principal, vmid: int) -> Snapshots:
    found = find(server, principal, vmid)
    try:
        listed = found.proxmox.snapshots(found.key)
    except NoContainer:
        raise missing(vmid) from None
    return Snapshots(
        data=[SnapshotView(name=one.name, description=one.description, **moment(one.at)) for one in listed]
    )


def _roll_back(server: Server, principal: Principal, body: OfSnapshot) -> None:
    with turn(server, principal, body.vm_id) as found:
        if body.snapshot_name not in _names(found):
            raise NotFound(
                f"Snapshot '{body.snapshot_name}' of container {body.vm_id} not found: /snapshot/list shows all"
            )
        ask(found.steward, lxc_requests.may)
        now, then = as_file(found.state()), found.proxmox.in_snapshot(found.key, body.snapshot_name)
        reason = (
            f"{found.who} had container {body.vm_id} rolled back to snapshot '{body.snapshot_name}' through the LXC API"
        )
        wish = Wish(now, lambda file: _differing(file or now, then, made=file is not None), reason)
        carry_out(found, wish, lambda: found.proxmox.roll_back(found.key, body.snapshot_name))
        note(found, "rollback", reason)


def _differing(before: LXCContainer, then: LXCContainer, *, made: bool) -> Mapping[str, str]:
    """The sizes that the snapshot has and the file, or the container, has not."""
    held, back = fields_of(before), fields_of(then)
    return {
        field: back[field]
        for field in (CORES, MEMORY, ROOTFS)
        if field in back and (field in held or not made) and held.get(field) != back[field]
    }
