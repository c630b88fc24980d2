"""What the routes of action configs take and give, in the order of the document."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from api.actions.envelope import Shown
from api.scaling.figures import Line, refusal
from reconciler.model.action import ActionType

Scope = Literal["global", "cluster", "local"]

_WINDOW = {
    "type": ["string", "object", "array", "null"],
    "description": "Five-field cron, `{cron, duration, timezone, name}`, or a list of them; empty = none.",
}
_SHARE = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
_ALGORITHM = {"enum": ["max", "quantile", "quantileOfAverages", "quantileOfMaxes", None]}
_FIELDS: dict[str, dict[str, Any]] = {
    "cluster": {"type": ["string", "null"], "description": "The same as `cluster` beside `config`."},
    "actionConfigName": {"type": ["string", "null"], "description": "The name, where `name` is left out."},
    "enabled": {"type": ["boolean", "null"], "description": "true unless given."},
    "filter": {"type": ["string", "null"], "description": "Allocation filter; empty matches all."},
    "maintenanceWindow": _WINDOW,
    "exclusionWindow": _WINDOW,
    "profile": {"type": ["string", "null"], "description": "Development, Production, High Availability, or your own."},
    "cpu": {"type": ["boolean", "null"], "description": "true unless given."},
    "memory": {"type": ["boolean", "null"], "description": "true unless given."},
    "rightSizingWindow": {"type": ["string", "null"], "description": "How far back usage is looked at: 48h, 7d."},
    "algorithmCPU": _ALGORITHM,
    "algorithmRAM": _ALGORITHM,
    "quantileCPU": _SHARE,
    "quantileRAM": _SHARE,
    "targetUtilizationCPU": _SHARE,
    "targetUtilizationRAM": _SHARE,
    "targetRAMUtilization": _SHARE | {"description": "The old name of targetUtilizationRAM."},
    "minRecCPUMillicores": {"type": ["number", "null"], "minimum": 0},
    "minRecRAMBytes": {"type": ["number", "null"], "minimum": 0},
    "minChangePercent": {"type": ["number", "null"], "minimum": 0, "maximum": 100},
    "keepLimitRatio": {"type": ["boolean", "null"], "description": "The fleet's unless given."},
    "namespace": {"type": ["string", "null"], "description": "Quotas and turndown."},
    "namespaces": {"type": ["array", "null"], "items": {"type": "string"}, "description": "Quotas and turndown."},
}
Config = Annotated[
    dict[str, Any],
    WithJsonSchema({"type": "object", "properties": _FIELDS}),
    Field(description="By the type of the action; answered exactly as it was sent."),
]

_NIGHTLY: dict[str, Any] = {
    "cpu": True,
    "enabled": True,
    "exclusionWindow": "",
    "filter": 'namespace:"production"',
    "maintenanceWindow": "* 23 * * *",
    "memory": True,
    "profile": "Development",
    "rightSizingWindow": "48h",
}


def _ours(value: object) -> object:
    if value in (None, "API"):
        return value
    if value == "helm":
        raise refusal(
            "helm configs are declared in Git: write a file in actions/ of the fleet repo, or leave source out"
        )
    raise refusal("must be API, or left out")


def _given(value: object) -> object:
    """An empty text says as much as nothing does."""
    return None if value == "" else value


Optional = Annotated[Line | None, BeforeValidator(_given)]


class ActionConfigAsked(BaseModel):
    """The body of POST. With ``id`` the config of that id gets these fields, all of them."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "source": "API",
                    "scope": "local",
                    "name": "shop-rightsizing-nightly",
                    "action": "containerRequestRightSizing",
                    "config": _NIGHTLY,
                }
            ]
        },
    )

    id: Annotated[Optional, Field(description="Updates the config of this id; without it a new one is made.")] = None
    source: Annotated[Literal["API"] | None, BeforeValidator(_ours)] = None
    scope: Annotated[Scope, Field(description="`global` and `local` both mean all clusters.")]
    cluster: Annotated[Optional, Field(description="Name or id; required with the scope `cluster`.")] = None
    name: Annotated[Optional, Field(description="`system` is reserved. Without one, a name is made up.")] = None
    action: Annotated[
        Literal["containerRequestRightSizing", "resourceQuotaRightSizing", "namespaceTurndown", "rightsizing"],
        Field(description="`rightsizing` is the old name of `containerRequestRightSizing`."),
    ]
    config: Config


class ActionConfigView(Shown):
    """An action config."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "b39c41c6-c900-4cf2-9473-fff29069492c",
                "source": "API",
                "scope": "local",
                "cluster": "all",
                "name": "shop-rightsizing-nightly",
                "action": "containerRequestRightSizing",
                "config": _NIGHTLY,
            }
        }
    )

    id: str
    source: Annotated[Literal["helm", "API"], Field(description="helm: declared in the fleet repo, and changed there.")]
    scope: Scope
    cluster: Annotated[str, Field(description="`all`, unless the scope is `cluster`.")]
    name: str
    action: ActionType
    config: Config
