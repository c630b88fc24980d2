"""Whose a pod is."""

from datetime import UTC, datetime

import pytest

from reconciler.model.observation import Pod, PushBody
from reconciler.model.ownership import samples_of, workload_of


@pytest.mark.parametrize(
    ("owner", "known", "workload"),
    [
        ("ReplicaSet/web-6f7d8c9b5", [], "Deployment/web"),
        ("ReplicaSet/web-6f7d8c9b5", ["Deployment/web"], "Deployment/web"),
        ("ReplicaSet/web-6f7d8c9b5", ["ReplicaSet/web-6f7d8c9b5"], "ReplicaSet/web-6f7d8c9b5"),
        ("ReplicaSet/web-6f7d8c9b5", ["ReplicaSet/web-6f7d8c9b5", "Deployment/web"], "Deployment/web"),
        ("ReplicaSet/web-6f7d8c9b5", ["Rollout/web"], "Rollout/web"),
        ("ReplicaSet/api-gateway-5d4f", [], "Deployment/api-gateway"),
        ("ReplicaSet/web-canary", [], "ReplicaSet/web-canary"),
        ("ReplicaSet/web-canary", ["Deployment/web"], "Deployment/web"),
        ("ReplicaSet/web", [], "ReplicaSet/web"),
        ("Job/nightly-29012345", [], "CronJob/nightly"),
        ("Job/nightly-29012345", ["Job/nightly-29012345"], "Job/nightly-29012345"),
        ("Job/nightly-7", ["CronJob/nightly"], "CronJob/nightly"),
        ("Job/migrate-7", [], "Job/migrate-7"),
        ("StatefulSet/db-0", [], "StatefulSet/db-0"),
        ("DaemonSet/agent", [], "DaemonSet/agent"),
        ("Foo/bar", [], "Foo/bar"),
        ("/", [], "Pod/p"),
    ],
)
def test_a_pod_belongs_to_the_workload_that_people_write(owner: str, known: list[str], workload: str) -> None:
    kind, _, name = owner.partition("/")
    pod = Pod(namespace="ns", name="p", owner_kind=kind, owner_name=name)
    there = {(one.partition("/")[0], "ns", one.partition("/")[2]) for one in known}
    found = workload_of(pod, "prod", there)
    assert found is not None
    assert str(found) == f"prod/ns/{workload}"


def test_a_workload_of_another_namespace_does_not_decide() -> None:
    pod = Pod(namespace="ns", name="p", owner_kind="ReplicaSet", owner_name="web-canary")
    found = workload_of(pod, "prod", {("Deployment", "other", "web")})
    assert found is not None
    assert found.kind == "ReplicaSet"


def test_a_static_pod_belongs_to_its_node_and_yields_no_sample() -> None:
    pod = {
        "namespace": "kube-system",
        "name": "etcd-n1",
        "ownerKind": "Node",
        "ownerName": "n1",
        "containers": [{"name": "etcd", "cpuMillicores": 100}],
    }
    body = PushBody.model_validate({"timestamp": datetime(2026, 6, 17, tzinfo=UTC), "pods": [pod]})
    assert workload_of(body.pods[0], "prod", set()) is None
    assert samples_of(body, "prod").series == ()
