"""Who may change a container now: one at a time, over the LXC API, the passes and all processes.

Whoever commits what a container is to have, and then calls Proxmox VE, holds this from before the commit to after the call.
So a commit whose container nobody is at was left by a process that has gone, and the next pass brings it about.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from reconciler.errors import RetryLater, TrimtabError
from reconciler.store.leases import LeaseStore, process_owner


class Busy(TrimtabError):
    """Somebody else is at work on the container."""


@contextmanager
def alone(leases: LeaseStore, vmid: int, *, wait_seconds: float) -> Iterator[None]:
    """Nobody else changes what has that id while the block runs.

    :raises Busy: when somebody still does after ``wait_seconds``.
    """
    with ExitStack() as held:
        try:
            held.enter_context(leases.hold(f"lxc/{vmid}", owner=process_owner(), wait_seconds=wait_seconds))
        except RetryLater as error:
            raise Busy(f"somebody else is at work on container {vmid}: {error.message}") from None
        yield
