"""What a YAML scalar means, as the Kubernetes tools read it; and how one is written.

kubectl, Helm and the API server read YAML 1.1 through sigs.k8s.io/yaml and go-yaml v2 (``resolve.go``): ``yes`` and
``on`` are booleans, ``010`` is 8, ``1_000`` is 1000; ``1:30`` and dates stay text. A test holds this table to kubectl.
"""

import base64
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

STANDARD_TAG: Final = "tag:yaml.org,2002:"

MERGE: Final = object()
"""Stands for the merge key ``<<`` among mapping keys."""

_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
}
_INTEGER: Final = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
_BASES: Final = (16, 2, 8, 10)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_LONGEST_INTEGER: Final = 70
_SAFE: Final = re.compile(r"(?!(?:-|---|\.\.\.)(?: |$))[\w./+~-](?:[\w./+%@=~*-]|:(?=[\w/])| (?=[\w./*-]))*")
"""Text that needs no quotes anywhere, also inside of a flow mapping."""


@lru_cache(maxsize=1 << 14)
def plain_value(text: str) -> str | int | float | bool | None:
    """What an unquoted scalar means.

    Integers beyond 64 bits become floats; what no JSON number can hold (``.inf``, ``1e400``) stays text.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    digits = text.replace("_", "")
    integer = _integer(digits)
    if integer is not None:
        return integer
    if _FLOAT.fullmatch(digits):
        real = float(digits)
        if real not in (float("inf"), float("-inf")):
            return real
    return text


def _integer(digits: str) -> int | None:
    match = _INTEGER.fullmatch(digits) if len(digits) <= _LONGEST_INTEGER else None
    if match is None:
        return None
    sign, *spellings = match.groups()
    size = next(int(spelling, base) for spelling, base in zip(spellings, _BASES, strict=True) if spelling is not None)
    number = -size if sign == "-" else size
    return number if -(1 << 63) <= number < 1 << 64 else None


@lru_cache(maxsize=1 << 14)
def plain_key(text: str) -> str | object | None:
    """What an unquoted mapping key is in JSON: text; :data:`MERGE` for ``<<``; None for a null key, which JSON has not."""
    return MERGE if text == "<<" else json_key(plain_value(text))


def json_key(value: Any) -> str | None:
    """A scalar as a JSON key: ``8080`` → ``"8080"``, ``yes`` → ``"true"``; None for null."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    return None if value is None else str(value)


def tagged_value(tag: str, text: str) -> Any:
    """The value of a scalar with an explicit standard tag.

    :raises ValueError: when the tag is no standard one, or the text is nothing of that type.
    """
    name = tag.removeprefix(STANDARD_TAG) if tag.startswith(STANDARD_TAG) else ""
    if name in ("str", "timestamp"):
        return text
    if name == "binary":
        return base64.b64decode(text).decode()
    value = plain_value(text)
    if name == "float" and type(value) is int:
        return float(value)
    if name == {bool: "bool", int: "int", float: "float", type(None): "null"}.get(type(value)):
        return value
    raise ValueError(f"{text!r} with the tag {tag}")


@dataclass(frozen=True, slots=True)
class Written:
    """A scalar's text as it goes into a file, and the value that it is read as."""

    text: str
    value: str | int | float | bool | None


def write_plain(text: str) -> Written | None:
    """``text`` without quotes, None where it needs them."""
    return Written(text, plain_value(text)) if _SAFE.fullmatch(text) else None


def write_quoted(text: str, style: str = '"') -> Written:
    """``text`` in quotes of this style; in double ones where single ones cannot hold it."""
    if style == "'" and text.isprintable():
        return Written("'" + text.replace("'", "''") + "'", text)
    return Written('"' + "".join(_escaped(character) for character in text) + '"', text)


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
