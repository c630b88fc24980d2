"""What people's own manifests say of fields that an agent is about to let go."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends
from pydantic import ConfigDict, Field
from pydantic.config import JsonDict, JsonValue

from api.agents.answers import place_of
from api.agents.reports import ReportedIdentity
from api.auth import HasServer, this_agent
from api.errors import BadRequest, NotFound, documented
from reconciler.actuate.base import Asked, Told, is_capacity
from reconciler.model.agent import Agent
from reconciler.model.base import Model
from reconciler.model.observation import Pushed
from reconciler.steps.serving import UnknownRevision, base_of

router = APIRouter(tags=["Agents"])

MOST_OBJECTS = 10_000
_PATIENCE_SECONDS = 25.0

_PATH: list[JsonValue] = ["spec", "template", "spec", "containers", "server", "resources", "requests", "cpu"]
_OBJECT: JsonDict = {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "prod", "name": "checkout-api"}
_REVISION = "4f1c2a9b7d3e5f60718293a4b5c6d7e8f9012345"
_EXAMPLE: dict[str, Any] = {"revision": _REVISION, "fields": [{**_OBJECT, "paths": [_PATH, ["spec", "replicas"]]}]}


class Fields(ReportedIdentity):
    """Fields of one object: keys from its top, items of a list by their ``name``."""

    paths: Annotated[
        list[Annotated[list[Annotated[str, Field(min_length=1, max_length=253)]], Field(min_length=2, max_length=20)]],
        Field(max_length=1000),
    ]


class BaseBody(Pushed):
    """The revision that is pulled now, and what its agent is about to let go."""

    revision: Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
    fields: Annotated[list[Fields], Field(max_length=MOST_OBJECTS)]


class BaseValue(Model):
    """One field that the manifests set; those that they do not set are left out."""

    path: list[str]
    value: int | float | bool | str


class BaseObject(Model):
    """One object. ``found``: whether any root that agents bring about has it."""

    api_version: str
    kind: str
    namespace: str
    name: str
    found: bool
    values: list[BaseValue]


class BaseAnswer(Model):
    """In the order in which it was asked."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "revision": _REVISION,
                "objects": [{**_OBJECT, "found": True, "values": [{"path": _PATH, "value": "100m"}]}],
            }
        }
    )

    revision: str
    objects: list[BaseObject]


@router.post(
    "/api/v1/agents/{agent_id}/scaling/base",
    summary="Ask what to hand back",
    responses=documented(400, 401, 403, 404, 503),
    response_model_by_alias=True,
)
def ask_base(
    agent: Annotated[Agent, Depends(this_agent)],
    server: HasServer,
    body: Annotated[BaseBody, Body(openapi_examples={"let go": {"value": _EXAMPLE}})],
) -> BaseAnswer:
    """What the cluster's roots build to without Trimtab's overlay at a revision: before a field is let go, its agent writes
    that value, as the field would else fall to a default. Only fields that hold capacity are told, others are a 400.
    """
    asked = [_asked(one, f"fields.{number}") for number, one in enumerate(body.fields)]
    steward, cluster, _ = place_of(server, agent)
    server.heard[agent.id] = server.clock()
    answered = steward.ask(lambda house: base_of(house, cluster, body.revision, asked))
    try:
        found = answered.result(timeout=_PATIENCE_SECONDS)
    except UnknownRevision as error:
        raise NotFound(f"{error.message}: {error.hint}", field="revision") from None
    return BaseAnswer(revision=body.revision, objects=[_shown(one) for one in found])


def _asked(fields: Fields, at: str) -> Asked:
    """:raises BadRequest: when a path is none that Trimtab ever writes."""
    paths = tuple(tuple(path) for path in fields.paths)
    for number, path in enumerate(paths):
        if not is_capacity(path):
            where = f"{at}.paths.{number}"
            raise BadRequest(f"{where}: {'.'.join(path)} holds no capacity, and is not Trimtab's to write", field=where)
    return Asked(fields.api_version, fields.kind, fields.namespace, fields.name, paths)


def _shown(told: Told) -> BaseObject:
    asked: dict[str, Any] = told.asked._asdict()
    asked.pop("paths")
    values = [BaseValue(path=list(path), value=value) for path, value in told.values.items()]
    return BaseObject(**asked, found=told.found, values=values)
