"""Who may do what: API keys and their scopes (DESIGN §9)."""

from datetime import datetime
from typing import Literal, get_args

from reconciler.model.base import Model

Family = Literal["scaling", "agents", "actions", "recommendations", "lxc", "changes"]

Scope = Literal[
    "scaling:read",
    "scaling:write",
    "agents:read",
    "agents:write",
    "agents:register",
    "actions:read",
    "actions:write",
    "recommendations:read",
    "recommendations:write",
    "lxc:read",
    "lxc:write",
    "changes:read",
    "changes:write",
    "admin",
]
SCOPES: tuple[Scope, ...] = get_args(Scope)


def grants(held: frozenset[str], wanted: Scope) -> bool:
    """Whether ``held`` scopes allow ``wanted``: ``admin`` is all of them, and who may write may read."""
    if wanted in held or "admin" in held:
        return True
    family, _, verb = wanted.partition(":")
    return verb == "read" and f"{family}:write" in held


class ApiKey(Model):
    """One key. The key itself is shown once and never stored; ``prefix`` is what people tell it by.

    ``clusters``: the names or ids of the clusters that it may see, empty = all of its organization's.
    """

    id: str
    organization: str
    name: str
    prefix: str
    scopes: tuple[Scope, ...]
    clusters: tuple[str, ...] = ()
    created_at: datetime
    revoked_at: datetime | None = None
