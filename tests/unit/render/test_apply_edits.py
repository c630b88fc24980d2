"""Edits laid over a tree: what is written, what is left alone, and what someone else has changed in the meantime."""

from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import InputError
from reconciler.manifests.container_places import ContainerPlace
from reconciler.manifests.machine_files import parse
from reconciler.model.change import ValueEdit
from reconciler.model.machine_file import FileForm, MachineFile
from reconciler.model.workload import ObjectRef
from reconciler.render.files import AppliedEdits, apply_edits
from reconciler.render.files_view import FilesOver
from reconciler.render.templates import Templates

ROOT = Path(__file__).resolve().parents[3]
TEMPLATES = Templates({path.name: path.read_text() for path in (ROOT / "templates").glob("*.j2")})
OVERLAY = "clusters/prod/trimtab"
KUSTOMIZATION = f"{OVERLAY}/kustomization.yaml"
CPU = "containers/server/requests/cpu"
MEMORY = "containers/server/requests/memory"


class Files:
    """Files in memory as a view."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = dict(files or {})

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)

    def list(self, prefix: str) -> Iterable[str]:
        return [path for path in sorted(self.files) if path.startswith(prefix)]


def path_of(name: str, namespace: str = "shop") -> str:
    return f"{OVERLAY}/{namespace}/requests-deployment-{name}.yaml"


def edit(name: str, field: str, old: str | None, new: str | None, form: FileForm = "requests") -> ValueEdit:
    target = ObjectRef(api_version="apps/v1", kind="Deployment", name=name, namespace="shop")
    path = path_of(name) if form == "requests" else f"{OVERLAY}/shop/{form}-{name}.yaml"
    return ValueEdit(path=path, form=form, target=target, field=field, old=old, new=new)


def after(*edits: ValueEdit, below: FilesOver | None = None) -> FilesOver:
    """The tree after edits that are all up to date."""
    view = FilesOver(below or Files())
    applied = apply_edits(view, edits, TEMPLATES)
    assert applied.outdated == ()
    view.put(applied.files)
    return view


def test_a_changed_value_alone_touches_its_file_alone() -> None:
    view = after(edit("web", CPU, None, "100m"), edit("api", CPU, None, "100m"))
    assert list(apply_edits(view, [edit("web", CPU, "100m", "65m")], TEMPLATES).files) == [path_of("web")]


def test_a_value_that_is_there_already_writes_nothing() -> None:
    view = after(edit("web", CPU, None, "65m"))
    assert apply_edits(view, [edit("web", CPU, "100m", "65m")], TEMPLATES) == AppliedEdits({}, ())


def test_a_person_who_changed_the_value_wins() -> None:
    view = after(edit("web", CPU, None, "200m"), edit("api", CPU, None, "100m"))
    edits = [edit("web", CPU, "100m", "65m"), edit("web", MEMORY, None, "1Gi"), edit("api", CPU, "100m", "50m")]
    applied = apply_edits(view, edits, TEMPLATES)
    assert applied.outdated == (edits[0],)
    assert list(applied.files) == [path_of("api")]


def test_a_person_who_deleted_the_file_wins() -> None:
    edits = [edit("web", CPU, "100m", "65m")]
    assert apply_edits(Files(), edits, TEMPLATES) == AppliedEdits({}, tuple(edits))
    assert apply_edits(Files(), [edit("web", CPU, "100m", None)], TEMPLATES) == AppliedEdits({}, ())


def test_a_person_who_edited_the_source_away_wins() -> None:
    target = ObjectRef(api_version="apps/v1", kind="Deployment", name="web")
    edits = [ValueEdit(path="apps/web.yaml", form="source", target=target, field="spec/x", old="1", new="2")]
    assert apply_edits(Files(), edits, TEMPLATES).outdated == tuple(edits)


def test_a_file_with_nothing_but_its_owner_goes_away() -> None:
    hpa = [edit("web", "maxReplicas", None, "5", form="hpa"), edit("web", "policy", None, "P", form="hpa")]
    view = after(*hpa)
    assert "- shop/hpa-web.yaml" in (view.read(KUSTOMIZATION) or b"").decode()
    applied = apply_edits(view, [edit("web", "maxReplicas", "5", None, form="hpa")], TEMPLATES)
    assert applied.files[f"{OVERLAY}/shop/hpa-web.yaml"] is None
    assert b"resources: []" in (applied.files[KUSTOMIZATION] or b"")


def test_the_list_knows_what_earlier_changes_of_the_pass_have_written() -> None:
    first = after(edit("web", CPU, None, "1"))
    second = after(edit("api", CPU, None, "1"), below=first)
    listed = (second.read(KUSTOMIZATION) or b"").decode()
    assert listed.index("requests-deployment-api.yaml") < listed.index("requests-deployment-web.yaml")
    third = after(edit("web", CPU, "1", None), below=second)
    assert "deployment-web" not in (third.read(KUSTOMIZATION) or b"").decode()


def test_a_namespace_may_have_any_name() -> None:
    target = ObjectRef(api_version="apps/v1", kind="Deployment", name="web")
    for namespace in ("trimtab", "turndown", "nodepools", "kustomization"):
        path = path_of("web", namespace)
        made = after(ValueEdit(path=path, form="requests", target=target, field=CPU, old=None, new="1"))
        assert set(made.list("")) == {path, KUSTOMIZATION}
        assert path.removeprefix(f"{OVERLAY}/").encode() in (made.read(KUSTOMIZATION) or b"")


def handover(name: str, old: str | None = None, new: str | None = "null", namespace: str = "shop") -> ValueEdit:
    target = ObjectRef(api_version="apps/v1", kind="Deployment", name=name, namespace=namespace)
    path = f"{OVERLAY}/handover/{namespace}/replicas-deployment-{name}.yaml"
    return ValueEdit(path=path, form="replicas", target=target, field="replicas", old=old, new=new)


def down(namespace: str, old: str | None = None, new: str | None = "replicas=0") -> ValueEdit:
    target = ObjectRef(api_version="v1", kind="Namespace", name=namespace)
    path = f"{OVERLAY}/{namespace}/turndown/turndown.yaml"
    field = f"apps/v1|Deployment|{namespace}|web"
    return ValueEdit(path=path, form="turndown", target=target, field=field, old=old, new=new)


def listed(view: FilesOver, field: str, folder: str = "") -> list[str]:
    value = yaml.safe_load(view.read(f"{OVERLAY}/{folder}kustomization.yaml") or b"{}")
    return [item["path"] if field == "patches" else item for item in value.get(field, [])]


def test_a_handover_has_a_list_of_its_own_and_comes_before_the_turndowns() -> None:
    view = after(down("app"), edit("web", CPU, None, "1"))
    view = after(handover("web"), below=view)
    assert listed(view, "components") == ["handover", "app/turndown"]
    assert listed(view, "patches") == ["shop/requests-deployment-web.yaml"]
    assert listed(view, "patches", "handover/") == ["shop/replicas-deployment-web.yaml"]
    own = view.read(KUSTOMIZATION)
    more = after(handover("api"), below=view)
    assert more.read(KUSTOMIZATION) == own, "one more handover is none of the outer list's business"
    fewer = after(handover("web", "null", None), below=more)
    assert listed(fewer, "patches", "handover/") == ["shop/replicas-deployment-api.yaml"]
    none = after(handover("api", "null", None), below=fewer)
    assert none.read(f"{OVERLAY}/handover/kustomization.yaml") is None
    assert listed(none, "components") == ["app/turndown"]


def test_namespaces_may_be_called_what_folders_of_ours_are_called() -> None:
    edits = [handover("web", namespace=name) for name in ("handover", "turndown")]
    view = after(*edits, down("handover"), down("turndown"))
    assert listed(view, "components") == ["handover", "handover/turndown", "turndown/turndown"]
    assert listed(view, "patches", "handover/") == [
        "handover/replicas-deployment-web.yaml",
        "turndown/replicas-deployment-web.yaml",
    ]
    back = [e.model_copy(update={"old": e.new, "new": None}) for e in (*edits, down("handover"), down("turndown"))]
    assert {path.removeprefix(f"{OVERLAY}/") for path in after(*back, below=view).list("")} == {
        "kustomization.yaml",
        "handover/turndown/kustomization.yaml",
        "turndown/turndown/kustomization.yaml",
    }


def test_to_remake_the_handover_is_to_remake_its_overlay() -> None:
    view = after(handover("web"), handover("api"))
    whole = {path: view.read(path) for path in view.list("")}
    view.put({f"{OVERLAY}/handover/kustomization.yaml": b"patches: []\n", KUSTOMIZATION: b"resources: []\n"})
    view.put(apply_edits(view, [], TEMPLATES, remake=[f"{OVERLAY}/handover"]).files)
    assert {path: view.read(path) for path in view.list("")} == whole


def test_handovers_count_among_the_patches_of_a_root() -> None:
    view = after(*(edit(f"w{i}", CPU, None, "1") for i in range(150)))
    assert (view.read(KUSTOMIZATION) or b"").count(b"target:") == 150
    view = after(handover("web"), below=view)
    assert b"target:" not in (view.read(KUSTOMIZATION) or b"")
    assert b"target:" not in (view.read(f"{OVERLAY}/handover/kustomization.yaml") or b"")


@pytest.mark.parametrize(("count", "targets"), [(150, 150), (151, 0)])
def test_many_patches_go_without_targets(count: int, targets: int) -> None:
    view = after(*(edit(f"w{i}", CPU, None, "1") for i in range(count)))
    assert (view.read(KUSTOMIZATION) or b"").count(b"target:") == targets


def test_an_object_with_a_twin_is_told_apart() -> None:
    twins = {OVERLAY: {"apps/v1|Deployment|shop|web": "origin=a"}}
    applied = apply_edits(Files(), [edit("web", CPU, None, "1")], TEMPLATES, twins=twins)
    assert b'annotationSelector: "origin=a"' in (applied.files[KUSTOMIZATION] or b"")


def test_a_target_is_written_anew_without_a_change_of_values() -> None:
    view = after(edit("web", CPU, None, "1"), handover("web"), down("shop"))
    twins = {OVERLAY: {"apps/v1|Deployment|shop|web": "!origin"}}
    edits = [
        old.model_copy(update={"field": "target", "old": None, "new": None})
        for old in (edit("web", CPU, None, "1"), handover("web"), down("shop"))
    ]
    applied = apply_edits(view, edits, TEMPLATES, twins=twins)
    assert {path.removeprefix(f"{OVERLAY}/") for path in applied.files} == {
        "kustomization.yaml",
        "handover/kustomization.yaml",
        "shop/turndown/turndown.yaml",
    }
    assert all(b'annotationSelector: "!origin"' in (text or b"") for text in applied.files.values())
    view.put(applied.files)
    assert apply_edits(view, edits, TEMPLATES, twins=twins) == AppliedEdits({}, ())
    gone = [edits[0].model_copy(update={"path": path_of("gone")})]
    assert apply_edits(view, gone, TEMPLATES, twins=twins) == AppliedEdits({}, ())


def test_a_patch_by_index_is_aimed_at_where_its_container_stands_now() -> None:
    roll = ObjectRef(api_version="argoproj.io/v1alpha1", kind="Rollout", name="roll", namespace="shop")
    path = f"{OVERLAY}/shop/requests-rollout-roll.yaml"

    def sized(field: str, old: str | None, new: str | None) -> ValueEdit:
        return ValueEdit(path=path, form="requests", target=roll, field=field, old=old, new=new)

    view = FilesOver(Files())
    first = {path: {"containers/server": ContainerPlace(0, frozenset())}}
    edits = [sized(CPU, None, "1"), sized(MEMORY, None, "1Gi")]
    view.put(apply_edits(view, edits, TEMPLATES, container_indexes=first).files)
    before = (view.read(path) or b"").decode()
    assert "containers/0/name" in before
    moved = {path: {"containers/server": ContainerPlace(3)}}
    aimed = apply_edits(view, [sized("target", None, None)], TEMPLATES, container_indexes=moved)
    text = (aimed.files[path] or b"").decode()
    assert "containers/3/name" in text
    assert "value: {}" not in text, "people have the maps now"
    # A rollback is not told where containers stand: what the file says holds.
    rolled_back = apply_edits(view, [sized(MEMORY, "1Gi", None)], TEMPLATES).files[path] or b""
    assert rolled_back.decode() == before.replace(before[before.rindex("- op: add") :], "")


def names_in(view: FilesOver, name: str) -> list[str]:
    value = yaml.safe_load(view.read(path_of(name)) or b"")
    return [container["name"] for container in value["spec"]["template"]["spec"]["containers"]]


def test_containers_are_listed_as_the_manifest_has_them_and_a_rollback_keeps_that() -> None:
    view = FilesOver(Files())
    stands = {path_of("web"): {f"containers/{name}": place for place, name in enumerate(["proxy", "server", "app"])}}
    app = "containers/app/requests/cpu"
    edits = [edit("web", CPU, None, "1"), edit("web", app, None, "2")]
    view.put(apply_edits(view, edits, TEMPLATES, container_indexes=stands).files)
    assert names_in(view, "web") == ["proxy", "server", "app"]
    assert apply_edits(view, edits, TEMPLATES, container_indexes=stands) == AppliedEdits({}, ())
    # Without a manifest at hand they are where the file has them; the last ones are not named for nothing.
    view.put(apply_edits(view, [edit("web", app, "2", None)], TEMPLATES).files)
    assert names_in(view, "web") == ["proxy", "server"]
    view.put(apply_edits(view, [edit("web", CPU, "1", None)], TEMPLATES).files)
    assert view.read(path_of("web")) is None, "names alone are no file"


def test_a_file_follows_the_order_that_a_person_has_made() -> None:
    view = FilesOver(Files())
    stands = {path_of("web"): {"containers/proxy": 0, "containers/server": 1}}
    view.put(apply_edits(view, [edit("web", CPU, None, "1")], TEMPLATES, container_indexes=stands).files)
    aim = [edit("web", "target", None, None)]
    assert apply_edits(view, aim, TEMPLATES, container_indexes=stands) == AppliedEdits({}, ())
    moved = {path_of("web"): {"containers/server": ContainerPlace(1), "containers/first": ContainerPlace(0)}}
    view.put(apply_edits(view, aim, TEMPLATES, container_indexes=moved).files)
    assert names_in(view, "web") == ["first", "server"]
    alone = {path_of("web"): {"containers/server": ContainerPlace(0)}}
    view.put(apply_edits(view, aim, TEMPLATES, container_indexes=alone).files)
    assert names_in(view, "web") == ["server"]


def test_a_strangers_file_in_the_component_is_named() -> None:
    files = Files({f"{OVERLAY}/shop/notes.yaml": b"a: 1\n", f"{OVERLAY}/shop/README.md": b"ours"})
    with pytest.raises(InputError, match=r"shop/notes\.yaml"):
        apply_edits(files, [edit("web", CPU, None, "1")], TEMPLATES)


def test_a_remembering_reader_is_asked_instead() -> None:
    asked: list[str] = []

    def remembered(text: bytes, path: str) -> MachineFile:
        asked.append(path)
        return parse(text, path=path)

    view = after(edit("web", CPU, None, "1"), edit("api", CPU, None, "1"))
    apply_edits(view, [edit("web", CPU, "1", "2"), edit("db", CPU, None, "1")], TEMPLATES, parse=remembered)
    assert sorted(asked) == [path_of("api"), path_of("web")]


values = st.sampled_from([None, "1", "2", "500m"])
fields = st.sampled_from([CPU, MEMORY, "containers/proxy/limits/cpu"])
wanted = st.dictionaries(st.tuples(st.sampled_from(["a", "b", "c"]), fields), values, max_size=6)


def edits_between(old: dict[tuple[str, str], str | None], new: dict[tuple[str, str], str | None]) -> list[ValueEdit]:
    return [edit(name, field, old.get((name, field)), value) for (name, field), value in new.items()]


@settings(max_examples=60, deadline=None)
@given(wanted, wanted, st.randoms())
def test_any_two_states_are_reached_in_any_order_with_the_same_bytes(
    first: dict[tuple[str, str], str | None], second: dict[tuple[str, str], str | None], random: object
) -> None:
    start = after(*edits_between({}, first))
    edits = edits_between(first, second)
    shuffled = list(edits)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    end, again = after(*edits, below=start), after(*shuffled, below=start)
    tree = {path: end.read(path) for path in end.list("")}
    assert tree == {path: again.read(path) for path in again.list("")}
    assert apply_edits(end, edits, TEMPLATES) == AppliedEdits({}, ())
    state = {key: value for key, value in {**first, **second}.items() if value is not None}
    found = {
        (file.target.name, field): value
        for path in tree
        if path != KUSTOMIZATION
        for file in [parse(tree[path] or b"", path=path)]
        for field, value in file.values.items()
    }
    assert found == state
    one_step = after(*edits_between({}, {**first, **second}))
    if state:
        assert tree == {path: one_step.read(path) for path in one_step.list("")}
