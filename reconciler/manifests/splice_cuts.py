"""Cuts: which text to put in place of which, and those that take keys away from a YAML file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from yaml.nodes import MappingNode, Node, ScalarNode

from reconciler.manifests.yaml_source import Key, Source, Step

EMPTY: Final = "{}"
"""What is left of a mapping that has lost its last key."""

_COMMENT: Final = re.compile(r"(?:^|\s)#", re.MULTILINE)
_IN_LINE: Final = -(10**6)


@dataclass(slots=True)
class Cut:
    """Put ``text`` in place of ``start:end``. Of two at one offset the lower ``order`` goes first."""

    start: int
    end: int
    text: str
    order: int = _IN_LINE


def outermost_gone(
    source: Source, steps: list[Step], key: Key, emptied: Mapping[Key, str | None]
) -> tuple[Key, str | None]:
    """The key that goes away with ``key``, itself or a mapping around it that has nothing else; and the null (a text) that
    takes the place of the mapping which it leaves empty, None where that mapping stays one.

    ``steps`` lead to the parent of ``key``; ``emptied`` as for :func:`reconciler.manifests.splice.remove_keys`.
    """
    gone = key
    while len(gone) > 1 and _is_only_entry(steps[len(gone) - 1]):
        becomes = emptied.get(gone[:-1], EMPTY)
        if becomes is not None:
            return gone, None if becomes == EMPTY else becomes
        if _COMMENT.search(_written(source, pair_at(steps, len(gone) - 1))):
            break
        gone = gone[:-1]
    return gone, None


def _is_only_entry(step: Step) -> bool:
    return isinstance(step.node, MappingNode) and len(step.node.value) == 1 and step.key is not None


def pair_at(steps: list[Step], depth: int) -> tuple[ScalarNode, Node]:
    """The entry that ``steps`` lead through at this depth."""
    step = steps[depth]
    assert step.key is not None
    return step.key, step.node


def _written(source: Source, pair: tuple[ScalarNode, Node]) -> str:
    return source.text[int(pair[0].start_mark.index) : source.pair_end(*pair)]


def to_null(source: Source, steps: list[Step], key_node: ScalarNode, value: Node, null: str) -> list[Cut]:
    """Take the last entry of a mapping away, and write its owner's value as this null. ``steps`` lead to the mapping."""
    parent, owner = steps[-1].node, steps[-1].key
    assert owner is not None
    offset, _ = source.after_colon(owner)
    text = f" {null}" if null else ""
    if isinstance(parent, MappingNode) and parent.flow_style:
        return [Cut(offset, parent.end_mark.index, text)]
    line = source.line_start(int(key_node.start_mark.index))
    return [_whole_lines(source, line, source.pair_end(key_node, value)), Cut(offset, offset, text)]


def removal(source: Source, steps: list[Step], key_node: ScalarNode, value: Node) -> list[Cut]:
    """Take an entry of a mapping away; a mapping that had no other stays as ``{}``. ``steps`` lead to the mapping."""
    parent: Any = steps[-1].node
    start, end = int(key_node.start_mark.index), source.pair_end(key_node, value)
    position = next(i for i, (other, _) in enumerate(parent.value) if other is key_node)
    only = len(parent.value) == 1
    following = parent.value[position + 1][0].start_mark.index if position + 1 < len(parent.value) else None
    if parent.flow_style:
        if only:
            brace = parent.end_mark.index - 1
            last = brace if source.text[end:brace].strip() else end
            return [Cut(source.value_start(parent) + 1, last, "")]
        if following is not None:
            return [Cut(start, following, "")]
        return [Cut(source.pair_end(*parent.value[position - 1]), end, "")]
    line = source.line_start(start)
    written = start + len(source.text[start:end].rstrip())
    if source.text[line:start].strip():  # behind a dash
        joined = following is not None and not source.text[written:following].strip()
        return [Cut(start, following if joined and following is not None else written, "{}" if only else "")]
    owner = steps[-1].key
    if only and owner is None:
        return [Cut(start, written, "{}")]
    cuts = [_whole_lines(source, line, end)]
    if only and owner is not None:
        offset, _ = source.after_colon(owner)
        cuts.append(Cut(offset, offset, " {}"))
    return cuts


def _whole_lines(source: Source, start: int, last: int) -> Cut:
    end = source.next_line(last)
    if end == len(source.text) and source.text[end - 1] not in "\r\n":
        before = source.text[:start]
        start -= len(before) - len(before.removesuffix("\n").removesuffix("\r"))
    return Cut(start, end, "", order=0)
