"""Files before and after → a diff that people read and ``git apply`` takes."""

from collections.abc import Callable, Iterable, Iterator
from difflib import SequenceMatcher
from typing import Any

from reconciler.model.change import Change

CONTEXT = 3

Read = Callable[[str], bytes | None]
"""A file's bytes by path, None when it is not there."""


def unified(before: bytes | None, after: bytes | None, path: str) -> str:
    """A git-style unified diff of one file; None = not there. Empty when nothing changed.

    Bytes that are not UTF-8 are said to differ, without showing them.
    """
    if before == after:
        return ""
    head = f"diff --git {_name('a', path)} {_name('b', path)}\n"
    if before is None:
        head += "new file mode 100644\n"
    if after is None:
        head += "deleted file mode 100644\n"
    old_name = _name("a", path) if before is not None else "/dev/null"
    new_name = _name("b", path) if after is not None else "/dev/null"
    try:
        old, new = _lines(before), _lines(after)
    except UnicodeDecodeError:
        return head + f"Binary files {old_name} and {new_name} differ\n"
    hunks = "".join(_hunk(old, new, edges) for edges in _hunks(old, new))
    return head + (f"--- {old_name}\n+++ {new_name}\n{hunks}" if hunks else "")


def change_diff(change: Change, read: Read) -> str:
    """The diff of all files of one change, by path."""
    return "".join(unified(read(path), after, path) for path, after in sorted(change.files.items()))


def plan_diff(changes: Iterable[Change], read: Read) -> Iterator[tuple[Change, str]]:
    """Each change with its diff, in order: a later one is shown against what the earlier ones have made."""
    written: dict[str, bytes | None] = {}

    def current(path: str) -> bytes | None:
        return written[path] if path in written else read(path)

    for change in changes:
        yield change, change_diff(change, current)
        written.update(change.files)


def _name(side: str, path: str) -> str:
    """As git spells it: quoted, in octal, where the path has anything but printable ASCII."""
    text = f"{side}/{path}"
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    plain = (chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\{byte:03o}" for byte in text.encode())
    return '"' + "".join(plain) + '"'


def _lines(content: bytes | None) -> list[str]:
    """Lines with their ends; only ``\\n`` ends one, so that a lone carriage return stays inside."""
    if not content:
        return []
    text = content.decode()
    lines = [line + "\n" for line in text.split("\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


Opcode = tuple[str, int, int, int, int]


def _hunks(old: list[str], new: list[str]) -> Iterator[list[Opcode]]:
    """Opcodes grouped into hunks. Only the part between the common head and tail is compared, which is what makes a
    changed value in a long file cheap."""
    head = _common(old, new, 0)
    tail = _common(old[::-1], new[::-1], head)
    first = max(head - CONTEXT, 0)
    middle_old = old[first : len(old) - max(tail - CONTEXT, 0)]
    middle_new = new[first : len(new) - max(tail - CONTEXT, 0)]
    frame = (head - first, min(tail, CONTEXT))
    groups = _replaced_in_place(middle_old, middle_new) or _matched(middle_old, middle_new, *frame)
    for group in groups:
        yield [(tag, i1 + first, i2 + first, j1 + first, j2 + first) for tag, i1, i2, j1, j2 in group]


def _matched(old: list[str], new: list[str], lead: int, trail: int) -> Iterable[list[Opcode]]:
    """Hunks of what is between ``lead`` and ``trail`` lines of context. Those are compared with nothing else: matched with
    equal lines elsewhere, they would be missing as context, and a hunk without it is taken for the file's end."""
    stop_old, stop_new = len(old) - trail, len(new) - trail
    between = SequenceMatcher(None, old[lead:stop_old], new[lead:stop_new], autojunk=False).get_opcodes()
    opcodes: list[Opcode] = [("equal", 0, lead, 0, lead)] if lead else []
    opcodes += [(tag, i1 + lead, i2 + lead, j1 + lead, j2 + lead) for tag, i1, i2, j1, j2 in between]
    opcodes += [("equal", stop_old, len(old), stop_new, len(new))] if trail else []
    return _Framed(opcodes).get_grouped_opcodes(CONTEXT)


class _Framed(SequenceMatcher[str]):
    """Groups opcodes that are known."""

    def __init__(self, opcodes: list[Opcode]) -> None:
        super().__init__()
        self._known = opcodes

    def get_opcodes(self) -> list[Any]:
        return self._known


def _replaced_in_place(old: list[str], new: list[str]) -> list[list[Opcode]]:
    """The one hunk in which lines were replaced by as many others, near to each other; empty when it is not as simple.

    So it is with new values in a file, of which a plan shows thousands; comparing in general takes three times as long.
    """
    if len(old) != len(new):
        return []
    changed = [at for at, line in enumerate(old) if line != new[at]]
    gone, come = {old[at] for at in changed}, {new[at] for at in changed}
    if not changed or gone & set(new) or come & set(old):
        return []
    group: list[Opcode] = []
    at, end = 0, len(old)
    for start, stop in _runs(changed):
        if at and start - at > 2 * CONTEXT:
            return []
        if start > at:
            group.append(("equal", at, start, at, start))
        group.append(("replace", start, stop, start, stop))
        at = stop
    return [[*group, ("equal", at, end, at, end)] if at < end else group]


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    """Ascending numbers as ranges without gaps, the second number after the last."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number:
            runs[-1] = (runs[-1][0], number + 1)
        else:
            runs.append((number, number + 1))
    return runs


def _common(old: list[str], new: list[str], reserved: int) -> int:
    limit = min(len(old), len(new)) - reserved
    count = 0
    while count < limit and old[count] == new[count]:
        count += 1
    return count


def _hunk(old: list[str], new: list[str], opcodes: list[Opcode]) -> str:
    first, last = opcodes[0], opcodes[-1]
    text = [f"@@ -{_span(first[1], last[2])} +{_span(first[3], last[4])} @@\n"]
    for tag, i1, i2, j1, j2 in opcodes:
        if tag == "equal":
            text += [_line(" ", line) for line in old[i1:i2]]
        else:
            text += [_line("-", line) for line in old[i1:i2]]
            text += [_line("+", line) for line in new[j1:j2]]
    return "".join(text)


def _span(start: int, end: int) -> str:
    length = end - start
    if length == 0:
        return f"{start},0"
    return f"{start + 1}" if length == 1 else f"{start + 1},{length}"


def _line(mark: str, line: str) -> str:
    return mark + line if line.endswith("\n") else f"{mark}{line}\n\\ No newline at end of file\n"
