"""From what pydantic found wrong with a request to one sentence that names the field as the client spells it."""

from collections.abc import Mapping, Sequence
from typing import Any

from api.errors import Problem

_WHOLE_BODY = frozenset({"missing", "model_attributes_type", "model_type", "dict_type", "list_type"})
_LONGEST_FIELD = 200


def problem_of(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """400 about the first error; how many more there are is said, too.

    ``errors`` are pydantic's, each with ``type``, ``loc`` (first where: body, query, path, header), ``msg`` and ``ctx``.
    """
    first = errors[0]
    field = ".".join(str(part) for part in first["loc"][1:])[:_LONGEST_FIELD]
    if first["type"] == "json_invalid":
        at = first["loc"][-1]
        return Problem(400, f"the body is not valid JSON: {first['ctx']['error']} (at character {at})")
    if not field and first["type"] in _WHOLE_BODY:
        return Problem(400, "a JSON body is needed, sent with Content-Type: application/json")
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    sentence = _sentence(first)
    return Problem(400, f"{field}: {sentence}{more}" if field else f"{sentence}{more}", field or None)


def _sentence(error: Mapping[str, Any]) -> str:
    """Pydantic's message as a requirement: ``must be a valid integer``."""
    if error["type"] == "missing":
        return "is needed"
    if error["type"] == "extra_forbidden":
        return "is not a field of this request"
    if error["type"] == "string_unicode":
        return "a text in the body is no Unicode: it holds half of a surrogate pair"
    message = str(error["msg"])
    for start, instead in (("Value error, ", ""), ("Input should ", "must "), ("Assertion failed, ", "")):
        if message.startswith(start):
            return instead + message.removeprefix(start)
    return message[:1].lower() + message[1:]
