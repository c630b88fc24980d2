"""The OpenAPI document: what FastAPI finds, with the errors and the credentials as they really are.

FastAPI documents its own 422; here validation is 400. What every route may answer (413, 429, 500, and 401 and 403
where credentials are needed) is written here once, so that a route documents only what is its own.
"""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.errors import REQUEST_ID, ErrorBody, documented

DESCRIPTION = """\
Trimtab writes every scaling, right-sizing and turndown decision as a commit in a Git repository.

Send an API key as `X-API-Key` or as `Authorization: Bearer`; a user's token as `Authorization: Bearer`. Agents register
with a key, and use the token that they are given for their own routes. Errors say what is wrong, the field that it is
about, and the id under which the server's log has more.
"""
TAGS = [
    {"name": "Scaling", "description": "Policies, the decision log, rollback."},
    {"name": "Agents", "description": "Register, push, poll for commands, pull the desired state, report on it."},
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
    "agent": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The token that an agent is given when it registers, for its own routes, for an hour.",
    },
}
_ID_HEADER = "#/components/headers/RequestId"


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
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["ErrorBody"] = ErrorBody.model_json_schema()
    components["securitySchemes"] = _SCHEMES
    components["headers"] = {"RequestId": {"description": "The request's id.", "schema": {"type": "string"}}}
    for operation in _operations(made):
        operation["tags"] = [tag.capitalize() for tag in operation.get("tags", [])]
        _secure(operation)
        _answers(operation)
    return made


def _operations(made: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in made.get("paths", {}).values():
        yield from path.values()


def _secure(operation: dict[str, Any]) -> None:
    """From ``needs scaling:write`` to the two ways of sending a key, with the scope; OpenAPI 3.1 lets it be named so."""
    names = [name for entry in operation.get("security", []) for name in entry]
    needed = [name.removeprefix("needs ") for name in names if name.startswith("needs ")]
    if needed:
        operation["security"] = [{"bearer": needed}, {"apiKey": needed}]
        operation["description"] = f"{operation.get('description', '')}\n\nNeeds the scope `{needed[0]}`.".strip()


def _answers(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    wanted = {500}
    if responses.pop("422", None) is not None:
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


def _entry(found: dict[str, Any]) -> dict[str, Any]:
    """A response of :func:`~api.errors.documented` as the document spells it."""
    media = {"schema": {"$ref": "#/components/schemas/ErrorBody"}, **found["content"]["application/json"]}
    return {key: value for key, value in found.items() if key != "model"} | {"content": {"application/json": media}}
