"""How the API server double says no: Status objects in upstream's words (``apimachinery/pkg/api/errors``)."""

import json
from collections.abc import Iterable
from typing import Final

from support.kube_double_fields import Conflicting
from support.kube_double_kinds import Json, Resource, Wrong
from support.kube_double_types import spelled

REASONS: Final = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class Refused(Exception):
    """An answer of 400 and above, as a Status object."""

    def __init__(
        self, code: int, message: str, *, reason: str | None = None, details: Json | None = None, retry_after: int = 0
    ) -> None:
        self.code, self.message, self.retry_after = code, message, retry_after
        self.reason = REASONS.get(code, "") if reason is None else reason
        self.details = details or {}
        super().__init__(message)

    def status(self) -> Json:
        said: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        said |= {"message": self.message, "code": self.code}
        return (
            said
            | ({"reason": self.reason} if self.reason else {})
            | ({"details": self.details} if self.details else {})
        )


EXPIRED: Final = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results."
)


def not_found(resource: Resource, name: str) -> Refused:
    return Refused(404, f'{resource.resource_name} "{name}" not found', details=about(resource, name))


def about(resource: Resource, name: str) -> Json:
    return {"name": name, "kind": resource.plural} | ({"group": resource.group} if resource.group else {})


def invalid(resource: Resource, name: str, wrong: Iterable[Wrong]) -> Refused:
    causes = [{"reason": each.reason, "message": each.message, "field": each.field} for each in wrong]
    said = [f"{each['field']}: {each['message']}" for each in causes]
    listed = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    about = {"name": name, "kind": resource.kind, "causes": causes} | (
        {"group": resource.group} if resource.group else {}
    )
    return Refused(422, f'{resource.kind_name} "{name}" is invalid: {listed}', details=about)


def precondition(resource: Resource, name: str, wanted: str, is_: str) -> Refused:
    said = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {is_}"
    message = f'Operation cannot be fulfilled on {resource.resource_name} "{name}": {said}'
    return Refused(409, message, details=about(resource, name))


def conflict(conflicting: Conflicting) -> Refused:
    """``managedfields/internal/conflict.go``."""
    by_manager: dict[str, list[str]] = {}
    for manager, paths in conflicting.conflicts.items():
        who = json.dumps(manager.name)
        if manager.subresource:
            who += f" with subresource {json.dumps(manager.subresource)}"
        if manager.operation == "Update":
            who += f" using {manager.api_version}"
        by_manager.setdefault(who, []).extend(spelled(path) for path in sorted(paths))
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": path}
        for who, paths in sorted(by_manager.items())
        for path in paths
    ]
    if len(causes) == 1:
        said = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        lines = [line for who, paths in sorted(by_manager.items()) for line in (f"conflicts with {who}:", *(f"- {path}" for path in paths))]  # fmt: skip
        said = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    return Refused(409, said, details={"causes": causes})
