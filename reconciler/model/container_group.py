"""A group of containers on a pool of Docker hosts: as its file declares it, and as its hosts were last heard of."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from reconciler.model.agent import AHEAD, CONNECTED
from reconciler.model.base import Model
from reconciler.model.observation import GroupContainer
from reconciler.model.workload import ObjectRef

API_VERSION = "trimtab.dev/v1alpha1"
KIND = "ContainerGroup"

MOST_REPLICAS = 100_000

GroupKey = tuple[str, str]
"""(host pool, group)."""


class ContainerGroup(Model):
    """``docker/<host_pool>/<name>.yaml``. ``policy``: the id of the policy that the file was made for, empty when a person made it.

    ``image`` is empty where the file leaves it to the hosts. ``max_replicas_per_host`` None = as many as there are.
    """

    host_pool: str
    name: str
    replicas: Annotated[int, Field(ge=0, le=MOST_REPLICAS)]
    max_replicas_per_host: Annotated[int, Field(ge=1)] | None = None
    image: str = ""
    lb_pool_ref: str | None = None
    policy: str = ""

    @property
    def key(self) -> GroupKey:
        return self.host_pool, self.name

    @property
    def target(self) -> ObjectRef:
        return target_of(self.name)


def target_of(group: str) -> ObjectRef:
    """What a file's values are about."""
    return ObjectRef(api_version=API_VERSION, kind=KIND, name=group)


class Host(Model):
    """One agent of a host pool. ``containers`` are those that it pushed at ``pushed_at``; None = it has pushed none yet."""

    agent_id: str
    last_seen: datetime
    pushed_at: datetime | None = None
    containers: tuple[GroupContainer, ...] = ()

    def connected(self, now: datetime) -> bool:
        """Whether it was heard of within 45 s."""
        return now - self.last_seen <= CONNECTED

    def fresh(self, now: datetime) -> bool:
        """Whether its containers are as of the last 45 s (or ahead, as its clock may be)."""
        return self.pushed_at is not None and -AHEAD <= now - self.pushed_at <= CONNECTED

    def of(self, key: GroupKey) -> tuple[GroupContainer, ...]:
        """Its containers of one group, running or not."""
        pool, group = key
        return tuple(c for c in self.containers if c.group == group and c.host_pool in ("", pool))

    def running(self, key: GroupKey) -> tuple[GroupContainer, ...]:
        """Those of a group that run."""
        return tuple(c for c in self.of(key) if c.status.lower() == "running")


def pool_key(host_pool: str) -> str:
    """The name under which what was observed of a host pool goes."""
    return f"docker/{host_pool}"
