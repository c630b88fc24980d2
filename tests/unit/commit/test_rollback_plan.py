"""Putting values back: what goes back, what stays, and what is told."""

from collections.abc import Iterable

import pytest

from reconciler.commit.rollback import RollbackPlan, rollback_edits
from reconciler.commit.values import is_machine_path, values_of
from reconciler.errors import NothingToRollBack
from reconciler.model.change import ValueEdit
from support.trees import Files

REQUESTS = "clusters/prod/trimtab/shop/requests-deployment-web.yaml"
HPA = "clusters/prod/trimtab/shop/hpa-web.yaml"
COMPONENT = "clusters/prod/trimtab/kustomization.yaml"
MANIFEST = "clusters/prod/apps/web.yaml"


def requests(cpu: str | None = None, memory: str | None = None, comment: str = "") -> bytes:
    values = [f"              {key}: {value}\n" for key, value in (("cpu", cpu), ("memory", memory)) if value]
    return (
        f"{comment}apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    spec:\n"
        "      containers:\n        - name: server\n          resources:\n            requests:\n" + "".join(values)
    ).encode()


def replicas(name: str) -> bytes:
    return f"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n  replicas: null\n".encode()


def hpa(low: int, high: int) -> bytes:
    return (
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata:\n  name: web\n  annotations:\n"
        "    trimtab.dev/policy: web\nspec:\n  scaleTargetRef:\n    apiVersion: apps/v1\n    kind: Deployment\n    name: web\n"
        f"  minReplicas: {low}\n  maxReplicas: {high}\n"
    ).encode()


def listing(*names: str) -> bytes:
    return ("resources:\n" + "".join(f"  - {name}\n" for name in names)).encode()


def plan(before: dict[str, bytes], after: dict[str, bytes], head: dict[str, bytes]) -> RollbackPlan:
    return rollback_edits(Files(before), Files(after), Files(head), is_machine=is_machine_path)


def told(edits: Iterable[ValueEdit]) -> list[tuple[str, str | None, str | None]]:
    return [(edit.field.replace("containers/server/", ""), edit.old, edit.new) for edit in edits]


def test_a_file_that_nobody_touched_goes_back_byte_for_byte() -> None:
    before, after = {REQUESTS: requests("500m", comment="# odd bytes\n")}, {REQUESTS: requests("250m")}
    result = plan(before, after, after | {"other.yaml": b"a: 1\n"})
    assert result.files == before
    assert told(result.edits) == [("requests/cpu", "250m", "500m")]
    assert result.kept == ()


def test_a_file_that_the_commit_made_goes_away_and_one_it_removed_comes_back() -> None:
    one = {REQUESTS: requests("250m")}
    assert plan({}, one, one).files == {REQUESTS: None}
    assert plan(one, {}, {}).files == one


def test_a_value_that_a_person_changed_stays_and_the_others_go_back() -> None:
    result = plan(
        {REQUESTS: requests("500m", "1Gi")},
        {REQUESTS: requests("250m", "512Mi")},
        {REQUESTS: requests("300m", "512Mi")},
    )
    assert told(result.edits) == [("requests/memory", "512Mi", "1Gi")]
    assert told(result.kept) == [("requests/cpu", "250m", "300m")]
    assert result.files == {}


def test_a_value_that_later_changes_did_not_touch_goes_back_beside_them() -> None:
    result = plan({REQUESTS: requests("500m")}, {REQUESTS: requests("250m")}, {REQUESTS: requests("250m", "1Gi")})
    assert told(result.edits) == [("requests/cpu", "250m", "500m")]
    assert result.kept == ()


def test_a_value_written_in_another_way_is_the_same_value() -> None:
    result = plan(
        {REQUESTS: requests("500m")}, {REQUESTS: requests("1")}, {REQUESTS: requests("1", comment="# mine\n")}
    )
    assert told(result.edits) == [("requests/cpu", "1", "500m")]
    inplace = b"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  cpu: %s\n"
    result = plan({MANIFEST: inplace % b"500m"}, {MANIFEST: inplace % b"1"}, {MANIFEST: inplace % b"1000m # a person"})
    assert [(edit.old, edit.new) for edit in result.edits] == [("1000m", "500m")]


def test_what_is_already_back_is_neither_edited_nor_kept() -> None:
    before, after = requests("500m", "1Gi"), requests("250m", "512Mi")
    result = plan({REQUESTS: before}, {REQUESTS: after}, {REQUESTS: requests("250m", "1Gi")})
    assert told(result.edits) == [("requests/cpu", "250m", "500m")]
    assert result.kept == ()


def test_nothing_left_to_put_back_lists_what_was_changed() -> None:
    before, after = {REQUESTS: requests("500m")}, {REQUESTS: requests("250m")}
    with pytest.raises(NothingToRollBack, match=r"containers/server/requests/cpu is now 300m"):
        plan(before, after, {REQUESTS: requests("300m")})
    with pytest.raises(NothingToRollBack, match="already what it was"):
        plan(before, after, before)
    with pytest.raises(NothingToRollBack, match="is now something else"):
        plan(before, after, {})


def test_a_file_that_was_removed_since_stays_away() -> None:
    before = {REQUESTS: requests("500m"), MANIFEST: b"a: 1\n"}
    after = {REQUESTS: requests("250m"), MANIFEST: b"a: 2\n"}
    result = plan(before, after, {MANIFEST: b"a: 2\n"})
    assert result.files == {MANIFEST: b"a: 1\n"}
    assert told(result.kept) == [("requests/cpu", "250m", None)]


def test_a_value_that_was_taken_away_does_not_bring_a_removed_file_back() -> None:
    before = {REQUESTS: requests("500m", "1Gi"), MANIFEST: b"a: 1\n"}
    after = {REQUESTS: requests("500m"), MANIFEST: b"a: 2\n"}
    result = plan(before, after, {MANIFEST: b"a: 2\n"})
    assert result.files == {MANIFEST: b"a: 1\n"} and result.kept == ()


def test_a_made_file_in_which_a_person_changed_only_the_form_goes_away() -> None:
    made = {REQUESTS: requests("250m")}
    result = plan({}, made, {REQUESTS: requests("250m", comment="# looked at\n")})
    assert result.files == {REQUESTS: None}


def test_a_made_file_with_a_value_of_a_persons_own_stays_with_that_value() -> None:
    result = plan({}, {REQUESTS: requests("250m")}, {REQUESTS: requests("250m", "1Gi")})
    assert result.files == {}
    assert told(result.edits) == [("requests/cpu", "250m", None)]


def test_an_hpa_that_has_to_stay_keeps_what_it_cannot_be_without() -> None:
    one, two = hpa(2, 10), hpa(2, 10).replace(b"minReplicas: 2", b"minReplicas: 3")
    with pytest.raises(NothingToRollBack, match="minReplicas is now 3"):
        plan({}, {HPA: one}, {HPA: two})
    result = plan({}, {HPA: one, REQUESTS: requests("1")}, {HPA: two, REQUESTS: requests("1")})
    assert result.files == {REQUESTS: None}
    assert {edit.field for edit in result.kept} == {"minReplicas", "maxReplicas"}


def test_an_hpa_goes_back_field_by_field() -> None:
    result = plan({HPA: hpa(1, 5)}, {HPA: hpa(2, 10)}, {HPA: hpa(2, 20)})
    assert [(edit.form, edit.field, edit.old, edit.new) for edit in result.edits] == [("hpa", "minReplicas", "2", "1")]
    assert told(result.kept) == [("maxReplicas", "10", "20")]


def test_the_list_of_a_component_goes_back_with_its_files() -> None:
    before = {COMPONENT: listing()}
    after = {COMPONENT: listing("a"), HPA: hpa(1, 5)}
    assert plan(before, after, after).files == {HPA: None, COMPONENT: listing()}


def test_the_list_of_a_component_is_made_anew_where_it_or_its_files_are_others_now() -> None:
    before = {COMPONENT: listing()}
    after = {COMPONENT: listing("a"), HPA: hpa(1, 5)}
    later = plan(before, after, after | {COMPONENT: listing("a", "b")})
    assert (later.files, later.components) == ({HPA: None}, (COMPONENT,))
    more = after | {REQUESTS: requests("1")}
    kept = plan(before, more, more | {HPA: hpa(3, 5)})
    assert (kept.files, kept.components) == ({REQUESTS: None}, (COMPONENT,))


def test_a_persons_manifest_goes_back_by_key_path_and_document() -> None:
    text = (
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\n---\napiVersion: apps/v1\nkind: Deployment\n"
        "metadata:\n  name: web\n  annotations: {{trimtab.dev/base-cpu-request: {base}}}\nspec:\n  replicas: {replicas}\n"
        "  containers:\n  - name: log\n    cpu: 1m\n  - name: server\n    cpu: {cpu}\n"
    )
    before, after, head = (
        {MANIFEST: text.format(base=base, cpu=cpu, replicas=replicas).encode()}
        for base, cpu, replicas in (("x", "500m", 1), ("y", "250m", 1), ("y", "250m", 4))
    )
    result = plan(before, after, head)
    assert [(e.form, e.target.kind, e.target.name, e.field, e.old, e.new) for e in result.edits] == [
        ("source", "Deployment", "web", "metadata/annotations/trimtab.dev~1base-cpu-request", "y", "x"),
        ("source", "Deployment", "web", "spec/containers/server/cpu", "250m", "500m"),
    ]


BARE = """\
# the web team's
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 1
  containers:
  - name: server
    image: web # pinned
  - name: log
    resources:
  - name: mesh
    resources: {}
  - name: flow
    resources: {limits: {cpu: 1}}
"""


def sized(text: str) -> str:
    return (
        text.replace("  name: web\nspec", '  name: web\n  annotations:\n    trimtab.dev/base: "1"\nspec')
        .replace("image: web # pinned\n", "image: web # pinned\n    resources:\n      requests:\n        cpu: 100m\n")
        .replace("name: log\n    resources:\n", "name: log\n    resources:\n      requests:\n        cpu: 10m\n")
        .replace("name: mesh\n    resources: {}\n", "name: mesh\n    resources: {requests: {cpu: 20m, memory: 1Mi}}\n")
        .replace("{limits: {cpu: 1}}", "{limits: {cpu: 1}, requests: {cpu: 30m}}")
    )


def test_mappings_that_came_with_the_values_go_away_with_them() -> None:
    """As `git revert` would have it, although somebody has edited the file since."""
    later = sized(BARE).replace("replicas: 1", "replicas: 4")
    result = plan({MANIFEST: BARE.encode()}, {MANIFEST: sized(BARE).encode()}, {MANIFEST: later.encode()})
    assert result.files == {MANIFEST: BARE.replace("replicas: 1", "replicas: 4").encode()}
    assert result.kept == ()


def test_a_mapping_in_which_somebody_has_put_something_stays_for_that() -> None:
    later = sized(BARE).replace("cpu: 100m\n", "cpu: 100m\n        memory: 1Gi\n")
    result = plan({MANIFEST: BARE.encode()}, {MANIFEST: sized(BARE).encode()}, {MANIFEST: later.encode()})
    added = "image: web # pinned\n    resources:\n      requests:\n        memory: 1Gi\n"
    assert result.files == {MANIFEST: BARE.replace("image: web # pinned\n", added).encode()}


def test_an_object_that_is_gone_from_the_file_is_left_alone() -> None:
    one, two = "kind: A\nmetadata: {name: a}\nv: %s\n", "---\nkind: B\nmetadata: {name: b}\nv: %s\n"
    before, after, head = ((one % 1 + two % 1), (one % 2 + two % 2), (one % 2 + "# only one now\n"))
    result = plan(*({MANIFEST: text.encode()} for text in (before, after, head)))
    assert result.files == {MANIFEST: (one % 1 + "# only one now\n").encode()}
    assert [(edit.target.name, edit.new) for edit in result.kept] == [("b", None)]


def test_lists_within_lists_go_back_from_the_inside() -> None:
    """A handover that is still there keeps its list, and that list its entry in the outer one."""
    handover = "clusters/prod/trimtab/handover"

    def overlay(*names: str) -> dict[str, bytes]:
        files = {f"{handover}/shop/replicas-deployment-{name}.yaml": replicas(name) for name in names}
        inner = {f"{handover}/kustomization.yaml": listing(*names)} if names else {}
        return {**files, **inner, COMPONENT: listing("handover") if names else listing("")}

    alone = plan(overlay(), overlay("web"), overlay("web"))
    assert alone.components == ()
    assert alone.files[f"{handover}/kustomization.yaml"] is None
    assert alone.files[COMPONENT] == listing("")
    both = plan(overlay(), overlay("web"), overlay("web", "api"))
    assert both.files == {f"{handover}/shop/replicas-deployment-web.yaml": None}
    assert both.components == (f"{handover}/kustomization.yaml", COMPONENT)
    second = plan(overlay("web"), overlay("web", "api"), overlay("web", "api"))
    assert second.components == ()
    assert COMPONENT not in second.files


def test_a_declared_policy_is_configuration() -> None:
    text = b"apiVersion: trimtab.dev/v1alpha1\nkind: ScalingPolicy\nmetadata: {name: web}\nspec: {maxReplicas: %d, dryRun: %s}\n"
    path = "policies/web.yaml"
    result = plan({path: text % (5, b"true")}, {path: text % (9, b"true")}, {path: text % (9, b"false")})
    assert [(edit.form, edit.field, edit.new) for edit in result.edits] == [("config", "spec/maxReplicas", "5")]


def test_a_file_that_cannot_be_read_stays_and_does_not_stop_the_others() -> None:
    before = {REQUESTS: requests("500m"), HPA: hpa(1, 5)}
    after = {REQUESTS: requests("250m"), HPA: hpa(2, 5)}
    result = plan(before, after, {REQUESTS: b"{broken", HPA: hpa(2, 5)})
    assert result.files == {HPA: hpa(1, 5)}
    assert [(edit.path, edit.field) for edit in result.kept] == [(REQUESTS, "")]


def test_files_that_are_no_yaml_go_back_whole_or_stay() -> None:
    assert plan({"a.txt": b"1"}, {"a.txt": b"2"}, {"a.txt": b"2"}).files == {"a.txt": b"1"}
    with pytest.raises(NothingToRollBack, match="the file is now something else"):
        plan({"a.txt": b"1"}, {"a.txt": b"2"}, {"a.txt": b"3"})


def test_scalars_are_flattened_without_losing_any() -> None:
    text = b"""\
a: {b: [1, 2], c: {}, d: []}
list: [{name: x, v: 1}, {name: y, v: 2}]
twice: [{name: x, v: 1}, {name: x, v: 2}]
"a/b~c": on
empty:
--- # nothing
---
kind: K
metadata: {name: n, namespace: s}
"""
    flat = {(at.target.name, at.field): value for at, value in values_of(text, "x.yaml").items()}
    assert flat == {
        ("", "a/b/0"): "1", ("", "a/b/1"): "2", ("", "a/c"): "{}", ("", "a/d"): "[]",
        ("", "list/x/name"): "x", ("", "list/x/v"): "1", ("", "list/y/name"): "y", ("", "list/y/v"): "2",
        ("", "twice/0/name"): "x", ("", "twice/0/v"): "1", ("", "twice/1/name"): "x", ("", "twice/1/v"): "2",
        ("", "a~1b~0c"): "on", ("", "empty"): "",
        ("n", "kind"): "K", ("n", "metadata/name"): "n", ("n", "metadata/namespace"): "s",
    }  # fmt: skip


def test_documents_that_look_alike_are_told_apart() -> None:
    text = b"a: 1\n---\na: 2\n"
    assert [(at.target.name, value) for at, value in values_of(text, "x.yaml").items()] == [("", "1"), ("#2", "2")]
