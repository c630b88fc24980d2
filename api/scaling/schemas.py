"""What the Scaling API takes and gives, field by field and in the order of its document."""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel

from api.instants import Instant
from api.scaling.figures import (
    Cooldown,
    Line,
    MemoryMB,
    Percent,
    PerHost,
    Replicas,
    StepSize,
    TargetRef,
    refuse_unknown,
)
from reconciler.model.change import ChangeState
from reconciler.model.log import Direction, LogAction, TriggerMetric
from reconciler.model.policy import Runtime, Strategy

ApplyHealth = Literal["pending", "applied", "drifted", "failed", "unknown"]

_FROM_PASSES = frozenset({"currentReplicas", "desiredReplicas", "applyHealth", "lastEvaluatedAt"})
COMPUTED = _FROM_PASSES | {"id", "source", "conflict", "held", "applyMessage"}
"""Fields that the server fills in. A client may send back what it was given: they are ignored."""


def _plain(figure: float) -> float | int:
    return int(figure) if figure.is_integer() else figure


Figure = Annotated[
    float, PlainSerializer(_plain, return_type=float | int), WithJsonSchema({"type": "number"}, mode="serialization")
]
"""A number that is printed 70 and not 70.0."""


def _without_header(manifest: str) -> str:
    return _HEADER.sub("", manifest)


_HEADER = re.compile(r"^# Written by Trimtab[^\n]*\n", re.MULTILINE)
Manifest = Annotated[str, PlainSerializer(_without_header, return_type=str)]
"""What a commit holds, without the line that tells readers of the file who wrote it: it begins as the document shows."""


class Given(BaseModel):
    """Base of request bodies: camelCase, no conversions between types, and no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, alias_generator=to_camel)


class Shown(BaseModel):
    """Base of answers."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


_ABSENT: Any = Field(default_factory=lambda: None)
"""A field that need not be sent; which ones were is in ``model_fields_set``."""


class PolicyChange(Given):
    """The body of PUT: only the fields to change. ``null`` clears a field that may be null in the answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"dryRun": False}, {"enabled": False}, {"cpuTargetPercent": 60, "maxReplicas": 20}]
        }
    )

    name: Line = _ABSENT
    runtime: Annotated[Runtime, Field(description="Immutable: another one is refused.")] = _ABSENT
    target_ref: TargetRef = _ABSENT
    strategy: Annotated[Strategy, Field(description="Follows from the runtime: another one is refused.")] = _ABSENT
    cluster: Annotated[
        Line | None,
        Field(description="Name or id; needed for kubernetes only, and where the organization has several."),
    ] = _ABSENT
    enabled: Annotated[bool, Field(description="true unless given. false pauses the policy; Git is left as it is.")] = (
        _ABSENT
    )
    dry_run: Annotated[bool, Field(description="true unless given. false takes the policy live.")] = _ABSENT
    min_replicas: Annotated[Replicas, Field(description="1 unless given.")] = _ABSENT
    max_replicas: Annotated[Replicas, Field(description="10 unless given.")] = _ABSENT
    step_size: Annotated[StepSize, Field(description="1 unless given.")] = _ABSENT
    cooldown_scale_up_seconds: Annotated[Cooldown, Field(description="30 unless given.")] = _ABSENT
    cooldown_scale_down_seconds: Annotated[Cooldown, Field(description="300 unless given.")] = _ABSENT
    cpu_target_percent: Percent | None = _ABSENT
    memory_target_percent: Percent | None = _ABSENT
    node_pressure_target_percent: Percent | None = _ABSENT
    max_replicas_per_host: Annotated[PerHost | None, Field(description="docker")] = _ABSENT
    min_memory_mb: Annotated[MemoryMB | None, Field(alias="minMemoryMB", description="lxc")] = _ABSENT
    max_memory_mb: Annotated[MemoryMB | None, Field(alias="maxMemoryMB", description="lxc")] = _ABSENT
    approval_required: Annotated[bool, Field(description="false unless given.")] = _ABSENT
    hand_over: Annotated[
        bool,
        Field(description="false unless given. kubernetes: the HPA takes replicas over from the manifest."),
    ] = _ABSENT
    lb_pool_ref: Annotated[Line | None, Field(description="docker: the load balancer's pool.")] = _ABSENT

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        """Without the computed fields. :raises ValidationError: that names the first field that does not exist."""
        if not isinstance(given, dict):
            return given
        asked = {name: value for name, value in given.items() if name not in COMPUTED}
        refuse_unknown(asked, [field.alias or name for name, field in cls.model_fields.items()])
        return asked

    def asked(self) -> dict[str, Any]:
        """The fields that were sent, by their names in :class:`~reconciler.model.policy.ScalingPolicySpec`."""
        return self.model_dump(exclude_unset=True, exclude={"strategy"})


class PolicyCreate(PolicyChange):
    """The body of POST. At least one of cpuTargetPercent and memoryTargetPercent is required."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "checkout-api autoscaler",
                    "runtime": "kubernetes",
                    "targetRef": "prod/checkout-api",
                    "cpuTargetPercent": 70,
                    "minReplicas": 2,
                    "maxReplicas": 10,
                    "stepSize": 1,
                    "cooldownScaleUpSeconds": 30,
                    "cooldownScaleDownSeconds": 300,
                    "approvalRequired": False,
                }
            ]
        }
    )

    name: Line
    runtime: Runtime
    target_ref: TargetRef


class Created(Shown):
    """The answer to POST."""

    id: Annotated[str, Field(examples=["scp_1718000000000000000"])]


class PolicyView(Shown):
    """A policy as it is, and what the newest pass made of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "scp_1718000000000000000",
                "name": "checkout-api autoscaler",
                "runtime": "kubernetes",
                "targetRef": "prod/checkout-api",
                "strategy": "pods",
                "enabled": True,
                "dryRun": False,
                "minReplicas": 2,
                "maxReplicas": 10,
                "stepSize": 1,
                "cooldownScaleUpSeconds": 30,
                "cooldownScaleDownSeconds": 300,
                "cpuTargetPercent": 70,
                "memoryTargetPercent": None,
                "nodePressureTargetPercent": None,
                "maxReplicasPerHost": None,
                "approvalRequired": False,
                "currentReplicas": 4,
                "desiredReplicas": 5,
                "applyHealth": "applied",
                "lbPoolRef": None,
                "lastEvaluatedAt": "2026-06-30T08:12:00Z",
                "cluster": "prod-eu-west-1",
                "handOver": False,
                "minMemoryMB": None,
                "maxMemoryMB": None,
                "source": "api",
                "conflict": None,
                "held": None,
                "applyMessage": None,
            }
        }
    )

    id: str
    name: str
    runtime: Runtime
    target_ref: str
    strategy: Strategy
    enabled: bool
    dry_run: bool
    min_replicas: int
    max_replicas: int
    step_size: int
    cooldown_scale_up_seconds: int
    cooldown_scale_down_seconds: int
    cpu_target_percent: Figure | None
    memory_target_percent: Figure | None
    node_pressure_target_percent: Figure | None
    max_replicas_per_host: int | None
    approval_required: bool
    current_replicas: int | None
    desired_replicas: int | None
    apply_health: ApplyHealth
    lb_pool_ref: str | None
    last_evaluated_at: Instant | None
    cluster: str | None
    hand_over: bool
    min_memory_mb: Annotated[int | None, Field(alias="minMemoryMB")]
    max_memory_mb: Annotated[int | None, Field(alias="maxMemoryMB")]
    source: Annotated[Literal["git", "api"], Field(description="git: declared in the fleet repo, and changed there.")]
    conflict: Annotated[str | None, Field(description="Why it does nothing as things are.")]
    held: Annotated[str | None, Field(description="What holds its change, and until when.")]
    apply_message: Annotated[
        str | None, Field(description="Why applyHealth is not applied: the objects and what was said.")
    ]


class DecisionView(Shown):
    """One row of the decision log."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": 412,
                "policyId": "scp_1718000000000000000",
                "ts": "2026-06-30T08:12:04Z",
                "runtime": "kubernetes",
                "triggerMetric": "cpu_percent",
                "triggerValue": 88.4,
                "threshold": 70,
                "direction": "up",
                "fromReplicas": 4,
                "toReplicas": 5,
                "action": "apply",
                "dryRun": False,
                "renderedManifest": "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\n...",
                "outcome": "Applying HPA spec: 2 to 10 replicas, CPU 70% target.",
            }
        }
    )

    id: int
    policy_id: str
    ts: Instant
    runtime: Runtime
    trigger_metric: TriggerMetric | None
    trigger_value: Figure | None
    threshold: Figure | None
    direction: Direction
    from_replicas: int | None
    to_replicas: int | None
    action: LogAction
    dry_run: bool
    rendered_manifest: Manifest
    outcome: str


class RollbackAsked(Given):
    """The body of a rollback, which need not be sent."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"force": True}]})

    force: Annotated[bool, Field(description="Also inside an exclusion window.")] = False

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        if isinstance(given, dict):
            refuse_unknown(given, ["force"])
        return given


class Kept(Shown):
    """A value that stays: it was changed since. ``field`` empty = the whole file; ``value`` null = it is gone."""

    path: str
    field: str
    value: str | None


class RolledBack(Shown):
    """What a rollback did. ``decisionId``: its row in the decision log."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "ok": True,
                "decisionId": 413,
                "changeId": "01JZ0QF5W6T7X8Y9A0B1C2D3E4",
                "commit": "3f2a91c8d0b7a6e5f4c3b2a1908f7e6d5c4b3a29",
                "state": "committed",
                "kept": [],
            }
        }
    )

    ok: Literal[True] = True
    decision_id: int
    change_id: str
    commit: str
    state: ChangeState
    kept: tuple[Kept, ...]
