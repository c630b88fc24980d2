"""Templates: the project's own, and what a fleet repo's override may not do."""

from pathlib import Path
from time import perf_counter

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import InputError
from reconciler.render.scalars import quoted_scalar, yaml_scalar
from reconciler.render.templates import Templates

BUILTIN = {path.name: path.read_text() for path in (Path(__file__).resolve().parents[3] / "templates").glob("*.j2")}


def overriding(text: str) -> Templates:
    return Templates({"a.j2": "x"}, {"a.j2": text})


def test_the_projects_own_templates_all_compile() -> None:
    assert len(BUILTIN) == 11
    templates = Templates(BUILTIN, BUILTIN)  # as overrides they are compiled at once, under the same rules
    assert all(templates.overridden(name) for name in BUILTIN)


def test_an_override_is_used_instead() -> None:
    templates = overriding("{% for name in names %}{{ name | upper }};{% endfor %}")
    assert templates.render("a.j2", {"names": ["a", "b"]}) == "A;B;"


def test_an_override_of_nothing_is_told() -> None:
    with pytest.raises(InputError, match=r"templates/hap\.yaml\.j2: Trimtab has no template") as caught:
        Templates({"hpa.yaml.j2": ""}, {"hap.yaml.j2": ""})
    assert "hpa.yaml.j2" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a\n{% if %}", 2, "Expected an expression"),
        ("{{ 'a' | nope }}", 1, "No filter named 'nope'"),
        ("a\n\n{% macro m() %}{% endmacro %}", 3, "macros cannot be used"),
        ("{% include 'a.j2' %}", 1, "include cannot be used"),
        ("{% for a in 'b' recursive %}{% endfor %}", 1, "recursive"),
    ],
)
def test_a_broken_override_is_told_before_it_is_used(text: str, line: int, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        overriding(text)
    assert (caught.value.where.path, caught.value.where.line) == ("templates/a.j2", line)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n\n{{ nope }}", 3),
        ("{% for a in range(3) %}\n{{ a.b.c }}\n{% endfor %}", 2),
        ("\n{{ 1 / 0 }}", 2),
    ],
)
def test_a_failing_override_is_told_by_line(text: str, line: int) -> None:
    with pytest.raises(InputError, match="delete it to go back") as caught:
        overriding(text).render("a.j2", {})
    assert (caught.value.where.path, caught.value.where.line) == ("templates/a.j2", line)


HOSTILE = [
    "{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}{% endfor %}{% endfor %}{% endfor %}",
    "{{ range(1000000000) | max }}",
    "{% for a in range(900) %}{{ 'x' * 60000 }}{% endfor %}",
    "{{ 'x' * 1000000000 }}",
    "{% set x = 'x' * 60000 %}{% set x = x + x %}{% set x = x + x %}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ 'x'.ljust(1000000000) }}",
    "{{ 'x' | center(1000000000) }}",
    "{{ 9 ** 9 ** 9 ** 9 }}",
    "{% set x = 10000 %}{% set x = x * x %}{{ x * x }}",
    "{% set x = names %}{% set x = x + x %}",
    "{% set x = [names, names] %}{{ [x, x] }}",
    "{% set x = (names, names) %}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ names.__class__ }}{{ names.append(1) }}",
    "{{ self._TemplateReference__context.environment }}",
    "{{ range.__globals__ }}",
    "{{ _budget.take(names, -1000000) }}",
    "{{ lipsum(100000) }}",
    "{{ cycler.__init__.__globals__ }}",
    "{% set ns = namespace(x='x') %}{% for i in names %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "{% if true %}" * 900 + "{% endif %}" * 900,
    "x" * 20_000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_override_gets_nowhere(text: str) -> None:
    start = perf_counter()
    with pytest.raises(InputError):
        overriding(text).render("a.j2", {"names": ["a", "b", "c"]})
    assert perf_counter() - start < 5


@given(st.text() | st.from_regex(r"[0-9.eE:_x+-]{1,8}", fullmatch=True) | st.sampled_from(["on", "NULL", "~", "Off"]))
def test_a_scalar_is_read_back_as_the_same_text(text: str) -> None:
    assert yaml.safe_load(f"key: {quoted_scalar(text)}") == {"key": text}
    assert yaml.safe_load(f"key: {yaml_scalar(text)}") == {"key": text}
    assert yaml.safe_load(f"- {yaml_scalar(text)}\n- x") == [text, "x"]


@pytest.mark.parametrize(
    ("text", "scalar"),
    [
        ("web", "web"),
        ("apps/v1", "apps/v1"),
        ("250m", "250m"),
        ("512Mi", "512Mi"),
        ("1.5Gi", "1.5Gi"),
        ("2", '"2"'),
        ("1e3", '"1e3"'),  # a number to YAML 1.2, text to PyYAML
        ("12:30", '"12:30"'),
        ("yes", '"yes"'),
        ("2026-06-16", '"2026-06-16"'),
        ("", '""'),
        ("a: b # c", '"a: b # c"'),
    ],
)
def test_only_what_needs_quotes_is_quoted(text: str, scalar: str) -> None:
    assert yaml_scalar(text) == scalar
