"""Machine-owned files: what is written is read back as the same values, whatever the names."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import InputError
from reconciler.manifests.machine_files import parse, path_for
from reconciler.model.machine_file import FileForm, MachineFile
from reconciler.model.workload import Container, ObjectRef, Source, Workload, WorkloadKey
from reconciler.render.machine_text import ContainerPlace, machine_text, places_of
from reconciler.render.templates import Templates

ROOT = Path(__file__).resolve().parents[3]
BUILTIN = {path.name: path.read_text() for path in (ROOT / "templates").glob("*.j2")}
TEMPLATES = Templates(BUILTIN)

# Names that YAML could take for something else are what matters here.
names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True) | st.sampled_from(
    ["on", "no", "null", "true", "1e3", "0x1f", "123", "12-30", "y", "1", "0o17", "2026-06-16", "e1"]
)
dotted = st.builds(".".join, st.lists(names, min_size=1, max_size=2))
quantities = st.sampled_from(["1", "65m", "2", "0", "96Mi", "1Gi", "1500m", "1e3", "0.5", "100k"])
counts = st.integers(0, 100000).map(str)
ids = st.text(st.characters(min_codepoint=32, exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=20)
comment_ids = st.from_regex(r"[A-Za-z0-9#:{%][A-Za-z0-9 :#{}%]{0,10}[A-Za-z0-9]", fullmatch=True)


def refs(*kinds: tuple[str, str], namespaced: bool = True) -> st.SearchStrategy[ObjectRef]:
    where = st.none() | names if namespaced else st.none()
    return st.builds(
        lambda kind, name, namespace: ObjectRef(api_version=kind[0], kind=kind[1], name=name, namespace=namespace),
        st.sampled_from(kinds),
        dotted,
        where,
    )


WORKLOADS = (("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("batch/v1", "CronJob"), ("v1", "Pod"))
ROLLOUT = ("argoproj.io/v1alpha1", "Rollout")
sizes = st.builds("/".join, st.tuples(st.sampled_from(["requests", "limits"]), st.sampled_from(["cpu", "memory"])))
request_fields = st.builds("/".join, st.tuples(st.sampled_from(["containers", "initContainers"]), names, sizes))
behavior = st.builds(
    lambda direction, pods, period, window: {
        f"behavior/{direction}/pods": pods,
        f"behavior/{direction}/periodSeconds": period,
        f"behavior/{direction}/stabilizationWindowSeconds": window,
    },
    st.sampled_from(["scaleUp", "scaleDown"]),
    counts,
    counts,
    counts,
)
hpa_values = st.builds(
    lambda low, high, metrics, rules, policy: {
        "minReplicas": low,
        "maxReplicas": high,
        **{f"metrics/{name}": target for name, target in metrics.items()},
        **rules,
        **({"policy": policy} if policy else {}),
    },
    counts,
    counts,
    st.dictionaries(st.sampled_from(["cpu", "memory"]), st.integers(1, 100).map("{}%".format) | quantities, min_size=1),
    st.just({}) | behavior,
    st.none() | ids,
)


def made(form: FileForm, targets: st.SearchStrategy[ObjectRef], values: st.SearchStrategy[dict[str, str]]) -> st.SearchStrategy[MachineFile]:  # fmt: skip
    return st.builds(lambda target, of: MachineFile(form=form, target=target, values=of), targets, values)


def keyed(head: str, keys: list[str]) -> st.SearchStrategy[dict[str, str]]:
    return st.dictionaries(st.sampled_from([f"{head}/{key}" for key in keys]), quantities, min_size=1)


turndown_values = st.builds(
    lambda objects, action: {**objects, **({"action": action} if action else {})},
    st.dictionaries(refs(*WORKLOADS[:3], ROLLOUT).map(lambda ref: ref.key), st.sampled_from(["replicas=0", "suspend=true"]), min_size=1, max_size=5),
    st.none() | comment_ids,
)  # fmt: skip
files = st.one_of(
    made("requests", refs(*WORKLOADS, ROLLOUT), st.dictionaries(request_fields, quantities, min_size=1, max_size=8)),
    made("hpa", refs(*WORKLOADS[:2], ROLLOUT), hpa_values),
    made("quota", refs(("v1", "ResourceQuota")), keyed("hard", ["requests.cpu", "pods", "count/jobs.batch"])),
    made("nodepool", refs(("karpenter.sh/v1", "NodePool"), namespaced=False), keyed("limits", ["cpu", "memory"])),
    made("replicas", refs(*WORKLOADS[:2], ROLLOUT), st.just({"replicas": "null"})),
    made("turndown", names.map(lambda n: ObjectRef(api_version="v1", kind="Namespace", name=n)), turndown_values),
)


def places_for(file: MachineFile) -> dict[str, int]:
    heads = sorted({"/".join(field.split("/")[:2]) for field in file.values})
    return {head: position for position, head in enumerate(heads)}


@settings(max_examples=120, deadline=None)
@given(files)
def test_what_is_written_is_read_back_and_written_the_same(file: MachineFile) -> None:
    namespace = file.target.name if file.form == "turndown" else "live"
    path = path_for("root/trimtab", file.form, file.target, namespace)
    text = machine_text(file, TEMPLATES, container_index=places_for(file), path=path)
    assert parse(text, path=path) == file
    again = MachineFile(form=file.form, target=file.target, values=dict(reversed(file.values.items())))
    assert machine_text(again, TEMPLATES, container_index=places_for(file), path=path) == text
    assert text.startswith(b"# Written by Trimtab")
    assert all(isinstance(document, dict | list) for document in yaml.safe_load_all(text))


WEB = ObjectRef(api_version="apps/v1", kind="Deployment", name="web", namespace="shop")
ROLL = ObjectRef(api_version="argoproj.io/v1alpha1", kind="Rollout", name="roll")


@pytest.mark.parametrize(
    ("form", "values", "field"),
    [
        ("requests", {"containers/server/requests/gpu": "1"}, "containers/server/requests/gpu"),
        ("requests", {"sidecars/server/requests/cpu": "1"}, "sidecars/server/requests/cpu"),
        ("hpa", {"maxReplicas": "3", "metrics/requests": "3"}, "metrics/requests"),
        ("hpa", {"minReplicas": "3"}, "maxReplicas"),
        ("quota", {"limits/cpu": "3"}, "limits/cpu"),
        ("replicas", {"replicas": "null", "paused": "true"}, "paused"),
        ("turndown", {"web": "replicas=0"}, "web"),
        ("turndown", {"apps/v1|Deployment||web": "paused=true"}, "apps/v1|Deployment||web"),
    ],
)
def test_a_value_that_the_form_has_not_is_refused(form: FileForm, values: dict[str, str], field: str) -> None:
    with pytest.raises(InputError) as caught:
        machine_text(MachineFile(form=form, target=WEB, values=values), TEMPLATES, path="p.yaml")
    assert (caught.value.where.path, caught.value.where.field) == ("p.yaml", field)


@pytest.mark.parametrize("evil", ["a\nkind: Secret", "a\r", "a\u2028b", "a\x00"])
def test_a_name_cannot_bring_lines_of_its_own(evil: str) -> None:
    quantities_of = {"containers/server/requests/cpu": "1"}
    for file in (
        MachineFile(form="requests", target=WEB.model_copy(update={"name": evil}), values=quantities_of),
        MachineFile(form="requests", target=ROLL.model_copy(update={"namespace": evil}), values=quantities_of),
        MachineFile(form="hpa", target=WEB, values={"maxReplicas": evil}),
        MachineFile(form="turndown", target=WEB, values={"action": evil, WEB.key: "replicas=0"}),
    ):
        with pytest.raises(InputError, match="line break or control character"):
            machine_text(file, TEMPLATES, container_index={"containers/server": 0})


def rollout_file(*containers: str) -> MachineFile:
    return MachineFile(form="requests", target=ROLL, values={f"containers/{c}/requests/cpu": "1" for c in containers})


def test_a_rollouts_container_must_have_a_place() -> None:
    with pytest.raises(InputError, match="not known where container server stands"):
        machine_text(rollout_file("server"), TEMPLATES, container_index={"containers/proxy": 0})


def test_maps_that_are_not_there_are_made_before_they_are_filled() -> None:
    workload = Workload(
        key=WorkloadKey(cluster="prod", namespace="shop", kind="Rollout", name="roll"),
        ref=ROLL,
        root="root",
        source=Source(path="x"),
        containers=(
            Container(name="init", role="init"),
            Container(name="bare"),
            Container(name="mesh", role="sidecar"),
            Container(name="limited", written=("resources", "resources/limits")),
            Container(name="full", written=("resources", "resources/requests")),
        ),
    )
    places = places_of(workload)
    assert places["containers/full"] == ContainerPlace(2, frozenset({"resources", "resources/requests"}))
    assert places["initContainers/mesh"].index == 1
    text = machine_text(rollout_file("bare", "limited", "full"), TEMPLATES, container_index=places)
    steps = [(item["op"], item["path"].split("containers/")[1]) for item in yaml.safe_load(text)]
    assert steps == [
        ("test", "0/name"),
        ("add", "0/resources"),
        ("add", "0/resources/requests"),
        ("add", "0/resources/requests/cpu"),
        ("test", "2/name"),
        ("add", "2/resources/requests/cpu"),
        ("test", "1/name"),
        ("add", "1/resources/requests"),
        ("add", "1/resources/requests/cpu"),
    ]


def test_memory_stands_before_cpu_as_clusters_give_it_back() -> None:
    values = {"maxReplicas": "3", "metrics/cpu": "70%", "metrics/memory": "1Gi"}
    spec = yaml.safe_load(machine_text(MachineFile(form="hpa", target=WEB, values=values), TEMPLATES))["spec"]
    assert [metric["resource"]["name"] for metric in spec["metrics"]] == ["memory", "cpu"]


def test_a_turndown_of_many_goes_without_targets() -> None:
    def text(count: int, twins: dict[str, str]) -> bytes:
        values = {WEB.model_copy(update={"name": f"w{i}"}).key: "replicas=0" for i in range(count)}
        file = MachineFile(form="turndown", target=WEB, values=values)
        return machine_text(file, TEMPLATES, twins=twins)

    assert text(150, {}).count(b"target:") == 150
    assert text(151, {}).count(b"target:") == 0
    assert b"annotationSelector: " in text(2, {"apps/v1|Deployment|shop|w1": "a=b"})


REQUESTS = MachineFile(
    form="requests",
    target=WEB,
    values={"containers/server/requests/cpu": "1", "containers/server/requests/memory": "1Gi"},
)


def test_an_override_may_add_what_does_not_matter() -> None:
    override = "# owned by the platform team\n" + BUILTIN["requests-patch.yaml.j2"]
    text = machine_text(REQUESTS, Templates(BUILTIN, {"requests-patch.yaml.j2": override}), path="requests-d-web.yaml")
    assert text.startswith(b"# owned by the platform team\n# Written")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (BUILTIN["requests-patch.yaml.j2"].replace("{{ value.quantity | yaml }}", "5m"), "loses containers/server/req"),
        (BUILTIN["requests-patch.yaml.j2"].replace("{{ target.name | yaml }}", "other"), "loses target"),
        ("kind: [", "cannot be read back"),
        (BUILTIN["requests-patch.yaml.j2"] + "status: {}\n", "cannot be read back"),
    ],
)
def test_an_override_that_says_something_else_is_refused(override: str, message: str) -> None:
    templates = Templates(BUILTIN, {"requests-patch.yaml.j2": override})
    with pytest.raises(InputError, match=message) as caught:
        machine_text(REQUESTS, templates, path="root/trimtab/shop/requests-deployment-web.yaml")
    assert caught.value.where.path == "templates/requests-patch.yaml.j2"
