"""What the Recommendations API answers, field by field and in the order of its document.

Fields with an empty default are left out where there is nothing to say: routes answer what was set, and nothing else.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, Field
from pydantic.config import JsonDict

from api.instants import Instant
from reconciler.model.recommendation import Priority, RecommendationStatus, Risk


class Money(BaseModel):
    """``amount`` is a decimal with four places; below zero where more is spent."""

    amount: Annotated[str, Field(pattern=r"^-?\d+\.\d{4}$")]
    currency: str


class Quantities(BaseModel):
    """Canonical Kubernetes quantities, such as ``600m`` and ``2Gi``; what is not set is left out."""

    cpu: str = ""
    memory: str = ""


class ContainerConfig(BaseModel):
    """One container's requests and limits, for each of its pods."""

    name: str
    requests: Quantities
    limits: Quantities


class Config(BaseModel):
    """All containers of the workload, init and sidecar containers too; ``{}`` where there is nothing yet."""

    containers: list[ContainerConfig] = []


class Current(BaseModel):
    """What runs. ``hourly_cost`` is that of all replicas when it was analyzed."""

    config: Config
    hourly_cost: Money


class Sizes(BaseModel):
    """``config`` alone."""

    config: Config


class Savings(BaseModel):
    """Of all replicas; below zero where the recommendation costs more."""

    estimated_hourly: Money


class ClusterName(BaseModel):
    """As trimtab.yaml has it."""

    id: str
    name: str


class Metadata(BaseModel):
    """Which workload, why, and what has become of it."""

    recommendation_type: Literal["workload_rightsizing"] = "workload_rightsizing"
    resource_type: str = Field(description="The workload's kind.")
    resource_name: str
    resource_uid: str = Field(description="Of the object in the cluster; empty until it was observed.")
    cluster: ClusterName
    namespace: str
    title: str
    description: str
    cause: str
    risk_level: Risk
    priority: Priority = Field(description="By the saving of a month of 730 hours: high from 50, medium from 10.")
    status: RecommendationStatus
    data_points_analyzed: int
    created_at: Instant
    updated_at: Instant


class Recommendation(BaseModel):
    """One workload. ``applied.config`` is ``{}`` until a change has landed in Git, and then what landed."""

    id: str
    kind: Literal["Recommendation"] = "Recommendation"
    metadata: Metadata
    current: Current
    recommended: Sizes
    applied: Sizes
    savings: Savings


class Window(BaseModel):
    """Which usage was analyzed. ``samples``: of the series that has the most."""

    start_at: Instant
    end_at: Instant
    samples: int


class Cpu(BaseModel):
    """Cores of one pod; without a request there is no utilization, and without samples nothing about use."""

    request_cores: float = 0
    used_cores_p50: float = 0
    used_cores_p95: float = 0
    used_cores_p99: float = 0
    used_cores_max: float = 0
    used_cores_avg: float = 0
    utilization_percent_p95: float = 0


class Memory(BaseModel):
    """Bytes of one pod, otherwise as CPU."""

    request_bytes: int = 0
    used_bytes_p50: int = 0
    used_bytes_p95: int = 0
    used_bytes_p99: int = 0
    used_bytes_max: int = 0
    used_bytes_avg: int = 0
    utilization_percent_p95: float = 0


class ContainerSnapshot(BaseModel):
    """One container of a pod."""

    name: str
    samples: int
    cpu: Cpu
    memory: Memory
    restarts: int
    oom_kills: int


class Replicas(BaseModel):
    """How many were wanted and how many ran; no history of these is kept, so both are what the analysis saw last."""

    desired_avg: float
    running_avg: float


class MetricsSnapshot(BaseModel):
    """What the analysis saw. ``cpu`` and ``memory`` of a pod are the sums of its containers', init ones too: for percentiles, an upper bound."""

    window: Window
    cpu: Cpu
    memory: Memory
    replicas: Replicas
    restarts_total: int
    oom_kills_total: int
    containers: list[ContainerSnapshot]


class RecommendationDetail(Recommendation):
    """A recommendation with what it was made of."""

    metrics_snapshot: MetricsSnapshot


class Pagination(BaseModel):
    """``next_cursor`` is null on the last page; ``total_count`` is there where ``include_total=true`` asks for it."""

    next_cursor: str | None
    has_more: bool
    limit: int
    total_count: int = 0


class Meta(BaseModel):
    """``request_id`` is the answer's X-Request-Id; ``applied_at`` when it was answered."""

    request_id: str
    applied_at: Instant


class PageMeta(Meta):
    """The same, with where the page lies."""

    pagination: Pagination


_CONTAINER: JsonDict = {
    "name": "cart-service",
    "requests": {"cpu": "2", "memory": "4Gi"},
    "limits": {"cpu": "4", "memory": "8Gi"},
}
_SMALLER: JsonDict = {
    "name": "cart-service",
    "requests": {"cpu": "600m", "memory": "2Gi"},
    "limits": {"cpu": "1200m", "memory": "4Gi"},
}
_EXAMPLE: JsonDict = {
    "id": "9d3e7a18-b426-4c21-8f5e-2c1b4d8a0f12",
    "kind": "Recommendation",
    "metadata": {
        "recommendation_type": "workload_rightsizing",
        "resource_type": "Deployment",
        "resource_name": "cart-service",
        "resource_uid": "b9f1a342-7c5e-4d8a-9e2b-1234567890ab",
        "cluster": {"id": "c1a2b3c4-d5e6-7890-abcd-ef1234567890", "name": "prod-eu-west-1"},
        "namespace": "payments",
        "title": "Lower CPU and memory requests of cart-service",
        "description": "The busiest 5 % of the last 14 days used 21 % of the CPU request, and 50 % of the memory request.",
        "cause": "CPU: p95 is 0.42 cores, the request is 2 cores.",
        "risk_level": "low",
        "priority": "high",
        "status": "pending",
        "data_points_analyzed": 20160,
        "created_at": "2026-05-21T03:14:00Z",
        "updated_at": "2026-05-21T03:14:00Z",
    },
    "current": {
        "config": {"containers": [_CONTAINER]},
        "hourly_cost": {"amount": "1.8400", "currency": "USD"},
    },
    "recommended": {"config": {"containers": [_SMALLER]}},
    "applied": {"config": {}},
    "savings": {"estimated_hourly": {"amount": "0.6200", "currency": "USD"}},
}
_SNAPSHOT: JsonDict = {
    "window": {"start_at": "2026-05-07T00:00:00Z", "end_at": "2026-05-21T00:00:00Z", "samples": 20160},
    "cpu": {
        "request_cores": 2.0,
        "used_cores_p50": 0.28,
        "used_cores_p95": 0.42,
        "used_cores_p99": 0.51,
        "used_cores_max": 0.8,
        "used_cores_avg": 0.3,
        "utilization_percent_p95": 21.0,
    },
    "memory": {"request_bytes": 4294967296, "used_bytes_p95": 2147483648, "utilization_percent_p95": 50.0},
    "replicas": {"desired_avg": 3.0, "running_avg": 3.0},
    "restarts_total": 0,
    "oom_kills_total": 0,
    "containers": [],
}
_META: JsonDict = {"request_id": "req_01J5K3V0Q7Y4XR8A2B3C5D7E9F", "applied_at": "2026-05-21T10:30:00Z"}
_PAGINATION: JsonDict = {"next_cursor": "eyJ2IjoxfQ.c2lnbmF0dXJl", "has_more": True, "limit": 20}


class RecommendationPage(BaseModel):
    """One page of the list."""

    model_config = {
        "json_schema_extra": {"example": {"data": [_EXAMPLE], "meta": {**_META, "pagination": _PAGINATION}}}
    }

    data: list[Recommendation]
    meta: PageMeta


class RecommendationAnswer(BaseModel):
    """One recommendation."""

    model_config = {
        "json_schema_extra": {"example": {"data": {**_EXAMPLE, "metrics_snapshot": _SNAPSHOT}, "meta": _META}}
    }

    data: RecommendationDetail
    meta: Meta
