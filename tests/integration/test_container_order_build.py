"""The order of containers in what kustomize really builds: as foreseen, and as people's manifests have it."""

import random
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.manifests.component import component_text
from reconciler.manifests.container_order import order_of
from reconciler.manifests.machine_files import parse
from reconciler.model.machine_file import MachineFile
from reconciler.model.workload import ObjectRef
from reconciler.observe.kustomize import Builder
from reconciler.render.machine_text import machine_text
from reconciler.render.templates import Templates

TEMPLATES = Templates(
    {path.name: path.read_text() for path in (Path(__file__).resolve().parents[2] / "templates").glob("*.j2")}
)
KINDS = {"Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "CronJob": "batch/v1", "Pod": "v1"}
NAMES = ("web", "app", "cache", "mesh", "on", "b", "1")
ROLES = ("initContainers", "containers")
OWN = {"limits": {"ephemeral-storage": "1Gi"}}


class Files:
    """A tree in memory."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files
        self.blobs = {path: sha1(text).hexdigest() for path, text in files.items()}
        self.oddities: Mapping[str, str] = {}
        self.commit = ""

    def read(self, path: str) -> bytes:
        return self.files[path]

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        return {path: self.files[path] for path in paths}


def wrapped(kind: str, pod: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod}
    if kind == "Pod":
        return {"spec": pod}
    return {"spec": {"jobTemplate": {"spec": {"template": template}}} if kind == "CronJob" else {"template": template}}


def pod_of(value: Any) -> Any:
    spec = value["spec"]
    spec = spec.get("jobTemplate", {"spec": spec})["spec"]
    return spec.get("template", {"spec": spec})["spec"]


class Pods:
    """Many workloads with containers in any order, any of them sized: what people wrote, our files, and the build."""

    def __init__(self, home: Path, chance: random.Random, count: int) -> None:
        self.lists: dict[str, dict[str, list[str]]] = {}
        self.files: dict[str, MachineFile] = {}
        manifests = []
        for number in range(count):
            kind, name = chance.choice(list(KINDS)), f"w{number}"
            lists = {role: chance.sample(NAMES, chance.randint(role == "containers", 6)) for role in ROLES}
            pod = {role: [{"name": n, "image": "i", "resources": OWN} for n in lists[role]] for role in ROLES}
            head = {"apiVersion": KINDS[kind], "kind": kind, "metadata": {"name": name, "namespace": "shop"}}
            manifests.append({**head, **wrapped(kind, {role: items for role, items in pod.items() if items})})
            standing = [f"{role}/{n}" for role in ROLES for n in lists[role]]
            sized = chance.sample(standing, chance.randint(1, len(standing)))
            values = {f"{entry}/requests/cpu": "65m" for entry in sized}
            target = ObjectRef(api_version=KINDS[kind], kind=kind, name=name, namespace="shop")
            path = f"shop/requests-{kind.lower()}-{name}.yaml"
            made = MachineFile(form="requests", target=target, values=values, order=order_of(values, standing))
            self.lists[name], self.files[path] = lists, made
        written = {f"r/trimtab/{path}": machine_text(file, TEMPLATES, path=path) for path, file in self.files.items()}
        tree = {
            "r/kustomization.yaml": b"resources: [apps.yaml]\ncomponents: [trimtab]\n",
            "r/apps.yaml": yaml.safe_dump_all(manifests, sort_keys=False).encode(),
            "r/trimtab/kustomization.yaml": component_text(self.files, use_targets=False).encode(),
            **written,
        }
        builder = Builder(home)
        builder.materialize(Files(tree))
        self.built = {o["metadata"]["name"]: pod_of(o) for o in yaml.safe_load_all(builder.build("r")) if o}


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    yield Pods(tmp_path_factory.mktemp("order"), random.Random(20260616), 300)


def test_any_containers_are_sized_in_any_order_and_stay_in_it(pods: Pods) -> None:
    assert len(pods.built) == 300
    assert sum(1 for file in pods.files.values() if file.order) > 100, "what names alone would not have kept"
    for file in pods.files.values():
        name = file.target.name
        built = pods.built[name]
        assert {role: [c["name"] for c in built.get(role, ())] for role in ROLES} == pods.lists[name]
        for role in ROLES:
            for container in built.get(role, ()):
                sized = f"{role}/{container['name']}/requests/cpu" in file.values
                requests = {"requests": {"cpu": "65m"}} if sized else {}
                assert container == {"name": container["name"], "image": "i", "resources": {**OWN, **requests}}


def test_kustomize_puts_what_a_patch_names_first_also_what_is_gone(tmp_path: Path) -> None:
    def merged(patch: Sequence[str], order: str = "") -> list[Any]:
        entries = "".join(f"{{name: {name}}}, " for name in patch)
        tree = {
            "r/kustomization.yaml": b"resources: [w.yaml]\npatches: [{path: p.yaml}]\n",
            "r/w.yaml": b"{apiVersion: v1, kind: Pod, metadata: {name: w}, spec: {containers: ["
            b"{name: c, image: i}, {name: a, image: i}, {name: b, image: i, resources: {limits: {cpu: 1}}}]}}\n",
            "r/p.yaml": f"{{apiVersion: v1, kind: Pod, metadata: {{name: w}}, spec: {{{order}containers: [{entries}]}}}}\n".encode(),
        }
        builder = Builder(tmp_path)
        builder.materialize(Files(tree))
        (pod,) = yaml.safe_load_all(builder.build("r"))
        return [(c["name"], c.get("image"), *c.get("resources", ())) for c in pod["spec"]["containers"]]

    c, a, b = ("c", "i"), ("a", "i"), ("b", "i", "limits")
    assert merged(["b"]) == [b, c, a]
    assert merged(["b", "c"]) == [b, c, a]
    assert merged(["c", "a", "b"]) == [c, a, b]
    assert merged(["c", "gone", "b"]) == [c, ("gone", None), b, a]
    asked = "$setElementOrder/containers: [{name: c}, {name: a}, {name: b}], "
    assert merged(["b"], asked) == [b, c, a], "or else the files could say the order itself"


def test_a_file_that_is_written_is_read_back(pods: Pods) -> None:
    for path, file in pods.files.items():
        assert parse(machine_text(file, TEMPLATES, path=path), path=path) == file
