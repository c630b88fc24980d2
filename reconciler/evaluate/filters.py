"""The Kubecost allocation filter language, version 2: which workloads an action is about.

    namespace:"shop" + (label[app]:"web","api" | controllerKind!:"Job")

Grammar and meaning follow OpenCost (``core/pkg/filter``): ``+`` is and, ``|`` is or, and mixing the two needs
parentheses; a list of values means any of them, after a negated operator none of them; a value runs to the next
double quote, without escapes; an empty filter matches everything.

On a list (``services``) and on a map without key (``label:"app"``) ``:`` and ``~:`` ask for presence. A label or
annotation may be written as Kubernetes has it or as Prometheus and OpenCost spell it (``app.kubernetes.io/name``,
``app_kubernetes_io_name``). A label that is not there reads as the empty string, and so does ``__unallocated__``.
An alias (``team``) reads the label of that name and, where there is no such label, the annotation.
"""

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from reconciler.errors import InputError

LONGEST = 4096
DEEPEST = 50
_SHOWN = 60  # characters around an error

_GRAMMAR = r"""
    start: [_group]
    _group: _element | conjunction | disjunction
    conjunction: _element ("+" _element)+
    disjunction: _element ("|" _element)+
    _element: comparison | "(" _group ")"
    comparison: NAME [KEY] OPERATOR STRING ("," STRING)*

    NAME: /[\w-]+/
    KEY: /\[[^\]]*\]/
    OPERATOR: /!?(<~|~>|~)?:/
    STRING: /"[^"]*"/
    %ignore /[ \t\r\n]+/
"""

_MAPS = {"label": "labels", "annotation": "annotations"}
_LISTS = {"services": "services"}
_SCALARS = {
    "cluster": "cluster",
    "node": "node",
    "namespace": "namespace",
    "controllerKind": "controller_kind",
    "controllerName": "controller_name",
    "container": "container",
    "pod": "pod",
    "provider": "provider",
}
# OpenCost lets an installation choose the label behind each; its own name, and what Kubecost ships with where that is
# another one, are the choices that need no setting.
_ALIASES = {
    "department": ("department",),
    "environment": ("environment", "env"),
    "owner": ("owner",),
    "product": ("product", "app"),
    "team": ("team",),
}
NOT_DECLARED = ("node", "pod", "provider", "services")
"""Fields that only what runs has: of what Git declares they read as empty."""
_FIELDS = (*_SCALARS, *_LISTS, *_MAPS, *_ALIASES)
_UNALLOCATED = "__unallocated__"
_OPERATORS = ": !: ~: !~: <~: !<~: ~>: !~>:"
_KEY = re.compile(r"[A-Za-z0-9._/-]+")
_JOINS = {"PLUS": "+", "VBAR": "|"}
# In the order in which they are told, when several would do.
_EXPECTED = {
    "NAME": 'a comparison, such as namespace:"web",',
    "STRING": 'a value in double quotes, such as "web",',
    "OPERATOR": f"an operator ({_OPERATORS})",
    "RPAR": "a closing )",
    "PLUS": "+ or |",
    "VBAR": "+ or |",
    "$END": "the end",
}


class FilterError(InputError):
    """A filter that cannot be read. ``column`` counts characters from 1; the text shows the place with a caret."""

    def __init__(self, message: str, text: str, column: int, *, hint: str = "") -> None:
        self.column = column
        super().__init__(f"column {column}: {message}\n{_caret(text, column)}", hint=hint)


@dataclass(frozen=True)
class FilterSubject:
    """What a filter is asked about; what is not known stays empty."""

    cluster: str = ""
    node: str = ""
    namespace: str = ""
    controller_kind: str = ""
    controller_name: str = ""
    container: str = ""
    pod: str = ""
    provider: str = ""
    services: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """``match``: ``""`` equals, ``"~"`` contains, ``"<~"`` starts with, ``"~>"`` ends with. ``key`` "" = none."""

    field: str
    key: str
    match: str
    negated: bool
    values: tuple[str, ...]

    def matches(self, subject: FilterSubject) -> bool:
        return any(self._holds(value, subject) for value in self.values) != self.negated

    def _holds(self, value: str, subject: FilterSubject) -> bool:
        if self.field in _LISTS:
            return _any_item(self.match, getattr(subject, _LISTS[self.field]), value)
        if self.field in _MAPS and not self.key:
            return any(_named(self.match, name, value) for name in getattr(subject, _MAPS[self.field]))
        actual = self._actual(subject)
        if self.field == "controllerKind":
            return _compare(self.match, actual.casefold(), value.casefold())
        return _compare(self.match, actual, value)

    def _actual(self, subject: FilterSubject) -> str:
        if self.field in _MAPS:
            return _look_up(getattr(subject, _MAPS[self.field]), self.key)
        if self.field in _ALIASES:
            return _aliased(subject, _ALIASES[self.field])
        return str(getattr(subject, _SCALARS[self.field]))


@dataclass(frozen=True)
class All:
    """Every part matches; no parts match everything."""

    parts: tuple["Node", ...]

    def matches(self, subject: FilterSubject) -> bool:
        return all(part.matches(subject) for part in self.parts)


@dataclass(frozen=True)
class Some:
    """At least one part matches."""

    parts: tuple["Node", ...]

    def matches(self, subject: FilterSubject) -> bool:
        return any(part.matches(subject) for part in self.parts)


Node = Comparison | All | Some


@dataclass(frozen=True)
class Filter:
    """A filter, read. ``text`` is as it was written."""

    text: str
    node: Node

    def matches(self, subject: FilterSubject) -> bool:
        return self.node.matches(subject)

    @property
    def caution(self) -> str:
        """What a person should know who asks for what Git does not declare; empty where there is nothing to say."""
        asked = sorted(_fields_of(self.node) & set(NOT_DECLARED))
        verb = "reads" if len(asked) == 1 else "read"
        return f"the filter asks for {' and '.join(asked)}, which {verb} as empty of what Git declares" if asked else ""


def _fields_of(node: Node) -> set[str]:
    if isinstance(node, Comparison):
        return {node.field}
    return {name for part in node.parts for name in _fields_of(part)}


@lru_cache(maxsize=256)
def parse(text: str) -> Filter:
    """Read a filter.

    :raises FilterError: pointing at the column; also for more than 4,096 characters or 50 parentheses deep.
    """
    _check_size(text)
    try:
        tree = _parser().parse(text)
    except UnexpectedCharacters as error:
        raise _bad_character(text, error.pos_in_stream or 0) from None
    except UnexpectedToken as error:
        raise _bad_token(text, error) from None
    return Filter(text, _node(tree, text))


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", lexer="basic")


def _check_size(text: str) -> None:
    """Parsing and matching recurse as deep as the parentheses go, so that depth is checked first, without recursion."""
    if len(text) > LONGEST:
        raise FilterError(f"a filter of {len(text)} characters; at most {LONGEST} are read", text, LONGEST + 1)
    depth = 0
    for found in re.finditer(r'"[^"]*"|\[[^\]]*\]|[()]', text):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth > DEEPEST:
            raise FilterError(f"more than {DEEPEST} parentheses deep", text, found.start() + 1)


def _node(tree: Tree[Token], text: str) -> Node:
    if tree.data == "comparison":
        return _comparison([child for child in tree.children if isinstance(child, Token)], text)
    parts = tuple(_node(child, text) for child in tree.children if isinstance(child, Tree))
    if tree.data == "disjunction":
        return Some(parts)
    return parts[0] if len(parts) == 1 else All(parts)


def _comparison(tokens: list[Token], text: str) -> Comparison:
    name, *rest = tokens
    if name not in _FIELDS:
        near = get_close_matches(name, _FIELDS, n=1, cutoff=0.7)
        hint = f"did you mean {near[0]}?" if near else f"fields are {', '.join(_FIELDS)}"
        raise FilterError(f"unknown field {_short(name)}", text, _column(name), hint=hint)
    key = _key(name, rest.pop(0), text) if rest[0].type == "KEY" else ""
    operator, *values = rest
    return Comparison(
        field=str(name),
        key=key,
        match=operator.strip("!:"),
        negated=operator.startswith("!"),
        values=tuple("" if value[1:-1] == _UNALLOCATED else value[1:-1] for value in values),
    )


def _key(name: Token, token: Token, text: str) -> str:
    key = token[1:-1]
    if name not in _MAPS:
        message = f"{name} takes no key in brackets; only {' and '.join(_MAPS)} do"
        raise FilterError(message, text, _column(token), hint=f'write {name}:"value"')
    if not _KEY.fullmatch(key):
        hint = "a key has letters, digits, and . _ - / without quotes, such as label[app.kubernetes.io/name]"
        raise FilterError(f"{_short(key)} is no key of a {name}", text, _column(token) + 1, hint=hint)
    return key


def _bad_character(text: str, position: int) -> FilterError:
    character = text[position]
    what, hint = {
        '"': ("the value that starts here is never closed", 'end it with "'),
        "[": ("the key that starts here is never closed", "end it with ]"),
        "'": ("values are written in double quotes", 'write "value"'),
        "&": ("& is no operator", "write + for and"),
        **{sign: (f"{sign} is no operator by itself", f"operators are {_OPERATORS}") for sign in "=!~<>"},
    }.get(character, (f"{character!r} is not expected here", ""))
    return FilterError(what, text, position + 1, hint=hint)


def _bad_token(text: str, error: UnexpectedToken) -> FilterError:
    token, expected = error.token, error.accepts or error.expected
    at_end = token.type == "$END"
    column = len(text) + 1 if at_end else _column(token)
    if token.type in _JOINS and _JOINS.keys() & expected:
        hint = "put one of them in parentheses, such as a + (b | c)"
        return FilterError("+ and | are mixed without parentheses", text, column, hint=hint)
    if token.type == "RPAR" and "NAME" not in expected:
        return FilterError("this ) has no ( before it", text, column)
    wanted = next(words for kind, words in _EXPECTED.items() if kind in expected)
    found = "the filter ends" if at_end else f"{_short(token)} is found"
    return FilterError(f"{found} where {wanted} is expected", text, column)


def _short(text: str) -> str:
    """Quoted for a message, which a value of thousands of characters would drown."""
    return repr(str(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def _column(token: Token) -> int:
    """By the position in the whole text, for a filter may run over several lines."""
    assert token.start_pos is not None
    return token.start_pos + 1


def _caret(text: str, column: int) -> str:
    """The surroundings of ``column`` on one line, and a caret below it."""
    start = max(0, min(column - 1 - _SHOWN // 2, len(text) - _SHOWN))
    before, after = "…" if start else "", "…" if start + _SHOWN < len(text) else ""
    line = re.sub(r"[^ -~\u00a1-\uffff]", " ", text[start : start + _SHOWN])
    return f"  {before}{line}{after}\n  {' ' * (len(before) + column - 1 - start)}^"


def _compare(match: str, actual: str, value: str) -> bool:
    if match == "~":
        return value in actual
    if match == "<~":
        return actual.startswith(value)
    return actual.endswith(value) if match == "~>" else actual == value


def _present(match: str, item: str, value: str) -> bool:
    return _compare("" if match == "~" else match, item, value)


def _any_item(match: str, items: tuple[str, ...], value: str) -> bool:
    if not items and match in ("", "~"):
        return value == ""
    return any(_present(match, item, value) for item in items)


def _named(match: str, name: str, value: str) -> bool:
    """Presence of a name in a map, in either spelling on either side."""
    return (
        _present(match, name, value)
        or _present(match, _sanitized(name), value)
        or _present(match, name, _sanitized(value))
    )


def _look_up(names: dict[str, str], key: str) -> str:
    """The value of ``key``, exactly spelled if there is one, else in the other spelling; "" when there is none."""
    if key in names:
        return names[key]
    same = sorted(name for name in names if _sanitized(name) == key or name == _sanitized(key))
    return names[same[0]] if same else ""


def _aliased(subject: FilterSubject, names: tuple[str, ...]) -> str:
    """The first of the labels that is there, even if empty; without one, the first of the annotations."""
    for named in (subject.labels, subject.annotations):
        for name in names:
            if name in named:
                return named[name]
    return ""


def _sanitized(name: str) -> str:
    """As Prometheus and OpenCost spell the name of a label."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", name)
