"""What the API server double promises to the tests that stand on it, beyond what the contract suite tries."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from reconciler.agent.kubernetes.cluster import Cluster, Invalid, ObjectKey
from support.kube_double import KubeDouble, Refused, kube_double

ROLLOUT = "argoproj.io/v1alpha1"
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def workload(kind: str = "Deployment", api_version: str = "apps/v1", **spec: Any) -> dict[str, Any]:
    containers = [{"name": "server", "image": "a:1"}, {"name": "sidecar", "image": "b:1"}]
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}}
    whole = {"selector": {"matchLabels": {"app": "web"}}, "template": template, **spec}
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "web", "namespace": "shop"}, "spec": whole}


def partial_rollout() -> dict[str, Any]:
    server = {"name": "server", "resources": {"requests": {"cpu": "1"}}}
    meta = {"name": "web", "namespace": "shop"}
    spec = {"template": {"spec": {"containers": [server]}}}
    return {"apiVersion": ROLLOUT, "kind": "Rollout", "metadata": meta, "spec": spec}


@pytest.fixture
def double() -> Iterator[KubeDouble]:
    with kube_double() as running:
        yield running


@pytest.fixture
def cluster(double: KubeDouble) -> Iterator[Cluster]:
    opened = Cluster.open(kubeconfig=str(double.kubeconfig))
    yield opened
    opened.close()


def asked(double: KubeDouble, path: str, **query: str) -> httpx.Response:
    return httpx.get(double.url + path, params=query, headers={"Authorization": f"Bearer {double.token}"})


def test_a_custom_kind_without_a_schema_loses_containers_to_a_partial(double: KubeDouble, cluster: Cluster) -> None:
    double.install(ROLLOUT, "Rollout", "rollouts")
    double.put(workload("Rollout", ROLLOUT))
    applied = cluster.apply(partial_rollout(), manager="trimtab", force=True)
    assert [each.get("image") for each in applied["spec"]["template"]["spec"]["containers"]] == [None]


def test_a_custom_kind_whose_schema_merges_containers_keeps_them(double: KubeDouble, cluster: Cluster) -> None:
    by_name = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    schema: dict[str, Any] = {"type": "array", "items": OPEN, **by_name}
    for name in ("containers", "spec", "template", "spec"):
        schema = {**OPEN, "properties": {name: schema}}
    double.install(ROLLOUT, "Rollout", "rollouts", schema=schema)
    double.put(workload("Rollout", ROLLOUT))
    applied = cluster.apply(partial_rollout(), manager="trimtab", force=True)
    assert [each["image"] for each in applied["spec"]["template"]["spec"]["containers"]] == ["a:1", "b:1"]


def test_a_custom_kind_takes_no_strategic_patch(double: KubeDouble, cluster: Cluster) -> None:
    double.install(ROLLOUT, "Rollout", "rollouts")
    double.put(workload("Rollout", ROLLOUT))
    with pytest.raises(Invalid, match="unknown format"):
        cluster.patch(ObjectKey(ROLLOUT, "Rollout", "shop", "web"), {"spec": {}}, strategic=True, manager="x")


def test_status_is_set_by_its_subresource_and_moves_no_generation(double: KubeDouble, cluster: Cluster) -> None:
    double.put(workload(replicas=3), manager="kubectl")
    key = ObjectKey("apps/v1", "Deployment", "shop", "web")
    before = cluster.get(key)
    double.edit("Deployment", "shop", "web", {"status": {"readyReplicas": 2}}, manager="kube-controller-manager", subresource="status")  # fmt: skip
    after = cluster.get(key)
    assert before is not None and after is not None
    assert after["status"] == {"readyReplicas": 2}
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert double.owners("Deployment", "shop", "web", "status", "readyReplicas") == {"kube-controller-manager"}
    patched = cluster.patch(key, {"status": {"readyReplicas": 9}}, strategic=True, manager="trimtab")
    assert patched["status"] == {"readyReplicas": 2}


def test_an_autoscaler_that_scales_owns_the_replicas(double: KubeDouble) -> None:
    double.put(workload(replicas=3), manager="kubectl")
    double.edit("Deployment", "shop", "web", {"spec": {"replicas": 7}}, manager="kube-controller-manager", subresource="scale")  # fmt: skip
    assert double.owners("Deployment", "shop", "web", "spec", "replicas") == {"kube-controller-manager"}
    with pytest.raises(Refused, match='"kube-controller-manager" with subresource "scale"'):
        double.apply(workload(replicas=5), manager="argocd-controller")


def test_what_tests_put_is_checked_as_the_server_would(double: KubeDouble) -> None:
    bare = workload()
    del bare["spec"]["template"]["spec"]["containers"][0]["image"]
    with pytest.raises(Refused, match=r"containers\[0\]\.image: Required value"):
        double.put(bare)


def test_a_put_again_keeps_the_uid_and_a_drop_does_not(double: KubeDouble) -> None:
    first = double.put(workload(replicas=1))["metadata"]["uid"]
    assert double.put(workload(replicas=2))["metadata"]["uid"] == first
    double.drop("Deployment", "shop", "web")
    assert double.get("Deployment", "shop", "web") is None
    assert double.put(workload(replicas=2))["metadata"]["uid"] != first


def test_a_namespace_takes_what_is_in_it_along(double: KubeDouble) -> None:
    double.put(workload())
    double.drop("Namespace", "", "shop")
    assert double.all("Deployment") == []


def test_unknown_fields_are_dropped_with_a_warning(double: KubeDouble) -> None:
    double.put(workload())
    headers = {"Authorization": f"Bearer {double.token}", "Content-Type": "application/merge-patch+json"}
    url = f"{double.url}/apis/apps/v1/namespaces/shop/deployments/web"
    answer = httpx.patch(url, json={"spec": {"nonsense": 1}}, headers=headers)
    assert answer.status_code == 200 and "nonsense" not in answer.json()["spec"]
    assert 'unknown field \\"spec.nonsense\\"' in answer.headers["warning"]


def test_a_watch_tells_what_came_since_and_ends(double: KubeDouble) -> None:
    path = "/apis/apps/v1/deployments"
    since = asked(double, path).json()["metadata"]["resourceVersion"]
    double.put(workload(replicas=1))
    double.put(workload(replicas=2))
    double.drop("Deployment", "shop", "web")
    events = asked(double, path, watch="1", resourceVersion=since, timeoutSeconds="0").text.splitlines()
    assert [json.loads(each)["type"] for each in events] == ["ADDED", "MODIFIED", "DELETED"]


def test_a_watch_from_too_long_ago_is_expired(double: KubeDouble) -> None:
    path = "/apis/apps/v1/deployments"
    since = asked(double, path).json()["metadata"]["resourceVersion"]
    double.put(workload())
    double.expire_lists()
    event = json.loads(asked(double, path, watch="1", resourceVersion=since, timeoutSeconds="0").text)
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_metrics_are_served_where_they_are_installed(double: KubeDouble, cluster: Cluster) -> None:
    usage = {"name": "server", "usage": {"cpu": "12345678n", "memory": "64Mi"}}
    meta = {"name": "web-1", "namespace": "shop"}
    double.put({"apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics", "metadata": meta, "containers": [usage]})
    assert [each["containers"] for each in cluster.list("metrics.k8s.io/v1beta1", "PodMetrics")] == [[usage]]
    with kube_double(metrics=False) as without:
        bare = Cluster.open(kubeconfig=str(without.kubeconfig))
        assert not bare.serves("metrics.k8s.io/v1beta1", "PodMetrics")
        bare.close()


def test_trouble_is_for_whom_it_was_asked(double: KubeDouble, cluster: Cluster) -> None:
    double.put(workload())
    double.fail("get", "Deployment", 403, times=None, name="web")
    assert asked(double, "/apis/apps/v1/namespaces/shop/deployments/web").status_code == 403
    assert asked(double, "/apis/apps/v1/namespaces/shop/deployments/other").status_code == 404
    assert [each["metadata"]["name"] for each in cluster.list("apps/v1", "Deployment")] == ["web"]
    double.heal()
    assert asked(double, "/apis/apps/v1/namespaces/shop/deployments/web").status_code == 200


def test_a_thousand_pods_are_listed_in_four_pages(double: KubeDouble, cluster: Cluster) -> None:
    for number in range(1000):
        containers = [{"name": "server", "image": "a:1", "resources": {"requests": {"cpu": "100m"}}}]
        meta = {"name": f"web-{number}", "namespace": "shop"}
        double.put({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": containers}})
    assert len(list(cluster.list("v1", "Pod"))) == 1000
    assert len(double.asked("list", "Pod")) == 4
