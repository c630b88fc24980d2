"""What is worked out without kustomize, and what our component selects, against the real one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.errors import InputError
from reconciler.manifests.component import component_text, handover_text, target_text, turndown_component_text
from reconciler.model.fleet import Root
from reconciler.model.inventory import Inventory, RootState
from reconciler.model.machine_file import FileForm, MachineFile
from reconciler.model.workload import ObjectRef, Workload
from reconciler.observe.inventory import read_root
from reconciler.observe.kustomize import Builder, find_kustomize

REAL = Path(__file__).resolve().parents[2] / "../shared/real"

COMPONENT = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: []\n"
WIRED = {
    "prod/kustomization.yaml": "resources: [apps]\ncomponents: [trimtab]\n",
    "prod/trimtab/kustomization.yaml": COMPONENT,
}


class Files:
    """A tree in memory."""

    def __init__(self, files: Mapping[str, str | bytes]) -> None:
        self.files = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
        self.blobs = {path: sha1(text).hexdigest() for path, text in self.files.items()}
        self.oddities: Mapping[str, str] = {}
        self.commit = ""

    def read(self, path: str) -> bytes:
        return self.files[path]

    def read_many(self, paths: Iterable[str]) -> dict[str, bytes]:
        return {path: self.files[path] for path in paths}


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return Builder(tmp_path_factory.mktemp("builds"))


def build(builder: Builder, files: Mapping[str, str | bytes], path: str = "prod") -> list[dict[str, Any]]:
    builder.materialize(Files(files))
    return [document for document in yaml.safe_load_all(builder.build(path)) if document]


def manifest(name: str, namespace: str = "", *, kind: str = "Deployment", api: str = "apps/v1", spec: str = "") -> str:
    placed = f", namespace: {namespace}" if namespace else ""
    body = spec or "replicas: 3, template: {spec: {containers: [{name: server, image: x}]}}"
    return f"apiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}{placed}}}\nspec: {{{body}}}\n"


def hpa(name: str, target: str, namespace: str = "", kind: str = "Deployment") -> str:
    spec = f"maxReplicas: 4, scaleTargetRef: {{apiVersion: apps/v1, kind: {kind}, name: {target}}}"
    return manifest(name, namespace, kind="HorizontalPodAutoscaler", api="autoscaling/v2", spec=spec)


def read(files: Mapping[str, str | bytes], builder: Builder | None = None) -> RootState:
    tree = Files(files)
    if builder:
        builder.materialize(tree)
    return read_root(tree, "eu", Root(path="prod"), build=builder.build if builder else None)


Seen = set[tuple[str, str | None, str, str]]


def worked_out(found: Inventory) -> Seen:
    """Kind, namespace, name and, of HPAs, the target's name."""
    seen: Seen = {(w.ref.kind, w.ref.namespace, w.ref.name, "") for w in found.workloads}
    seen |= {(h.kind, h.namespace, h.name, h.target_name) for h in found.hpas}
    seen |= {("ResourceQuota", q.ref.namespace, q.name, "") for q in found.quotas}
    return seen | {("Namespace", None, name, "") for name in found.namespaces}


def built(documents: list[dict[str, Any]]) -> Seen:
    kinds = ("Deployment", "StatefulSet", "Pod", "HorizontalPodAutoscaler", "ResourceQuota", "Namespace")
    return {
        (
            document["kind"],
            # What has no namespace in Git is in `default` here: the root's namespace.
            document["metadata"].get("namespace", "default" if document["kind"] == "HorizontalPodAutoscaler" else None),
            document["metadata"]["name"],
            (document.get("spec") or {}).get("scaleTargetRef", {}).get("name", ""),
        )
        for document in documents
        if document["kind"] in kinds
    }


MIX = "---\n".join(
    (
        manifest("web"),
        manifest("api", "elsewhere"),
        manifest("db", kind="StatefulSet"),
        manifest("q", kind="ResourceQuota", api="v1", spec="hard: {pods: 1}"),
        hpa("web", "web"),
        hpa("db", "db", kind="StatefulSet"),
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: elsewhere, labels: {a: b}}\n",
    )
)
A_LIST = "apiVersion: v1\nkind: List\nitems:\n" + "".join(
    "- " + text.replace("\n", "\n  ").rstrip() + "\n" for text in (manifest("one"), manifest("two", kind="StatefulSet"))
)

LAYOUTS: dict[str, dict[str, str]] = {
    "plain": {"prod/apps/kustomization.yaml": "resources: [a.yaml]\n", "prod/apps/a.yaml": MIX},
    "namespace": {"prod/apps/kustomization.yaml": "namespace: shop\nresources: [a.yaml]\n", "prod/apps/a.yaml": MIX},
    "prefix and suffix, nested": {
        "prod/apps/kustomization.yaml": "namePrefix: o-\nnameSuffix: -o\nresources: [in]\n",
        "prod/apps/in/kustomization.yaml": "namePrefix: i-\nnameSuffix: -i\nnamespace: shop\nresources: [a.yaml]\n",
        "prod/apps/in/a.yaml": MIX,
    },
    "two directories": {
        "prod/kustomization.yaml": "resources: [apps, more]\ncomponents: [trimtab]\n",
        "prod/apps/kustomization.yaml": "namePrefix: a-\nresources: [a.yaml]\n",
        "prod/apps/a.yaml": manifest("web") + "---\n" + hpa("web", "web"),
        "prod/more/kustomization.yaml": "namePrefix: b-\nresources: [a.yaml]\n",
        "prod/more/a.yaml": manifest("web") + "---\n" + hpa("web", "web"),
    },
    "an HPA beside a renamed workload": {
        "prod/apps/kustomization.yaml": "resources: [w, h.yaml]\n",
        "prod/apps/h.yaml": hpa("h", "web", "shop") + "---\n" + hpa("other", "web", "dev"),
        "prod/apps/w/kustomization.yaml": "namePrefix: p-\nresources: [a.yaml]\n",
        "prod/apps/w/a.yaml": manifest("web", "shop"),
    },
    "an HPA that could mean two": {
        "prod/apps/kustomization.yaml": "resources: [w, v, h.yaml]\n",
        "prod/apps/h.yaml": hpa("h", "web", "shop"),
        "prod/apps/w/kustomization.yaml": "namePrefix: p-\nresources: [a.yaml]\n",
        "prod/apps/w/a.yaml": manifest("web", "shop"),
        "prod/apps/v/kustomization.yaml": "namePrefix: q-\nresources: [a.yaml]\n",
        "prod/apps/v/a.yaml": manifest("web", "shop"),
    },
    "an HPA that is led astray": {
        "prod/apps/kustomization.yaml": "resources: [w, v, h.yaml]\n",
        "prod/apps/h.yaml": hpa("h", "web", "shop"),
        "prod/apps/w/kustomization.yaml": "resources: [a.yaml]\n",
        "prod/apps/w/a.yaml": manifest("web", "shop"),
        "prod/apps/v/kustomization.yaml": "namePrefix: q-\nresources: [a.yaml]\n",
        "prod/apps/v/a.yaml": manifest("web", "shop"),
    },
    "a list": {"prod/apps/kustomization.yaml": "namePrefix: p-\nresources: [a.yaml]\n", "prod/apps/a.yaml": A_LIST},
    "a base from elsewhere": {
        "prod/apps/kustomization.yaml": "namespace: shop\nresources: [../../base]\n",
        "base/Kustomization": "bases: [deep]\n",
        "base/deep/kustomization.yml": "resources: [./a.yaml]\n",
        "base/deep/a.yaml": MIX,
    },
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_identities_are_those_that_kustomize_gives(builder: Builder, layout: str) -> None:
    files = WIRED | LAYOUTS[layout]
    state = read(files)
    assert state.inventory.problems == ()
    assert worked_out(state.inventory) == built(build(builder, files))


def test_labels_and_annotations_are_those_that_kustomize_gives(builder: Builder) -> None:
    files = WIRED | {
        "prod/apps/kustomization.yaml": (
            "resources: [a.yaml]\ncommonLabels: {x: one}\ncommonAnnotations: {note: two}\n"
            "labels: [{pairs: {a: three}}, {pairs: {c: four}, includeTemplates: true}, {pairs: {e: five}, includeSelectors: true}]\n"
        ),
        "prod/apps/a.yaml": manifest("web")
        + "---\n"
        + manifest("one", kind="Pod", api="v1", spec="containers: []")
        + "---\n"
        + manifest("r", kind="Rollout", api="argoproj.io/v1alpha1"),
    }
    found = {(w.ref.kind): w for w in read(files).inventory.workloads}
    for document in build(builder, files):
        workload = found[document["kind"]]
        metadata = document["metadata"]
        template = metadata if document["kind"] == "Pod" else document["spec"]["template"].get("metadata", {})
        assert workload.labels == metadata["labels"]
        assert workload.annotations == metadata["annotations"]
        assert workload.pod_labels == template.get("labels", {})


BROKEN: dict[str, dict[str, str]] = {
    "missing file": {"prod/apps/kustomization.yaml": "resources: [gone.yaml]\n"},
    "directory without kustomization": {"prod/apps/kustomization.yaml": "resources: [d]\n", "prod/apps/d/a.yaml": MIX},
    "cycle": {
        "prod/apps/kustomization.yaml": "resources: [d]\n",
        "prod/apps/d/kustomization.yaml": "resources: [../../apps]\n",
    },
    "file from elsewhere": {"prod/apps/kustomization.yaml": "resources: [../x.yaml]\n", "prod/x.yaml": MIX},
    "twice": {"prod/apps/kustomization.yaml": "resources: [a.yaml, ./a.yaml]\n", "prod/apps/a.yaml": manifest("web")},
    "twice but for default": {
        "prod/apps/kustomization.yaml": "resources: [a.yaml]\n",
        "prod/apps/a.yaml": manifest("web") + "---\n" + manifest("web", "default"),
    },
    "made one by the namespace": {
        "prod/apps/kustomization.yaml": "namespace: shop\nresources: [a.yaml]\n",
        "prod/apps/a.yaml": manifest("web", "a") + "---\n" + manifest("web", "b"),
    },
    "two namespaces made one": {
        "prod/apps/kustomization.yaml": "namespace: shop\nresources: [a.yaml]\n",
        "prod/apps/a.yaml": "".join(f"---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {n}}}\n" for n in "ab"),
    },
    "empty": {"prod/apps/kustomization.yaml": "# nothing\n"},
    "unknown field": {"prod/apps/kustomization.yaml": "resources: []\nnope: 1\n"},
    "no object": {"prod/apps/kustomization.yaml": "resources: [a.yaml]\n", "prod/apps/a.yaml": "a: b\n"},
    "no name": {"prod/apps/kustomization.yaml": "resources: [a.yaml]\n", "prod/apps/a.yaml": "kind: Pod\nmetadata: {}\n"},
    "component as a resource": {"prod/apps/kustomization.yaml": COMPONENT},
    "HPA that could mean two": {
        "prod/apps/kustomization.yaml": "namePrefix: z-\nresources: [one, two]\n",
        "prod/apps/one/kustomization.yaml": "resources: [../../../base]\n",
        "prod/apps/two/kustomization.yaml": "namePrefix: q-\nresources: [../../../base]\n",
        "base/kustomization.yaml": "resources: [a.yaml]\n",
        "base/a.yaml": manifest("web") + "---\n" + hpa("h", "web"),
    },
}  # fmt: skip


@pytest.mark.parametrize("layout", BROKEN)
def test_what_kustomize_refuses_blocks_the_root(builder: Builder, layout: str) -> None:
    files = WIRED | BROKEN[layout]
    with pytest.raises(InputError, match="kustomize does not build this"):
        build(builder, files)
    assert [problem.blocks_root for problem in read(files).inventory.problems] == [True]


NAMES = st.sampled_from(["web", "api", "a-web", "b-api"])
NAMESPACES = st.sampled_from(["", "shop", "dev", "default"])


@st.composite
def layouts(draw: st.DrawFn) -> dict[str, str]:
    """Two or three directories of Deployments and HPAs, with or without namespace, prefix and suffix, nested or not."""
    files = dict(WIRED)
    entries = []
    for directory in draw(st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=3, unique=True)):
        head = "resources: [a.yaml]\n"
        for field, values in (("namespace", ["shop", "dev"]), ("namePrefix", ["a-", "b-"]), ("nameSuffix", ["-s"])):
            if draw(st.booleans()):
                head += f"{field}: {draw(st.sampled_from(values))}\n"
        objects = [manifest(draw(NAMES), draw(NAMESPACES)) for _ in range(draw(st.integers(1, 2)))]
        objects += [hpa(f"h{n}", draw(NAMES), draw(NAMESPACES)) for n in range(draw(st.integers(0, 2)))]
        files[f"prod/apps/{directory}/kustomization.yaml"] = head
        files[f"prod/apps/{directory}/a.yaml"] = "---\n".join(objects)
        entries.append(directory)
    outer = draw(st.sampled_from(["", "namespace: live\n", "namePrefix: a-\n"]))
    files["prod/apps/kustomization.yaml"] = f"resources: [{', '.join(entries)}]\n{outer}"
    return files


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=layouts())
def test_any_layout_is_worked_out_or_refused_as_kustomize_does(builder: Builder, files: dict[str, str]) -> None:
    found = read(files).inventory
    try:
        documents = build(builder, files)
    except InputError:
        assert any(problem.blocks_root for problem in found.problems)
        return
    assert not any(problem.blocks_root for problem in found.problems)
    # Two objects that are one in the cluster only (default, and none) build, but are reported and read once.
    if not found.problems:
        assert worked_out(found) == built(documents)


# --- what our component selects -------------------------------------------------------------------------------------

MARK = "- {op: add, path: /metadata/annotations, value: {hit: here}}\n"


def marked(builder: Builder, files: Mapping[str, str | bytes], ref: ObjectRef, selector: str = "") -> Seen:
    """What a patch with the exact target of ``ref`` hits."""
    text = COMPONENT.replace("resources: []", "patches:\n  - path: mark.yaml") + target_text(
        ref, selector=selector, indent=4
    )
    documents = build(builder, {**files, "prod/trimtab/kustomization.yaml": text, "prod/trimtab/mark.yaml": MARK})
    return built([d for d in documents if "hit" in d["metadata"].get("annotations", {})])


MANY = WIRED | {
    "prod/apps/kustomization.yaml": "resources: [a.yaml]\n",
    "prod/apps/a.yaml": "---\n".join(
        (
            manifest("web", "shop"),
            manifest("web", "dev"),
            manifest("web"),
            manifest("web", "shopping"),
            manifest("web-2", "shop"),
            manifest("my-web", "shop"),
            manifest("web.v1", "shop"),
            manifest("web-v1", "shop"),
            manifest("web", "shop", kind="StatefulSet"),
            manifest("web", "shop", api="apps/v1beta1"),
            manifest("web", "shop", kind="Deployment", api="appsx/v1"),
        )
    ),
}


@pytest.mark.parametrize("index", range(9))
def test_a_target_hits_its_object_and_no_other(builder: Builder, index: int) -> None:
    workload: Workload = read(MANY).inventory.workloads[index]
    ref = workload.ref
    assert marked(builder, MANY, ref) == {(ref.kind, ref.namespace, ref.name, "")}


def twins_of(files: dict[str, str]) -> dict[str, str]:
    return WIRED | {"base/kustomization.yaml": "resources: [a.yaml]\n", "base/a.yaml": manifest("web", "shop")} | files


TWINS = {
    "a canary of the same base": twins_of(
        {
            "prod/apps/kustomization.yaml": "resources: [../../base, canary]\n",
            "prod/apps/canary/kustomization.yaml": "namePrefix: canary-\nresources: [../../../base]\n",
        }
    ),
    "the same base in two namespaces": twins_of(
        {
            "prod/apps/kustomization.yaml": "resources: [../../base, dev]\n",
            "prod/apps/dev/kustomization.yaml": "namespace: dev\nresources: [../../../base]\n",
        }
    ),
    "both, moved together": twins_of(
        {
            "prod/apps/kustomization.yaml": "namespace: live\nresources: [../../base, canary]\n",
            "prod/apps/canary/kustomization.yaml": "namePrefix: canary-\nresources: [../../../base]\n",
        }
    ),
    "a new name that another one had": twins_of(
        {
            "prod/apps/kustomization.yaml": "resources: [a, b]\n",
            "prod/apps/a/kustomization.yaml": "namePrefix: a-\nresources: [../../../base]\n",
            "prod/apps/b/kustomization.yaml": "namePrefix: b-\nresources: [w.yaml]\n",
            "prod/apps/b/w.yaml": manifest("a-web", "shop"),
        }
    ),
}


@pytest.mark.parametrize("layout", TWINS)
def test_twins_are_found_and_told_apart(builder: Builder, layout: str) -> None:
    files = TWINS[layout]
    found = read(files).inventory
    assert found.twins
    for workload in found.workloads:
        ref = workload.ref
        exact = {(ref.kind, ref.namespace, ref.name, "")}
        hit = marked(builder, files, ref)
        assert (hit == exact) is (ref.key not in found.twins)
        if ref.key in found.twins:
            assert marked(builder, files, ref, found.twins[ref.key]) == exact


@pytest.mark.parametrize("layout", TWINS)
def test_an_hpa_goes_astray_where_it_is_said_to(builder: Builder, layout: str) -> None:
    files = TWINS[layout]
    found = read(files).inventory
    for workload in found.workloads:
        ref = workload.ref
        text = COMPONENT.replace("resources: []", "resources: [hpa.yaml]")
        own = {
            "prod/trimtab/kustomization.yaml": text,
            "prod/trimtab/hpa.yaml": hpa(ref.name, ref.name, ref.namespace or ""),
        }
        (document,) = [d for d in build(builder, files | own) if d["kind"] == "HorizontalPodAutoscaler"]
        assert document["spec"]["scaleTargetRef"]["name"] == found.strays.get(ref.key, ref.name)


def test_a_node_pool_is_hit_whatever_namespace_a_transformer_gave_it(builder: Builder) -> None:
    files = WIRED | {
        "prod/apps/kustomization.yaml": "namespace: shop\nresources: [a.yaml]\n",
        "prod/apps/a.yaml": manifest("general", kind="NodePool", api="karpenter.sh/v1", spec="limits: {cpu: 1}"),
    }
    (pool,) = read(files).inventory.node_pools
    limits = "apiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata: {name: general}\nspec: {limits: {cpu: '64'}}\n"
    path = "nodepools/limits-general.yaml"
    component = component_text({path: MachineFile(form="nodepool", target=pool.ref)}, turndowns=())
    own = {"prod/trimtab/kustomization.yaml": component, f"prod/trimtab/{path}": limits}
    assert [d["spec"]["limits"] for d in build(builder, files | own)] == [{"cpu": "64"}]


# --- the component as a whole ----------------------------------------------------------------------------------------


def patch(ref: ObjectRef, spec: str) -> str:
    namespace = f"  namespace: {ref.namespace}\n" if ref.namespace else ""
    head = f"apiVersion: {ref.api_version}\nkind: {ref.kind}\nmetadata:\n  name: {ref.name}\n{namespace}"
    return f"{head}spec: {spec}\n"


REQUESTS = "{template: {spec: {containers: [{name: server, resources: {requests: {cpu: 80m}}}]}}}"
JSON6902 = (
    "# target: argoproj.io/v1alpha1 Rollout - roll\n"
    "- {op: test, path: /spec/template/spec/containers/0/name, value: server}\n"
    "- {op: add, path: /spec/template/spec/containers/0/resources, value: {}}\n"
    "- {op: add, path: /spec/template/spec/containers/0/resources/requests, value: {}}\n"
    "- {op: add, path: /spec/template/spec/containers/0/resources/requests/cpu, value: 80m}\n"
)


def ref(name: str, namespace: str | None = None, kind: str = "Deployment", api: str = "apps/v1") -> ObjectRef:
    return ObjectRef(api_version=api, kind=kind, name=name, namespace=namespace)


WHOLE = WIRED | {
    "prod/apps/kustomization.yaml": "resources: [a.yaml]\n",
    "prod/apps/a.yaml": "---\n".join(
        (
            manifest("web", "shop"),
            manifest("api"),
            manifest("roll", kind="Rollout", api="argoproj.io/v1alpha1"),
            manifest("nightly", "shop", kind="CronJob", api="batch/v1", spec="schedule: '0 1 * * *'"),
            manifest("q", kind="ResourceQuota", api="v1", spec="hard: {requests.cpu: '1', pods: '5'}"),
        )
    ),
}
OWN: dict[str, tuple[FileForm, ObjectRef, str]] = {
    "shop/requests-deployment-web.yaml": ("requests", ref("web", "shop"), patch(ref("web", "shop"), REQUESTS)),
    "handover/shop/replicas-deployment-web.yaml": (
        "replicas",
        ref("web", "shop"),
        patch(ref("web", "shop"), "{replicas: null}"),
    ),
    "default/requests-deployment-api.yaml": ("requests", ref("api"), patch(ref("api"), REQUESTS)),
    "default/requests-rollout-roll.yaml": ("requests", ref("roll", None, "Rollout", "argoproj.io/v1alpha1"), JSON6902),
    "default/quota-q.yaml": (
        "quota",
        ref("q", None, "ResourceQuota", "v1"),
        patch(ref("q", None, "ResourceQuota", "v1"), "{hard: {requests.cpu: '2'}}"),
    ),
    "shop/hpa-web.yaml": ("hpa", ref("web", "shop"), hpa("web", "web", "shop")),
}


def overlay(*, use_targets: bool, turndown: str = "", with_targets: bool = False) -> dict[str, str]:
    files = {path: MachineFile(form=form, target=target) for path, (form, target, _) in OWN.items()}
    own = {f"prod/trimtab/{path}": text for path, (_, _, text) in OWN.items()}
    own["prod/trimtab/kustomization.yaml"] = component_text(files, turndowns=["shop"], use_targets=use_targets)
    own["prod/trimtab/handover/kustomization.yaml"] = handover_text(files, use_targets=use_targets) or ""
    folder = "prod/trimtab/shop/turndown"
    own[f"{folder}/kustomization.yaml"] = turndown_component_text(bool(turndown), with_targets=with_targets)
    return own | ({f"{folder}/turndown.yaml": turndown} if turndown else {})


@pytest.mark.parametrize("use_targets", [True, False])
def test_every_form_of_file_builds(builder: Builder, use_targets: bool) -> None:
    documents = {
        (d["kind"], d["metadata"]["name"]): d["spec"] for d in build(builder, WHOLE | overlay(use_targets=use_targets))
    }
    for key in (("Deployment", "web"), ("Deployment", "api"), ("Rollout", "roll")):
        (container,) = documents[key]["template"]["spec"]["containers"]
        assert container == {"name": "server", "image": "x", "resources": {"requests": {"cpu": "80m"}}}
    assert "replicas" not in documents["Deployment", "web"]
    assert documents["Deployment", "api"]["replicas"] == 3
    assert documents["ResourceQuota", "q"]["hard"] == {"requests.cpu": "2", "pods": "5"}
    assert documents["HorizontalPodAutoscaler", "web"]["scaleTargetRef"]["name"] == "web"


def test_the_generated_files_are_what_read_root_reads_back(builder: Builder) -> None:
    state = read(WHOLE | overlay(use_targets=True), builder)
    assert state.inventory.problems == ()
    assert {path.removeprefix("prod/trimtab/"): file.target for path, file in state.overlay.items()} == {
        path: target for path, (_, target, _) in OWN.items()
    }


DOWN = (
    patch(ref("web", "shop"), "{replicas: 0}")
    + "---\n"
    + patch(ref("nightly", "shop", "CronJob", "batch/v1"), "{suspend: true}")
)


def transformer(target: ObjectRef, spec: str, selector: str = "") -> str:
    inner = patch(target, spec).replace("\n", "\n  ").rstrip()
    head = f"apiVersion: builtin\nkind: PatchTransformer\nmetadata:\n  name: {target.kind.lower()}-{target.name}\n"
    return f"{head}{target_text(target, selector=selector, indent=0)}patch: |-\n  {inner}\n"


DOWN_WITH_TARGETS = (
    transformer(ref("web", "shop"), "{replicas: 0}")
    + "---\n"
    + transformer(ref("nightly", "shop", "CronJob", "batch/v1"), "{suspend: true}")
)
TURNDOWNS = [(DOWN, False), (DOWN_WITH_TARGETS, True)]


@pytest.mark.parametrize("use_targets", [True, False])
@pytest.mark.parametrize(("turndown", "with_targets"), TURNDOWNS)
def test_a_namespace_turned_down(builder: Builder, turndown: str, with_targets: bool, use_targets: bool) -> None:
    """Deployment web is handed over to its HPA as well: `replicas: 0` wins."""
    own = overlay(use_targets=use_targets, turndown=turndown, with_targets=with_targets)
    documents = {(d["kind"], d["metadata"]["name"]): d["spec"] for d in build(builder, WHOLE | own)}
    assert documents["Deployment", "web"]["replicas"] == 0
    assert documents["CronJob", "nightly"]["suspend"] is True
    assert documents["Deployment", "api"]["replicas"] == 3
    assert documents["HorizontalPodAutoscaler", "web"]["maxReplicas"] == 4


def test_replicas_beside_the_turndowns_would_win_over_them(builder: Builder) -> None:
    """Why the handover is a component: what the list itself patches comes after the components that it lists."""
    own = overlay(use_targets=True, turndown=DOWN)
    own["prod/trimtab/kustomization.yaml"] = COMPONENT.replace(
        "resources: []", "components: [shop/turndown]\npatches: [{path: handover/shop/replicas-deployment-web.yaml}]"
    )
    documents = {d["metadata"]["name"]: d["spec"] for d in build(builder, WHOLE | own)}
    assert "replicas" not in documents["web"]


@pytest.mark.parametrize(("turndown", "with_targets"), TURNDOWNS)
def test_deleting_a_workload_that_is_turned_down(builder: Builder, turndown: str, with_targets: bool) -> None:
    """A patch file of several documents cannot have targets, so it breaks the build; one transformer each does not."""
    own = overlay(use_targets=True, turndown=turndown, with_targets=with_targets)
    files = WHOLE | own | {"prod/apps/a.yaml": manifest("api")}
    if with_targets:
        assert {d["metadata"]["name"] for d in build(builder, files) if d["kind"] == "Deployment"} == {"api"}
    else:
        with pytest.raises(InputError, match="no matches for Id"):
            build(builder, files)


def test_deleting_a_workload_breaks_patches_without_target_only(builder: Builder) -> None:
    gone = {"prod/apps/a.yaml": manifest("api")}
    assert build(builder, WHOLE | overlay(use_targets=True) | gone)
    with pytest.raises(InputError, match="no matches for Id"):
        build(builder, WHOLE | overlay(use_targets=False) | gone)


def test_a_twin_is_turned_down_alone(builder: Builder) -> None:
    files = TWINS["a canary of the same base"]
    (selector,) = read(files).inventory.twins.values()
    own = {
        "prod/trimtab/kustomization.yaml": component_text({}, turndowns=["shop"]),
        "prod/trimtab/shop/turndown/kustomization.yaml": turndown_component_text(True, with_targets=True),
        "prod/trimtab/shop/turndown/turndown.yaml": transformer(ref("web", "shop"), "{replicas: 0}", selector),
    }
    documents = {d["metadata"]["name"]: d["spec"]["replicas"] for d in build(builder, files | own)}
    assert documents == {"web": 0, "canary-web": 3}


@pytest.mark.parametrize("text", ["resources: []\n", "patches: []\n", "components: []\nresources: []\n"])
def test_components_that_do_nothing_build(builder: Builder, text: str) -> None:
    files = WHOLE | {"prod/trimtab/kustomization.yaml": COMPONENT.replace("resources: []\n", text)}
    assert build(builder, files)


# --- what is built, read back ------------------------------------------------------------------------------------------


def test_patched_entries_are_read_from_a_real_build(builder: Builder) -> None:
    files = WHOLE | {
        "prod/apps/kustomization.yaml": "resources: [a.yaml]\nnamePrefix: p-\nreplicas: [{name: web, count: 7}]\n",
    }
    found = read(files, builder).inventory
    assert found.problems == ()
    web = next(w for w in found.workloads if w.ref.name == "p-web")
    assert (web.replicas, web.source.path, web.source.document) == (7, "prod/apps/a.yaml", 0)


def test_online_boutique_with_prefix_and_namespace(builder: Builder) -> None:
    folder = REAL / "online-boutique"
    files: dict[str, str | bytes] = {f"prod/apps/shop/{path.name}": path.read_bytes() for path in folder.glob("*.yaml")}
    files |= WIRED | {"prod/apps/kustomization.yaml": "resources: [shop]\nnamespace: boutique\nnamePrefix: eu-\n"}
    state = read(files)
    assert state.inventory.problems == ()
    assert len(state.inventory.workloads) == 11
    assert worked_out(state.inventory) == built(build(builder, files))


# --- the builder ----------------------------------------------------------------------------------------------------------

SMALL = {"prod/kustomization.yaml": "resources: [a.yaml, b]\n", "prod/a.yaml": manifest("a"), "prod/b/kustomization.yaml": "resources: [c.yaml]\n", "prod/b/c.yaml": manifest("c"), "other/x.yaml": "x\n"}  # fmt: skip


def names(output: bytes) -> set[str]:
    return {document["metadata"]["name"] for document in yaml.safe_load_all(output)}


def test_the_builder_follows_changes(tmp_path: Path) -> None:
    builder = Builder(tmp_path)
    tree = Files(SMALL)
    builder.materialize(tree)
    assert names(builder.build("prod")) == {"a", "c"}
    builder.materialize(tree, {"prod/b/c.yaml": manifest("d").encode()})
    assert names(builder.build("prod")) == {"a", "d"}
    gone = {
        "prod/b/c.yaml": None,
        "prod/b/kustomization.yaml": None,
        "prod/kustomization.yaml": b"resources: [a.yaml]\n",
    }
    builder.materialize(tree, gone)
    assert names(builder.build("prod")) == {"a"}
    assert not list(tmp_path.glob("*/tree/prod/b"))
    builder.materialize(tree)
    assert names(builder.build("prod")) == {"a", "c"}
    assert names(builder.build("prod/b")) == {"c"}


def test_only_what_the_build_reads_is_written_and_only_once(tmp_path: Path) -> None:
    builder = Builder(tmp_path)
    builder.materialize(Files(SMALL))
    builder.build("prod")
    (file,) = tmp_path.glob("*/tree/prod/a.yaml")
    assert not list(tmp_path.glob("*/tree/other"))
    os.utime(file, (1, 1))
    builder.materialize(Files(SMALL | {"prod/b/c.yaml": manifest("d")}))
    assert names(builder.build("prod")) == {"a", "d"}
    assert file.stat().st_mtime == 1


def test_errors_are_kustomizes_own_words_without_our_paths(tmp_path: Path) -> None:
    builder = Builder(tmp_path)
    builder.materialize(Files(SMALL | {"prod/kustomization.yaml": "resources: [gone.yaml]\n"}))
    with pytest.raises(InputError) as caught:
        builder.build("prod")
    assert "gone.yaml" in caught.value.message
    assert str(tmp_path) not in str(caught.value)
    assert "\n" not in caught.value.message
    assert caught.value.where is not None
    assert caught.value.where.path == "prod"
    with pytest.raises(InputError, match="no such directory"):
        builder.build("nowhere")


def test_several_builds_side_by_side(tmp_path: Path) -> None:
    builder = Builder(tmp_path)
    builder.materialize(Files(SMALL | {"bad/kustomization.yaml": "nope: 1\n"}))
    done = builder.build_many(["prod", "prod/b", "bad"])
    assert list(done) == ["prod", "prod/b", "bad"]
    assert isinstance(done["bad"], InputError)
    assert isinstance(done["prod/b"], bytes)
    assert names(done["prod/b"]) == {"c"}


@pytest.mark.parametrize("path", ["../evil.yaml", "/etc/evil", "a/../../evil", "prod/..", "a\0b"])
def test_no_path_leads_out_of_the_workdir(tmp_path: Path, path: str) -> None:
    builder = Builder(tmp_path / "work")
    builder.materialize(Files({**SMALL, path: "x"}))
    with pytest.raises(InputError):
        builder.build("")
    assert not list(tmp_path.glob("evil*"))


def test_nothing_of_our_environment_reaches_kustomize(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "kustomize"
    command.write_text("#!/bin/sh\nenv\n")
    command.chmod(0o755)
    monkeypatch.setenv("TRIMTAB_GITHUB_TOKEN", "secret")
    builder = Builder(tmp_path / "work", command=(str(command),))
    builder.materialize(Files(SMALL))
    environment = builder.build("prod").decode()
    assert "secret" not in environment
    assert "PATH=" in environment


def test_the_workdir_is_left_clean_also_after_a_killed_process(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom reconciler.observe.kustomize import Builder\n"
        f"builder = Builder(Path({str(tmp_path)!r}))\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    assert len(list(tmp_path.glob("build-*"))) == 1
    living, next_one = Builder(tmp_path), Builder(tmp_path)
    assert len(list(tmp_path.glob("build-*"))) == 2
    living.materialize(Files(SMALL))
    assert living.build("prod")
    del living, next_one
    assert not list(tmp_path.glob("build-*"))


@pytest.fixture
def bin_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("PATH", str(tmp_path))
    yield tmp_path


def test_kustomize_is_preferred_to_kubectl_and_the_venvs_own_is_the_last(bin_only: Path) -> None:
    own = shutil.which("kubectl", path=str(Path(sys.prefix, "bin")))
    assert find_kustomize() == ((own, "kustomize") if own else None)
    for name, subcommand in (("kubectl", "kustomize"), ("kustomize", "build")):
        (bin_only / name).write_text("#!/bin/sh\n")
        (bin_only / name).chmod(0o755)
        assert find_kustomize() == (str(bin_only / name), subcommand)
