"""Agents as the server knows them, what they are told to do, and what they say came of it (DESIGN §8)."""

from datetime import datetime, timedelta
from typing import Literal

from reconciler.model.base import Model

Platform = Literal["kubernetes", "docker"]
AgentStatus = Literal["connected", "stale", "disconnected"]

CONNECTED = timedelta(seconds=45)
STALE = timedelta(seconds=300)
AHEAD = timedelta(minutes=5)
"""How far an agent's clock may run ahead of the server's. What it pushes counts as measured now; beyond, it is refused."""

COMMAND_LIFETIME = timedelta(minutes=2)
"""A command that nobody has answered by then is not delivered any more."""


class Agent(Model):
    """One registered agent. ``observed_as``: the key under which its cluster or host pool is observed."""

    id: str
    organization: str
    platform: Platform
    name: str
    hostname: str
    version: str = ""
    cluster: str = ""
    host_pool: str = ""
    observed_as: str
    registered_at: datetime
    last_seen: datetime
    container_count: int = 0

    def status(self, now: datetime) -> AgentStatus:
        """By when it was last heard of."""
        silent = now - self.last_seen
        if silent <= CONNECTED:
            return "connected"
        return "stale" if silent <= STALE else "disconnected"


class DockerScale(Model):
    """The payload of ``docker.scale``: how many containers of the group the host is to run."""

    host_pool: str
    group: str
    replicas: int
    from_replicas: int
    lb_pool_ref: str | None = None


class Command(Model):
    """One command on its way to one agent. ``answer`` is empty until the first result has come in."""

    id: str
    agent_id: str
    policy_id: str
    change_id: str = ""
    type: Literal["docker.scale"] = "docker.scale"
    payload: DockerScale
    issued_at: datetime
    expires_at: datetime
    answer: Literal["", "succeeded", "failed"] = ""
    message: str = ""
    answered_at: datetime | None = None


Health = Literal["healthy", "progressing", "degraded", "missing", "unknown"]
"""In Argo CD's words."""


class ObjectStatus(Model):
    """What an agent says of one object that it was given. ``namespace`` is empty for cluster-scoped ones.

    ``health``: of a workload, whether its rollout is complete; ``unknown`` where nobody looked.
    """

    api_version: str
    kind: str
    namespace: str = ""
    name: str
    status: Literal["applied", "failed", "drifted"]
    message: str = ""
    health: Health = "unknown"


class RootStatus(Model):
    """What Argo CD or Flux says of one root: the revision that it has synced, and how what is in it is.

    ``source``: the object that says so, such as ``Application argocd/demo``. ``revision`` is empty until something was synced.
    """

    path: str
    sync: Literal["argocd", "flux"]
    source: str = ""
    revision: str = ""
    synced: bool = False
    health: Health = "unknown"
    message: str = ""


class StatusReport(Model):
    """The newest report of a cluster's agent: the revision that it has brought about, object by object.

    ``proves``: of each policy whose newest standing commit ``revision`` contains, that commit (filled when history was read).
    ``since``: when each of :attr:`revisions` was first reported to be the one.
    """

    agent_id: str
    cluster: str
    revision: str
    at: datetime
    objects: tuple[ObjectStatus, ...] = ()
    roots: tuple[RootStatus, ...] = ()
    proves: tuple[str, ...] = ()
    since: dict[str, datetime] = {}

    @property
    def revisions(self) -> dict[str, str]:
        """What the agent has brought about (key ``agent``), and what each root has synced (key ``root:`` and its path)."""
        return {"agent": self.revision, **{f"root:{root.path}": root.revision for root in self.roots}}
