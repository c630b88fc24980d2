"""The containers of a group on one engine, and which of them come and go first."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

GROUP: Final = "trimtab.group"
HOST_POOL: Final = "trimtab.host-pool"
TEMPLATE: Final = "trimtab.template"
COMMAND: Final = "trimtab.command"
POLICY: Final = "trimtab.policy"
PORT: Final = "trimtab.port"
PRE_STOP: Final = "trimtab.pre-stop"
PRE_STOP_SECONDS: Final = "trimtab.pre-stop-seconds"

RUNNING: Final = "running"


@dataclass(frozen=True)
class Member:
    """One container as the engine lists it. ``made_by``: the command that we cloned it for; empty when a person made it."""

    id: str
    name: str
    state: str
    unhealthy: bool
    template: bool
    created: int
    made_by: str

    @property
    def running(self) -> bool:
        return self.state == RUNNING

    @property
    def ours(self) -> bool:
        return self.made_by != ""


def members(listed: Iterable[dict[str, Any]], host_pool: str, group: str) -> tuple[Member, ...]:
    """Those that carry the group's label, and of another host pool's none; oldest first."""
    found = [_member(one) for one in listed if belongs(one.get("Labels") or {}, host_pool, group)]
    return tuple(sorted(found, key=lambda member: (member.created, member.id)))


def belongs(labels: dict[str, str], host_pool: str, group: str) -> bool:
    """Whether a container with these labels is one of the group. Without a pool in its labels it is in the agent's."""
    return labels.get(GROUP) == group and labels.get(HOST_POOL, host_pool) == host_pool


def template_of(group: Iterable[Member]) -> Member | None:
    """What new containers are made like: the one that is labelled as template, else the oldest that a person made, else the oldest."""
    ranked = sorted(group, key=lambda m: (not m.template, m.ours, m.created, m.id))
    return next(iter(ranked), None)


def leaving_order(group: Iterable[Member]) -> tuple[Member, ...]:
    """Who stops first: the unhealthy, then what we made, newest first, then what people made, and the template at the very end."""
    members = tuple(group)
    template = template_of(members)
    return tuple(
        sorted(
            members, key=lambda m: (m is template, not m.unhealthy, not m.ours, -m.created, -number_of(m.name), m.name)
        )
    )


def number_of(name: str) -> int:
    """What a name ends with: 3 of ``web-3``; 0 without a number."""
    last = name.rpartition("-")[2]
    return int(last) if last.isascii() and last.isdigit() else 0


def name_of(listed: dict[str, Any]) -> str:
    """A container's own name, without those that links gave it."""
    names = [name.removeprefix("/") for name in listed.get("Names") or ()]
    return next((name for name in names if "/" not in name), "")


def _member(listed: dict[str, Any]) -> Member:
    labels = listed.get("Labels") or {}
    return Member(
        id=listed["Id"],
        name=name_of(listed),
        state=listed["State"],
        unhealthy="(unhealthy)" in listed.get("Status", ""),
        template=labels.get(TEMPLATE, "").lower() == "true",
        created=listed["Created"],
        made_by=labels.get(COMMAND, ""),
    )
