"""Reading YAML: values as Kubernetes reads them, places for people, and refusals that name the place."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from reconciler.errors import InputError
from reconciler.manifests import yaml_reader
from reconciler.manifests.yaml_reader import load_all, load_config, load_configs
from reconciler.manifests.yaml_scalars import plain_value

BOUTIQUE = Path(__file__).resolve().parents[3] / "../shared/real/online-boutique"

SCALAR_TEXT = """
    y N on off Yes NO true False ~ null 0 00 -0 010 -010 +010 08 0o10 -0o7 0O7 0x1F -0x1F 0X1 0x 0x_1 0b11 -0b11 0B1
    1_000 1_ 1__0 0_1 +5 123456789012345678901234 -9223372036854775808
    1:30 22:22 1e3 1E3 1e-3 .5 -.5 +.5 5. 0.10 1.0 1.5_0 1_0.5 .5_0 1e400 .e5 . + 1.2.3 v1 100m 64Mi 0.5Gi 1Ki e3 _1
    2001-01-01 2001-01-01T00:00:00Z 10.0.0.1 = abc
"""
PLAIN_SCALARS = SCALAR_TEXT.split()


def one(text: str) -> Any:
    (document,) = load_all(text.encode(), path="f.yaml")
    return document.value


def refusal(text: str | bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        load_all(text if isinstance(text, bytes) else text.encode(), path="f.yaml")
    return caught.value


def test_plain_scalars_mean_what_they_mean_to_kubectl(tmp_path: Path) -> None:
    head = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\nspec:\n"
    manifest = head + "".join(f"  - {text}\n" for text in PLAIN_SCALARS)
    (tmp_path / "thing.yaml").write_text(manifest)
    command = [Path(sys.executable).parent / "kubectl", "label", "--local", "-f", tmp_path / "thing.yaml", "a=b"]
    told = subprocess.run([*command, "-o", "json"], check=True, capture_output=True, env={"HOME": str(tmp_path)})

    theirs = json.loads(told.stdout)["spec"]

    ours = one(manifest)["spec"]
    assert dict(zip(PLAIN_SCALARS, ours, strict=True)) == dict(zip(PLAIN_SCALARS, theirs, strict=True))
    assert [type(a) for a in ours if not isinstance(a, float)] == [
        type(b) for a, b in zip(ours, theirs, strict=True) if not isinstance(a, float)
    ]


def test_quoted_scalars_are_text() -> None:
    assert one("""{a: "1", b: 'on', c: "", d: '~'}""") == {"a": "1", "b": "on", "c": "", "d": "~"}


def test_standard_tags_are_followed() -> None:
    assert one("{a: !!str 1, b: !!int '5', c: !!float 3, d: !!null '', e: !!bool 'on', f: !!binary aGk=}") == {
        "a": "1",
        "b": 5,
        "c": 3.0,
        "d": None,
        "e": True,
        "f": "hi",
    }


def test_keys_are_text_as_in_json() -> None:
    assert one("{80: a, yes: b, 1.5: c, '010': d, 010: e}") == {
        "80": "a",
        "true": "b",
        "1.5": "c",
        "010": "d",
        "8": "e",
    }


def test_documents_are_numbered_with_the_blank_ones_and_know_their_line() -> None:
    documents = load_all(b"# head\n---\n---\n\n# c\na: 1\n---\n# nothing\n---\nb: 2\n...\n", path="f.yaml")

    assert [(d.index, d.line, d.value) for d in documents] == [(1, 6, {"a": 1}), (3, 10, {"b": 2})]


@pytest.mark.parametrize("text", [b"", b"\n\n", b"# only a comment\n", b"---\n", b"\xef\xbb\xbf"])
def test_a_blank_file_has_no_documents(text: bytes) -> None:
    assert load_all(text, path="f.yaml") == []


def test_byte_order_mark_and_windows_line_ends_are_read() -> None:
    assert load_all("\ufeffa: ü\r\nb:\r\n  - 1\r\n".encode(), path="f.yaml")[0].value == {"a": "ü", "b": [1]}


def test_merge_keys_yield_to_the_mapping_s_own_keys_and_to_earlier_ones() -> None:
    text = "base: &a {x: 1, w: 2}\nmore: &b {<<: *a, w: 3, z: 4}\nall: {<<: [*a, *b], x: 0}\nlist:\n- <<: *b\n  z: 5\n"

    value = one(text)

    assert value["all"] == {"x": 0, "w": 2, "z": 4}
    assert value["list"] == [{"x": 1, "w": 3, "z": 5}]
    assert value["more"] == {"x": 1, "w": 3, "z": 4}


def test_a_quoted_merge_key_is_a_key() -> None:
    assert one('{"<<": 1}') == {"<<": 1}


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", (3, 1), "duplicate key 'a'"),
        ("x:\n  - {1: a, '1': b}\n", (2, 12), "duplicate key '1'"),
        ("a: !secret x\n", (1, 4), "tag !secret"),
        ("a: !!python/name:os.system x\n", (1, 4), "tag !!python/name:os.system"),
        ("a: !!set {x}\n", (1, 4), "tag !!set"),
        ("a: !!int x\n", (1, 4), "tag !!int"),
        ("a: &x [1, *x]\n", (1, 11), "alias *x"),
        ("a: &x {b: *x}\n", (1, 11), "alias *x"),
        ("a: *nope\n", (1, 4), "alias *nope"),
        ("a: &x 1\n---\nb: *x\n", (3, 4), "alias *x"),
        ("<<: 5\n", (1, 1), "<<"),
        ("a: [1, 2\nb: 3\n", (2, 2), "not valid YAML"),
        ("a: 1\n b: 2\n", (2, 3), "mapping values are not allowed"),
        ("a:\n\t- b\n", (2, 1), "cannot start any token"),
        ("{a: 1}: 2\n", (1, 1), "cannot be a key"),
        ("x: {{ .Values.y }}\n", (1, 5), "cannot be a key"),
        ("~: 1\n", (1, 1), "a key must be"),
        ("&a [1]: 1\n", (1, 1), "cannot be a key"),
        ("a: &a [1]\n*a : 1\n", (2, 1), "a key must be"),
        ("a:\n  b: \x01\n", (2, 6), "control characters"),
    ],
)
def test_what_cannot_be_read_is_refused_at_its_place(text: str, place: tuple[int, int], words: str) -> None:
    error = refusal(text)

    assert error.where is not None
    assert (error.where.path, error.where.line, error.where.column) == ("f.yaml", *place)
    assert words in error.message


def test_bytes_that_are_not_utf_8_are_refused_at_their_place() -> None:
    error = refusal("a: ü\nb: x".encode() + b"\xff")
    assert error.where is not None
    assert (error.where.line, error.where.column) == (2, 5)
    assert "UTF-16" in refusal("a: 1\n".encode("utf-16")).message


def test_a_file_over_the_size_limit_is_refused() -> None:
    assert "bytes" in refusal(b"a: " + b"x" * yaml_reader.MAX_BYTES).message


def test_the_limits_hold_exactly() -> None:
    deep = yaml_reader.MAX_NESTING
    assert one("[" * deep + "]" * deep)
    assert "nested deeper than 100" in refusal("[" * (deep + 1) + "]" * (deep + 1)).message
    aliases = "a: &a 1\nb: [" + ", ".join(["*a"] * yaml_reader.MAX_ALIASES)
    assert one(aliases + "]")["b"] == [1] * yaml_reader.MAX_ALIASES
    assert "more than 100 aliases" in refusal(aliases + ", *a]").message


@pytest.mark.parametrize("text", ["[" * 200_000, "- " * 200_000, "{a: " * 100_000, "- ? " * 100_000])
def test_hostile_nesting_is_refused_and_not_a_crash(text: str) -> None:
    assert refusal(text).message in ("nested deeper than 100 levels", "a list or mapping cannot be a key")


def test_an_alias_bomb_is_refused_before_anything_walks_it() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
    )
    assert "stand for more than" in refusal(bomb).message


def test_nesting_through_aliases_counts() -> None:
    depth = 60
    text = f"a: &a {'[' * depth}{']' * depth}\nb: {'[' * depth}*a{']' * depth}\n"
    assert "through the alias *a" in refusal(text).message


def test_real_manifests_are_read() -> None:
    kinds = []
    for path in sorted(BOUTIQUE.glob("*.yaml")):
        kinds += [document.value["kind"] for document in load_all(path.read_bytes(), path=path.name)]
    assert kinds.count("Deployment") == 12
    assert "Kustomization" in kinds


# --- places ---------------------------------------------------------------------------------------------------------

CONFIG = b"""\
apiVersion: v1
spec:
  clusters:
    - name: prod
      roots: [{path: a}, {path: b}]
  windows:
    maintenance: ["* 22 * * *", '* 23 * * *']
"""


@pytest.mark.parametrize(
    ("key_path", "place", "field"),
    [
        (("spec",), (2, 1), "spec"),
        (("spec", "clusters", 0), (4, 7), "spec.clusters[0]"),
        (("spec", "clusters", 0, "name"), (4, 7), "spec.clusters[0].name"),
        (("spec", "clusters", 0, "roots", 1, "path"), (5, 27), "spec.clusters[0].roots[1].path"),
        (("spec", "windows", "maintenance", 1), (7, 33), "spec.windows.maintenance[1]"),
        (("spec", "windows", "nope", "deeper"), (6, 3), "spec.windows.nope.deeper"),
        ((), (1, 1), ""),
    ],
)
def test_each_field_knows_its_place_or_its_parent_s(
    key_path: tuple[str | int, ...], place: tuple[int, int], field: str
) -> None:
    where = load_config(CONFIG, path="trimtab.yaml").where(key_path)
    assert (where.path, where.line, where.column, where.field) == ("trimtab.yaml", *place, field)


def test_places_are_found_through_merge_keys_and_aliases() -> None:
    located = load_config(b"base: &b\n  x: 1\nspec:\n  <<: *b\n  z: *b\n", path="f.yaml")
    assert located.where(("spec", "x")).line == 2
    assert located.where(("spec", "z")).line == 5
    assert located.value["spec"] == {"x": 1, "z": {"x": 1}}


def test_a_config_file_holds_exactly_one_document() -> None:
    with pytest.raises(InputError, match="the file is empty"):
        load_config(b"# nothing\n", path="trimtab.yaml")
    with pytest.raises(InputError, match=r"trimtab.yaml:3:1: more than one document"):
        load_config(b"a: 1\n---\nb: 2\n", path="trimtab.yaml")


def test_documents_of_one_file_each_know_their_places() -> None:
    first, second = load_configs(b"a: 1\n---\n---\nb:\n  c: 2\n", path="f.yaml")
    assert (first.where(("a",)).line, second.where(("b", "c")).line) == (1, 5)
    assert (first.index, second.index) == (0, 2)


def test_a_directive_and_an_anchor_that_is_set_twice_are_read() -> None:
    located = load_config(b"%YAML 1.1\n---\na: &n 1\nb: &n 2\nc: *n\n", path="f.yaml")
    assert located.value == {"a": 1, "b": 2, "c": 2}


def test_a_config_is_held_to_the_same_limits() -> None:
    with pytest.raises(InputError, match="duplicate key"):
        load_config(b"a: 1\na: 2\n", path="f.yaml")
    with pytest.raises(InputError, match="nested deeper"):
        load_config(b"[" * 5000, path="f.yaml")


# --- two readers ----------------------------------------------------------------------------------------------------

WORDS = st.from_regex(r"\A[a-cA-C][a-c0-9./: #-]{0,10}\Z") | st.sampled_from(
    ["1", "0.5", "true", "null", "64Mi", "", "ü: x"]
)
SCALARS = (
    WORDS | st.integers(-(2**53), 2**53) | st.booleans() | st.none() | st.floats(0.001, 1000).map(lambda x: round(x, 3))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=20,
)


@given(value=st.dictionaries(WORDS, VALUES, min_size=1, max_size=4), flow=st.booleans(), indent=st.sampled_from([2, 4]))
@settings(max_examples=60, deadline=None)
def test_ordinary_manifests_mean_the_same_to_ruamel(value: Any, flow: bool, indent: int) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow, indent=indent, allow_unicode=True, encoding="utf-8")
    reader = YAML(typ="safe", pure=True)

    assert one(text.decode()) == reader.load(text) == load_config(text, path="f.yaml").value == value


def test_real_manifests_mean_the_same_to_ruamel() -> None:
    for path in sorted(BOUTIQUE.glob("*.yaml")):
        theirs = [value for value in YAML(typ="safe", pure=True).load_all(path.read_bytes()) if value is not None]
        ours = load_all(path.read_bytes(), path=path.name)
        assert [document.value for document in ours] == theirs
        places = [located.where(()).line for located in load_configs(path.read_bytes(), path=path.name)]
        assert places == [document.line for document in ours]


@given(st.text("0123456789abcdefxoXeE_+-.:~yn", min_size=1, max_size=12))
@settings(max_examples=300, deadline=None)
def test_any_plain_scalar_has_a_value_that_json_can_hold(text: str) -> None:
    json.dumps(plain_value(text), allow_nan=False)
