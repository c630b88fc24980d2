"""What every route of the LXC API does: who may, which container on which node, which fleet repo; commit, call, undo.

A request that changes something holds its container's lease, so that two on one container come one after the other. The
commit is made by the fleet repo's steward; Proxmox VE is called here, so that no pass waits for it.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import structlog
from fastapi import Depends

from api.auth import Principal, needs
from api.errors import BadRequest, Failed, NotFound, Unavailable
from api.server import Server
from reconciler import loop
from reconciler.actuate.proxmox import NoContainer, Proxmox, StillRunning
from reconciler.errors import Stalled, TrimtabError
from reconciler.model.change import Change
from reconciler.model.log import LogAction
from reconciler.model.lxc_container import ContainerKey, LXCContainer, LXCState, node_key
from reconciler.steps import lxc_requests, lxc_turns
from reconciler.steps.house import House
from reconciler.steps.lxc_requests import Wish, words
from reconciler.steward import Steward

Reader = Annotated[Principal, Depends(needs("lxc:read", query_key=True))]
Writer = Annotated[Principal, Depends(needs("lxc:write", query_key=True))]

_STEWARD_SECONDS = 90.0
_TURN_SECONDS = 120.0
"""How long a request waits for another one on the same container."""
_AT_ONCE = 16
"""Requests that wait for Proxmox VE at one time; the others wait their turn, and no other family's do."""

T = TypeVar("T")
log = structlog.get_logger(__name__)
_threads: anyio.lowlevel.RunVar[anyio.CapacityLimiter] = anyio.lowlevel.RunVar("lxc_threads")


@dataclass(frozen=True)
class Found:
    """A container within reach, with the fleet repo that it belongs to."""

    proxmox: Proxmox
    key: ContainerKey
    steward: Steward
    who: str

    def state(self) -> LXCState:
        """:raises NotFound: when it has gone meanwhile."""
        try:
            return self.proxmox.container(self.key)
        except NoContainer:
            raise missing(self.key[1]) from None


async def apart(work: Callable[..., T], *given: Any) -> T:
    """Run ``work`` in a thread of the LXC API's own: what waits for Proxmox VE keeps nobody else waiting."""
    try:
        limiter = _threads.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_AT_ONCE)
        _threads.set(limiter)
    return await anyio.to_thread.run_sync(partial(work, *given), limiter=limiter)


def proxmox_of(server: Server) -> Proxmox:
    """:raises Stalled: when none is set, or its settings cannot be used."""
    if isinstance(server.proxmox, Stalled):
        raise server.proxmox
    if server.proxmox is None:
        raise Stalled(
            "no Proxmox VE is set",
            hint="set TRIMTAB_PROXMOX_URL=https://host:8006 and TRIMTAB_PROXMOX_TOKEN=user@realm!name=secret on the server",
        )
    return server.proxmox


def find(server: Server, principal: Principal, vmid: int) -> Found:
    """The container of that id.

    :raises NotFound: when there is none, or it is on a node that is not the organization's; nobody is told which.
    """
    proxmox = proxmox_of(server)
    key = proxmox.find(vmid)
    steward = steward_of(server, principal, key[0]) if key is not None else None
    if key is None or steward is None:
        raise missing(vmid)
    return Found(proxmox, key, steward, principal.name)


def steward_of(server: Server, principal: Principal, node: str) -> Steward | None:
    """The steward of the fleet repo that looks after a node; None where that is out of reach."""
    return server.lxc_node(principal.organization, node) if principal.sees(node_key(node)) else None


def missing(vmid: int) -> NotFound:
    return NotFound(
        f"Container {vmid} not found on the nodes of your fleet repos (spec.lxcNodes in trimtab.yaml names them, "
        "and the API token of Proxmox VE must be allowed VM.Audit on it)"
    )


def missing_node(node: str) -> NotFound:
    return NotFound(
        f"Node {node} not found among the nodes of your fleet repos (spec.lxcNodes in trimtab.yaml names them)"
    )


@contextmanager
def turn(server: Server, principal: Principal, vmid: int) -> Iterator[Found]:
    """The container, alone with it. Raises what :func:`find` does, before anybody waits.

    :raises Unavailable: when somebody else is at it for too long.
    """
    found = find(server, principal, vmid)
    with alone(server, vmid):
        yield found


@contextmanager
def alone(server: Server, vmid: int) -> Iterator[None]:
    """Nobody else does anything with what has that id. :raises Unavailable: when somebody does for too long."""
    with ExitStack() as held:
        try:
            held.enter_context(lxc_turns.alone(server.stores.leases, vmid, wait_seconds=_TURN_SECONDS))
        except lxc_turns.Busy:
            raise Unavailable(
                f"another request is at work on container {vmid}: try again when it is done",
                headers={"Retry-After": "30"},
            ) from None
        yield


def carry_out(found: Found, wish: Wish, call: Callable[[], None]) -> bool:
    """Commit what is wished, call Proxmox VE, and undo the commit when that fails. Whether there was anything to commit.

    :raises Failed: when Proxmox VE did not do it.
    """
    changes = ask(found.steward, lambda house: _commit(found.steward, house, wish))
    try:
        call()
    except StillRunning as error:
        raise Failed(f"{words(error)}; the commit stands") from None
    except TrimtabError as error:
        raise _undone(found, changes, wish.reason, error) from None
    if changes:
        ask(found.steward, partial(lxc_requests.came_true, changes=changes))
    return bool(changes)


def note(found: Found, action: LogAction, outcome: str) -> None:
    """A row of the decision log for what is in no commit."""
    ask(found.steward, lambda house: lxc_requests.note(house, action, outcome))


def ask(steward: Steward, work: Callable[[House], T]) -> T:
    """Have the steward do something. :raises Unavailable: when it is busy for too long."""
    future: Future[T] = steward.ask(work)
    try:
        return future.result(timeout=_STEWARD_SECONDS)
    except TimeoutError:
        begun = not future.cancel()
        said = "still under way: look at the decision log" if begun else "not begun"
        raise Unavailable(f"the fleet repo is busy, and this is {said}", headers={"Retry-After": "30"}) from None


def _commit(steward: Steward, house: House, wish: Wish) -> tuple[Change, ...]:
    changes = lxc_requests.commit(house, wish)
    if changes:
        with suppress(TrimtabError):  # it has landed, and the next pass looks again
            steward.read(house)
    return changes


def _undone(found: Found, changes: Sequence[Change], reason: str, error: TrimtabError) -> Failed:
    """What was committed is reverted, the newest first; the error to answer with."""
    why = words(error)
    if not changes:
        ask(found.steward, lambda house: lxc_requests.note(house, "apply_failed", f"{reason}: {why}"))
        return Failed(why)

    asked = changes[-1]

    def undo(house: House) -> None:
        lxc_requests.failed(house, asked, why)
        for change in reversed(changes):
            loop.rollback(house, change.commit, force=True)
        with suppress(TrimtabError):
            found.steward.read(house)

    try:
        ask(found.steward, undo)
    except (TrimtabError, Unavailable) as trouble:
        log.error("a failed change of a container could not be reverted", change=asked.id, error=str(trouble))
        return Failed(f"{why}; commit {asked.commit[:10]} could not be reverted: {trouble}")
    return Failed(f"{why}; commit {asked.commit[:10]} was reverted")


def as_file(state: LXCState) -> LXCContainer:
    """A container as its file would have it."""
    return LXCContainer(
        node=state.node,
        vmid=state.vmid,
        cores=state.cores,
        memory_mb=state.memory_mb,
        rootfs_gb=whole_gb(state),
        hostname=state.hostname,
    )


def whole_gb(state: LXCState) -> int | None:
    """The root disk's size, begun GB counted as whole; None where it has none."""
    return -int(-state.rootfs_gb // 1) if state.rootfs_gb else None


def bad(field: str, message: str) -> BadRequest:
    return BadRequest(f"{field}: {message}", field=field)
