"""A scaling policy: the fields of the Scaling API's request body, whether made through the API or declared in Git."""

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from reconciler.model.base import Model
from reconciler.model.fleet import SyncMode
from reconciler.model.window import Windows

Runtime = Literal["kubernetes", "docker", "lxc"]
Strategy = Literal["pods", "containers", "resources"]
STRATEGY_OF: dict[Runtime, Strategy] = {"kubernetes": "pods", "docker": "containers", "lxc": "resources"}

Percent = Annotated[float, Field(ge=1, le=100)]
Cooldown = Annotated[int, Field(ge=0, le=1800)]


_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_SUBDOMAIN = rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*"
_NAME = r"[A-Za-z0-9](([._-]|[A-Za-z0-9]){0,126}[A-Za-z0-9])?"

TARGET_FORMS: dict[Runtime, tuple[re.Pattern[str], str]] = {
    "kubernetes": (
        re.compile(rf"{_LABEL}/{_SUBDOMAIN}"),
        "namespace/workload, both as Kubernetes names them (lower-case letters, digits and '-'): prod/checkout-api",
    ),
    "docker": (
        re.compile(rf"{_NAME}/{_NAME}"),
        "host-pool/group, both names of letters, digits, '-', '_' and '.': web-pool/storefront",
    ),
    "lxc": (re.compile(rf"{_NAME}/[1-9][0-9]{{2,8}}"), "node/vmid, the vmid a number from 100: pve1/104"),
}
"""What ``targetRef`` is by runtime, and in words. Parts of it become paths: none of them can lead elsewhere."""


class ScalingPolicySpec(Model):
    """What a person asks for. Defaults and bounds: DESIGN §6."""

    name: str
    runtime: Runtime
    target_ref: str
    cluster: str | None = None
    enabled: bool = True
    dry_run: bool = True
    min_replicas: Annotated[int, Field(ge=1, le=100000)] = 1
    max_replicas: Annotated[int, Field(ge=1, le=100000)] = 10
    step_size: Annotated[int, Field(ge=1, le=1000)] = 1
    cooldown_scale_up_seconds: Cooldown = 30
    cooldown_scale_down_seconds: Cooldown = 300
    cpu_target_percent: Percent | None = None
    memory_target_percent: Percent | None = None
    node_pressure_target_percent: Percent | None = None
    max_replicas_per_host: Annotated[int, Field(ge=1)] | None = None
    min_memory_mb: Annotated[int | None, Field(alias="minMemoryMB", ge=16)] = None
    max_memory_mb: Annotated[int | None, Field(alias="maxMemoryMB", ge=16)] = None
    approval_required: bool = False
    hand_over: bool = False
    lb_pool_ref: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "ScalingPolicySpec":
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"minReplicas {self.min_replicas} is above maxReplicas {self.max_replicas}")
        if (
            self.min_memory_mb is not None
            and self.max_memory_mb is not None
            and self.min_memory_mb > self.max_memory_mb
        ):
            raise ValueError(f"minMemoryMB {self.min_memory_mb} is above maxMemoryMB {self.max_memory_mb}")
        if self.cpu_target_percent is None and self.memory_target_percent is None:
            raise ValueError("at least one of cpuTargetPercent and memoryTargetPercent is required")
        form, words = TARGET_FORMS[self.runtime]
        if not form.fullmatch(self.target_ref) or ".." in self.target_ref:
            raise ValueError(f"targetRef {self.target_ref!r} is not {words}")
        return self

    @property
    def strategy(self) -> Strategy:
        return STRATEGY_OF[self.runtime]

    @property
    def target_namespace(self) -> str:
        """The namespace, host pool or node."""
        return self.target_ref.partition("/")[0]

    @property
    def target_name(self) -> str:
        """The workload, group or vmid."""
        return self.target_ref.partition("/")[2]

    @property
    def live(self) -> bool:
        return self.enabled and not self.dry_run


class ScalingPolicy(Model):
    """A policy and where it lives. ``path`` is its file in the fleet repo, empty when made through the API."""

    id: str
    spec: ScalingPolicySpec
    windows: Windows = Windows()
    source: Literal["git", "api"] = "git"
    path: str = ""


class StoredPolicy(Model):
    """A policy made through the API."""

    id: str
    organization: str
    spec: ScalingPolicySpec
    created_at: datetime
    updated_at: datetime

    def as_policy(self) -> ScalingPolicy:
        return ScalingPolicy(id=self.id, spec=self.spec, source="api")


class PolicyState(Model):
    """What the newest pass made of a policy.

    ``desired_replicas`` is None until something was observed. ``conflict``: why it does nothing as things are; ``held``:
    what holds its change, and until when. ``objects``: what of it stands in Git (its HPA, its NodePool), as
    ``kind namespace/name``; ``revision``: its newest standing commit. ``failure``: why its newest change could not be applied.
    ``proved``: that commit is known to be in force otherwise than by an agent's report (Docker: the commands were answered).
    ``root``: where its objects are in Git, and ``sync``: who brings that about.
    """

    policy_id: str
    current_replicas: int | None = None
    desired_replicas: int | None = None
    conflict: str = ""
    held: str = ""
    cluster: str = ""
    objects: tuple[str, ...] = ()
    revision: str = ""
    failure: str = ""
    proved: bool = False
    root: str = ""
    sync: SyncMode = "agent"
    evaluated_at: datetime | None = None
