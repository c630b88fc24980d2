"""YAML → plain values, safely and fast; and with the place of each field where a person needs it.

:func:`load_all` is the hot path: it builds values straight from libyaml's events, in a loop and not by recursion, so
that hostile nesting cannot exhaust the stack. :func:`load_config` adds ruamel.yaml's positions to the same values.

What a scalar means is told by :mod:`reconciler.manifests.yaml_scalars`. Keys are text, as in JSON (``80:`` → ``"80"``).
"""

import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError as RuamelError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from yaml import MarkedYAMLError
from yaml._yaml import CParser
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from yaml.reader import ReaderError

from reconciler.errors import InputError, Where
from reconciler.manifests.yaml_scalars import MERGE, STANDARD_TAG, json_key, plain_key, plain_value, tagged_value

MAX_BYTES = 5 * 1024 * 1024
MAX_ALIASES = 100
MAX_NESTING = 100
MAX_ALIASED_NODES = 100_000
"""How many nodes all aliases of a file may stand for together: nine lists of nine aliases each would be millions."""

KeyPath = tuple[str | int, ...]

_NO_KEY: Final = object()


@dataclass(slots=True)
class Document:
    """One document of a file. ``index`` counts from 0, blank ones included; ``line`` (from 1) is where its content starts."""

    index: int
    line: int
    value: Any


@dataclass(slots=True)
class Located:
    """A document in which each field knows its place, found when it is first asked for."""

    value: Any
    path: str
    index: int
    line: int
    places: "_Places" = field(repr=False, compare=False)

    def where(self, key_path: KeyPath) -> Where:
        """The place of a field (its key; an item itself), or of the nearest parent that is written there."""
        places = self.places.of(self.index)
        for length in range(len(key_path), -1, -1):
            place = places.get(key_path[:length])
            if place:
                return Where(self.path, *place, field=field_text(key_path))
        return Where(self.path, self.line, field=field_text(key_path))


def field_text(key_path: KeyPath) -> str:
    """``("spec", "roots", 0)`` → ``spec.roots[0]``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in key_path).removeprefix(".")


# --- events → values ------------------------------------------------------------------------------------------------


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


class _Reader:
    """Builds the documents of one file. What is rare (anchors, aliases, tags, merge keys) is kept out of the loop."""

    __slots__ = ("aliased", "aliases", "anchors", "merging", "parser", "path", "sizes", "stack")

    def __init__(self, text: bytes, path: str) -> None:
        self.parser = CParser(text)
        self.path = path
        self.aliases = 0
        self.aliased = 0
        self._begin()

    def _begin(self) -> None:
        self.anchors: dict[str, Any] = {}
        self.merging: list[tuple[dict[Any, Any], Event]] = []
        self.sizes: dict[int, tuple[int, int]] = {}
        self.stack: list[tuple[Any, bool]] = []

    def documents(self) -> Iterator[Document]:
        next_event, index = self.parser.get_event, -1
        while True:
            event = next_event()
            if type(event) is DocumentStartEvent:
                index += 1
                self._begin()
                line = _line(self.parser.peek_event())
                value = self._value()
                for mapping, merge_key in self.merging:
                    self._merge(mapping, merge_key)
                if value is not None:
                    yield Document(index, line, value)
            elif type(event) is StreamEndEvent:
                return

    def _value(self) -> Any:  # noqa: PLR0912 - the hot loop: a call for each kind of event would double its time
        """The value of one document. ``current`` is the open collection; ``key`` waits for its value."""
        next_event, stack = self.parser.get_event, self.stack
        root: list[Any] = []
        current: Any = root
        in_mapping = False
        key: Any = _NO_KEY
        event: Any
        value: Any
        while True:
            event = next_event()
            kind = type(event)
            if kind is ScalarEvent:
                value = event.value
                if event.implicit[0]:
                    value = plain_key(value) if in_mapping and key is _NO_KEY else plain_value(value)
                elif event.tag is not None:
                    value = self._tagged(event)
                if event.anchor is not None:
                    self.anchors[event.anchor] = event.value if value is MERGE else value
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                current, in_mapping = stack.pop()
                key = _NO_KEY
                continue
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                value = {} if kind is MappingStartEvent else []
                if event.anchor is not None or event.tag is not None or len(stack) >= MAX_NESTING:
                    self._open(event, value)
                if not in_mapping:
                    current.append(value)
                elif key is _NO_KEY:
                    self._fail("a list or mapping cannot be a key", event)
                else:
                    current[key] = value
                    key = _NO_KEY
                stack.append((current, in_mapping))
                current, in_mapping = value, kind is MappingStartEvent
                continue
            elif kind is AliasEvent:
                value = self._alias(event, current)
            elif kind is DocumentEndEvent:
                return root[0]
            if not in_mapping:
                current.append(value)
            elif key is _NO_KEY:
                key = value if type(value) is str else self._odd_key(value, event, current)
                if key in current:
                    self._fail(f"duplicate key {'<<' if key is MERGE else key!r}", event, "keep one of the two")
            else:
                current[key] = value
                key = _NO_KEY

    def _fail(self, message: str, event: Any, hint: str = "") -> NoReturn:
        mark = event.start_mark
        raise InputError(message, where=Where(self.path, mark.line + 1, mark.column + 1), hint=hint)

    def _odd_key(self, value: Any, event: Any, current: dict[Any, Any]) -> Any:
        if value is MERGE:
            self.merging.append((current, event))
            return MERGE
        key = None if isinstance(value, dict | list) else json_key(value)
        if key is None:
            self._fail("a key must be text, a number or a boolean", event)
        return key

    def _tagged(self, event: Any) -> Any:
        try:
            return tagged_value(event.tag, event.value)
        except (ValueError, binascii.Error):
            shown = event.tag.replace(STANDARD_TAG, "!!")
            self._fail(f"the tag {shown} cannot be used on {event.value!r}", event, "leave the tag out")

    def _open(self, event: Any, value: Any) -> None:
        if len(self.stack) >= MAX_NESTING:
            self._fail(f"nested deeper than {MAX_NESTING} levels", event)
        if event.tag not in (None, "!", STANDARD_TAG + ("map" if isinstance(value, dict) else "seq")):
            self._fail(f"the tag {event.tag.replace(STANDARD_TAG, '!!')} is not supported", event, "leave the tag out")
        if event.anchor is not None:
            self.anchors[event.anchor] = value

    def _alias(self, event: Any, innermost: Any) -> Any:
        if event.anchor not in self.anchors:
            self._fail(f"unknown alias *{event.anchor}", event, f"no &{event.anchor} stands before it in this document")
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            self._fail(f"more than {MAX_ALIASES} aliases in one file", event)
        value = self.anchors[event.anchor]
        if value is innermost or any(value is collection for collection, _ in self.stack):
            self._fail(f"the alias *{event.anchor} stands inside of what it names", event)
        nodes, height = self._size(value)
        self.aliased += nodes
        if self.aliased > MAX_ALIASED_NODES:
            self._fail(f"the aliases of this file stand for more than {MAX_ALIASED_NODES} values", event)
        if height + len(self.stack) > MAX_NESTING:
            self._fail(f"nested deeper than {MAX_NESTING} levels through the alias *{event.anchor}", event)
        return value

    def _size(self, value: Any) -> tuple[int, int]:
        """Nodes and height of an anchored value that is complete; each collection is counted once and remembered."""
        if not isinstance(value, dict | list):
            return 1, 0
        known = self.sizes.get(id(value))
        if known is None:
            parts = [self._size(part) for part in (value.values() if isinstance(value, dict) else value)]
            known = 1 + sum(nodes for nodes, _ in parts), 1 + max((height for _, height in parts), default=0)
            self.sizes[id(value)] = known
        return known

    def _merge(self, mapping: dict[Any, Any], merge_key: Any) -> None:
        """Put what ``<<`` names into ``mapping``: its own keys win, then the first of several merged mappings."""
        merged = mapping.pop(MERGE, _NO_KEY)
        if merged is _NO_KEY:
            return
        for source in merged if isinstance(merged, list) else [merged]:
            if not isinstance(source, dict):
                self._fail("<< takes a mapping, or a list of mappings", merge_key)
            self._merge(source, merge_key)
            for key, value in source.items():
                mapping.setdefault(key, value)


def load_all(text: bytes, *, path: str) -> list[Document]:
    """Every document of a file that is not blank, as plain ``dict``, ``list``, ``str``, ``int``, ``float``, ``bool``, None.

    Values that are written once and used by aliases are shared: callers must not change them in place.

    :raises InputError: with path, line and column, when the text is not YAML in UTF-8, or holds duplicate keys, tags
        other than the standard ones, or more than the limits above.
    """
    _refuse_bytes(text, path)
    try:
        return list(_Reader(text, path).documents())
    except ReaderError as error:
        raise _unreadable(error, text, path) from None
    except MarkedYAMLError as error:
        raise syntax_error(error, path) from None


def _refuse_bytes(text: bytes, path: str) -> None:
    if len(text) > MAX_BYTES:
        raise InputError(f"the file has {len(text)} bytes, more than {MAX_BYTES}", where=Where(path))
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError("the file is in UTF-16", where=Where(path, 1, 1), hint="save it as UTF-8")


def _unreadable(error: ReaderError, text: bytes, path: str) -> InputError:
    before = text[: max(error.position, 0)]
    column = len(before.rpartition(b"\n")[2].decode(errors="replace")) + 1
    return InputError(
        f"not readable text: {error.reason}",
        where=Where(path, before.count(b"\n") + 1, column),
        hint="YAML is UTF-8 without control characters",
    )


def syntax_error(error: MarkedYAMLError, path: str) -> InputError:
    """A parser's complaint as an :class:`InputError` at its place."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "context", None) or str(error)
    where = Where(path, mark.line + 1, mark.column + 1) if mark else Where(path)
    hint = "indent with spaces, not tabs" if "cannot start any token" in problem else ""
    return InputError(f"not valid YAML: {problem}", where=where, hint=hint)


# --- with places ----------------------------------------------------------------------------------------------------


def load_config(text: bytes, *, path: str) -> Located:
    """The one document of a file, each field with its place.

    :raises InputError: as :func:`load_all`, and when there is no document or more than one.
    """
    documents = load_configs(text, path=path)
    if not documents:
        raise InputError("the file is empty", where=Where(path))
    if len(documents) > 1:
        second = documents[1].where(())
        raise InputError("more than one document in the file", where=second, hint="keep only one")
    return documents[0]


def load_configs(text: bytes, *, path: str) -> list[Located]:
    """Every document that is not blank, each field with its place. :raises InputError: as :func:`load_all`.

    Values come from the fast reader; ruamel.yaml is asked for places only, and only for a text within the limits.
    """
    places = _Places(text)
    return [Located(d.value, path, d.index, d.line, places) for d in load_all(text, path=path)]


class _Places:
    """Line and column of every field of a file, by document; made at the first question, which costs milliseconds."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._found: list[dict[KeyPath, tuple[int, int]]] | None = None

    def of(self, document: int) -> dict[KeyPath, tuple[int, int]]:
        """Empty where ruamel.yaml, which is stricter here and there, cannot read what libyaml could."""
        if self._found is None:
            self._found = []
            try:
                self._find(self._found)
            except RuamelError:
                self._found.clear()
        return self._found[document] if document < len(self._found) else {}

    def _find(self, found: list[dict[KeyPath, tuple[int, int]]]) -> None:
        ruamel = YAML(typ="safe", pure=True)
        ruamel.composer.warn_double_anchors = False
        for node in ruamel.compose_all(self._text.decode("utf-8-sig")):
            found.append({})
            _note_places(node, (), found[-1])


def _note_places(node: Any, at: KeyPath, places: dict[KeyPath, tuple[int, int]]) -> None:
    places.setdefault(at, (node.start_mark.line + 1, node.start_mark.column + 1))
    if isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            _note_places(item, (*at, index), places)
    elif isinstance(node, MappingNode):
        merged: list[Any] = []
        for key_node, value_node in node.value:
            key = _node_key(key_node)
            if key is MERGE:
                merged += value_node.value if isinstance(value_node, SequenceNode) else [value_node]
            elif isinstance(key, str):
                places[(*at, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
                _note_places(value_node, (*at, key), places)
        for source in merged:
            _note_places(source, at, places)


def _node_key(node: Any) -> str | object | None:
    if not isinstance(node, ScalarNode):
        return None
    return node.value if node.style else plain_key(node.value)
