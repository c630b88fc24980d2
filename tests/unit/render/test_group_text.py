"""ContainerGroup files made, edited and taken away by edits."""

from pathlib import Path

import pytest

from reconciler.errors import InputError
from reconciler.manifests.container_group import REPLICAS, fields_of, parse
from reconciler.model.change import ValueEdit
from reconciler.model.container_group import ContainerGroup, target_of
from reconciler.render.files import apply_edits
from reconciler.render.group_text import group_text
from reconciler.render.templates import Templates

BUILTIN = {path.name: path.read_text() for path in (Path(__file__).resolve().parents[3] / "templates").glob("*.j2")}
TEMPLATES = Templates(BUILTIN)
PATH = "docker/web-pool/web.yaml"
GROUP = ContainerGroup(
    host_pool="web-pool",
    name="web",
    replicas=2,
    max_replicas_per_host=3,
    image="web:1.25",
    lb_pool_ref="on",
    policy="scp_1",
)


class View:
    """Files in memory."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)

    def list(self, prefix: str) -> list[str]:
        return sorted(path for path in self.files if path.startswith(prefix))


def edit(field: str, old: str | None, new: str | None) -> ValueEdit:
    return ValueEdit(path=PATH, form="group", target=target_of("web"), field=field, old=old, new=new)


MAKING = [edit(field, None, value) for field, value in fields_of(GROUP).items()]
TAKING = [edit(field, value, None) for field, value in fields_of(GROUP).items()]


@pytest.mark.parametrize(
    "group",
    [
        GROUP,
        ContainerGroup(host_pool="0", name="null", replicas=0),
        ContainerGroup(
            host_pool="1e3", name="yes", replicas=100_000, image="a:1@sha256:0", lb_pool_ref="{{x}}", policy="3"
        ),
    ],
)
def test_a_file_says_what_it_was_made_of(group: ContainerGroup) -> None:
    path = f"docker/{group.host_pool}/{group.name}.yaml"
    assert parse(group_text(group, TEMPLATES, path=path), path=path) == group


def test_edits_from_nothing_make_the_file_and_again_change_nothing() -> None:
    made = apply_edits(View({}), MAKING, TEMPLATES)
    assert list(made.files) == [PATH]
    text = made.files[PATH]
    assert text is not None and parse(text, path=PATH) == GROUP
    again = apply_edits(View({PATH: text}), MAKING, TEMPLATES)
    assert (again.files, again.outdated) == ({}, ())


def test_edits_to_nothing_take_it_away_unless_a_number_has_changed() -> None:
    text = group_text(GROUP, TEMPLATES, path=PATH)
    assert apply_edits(View({PATH: text}), TAKING, TEMPLATES).files == {PATH: None}
    changed = text.replace(b"replicas: 2", b"replicas: 5")
    applied = apply_edits(View({PATH: changed}), TAKING, TEMPLATES)
    assert (applied.files, [e.field for e in applied.outdated]) == ({}, [REPLICAS])
    assert apply_edits(View({}), TAKING, TEMPLATES).files == {}


def test_a_step_changes_one_value_and_gives_way_to_a_persons() -> None:
    text = group_text(GROUP, TEMPLATES, path=PATH)
    step = [edit(REPLICAS, "2", "3")]
    assert apply_edits(View({PATH: text}), step, TEMPLATES).files == {
        PATH: text.replace(b"replicas: 2", b"replicas: 3")
    }
    edited = text.replace(b"replicas: 2", b"replicas: 7")
    assert apply_edits(View({PATH: edited}), step, TEMPLATES).outdated == tuple(step)
    assert apply_edits(View({}), step, TEMPLATES).outdated == tuple(step)


def test_a_file_that_came_in_between_is_not_overwritten() -> None:
    theirs = group_text(GROUP.model_copy(update={"replicas": 9}), TEMPLATES, path=PATH)
    applied = apply_edits(View({PATH: theirs}), MAKING, TEMPLATES)
    assert applied.files == {}
    assert applied.outdated


@pytest.mark.parametrize(
    "override",
    [
        "kind: ContainerGroup\n",
        BUILTIN["containergroup.yaml.j2"].replace("replicas: {{ replicas }}", "replicas: 1"),
        "{{ oh }}",
    ],
)
def test_a_template_of_the_fleet_repos_own_must_say_what_it_was_asked_to(override: str) -> None:
    with pytest.raises(InputError) as raised:
        group_text(GROUP, Templates(BUILTIN, {"containergroup.yaml.j2": override}), path=PATH)
    assert raised.value.where is not None
    assert raised.value.where.path == "templates/containergroup.yaml.j2"
