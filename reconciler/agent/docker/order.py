"""``docker.scale`` as it comes from the server: read strictly, for what cannot be read is answered and not guessed."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from reconciler.errors import InputError

TYPE: Final = "docker.scale"
MARGIN: Final = timedelta(seconds=15)
"""Left of a command's life for putting the group back and answering."""

LEAST_SECONDS: Final = 5.0
ODD_CLOCK: Final = timedelta(seconds=5)


@dataclass(frozen=True)
class Order:
    """``replicas`` containers of the group are to run on this host. ``ref``: the load balancer's pool; empty for none."""

    id: str
    policy_id: str
    host_pool: str
    group: str
    replicas: int
    ref: str
    issued_at: datetime
    expires_at: datetime

    def expired(self, now: datetime) -> bool:
        return now >= self.expires_at

    def seconds(self, now: datetime, most: float) -> float:
        """How long new containers may take to become healthy: until shortly before the command expires, at most ``most``.

        A clock by which the command is not issued yet, or has expired when it comes, says nothing about that.
        """
        left = self.expires_at - now - MARGIN
        if now < self.issued_at - ODD_CLOCK or self.expired(now):
            left = self.expires_at - self.issued_at - MARGIN
        return max(LEAST_SECONDS, min(most, left.total_seconds()))


def read_order(body: dict[str, Any], host_pool: str) -> Order:
    """:raises InputError: when it is another command, is for another pool, or lacks something."""
    if body.get("type") != TYPE:
        raise InputError(
            f"this agent does not know the command {body.get('type')!r}",
            hint="run the agent in the version of the server",
        )
    try:
        payload = body["payload"]
        order = Order(
            id=str(body["command_id"]),
            policy_id=str(body.get("policyId") or ""),
            host_pool=str(payload["hostPool"]),
            group=str(payload["group"]),
            replicas=int(payload["replicas"]),
            ref=str(payload.get("lbPoolRef") or ""),
            issued_at=datetime.fromisoformat(body["issued_at"]),
            expires_at=datetime.fromisoformat(body["expires_at"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"the command cannot be read: {type(error).__name__}: {error}",
            hint="run the agent in the version of the server",
        ) from None
    if order.host_pool != host_pool:
        raise InputError(
            f"the command is for host pool {order.host_pool!r}, and this host is in {host_pool!r}",
            hint="start the agent with the --host-pool that the host is in",
        )
    if order.replicas < 0 or not order.group:
        raise InputError(f"the command asks for {order.replicas} containers of {order.group!r}")
    return order
