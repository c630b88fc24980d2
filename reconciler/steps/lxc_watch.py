"""Observe Proxmox VE: its nodes and their containers, asked no more often than it measures, and less while it is away."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from reconciler.actuate.proxmox import NoContainer, Proxmox
from reconciler.errors import RetryLater, TrimtabError
from reconciler.evaluate.resources_load import TOGETHER
from reconciler.evaluate.resources_room import NodeSeen
from reconciler.model.lxc_container import LXCState, NodeState, node_key
from reconciler.steps.house import House

T = TypeVar("T")

NOT_CONFIGURED = "no Proxmox VE is configured: set TRIMTAB_PROXMOX_URL"

_STANDS = timedelta(seconds=5)
"""What was seen stands for so long: passes may follow each other closely."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 5.0, 300.0


@dataclass(frozen=True)
class Pauses:
    """Failures in a row, and until when nothing is asked."""

    failures: int = 0
    until: datetime | None = None

    def after(self, error: TrimtabError, now: datetime) -> "Pauses":
        """Twice as long with each failure: 5 s, 10 s … 5 minutes, or what the error asks for if that is more."""
        seconds = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(self.failures, 10), _LONGEST_PAUSE_SECONDS)
        if isinstance(error, RetryLater):
            seconds = max(seconds, error.after_seconds)
        return Pauses(self.failures + 1, now + timedelta(seconds=seconds))

    def goes_on(self, now: datetime) -> bool:
        """Whether it is too early to ask again."""
        return self.until is not None and now < self.until


NO_PAUSES = Pauses()


@dataclass(frozen=True)
class _Kept:
    """What is remembered of a node. ``looked`` None = to be looked at again, whenever that was."""

    seen: NodeSeen
    looked: datetime | None
    pauses: Pauses = NO_PAUSES


def watch(
    house: House, wanted: Mapping[str, Collection[int]], *, configs: Mapping[str, Collection[int]]
) -> dict[str, NodeSeen]:
    """The nodes by name, each with the readings of all its containers.

    ``wanted``: by node, the containers that should be there; one that is not is looked for on the others. ``configs``: by
    node, those whose exact config is wanted, too. Proxmox VE that is away is a node's ``trouble``, never an error.
    """
    proxmox = house.proxmox
    if proxmox is None:
        return {node: NodeSeen(trouble=NOT_CONFIGURED) for node in wanted}
    work = _Watch(house, proxmox)
    return {node: work.node(node, vmids, configs.get(node, ())) for node, vmids in sorted(wanted.items())}


def look_again(house: House, node: str) -> None:
    """Something was changed there: what was seen of the node stands no more."""
    known = house.parsed.get(node_key(node))
    if isinstance(known, _Kept):
        house.parsed[node_key(node)] = replace(known, looked=None)


class _Watch:
    """One look: the list of nodes is asked for once."""

    def __init__(self, house: House, proxmox: Proxmox) -> None:
        self._house, self._proxmox, self._now = house, proxmox, house.now()
        self._nodes: tuple[NodeState, ...] | TrimtabError | None = None

    def node(self, node: str, wanted: Collection[int], configs: Collection[int]) -> NodeSeen:
        known = self._house.parsed.get(node_key(node))
        kept = known if isinstance(known, _Kept) else _Kept(NodeSeen(), None)
        stands = kept.looked is not None and self._now - kept.looked < _STANDS and kept.looked <= self._now
        if kept.pauses.goes_on(self._now) or (stands and all(self._known(kept.seen, v) for v in wanted)):
            return kept.seen
        try:
            kept = _Kept(self._seen(node, kept.seen, wanted, configs), self._now)
        except TrimtabError as error:
            pauses = kept.pauses.after(error, self._now)
            told = f"{error.message}; tried again from {pauses.until:%H:%M:%S} UTC on"
            told += f" ({error.hint})" if error.hint else ""
            kept = _Kept(replace(kept.seen, trouble=told), None, pauses)
        self._house.parsed[node_key(node)] = kept
        return kept.seen

    @staticmethod
    def _known(seen: NodeSeen, vmid: int) -> bool:
        return vmid in seen.readings or vmid in seen.elsewhere

    def _seen(self, node: str, before: NodeSeen, wanted: Collection[int], configs: Collection[int]) -> NodeSeen:
        state = next((one for one in self._all_nodes() if one.node == node), None)
        if state is None or not state.online:
            why = f"Proxmox VE has no node {node}" if state is None else f"the node {node} is offline"
            return replace(before, state=state, trouble=why)
        listed = self._proxmox.containers(node)
        readings = {one.vmid: _appended(before.readings.get(one.vmid, ()), one) for one in listed}
        missing = [vmid for vmid in wanted if vmid not in readings]
        found = {vmid: self._proxmox.find(vmid) for vmid in missing}
        return NodeSeen(
            state=state,
            allocated_memory_mb=self._proxmox.allocated_memory_mb(node),
            readings=readings,
            configs={vmid: config for vmid in configs if vmid in readings and (config := self._config(node, vmid))},
            elsewhere={vmid: key[0] for vmid, key in found.items() if key is not None},
        )

    def _config(self, node: str, vmid: int) -> LXCState | None:
        try:
            return self._proxmox.container((node, vmid))
        except NoContainer:  # gone in between
            return None

    def _all_nodes(self) -> tuple[NodeState, ...]:
        if self._nodes is None:
            self._nodes = _tried(self._proxmox.nodes)
        if isinstance(self._nodes, TrimtabError):
            raise self._nodes
        return self._nodes


def _tried(ask: Callable[[], T]) -> T | TrimtabError:
    try:
        return ask()
    except TrimtabError as error:
        return error


def _appended(before: tuple[LXCState, ...], reading: LXCState) -> tuple[LXCState, ...]:
    recent = [one for one in before if timedelta(0) < reading.at - one.at <= TOGETHER]
    return (*recent, reading)
