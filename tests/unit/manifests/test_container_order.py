"""A patch that sizes some containers of a pod leaves all of them in the order that people gave them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import InputError
from reconciler.manifests.container_order import entries, is_out_of_order, order_of, standing_of
from reconciler.manifests.machine_files import parse
from reconciler.model.machine_file import MachineFile
from reconciler.model.workload import ObjectRef
from reconciler.render.machine_text import machine_text
from reconciler.render.templates import Templates
from support.declared import container, workload

ROOT = Path(__file__).resolve().parents[3]
BUILTIN = {path.name: path.read_text() for path in (ROOT / "templates").glob("*.j2")}
TEMPLATES = Templates(BUILTIN)
PATH = "root/trimtab/shop/requests-deployment-web.yaml"
WEB = ObjectRef(api_version="apps/v1", kind="Deployment", name="web", namespace="shop")

names = st.sampled_from(["app", "b", "cache", "on", "1", "web-1", "web"])
lists = st.lists(names, max_size=5, unique=True)
standings = st.builds(
    lambda init, main: tuple([f"initContainers/{n}" for n in init] + [f"containers/{n}" for n in main]), lists, lists
)


def sizing(sized: Sequence[str], standing: Sequence[str]) -> MachineFile:
    values = {f"{entry}/requests/cpu": "65m" for entry in sized}
    return MachineFile(form="requests", target=WEB, values=values, order=order_of(values, standing))


def merged(patch: Sequence[str], manifest: Sequence[str]) -> list[str]:
    """What kustomize makes of a list of named items (tests/integration/test_container_order_build.py holds it)."""
    return [*patch, *(name for name in manifest if name not in patch)]


def listed(file: MachineFile, role: str) -> list[str]:
    pod = yaml.safe_load(machine_text(file, TEMPLATES, path=PATH))["spec"]["template"]["spec"]
    return [f"{role}/{item['name']}" for item in pod.get(role, ())]


def of(role: str, standing: Sequence[str]) -> list[str]:
    return [entry for entry in standing if entry.startswith(f"{role}/")]


@settings(max_examples=150, deadline=None)
@given(st.data(), standings, standings)
def test_the_build_keeps_the_manifests_order_or_the_file_is_known_to_be_out_of_it(
    data: st.DataObject, before: tuple[str, ...], now: tuple[str, ...]
) -> None:
    sized = data.draw(st.lists(st.sampled_from(before or ("containers/x",)), unique=True, min_size=1))
    file = sizing(sized, before)
    text = machine_text(file, TEMPLATES, path=PATH)
    assert parse(text, path=PATH) == file
    assert machine_text(parse(text, path=PATH), TEMPLATES, path=PATH) == text
    for standing in (before, now):
        if not set(sized).issubset(standing):
            assert not is_out_of_order(file, standing), "its values are dropped, and it is written anew with that"
            continue
        kept = all(merged(listed(file, role), of(role, standing)) == of(role, standing) for role in ("initContainers", "containers"))  # fmt: skip
        assert is_out_of_order(file, standing) is not kept
    if set(sized).issubset(before):
        assert not is_out_of_order(file, before)


@settings(max_examples=60, deadline=None)
@given(standings)
def test_where_the_sized_ones_come_first_by_name_the_file_is_as_ever(standing: tuple[str, ...]) -> None:
    ordered = tuple(sorted(of("initContainers", standing)) + sorted(of("containers", standing)))
    values = {f"{entry}/requests/cpu": "65m" for entry in ordered}
    assert order_of(values, ordered) == ()
    assert order_of(values, (*ordered, "containers/zz", "initContainers/zz")) == ()
    assert entries(values, ordered) == entries(values) == entries(reversed(values))


def test_a_workload_stands_as_its_manifest_says() -> None:
    pod = workload("web", container("wait", "init"), container("mesh", "sidecar"), container("b"), container("a"))
    assert standing_of(pod) == ("initContainers/wait", "initContainers/mesh", "containers/b", "containers/a")


def test_a_container_that_is_new_to_the_manifest_stands_last() -> None:
    values = {f"containers/{name}/requests/cpu": "1" for name in ("zed", "app", "web")}
    assert order_of(values, ("containers/web", "containers/more")) == (
        "containers/web",
        "containers/app",
        "containers/zed",
    )


FILE = sizing(["containers/app"], ("containers/web", "containers/app"))
TEXT = machine_text(FILE, TEMPLATES, path=PATH)


def with_first(**web: Any) -> bytes:
    """:data:`FILE`, with more than a name in its entry of ``web``."""
    value = yaml.safe_load(TEXT)
    value["spec"]["template"]["spec"]["containers"][0] |= web
    return yaml.safe_dump(value).encode()


def test_a_name_alone_is_no_value() -> None:
    assert parse(TEXT, path=PATH).values == {"containers/app/requests/cpu": "65m"}
    assert parse(TEXT, path=PATH).order == ("containers/web", "containers/app")
    assert parse(with_first(resources={}), path=PATH) == FILE, "kustomize takes that for nothing, too"


@pytest.mark.parametrize("odd", [{"resources": None}, {"resources": {"limits": None}}, {"image": "x"}])
def test_what_would_change_a_container_that_is_not_sized_is_refused(odd: Mapping[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        parse(with_first(**odd), path=PATH)
    assert caught.value.where is not None
    assert caught.value.where.field.startswith("spec.template.spec.containers")


OWN = BUILTIN["requests-patch.yaml.j2"]
ENTRY = "{{ pad }}  - name: {{ container.name | yaml }}\n"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (OWN.replace("{% if container.bounds %}", "{% if true %}"), r"containers\[web\]\.resources .* would delete"),
        (OWN.replace(ENTRY, "{% if container.bounds %}\n" + ENTRY + "{% endif %}\n"), "loses the order of the containers"),
        (OWN.replace("in role.containers", "in role.containers | sort(attribute='name')"), "loses the order of the containers"),
    ],
)  # fmt: skip
def test_a_template_of_the_fleets_own_that_loses_the_order_is_refused(override: str, message: str) -> None:
    assert override != OWN
    templates = Templates(BUILTIN, {"requests-patch.yaml.j2": override})
    with pytest.raises(InputError, match=message) as caught:
        machine_text(FILE, templates, path=PATH)
    assert caught.value.where is not None
    assert caught.value.where.path == "templates/requests-patch.yaml.j2"
    assert "Trimtab's own" in caught.value.hint
