"""A YAML document as text with marks: where each key and value stands, so that text can be spliced and not rewritten.

Offsets count characters of the decoded text without its byte order mark, as PyYAML's marks do.
"""

import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from yaml import MarkedYAMLError
from yaml._yaml import CParser
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from reconciler.errors import InputError, Where
from reconciler.manifests.yaml_reader import syntax_error
from reconciler.manifests.yaml_scalars import MERGE, plain_key

Key = tuple[str, ...]

LINE_BREAK: Final = re.compile(r"\r\n|\n|\r")
_PROPERTY: Final = re.compile(r"[&!][^\s,\[\]{}]*\s*")
_COLON: Final = re.compile(r"\s*:(?:[ \t]+[&!][^\s,\[\]{}]*)*")
_ALIAS: Final = re.compile(r"(?:[\s:,\[-]|#.*)*\*[^\s,\[\]{}]+")


class _Composer(CParser):
    """libyaml's composer without tag resolution; the two other hooks are called for each node and have nothing to do."""

    descend_resolver = operator.is_
    ascend_resolver = bool

    @staticmethod
    def resolve(_kind: type[Node], _value: Any, _implicit: Any) -> None:
        return None


@dataclass(slots=True)
class Step:
    """A node on the way along a key path, and the key that names it in its mapping (None for a document or an item)."""

    node: Node
    key: ScalarNode | None = None


class Source:
    """One document of a file. ``text`` is the whole file. :raises InputError: when there is no such document."""

    def __init__(self, text: bytes, document: int, path: str) -> None:
        decoded = text.decode()
        self.bom = "\ufeff" if decoded.startswith("\ufeff") else ""
        self.text = decoded[len(self.bom) :]
        self.path = path
        first_break = LINE_BREAK.search(self.text)
        self.newline = first_break[0] if first_break else "\n"
        self.root = self._compose(text, document)

    def _compose(self, text: bytes, document: int) -> Node:
        composer = _Composer(text)
        index = -1
        try:
            while composer.check_node():
                node = composer.get_node()
                index += 1
                if index == document and node is not None:
                    return node
        except MarkedYAMLError as error:
            raise syntax_error(error, self.path) from None
        raise InputError(f"the file has no document {document} (the first is 0)", where=Where(self.path))

    def where(self, node: Node, key: Key) -> Where:
        """The place of ``node`` for an error about ``key``."""
        return Where(self.path, node.start_mark.line + 1, node.start_mark.column + 1, ".".join(key))

    # --- the way to a value

    def follow(self, key: Key) -> tuple[list[Step], Key]:
        """The nodes along ``key`` as far as it is written, and the rest of ``key`` that is not there.

        :raises InputError: when the way leads through an alias, a merge key, or something that has no such keys.
        """
        steps, node = [Step(self.root)], self.root
        for depth, name in enumerate(key):
            if isinstance(node, MappingNode):
                pair = entry(node, name)
                if pair is None:
                    self._refuse_merged(node, name, key)
                    return steps, key[depth:]
                key_node, node = pair
                if _is_alias(key_node, node):
                    raise InputError("the value comes from an alias", where=self.where(key_node, key), hint=_ALIAS_HINT)
                steps.append(Step(node, key_node))
            elif isinstance(node, SequenceNode):
                parent, node = node, self._item(node, name, key)
                if node.start_mark.index < parent.start_mark.index:
                    raise InputError(f"the item {name} is an alias", where=self.where(parent, key), hint=_ALIAS_HINT)
                steps.append(Step(node))
            elif self.is_null(node):
                return steps, key[depth:]
            else:
                raise InputError(
                    f"there is a value where a mapping with {name} is expected", where=self.where(node, key)
                )
        return steps, ()

    def find(self, key: Key) -> ScalarNode | None:
        """The scalar at ``key`` wherever it is written, also through aliases and merge keys; None when there is none."""
        node: Node | None = self.root
        for name in key:
            if isinstance(node, MappingNode):
                pair = entry(node, name)
                node = pair[1] if pair else merged_value(node, name)
            elif isinstance(node, SequenceNode):
                node = next((item for item in node.value if _item_name(item) == name), None)
            else:
                return None
        return node if isinstance(node, ScalarNode) else None

    def _item(self, node: SequenceNode, name: str, key: Key) -> Node:
        items = [item for item in node.value if _item_name(item) == name]
        if len(items) == 1:
            found: Node = items[0]
            return found
        message = f"{len(items)} items are named {name}" if items else f"no item of the list is named {name}"
        raise InputError(message, where=self.where(items[1] if items else node, key))

    def _refuse_merged(self, node: MappingNode, name: str, key: Key) -> None:
        if merged_value(node, name) is not None:
            raise InputError("the value comes from a merge key (<<)", where=self.where(node, key), hint=_ALIAS_HINT)

    def refuse_shared(self, steps: list[Step], key: Key) -> None:
        """:raises InputError: when something on the way has an anchor that an alias uses: the edit would show there too."""
        for step in steps:
            anchor = re.match(r"(?:![^\s]*\s+)?&([^\s,\[\]{}]+)", self.text[step.node.start_mark.index :][:200])
            if anchor and re.search(r"\*" + re.escape(anchor[1]) + r"(?![^\s,\[\]{}])", self.text):
                raise InputError(
                    f"the value is used again through the alias *{anchor[1]}",
                    where=self.where(step.node, key),
                    hint=_ALIAS_HINT,
                )

    # --- places in the text

    def value_start(self, node: Node) -> int:
        """Where a value's text starts, behind its anchor and tag."""
        start, end = node.start_mark.index, node.end_mark.index
        while start < end and self.text[start] in "&!":
            match = _PROPERTY.match(self.text, start, end)
            assert match is not None
            start = match.end()
        return start

    def is_null(self, node: Node) -> bool:
        """Whether a scalar is written as nothing, ``~`` or ``null``."""
        return isinstance(node, ScalarNode) and not node.style and node.value in ("", "~", "null", "Null", "NULL")

    def is_empty(self, node: Node) -> bool:
        """Whether a scalar has no text at all."""
        return isinstance(node, ScalarNode) and self.value_start(node) >= node.end_mark.index

    def after_colon(self, key_node: Node) -> tuple[int, bool]:
        """Where a value may be put behind its key (and an anchor or tag that stands there), and whether there is a colon."""
        end = key_node.end_mark.index
        match = _COLON.match(self.text, end)
        return (match.end(), True) if match else (end, False)

    def pair_end(self, key_node: Node, value: Node) -> int:
        """The end of the last thing written in a mapping's entry, comments and white space behind it not counted."""
        if _is_alias(key_node, value):
            return self._alias_end(key_node.end_mark.index)
        if self.is_empty(value):
            return self.after_colon(key_node)[0]
        return self._content_end(value)

    def _content_end(self, node: Any) -> int:
        if isinstance(node, ScalarNode) and node.style in ("|", ">"):
            return self._block_scalar_end(node)
        if isinstance(node, ScalarNode) or node.flow_style or not node.value:
            return int(node.end_mark.index)
        if isinstance(node, MappingNode):
            return self.pair_end(*node.value[-1])
        last = node.value[-1]
        if last.start_mark.index < node.start_mark.index:
            before = self._content_end(node.value[-2]) if len(node.value) > 1 else node.start_mark.index
            return self._alias_end(before)
        return self._content_end(last)

    def _block_scalar_end(self, node: Node) -> int:
        """Behind the last line with text; for ``|+``, which keeps them, behind the blank lines too."""
        start, end = self.value_start(node), int(node.end_mark.index)
        header = LINE_BREAK.split(self.text[start:end], maxsplit=1)[0].partition("#")[0]
        return end if "+" in header else start + len(self.text[start:end].rstrip())

    def _alias_end(self, start: int) -> int:
        match = _ALIAS.match(self.text, start)
        return match.end() if match else start

    def line_start(self, offset: int) -> int:
        """The offset at which the line of ``offset`` starts."""
        return max(self.text.rfind("\n", 0, offset), self.text.rfind("\r", 0, offset)) + 1

    def next_line(self, offset: int) -> int:
        """The offset of the line after ``offset``, or of ``offset`` itself where a line starts."""
        if offset and self.text[offset - 1] in "\r\n":
            return offset
        match = LINE_BREAK.search(self.text, offset)
        return match.end() if match else len(self.text)

    def column(self, mapping: MappingNode) -> int:
        """The column at which a block mapping's keys stand."""
        marked = self.text[mapping.start_mark.index] in "&!" and mapping.value
        return int((mapping.value[0][0] if marked else mapping).start_mark.column)


_ALIAS_HINT = "Trimtab does not edit what is shared: write the value out here"


def key_text(node: Node) -> str | object | None:
    """A mapping key as :func:`~reconciler.manifests.yaml_reader.load_all` reads it."""
    if not isinstance(node, ScalarNode):
        return None
    return node.value if node.style or node.tag else plain_key(node.value)


def entry(mapping: MappingNode, name: str) -> tuple[ScalarNode, Node] | None:
    """The entry of a mapping by its key, merge keys left aside."""
    for key_node, value in mapping.value:
        if key_node.value == name and key_text(key_node) == name:
            return key_node, value
    return next(((k, v) for k, v in mapping.value if key_text(k) == name), None)


def merged_value(mapping: MappingNode, name: str) -> Node | None:
    """The value that a mapping gets for ``name`` through ``<<``."""
    for source in _merged(mapping):
        pair = entry(source, name)
        value = pair[1] if pair else merged_value(source, name)
        if value is not None:
            return value
    return None


def _merged(mapping: MappingNode) -> Iterator[MappingNode]:
    for key_node, value in mapping.value:
        if key_text(key_node) is MERGE:
            yield from value.value if isinstance(value, SequenceNode) else [value]


def _item_name(item: Node) -> str | None:
    pair = entry(item, "name") if isinstance(item, MappingNode) else None
    name = key_text(pair[1]) if pair else None
    return name if isinstance(name, str) else None


def _is_alias(key_node: Node, value: Node) -> bool:
    """An alias's node stands where its anchor is: before the key that uses it."""
    return bool(value.start_mark.index < key_node.end_mark.index)
