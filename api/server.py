"""What the routes have at hand: stores, the stewards of the fleet repos, tokens, the clock."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from api.tokens import Tokens
from reconciler.actuate.proxmox import Proxmox
from reconciler.clock import Clock
from reconciler.errors import Stalled
from reconciler.model.fleet import Cluster, Fleet
from reconciler.report.metrics import Metrics
from reconciler.settings import Settings
from reconciler.steps.house import Stores
from reconciler.steward import Steward


def keeper_of_node(stewards: Sequence[Steward], organization: str, node: str) -> Steward | None:
    """Whose fleet repo looks after a Proxmox VE node's containers: the one that declares it under ``spec.lxcNodes``.

    Where no fleet declares any node, and one organization is all that the server keeps, that one's first fleet repo looks
    after all of them.
    """
    kept = [(steward, steward.watch.fleet) for steward in stewards if steward.watch.fleet is not None]
    if any(fleet.lxc_nodes for _, fleet in kept):
        return next((s for s, fleet in kept if fleet.name == organization and fleet.declares_node(node)), None)
    alone = len(kept) == len(stewards) and {fleet.name for _, fleet in kept} == {organization}
    return kept[0][0] if alone else None


@dataclass
class Pulse:
    """``beats`` grows with everything that is observed, so that what was made of observations is known to be old."""

    beats: int = 0


@dataclass(frozen=True)
class Server:
    """One per process. ``closing`` is set when the process is told to stop, so that nobody polls on.

    ``heard``: agents that have polled, pulled or reported, and when, on the way to the store (:meth:`flush_heard`).
    """

    settings: Settings
    stores: Stores
    stewards: tuple[Steward, ...]
    clock: Clock
    tokens: Tokens
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    metrics: Metrics = field(default_factory=Metrics)
    on_stop: list[Callable[[], None]] = field(default_factory=list)
    """Called once when every request has been answered, before the stewards and the database go: to flush buffers."""
    heard: dict[str, datetime] = field(default_factory=dict)
    pulse: Pulse = field(default_factory=Pulse)
    flushes: list[Callable[[], object]] = field(default_factory=list)
    """Each writes down what it holds on its way to the store, before somebody reads it (:meth:`flush`)."""

    proxmox: Proxmox | Stalled | None = None
    """Where LXC containers are: None where no Proxmox VE is set, an error where its settings cannot be used."""

    sources: list[Callable[[Iterable[str]], tuple[str, ...]]] = field(default_factory=list)
    """What sources of usage have to say of clusters, by name: notes for people (``GET /api/v1/status``)."""

    def of(self, organization: str) -> tuple[Steward, ...]:
        """The stewards of an organization's fleet repos: those that could be read, and declare its name."""
        return tuple(s for s in self.stewards if s.watch.fleet is not None and s.watch.fleet.name == organization)

    def fleets(self, organization: str) -> Iterator[tuple[Steward, Fleet]]:
        """The same, each with its fleet."""
        for steward in self.of(organization):
            if steward.watch.fleet is not None:
                yield steward, steward.watch.fleet

    def refused(self, organization: str) -> tuple[Steward, ...]:
        """The stewards whose fleet repo would be the organization's, and is not kept: their ``watch.error`` says why."""
        return tuple(s for s in self.stewards if s.watch.fleet is None and s.watch.refused == organization)

    def cluster(self, organization: str, name_or_id: str) -> tuple[Steward, Cluster] | None:
        """The cluster of that name or id, and the steward of the fleet repo that it belongs to."""
        for steward, fleet in self.fleets(organization):
            for cluster in fleet.clusters:
                if name_or_id and name_or_id in (cluster.name, cluster.id):
                    return steward, cluster
        return None

    def host_pool(self, organization: str, name: str) -> Steward | None:
        """The steward of the fleet repo that declares a host pool."""
        return next((s for s, fleet in self.fleets(organization) if name in {p.name for p in fleet.host_pools}), None)

    def lxc_node(self, organization: str, node: str) -> Steward | None:
        """The steward of the fleet repo that looks after a Proxmox VE node's containers."""
        return keeper_of_node(self.stewards, organization, node)

    def clusters(self, organization: str) -> tuple[Cluster, ...]:
        return tuple(cluster for _, fleet in self.fleets(organization) for cluster in fleet.clusters)

    def nudge(self, stewards: Iterable[Steward]) -> None:
        """Something was observed that these fleet repos' policies depend on."""
        self.pulse.beats += 1
        self.stores.recorded()
        for steward in stewards:
            steward.nudge()

    def wake(self, organization: str) -> None:
        """A person has changed something of an organization's: its passes begin at once."""
        self.stores.recorded()
        for steward in self.of(organization):
            steward.wake()

    def flush_heard(self) -> None:
        """Write down who has been heard of since the last time: many requests, one write."""
        if seen := dict(self.heard):
            self.stores.agents.heard(seen)
            for agent_id, at in seen.items():
                if self.heard.get(agent_id) == at:
                    self.heard.pop(agent_id, None)

    def flush(self) -> None:
        """Have everything stored that was taken so far."""
        for flush in self.flushes:
            flush()
        self.flush_heard()
