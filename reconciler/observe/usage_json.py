"""Usage as push bodies: ``.jsonl`` (one a line) or ``.json`` (one, or a list), each read and checked by itself."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import IO, Any, NoReturn, TextIO

from pydantic import ValidationError

from reconciler.errors import InputError, Where
from reconciler.model.observation import PushBody
from reconciler.observe.usage_batch import FIRST_SECOND, LAST_SECOND, MAX_CORES, MAX_MEMORY_BYTES, RowError, UsageBatch

BATCH_BODIES = 500
MAX_LINE = 32 * 1024 * 1024
MAX_DOCUMENT = 256 * 1024 * 1024

_SPACE = re.compile(r"[ \t\r\n]*")

Parsed = PushBody | list[RowError]


def read_json_lines(stream: TextIO, *, default_cluster: str) -> Iterator[UsageBatch]:
    """One body a line, blank lines left out."""
    return _batched(_line_bodies(stream, default_cluster))


def read_json_document(stream: IO[str], *, path: str, default_cluster: str) -> Iterator[UsageBatch]:
    """One body, or a list of bodies. The whole text is held in memory, the bodies are not.

    :raises InputError: when it is over 256 MiB, or no JSON from some point on: what follows cannot be found then.
    """
    text = stream.read(MAX_DOCUMENT + 1)
    if len(text) > MAX_DOCUMENT:
        raise InputError(
            "over 256 MiB of JSON in one document", where=Where(path), hint="write one body a line, as .jsonl"
        )
    return _batched(_document_bodies(text, path, default_cluster))


def _batched(parsed: Iterator[Parsed]) -> Iterator[UsageBatch]:
    bodies: list[PushBody] = []
    errors: list[RowError] = []
    rows = 0
    for item in parsed:
        rows += 1
        if isinstance(item, PushBody):
            bodies.append(item)
        else:
            errors += item
        if rows >= BATCH_BODIES:
            yield UsageBatch(bodies=tuple(bodies), errors=tuple(errors), rows=rows)
            bodies, errors, rows = [], [], 0
    if rows:
        yield UsageBatch(bodies=tuple(bodies), errors=tuple(errors), rows=rows)


def _line_bodies(stream: TextIO, default_cluster: str) -> Iterator[Parsed]:
    number = 0
    while line := stream.readline(MAX_LINE):
        number += 1
        if len(line) >= MAX_LINE and not line.endswith("\n"):
            yield [RowError(number, "", "the line is over 32 MiB")]
            while (rest := stream.readline(MAX_LINE)) and not rest.endswith("\n"):
                pass
            continue
        if not line.strip():
            continue
        try:
            value = _DECODER.decode(line)
        except (ValueError, RecursionError) as error:
            yield [RowError(number, "", f"not JSON: {_reason(error)}")]
            continue
        yield _body(value, line, (0, len(line)), number, default_cluster)


def _document_bodies(text: str, path: str, default_cluster: str) -> Iterator[Parsed]:
    position = _skip(text, 0)
    if not text.startswith("[", position):
        value, end = _decode(text, position, path)
        _expect_end(text, end, path)
        yield _body(value, text, (position, end), _line(text, position), default_cluster)
        return
    line, counted = _line(text, position), position
    position = _skip(text, position + 1)
    while not text.startswith("]", position):
        value, end = _decode(text, position, path)
        line, counted = line + text.count("\n", counted, position), position
        yield _body(value, text, (position, end), line, default_cluster)
        position = _skip(text, end)
        if text.startswith(",", position):
            position = _skip(text, position + 1)
            if not text.startswith("]", position):
                continue
        elif text.startswith("]", position):
            continue
        raise _not_json(text, position, path, "expected a body, a comma or the end of the list")
    _expect_end(text, position + 1, path)


def _body(value: Any, text: str, span: tuple[int, int], line: int, default_cluster: str) -> Parsed:
    """A checked body, or what is wrong with it; the line of each field is looked for only then."""
    start, end = span
    if not isinstance(value, dict):
        return [RowError(line, "", "not a push body: a JSON object with a timestamp")]
    if not _is_unicode(value, text[start:end]):
        return [RowError(line, "", "holds text that is not Unicode")]
    try:
        body = PushBody.model_validate(value)
    except ValidationError as error:
        return [
            RowError(
                line + text.count("\n", start, locate(text, start, problem["loc"])),
                ".".join(str(step) for step in problem["loc"]),
                problem["msg"],
            )
            for problem in error.errors(include_url=False, include_context=False, include_input=False)
        ]
    wrong = _implausible(body, default_cluster)
    if wrong:
        return [replace(error, line=line + _lines_to(text, start, error.field)) for error in wrong]
    return body if body.cluster else body.model_copy(update={"cluster": default_cluster})


def _is_unicode(value: Any, text: str) -> bool:
    """JSON can escape, and bytes that are no UTF-8 are read as, half a character: no database takes one."""
    if text.isascii() and "\\u" not in text:
        return True
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _implausible(body: PushBody, default_cluster: str) -> list[RowError]:
    """What the model's types let through. Lines are left at 0."""
    errors: list[RowError] = []
    if body.timestamp.tzinfo is None:
        errors.append(RowError(0, "timestamp", "has no offset from UTC; end it with Z"))
    elif not FIRST_SECOND <= body.timestamp.timestamp() < LAST_SECOND:
        errors.append(RowError(0, "timestamp", "is not between the years 2000 and 2200"))
    if not (body.cluster or default_cluster):
        errors.append(RowError(0, "cluster", "is missing, and no --cluster was given"))
    for i, pod in enumerate(body.pods):
        for j, container in enumerate(pod.containers):
            place = f"pods.{i}.containers.{j}"
            if (container.cpu_millicores or 0) > MAX_CORES * 1000:
                errors.append(RowError(0, f"{place}.cpuMillicores", "is more than any container uses"))
            if (container.memory_mb or 0) > MAX_MEMORY_BYTES / 1e6:
                errors.append(RowError(0, f"{place}.memoryMB", "is more than any container uses"))
    return errors


def _lines_to(text: str, start: int, field: str) -> int:
    steps = tuple(int(step) if step.isdigit() else step for step in field.split("."))
    return text.count("\n", start, locate(text, start, steps))


def locate(text: str, start: int, path: tuple[int | str, ...]) -> int:
    """The position of the value at ``path`` inside the JSON value that begins at ``start``, or of the nearest parent
    that is there. ``text`` must have been decoded before without an error."""
    position = start
    for step in path:
        found = _member(text, position, step)
        if found is None:
            break
        position = found
    return position


def _member(text: str, position: int, step: int | str) -> int | None:
    opening = text[position]
    if opening != ("[" if isinstance(step, int) else "{"):
        return None
    position = _skip(text, position + 1)
    item = 0
    while text[position] not in "]}":
        key: int | str = item
        if opening == "{":
            key, end = _DECODER.raw_decode(text, position)
            position = _skip(text, _skip(text, end) + 1)
        if key == step:
            return position
        position = _skip(text, _DECODER.raw_decode(text, position)[1])
        if text[position] == ",":
            position = _skip(text, position + 1)
        item += 1
    return None


def _decode(text: str, position: int, path: str) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, position)
    except json.JSONDecodeError as error:
        raise _not_json(text, error.pos, path, error.msg) from error
    except (ValueError, RecursionError) as error:
        raise _not_json(text, position, path, _reason(error)) from error


def _expect_end(text: str, position: int, path: str) -> None:
    position = _skip(text, position)
    if position < len(text):
        hint = "one body a line is what .jsonl is for"
        raise _not_json(text, position, path, "there is more after the end", hint=hint)


def _not_json(text: str, position: int, path: str, message: str, *, hint: str = "") -> InputError:
    column = position - text.rfind("\n", 0, position)
    return InputError(f"not JSON: {message}", where=Where(path, _line(text, position), column), hint=hint)


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None
    return match.end()


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits} is too large a number")
    return value


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
