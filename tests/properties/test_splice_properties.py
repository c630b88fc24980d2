"""Whatever a manifest looks like, an edit changes the asked values and no other byte."""

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import InputError
from reconciler.manifests.splice import find_scalar, remove_keys, set_scalars
from reconciler.manifests.yaml_reader import load_all

Key = tuple[str, ...]

KEYS = ["cpu", "memory", "requests", "limits", "spec", "a-b/c.d", "k1", "ü", "with space", "8080", "true", "-x"]
PLAIN = ["100m", "64Mi", "hello", "nginx:1.25", "a b", "v1.2", "x-y", "é", "10.0.0.1", "1:30"]
NUMBERS = ["1", "250", "0.5", "0", "010", "1_000"]
OTHER = [
    "",
    "x: y",
    "# no",
    "it's",
    'say "hi"',
    "on",
    "~",
    "1",
    "- a",
    "{b}",
    "tab\there",
    "nul\u0007",
    "ünï😀",
    "a\nb",
    " pad ",
    "a,b]",
]
COMMENTS = ["# c", "#", "# 'quoted\" [x: {y", "# *alias &anchor", "# ü"]


class Writer:
    """Writes a random document by hand, each line in a random style, and remembers its value and its scalars."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.scalars: dict[Key, str] = {}
        self.mappings: list[Key] = []

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def trailer(self) -> str:
        return "  " + self.random.choice(COMMENTS) if self.chance(0.2) else " " if self.chance(0.05) else ""

    def between(self) -> list[str]:
        return self.random.choice([[]] * 6 + [[""], ["      # deep"], ["# at the margin"], ["", "# two", ""]])

    def token(self, text: str) -> str:
        """A scalar of the value ``text``, quoted or plain."""
        kind = self.random.choice(["plain", "plain", "single", "double"])
        if kind == "plain" and text in PLAIN + NUMBERS:
            return text
        if kind == "single" and text.isprintable():
            return "'" + text.replace("'", "''") + "'"
        return '"' + text.encode("unicode_escape").decode().replace("\\'", "'").replace('"', '\\"') + '"'

    def key_token(self, key: str) -> str:
        return f'"{key}"' if key in ("8080", "true") or self.chance(0.1) else key

    def keys(self) -> list[str]:
        return self.random.sample(KEYS, self.random.randint(1, 4))

    def scalar(self, key: Key) -> str:
        token = self.token(self.random.choice(PLAIN + NUMBERS + OTHER))
        self.scalars[key] = token
        return token

    def flow(self, key: Key, depth: int) -> str:
        pad = self.random.choice(["", " "])
        if self.chance(0.1):
            self.mappings.append(key)
            return "{" + pad + "}"
        self.mappings.append(key)
        parts = []
        for name in self.keys():
            inner = (*key, name)
            nested = depth < 2 and self.chance(0.2)
            value = self.flow(inner, depth + 1) if nested else self.scalar(inner)
            parts.append(f"{self.key_token(name)}: {value}")
        return "{" + pad + ", ".join(parts) + (", " if self.chance(0.05) else "") + pad + "}"

    def mapping(self, key: Key, column: int, depth: int) -> list[str]:
        """Lines of a block mapping; the first one without its indentation."""
        self.mappings.append(key)
        lines: list[str] = []
        for name in self.keys():
            head, inner = " " * column + self.key_token(name) + ":", (*key, name)
            kind = self.random.choice(
                ["scalar"] * 4 + ["mapping"] * 3 + ["flow", "list", "block", "null", "plain list"]
            )
            if lines:
                lines += self.between()
            if kind == "mapping" and depth < 4:
                deeper = column + self.random.randint(1, 4)
                lines += [head + self.trailer(), *self.between(), *self.mapping(inner, deeper, depth + 1)]
            elif kind == "list" and depth < 4:
                lines += [head + self.trailer(), *self.items(inner, column + self.random.randint(0, 3), depth + 1)]
            elif kind == "flow":
                lines.append(f"{head} {self.flow(inner, depth)}{self.trailer()}")
            elif kind == "block":
                lines += [
                    head + self.random.choice([" |", " >-", " |+ # keep", " |-"]),
                    " " * (column + 2) + "text # no comment",
                ]
            elif kind == "null":
                lines.append(head + self.trailer())
            elif kind == "plain list":
                lines.append(f"{head} [a, 'b', 3]{self.trailer()}")
            else:
                lines.append(f"{head} {self.scalar(inner)}{self.trailer()}")
        return lines

    def items(self, key: Key, column: int, depth: int) -> list[str]:
        lines = []
        for name in self.random.sample(["web", "db", "side"], self.random.randint(1, 3)):
            gap = self.random.randint(1, 3)
            inner = column + 1 + gap
            body = self.mapping((*key, name), inner, depth)
            lines += [" " * column + "-" + " " * gap + f"name: {name}{self.trailer()}", *body]
        return lines


def written(random: Random) -> tuple[bytes, int, Writer]:
    """A file, the number of a document in it, and the writer that knows what is in that document."""
    writer = Writer(random)
    newline = random.choice(["\n", "\n", "\r\n"])
    lines = random.choice([[], ["# head"], ["---"], ["# head", "--- # start"]]) + writer.mapping((), 0, 0)
    document = 0
    if random.random() < 0.3:
        lines, document = ["first: 1 # doc", "---", *without_start(lines)], 1
    if random.random() < 0.3:
        lines += ["---", "last: &x {y: 1}", "z: *x"]
    # A block scalar at the end of a file without line break gains one, so another value, when a line is added below it.
    ended = random.random() < 0.8 or lines[-1].endswith("text # no comment")
    text = newline.join(lines) + (newline if ended else "")
    bom = b"\xef\xbb\xbf" if random.random() < 0.1 else b""
    return bom + text.encode(), document, writer


def without_start(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith("---")]


def values(text: bytes) -> list[tuple[int, Any]]:
    return [(document.index, document.value) for document in load_all(text, path="f.yaml")]


def at(text: bytes, document: int, key: Key) -> Any:
    value = dict(values(text))[document]
    for name in key:
        value = next(item for item in value if item["name"] == name) if isinstance(value, list) else value[name]
    return value


def changed(old: Any, new: Any, at_key: Key = ()) -> dict[Key, tuple[Any, Any]]:
    """Each place where two values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        names = list(dict.fromkeys([*old, *new]))
        found = [changed(old.get(n, ...), new.get(n, ...), (*at_key, n)) for n in names]
        return {key: pair for part in found for key, pair in part.items()}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        named = [
            (a["name"] if isinstance(a, dict) else str(i), a, b) for i, (a, b) in enumerate(zip(old, new, strict=True))
        ]
        return {key: pair for name, a, b in named for key, pair in changed(a, b, (*at_key, name)).items()}
    return {} if old == new and type(old) is type(new) else {at_key: (old, new)}


def kept(old: bytes, new: bytes) -> int:
    """How many bytes of ``old`` stand unchanged at the start and at the end of ``new``."""
    prefix = same_bytes(old, new)
    return prefix + same_bytes(old[prefix:][::-1], new[prefix:][::-1])


def same_bytes(one: bytes, other: bytes) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


@given(random=st.randoms(use_true_random=False), new=st.sampled_from([*PLAIN, *NUMBERS, *OTHER]))
@settings(max_examples=250, deadline=None)
def test_an_edit_changes_its_value_and_no_other_byte(random: Random, new: str) -> None:
    text, document, writer = written(random)
    if not writer.scalars:
        return
    key = random.choice(list(writer.scalars))
    old_token = writer.scalars[key]

    result = set_scalars(text, document, {key: new}, path="f.yaml")

    differences = changed(dict(values(text))[document], dict(values(result))[document])
    assert set(differences) <= {key}
    assert len([v for v in values(text) if v[0] != document]) == len([v for v in values(result) if v[0] != document])
    assert kept(text, result) >= len(text) - len(old_token.encode())
    quoted = old_token[0] in "'\""
    if quoted:
        assert at(result, document, key) == new
    found = find_scalar(result, document, key, path="f.yaml")
    assert found is not None
    assert found.value == new
    line = result.decode("utf-8-sig").splitlines()[found.line - 1]
    assert line[found.column - 1 :].startswith((new, "'", '"'))


@given(random=st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_editing_back_gives_the_bytes_of_before(random: Random) -> None:
    text, document, writer = written(random)
    chosen = [key for key in writer.scalars if random.random() < 0.6]
    read = {key: find_scalar(text, document, key, path="f.yaml") for key in chosen}
    before = {key: found.value for key, found in read.items() if found is not None}
    assert len(before) == len(chosen)
    # A plain value that takes a value of its own type stays plain; quotes stay what they are. (A plain text that takes
    # a number must be quoted from then on.) An escape in double quotes may be written in another way than a person's.
    edits = {
        key: random.choice(NUMBERS if writer.scalars[key] in NUMBERS else PLAIN)
        for key in chosen
        if "\\" not in writer.scalars[key]
    }

    result = set_scalars(text, document, edits, path="f.yaml")

    assert {key: str(at(result, document, key)) for key in edits if edits[key] in PLAIN} == {
        key: new for key, new in edits.items() if new in PLAIN
    }
    assert set_scalars(result, document, {key: before[key] for key in edits}, path="f.yaml") == text


@given(random=st.randoms(use_true_random=False), new=st.sampled_from([*PLAIN, *NUMBERS, *OTHER]))
@settings(max_examples=250, deadline=None)
def test_an_added_key_is_only_added_and_taking_it_away_gives_the_bytes_of_before(random: Random, new: str) -> None:
    text, document, writer = written(random)
    parent = random.choice(writer.mappings)
    names = random.choice([["new"], ["new", "under"], ["new", "under", "more"], ["requests", "new"]])
    key = (*parent, *names)
    start = at(text, document, parent)
    if names[0] in start and not isinstance(start[names[0]], dict | None):
        return

    result = set_scalars(text, document, {key: new}, path="f.yaml")

    assert str(at(result, document, key)) == new or at(result, document, key) in (True, None, 8, 1000)
    differences = changed(dict(values(text))[document], dict(values(result))[document])
    first_new = len(parent) + 1 if names[0] not in start or start[names[0]] is None else len(key)
    assert set(differences) == {key[:first_new]}
    assert kept(text, result) >= len(text)
    if names[0] not in start:
        assert remove_keys(result, document, [key[: len(parent) + 1]], path="f.yaml") == text


@given(random=st.randoms(use_true_random=False))
@settings(max_examples=250, deadline=None)
def test_keys_that_were_added_go_with_the_mappings_that_came_with_them(random: Random) -> None:
    """As a rollback does it: whatever the order, the bytes of before come back."""
    text, document, writer = written(random)
    sets: dict[Key, str] = {}
    for parent in random.sample(writer.mappings, min(len(writer.mappings), random.randint(1, 3))):
        start = at(text, document, parent)
        nulls = [name for name in start if start[name] is None]
        head = random.choice([*nulls, "new"])
        for names in random.sample([("a",), ("b", "c"), ("b", "d"), ("e", "f", "g")], random.randint(1, 3)):
            sets[*parent, head, *names] = "5"
    emptied: dict[Key, str | None] = {}
    for key in {added[:length] for added in sets for length in range(1, len(added))}:
        try:
            at(text, document, key)
        except (KeyError, TypeError):
            emptied[key] = None
        else:
            found = find_scalar(text, document, key, path="f.yaml")
            emptied |= {key: found.value} if found is not None else {}

    result = set_scalars(text, document, sets, path="f.yaml")

    gone = random.sample(list(sets), len(sets))
    assert remove_keys(result, document, gone, path="f.yaml", emptied=emptied) == text
    without = remove_keys(result, document, gone, path="f.yaml")
    assert b"{}" in without, "unless it is told to, it leaves the mappings"


@given(random=st.randoms(use_true_random=False))
@settings(max_examples=250, deadline=None)
def test_removing_takes_the_key_and_nothing_else(random: Random) -> None:
    text, document, writer = written(random)
    parent = random.choice(writer.mappings)
    mapping = at(text, document, parent)
    if not mapping:
        return
    key = (*parent, random.choice(list(mapping)))

    try:
        result = remove_keys(text, document, [key], path="f.yaml")
    except InputError:  # a comment or blank line below the key would become part of a block scalar above it
        assert b"text # no comment" in text
        return

    differences = changed(dict(values(text))[document], dict(values(result))[document])
    assert set(differences) == {key} or key[-1] == "name"
    assert key[-1] == "name" or differences[key][1] is ...
    assert key[-1] == "name" or remove_keys(result, document, [key], path="f.yaml") == result


@given(random=st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_many_edits_at_once_are_the_edits_one_after_the_other(random: Random) -> None:
    text, document, writer = written(random)
    edits = {key: random.choice(PLAIN + NUMBERS + OTHER) for key in writer.scalars if random.random() < 0.5}
    edits |= {(*parent, f"new{i}"): "5" for i, parent in enumerate(writer.mappings) if random.random() < 0.3}

    at_once = set_scalars(text, document, edits, path="f.yaml")

    one_by_one = text
    for key, new in edits.items():
        one_by_one = set_scalars(one_by_one, document, {key: new}, path="f.yaml")
    assert at_once == one_by_one
