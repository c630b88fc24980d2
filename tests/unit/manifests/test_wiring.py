"""Listing the component adds its line and nothing else."""

import pytest
import yaml

from reconciler.errors import InputError
from reconciler.manifests.wiring import EMPTY_COMPONENT, new_root, wire_component
from support.replay import REAL

WIRED = [
    ("resources:\n- a.yaml\n", "resources:\n- a.yaml\ncomponents:\n- trimtab\n"),
    ("resources:\n  - a.yaml # first\n", "resources:\n  - a.yaml # first\ncomponents:\n  - trimtab\n"),
    ("resources: [a.yaml]", "resources: [a.yaml]\ncomponents:\n  - trimtab\n"),
    ("resources: [a.yaml]\ncomponents: [x]\n", "resources: [a.yaml]\ncomponents: [x, trimtab]\n"),
    ("components: []\nresources: [a.yaml]\n", "components: [trimtab]\nresources: [a.yaml]\n"),
    (
        "components:\n  - x # mine\n# end\nresources: []\n",
        "components:\n  - x # mine\n  - trimtab\n# end\nresources: []\n",
    ),
    ("resources:\r\n- a.yaml\r\n", "resources:\r\n- a.yaml\r\ncomponents:\r\n- trimtab\r\n"),
    ("{resources: [a.yaml]}\n", "{resources: [a.yaml], components: [trimtab]}\n"),
]


@pytest.mark.parametrize(("before", "after"), WIRED)
def test_adds_the_component_and_nothing_else(before: str, after: str) -> None:
    assert wire_component(before, path="kustomization.yaml") == after
    assert "trimtab" in yaml.safe_load(after)["components"]


@pytest.mark.parametrize("text", [after for _, after in WIRED])
def test_a_wired_root_stays_as_it_is(text: str) -> None:
    assert wire_component(text, path="kustomization.yaml") == text


def test_every_line_of_a_real_kustomization_stays() -> None:
    before = (REAL / "online-boutique/kustomization.yaml").read_text()
    after = wire_component(before, path="kustomization.yaml")
    assert after.startswith(before)
    assert yaml.safe_load(after)["components"] == ["trimtab"]


@pytest.mark.parametrize("text", ["- a\n", "resources: [\n", "components: trimtab\n"])
def test_what_is_no_kustomization_is_refused_by_name(text: str) -> None:
    with pytest.raises(InputError, match="apps/kustomization.yaml"):
        wire_component(text, path="apps/kustomization.yaml")


def test_a_new_root_lists_what_is_there() -> None:
    assert yaml.safe_load(new_root(["b.yaml", "a.yaml"]))["resources"] == ["a.yaml", "b.yaml"]
    assert yaml.safe_load(new_root([]))["resources"] == []
    assert yaml.safe_load(EMPTY_COMPONENT)["kind"] == "Component"
