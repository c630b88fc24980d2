"""Change scalars of a YAML file by splicing its text: every byte outside the changed values stays as it is.

PyYAML's C composer says where each value stands; the text between the marks is replaced, and the result is read again:
unless exactly the asked values differ, the edit is refused. A key is a path of mapping keys; where a value is a list of
mappings, the next element of the path names the item by its ``name``.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from yaml.nodes import MappingNode, ScalarNode

from reconciler.errors import InputError, Where
from reconciler.manifests.splice_cuts import Cut, outermost_gone, pair_at, removal, to_null
from reconciler.manifests.yaml_reader import Document, load_all
from reconciler.manifests.yaml_scalars import Written, json_key, plain_value, write_plain, write_quoted
from reconciler.manifests.yaml_source import Key, Source, Step, entry
from reconciler.model.quantity import parse_quantity

DEFAULT_INDENT: Final = 2
QUANTITY_PARENTS: Final = (("requests",), ("limits",), ("hard",))
"""Under these keys Kubernetes reads ``1`` and ``"1"`` alike, so a quantity needs no quotes."""
TEXT_PARENTS: Final = ("annotations", "labels")
"""Under these keys Kubernetes takes text only, so a number must be quoted."""

_TYPED: Final = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
"""Texts that mean a boolean, a null or a number to every reader; what only YAML 1.1 takes for one (``on``) is text."""


@dataclass(frozen=True, slots=True)
class Found:
    """A scalar as written, quotes taken off, and where its text starts (line and column from 1)."""

    value: str
    line: int
    column: int


_Tree = dict[str, Any]
"""Missing keys: a mapping per mapping, and at the leaves the text of the new scalar."""


@dataclass(slots=True)
class _Missing:
    """Keys to add under one place that exists: ``steps`` lead to it, the last one is a mapping or a null."""

    steps: list[Step]
    tree: _Tree = field(default_factory=dict)


def find_scalar(text: bytes, document: int, key: Key, *, path: str) -> Found | None:
    """The scalar at ``key``, also where an alias or a merge key leads to it; None when there is none.

    :raises InputError: when the text cannot be read, or has no such document.
    """
    load_all(text, path=path)
    source = Source(text, document, path)
    node = source.find(key)
    if node is None:
        return None
    start = source.value_start(node)
    before = source.text[node.start_mark.index : start]
    if "\n" in before or "\r" in before:
        return Found(node.value, node.start_mark.line + 1, node.start_mark.column + 1)
    return Found(node.value, node.start_mark.line + 1, node.start_mark.column + 1 + len(before))


def set_scalars(text: bytes, document: int, sets: Mapping[Key, str], *, path: str) -> bytes:
    """Change, or add, the scalars at these keys; missing mappings are added in the style of their siblings.

    A quoted scalar keeps its quotes. A plain text stays text: a new one that YAML would read as a number, a boolean or
    a null is quoted, unless both are quantities under ``requests``, ``limits`` or ``hard``. What was no text (``3``,
    ``true``, nothing) takes ``true``, ``false``, ``null`` and decimal numbers as such; so does an added key.

    :raises InputError: when the text cannot be read, a list has no item of that name, the value is shared through an
        anchor, an alias or a merge key, is a block scalar or no scalar, or when anything else would change as well.
    """
    before = load_all(text, path=path)
    source = Source(text, document, path)
    cuts: list[Cut] = []
    missing: dict[int, _Missing] = {}
    expected = before
    for key, new in sets.items():
        steps, rest = source.follow(key)
        source.refuse_shared(steps, key)
        if rest:
            leaf = _new_leaf(new, key)
            place = missing.setdefault(id(steps[-1].node), _Missing(steps))
            _plant(place.tree, rest, leaf, source.where(steps[-1].node, key))
        else:
            leaf = _replace(source, steps, key, new, cuts)
        expected = _with(expected, document, key, leaf.value)
    for place in missing.values():
        cuts += _add(source, place)
    return _spliced(source, cuts, expected)


def remove_keys(
    text: bytes, document: int, keys: Iterable[Key], *, path: str, emptied: Mapping[Key, str | None] | None = None
) -> bytes:
    """Take these keys and their values away; a key that is not there is none.

    A mapping that becomes empty stays as ``{}``, but for those in ``emptied``: with None its key goes away as well, unless
    a comment stands in it; with a text, which means null (``""``, ``~``, ``null``), that is its value.

    :raises InputError: as :func:`set_scalars`.
    """
    for key in keys:
        before = load_all(text, path=path)
        source = Source(text, document, path)
        steps, rest = source.follow(key[:-1])
        parent = steps[-1].node
        pair = entry(parent, key[-1]) if not rest and isinstance(parent, MappingNode) else None
        if pair is None:
            if not rest:
                source.follow(key)  # says so where the key comes from a merge key, or the parent is no mapping
            continue
        source.refuse_shared(steps, key)
        gone, null = outermost_gone(source, steps, key, emptied or {})
        around, pair = steps[: len(gone)], pair if gone == key else pair_at(steps, len(gone))
        if null is None:
            text = _spliced(source, removal(source, around, *pair), _without(before, document, gone))
        else:
            text = _spliced(source, to_null(source, around, *pair, null), _with(before, document, gone[:-1], None))
    return text


# --- how a scalar is written ----------------------------------------------------------------------------------------


def _new_leaf(new: str, key: Key) -> Written:
    plain = write_plain(new)
    if plain and (isinstance(plain.value, str) or (_TYPED.fullmatch(new) and not set(key) & set(TEXT_PARENTS))):
        return plain
    return write_quoted(new)


def _changed_leaf(old: ScalarNode, new: str, key: Key, *, in_json: bool) -> Written:
    if old.style in ("'", '"'):
        return write_quoted(new, old.style)
    plain = write_plain(new)
    if plain is None:
        return write_quoted(new)
    before = plain_value(old.value)
    if isinstance(plain.value, str):
        return write_quoted(new) if in_json and not isinstance(before, str) else plain
    if set(key) & set(TEXT_PARENTS):
        return write_quoted(new)
    if isinstance(before, str):
        quantities = key[-2:-1] in QUANTITY_PARENTS and _is_quantity(old.value) and _is_quantity(new)
        return plain if quantities else write_quoted(new)
    same_kind = (before is None, isinstance(before, bool)) == (plain.value is None, isinstance(plain.value, bool))
    return plain if same_kind or _TYPED.fullmatch(new) else write_quoted(new)


def _is_quantity(text: str) -> bool:
    try:
        parse_quantity(text)
    except ValueError:
        return False
    return True


def _key_token(key: str, *, quote: bool) -> str:
    plain = write_plain(key)
    return key if plain and not quote and plain.value == key else write_quoted(key).text


# --- replacing and adding -------------------------------------------------------------------------------------------


def _replace(source: Source, steps: list[Step], key: Key, new: str, cuts: list[Cut]) -> Written:
    node, key_node = steps[-1].node, steps[-1].key
    if not isinstance(node, ScalarNode) or key_node is None:
        raise InputError("there is a mapping or a list where one value is expected", where=source.where(node, key))
    if node.style in ("|", ">"):
        raise InputError(
            "the value is a block scalar", where=source.where(node, key), hint="write it on one line, then run again"
        )
    parent = steps[-2].node
    in_json = key_node.style == '"' and isinstance(parent, MappingNode) and bool(parent.flow_style)
    leaf = _changed_leaf(node, new, key, in_json=in_json)
    if node.tag:
        leaf = Written(leaf.text, new if node.tag.endswith(":str") else plain_value(new))
    if source.is_empty(node):
        offset, colon = source.after_colon(key_node)
        cuts.append(Cut(offset, offset, f" {leaf.text}" if colon else f": {leaf.text}"))
    else:
        cuts.append(Cut(source.value_start(node), node.end_mark.index, leaf.text))
    return leaf


def _plant(tree: _Tree, rest: Key, leaf: Written, where: Where) -> None:
    for name in rest[:-1]:
        tree = tree.setdefault(name, {})
        if not isinstance(tree, dict):
            raise InputError(f"{name} cannot be a value and a mapping at once", where=where)
    if isinstance(tree.get(rest[-1]), dict):
        raise InputError(f"{rest[-1]} cannot be a value and a mapping at once", where=where)
    tree[rest[-1]] = leaf


def _add(source: Source, place: _Missing) -> list[Cut]:
    steps, tree = place.steps, place.tree
    node, key_node = steps[-1].node, steps[-1].key
    if isinstance(node, MappingNode):
        return [_add_in_flow(source, node, tree) if node.flow_style else _add_lines(source, steps, node, tree)]
    in_flow = any(isinstance(step.node, MappingNode) and step.node.flow_style for step in steps)
    if key_node is None:
        raise InputError("the document is empty", where=source.where(node, tuple(tree)))
    if not source.is_empty(node):
        return [Cut(source.value_start(node), node.end_mark.index, _flow(tree))]
    offset, colon = source.after_colon(key_node)
    if in_flow or not colon:
        return [Cut(offset, offset, (" " if colon else ": ") + _flow(tree))]
    parent = steps[-2].node
    assert isinstance(parent, MappingNode)
    step = _indent(source, steps)
    return [_lines(source, offset, _block(tree, source.column(parent) + step, step))]


def _add_in_flow(source: Source, node: MappingNode, tree: _Tree) -> Cut:
    quote = bool(node.value) and node.value[-1][0].style == '"'
    entries = _flow(tree, quote=quote)[1:-1]
    if not node.value:
        offset = source.value_start(node) + 1
        return Cut(offset, offset, entries)
    offset = source.pair_end(*node.value[-1])
    return Cut(offset, offset, ", " + entries)


def _add_lines(source: Source, steps: list[Step], node: MappingNode, tree: _Tree) -> Cut:
    step = _indent(source, steps)
    nested = [value for _, value in node.value if isinstance(value, MappingNode) and value.value]
    flow = bool(nested) and bool(nested[-1].flow_style)
    return _lines(source, source.pair_end(*node.value[-1]), _block(tree, source.column(node), step, flow=flow))


def _lines(source: Source, after: int, lines: list[str]) -> Cut:
    """New lines below the one that holds ``after``; the last line of a file may lack its line break and then still does."""
    offset = source.next_line(after)
    indent = len(lines[0]) - len(lines[0].lstrip(" "))
    text = source.newline.join(lines)
    ended = offset == 0 or source.text[offset - 1] in "\r\n"
    return Cut(offset, offset, text + source.newline if ended else source.newline + text, order=-indent)


def _block(tree: _Tree, column: int, step: int, *, flow: bool = False) -> list[str]:
    lines = []
    for key, value in tree.items():
        head = " " * column + _key_token(key, quote=False) + ":"
        if isinstance(value, Written):
            lines.append(f"{head} {value.text}")
        elif flow:
            lines.append(f"{head} {_flow(value)}")
        else:
            lines += [head, *_block(value, column + step, step)]
    return lines


def _flow(tree: _Tree, *, quote: bool = False) -> str:
    """``quote``: as JSON would have it, since the mapping's own keys are quoted."""
    entries = []
    for key, value in tree.items():
        if isinstance(value, Written):
            text = write_quoted(value.value).text if quote and isinstance(value.value, str) else value.text
        else:
            text = _flow(value, quote=quote)
        entries.append(f"{_key_token(key, quote=quote)}: {text}")
    return "{" + ", ".join(entries) + "}"


def _indent(source: Source, steps: list[Step]) -> int:
    """By how many columns a mapping is indented within its parent, as nearby ones are."""
    blocks = [step.node for step in steps if isinstance(step.node, MappingNode) and not step.node.flow_style]
    for parent in reversed(blocks):
        for key_node, value in reversed(parent.value):
            if isinstance(value, MappingNode) and value.value and not value.flow_style:
                difference = source.column(value) - source.column(parent)
                if difference > 0 and value.start_mark.index > key_node.end_mark.index:
                    return difference
    return DEFAULT_INDENT


# --- the result, and what it must be ---------------------------------------------------------------------------------


def _spliced(source: Source, cuts: list[Cut], expected: list[Document]) -> bytes:
    parts, position = [source.bom], 0
    for cut in sorted(cuts, key=lambda cut: (cut.start, cut.order)):
        if cut.start < position:
            raise _not_alone(source)
        parts += [source.text[position : cut.start], cut.text]
        position = cut.end
    result = "".join([*parts, source.text[position:]]).encode()
    try:
        after = load_all(result, path=source.path)
    except InputError:
        raise _not_alone(source) from None
    if [(d.index, d.value) for d in after] != [(d.index, d.value) for d in expected]:
        raise _not_alone(source)
    return result


def _not_alone(source: Source) -> InputError:
    return InputError(
        "the edit would change more than the value it is for",
        where=Where(source.path),
        hint="write the mapping in plain block style, without aliases, explicit keys (?) or comments inside of flow mappings",
    )


def _with(documents: list[Document], document: int, key: Key, leaf: Any) -> list[Document]:
    return [Document(d.index, d.line, _put(d.value, key, leaf)) if d.index == document else d for d in documents]


def _put(value: Any, key: Key, leaf: Any) -> Any:
    """A copy of ``value`` with ``leaf`` at ``key``; what is not on the way is shared."""
    if not key:
        return leaf
    if isinstance(value, list):
        return [_put(item, key[1:], leaf) if _is_named(item, key[0]) else item for item in value]
    mapping = value or {}
    return {**mapping, key[0]: _put(mapping.get(key[0]), key[1:], leaf)}


def _without(documents: list[Document], document: int, key: Key) -> list[Document]:
    return [Document(d.index, d.line, _drop(d.value, key)) if d.index == document else d for d in documents]


def _drop(value: Any, key: Key) -> Any:
    if isinstance(value, list):
        return [_drop(item, key[1:]) if _is_named(item, key[0]) else item for item in value]
    if len(key) == 1:
        return {name: part for name, part in value.items() if name != key[0]}
    return {**value, key[0]: _drop(value[key[0]], key[1:])}


def _is_named(item: Any, name: str) -> bool:
    return isinstance(item, dict) and json_key(item.get("name")) == name
