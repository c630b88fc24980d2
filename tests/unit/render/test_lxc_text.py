"""LXCContainer files made, edited and taken away by edits."""

from pathlib import Path

import pytest

from reconciler.commit.rollback import rollback_edits
from reconciler.commit.values import is_machine_path
from reconciler.errors import InputError, NothingToRollBack
from reconciler.manifests.lxc_container import CORES, MEMORY, fields_of, parse
from reconciler.model.change import Change, Decision, Proposal, Subject, ValueEdit
from reconciler.model.lxc_container import LXCContainer, target_of
from reconciler.render.files import apply_edits
from reconciler.render.lxc_text import lxc_text
from reconciler.render.subject import subject_line
from reconciler.render.templates import Templates
from support.replay import NOW
from support.trees import Files

BUILTIN = {path.name: path.read_text() for path in (Path(__file__).resolve().parents[3] / "templates").glob("*.j2")}
TEMPLATES = Templates(BUILTIN)
PATH = "lxc/pve1/104.yaml"
MADE = LXCContainer(node="pve1", vmid=104, cores=2, memory_mb=1024, rootfs_gb=8, hostname="db", policy="scp_1")


class View:
    """Files in memory."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)

    def list(self, prefix: str) -> list[str]:
        return sorted(path for path in self.files if path.startswith(prefix))


def edit(field: str, old: str | None, new: str | None) -> ValueEdit:
    return ValueEdit(path=PATH, form="lxc", target=target_of(104), field=field, old=old, new=new)


MAKING = [edit(field, None, value) for field, value in fields_of(MADE).items()]
TAKING = [edit(field, value, None) for field, value in fields_of(MADE).items()]
TEXT = lxc_text(MADE, TEMPLATES, path=PATH)


@pytest.mark.parametrize(
    "container",
    [
        MADE,
        LXCContainer(node="0", vmid=100),
        LXCContainer(node="1e3", vmid=999_999_999, cores=8192, memory_mb=16, hostname="yes", policy="3"),
    ],
)
def test_a_file_says_what_it_was_made_of(container: LXCContainer) -> None:
    path = f"lxc/{container.node}/{container.vmid}.yaml"
    assert parse(lxc_text(container, TEMPLATES, path=path), path=path) == container


def test_edits_from_nothing_make_the_file_and_again_change_nothing() -> None:
    assert apply_edits(View({}), MAKING, TEMPLATES).files == {PATH: TEXT}
    again = apply_edits(View({PATH: TEXT}), MAKING, TEMPLATES)
    assert (again.files, again.outdated) == ({}, ())


def test_edits_to_nothing_take_it_away_unless_a_value_has_changed() -> None:
    assert apply_edits(View({PATH: TEXT}), TAKING, TEMPLATES).files == {PATH: None}
    applied = apply_edits(View({PATH: TEXT.replace(b"cores: 2", b"cores: 5")}), TAKING, TEMPLATES)
    assert (applied.files, [e.field for e in applied.outdated]) == ({}, [CORES])
    assert apply_edits(View({}), TAKING, TEMPLATES).files == {}


def test_a_step_changes_its_values_and_gives_way_to_a_persons() -> None:
    step = [edit(CORES, "2", "3"), edit(MEMORY, "1024", "1536")]
    expected = TEXT.replace(b"cores: 2", b"cores: 3").replace(b"1024", b"1536")
    assert apply_edits(View({PATH: TEXT}), step, TEMPLATES).files == {PATH: expected}
    edited = TEXT.replace(b"cores: 2", b"cores: 7")
    assert apply_edits(View({PATH: edited}), step, TEMPLATES).outdated == (step[0],)
    assert apply_edits(View({}), step, TEMPLATES).outdated == tuple(step)


def test_one_value_may_come_and_go() -> None:
    without = TEXT.replace(b"  cores: 2\n", b"")
    given = apply_edits(View({PATH: without}), [edit(CORES, None, "2")], TEMPLATES).files[PATH]
    assert given is not None and parse(given, path=PATH) == MADE
    assert apply_edits(View({PATH: given}), [edit(CORES, "2", None)], TEMPLATES).files == {PATH: without}


def test_a_rollback_takes_a_value_away_again_beside_a_persons_later_one() -> None:
    before = TEXT.replace(b"  cores: 2\n", b"")
    head = TEXT.replace(b"memoryMB: 1024", b"memoryMB: 2048")
    trees = [Files({PATH: text}) for text in (before, TEXT, head)]
    plan = rollback_edits(*trees, is_machine=is_machine_path)
    assert plan.files == {PATH: before.replace(b"memoryMB: 1024", b"memoryMB: 2048")}


def test_a_rollback_of_the_file_itself_leaves_what_a_person_has_changed_in_it_whole() -> None:
    head = TEXT.replace(b"memoryMB: 1024", b"memoryMB: 2048")
    trees = [Files({}), Files({PATH: TEXT}), Files({PATH: head})]
    with pytest.raises(NothingToRollBack, match="memoryMB is now 2048"):
        rollback_edits(*trees, is_machine=is_machine_path)


@pytest.mark.parametrize(
    "override",
    [
        "kind: LXCContainer\n",
        BUILTIN["lxccontainer.yaml.j2"].replace("cores: {{ cores }}", "cores: 1"),
        "{{ oh }}",
    ],
)
def test_a_template_of_the_fleet_repos_own_must_say_what_it_was_asked_to(override: str) -> None:
    with pytest.raises(InputError) as raised:
        lxc_text(MADE, Templates(BUILTIN, {"lxccontainer.yaml.j2": override}), path=PATH)
    assert raised.value.where is not None
    assert raised.value.where.path == "templates/lxccontainer.yaml.j2"


@pytest.mark.parametrize(
    ("kind", "edits", "subject"),
    [
        ("resources", [edit(CORES, "2", "4")], "Give pve1/104 4 cores"),
        ("resources", [edit(CORES, "2", "1"), edit(MEMORY, "1", "512")], "Give pve1/104 1 core and 512 MB of memory"),
        ("resources", [edit("spec/rootfsGB", "8", "13")], "Give pve1/104 13 GB of disk"),
        ("adopt", [edit("spec/node", None, "pve1"), edit(CORES, None, "2")], "Take on pve1/104 with 2 cores"),
        ("adopt", [edit("spec/node", None, "pve1")], "Take on pve1/104"),
        ("adopt", TAKING, "Stop scaling pve1/104"),
    ],
)
def test_the_subject_says_what_a_container_is_given(kind: str, edits: list[ValueEdit], subject: str) -> None:
    proposal = Proposal.model_validate(
        {
            "kind": kind,
            "subject": Subject(kind="policy", id="scp_1", name="db"),
            "cluster": "",
            "root": "",
            "namespace": "pve1",
            "workload": "104",
            "edits": tuple(edits),
            "reason": "because",
        }
    )
    change = Change(id="1", group="g", decisions=(Decision(id="2", at=NOW, proposal=proposal),))
    assert subject_line(change, currency="USD") == subject
