"""What the strict readers of Trimtab's own kinds have in common: each thing that is odd is told with its line and field."""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from reconciler.errors import InputError
from reconciler.manifests.machine_forms import POLICY_ANNOTATION
from reconciler.manifests.yaml_reader import KeyPath, Located

POLICY_FIELD: Final = f"metadata/annotations/{POLICY_ANNOTATION.replace('/', '~1')}"
"""The field that says which policy a file was made for."""

LONGEST_TEXT: Final = 500

_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]")


def mapping(located: Located, at: KeyPath, keys: Collection[str] | None) -> dict[str, Any]:
    """The mapping at ``at``, which has none but ``keys``.

    :raises InputError: when it is none, or has another key.
    """
    value = located.value
    for step in at:
        value = value.get(step)
    if not isinstance(value, dict):
        raise odd(located, at, "should be a mapping")
    for key in value:
        if keys is not None and key not in keys:
            raise odd(located, (*at, key), "unknown field", f"there are {', '.join(keys)}")
    return value


def kind_of(located: Located, api_version: str, kind: str) -> None:
    """:raises InputError: when the file is of another kind, or has other fields than an object has."""
    top = mapping(located, (), ("apiVersion", "kind", "metadata", "spec"))
    for field, wanted in (("apiVersion", api_version), ("kind", kind)):
        if top.get(field) != wanted:
            raise odd(located, (field,), f"should be {wanted}")


def same(located: Located, at: KeyPath, value: object, wanted: str, what: str) -> None:
    """:raises InputError: when a name in the file is not that of its path."""
    if value != wanted and str(value) == wanted:
        raise odd(located, at, f"should be the text '{wanted}'", "put it in quotes")
    if value != wanted:
        raise odd(
            located, at, f"should be {wanted}, as {what} is" if value is None else f"{value!r} is not {what}, {wanted}"
        )


def whole_number(located: Located, at: KeyPath, value: object, *, least: int, most: int, of: str) -> int:
    """:raises InputError: when ``value`` is no number of ``of`` within the bounds."""
    if type(value) is not int or not least <= value <= most:
        given = "is missing" if value is None else f"{value!r} is not a number of {of}"
        raise odd(located, at, given, f"a whole number from {least} to {most}, without quotes")
    return value


def text(located: Located, at: KeyPath, value: object) -> str:
    """A name without spaces; empty where there is none. :raises InputError: for anything else."""
    if value is None:
        return ""
    if not isinstance(value, str) or not value or not is_plain(value):
        raise odd(located, at, f"{value!r} is no name", f"text without spaces, at most {LONGEST_TEXT} characters")
    return value


def is_plain(value: str) -> bool:
    """Whether a text may stand in a file: short, and nothing in it that cannot be seen."""
    return len(value) <= LONGEST_TEXT and not _UNPRINTABLE.search(value)


def policy_of(located: Located, metadata: Mapping[str, Any]) -> str:
    """The id of the policy that a file was made for. :raises InputError: for labels or annotations that are no text."""
    for field in ("labels", "annotations"):
        for name, value in mapping(located, ("metadata", field), None).items() if metadata.get(field) else ():
            if not isinstance(value, str):
                raise odd(located, ("metadata", field, name), "should be text", "put it in quotes")
    annotations = metadata.get("annotations") or {}
    return str(annotations.get(POLICY_ANNOTATION, ""))


def odd(located: Located, at: KeyPath, message: str, hint: str = "") -> InputError:
    """The error that points at a field."""
    return InputError(message, where=located.where(at), hint=hint)
