"""What the last look at LXC containers found: kept in the house between its passes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from reconciler.model.lxc_container import ContainerKey
from reconciler.steps.house import House
from reconciler.steps.lxc_watch import NO_PAUSES, Pauses

_MEMORY = "lxc actuated"


@dataclass(frozen=True)
class ContainerState:
    """What the last look found of a container. ``settled``: it has what its file says. ``commit``: the newest of its file.
    ``failure``: why it has not; ``lasting`` when Proxmox VE has refused what that commit asks for."""

    commit: str
    settled: bool = False
    failure: str = ""
    lasting: bool = False
    pauses: Pauses = NO_PAUSES


@dataclass(frozen=True)
class Looked:
    """The last look: at which commit, when to look again though nothing has changed, whether policies watch containers, and
    what was found."""

    head: str
    due: datetime | None
    watches: bool
    states: Mapping[ContainerKey, ContainerState]


def last_look(house: House) -> Looked | None:
    """None before the first."""
    looked = house.parsed.get(_MEMORY)
    return looked if isinstance(looked, Looked) else None


def keep_look(house: House, looked: Looked) -> None:
    """What was found now."""
    house.parsed[_MEMORY] = looked


def container_states(house: House) -> Mapping[ContainerKey, ContainerState]:
    """What the last look of this house found of the containers that it looks after."""
    looked = last_look(house)
    return looked.states if looked is not None else {}
