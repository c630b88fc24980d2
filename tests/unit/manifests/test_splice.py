"""Splicing scalars: what is found, what is refused and why, and how a new value is quoted."""

import pytest

from reconciler.errors import InputError
from reconciler.manifests.splice import Found, find_scalar, remove_keys, set_scalars

SHARED = """\
base: &base
  requests: {cpu: 100m}
  image: &image app:1
web:
  <<: *base
  replicas: 2
worker: *base
sidecar:
  image: *image
items:
- &first
  name: a
  cpu: 1
- name: b
  cpu: 2
"""


def set_one(text: str, key: str, new: str, document: int = 0) -> str:
    return set_scalars(text.encode(), document, {tuple(key.split("/")): new}, path="f.yaml").decode()


def refusal(text: str, key: str, new: str = "9", document: int = 0) -> str:
    with pytest.raises(InputError) as caught:
        set_one(text, key, new, document)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "key", "found"),
    [
        ("a:\n  b:   'x y' # c\n", "a/b", Found("x y", 2, 8)),
        ("a: {b: 1, c: 2}\n", "a/c", Found("2", 1, 14)),
        ("a:\n- name: x\n  cpu: 100m\n- name: z\n  cpu: 200m\n", "a/z/cpu", Found("200m", 5, 8)),
        ("a: !!str &n 5\n", "a", Found("5", 1, 13)),
        ("a:\nb: 1\n", "a", Found("", 1, 3)),
        ("a: |\n  text\n", "a", Found("text\n", 1, 4)),
        ("a: 1\n", "b", None),
        ("a: {b: 1}\n", "a", None),
        ("a: 1\n", "a/b", None),
        ("a: [1]\n", "a/x", None),
        ("8080: x\n", "8080", Found("x", 1, 7)),
        (SHARED, "worker/requests/cpu", Found("100m", 2, 19)),
        (SHARED, "web/requests/cpu", Found("100m", 2, 19)),
        (SHARED, "sidecar/image", Found("app:1", 3, 17)),
    ],
)
def test_a_scalar_is_found_where_it_is_written(text: str, key: str, found: Found | None) -> None:
    assert find_scalar(text.encode(), 0, tuple(key.split("/")), path="f.yaml") == found


def test_lines_are_counted_over_all_documents() -> None:
    text = b"\xef\xbb\xbfa: 1\r\n---\r\n# c\r\na: 2\r\n"
    assert find_scalar(text, 1, ("a",), path="f.yaml") == Found("2", 4, 4)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("worker/requests/cpu", "f.yaml:7:1: worker.requests.cpu: the value comes from an alias"),
        ("web/requests/cpu", "f.yaml:5:3: web.requests.cpu: the value comes from a merge key (<<)"),
        ("web/image", "comes from a merge key"),
        ("sidecar/image", "f.yaml:9:3: sidecar.image: the value comes from an alias"),
        ("base/requests/cpu", "the value is used again through the alias *base"),
        ("base/image", "the value is used again through the alias *base"),
        ("base/limits/cpu", "the value is used again through the alias *base"),
    ],
)
def test_a_shared_value_is_refused_and_the_error_says_by_what_it_is_shared(key: str, words: str) -> None:
    assert words in refusal(SHARED, key)


def test_a_shared_value_is_not_removed_either_but_its_use_may_be() -> None:
    for key in (("worker", "image"), ("web", "image"), ("base", "image"), ("base",)):
        with pytest.raises(InputError):
            remove_keys(SHARED.encode(), 0, [key], path="f.yaml")
    assert remove_keys(SHARED.encode(), 0, [("worker",)], path="f.yaml").decode() == SHARED.replace(
        "worker: *base\n", ""
    )


def test_an_anchor_that_nothing_uses_does_not_stand_in_the_way() -> None:
    assert set_one(SHARED, "items/a/cpu", "3") == SHARED.replace("cpu: 1\n", "cpu: 3\n")
    assert set_one("a: &x 1\n", "a", "2") == "a: &x 2\n"
    assert set_one("a: !!str 1\n", "a", "2") == "a: !!str 2\n"
    assert set_one("a: &x\n", "a", "2") == "a: &x 2\n"


def test_beside_what_is_shared_a_value_of_one_s_own_is_edited() -> None:
    assert set_one(SHARED, "web/replicas", "3") == SHARED.replace("replicas: 2", "replicas: 3")


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("a:\n- name: x\n", "a/y/cpu", "f.yaml:2:1: a.y.cpu: no item of the list is named y"),
        ("a:\n- name: x\n- name: x\n", "a/x/cpu", "f.yaml:3:3: a.x.cpu: 2 items are named x"),
        ("a: 1\n", "a/b", "f.yaml:1:4: a.b: there is a value where a mapping with b is expected"),
        ("a: {b: 1}\n", "a", "a mapping or a list where one value is expected"),
        ("a: [1]\n", "a", "a mapping or a list where one value is expected"),
        ("a: |\n  x\n", "a", "block scalar"),
        ("a: 1\na: 2\n", "a", "duplicate key"),
        ("# nothing\n", "a", "no document 0"),
        ("---\n", "a", "the document is empty"),
        ("- 1\n", "a", "no item of the list is named a"),
        ("a: |\n  x", "b", "would change more than the value"),
    ],
)
def test_what_cannot_be_edited_is_refused_by_name(text: str, key: str, words: str) -> None:
    assert words in refusal(text, key)


def test_a_document_that_is_not_there_is_refused() -> None:
    assert "no document 1" in refusal("a: 1\n", "a", document=1)


def test_one_place_cannot_become_a_value_and_a_mapping() -> None:
    for keys in ([("b",), ("b", "c")], [("b", "c"), ("b",)]):
        with pytest.raises(InputError, match="a value and a mapping at once"):
            set_scalars(b"a: 1\n", 0, dict.fromkeys(keys, "1"), path="f.yaml")


@pytest.mark.parametrize(
    ("text", "key", "new", "result"),
    [
        ("requests: {cpu: 100m}\n", "requests/cpu", "1", "requests: {cpu: 1}\n"),
        ('requests: {cpu: "1"}\n', "requests/cpu", "500m", 'requests: {cpu: "500m"}\n'),
        ("requests: {cpu: 1}\n", "requests/cpu", "500m", "requests: {cpu: 500m}\n"),
        ("tag: v7\n", "tag", "8", 'tag: "8"\n'),
        ("tag: v7\n", "tag", "on", 'tag: "on"\n'),
        ("tag: v7\n", "tag", "null", 'tag: "null"\n'),
        ("tag: v7\n", "tag", "v8", "tag: v8\n"),
        ("tag: v7\n", "tag", "a: b", 'tag: "a: b"\n'),
        ("tag: v7\n", "tag", "x # y", 'tag: "x # y"\n'),
        ("tag: 'v7'\n", "tag", "it's", "tag: 'it''s'\n"),
        ('tag: "v7"\n', "tag", 'a "b" \\', 'tag: "a \\"b\\" \\\\"\n'),
        ("replicas: 3\n", "replicas", "4", "replicas: 4\n"),
        ("replicas: 3\n", "replicas", "null", "replicas: null\n"),
        ("replicas:\n", "replicas", "4", "replicas: 4\n"),
        ("suspend: false\n", "suspend", "true", "suspend: true\n"),
        ("suspend: off\n", "suspend", "on", "suspend: on\n"),
        ("a: 1\n", "b", "on", 'a: 1\nb: "on"\n'),
        ("a: 1\n", "b", "010", 'a: 1\nb: "010"\n'),
        ("a: 1\n", "b", "", 'a: 1\nb: ""\n'),
        ("labels: {a: b}\n", "labels/a", "true", 'labels: {a: "true"}\n'),
        ("labels: {a: b}\n", "labels/c", "5", 'labels: {a: b, c: "5"}\n'),
        ("metadata: {annotations: {}}\n", "metadata/annotations/x", "1", 'metadata: {annotations: {x: "1"}}\n'),
        ("a: {b}\n", "a/b", "1", "a: {b: 1}\n"),
        ("a: {b: 1,}\n", "a/c", "2", "a: {b: 1, c: 2,}\n"),
        ("a: 1\n", "8080", "x", 'a: 1\n"8080": x\n'),
        ("a: two\n  lines\nb: 1\n", "a", "one", "a: one\nb: 1\n"),
    ],
)
def test_a_new_value_is_written_as_the_type_it_has(text: str, key: str, new: str, result: str) -> None:
    assert set_one(text, key, new) == result


def test_several_keys_under_one_missing_mapping_share_it() -> None:
    sets = {("r", "limits", "cpu"): "1", ("r", "limits", "memory"): "1Gi", ("r", "requests", "cpu"): "1", ("s",): "x"}
    result = set_scalars(b"r:\n   a:\n      b: 1 # c\n", 0, sets, path="f.yaml")
    assert result.decode() == (
        "r:\n   a:\n      b: 1 # c\n   limits:\n      cpu: 1\n      memory: 1Gi\n   requests:\n      cpu: 1\ns: x\n"
    )


@pytest.mark.parametrize(
    ("text", "key", "result"),
    [
        ("a: 1\nb: 2\n", "b", "a: 1\n"),
        ("a: 1\r\nb: 2", "b", "a: 1"),
        ("a:\n  b: 1 # c\n", "a/b", "a: {}\n"),
        ("a: # c\n  b: 1", "a/b", "a: {} # c"),
        ("a:\n  b:\n    - 1\n    - c: 2\n    # tail\nd: 1\n", "a", "    # tail\nd: 1\n"),
        ("a: {b: 1, c: 2}\n", "a/b", "a: {c: 2}\n"),
        ("a: {b: 1, c: 2}\n", "a/c", "a: {b: 1}\n"),
        ("a: {b: 1}\n", "a/b", "a: {}\n"),
        ("a: {b: 1,}\n", "a/b", "a: {}\n"),
        ("l:\n- name: x\n  a: 1\n", "l/x/a", "l:\n- name: x\n"),
        ("l:\n- a: 1\n  name: x\n", "l/x/a", "l:\n- name: x\n"),
        ("l:\n- name: x\n", "l/x/name", "l:\n- {}\n"),
        ("a: 1\n", "a", "{}\n"),
        ("a: &x 1\nb: 2\n", "a", "b: 2\n"),
        ("a: &x {y: 1}\nb: *x\nc: 1\n", "b", "a: &x {y: 1}\nc: 1\n"),
        ("a: |\n  x\n\nb: 1\n", "a", "\nb: 1\n"),
        ("a: 1\n", "b", "a: 1\n"),
        ("a: 1\n", "b/c", "a: 1\n"),
    ],
)
def test_a_removed_key_takes_its_value_along_and_nothing_else(text: str, key: str, result: str) -> None:
    assert remove_keys(text.encode(), 0, [tuple(key.split("/"))], path="f.yaml").decode() == result


@pytest.mark.parametrize(
    ("text", "emptied", "result"),
    [
        ("x: 1\na:\n  b:\n    c: 1\n", {"a/b": None}, "x: 1\na: {}\n"),
        ("x: 1\na:\n  b:\n    c: 1\ny: 2\n", {"a/b": None, "a": None}, "x: 1\ny: 2\n"),
        ("a:\n  b:\n    c: 1\n", {"a/b": None, "a": None}, "{}\n"),
        ("x: 1\na:\n  b:\n    c: 1\n", {"a/b": None, "a": ""}, "x: 1\na:\n"),
        ("a: # why\n  b:\n    c: 1\n", {"a/b": None, "a": ""}, "a: # why\n"),
        ("a:\n  b: {c: 1}\n", {"a/b": "~"}, "a:\n  b: ~\n"),
        ("a: {b: {c: 1}, d: 2}\n", {"a/b": None}, "a: {d: 2}\n"),
        # What somebody else has put there stays, and so does a comment.
        ("a:\n  b:\n    c: 1\n    d: 2\n", {"a/b": None, "a": None}, "a:\n  b:\n    d: 2\n"),
        ("a:\n  b:\n    # why\n    c: 1\n", {"a/b": None, "a": None}, "a:\n  b: {}\n    # why\n"),
        ("x: 1\na:\n  b: # why\n    c: 1\n", {"a/b": None, "a": None}, "x: 1\na:\n  b: {} # why\n"),
        # An item of a list stays an item.
        ("a:\n- name: b\n  c: 1\n", {"a": None, "a/b": None}, "a:\n- name: b\n"),
    ],
)
def test_a_mapping_that_becomes_empty_is_what_it_is_told_to_become(
    text: str, emptied: dict[str, str | None], result: str
) -> None:
    keys = {tuple(key.split("/")): value for key, value in emptied.items()}
    assert remove_keys(text.encode(), 0, [("a", "b", "c")], path="f.yaml", emptied=keys).decode() == result


def test_removing_an_anchor_that_is_in_use_is_refused() -> None:
    with pytest.raises(InputError):
        remove_keys(b"a: &x 1\nb: *x\n", 0, [("a",)], path="f.yaml")
