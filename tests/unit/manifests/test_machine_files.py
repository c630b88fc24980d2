"""Machine-owned files: read back as values, refused when a person has put something else in, named by what they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import InputError
from reconciler.manifests.machine_files import component_of, is_list, live_namespace_of, parse, path_for
from reconciler.model.machine_file import FileForm
from reconciler.model.workload import ObjectRef

OVERLAY = "clusters/prod/trimtab"
WEB = ObjectRef(api_version="apps/v1", kind="Deployment", name="web", namespace="shop")


def head(api: str, kind: str, name: str, namespace: str = "shop") -> str:
    placed = f"  namespace: {namespace}\n" if namespace else ""
    return f"# Written by Trimtab.\napiVersion: {api}\nkind: {kind}\nmetadata:\n  name: {name}\n{placed}"


POD = """\
containers:
  - name: server
    resources:
      requests:
        cpu: 120m
        memory: 96Mi
      limits:
        cpu: "2"
initContainers:
  - name: proxy
    resources:
      requests:
        cpu: 1
"""
SIZES = {
    "containers/server/requests/cpu": "120m",
    "containers/server/requests/memory": "96Mi",
    "containers/server/limits/cpu": "2",
    "initContainers/proxy/requests/cpu": "1",
}


def nested(keys: tuple[str, ...], inner: str) -> str:
    """``inner`` below the given keys, two spaces a level."""
    outer = "".join(f"{'  ' * depth}{key}:\n" for depth, key in enumerate(keys))
    return outer + "".join(f"{'  ' * len(keys)}{line}\n" for line in inner.splitlines())


@pytest.mark.parametrize(
    ("api", "kind", "keys"),
    [
        ("apps/v1", "Deployment", ("spec", "template", "spec")),
        ("apps/v1", "StatefulSet", ("spec", "template", "spec")),
        ("batch/v1", "CronJob", ("spec", "jobTemplate", "spec", "template", "spec")),
        ("v1", "Pod", ("spec",)),
    ],
)
def test_requests_patches(api: str, kind: str, keys: tuple[str, ...]) -> None:
    text = head(api, kind, "web") + nested(keys, POD)
    file = parse(text.encode(), path=f"{OVERLAY}/shop/requests-{kind.lower()}-web.yaml")
    assert file.form == "requests"
    assert file.target == ObjectRef(api_version=api, kind=kind, name="web", namespace="shop")
    assert file.values == SIZES


JSON6902 = """\
# Written by Trimtab.
# target: argoproj.io/v1alpha1 Rollout - api
- op: test
  path: /spec/template/spec/containers/1/name
  value: server
- op: add
  path: /spec/template/spec/containers/1/resources
  value: {}
- op: add
  path: /spec/template/spec/containers/1/resources/requests
  value: {}
- op: add
  path: /spec/template/spec/containers/1/resources/requests/cpu
  value: 120m
- op: test
  path: /spec/template/spec/initContainers/0/name
  value: proxy
- op: add
  path: /spec/template/spec/initContainers/0/resources/limits/memory
  value: "1"
"""


def test_requests_of_a_rollout_are_read_from_json6902() -> None:
    file = parse(JSON6902.encode(), path=f"{OVERLAY}/shop/requests-rollout-api.yaml")
    assert file.target == ObjectRef(api_version="argoproj.io/v1alpha1", kind="Rollout", name="api", namespace=None)
    assert file.values == {"containers/server/requests/cpu": "120m", "initContainers/proxy/limits/memory": "1"}


HPA = """\
# Written by Trimtab.
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: web
  namespace: shop
  annotations:
    trimtab.dev/policy: "01J-policy"
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: web
  minReplicas: 2
  maxReplicas: 8
  metrics:
    - type: Resource
      resource:
        name: memory
        target:
          type: Utilization
          averageUtilization: 70
    - type: Resource
      resource:
        name: cpu
        target:
          type: AverageValue
          averageValue: "350m"
  behavior:
    scaleDown:
      stabilizationWindowSeconds: 300
      policies:
        - type: Pods
          value: 1
          periodSeconds: 300
"""


def test_hpas() -> None:
    file = parse(HPA.encode(), path=f"{OVERLAY}/shop/hpa-web.yaml")
    assert (file.form, file.target) == ("hpa", WEB)
    assert file.values == {
        "minReplicas": "2",
        "maxReplicas": "8",
        "policy": "01J-policy",
        "metrics/memory": "70%",
        "metrics/cpu": "350m",
        "behavior/scaleDown/stabilizationWindowSeconds": "300",
        "behavior/scaleDown/pods": "1",
        "behavior/scaleDown/periodSeconds": "300",
    }


def test_replicas_quotas_and_node_pools() -> None:
    replicas = parse(
        (head("apps/v1", "Deployment", "web") + "spec:\n  replicas: null\n").encode(),
        path="t/shop/replicas-deployment-web.yaml",
    )
    assert (replicas.form, replicas.target, replicas.values) == ("replicas", WEB, {"replicas": "null"})
    quota = parse(
        (head("v1", "ResourceQuota", "compute") + 'spec:\n  hard:\n    requests.cpu: "2"\n    pods: "10"\n').encode(),
        path="t/shop/quota-compute.yaml",
    )
    assert (quota.form, quota.values) == ("quota", {"hard/requests.cpu": "2", "hard/pods": "10"})
    pool = parse(
        (head("karpenter.sh/v1", "NodePool", "general", "") + 'spec:\n  limits:\n    cpu: "64"\n').encode(),
        path="t/nodepools/limits-general.yaml",
    )
    assert (pool.form, pool.target.namespace, pool.values) == ("nodepool", None, {"limits/cpu": "64"})


DOWN = {"apps/v1|Deployment|shop|web": "replicas=0", "batch/v1|CronJob||nightly": "suspend=true", "action": "sleep-dev"}


def test_turndowns() -> None:
    text = (
        "# Written by Trimtab: this namespace is turned down.\n# action: sleep-dev\n"
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  namespace: shop\nspec:\n  replicas: 0\n"
        "---\napiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: nightly\nspec:\n  suspend: true\n"
    )
    file = parse(text.encode(), path=f"{OVERLAY}/live/turndown/turndown.yaml")
    assert (file.form, file.values) == ("turndown", DOWN)
    assert file.target == ObjectRef(api_version="v1", kind="Namespace", name="live")


def test_turndowns_with_targets_of_their_own() -> None:
    text = (
        "# action: sleep-dev\n"
        "apiVersion: builtin\nkind: PatchTransformer\nmetadata:\n  name: deployment-web\n"
        "target:\n  group: apps\n  version: v1\n  kind: Deployment\n  name: web\n  namespace: shop\n"
        "patch: |-\n  apiVersion: apps/v1\n  kind: Deployment\n  metadata:\n    name: web\n    namespace: shop\n"
        "  spec:\n    replicas: 0\n"
        "---\n"
        "apiVersion: builtin\nkind: PatchTransformer\nmetadata:\n  name: cronjob-nightly\n"
        "target:\n  group: batch\n  version: v1\n  kind: CronJob\n  name: nightly\n  namespace: default\n"
        "patch: |-\n  apiVersion: batch/v1\n  kind: CronJob\n  metadata:\n    name: nightly\n  spec:\n    suspend: true\n"
    )
    assert parse(text.encode(), path=f"{OVERLAY}/live/turndown/turndown.yaml").values == DOWN


DEPLOYMENT = head("apps/v1", "Deployment", "web")


@pytest.mark.parametrize(
    ("name", "text", "field"),
    [
        ("shop/requests-deployment-web.yaml", DEPLOYMENT + "spec:\n  replicas: 3\n", "spec.replicas"),
        (
            "shop/requests-deployment-web.yaml",
            DEPLOYMENT + nested(("spec", "template", "spec"), "volumes: []\n"),
            "spec.template.spec.volumes",
        ),
        (
            "shop/requests-deployment-web.yaml",
            DEPLOYMENT + nested(("spec", "template", "spec"), "containers:\n  - name: a\n    image: x\n"),
            "spec.template.spec.containers.image",
        ),
        (
            "shop/requests-deployment-web.yaml",
            DEPLOYMENT
            + nested(
                ("spec", "template", "spec"), "containers:\n  - name: a\n    resources: {requests: {cpu: lots}}\n"
            ),
            "spec.template.spec.containers[a].resources.requests.cpu",
        ),
        ("shop/replicas-deployment-web.yaml", DEPLOYMENT + "spec:\n  replicas: 3\n", "spec.replicas"),
        ("shop/quota-compute.yaml", DEPLOYMENT + "spec:\n  hard: {}\n", "kind"),
        (
            "shop/hpa-web.yaml",
            HPA.replace("    name: web\n  minReplicas", "    name: api\n  minReplicas"),
            "spec.scaleTargetRef.name",
        ),
        ("shop/hpa-web.yaml", HPA.replace("type: Utilization", "type: Value"), "spec.metrics"),
        ("shop/hpa-web.yaml", HPA.replace("type: Pods", "type: Percent"), "spec.behavior.scaleDown.policies"),
        ("shop/requests-rollout-api.yaml", JSON6902.replace("op: test", "op: replace", 1), "[0]"),
        (
            "shop/requests-rollout-api.yaml",
            JSON6902.replace("- op: test", "- op: add", 1),
            "[0]",
        ),
        ("shop/requests-rollout-api.yaml", JSON6902.replace("/resources/requests/cpu", "/image"), "[3]"),
        ("shop/requests-rollout-api.yaml", JSON6902.replace("containers/1/name", "containers/2/name"), "[3]"),
        ("shop/requests-rollout-api.yaml", JSON6902.replace("# target", "# from"), ""),
        ("shop/turndown/turndown.yaml", DEPLOYMENT + "spec:\n  replicas: 1\n", "spec"),
        ("shop/turndown/turndown.yaml", "# nothing\n", ""),
        ("shop/requests-deployment-web.yaml", "", ""),
        ("shop/requests-deployment-web.yaml", DEPLOYMENT + "---\n" + DEPLOYMENT, ""),
    ],
)
def test_what_trimtab_did_not_write_is_refused_by_field(name: str, text: str, field: str) -> None:
    path = f"{OVERLAY}/{name}"
    with pytest.raises(InputError) as caught:
        parse(text.encode(), path=path)
    assert caught.value.where is not None
    assert (caught.value.where.path, caught.value.where.field) == (path, field)


@pytest.mark.parametrize("name", ["README.md", "shop/configmap.yaml", "shop/hpa-.yaml", "shop/requests-web.yml"])
def test_strangers_are_refused_by_name(name: str) -> None:
    with pytest.raises(InputError, match="none of Trimtab's files"):
        parse(b"a: 1\n", path=f"{OVERLAY}/{name}")


@pytest.mark.parametrize(
    ("form", "kind", "path"),
    [
        ("hpa", "Deployment", "live/hpa-web.yaml"),
        ("requests", "StatefulSet", "live/requests-statefulset-web.yaml"),
        ("replicas", "Rollout", "handover/live/replicas-rollout-web.yaml"),
        ("quota", "ResourceQuota", "live/quota-web.yaml"),
        ("nodepool", "NodePool", "nodepools/limits-web.yaml"),
        ("turndown", "Namespace", "live/turndown/turndown.yaml"),
    ],
)
def test_paths(form: FileForm, kind: str, path: str) -> None:
    target = ObjectRef(api_version="x/v1", kind=kind, name="web", namespace="written")
    assert path_for(OVERLAY, form, target, "live") == f"{OVERLAY}/{path}"


@given(
    st.sampled_from(["hpa", "requests", "replicas", "quota", "nodepool", "turndown"]),
    st.text(max_size=20),
    st.text(max_size=20),
)
def test_no_name_leads_out_of_the_overlay(form: FileForm, name: str, namespace: str) -> None:
    target = ObjectRef(api_version="apps/v1", kind="Deployment", name=name, namespace=namespace)
    try:
        path = path_for(OVERLAY, form, target, namespace)
    except InputError:
        return
    parts = path.removeprefix(f"{OVERLAY}/").split("/")
    assert len(parts) == (3 if form in ("turndown", "replicas") else 2)
    assert not {"", ".", ".."} & set(parts)
    assert path.isascii()


COMPONENTS = {"turndown": "{namespace}/turndown", "replicas": "handover"}
NAMESPACES = st.sampled_from(["shop", "handover", "turndown", "nodepools", "trimtab", "kustomization"])


@given(
    st.sampled_from(["hpa", "requests", "replicas", "quota", "turndown"]),
    st.sampled_from(["web", "turndown", "kustomization", "handover"]),
    NAMESPACES,
)
def test_a_path_says_which_list_has_it_and_which_namespace_it_is_about(
    form: FileForm, name: str, namespace: str
) -> None:
    target = ObjectRef(api_version="apps/v1", kind="Deployment", name=name, namespace="written")
    path = path_for(OVERLAY, form, target, namespace)
    relative = path.removeprefix(f"{OVERLAY}/")
    assert component_of(relative) == COMPONENTS.get(form, "").format(namespace=namespace)
    assert live_namespace_of(path) == namespace
    assert not is_list(relative)


@pytest.mark.parametrize(
    ("relative", "expected"),
    [
        ("kustomization.yaml", True),
        ("handover/kustomization.yaml", True),
        ("shop/turndown/kustomization.yaml", True),
        ("handover/turndown/kustomization.yaml", True),
        ("shop/kustomization.yaml", False),
        ("handover/shop/kustomization.yaml", False),
        ("handover/shop/replicas-deployment-web.yaml", False),
    ],
)
def test_generated_lists(relative: str, expected: bool) -> None:
    assert is_list(relative) is expected
    assert component_of(relative) is None or not expected


@pytest.mark.parametrize("name", ["../web", "a/b", "..", "", "Web", "a b", "a" * 254, "-a", "a..b"])
def test_names_that_kubernetes_does_not_take_never_become_paths(name: str) -> None:
    target = ObjectRef(api_version="apps/v1", kind="Deployment", name=name)
    with pytest.raises(InputError):
        path_for(OVERLAY, "requests", target, "shop")
    with pytest.raises(InputError):
        path_for(OVERLAY, "requests", WEB, name)
