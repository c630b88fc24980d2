"""A root as people wrote it → what it declares, and what is wrong with it, named by file."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from reconciler.errors import InputError, Where
from reconciler.model.fleet import Root
from reconciler.model.inventory import Inventory, RootState
from reconciler.observe.inventory import overlay_fingerprint, read_root, root_fingerprint

REAL = Path(__file__).resolve().parents[3] / "../shared/real"


class Files:
    """A tree in memory. ``reads`` counts how often each file was read."""

    def __init__(self, files: Mapping[str, str | bytes], oddities: Mapping[str, str] | None = None) -> None:
        self.files = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
        self.blobs = {path: hashlib.sha1(text).hexdigest() for path, text in self.files.items()}
        self.oddities = oddities or {}
        self.commit = ""
        self.reads: list[str] = []

    def read(self, path: str) -> bytes:
        self.reads.append(path)
        return self.files[path]

    def read_many(self, paths: Iterable[str]) -> dict[str, bytes]:
        return {path: self.read(path) for path in paths}


def manifest(name: str, namespace: str = "", *, kind: str = "Deployment", api: str = "apps/v1", spec: str = "") -> str:
    placed = f", namespace: {namespace}" if namespace else ""
    body = spec or "template: {spec: {containers: [{name: server, resources: {requests: {cpu: 100m}}}]}}"
    return f"apiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}{placed}}}\nspec: {{{body}}}\n"


def hpa(name: str, target: str, namespace: str = "") -> str:
    return manifest(
        name,
        namespace,
        kind="HorizontalPodAutoscaler",
        api="autoscaling/v2",
        spec=f"maxReplicas: 4, scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {target}}}",
    )


COMPONENT = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: []\n"
ROOT = "resources: [apps]\ncomponents: [trimtab]\n"
WIRED = {"prod/kustomization.yaml": ROOT, "prod/trimtab/kustomization.yaml": COMPONENT}


def read(
    files: Mapping[str, str | bytes],
    *,
    path: str = "prod",
    namespace: str = "default",
    build: Callable[[str], bytes] | None = None,
    oddities: Mapping[str, str] | None = None,
) -> RootState:
    tree = Files(files, oddities)
    return read_root(tree, "eu", Root(path=path, namespace=namespace), build=build)


def inventory(files: Mapping[str, str | bytes], **options: str) -> Inventory:
    return read(files, **options).inventory  # type: ignore[arg-type]


def refs(found: Inventory) -> list[tuple[str | None, str]]:
    return [(workload.ref.namespace, workload.ref.name) for workload in found.workloads]


def test_a_wired_root() -> None:
    found = inventory(
        WIRED
        | {
            "prod/apps/kustomization.yaml": "resources: [web.yaml, more]\n",
            "prod/apps/web.yaml": manifest("web", "shop") + "---\n" + manifest("api"),
            "prod/apps/more/kustomization.yaml": "resources: [./quota.yaml]\n",
            "prod/apps/more/quota.yaml": manifest("q", "shop", kind="ResourceQuota", api="v1", spec="hard: {pods: 5}")
            + "---\n"
            + "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: web}}\n",
        },
        namespace="payments",
    )
    assert found.problems == ()
    assert found.wired
    assert refs(found) == [("shop", "web"), (None, "api")]
    assert [str(w.key) for w in found.workloads] == ["eu/shop/Deployment/web", "eu/payments/Deployment/api"]
    assert [(w.root, w.source.path, w.source.document, w.source.line) for w in found.workloads] == [
        ("prod", "prod/apps/web.yaml", 0, 1),
        ("prod", "prod/apps/web.yaml", 1, 6),
    ]
    assert [(q.namespace, q.name, q.hard) for q in found.quotas] == [("shop", "q", {"pods": "5"})]
    assert found.namespaces == {"shop": {"team": "web"}}


def test_the_component_is_no_part_of_what_people_declare() -> None:
    own = {"prod/trimtab/kustomization.yaml": "kind: Component\nresources: [shop/hpa-web.yaml]\n"}
    files = WIRED | own | {"prod/apps/kustomization.yaml": "resources: [w.yaml]\n", "prod/apps/w.yaml": manifest("web")}
    assert inventory(files).hpas == ()


def test_transformers_level_by_level() -> None:
    found = inventory(
        WIRED
        | {
            "prod/apps/kustomization.yaml": (
                "resources: [inner]\nnamespace: shop\nnamePrefix: o-\nnameSuffix: -o\n"
                "labels: [{pairs: {team: web}}]\ncommonLabels: {app: all}\ncommonAnnotations: {note: here}\n"
            ),
            "prod/apps/inner/kustomization.yaml": "resources: [a.yaml]\nnamespace: lost\nnamePrefix: i-\nnameSuffix: -i\n",
            "prod/apps/inner/a.yaml": "---\n".join(
                (
                    manifest("web", "orig"),
                    hpa("web", "web", "orig"),
                    "apiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata: {name: general}\nspec: {limits: {cpu: 4}}\n",
                    "apiVersion: v1\nkind: Namespace\nmetadata: {name: orig}\n",
                    "apiVersion: v1\nkind: LimitRange\nmetadata: {name: l}\nspec: {limits: [{type: Container, max: {cpu: 1}}]}\n",
                )
            ),
        }
    )
    assert found.problems == ()
    (web,) = found.workloads
    assert (web.ref.namespace, web.ref.name, web.key.namespace) == ("shop", "o-i-web-i-o", "shop")
    assert web.labels == {"team": "web", "app": "all"}
    assert web.pod_labels == {"app": "all"}
    assert web.annotations == {"note": "here"}
    assert [(h.namespace, h.name, h.target_name) for h in found.hpas] == [("shop", "o-i-web-i-o", "o-i-web-i-o")]
    assert [(p.ref.namespace, p.name) for p in found.node_pools] == [(None, "o-i-general-i-o")]
    assert found.namespaces == {"shop": {"team": "web", "app": "all"}}
    assert [(item.namespace, item.name, item.max_cpu) for item in found.limit_ranges] == [("shop", "o-i-l-i-o", 1000)]


def test_without_a_kustomization_every_manifest_below_counts() -> None:
    found = inventory(
        {
            "prod/a.yaml": manifest("a", "shop"),
            "prod/deep/er/b.yml": manifest("b"),
            "prod/deep/c.json": '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "c"}}',
            "prod/notes.txt": "not: [yaml",
            "prod/trimtab/shop/hpa-a.yaml": hpa("a", "a", "shop"),
            "elsewhere/d.yaml": manifest("d"),
        }
    )
    assert not found.wired
    assert refs(found) == [("shop", "a"), (None, "b"), (None, "c")] or refs(found) == [
        ("shop", "a"),
        (None, "c"),
        (None, "b"),
    ]
    assert found.hpas == ()
    assert found.problems == ()


def test_one_broken_file_of_a_plain_directory_does_not_stop_the_others() -> None:
    found = inventory({"prod/a.yaml": "a: [\n", "prod/b.yaml": manifest("b")})
    assert refs(found) == [(None, "b")]
    (problem,) = found.problems
    assert problem.path == "prod/a.yaml"
    assert not problem.blocks_root


def test_a_root_that_is_not_there() -> None:
    (problem,) = inventory({"prod/a.yaml": manifest("a")}, path="prod-eu").problems
    assert problem.path == "prod-eu"
    assert "no such directory" in problem.message
    assert problem.blocks_root


def test_a_root_that_cannot_carry_the_component_is_not_wired() -> None:
    files = WIRED | {
        "prod/kustomization.yaml": ROOT + "namespace: shop\n",
        "prod/apps/kustomization.yaml": "resources: [a.yaml]\n",
        "prod/apps/a.yaml": manifest("a"),
    }
    found = inventory(files)
    assert not found.wired
    assert refs(found) == [("shop", "a")]


def test_directories_that_multiply_come_to_an_end() -> None:
    files = dict(WIRED) | {"prod/apps/kustomization.yaml": "resources: [../../d0]\n"}
    for level in range(40):
        files[f"d{level}/kustomization.yaml"] = f"resources: [../d{level + 1}, ../d{level + 1}/]\n"
    files["d40/kustomization.yaml"] = "resources: []\n"
    assert any("entries are listed" in problem.message for problem in inventory(files).problems)


def test_a_root_at_the_top_of_the_repo() -> None:
    found = inventory({"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": manifest("a")}, path=".")
    assert refs(found) == [(None, "a")]


APPS = WIRED | {"prod/apps/web.yaml": manifest("web")}


@pytest.mark.parametrize(
    ("files", "path", "words"),
    [
        ({"prod/apps/kustomization.yaml": "resources: [gone.yaml]\n"}, "prod/apps/kustomization.yaml", "neither a file"),
        ({"prod/apps/kustomization.yaml": "resources: [sub]\n", "prod/apps/sub/a.yaml": ""}, "prod/apps/kustomization.yaml", "neither a file"),
        ({"prod/apps/kustomization.yaml": "resources: [..]\n"}, "prod/apps/kustomization.yaml", "leads back"),
        ({"prod/apps/kustomization.yaml": "resources: [.]\n"}, "prod/apps/kustomization.yaml", "leads back"),
        ({"prod/apps/kustomization.yaml": "resources: [../../x.yaml]\n", "x.yaml": manifest("x")}, "prod/apps/kustomization.yaml", "outside of this directory"),
        ({"prod/apps/kustomization.yaml": "resources: [../../../x]\n"}, "prod/apps/kustomization.yaml", "outside of the fleet repo"),
        ({"prod/apps/kustomization.yaml": "resources: [web.yaml, ./web.yaml]\n"}, "prod/apps/web.yaml", "declared twice"),
        ({"prod/apps/kustomization.yaml": "foo: 1\n"}, "prod/apps/kustomization.yaml", "no such field"),
        ({"prod/apps/kustomization.yaml": "resources: [web.yaml]\n", "prod/apps/Kustomization": "resources: []\n"}, "prod/apps", "several kustomizations"),
        ({"prod/apps/kustomization.yaml": "kind: Component\nresources: [web.yaml]\n"}, "prod/apps/kustomization.yaml", "under components"),
        ({"prod/apps/kustomization.yaml": "resources: [web.yaml]\n", "prod/apps/web.yaml": "a: b\n"}, "prod/apps/web.yaml", "no Kubernetes object"),
        ({"prod/apps/kustomization.yaml": "resources: [web.yaml]\n", "prod/apps/web.yaml": "a: [\n"}, "prod/apps/web.yaml", "not valid YAML"),
        ({"prod/kustomization.yaml": ROOT + "namespace: shop\n", "prod/apps/kustomization.yaml": "resources: [web.yaml]\n"}, "prod/kustomization.yaml", "move namespace"),
        ({"prod/kustomization.yaml": "resources: [apps]\ncomponents: [trimtab, ./trimtab]\n", "prod/apps/kustomization.yaml": "resources: [web.yaml]\n"}, "prod/kustomization.yaml", "twice"),
    ],
)  # fmt: skip
def test_what_does_not_build_blocks_the_root(files: dict[str, str], path: str, words: str) -> None:
    (problem,) = inventory(APPS | files).problems
    assert problem.path == path
    assert words in problem.message
    assert problem.blocks_root


def test_two_that_differ_only_in_naming_the_default_namespace_are_duplicates() -> None:
    files = APPS | {
        "prod/apps/kustomization.yaml": "resources: [web.yaml, two.yaml]\n",
        "prod/apps/two.yaml": manifest("web", "default"),
    }
    (problem,) = inventory(files).problems
    assert "declared twice" in problem.message
    assert "prod/apps/web.yaml:1" in problem.message


def test_a_namespace_transformer_that_makes_two_the_same() -> None:
    files = APPS | {
        "prod/apps/kustomization.yaml": "resources: [a.yaml]\nnamespace: shop\n",
        "prod/apps/a.yaml": manifest("web", "one") + "---\n" + manifest("web", "two"),
    }
    assert [problem.blocks_root for problem in inventory(files).problems] == [True]


def test_two_that_are_one_in_the_cluster_only() -> None:
    files = APPS | {
        "prod/apps/kustomization.yaml": "resources: [web.yaml, two.yaml]\n",
        "prod/apps/two.yaml": manifest("web", "shop"),
    }
    found = inventory(files, namespace="shop")
    (problem,) = found.problems
    assert "same object in the cluster" in problem.message
    assert not problem.blocks_root
    assert refs(found) == [(None, "web")]


def test_names_that_cannot_exist_are_named_and_left_out() -> None:
    files = APPS | {
        "prod/apps/kustomization.yaml": "resources: [a.yaml]\n",
        "prod/apps/a.yaml": manifest("Web") + "---\n" + manifest("a", "../x") + "---\n" + manifest("ok"),
    }
    found = inventory(files)
    assert refs(found) == [(None, "ok")]
    assert [problem.field for problem in found.problems] == ["metadata.name", "metadata.namespace"]


def test_symlinks_are_named() -> None:
    files = APPS | {"prod/apps/kustomization.yaml": "resources: [web.yaml, link, deep/er.yaml]\n"}
    found = read(files, oddities={"prod/apps/link": "symlink", "prod/apps/deep": "submodule"}).inventory
    assert ["symlink" in p.message or "submodule" in p.message for p in found.problems] == [True, True]


def test_a_directory_from_elsewhere() -> None:
    files = WIRED | {
        "prod/apps/kustomization.yaml": "resources: [../../base]\nnamespace: shop\n",
        "base/kustomization.yaml": "resources: [web.yaml]\n",
        "base/web.yaml": manifest("web"),
    }
    assert refs(inventory(files)) == [("shop", "web")]


def test_remote_resources_are_named_and_do_not_block() -> None:
    files = APPS | {
        "prod/kustomization.yaml": "resources: [apps, 'https://example.com/x.yaml']\ncomponents: [trimtab]\n",
        "prod/apps/kustomization.yaml": "resources: [web.yaml]\n",
    }
    found = inventory(files)
    assert refs(found) == [(None, "web")]
    (problem,) = found.problems
    assert "https://example.com/x.yaml" in problem.message
    assert not problem.blocks_root


# --- what is built -------------------------------------------------------------------------------------------------

PATCHED = APPS | {
    "prod/kustomization.yaml": "resources: [plain, apps]\ncomponents: [trimtab]\n",
    "prod/plain/kustomization.yaml": "resources: [p.yaml]\n",
    "prod/plain/p.yaml": manifest("plain"),
    "prod/apps/kustomization.yaml": "resources: [web.yaml]\nnamePrefix: a-\npatches: [{path: patch.yaml}]\n",
    "prod/apps/patch.yaml": "kind: Deployment\n",
}


def test_an_entry_with_patches_is_built_alone_and_keeps_its_sources() -> None:
    asked: list[str] = []

    def build(path: str) -> bytes:
        asked.append(path)
        return (manifest("a-web") + "---\n" + manifest("a-made")).encode()

    found = read(PATCHED, build=build).inventory
    assert asked == ["prod/apps"]
    assert refs(found) == [(None, "plain"), (None, "a-web"), (None, "a-made")]
    assert [w.source.path for w in found.workloads] == [
        "prod/plain/p.yaml",
        "prod/apps/web.yaml",
        "prod/apps/kustomization.yaml",
    ]
    assert found.problems == ()


def test_without_kustomize_it_says_so_and_blocks() -> None:
    found = inventory(PATCHED)
    (problem,) = found.problems
    assert problem.path == "prod/apps/kustomization.yaml"
    assert "kustomize is needed" in problem.message
    assert "patches" in problem.message
    assert problem.blocks_root


def test_what_kustomize_says_is_a_problem() -> None:
    def build(path: str) -> bytes:
        raise InputError("kustomize does not build this: no such patch", where=Where(path))

    (problem,) = read(PATCHED, build=build).inventory.problems
    assert "no such patch" in problem.message
    assert problem.blocks_root


def test_a_root_of_its_own_with_patches_is_built_whole() -> None:
    asked: list[str] = []

    def build(path: str) -> bytes:
        asked.append(path)
        return manifest("web").encode()

    files = {
        "prod/kustomization.yaml": "resources: [w.yaml]\nreplicas: [{name: web, count: 2}]\n",
        "prod/w.yaml": manifest("web"),
    }
    found = read(files, build=build).inventory
    assert asked == ["prod"]
    assert not found.wired
    assert [w.source.path for w in found.workloads] == ["prod/w.yaml"]


# --- twins ----------------------------------------------------------------------------------------------------------

TWINS = WIRED | {
    "prod/kustomization.yaml": "resources: [plain, canary]\ncomponents: [trimtab]\n",
    "prod/plain/kustomization.yaml": "resources: [../../base]\n",
    "prod/canary/kustomization.yaml": "resources: [../../base]\nnamePrefix: canary-\n",
    "base/kustomization.yaml": "resources: [web.yaml]\n",
    "base/web.yaml": manifest("web", "shop"),
}


def test_a_base_taken_over_twice_makes_twins() -> None:
    found = inventory(TWINS)
    assert found.twins == {"apps/v1|Deployment|shop|web": "!internal.config.kubernetes.io/previousNames"}
    assert found.strays == {"apps/v1|Deployment|shop|web": "canary-web"}


def test_workloads_of_one_name_in_two_namespaces_are_no_twins() -> None:
    files = WIRED | {
        "prod/apps/kustomization.yaml": "resources: [a.yaml]\n",
        "prod/apps/a.yaml": manifest("web", "one") + "---\n" + manifest("web", "two") + "---\n" + manifest("web"),
    }
    found = inventory(files)
    assert found.twins == {}
    assert found.strays == {}


# --- our own files --------------------------------------------------------------------------------------------------

REQUESTS = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  template:
    spec:
      containers:
        - name: server
          resources:
            requests:
              cpu: 80m
"""


def test_the_overlay_by_path() -> None:
    files = APPS | {
        "prod/apps/kustomization.yaml": "resources: [web.yaml]\n",
        "prod/trimtab/default/requests-deployment-web.yaml": REQUESTS,
        "prod/trimtab/dev/turndown/kustomization.yaml": "kind: Component\npatches: []\n",
    }
    state = read(files)
    assert state.inventory.problems == ()
    assert {path: dict(file.values) for path, file in state.overlay.items()} == {
        "prod/trimtab/default/requests-deployment-web.yaml": {"containers/server/requests/cpu": "80m"}
    }


def test_an_overlay_file_of_a_handover_has_its_place() -> None:
    replicas = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: null}\n"
    listed = "kind: Component\npatches: [{path: default/replicas-deployment-web.yaml}]\n"
    files = APPS | {
        "prod/apps/kustomization.yaml": "resources: [web.yaml]\n",
        "prod/trimtab/handover/kustomization.yaml": listed,
    }
    state = read(files | {"prod/trimtab/handover/default/replicas-deployment-web.yaml": replicas})
    assert state.inventory.problems == ()
    assert [file.form for file in state.overlay.values()] == ["replicas"]
    for place in ("default", "handover", "handover/a/shop"):
        (problem,) = read(files | {f"prod/trimtab/{place}/replicas-deployment-web.yaml": replicas}).inventory.problems
        assert problem.blocks_root
        assert "is in the wrong place" in problem.message


COPIED = {
    "prod/apps/kustomization.yaml": "resources: [base, canary]\n",
    "prod/apps/base/kustomization.yaml": "resources: [web.yaml]\n",
    "prod/apps/base/web.yaml": manifest("web", "shop"),
    "prod/apps/canary/kustomization.yaml": "namePrefix: canary-\nresources: [../base]\n",
}
WEB_REQUESTS = "prod/trimtab/shop/requests-deployment-web.yaml"
WEB_DOWN = "prod/trimtab/shop/turndown/turndown.yaml"
UNTOLD = '"!internal.config.kubernetes.io/previousNames"'


def twin_files(selector: str) -> dict[str, str]:
    """A requests patch and a turndown of web, both with this selector in their targets."""
    target = "{kind: Deployment, name: web" + (f", annotationSelector: {selector}" if selector else "") + "}"
    component = "kind: Component\ncomponents: [shop/turndown]\npatches:\n- path: shop/requests-deployment-web.yaml\n"
    patch = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, spec: {replicas: 0}}"
    return {
        "prod/trimtab/kustomization.yaml": f"{component}  target: {target}\n",
        WEB_REQUESTS: REQUESTS.replace("name: web\n", "name: web\n  namespace: shop\n"),
        "prod/trimtab/shop/turndown/kustomization.yaml": "kind: Component\ntransformers: [turndown.yaml]\n",
        WEB_DOWN: f"kind: PatchTransformer\nmetadata: {{name: x}}\ntarget: {target}\npatch: '{patch}'\n",
    }


def several(kind: str, *containers: str) -> str:
    listed = ", ".join(f"{{name: {name}, image: i}}" for name in containers)
    return manifest(kind.lower(), "shop", kind=kind, spec=f"template: {{spec: {{containers: [{listed}]}}}}")


@pytest.mark.parametrize(
    ("containers", "out_of_order"),
    [
        (("first", "server"), False),
        (("first", "server", "last"), False),
        (("server", "first"), True),
        (("new", "first", "server"), True),
        (("server",), True),
        (("first", "other"), False),  # what it sizes is gone: that is dropped, and the rest written with it
    ],
)
def test_files_are_compared_with_the_order_of_containers_now(containers: tuple[str, ...], out_of_order: bool) -> None:
    path = "prod/trimtab/shop/requests-statefulset-statefulset.yaml"
    sized = REQUESTS.replace("Deployment", "StatefulSet").replace(
        "name: web\n", "name: statefulset\n  namespace: shop\n"
    )
    files = WIRED | {
        "prod/apps/kustomization.yaml": "resources: [s.yaml]\n",
        "prod/apps/s.yaml": several("StatefulSet", *containers),
        path: sized.replace("        - name: server\n", "        - name: first\n        - name: server\n"),
    }
    tree, cache = Files(files), dict[str, object]()
    read_root(tree, "eu", Root(path="prod", namespace="default"), build=None, cache=cache)
    tree.reads.clear()
    found = read_root(tree, "eu", Root(path="prod", namespace="default"), build=None, cache=cache)
    assert found.inventory.problems == ()
    assert found.mistargeted == ((path,) if out_of_order else ())
    assert path not in tree.reads, "what a file says is read once, its order with it"


def test_targets_are_compared_with_what_tells_twins_apart_now() -> None:
    alone = WIRED | COPIED | {"prod/apps/kustomization.yaml": "resources: [base]\n"}
    assert read(alone | twin_files("")).mistargeted == ()
    state = read(WIRED | COPIED | twin_files(""))
    assert list(state.inventory.twins.values()) == ["!internal.config.kubernetes.io/previousNames"]
    assert state.mistargeted == (WEB_REQUESTS, WEB_DOWN)
    assert read(WIRED | COPIED | twin_files(UNTOLD)).mistargeted == ()
    # A selector that was right for a twin may miss its object once there is none.
    assert read(alone | twin_files(UNTOLD)).mistargeted == (WEB_REQUESTS, WEB_DOWN)
    broken = WIRED | COPIED | twin_files(UNTOLD) | {"prod/trimtab/kustomization.yaml": "<<<<<<< ours\n{"}
    assert read(broken).mistargeted == (WEB_REQUESTS,), "what a list is not known to say is written anew"


@pytest.mark.parametrize(
    ("path", "text", "blocks"),
    [
        ("prod/trimtab/README.md", "hello", False),
        ("prod/trimtab/default/kustomization.yaml", "resources: []\n", False),
        ("prod/trimtab/default/requests-deployment-web.yaml", REQUESTS + "      volumes: []\n", True),
        ("prod/trimtab/default/requests-deployment-api.yaml", REQUESTS, True),
        ("prod/trimtab/default/requests-deployment-web.yaml", "{{", True),
        ("prod/trimtab/a/b/c/hpa-web.yaml", hpa("web", "web"), True),
    ],
)
def test_strange_files_in_the_overlay_are_named(path: str, text: str, blocks: bool) -> None:
    files = APPS | {"prod/apps/kustomization.yaml": "resources: [web.yaml]\n", path: text}
    state = read(files)
    assert state.overlay == {}
    (problem,) = state.inventory.problems
    assert (problem.path, problem.blocks_root) == (path, blocks)


# --- reading again -----------------------------------------------------------------------------------------------------


def test_only_what_changed_is_read_again() -> None:
    files = APPS | {
        "prod/apps/kustomization.yaml": "resources: [web.yaml, two.yaml]\n",
        "prod/apps/two.yaml": manifest("two"),
        "prod/trimtab/default/requests-deployment-web.yaml": REQUESTS,
    }
    cache: dict[str, object] = {}
    first = read_root(Files(files), "eu", Root(path="prod"), build=None, cache=cache)
    again = Files(files)
    assert read_root(again, "eu", Root(path="prod"), build=None, cache=cache) == first
    assert again.reads == []
    changed = Files(files | {"prod/apps/two.yaml": manifest("three")})
    assert refs(read_root(changed, "eu", Root(path="prod"), build=None, cache=cache).inventory) == [
        (None, "web"),
        (None, "three"),
    ]
    assert changed.reads == ["prod/apps/two.yaml"]


FAR = APPS | {
    "prod/apps/kustomization.yaml": "resources: [web.yaml, ../../base]\n",
    "base/kustomization.yaml": "resources: [../deeper]\n",
    "deeper/kustomization.yaml": "resources: [a.yaml]\n",
    "deeper/a.yaml": manifest("deep"),
    "prod/trimtab/default/requests-deployment-web.yaml": REQUESTS,
    "other/x.yaml": manifest("x"),
}


@pytest.mark.parametrize(
    ("path", "root_changes", "overlay_changes"),
    [
        ("prod/apps/web.yaml", True, False),
        ("prod/apps/kustomization.yaml", True, False),
        ("deeper/a.yaml", True, False),
        ("base/kustomization.yaml", True, False),
        ("prod/trimtab/default/requests-deployment-web.yaml", False, True),
        ("prod/trimtab/kustomization.yaml", False, True),
        ("other/x.yaml", False, False),
    ],
)
def test_fingerprints_cover_what_the_build_reads(path: str, root_changes: bool, overlay_changes: bool) -> None:
    root = Root(path="prod")
    before, after = Files(FAR), Files(FAR | {path: FAR[path] + "# changed\n"})
    assert (root_fingerprint(before, root) != root_fingerprint(after, root)) is root_changes
    assert (overlay_fingerprint(before, root) != overlay_fingerprint(after, root)) is overlay_changes


def test_a_state_survives_being_stored_as_json() -> None:
    state = read(TWINS)
    assert RootState.model_validate_json(state.model_dump_json()) == state


# --- real manifests ----------------------------------------------------------------------------------------------------


def test_online_boutique() -> None:
    folder = REAL / "online-boutique"
    files: dict[str, str | bytes] = {f"prod/apps/{path.name}": path.read_bytes() for path in folder.glob("*.yaml")}
    found = inventory(WIRED | files)
    assert found.problems == ()
    assert found.wired
    assert len(found.workloads) == 11
    frontend = next(w for w in found.workloads if w.key.name == "frontend")
    assert (frontend.source.path, frontend.source.line) == ("prod/apps/frontend.yaml", 15)
    (server,) = frontend.containers
    assert (server.resources.cpu_request, server.resources.memory_limit) == (100, 128 * 1024**2)
    assert frontend.replicas is None
