"""Edits of people's own files: which object is meant, and what happens when someone was there before."""

import pytest
import yaml

from reconciler.errors import InputError
from reconciler.model.change import ValueEdit
from reconciler.model.workload import ObjectRef
from reconciler.render.source_edits import edit_source, same_value, split_field

CPU = "spec/template/spec/containers/server/resources/requests/cpu"


def deployment(name: str, cpu: str, namespace: str = "") -> str:
    where = f", namespace: {namespace}" if namespace else ""
    return (
        f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}{where}}}\nspec:\n  template:\n    spec:\n"
        f"      containers:\n      - name: server # {name}\n        resources:\n          requests:\n"
        f"            cpu: {cpu} # measured\n"
    )


def edit(
    old: str | None, new: str | None, *, name: str = "web", namespace: str | None = None, field: str = CPU
) -> ValueEdit:
    target = ObjectRef(api_version="apps/v1", kind="Deployment", name=name, namespace=namespace)
    return ValueEdit(path="apps/all.yaml", form="source", target=target, field=field, old=old, new=new)


def edited(text: str, *edits: ValueEdit) -> tuple[str, int]:
    after, outdated = edit_source(text.encode(), edits, path="apps/all.yaml")
    return after.decode(), len(outdated)


def test_only_the_value_changes() -> None:
    text = deployment("web", "100m")
    assert edited(text, edit("100m", "65m")) == (text.replace("100m", "65m"), 0)


def test_a_quantity_that_a_person_spelled_otherwise_is_the_same_value() -> None:
    text = deployment("web", "1000m")
    assert edited(text, edit("1", "2")) == (text.replace("1000m", "2"), 0)
    assert edited(text, edit("500m", "1")) == (text, 0)


@pytest.mark.parametrize("text", [deployment("web", "200m"), deployment("api", "100m"), "kind: Deployment\n", ""])
def test_a_person_was_there_first(text: str) -> None:
    assert edited(text, edit("100m", "65m")) == (text, 1)


def test_one_outdated_value_keeps_its_objects_others_back_but_not_another_objects() -> None:
    text = deployment("web", "200m") + "---\n" + deployment("api", "100m")
    memory = edit(None, "64Mi", field=CPU.replace("cpu", "memory"))
    after, outdated = edited(text, edit("100m", "65m"), memory, edit("100m", "50m", name="api"))
    assert after == text.replace("cpu: 100m", "cpu: 50m")
    assert outdated == 1


def test_the_closest_object_is_meant() -> None:
    texts = [
        deployment("web", "1", "shop"),
        deployment("web", "2"),
        deployment("web", "3", "other"),
        deployment("dev-web", "4"),
    ]
    documents = "---\n".join(texts)
    for namespace, name, old in [("shop", "web", "1"), (None, "web", "2"), ("pay", "web", "2"), (None, "dev-web", "4")]:
        after, outdated = edited(documents, edit(old, "9", name=name, namespace=namespace))
        assert outdated == 0
        assert after == documents.replace(f"cpu: {old} ", "cpu: 9 ")


def test_a_prefix_that_a_transformer_puts_on_is_seen_through() -> None:
    text = deployment("web", "1") + "---\n" + deployment("api", "1")
    after, _ = edited(text, edit("1", "2", name="dev-web", namespace="dev"))
    assert [d["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] for d in yaml.safe_load_all(after)] == [2, 1]  # fmt: skip


def test_two_of_one_name_are_told() -> None:
    with pytest.raises(InputError, match="Deployment web is declared 2 times"):
        edited(deployment("web", "1") + "---\n" + deployment("web", "1"), edit("1", "2"))


def test_values_are_added_and_taken_away() -> None:
    text = deployment("web", "100m")
    limit = CPU.replace("requests", "limits")
    added, _ = edited(text, edit(None, "1", field=limit))
    assert yaml.safe_load(added)["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"] == {"cpu": 1}
    gone, _ = edited(added, edit("100m", None))
    assert "requests: {}" in gone or "requests" not in gone


def test_fields_are_split_as_json_pointers() -> None:
    assert split_field("metadata/annotations/trimtab.dev~1a~0b") == ("metadata", "annotations", "trimtab.dev/a~b")


@pytest.mark.parametrize(
    ("found", "expected", "same"),
    [("1", "1000m", True), ("1Gi", "1024Mi", True), (None, None, True), ("1", None, False), ("web", "api", False)],
)
def test_values_are_compared_as_people_read_them(found: str | None, expected: str | None, same: bool) -> None:
    assert same_value(found, expected) is same
