"""What was measured: push bodies (DESIGN §8) and the usage history that is read back for a decision."""

import re
from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from reconciler.model.base import Model
from reconciler.model.workload import Resource, WorkloadKey

NAME_PATTERN = r"^[^./\x00-\x1f\x7f-\x9f]*(\.[^./\x00-\x1f\x7f-\x9f]+)*$"
"""No slash, no control character, no dot beside a dot or at the end: what Kubernetes and Docker themselves call a name."""

TEXT_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]*$"

ObservedName = Annotated[str, Field(max_length=253, pattern=NAME_PATTERN)]
ObservedText = Annotated[str, Field(max_length=1024, pattern=TEXT_PATTERN)]
"""One line: an image, a status, a uid."""

Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Bytes = Annotated[int, Field(ge=0, le=2**63 - 1)]
Millicores = Annotated[float, Field(ge=0, le=1e9)]
"""A million cores: more than any cluster has, and far from where arithmetic with it would go wrong."""
Megabytes = Annotated[float, Field(ge=0, le=1e11)]

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)?")


def _instant(value: object) -> object:
    """Text must be an RFC 3339 instant: a number in quotes would else be read as seconds since 1970."""
    if not isinstance(value, str):
        return value
    if not _RFC_3339.fullmatch(value):
        raise ValueError("write an RFC 3339 instant such as 2026-06-16T10:00:00Z")
    return datetime.fromisoformat(value.upper())


class Pushed(Model):
    """Base of what agents push: unknown fields are ignored, so that a newer agent can talk to an older server.

    Numbers are bounded, which also refuses NaN and infinities, and names are names.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class PodContainer(Pushed):
    name: ObservedName
    cpu_millicores: Millicores | None = None
    memory_mb: Annotated[Megabytes | None, Field(alias="memoryMB")] = None
    cpu_request_millicores: Millicores | None = None
    cpu_limit_millicores: Millicores | None = None
    memory_request_mb: Annotated[Megabytes | None, Field(alias="memoryRequestMB")] = None
    memory_limit_mb: Annotated[Megabytes | None, Field(alias="memoryLimitMB")] = None
    restart_count: Count = 0
    oom_kills: Count = 0
    throttled_percent: Annotated[float | None, Field(ge=0, le=100)] = None
    """Share of the CPU's scheduling periods since the last push in which its limit held it back; None = not known."""


class Pod(Pushed):
    namespace: ObservedName
    name: ObservedName
    uid: ObservedText = ""
    owner_kind: ObservedName = ""
    owner_name: ObservedName = ""
    owner_uid: ObservedText = ""
    node: ObservedName = ""
    phase: ObservedText = ""
    ready: bool = True
    containers: tuple[PodContainer, ...] = ()


class Node(Pushed):
    name: ObservedName
    node_pool: ObservedName = ""
    ready: bool = True
    cpu_capacity_millicores: Millicores = 0
    memory_capacity_mb: Annotated[Megabytes, Field(alias="memoryCapacityMB")] = 0
    cpu_used_millicores: Millicores = 0
    memory_used_mb: Annotated[Megabytes, Field(alias="memoryUsedMB")] = 0
    cpu_requested_millicores: Millicores = 0
    memory_requested_mb: Annotated[Megabytes, Field(alias="memoryRequestedMB")] = 0


class WorkloadStatus(Pushed):
    namespace: ObservedName
    kind: ObservedName
    name: ObservedName
    uid: ObservedText = ""
    replicas: Count = 0
    ready_replicas: Count = 0
    updated_replicas: Count | None = None
    observed_generation: Bytes | None = None
    strategy: ObservedText = ""


class QuotaStatus(Pushed):
    namespace: ObservedName
    name: ObservedName
    hard: dict[ObservedText, ObservedText] = {}
    used: dict[ObservedText, ObservedText] = {}


class GroupContainer(Pushed):
    """A container of the Agents API's push body (Docker). ``group`` and ``host_pool``: what it belongs to, where it does.

    ``cpu_percent``: of one core, so that two busy cores are 200. The network's counters are bytes since it started.
    """

    id: ObservedText = ""
    name: ObservedName = ""
    image: ObservedText = ""
    status: ObservedText = ""
    cpu_percent: Annotated[float, Field(ge=0, le=1e7)] = 0
    memory_mb: Annotated[Megabytes, Field(alias="memoryMB")] = 0
    memory_limit_mb: Annotated[Megabytes | None, Field(alias="memoryLimitMB")] = None
    network_rx_bytes: Bytes | None = None
    network_tx_bytes: Bytes | None = None
    restart_count: Count = 0
    group: ObservedName = ""
    host_pool: ObservedName = ""


class PushBody(Pushed):
    """One push. ``cluster`` is needed where no agent's registration says it (``usage import``).

    ``limit_ranges``, ``hpas`` and ``pdbs`` are objects as the cluster has them.
    """

    timestamp: Annotated[datetime, BeforeValidator(_instant, json_schema_input_type=datetime)]
    cluster: ObservedText = ""
    part: Annotated[int, Field(ge=0, le=999)] = 0
    parts: Annotated[int, Field(ge=1, le=1000)] = 1
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
    limit_ranges: tuple[dict[str, object], ...] = ()
    hpas: tuple[dict[str, object], ...] = ()
    pdbs: tuple[dict[str, object], ...] = ()


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
