"""trimtab.yaml: the fleet, read and checked (DESIGN §3)."""

import uuid
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from reconciler.model.action import SizingParameters
from reconciler.model.base import Model
from reconciler.model.window import Windows

WriteMode = Literal["overlay", "inPlace", "helmValues"]
SyncMode = Literal["agent", "argocd", "flux"]


class Root(Model):
    """A path that Argo CD or Flux builds. ``namespace``: what its objects without one get (Argo's destination, Flux's targetNamespace)."""

    path: str
    namespace: str = "default"
    sync: SyncMode = "agent"
    write: WriteMode = "overlay"

    @property
    def overlay_path(self) -> str:
        return f"{self.path}/trimtab" if self.path not in ("", ".") else "trimtab"


class Cluster(Model):
    name: str
    id: str = ""
    roots: tuple[Root, ...]
    windows: Windows = Windows()


class HostPool(Model):
    name: str


class LxcNode(Model):
    """A Proxmox VE node whose containers the fleet looks after."""

    name: str


class Signing(Model):
    format: Literal["ssh", "gpg"]
    key: str


class Author(Model):
    name: str = "Trimtab"
    email: str = "trimtab@users.noreply.trimtab.dev"


GroupKey = Literal["cluster", "kind", "namespace", "workload"]


class Delivery(Model):
    mode: Literal["commit", "pullRequest"] = "commit"
    branch: str = "main"
    group_by: tuple[GroupKey, ...] = ("cluster", "kind")
    max_open_pull_requests: Annotated[int, Field(ge=1)] = 10
    commits_per_hour: Annotated[int, Field(ge=1)] = 60
    labels: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()
    automerge: bool = False
    sign: Signing | None = None
    author: Author = Author()


class Pricing(Model):
    """Per core-hour and GiB-hour. Defaults: OpenCost's on-demand prices."""

    currency: str = "USD"
    cpu_core_hour: Decimal = Decimal("0.031611")
    ram_gib_hour: Annotated[Decimal, Field(alias="ramGiBHour")] = Decimal("0.004237")


class Guard(Model):
    observe_seconds: int = 1800
    revert_on: tuple[Literal["oomKill", "crashLoop", "throttling"], ...] = ("oomKill", "crashLoop")


class Fleet(Model):
    """The fleet. ``profiles``: target utilization etc. by name, the built-in three included. Without ``lxc_nodes``, a server
    that keeps no other organization's fleet takes every Proxmox VE node for this one's."""

    name: str
    clusters: tuple[Cluster, ...] = ()
    host_pools: tuple[HostPool, ...] = ()
    lxc_nodes: tuple[LxcNode, ...] = ()
    delivery: Delivery = Delivery()
    windows: Windows = Windows()
    pricing: Pricing = Pricing()
    rightsizing: SizingParameters = SizingParameters(profile="Production")
    profiles: dict[str, SizingParameters] = {}
    guard: Guard = Guard()

    def cluster(self, name: str) -> Cluster | None:
        return next((c for c in self.clusters if c.name == name), None)

    def declares_node(self, name: str) -> bool:
        """Whether a Proxmox VE node is declared to be the fleet's."""
        return name in {node.name for node in self.lxc_nodes}

    def cluster_id(self, name: str) -> str:
        """The id that trimtab.yaml gives a cluster, else the UUID 5 of the fleet's name and the cluster's."""
        known = self.cluster(name)
        return known.id if known is not None and known.id else str(uuid.uuid5(_CLUSTERS, f"{self.name}|{name}"))


_CLUSTERS = uuid.UUID("0c6f7c1e-8f0b-4d57-9a9e-3b1d8c5e2a44")
"""Namespace of the ids of clusters that trimtab.yaml gives none."""
