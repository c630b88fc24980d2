"""What is wrong in a config file, said so that a person finds the place: field by field, with line, column and hint."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from reconciler.errors import Stalled
from reconciler.manifests.yaml_reader import KeyPath, Located
from reconciler.model.inventory import Problem
from reconciler.model.window import Window


@dataclass(frozen=True)
class Complaint:
    """One thing that is wrong, at a path of keys from the top of the document."""

    at: KeyPath
    message: str
    hint: str = ""


def complaints(error: ValidationError, value: Any, prefix: KeyPath, *models: type[BaseModel]) -> list[Complaint]:
    """A validation's errors; ``value`` is the whole document, ``prefix`` where in it the validated part stands.

    ``models`` are the ones whose fields are known at ``prefix``: hints for unknown fields come from them.
    """
    return [_complaint(detail, value, prefix, models) for detail in error.errors(include_url=False)]


def _complaint(
    detail: Mapping[str, Any], value: Any, prefix: KeyPath, models: tuple[type[BaseModel], ...]
) -> Complaint:
    kind, loc, message = detail["type"], tuple(detail["loc"]), str(detail["msg"]).removeprefix("Value error, ")
    at = written_path(value, (*prefix, *loc))
    if kind == "extra_forbidden":
        known = [name for model in models for name in _field_names(model, loc[:-1])]
        return Complaint(at, "unknown field", suggestion(str(loc[-1]), known))
    if kind in ("model_type", "dict_type"):
        return Complaint(at, "a mapping is expected here")
    if kind == "value_error":
        return Complaint(_named_in(message, at, value), message)
    return Complaint(at, message)


def written_path(value: Any, loc: Iterable[str | int]) -> KeyPath:
    """``loc`` as far as the document goes that way: steps that only the validation knows are left out."""
    at: list[str | int] = []
    for step in loc:
        if isinstance(value, dict) and isinstance(step, str):
            at.append(step)
            if step not in value:
                break
            value = value[step]
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            at.append(step)
            value = value[step]
    return tuple(at)


def _named_in(message: str, at: KeyPath, value: Any) -> KeyPath:
    """A complaint about a mapping as a whole points at the field that it names first, where that is written."""
    for step in at:
        value = _part(value, step)
    first = message.split(" ", 1)[0]
    return (*at, first) if isinstance(value, dict) and first in value else at


def _part(value: Any, step: str | int) -> Any:
    if isinstance(value, list) and isinstance(step, int):
        return value[step]
    return value.get(step) if isinstance(value, dict) else None


def _field_names(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    annotation: Any = model
    for step in loc:
        if isinstance(step, str):
            annotation = _annotation_of(annotation, step)
    section = _section(annotation)
    return [field.alias or name for name, field in section.model_fields.items()] if section else []


def _annotation_of(annotation: Any, name: str) -> Any:
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    section = _section(annotation)
    fields = section.model_fields.values() if section else ()
    return next((field.annotation for field in fields if field.alias == name), None)


def _section(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section(part))), None)


def suggestion(name: str, known: Iterable[str]) -> str:
    """A hint: the nearest known name, or all of them."""
    names = sorted(set(known))
    near = difflib.get_close_matches(name.lower(), [n.lower() for n in names], n=1)
    if near:
        return f"did you mean {next(n for n in names if n.lower() == near[0])}?"
    return f"known here: {', '.join(names)}" if names else ""


def window_complaints(
    windows: Iterable[tuple[KeyPath, Window]], value: Any, check_window: Callable[[Window], str | None]
) -> list[Complaint]:
    """What ``check_window`` finds wrong with windows, each at its place; an error's text may end in a line with a hint."""
    checked = [(written_path(value, at), check_window(window)) for at, window in windows]
    parted = [(at, text.partition("\n  → ")) for at, text in checked if text]
    return [Complaint(at, message, hint) for at, (message, _, hint) in parted]


def problem(complaint: Complaint, located: Located) -> Problem:
    """A complaint about a file that others can do without."""
    where = located.where(complaint.at)
    return Problem(
        path=where.path,
        line=where.line,
        column=where.column,
        field=where.field,
        message=complaint.message,
        hint=complaint.hint,
    )


def stalled(found: list[Complaint], located: Located) -> Stalled:
    """All complaints about trimtab.yaml in one error, the first one in front."""
    first, *rest = found
    more = [f"\n{located.where(complaint.at)}: {complaint.message}" for complaint in rest]
    hints = dict.fromkeys(complaint.hint for complaint in found if complaint.hint)
    return Stalled(first.message + "".join(more), where=located.where(first.at), hint="; ".join(hints))


def without_nulls(value: Any) -> Any:
    """Fields that are written without a value count as not written, as in Kubernetes."""
    if isinstance(value, dict):
        return {key: without_nulls(part) for key, part in value.items() if part is not None}
    return [without_nulls(part) for part in value] if isinstance(value, list) else value
