"""The OpenAPI document: what FastAPI finds, with the errors and the credentials as they really are.

FastAPI documents its own 422; here validation is 400. What every route may answer (413, 429, 500, 401 and 403 where
credentials are needed, 402 where a licence is) is written here once, so that a route documents only what is its own. Each
family's errors are shown in its own shape: a route says ``responses=documented(400, 404)``, whichever family it is of.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.actions.licensed import SCHEME
from api.auth import BY_BEARER, OR_BY_QUERY, QUERY_KEY
from api.errors import BODIES, REQUEST_ID, ErrorBody, Problem, Shape, documented, plain_shape, shape_of

DESCRIPTION = """\
Trimtab writes every scaling, right-sizing and turndown decision as a commit in a Git repository.

Send an API key as `X-API-Key` or as `Authorization: Bearer` (Recommendations: as Bearer only); a user's token as
`Authorization: Bearer`; the LXC API takes a key as `?api_key=`, too. Agents register with a key, and use the token that they are given for their own routes. Errors say
what is wrong, the field that it is about, and the id under which the server's log has more.
"""
TAGS = [
    {"name": "Scaling", "description": "Policies, the decision log, rollback."},
    {"name": "Agents", "description": "Register, push, poll for commands, pull the desired state, report on it."},
    {
        "name": "Actions",
        "description": "Right-sizing, quota and turndown jobs: their configs, their runs, what has become of each action. "
        "Where a licence is set, 402 says that it has expired or does not reach.",
    },
    {
        "name": "Recommendations",
        "description": "What right-sizing would change, what it saves, and what has become of it.",
    },
    {
        "name": "LXC",
        "description": "Containers of Proxmox VE: cores, memory and disk, each change a commit first; snapshots and clones.",
    },
    {"name": "Changes", "description": "Changes on their way to Git: look at them, approve or reject them."},
    {"name": "Status", "description": "Fleet repos, what is held and why, when windows are open."},
    {"name": "Operations", "description": "Health and metrics, for whoever runs the server."},
]
_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key (`tt_live_…`), or a user's JWT with the claims `org_id`, `scope`, `sub` and `exp`.",
    },
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key (`tt_live_…`)."},
    "apiKeyQuery": {
        "type": "apiKey",
        "in": "query",
        "name": QUERY_KEY,
        "description": "The same, of the LXC API only.",
    },
    "agent": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The token that an agent is given when it registers, for its own routes, for an hour.",
    },
}
_ID_HEADER = "#/components/headers/RequestId"
_SCHEMA_PREFIX = "#/components/schemas/"
_PLAIN = {"$ref": f"{_SCHEMA_PREFIX}{ErrorBody.__name__}"}
_FRAMEWORKS = ("HTTPValidationError", "ValidationError")
_RATE, _WAIT = (120, 60), {"Retry-After": "45"}
_EXAMPLE_AT = datetime(2026, 5, 21, 10, 30, tzinfo=UTC)


def install(app: FastAPI) -> None:
    """Have the application serve this document."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's own way to change the document


def document(app: FastAPI) -> dict[str, Any]:
    """The document of an application's routes."""
    made = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes, tags=TAGS)
    components = made.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in _FRAMEWORKS:
        schemas.pop(name, None)
    components["securitySchemes"] = _SCHEMES
    components["headers"] = {"RequestId": {"description": "The request's id.", "schema": {"type": "string"}}}
    for path, operation in _operations(made):
        operation["tags"] = [tag if tag.isupper() else tag.capitalize() for tag in operation.get("tags", [])]
        paid = _is_paid(operation)
        _secure(operation)
        _answers(operation, paid=paid)
        _shape(operation, shape_of(path), schemas)
    return made


def _operations(made: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in made.get("paths", {}).items():
        for operation in methods.values():
            yield path, operation


def _is_paid(operation: dict[str, Any]) -> bool:
    """Whether a licence is asked for, which is no way to say who one is."""
    entries = operation.get("security", [])
    kept = [entry for entry in entries if SCHEME not in entry]
    if len(kept) == len(entries):
        return False
    operation["security"] = kept
    if not kept:
        del operation["security"]
    return True


def _secure(operation: dict[str, Any]) -> None:
    """From ``needs scaling:write`` to the ways of sending a key, with the scope; OpenAPI 3.1 lets it be named so."""
    names = [name for entry in operation.get("security", []) for name in entry]
    found = [name.removeprefix("needs ") for name in names if name.startswith("needs ")]
    needed = [name.removesuffix(BY_BEARER).removesuffix(OR_BY_QUERY) for name in found]
    if needed:
        ways = ["bearer"] if found[0].endswith(BY_BEARER) else ["bearer", "apiKey"]
        ways += ["apiKeyQuery"] if found[0].endswith(OR_BY_QUERY) else []
        operation["security"] = [{way: needed} for way in ways]
        operation["description"] = f"{operation.get('description', '')}\n\nNeeds the scope `{needed[0]}`.".strip()


def _answers(operation: dict[str, Any], *, paid: bool) -> None:
    responses = operation["responses"]
    wanted = {500, 402} if paid else {500}
    if _is_frameworks(responses.get("422")):
        del responses["422"]
        wanted.add(400)
    if operation.get("security"):
        wanted |= {400, 401, 403, 429}
    if "requestBody" in operation:
        wanted |= {400, 413}
    for status, entry in documented(*sorted(wanted)).items():
        responses.setdefault(str(status), _entry(entry))
    for response in responses.values():
        response.setdefault("headers", {})[REQUEST_ID] = {"$ref": _ID_HEADER}
    operation["responses"] = dict(sorted(responses.items()))


def _is_frameworks(response: dict[str, Any] | None) -> bool:
    """Whether this is the 422 that FastAPI documents of its own accord, not one that a route has documented."""
    return response is not None and _FRAMEWORKS[0] in str(response)


def _entry(found: dict[str, Any]) -> dict[str, Any]:
    """A response of :func:`~api.errors.documented` as the document spells it."""
    media = {"schema": _PLAIN, **found["content"]["application/json"]}
    return {key: value for key, value in found.items() if key != "model"} | {"content": {"application/json": media}}


def _shape(operation: dict[str, Any], shape: Shape, schemas: dict[str, Any]) -> None:
    """Have the errors of an operation look as its family's do, examples too."""
    body = BODIES.get(shape, ErrorBody)
    schema = body.model_json_schema(ref_template=f"{_SCHEMA_PREFIX}{{model}}")
    schemas |= schema.pop("$defs", {}) | {body.__name__: schema}
    for status, response in operation["responses"].items():
        media = response.get("content", {}).get("application/json", {})
        if shape is plain_shape or media.get("schema") != _PLAIN:
            continue
        plain = media["example"]
        problem = Problem(int(status), plain["error"], plain.get("field"), _WAIT if status == "429" else {}, rate=_RATE)
        example = shape(problem, plain["requestId"], _EXAMPLE_AT)
        response["content"] = {
            "application/json": {"schema": {"$ref": f"{_SCHEMA_PREFIX}{body.__name__}"}, "example": example}
        }
