"""Filters made at random, printed, read again, and asked the same questions as an evaluator that is naive."""

import re
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.evaluate.filters import FilterError, FilterSubject, parse

SCALARS = {
    "cluster": "cluster",
    "node": "node",
    "namespace": "namespace",
    "controllerKind": "controller_kind",
    "controllerName": "controller_name",
    "container": "container",
    "pod": "pod",
    "provider": "provider",
}
ALIASES = {
    "department": ["department"],
    "environment": ["environment", "env"],
    "owner": ["owner"],
    "product": ["product", "app"],
    "team": ["team"],
}
OPERATORS = [":", "!:", "~:", "!~:", "<~:", "!<~:", "~>:", "!~>:"]

words = st.sampled_from(["", "a", "b", "ab", "ba", "Ab", "a b", "(a", "a+b|", "a\\", "é"])
keys = st.sampled_from(["a", "b", "app.io/a-b", "app_io_a_b", "team", "owner", "env", "environment", "app"])


@dataclass(frozen=True)
class Leaf:
    field: str
    key: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    join: str
    parts: tuple["Leaf | Group", ...]


leaves = st.builds(
    Leaf,
    field=st.sampled_from([*SCALARS, *ALIASES, "services"]),
    key=st.just(""),
    operator=st.sampled_from(OPERATORS),
    values=st.lists(words, min_size=1, max_size=3).map(tuple),
) | st.builds(
    Leaf,
    field=st.sampled_from(["label", "annotation"]),
    key=st.just("") | keys,
    operator=st.sampled_from(OPERATORS),
    values=st.lists(words | keys, min_size=1, max_size=3).map(tuple),
)
trees = st.recursive(
    leaves,
    lambda inner: st.builds(
        Group, join=st.sampled_from("+|"), parts=st.lists(inner, min_size=2, max_size=3).map(tuple)
    ),
    max_leaves=8,
)
maps = st.dictionaries(keys, words, max_size=4)
subjects = st.builds(
    FilterSubject,
    **dict.fromkeys(SCALARS.values(), words),
    services=st.lists(words, max_size=3).map(tuple),
    labels=maps,
    annotations=maps,
)


def printed(tree: Leaf | Group, space: str) -> str:
    if isinstance(tree, Leaf):
        key = f"[{tree.key}]" if tree.key else ""
        values = f"{space},{space}".join(f'"{value}"' for value in tree.values)
        return f"{tree.field}{space}{key}{space}{tree.operator}{space}{values}"
    parts = [printed(p, space) if isinstance(p, Leaf) else f"({space}{printed(p, space)})" for p in tree.parts]
    return f"{space}{tree.join}{space}".join(parts)


def prometheus(name: str) -> str:
    return re.sub("[^a-zA-Z0-9_]", "_", name)


def naive_text(operator: str, actual: str, value: str) -> bool:
    return {
        ":": actual == value,
        "~:": value in actual,
        "<~:": actual.startswith(value),
        "~>:": actual.endswith(value),
    }[operator]


def naive_leaf(leaf: Leaf, operator: str, value: str, subject: FilterSubject) -> bool:
    presence = ":" if operator == "~:" else operator
    if leaf.field == "services":
        if not subject.services:
            return presence == ":" and value == ""
        return any(naive_text(presence, service, value) for service in subject.services)
    if leaf.field in ALIASES:
        there = [m[n] for m in (subject.labels, subject.annotations) for n in ALIASES[leaf.field] if n in m]
        return naive_text(operator, [*there, ""][0], value)
    if leaf.field in ("label", "annotation"):
        return naive_map(leaf, operator, value, subject.labels if leaf.field == "label" else subject.annotations)
    actual = getattr(subject, SCALARS[leaf.field])
    if leaf.field == "controllerKind":
        return naive_text(operator, actual.lower(), value.lower())
    return naive_text(operator, actual, value)


def naive_map(leaf: Leaf, operator: str, value: str, names: dict[str, str]) -> bool:
    if not leaf.key:
        pairs = [(name, value) for name in names]
        pairs += [(prometheus(name), value) for name in names] + [(name, prometheus(value)) for name in names]
        return any(naive_text(":" if operator == "~:" else operator, name, wanted) for name, wanted in pairs)
    key = leaf.key
    spelled = [key] * (key in names) or [n for n in names if key == prometheus(n) or n == prometheus(key)]
    return naive_text(operator, names[spelled[0]] if spelled else "", value)


def naive(tree: Leaf | Group, subject: FilterSubject) -> bool:
    if isinstance(tree, Group):
        results = [naive(part, subject) for part in tree.parts]
        return all(results) if tree.join == "+" else any(results)
    negated = tree.operator.startswith("!")
    holds = [naive_leaf(tree, tree.operator.lstrip("!"), value, subject) for value in tree.values]
    return not any(holds) if negated else any(holds)


@settings(max_examples=400, deadline=None)
@given(trees, st.lists(subjects, min_size=1, max_size=4), st.sampled_from(["", " ", "\n\t"]))
def test_a_printed_filter_means_what_it_meant(tree: Leaf | Group, asked: list[FilterSubject], space: str) -> None:
    text = printed(tree, space)
    found = parse(text)
    assert found.text == text
    for subject in asked:
        assert found.matches(subject) == naive(tree, subject), text


soup = st.lists(
    st.sampled_from(
        [*OPERATORS, "namespace", "label", "zone", "[a]", "[", '"a"', '"', ",", "+", "|", "(", ")", " ", "é"]
    ),
    max_size=20,
).map("".join) | st.text(max_size=40)


@settings(max_examples=400, deadline=None)
@given(soup)
def test_any_text_is_read_or_refused_at_a_column(text: str) -> None:
    try:
        found = parse(text)
    except FilterError as error:
        assert 1 <= error.column <= len(text) + 1
        caret = error.message.splitlines()[-1]
        assert caret.strip() == "^"
    else:
        assert found.matches(FilterSubject()) in (True, False)
