"""One fleet repo with everything its passes need, opened once and kept."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Engine

from reconciler.actuate.proxmox import Proxmox
from reconciler.clock import Clock, stopwatch
from reconciler.commit.repository import Repository
from reconciler.model.fleet import Fleet
from reconciler.model.lxc_container import ScaledResource, Scaling
from reconciler.model.observation import PushBody
from reconciler.observe.kustomize import Builder
from reconciler.steps.remembered import Remembered
from reconciler.store.action_configs import ActionConfigStore
from reconciler.store.agents import AgentStore
from reconciler.store.cache import CacheStore
from reconciler.store.changes import ChangeStore, DecisionLog
from reconciler.store.commands import CommandStore
from reconciler.store.heartbeats import HeartbeatStore
from reconciler.store.keys import KeyStore
from reconciler.store.leases import LeaseStore
from reconciler.store.marks import MarkStore
from reconciler.store.observations import ObservationStore
from reconciler.store.policies import PolicyStore
from reconciler.store.pushes import Incoming, record_push, record_pushes
from reconciler.store.recommendations import RecommendationStore
from reconciler.store.refusals import RefusalStore
from reconciler.store.reports import ReportStore
from reconciler.store.runs import RunStore
from reconciler.store.usage import UsageStore
from reconciler.store.verdicts import VerdictStore
from reconciler.store.watched import WatchedStore

INPUTS = "inputs"
"""The mark that changes with every recorded input."""


BRANCH = "branch"
"""The mark that says which branch a fleet repo's trimtab.yaml names."""


@dataclass(frozen=True)
class Stores:
    """The aggregates of one database."""

    usage: UsageStore
    observations: ObservationStore
    changes: ChangeStore
    log: DecisionLog
    refusals: RefusalStore
    leases: LeaseStore
    cache: CacheStore
    marks: MarkStore
    keys: KeyStore
    agents: AgentStore
    policies: PolicyStore
    commands: CommandStore
    reports: ReportStore
    verdicts: VerdictStore
    action_configs: ActionConfigStore
    runs: RunStore
    heartbeats: HeartbeatStore
    recommendations: RecommendationStore
    watched: WatchedStore
    engine: Engine

    def inputs_version(self) -> str:
        """Changes whenever usage or a push was recorded."""
        return self.marks.get("", INPUTS) or ""

    def recorded(self) -> None:
        """Say that usage or a push was recorded, so that no pass rests on what came before."""
        self.marks.set("", INPUTS, secrets.token_hex(8))

    def record_push(self, body: PushBody, cluster: str, agent: str = "") -> bool:
        """One push into observations and usage history; False when it was recorded before."""
        return record_push(self.engine, body, cluster, agent, usage=self.usage)

    def record_pushes(self, batch: Sequence[Incoming]) -> int:
        """Many pushes, all of them or nothing; gives how many were not recorded before."""
        return record_pushes(self.engine, batch, usage=self.usage)


@dataclass
class House:
    """``name`` is the fleet repo as people know it (its URL without credentials): the key of all that is stored about it.

    ``step`` is told the name of each step as it begins: metrics, progress, and tests that kill the process there.
    ``builder`` is None where no kustomize was found; then nothing is proved by building, and people are told so.
    """

    name: str
    repository: Repository
    stores: Stores
    templates: Mapping[str, str]
    builder: Builder | None
    clock: Clock
    owner: str
    given: str = ""
    """The fleet repo as it was given on the command line or in the environment."""
    step: Callable[[str], None] = lambda _name: None
    admit: Callable[[Fleet], None] = lambda _fleet: None
    """Asked about every trimtab.yaml that is read; raises where this process must not keep that fleet."""
    keeps_lxc_node: Callable[[Fleet, str], bool] = lambda fleet, node: not fleet.lxc_nodes or fleet.declares_node(node)
    """Whether a Proxmox VE node's containers are the fleet's to look after; a server asks what its other fleets declare."""
    scaled: Callable[[int, Scaling, ScaledResource], None] = lambda _vmid, _action, _resource: None
    """Told whenever a pass has given an LXC container more or less of something: a metric."""
    parsed: Remembered = field(default_factory=Remembered)
    notes: tuple[str, ...] = ()
    proxmox: Proxmox | None = None
    """Where the containers of `lxc/` are; None where no Proxmox VE is set."""
    rest: object = None
    """What :mod:`reconciler.steps.resting` remembers of the last pass."""

    @contextmanager
    def lease(self, *, wait_seconds: float, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
        """The right to write this fleet repo's branch; one process at a time.

        :raises RetryLater: when another process still holds it after ``wait_seconds``.
        """
        name = f"{self.name}#{self.repository.branch}"
        with self.stores.leases.hold(name, owner=self.owner, wait_seconds=wait_seconds, on_wait=on_wait):
            yield

    def now(self) -> datetime:
        return self.clock()

    def close(self) -> None:
        """End child processes and connections. The database engine belongs to whoever opened it."""
        self.repository.close()
        if self.proxmox is not None:
            self.proxmox.close()


class Timings:
    """Seconds by stage of one pass."""

    def __init__(self, step: Callable[[str], None]) -> None:
        self.seconds: dict[str, float] = {}
        self._step = step

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what runs inside; a stage entered twice adds up."""
        self._step(name)
        elapsed = stopwatch()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + elapsed()
