"""The licence of the Actions API: what it allows, what is in use, and whether the two fit (DESIGN §9)."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from pydantic import Field

from reconciler.model.base import Model
from reconciler.model.observation import Node

ANYBODY = "*"
"""In place of an organization's name: the licence is good for each organization of the server."""


class Licence(Model):
    """``cores`` and ``nodes``: the most that one organization may have in its clusters; None = no limit."""

    organization: str
    expires_at: datetime
    cores: Annotated[int, Field(ge=0)] | None = None
    nodes: Annotated[int, Field(ge=0)] | None = None

    def refusal(self, organization: str, in_use: "InUse", now: datetime) -> str:
        """Why the organization may not go on, and what helps; empty when it may. It is good up to ``expires_at``, not at it."""
        if self.organization not in (organization, ANYBODY):
            return f"the licence is for {self.organization}, not for {organization}: {_ASK}"
        if now >= self.expires_at:
            return f"the licence expired on {self.expires_at:%Y-%m-%d %H:%M} UTC: {_ASK}"
        for name, allowed, used in (
            ("cores", self.cores, in_use.millicores / 1000),
            ("nodes", self.nodes, in_use.nodes),
        ):
            if allowed is not None and used > allowed:
                noun = name if allowed != 1 else name.removesuffix("s")
                return f"the licence allows {allowed} {noun}, {used:.10g} are in use: {_SHRINK}"
        return ""


class InUse(Model):
    """Capacity of the nodes of an organization's clusters, as newly observed as they are; ready or not."""

    millicores: int = 0
    nodes: int = 0

    @classmethod
    def of(cls, nodes: Iterable[Node]) -> "InUse":
        sizes = [round(node.cpu_capacity_millicores) for node in nodes]
        return cls(millicores=sum(sizes), nodes=len(sizes))


_ASK = "ask whoever runs this server for one that is good"
_SHRINK = "ask whoever runs this server for a larger licence, or take nodes away"
