"""What the Agents API takes and gives, as its document spells it."""

import re
from datetime import datetime
from typing import Annotated, Any

from fastapi.openapi.models import Example
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from api.instants import Instant
from reconciler.model.agent import Agent, AgentStatus, Platform

PUSH_INTERVAL_SECONDS = 15

_LABEL = r"[A-Za-z0-9_][A-Za-z0-9_-]*([.:][A-Za-z0-9_-]+)*"
_LONGEST = 253


def _label(value: str) -> str:
    if len(value) > _LONGEST or not re.fullmatch(_LABEL, value, re.ASCII):
        raise ValueError(
            f"must be a name of at most {_LONGEST} characters: letters, digits, '-' and '_', with single '.' or ':' between"
        )
    return value


Label = Annotated[
    str,
    AfterValidator(_label),
    Field(json_schema_extra={"pattern": f"^{_LABEL}$", "minLength": 1, "maxLength": _LONGEST}),
]
"""What DNS names hold, which is what hosts, clusters and host pools are named by, and what Docker and cloud providers add
to it: underscores, capitals, colons (``gke_acme_west1_prod``, ``kind:dev``). It goes into keys and paths as it is, so
nothing that means something there is in it."""

Version = Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


def _without_case(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class Body(BaseModel):
    """camelCase outside; unknown fields of a request are ignored, so that a newer agent can talk to an older server."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class Registration(Body):
    """Who an agent is. The same platform, name and hostname are the same agent."""

    name: Label
    version: Version = ""
    platform: Annotated[Platform, BeforeValidator(_without_case)]
    hostname: Label
    cluster: Annotated[
        Label | None, Field(description="Kubernetes: the cluster's name or id in trimtab.yaml; without it, `name`.")
    ] = None
    host_pool: Annotated[
        Label | None, Field(description="Docker: the host pool that the host belongs to; without it, `name`.")
    ] = None


REGISTRATION_EXAMPLES: dict[str, Example] = {
    "docker": {
        "summary": "A Docker host",
        "value": {"name": "prod-web", "version": "1.4.2", "platform": "docker", "hostname": "prod-web-01"},
    },
    "kubernetes": {
        "summary": "A Kubernetes cluster",
        "value": {
            "name": "prod",
            "version": "1.4.2",
            "platform": "kubernetes",
            "hostname": "trimtab-agent-0",
            "cluster": "prod-eu-west-1",
        },
    },
}


class Registered(Body):
    """The agent's id, and a token for its own routes."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "agentId": "agent_7f3c9b2a",
                "token": "eyJhbGciOiJIUzI1NiJ9...",
                "tokenExpiresIn": 3600,
                "pushIntervalSeconds": 15,
            }
        }
    )

    agent_id: str
    token: str
    token_expires_in: Annotated[int, Field(description="Seconds; register again for a new one.")]
    push_interval_seconds: int = PUSH_INTERVAL_SECONDS


class AgentView(Body):
    """An agent in the list."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "agent_7f3c9b2a",
                "name": "prod-web",
                "platform": "docker",
                "hostname": "prod-web-01",
                "version": "1.4.2",
                "lastSeen": "2026-06-16T10:00:05Z",
                "status": "connected",
                "containerCount": 8,
            }
        }
    )

    id: str
    name: str
    platform: Platform
    hostname: str
    version: str
    last_seen: Instant
    status: Annotated[
        AgentStatus, Field(description="Last seen up to 45 seconds ago, up to five minutes ago, or longer ago.")
    ]
    container_count: int

    @classmethod
    def of(cls, agent: Agent, now: datetime) -> "AgentView":
        return cls(
            id=agent.id,
            name=agent.name,
            platform=agent.platform,
            hostname=agent.hostname,
            version=agent.version,
            last_seen=agent.last_seen,
            status=agent.status(now),
            container_count=agent.container_count,
        )


class PushAnswer(BaseModel):
    """The push was taken."""

    model_config = ConfigDict(json_schema_extra={"example": {"ok": True}})

    ok: bool


_DOCKER_PUSH: dict[str, Any] = {
    "timestamp": "2026-06-16T10:00:00Z",
    "containers": [
        {
            "id": "a1b2c3d4e5f6",
            "name": "nginx-prod",
            "image": "nginx:1.25",
            "status": "running",
            "cpuPercent": 12.4,
            "memoryMB": 48,
            "memoryLimitMB": 512,
            "networkRxBytes": 10240,
            "networkTxBytes": 8192,
            "restartCount": 0,
        }
    ],
    "nodes": [],
    "pods": [],
}
_KUBERNETES_PUSH: dict[str, Any] = {
    "timestamp": "2026-06-16T10:00:00Z",
    "pods": [
        {
            "namespace": "prod",
            "name": "checkout-api-6f7d8c9b5-abcde",
            "uid": "0b8f3f1e-7a53-4c59-8a4e-6b7f4a1f2c3d",
            "ownerKind": "ReplicaSet",
            "ownerName": "checkout-api-6f7d8c9b5",
            "node": "node-1",
            "phase": "Running",
            "ready": True,
            "containers": [{"name": "server", "cpuMillicores": 250, "memoryMB": 180, "restartCount": 0, "oomKills": 0}],
        }
    ],
    "workloads": [{"namespace": "prod", "kind": "Deployment", "name": "checkout-api", "replicas": 4}],
}
PUSH_EXAMPLES: dict[str, Example] = {
    "docker": {"summary": "A Docker host", "value": _DOCKER_PUSH},
    "kubernetes": {"summary": "A Kubernetes cluster", "value": _KUBERNETES_PUSH},
}
