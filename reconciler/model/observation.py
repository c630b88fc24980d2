"""What was measured: push bodies (DESIGN §8) and the usage history that is read back for a decision."""

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from reconciler.model.base import Model
from reconciler.model.workload import Resource, WorkloadKey


class Pushed(Model):
    """Base of what agents push: unknown fields are ignored, so that a newer agent can talk to an older server."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class PodContainer(Pushed):
    name: str
    cpu_millicores: Annotated[float, Field(ge=0)] | None = None
    memory_mb: Annotated[float | None, Field(alias="memoryMB", ge=0)] = None
    cpu_request_millicores: float | None = None
    cpu_limit_millicores: float | None = None
    memory_request_mb: Annotated[float | None, Field(alias="memoryRequestMB")] = None
    memory_limit_mb: Annotated[float | None, Field(alias="memoryLimitMB")] = None
    restart_count: int = 0
    oom_kills: int = 0


class Pod(Pushed):
    namespace: str
    name: str
    uid: str = ""
    owner_kind: str = ""
    owner_name: str = ""
    owner_uid: str = ""
    node: str = ""
    phase: str = ""
    ready: bool = True
    containers: tuple[PodContainer, ...] = ()


class Node(Pushed):
    name: str
    node_pool: str = ""
    ready: bool = True
    cpu_capacity_millicores: float = 0
    memory_capacity_mb: Annotated[float, Field(alias="memoryCapacityMB")] = 0
    cpu_used_millicores: float = 0
    memory_used_mb: Annotated[float, Field(alias="memoryUsedMB")] = 0
    cpu_requested_millicores: float = 0
    memory_requested_mb: Annotated[float, Field(alias="memoryRequestedMB")] = 0


class WorkloadStatus(Pushed):
    namespace: str
    kind: str
    name: str
    uid: str = ""
    replicas: int = 0
    ready_replicas: int = 0
    updated_replicas: int | None = None
    observed_generation: int | None = None
    strategy: str = ""


class QuotaStatus(Pushed):
    namespace: str
    name: str
    hard: dict[str, str] = {}
    used: dict[str, str] = {}


class GroupContainer(Pushed):
    """A container of the Agents API's push body (Docker)."""

    id: str = ""
    name: str = ""
    image: str = ""
    status: str = ""
    cpu_percent: float = 0
    memory_mb: Annotated[float, Field(alias="memoryMB")] = 0
    memory_limit_mb: Annotated[float | None, Field(alias="memoryLimitMB")] = None
    restart_count: int = 0
    group: str = ""
    host_pool: str = ""


class PushBody(Pushed):
    """One push. ``cluster`` is needed where no agent's registration says it (``usage import``)."""

    timestamp: datetime
    cluster: str = ""
    part: int = 0
    parts: int = 1
    containers: tuple[GroupContainer, ...] = ()
    pods: tuple[Pod, ...] = ()
    nodes: tuple[Node, ...] = ()
    workloads: tuple[WorkloadStatus, ...] = ()
    quotas: tuple[QuotaStatus, ...] = ()
    limit_ranges: tuple[dict[str, object], ...] = ()
    hpas: tuple[dict[str, object], ...] = ()
    pdbs: tuple[dict[str, object], ...] = ()


class Observation(Model):
    """The newest state of one cluster: each list with the instant it was measured at in ``at`` (by list name)."""

    cluster: str
    at: dict[str, datetime] = {}
    pods: tuple[Pod, ...] = ()
    nodes: tuple[Node, ...] = ()
    workloads: tuple[WorkloadStatus, ...] = ()
    quotas: tuple[QuotaStatus, ...] = ()
    containers: tuple[GroupContainer, ...] = ()


class SeriesKey(Model):
    """One usage series: a workload's container (all replicas together) and a resource. CPU in cores, memory in bytes."""

    workload: WorkloadKey
    container: str
    resource: Resource


class UsageSummary(Model):
    """What the history of one series says over one window. Values in cores or bytes.

    ``base`` is by algorithm: ``max``, ``quantile``, ``quantileOfAverages``, ``quantileOfMaxes``; only those asked for.
    ``quantiles``: p50, p95, p99 of all samples, within 1 % relative error. ``days`` is the span from first to last sample.
    """

    samples: int
    maximum: float
    average: float
    base: dict[str, float] = {}
    quantiles: dict[str, float] = {}
    first: datetime
    last: datetime

    @property
    def days(self) -> float:
        return (self.last - self.first).total_seconds() / 86400


class OomRecord(Model):
    """OOM kills and restarts of one container seen in the window; ``peak_bytes`` is what it used (or its limit) when killed."""

    workload: WorkloadKey
    container: str
    oom_kills: int = 0
    restarts: int = 0
    peak_bytes: int = 0
