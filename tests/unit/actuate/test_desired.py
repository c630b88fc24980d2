"""What an agent is told to apply: whole HPAs, and of people's objects just the fields that are ours in the build."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.actuate.desired import Desired, LiveKey, OwnedField, answer, merged, owned
from reconciler.model.machine_file import MachineFile
from reconciler.model.workload import ObjectRef
from support.declared import machine_file

WEB = ObjectRef(api_version="apps/v1", kind="Deployment", name="web", namespace="shop")
CONTAINERS = ("spec", "template", "spec", "containers")

BUILT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  replicas: 0
  template:
    spec:
      initContainers:
        - {name: wait, image: wait, resources: {requests: {cpu: 20m}}}
        - {name: migrate, image: migrate, resources: {requests: {cpu: 30m}}}
      containers:
        - {name: server, image: web, resources: {requests: {cpu: 1, memory: 64Mi}, limits: {memory: 128Mi}}}
        - {name: proxy, image: proxy}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop, annotations: {trimtab.dev/policy: scp_1}}
spec: {minReplicas: 2, maxReplicas: 6, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}
"""


def objects(text: str = BUILT) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text))


def hpa(target: ObjectRef = WEB, policy: str = "scp_1") -> dict[str, MachineFile]:
    return {"clusters/prod/trimtab/shop/hpa-web.yaml": machine_file("hpa", target, maxReplicas="6", policy=policy)}


def size(container: str, value: str, *, role: str = "containers", resource: str = "cpu") -> OwnedField:
    return OwnedField(WEB, (*CONTAINERS[:3], role, container, "resources", "requests", resource), value)


def test_an_hpa_of_ours_is_served_whole() -> None:
    (served,) = owned(objects(), hpa(), [], "default")
    built = objects()[1]
    assert served["spec"] == built["spec"]
    assert served["metadata"]["annotations"] == {"trimtab.dev/owns": "object", "trimtab.dev/policy": "scp_1"}
    assert (served["metadata"]["namespace"], served["metadata"]["name"]) == ("shop", "web")


def test_an_object_without_a_namespace_gets_the_roots() -> None:
    text = BUILT.replace(", namespace: shop", "")
    here = WEB.model_copy(update={"namespace": None})
    served = owned(objects(text), hpa(here), [OwnedField(here, ("spec", "replicas"), "0")], "team-a")
    assert {one["metadata"]["namespace"] for one in served} == {"team-a"}


@pytest.mark.parametrize(
    "change",
    [
        ("trimtab.dev/policy: scp_1", "trimtab.dev/policy: scp_2"),  # another policy's
        ("annotations: {trimtab.dev/policy: scp_1}", "labels: {of: a-person}"),
        ("kind: Deployment, name: web}", "kind: Deployment, name: api}"),  # kustomize has pointed it elsewhere
        ("kind: HorizontalPodAutoscaler", "kind: Gone"),
    ],
)
def test_an_hpa_that_is_not_built_as_ours_is_not_served(change: tuple[str, str]) -> None:
    assert owned(objects(BUILT.replace(*change)), hpa(), [], "default") == ()


def test_all_our_files_that_touch_an_object_are_one_entry_of_just_our_fields() -> None:
    fields = [
        size("server", "1000m"),
        size("server", "64Mi", resource="memory"),
        OwnedField(WEB, ("spec", "replicas"), "0"),
    ]
    (served,) = owned(objects(), {}, fields, "default")
    assert served == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "annotations": {"trimtab.dev/owns": "fields"}},
        "spec": {
            "replicas": 0,
            "template": {
                "spec": {"containers": [{"name": "server", "resources": {"requests": {"cpu": "1", "memory": "64Mi"}}}]}
            },
        },
    }


def test_init_containers_stay_in_the_order_of_the_manifest() -> None:
    fields = [size("migrate", "30m", role="initContainers"), size("wait", "20m", role="initContainers")]
    (served,) = owned(objects(), {}, fields, "default")
    assert [one["name"] for one in served["spec"]["template"]["spec"]["initContainers"]] == ["wait", "migrate"]


@pytest.mark.parametrize(
    "field",
    [
        size("server", "500m"),  # something in the root sets it again
        size("proxy", "10m"),  # nothing of it is in the build
        size("gone", "10m"),
        OwnedField(WEB, ("spec", "suspend"), "true"),
        OwnedField(WEB.model_copy(update={"name": "api"}), ("spec", "replicas"), "0"),
    ],
)
def test_what_the_build_does_not_say_is_not_ours(field: OwnedField) -> None:
    assert owned(objects(), {}, [field], "default") == ()
    (served,) = owned(objects(), {}, [field, size("server", "1")], "default")
    assert served["spec"]["template"]["spec"]["containers"] == [
        {"name": "server", "resources": {"requests": {"cpu": "1"}}}
    ]
    assert set(served["spec"]) == {"template"}


def test_lists_that_the_schema_does_not_merge_are_left_out() -> None:
    text = BUILT.replace("apiVersion: apps/v1\nkind: Deployment", "apiVersion: argoproj.io/v1alpha1\nkind: Rollout")
    rollout = ObjectRef(api_version="argoproj.io/v1alpha1", kind="Rollout", name="web", namespace="shop")
    fields = [size("server", "1")._replace(target=rollout), OwnedField(rollout, ("spec", "replicas"), "0")]
    (served,) = owned(objects(text), {}, fields, "default")
    assert served["spec"] == {"replicas": 0}


def test_quotas_and_node_pools_have_quantities_as_text() -> None:
    text = """\
apiVersion: v1
kind: ResourceQuota
metadata: {name: compute, namespace: shop}
spec: {hard: {requests.cpu: 4, pods: "10"}}
---
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: general, namespace: shop}
spec: {limits: {cpu: 19, memory: 64Gi}, weight: 10}
"""
    quota = ObjectRef(api_version="v1", kind="ResourceQuota", name="compute", namespace="shop")
    pool = ObjectRef(api_version="karpenter.sh/v1", kind="NodePool", name="general")
    fields = [
        OwnedField(quota, ("spec", "hard", "requests.cpu"), "4"),
        OwnedField(pool, ("spec", "limits", "cpu"), "19"),
    ]
    served = {one["kind"]: one for one in owned(objects(text), {}, fields, "default")}
    assert served["ResourceQuota"]["spec"] == {"hard": {"requests.cpu": "4"}}
    assert served["NodePool"]["spec"] == {"limits": {"cpu": "19"}}
    assert "namespace" not in served["NodePool"]["metadata"]


def test_a_suspended_cron_job_is_served() -> None:
    text = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: tidy, namespace: shop}\nspec: {suspend: true}\n"
    tidy = ObjectRef(api_version="batch/v1", kind="CronJob", name="tidy", namespace="shop")
    (served,) = owned(objects(text), {}, [OwnedField(tidy, ("spec", "suspend"), "true")], "default")
    assert served["spec"] == {"suspend": True}


@given(st.permutations([size("server", "1"), size("wait", "20m", role="initContainers"), size("migrate", "30m", role="initContainers"), OwnedField(WEB, ("spec", "replicas"), "0")]))  # fmt: skip
def test_the_order_of_files_and_objects_changes_no_byte(fields: list[OwnedField]) -> None:
    def told(built: list[dict[str, Any]], asked: list[OwnedField]) -> bytes:
        return answer(Desired("c1", "prod", "t1", owned(built, hpa(), asked, "default")), {}).body

    assert told(objects()[::-1], fields) == told(objects(), sorted(fields))


def state(*entries: dict[str, Any]) -> Desired:
    return Desired(revision="c1", cluster="prod", tree="t1", manifests=merged(entries))


def entries() -> tuple[dict[str, Any], ...]:
    return owned(objects(), hpa(), [size("server", "1")], "default")


def test_an_object_that_two_roots_have_is_served_once() -> None:
    assert len(state(*entries(), *entries()).manifests) == 2


def test_partial_objects_carry_the_uid_that_was_observed() -> None:
    uids = {
        LiveKey("Deployment", "shop", "web"): "u-1",
        LiveKey("Deployment", "shop", "api"): "u-2",
        LiveKey("HorizontalPodAutoscaler", "shop", "web"): "u-3",
    }
    told = json.loads(answer(state(*entries()), uids).body)
    metadata = {one["kind"]: one["metadata"] for one in told["manifests"]}
    assert metadata["Deployment"]["uid"] == "u-1"
    assert "uid" not in metadata["HorizontalPodAutoscaler"]  # the agent makes that one
    assert list(told) == ["revision", "cluster", "repository", "roots", "manifests"]


def test_the_etag_changes_with_the_tree_and_with_the_uids_that_are_told() -> None:
    def tag(desired: Desired, **uids: str) -> str:
        return answer(desired, {LiveKey("Deployment", "shop", name): uid for name, uid in uids.items()}).etag

    here = state(*entries())
    assert tag(here) == '"t1"'
    assert tag(here, api="u-2") == '"t1"'
    told = tag(here, web="u-1")
    assert told.startswith('"t1-')
    assert told == tag(here, web="u-1", api="u-2")
    assert told != tag(here, web="u-9")
