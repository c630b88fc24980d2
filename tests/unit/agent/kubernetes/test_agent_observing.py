"""One round of looking at a cluster: what is pushed of it, what is kept, and what happens when a kind cannot be listed."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from reconciler.agent.kubernetes.answers import Denied, Unknown, Unreachable
from reconciler.agent.kubernetes.cluster import ObjectKey
from reconciler.model.observation import PushBody
from support.kube_lists import Lists, Watched
from support.kube_objects import (
    container,
    killed,
    metadata,
    node,
    node_metrics,
    pod,
    pod_metrics,
    resources,
    status_of,
    workload,
)

DENIED = Denied('pods is forbidden: User "agent" cannot list resource "pods"', hint="")
AWAY = Unreachable("the API server answered 500", after_seconds=1)


def pushed(cluster: Lists, **options: Any) -> PushBody:
    """What a server reads from the push of one round, checked as strictly as it checks."""
    lists = Watched(cluster, **options).observe().lists
    return PushBody.model_validate({"timestamp": "2026-06-16T10:00:00Z", **lists})


def test_a_pod_is_pushed_with_its_owner_its_requests_and_its_usage() -> None:
    labels = {"pod-template-hash": "6f7d8c9b5"}
    cluster = Lists(
        Deployment=[workload("Deployment", "web")],
        Pod=[pod("web-6f7d8c9b5-x2x4z", owner=("ReplicaSet", "web-6f7d8c9b5"), labels=labels)],
        PodMetrics=[pod_metrics("web-6f7d8c9b5-x2x4z", cpu="120500000n", memory="131072Ki")],
        NodeMetrics=[],
    )
    (found,) = pushed(cluster).pods
    assert (found.owner_kind, found.owner_name, found.owner_uid) == ("Deployment", "web", "uid-of-shop-web")
    assert (found.namespace, found.node, found.phase, found.ready) == ("shop", "node-0", "Running", True)
    (one,) = found.containers
    assert (one.cpu_millicores, one.memory_mb) == (120.5, 128)
    assert (one.cpu_request_millicores, one.memory_request_mb) == (250, 256)
    assert (one.cpu_limit_millicores, one.memory_limit_mb) == (None, 512)


@pytest.mark.parametrize(
    ("owner", "labels", "named"),
    [
        (("ReplicaSet", "web-6f7d8c9b5"), {"rollouts-pod-template-hash": "6f7d8c9b5"}, ("Rollout", "web")),
        (("Job", "tidy-29123456"), {}, ("CronJob", "tidy")),
        (("Job", "once-1"), {}, ("Job", "once-1")),
        (("ReplicaSet", "bare-abc"), {"pod-template-hash": "other"}, ("ReplicaSet", "bare-abc")),
        (("StatefulSet", "db"), {}, ("StatefulSet", "db")),
        (("Node", "node-0"), {}, ("Node", "node-0")),
    ],
)
def test_what_owns_the_owner_is_named_where_it_is_known(
    owner: tuple[str, str], labels: dict[str, str], named: tuple[str, str]
) -> None:
    cluster = Lists(
        Rollout=[workload("Rollout", "web", spec={"strategy": {"canary": {}}})],
        CronJob=[{"metadata": metadata("tidy", "shop"), "spec": {"suspend": False}, "status": {"active": [{}]}}],
        Pod=[pod("one", owner=owner, labels=labels)],
    )
    (found,) = pushed(cluster).pods
    assert (found.owner_kind, found.owner_name) == named


def test_sidecars_are_containers_and_init_containers_are_only_until_they_are_done() -> None:
    spec = {
        "initContainers": [
            container("proxy", restartPolicy="Always"),
            container("migrate"),
            container("fetch"),
        ]
    }
    done = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    status = {"initContainerStatuses": [status_of("proxy"), status_of("migrate", state=done), status_of("fetch")]}
    (found,) = pushed(Lists(Pod=[pod("one", spec=spec, status=status)])).pods
    assert [one.name for one in found.containers] == ["server", "proxy", "fetch"]


def test_each_oom_kill_is_counted_once() -> None:
    cluster = Lists(Pod=[pod("one")])
    watched = Watched(cluster)

    def kills(**status: Any) -> tuple[int, int]:
        cluster.objects["Pod"] = [pod("one", statuses=[status_of(**status)])]
        (found,) = watched.observe().lists["pods"]
        (one,) = found["containers"]
        return one["restartCount"], one.get("oomKills", 0)

    assert kills() == (0, 0)
    assert kills(state=killed("a")) == (0, 1)
    assert kills(state=killed("a")) == (0, 1)
    assert kills(lastState=killed("a"), restartCount=1) == (1, 1)
    assert kills(lastState=killed("a"), state=killed("b"), restartCount=1) == (1, 2)
    assert kills(lastState=killed("a"), state=killed("b"), restartCount=1) == (1, 2)
    assert kills(lastState=killed("b"), restartCount=2) == (2, 2)
    assert kills(lastState=killed("c", "Error"), restartCount=3) == (3, 2)
    assert kills(lastState=killed("d"), restartCount=4) == (4, 3)


def test_the_count_of_a_pod_that_is_gone_is_forgotten() -> None:
    cluster = Lists(Pod=[pod("one", uid="u", statuses=[status_of(lastState=killed("a"))])])
    watched = Watched(cluster)
    watched.observe()
    cluster.objects["Pod"] = []
    watched.observe()
    cluster.objects["Pod"] = [pod("one", uid="u", statuses=[status_of()])]
    (found,) = watched.observe().lists["pods"]
    assert "oomKills" not in found["containers"][0]


def test_a_node_has_given_away_what_its_pods_request_as_the_scheduler_counts() -> None:
    small, large = resources({"cpu": "100m", "memory": "100Mi"}), resources({"cpu": "2", "memory": "1Gi"})
    sidecar = container("proxy", restartPolicy="Always", resources=small)
    cluster = Lists(
        Node=[node("node-0", labels={"karpenter.sh/nodepool": "general"}), node("node-1", ready=False)],
        Pod=[
            pod("plain", containers=[container(resources=small), container("second", resources=small)]),
            pod("init", containers=[container(resources=small)], spec={"initContainers": [sidecar, container("boot", resources=large)]}),
            pod("heavy", containers=[container(resources=small)], spec={"overhead": {"cpu": "50m", "memory": "10Mi"}}),
            pod("whole", spec={"resources": resources({"cpu": "300m", "memory": "300Mi"})}),
            pod("done", containers=[container(resources=large)], phase="Succeeded"),
            pod("waits", containers=[container(resources=large)], phase="Pending", node=""),
            pod("coming", containers=[container(resources=small)], phase="Pending", node="node-1"),
        ],
        NodeMetrics=[node_metrics("node-0")],
        PodMetrics=[],
    )  # fmt: skip
    first, second = pushed(cluster).nodes
    assert first.cpu_requested_millicores == 200 + (2000 + 100) + 150 + 300
    assert first.memory_requested_mb == 200 + (1024 + 100) + 110 + 300
    assert (first.cpu_capacity_millicores, first.memory_capacity_mb) == (4000, 16384)
    assert (first.node_pool, first.ready) == ("general", True)
    assert (first.cpu_used_millicores, first.memory_used_mb) == (1200, 4096)
    assert (second.ready, second.cpu_requested_millicores) == (False, 100)


def test_while_a_pod_is_resized_in_place_the_node_still_gives_what_it_had() -> None:
    one = container(resources=resources({"cpu": "100m", "memory": "100Mi"}))
    status = status_of(allocatedResources={"cpu": "400m", "memory": "50Mi"})
    (found,) = pushed(Lists(Node=[node("node-0")], Pod=[pod("one", containers=[one], statuses=[status])])).nodes
    assert (found.cpu_requested_millicores, found.memory_requested_mb) == (400, 100)


def test_workloads_are_pushed_with_what_tells_a_rollout() -> None:
    daemon_set = {
        "metadata": metadata("logs", "kube-system", generation=1),
        "spec": {"updateStrategy": {"type": "OnDelete"}},
        "status": {
            "observedGeneration": 1,
            "desiredNumberScheduled": 5,
            "numberReady": 4,
            "updatedNumberScheduled": 3,
        },
    }
    cluster = Lists(
        Deployment=[
            workload("Deployment", "web", replicas=3),
            workload("Deployment", "moving", status={"observedGeneration": 2}),
        ],
        DaemonSet=[daemon_set],
        Rollout=[workload("Rollout", "blue", spec={"strategy": {"blueGreen": {}}}, status={"observedGeneration": "3"})],
    )
    found = {one.name: one for one in pushed(cluster).workloads}
    web, moving, logs, blue = found["web"], found["moving"], found["logs"], found["blue"]
    assert (web.kind, web.uid, web.strategy) == ("Deployment", "uid-of-shop-web", "RollingUpdate")
    assert (web.replicas, web.ready_replicas, web.updated_replicas, web.observed_generation) == (3, 3, 3, 3)
    assert (moving.replicas, moving.updated_replicas) == (2, 0), "its controller has not seen the newest spec"
    assert (logs.replicas, logs.ready_replicas, logs.updated_replicas, logs.strategy) == (5, 4, 3, "OnDelete")
    assert (blue.strategy, blue.observed_generation, blue.updated_replicas) == ("blueGreen", 3, 2)


def test_quotas_and_whole_objects_are_pushed_without_their_history() -> None:
    last_applied = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "team": "shop"}
    hpa = {"metadata": metadata("web", "shop", annotations=last_applied), "spec": {"maxReplicas": 5}}
    quota = {
        "metadata": metadata("all", "shop"),
        "spec": {"hard": {"requests.cpu": "4", "pods": 10}},
        "status": {"hard": {"requests.cpu": "4"}, "used": {"requests.cpu": "1250m"}},
    }
    cluster = Lists(
        HorizontalPodAutoscaler=[hpa],
        ScaledObject=[{"metadata": metadata("queue", "shop"), "spec": {"maxReplicaCount": 9}}],
        ResourceQuota=[quota],
        LimitRange=[{"metadata": metadata("sizes", "shop"), "spec": {"limits": []}}],
        PodDisruptionBudget=[{"metadata": metadata("web", "shop"), "spec": {"minAvailable": 1}}],
    )
    body = pushed(cluster)
    (found,) = body.quotas
    assert (found.hard, found.used) == ({"requests.cpu": "4", "pods": "10"}, {"requests.cpu": "1250m"})
    assert [one["metadata"]["name"] for one in body.hpas] == ["web", "queue"]
    assert body.hpas[0]["metadata"]["annotations"] == {"team": "shop"}
    assert not any("managedFields" in one["metadata"] for one in (*body.hpas, *body.limit_ranges, *body.pdbs))
    assert len(body.limit_ranges) == len(body.pdbs) == 1


def test_what_trimtab_can_own_is_kept_and_nothing_else() -> None:
    web = workload("Deployment", "web")
    web["metadata"]["annotations"] = {"trimtab.dev/policy": "scp_1", "team": "shop"}
    pool = {
        "metadata": metadata("general"),
        "spec": {"limits": {"cpu": "100"}, "template": {"spec": {"taints": []}}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    snapshot = Watched(Lists(Deployment=[web], NodePool=[pool])).observe().snapshot
    kept = snapshot.objects[ObjectKey("apps/v1", "Deployment", "shop", "web")]
    assert kept["metadata"]["annotations"] == {"trimtab.dev/policy": "scp_1"}
    assert kept["spec"] == {
        "replicas": 2,
        "template": {"spec": {"containers": [{"name": "server", "resources": resources()}]}},
    }
    assert kept["status"]["updatedReplicas"] == 2
    assert "managedFields" not in kept["metadata"]
    assert snapshot.objects[ObjectKey("karpenter.sh/v1", "NodePool", "", "general")]["spec"] == {
        "limits": {"cpu": "100"}
    }
    assert ("apps/v1", "StatefulSet") in snapshot.kinds
    assert ("argoproj.io/v1alpha1", "Rollout") not in snapshot.kinds


def test_what_may_not_be_listed_is_left_out_named_once_and_asked_for_again_after_five_minutes() -> None:
    cluster = Lists(Pod=[pod("one")], Node=[node("node-0")])
    cluster.errors["Pod"] = DENIED
    watched = Watched(cluster)
    with capture_logs() as log:
        lists = watched.observe().lists
        watched.observe(after=15)
    assert "pods" not in lists
    assert [one["name"] for one in lists["nodes"]] == ["node-0"]
    (said,) = [line for line in log if "pods is left out" in line["event"]]
    assert said["error"] == DENIED.message
    assert "list on pods" in said["next"]
    assert cluster.asked.count("Pod") == 1
    cluster.errors.clear()
    with capture_logs() as log:
        assert len(watched.observe(after=300).lists["pods"]) == 1
    assert "pods can be listed again" in [line["event"] for line in log]


def test_an_add_on_that_is_not_there_is_not_spoken_of_and_seldom_asked_for() -> None:
    cluster = Lists()
    watched = Watched(cluster)
    with capture_logs() as log:
        for _ in range(4):
            watched.observe(after=15)
    assert cluster.asked.count("Rollout") == cluster.asked.count("NodePool") == 1
    assert not [line for line in log if "rollouts" in str(line)]


def test_a_list_that_breaks_off_is_not_pushed_and_nothing_is_made_of_half_of_it() -> None:
    cluster = Lists(
        Deployment=[workload("Deployment", "web"), workload("Deployment", "api")],
        Pod=[pod("one"), pod("two")],
        Node=[node("node-0")],
    )
    watched = Watched(cluster)
    cluster.errors["Pod"] = AWAY
    lists = watched.observe().lists
    assert "pods" not in lists and "nodes" not in lists, "nodes would look as if nothing were requested"
    assert len(lists["workloads"]) == 2
    cluster.errors = {"StatefulSet": AWAY}
    observed = watched.observe()
    assert "workloads" not in observed.lists
    assert ("apps/v1", "StatefulSet") not in observed.snapshot.kinds
    assert len(observed.lists["pods"]) == 2


def test_a_kind_that_fails_again_and_again_does_not_hold_up_the_others_for_ever() -> None:
    cluster = Lists(Deployment=[workload("Deployment", "web")], Rollout=[workload("Rollout", "blue")])
    cluster.errors["Rollout"] = AWAY
    watched = Watched(cluster)
    assert ["workloads" in watched.observe(after=15).lists for _ in range(4)] == [False, False, False, True]
    assert cluster.asked.count("Rollout") == 3


def test_an_api_server_that_is_away_ends_the_round_and_is_forgiven_at_once() -> None:
    cluster = Lists(Deployment=[workload("Deployment", "web")])
    watched = Watched(cluster)
    cluster.away = True
    for _ in range(5):
        with pytest.raises(Unreachable):
            watched.observe(after=15)
    assert len(cluster.asked) == 5 * 3, "it is not asked for everything when it answers nothing"
    cluster.away = False
    assert len(watched.observe(after=15).lists["workloads"]) == 1


def test_credentials_that_are_not_known_for_a_moment_cost_that_round_alone() -> None:
    cluster = Lists(Deployment=[workload("Deployment", "web")])
    watched = Watched(cluster)
    cluster.errors["Deployment"] = Unknown("Unauthorized", hint="")
    with pytest.raises(Unknown):
        watched.observe()
    cluster.errors.clear()
    assert len(watched.observe(after=15).lists["workloads"]) == 1


def test_an_object_that_cannot_be_read_is_named_and_the_others_are_pushed() -> None:
    odd = container(resources={"requests": {"cpu": "much"}})
    cluster = Lists(Pod=[pod("odd", containers=[odd]), pod("one")])
    watched = Watched(cluster)
    with capture_logs() as log:
        for _ in range(2):
            assert [one["name"] for one in watched.observe().lists["pods"]] == ["one"]
    assert [line["event"] for line in log].count("Pod shop/odd is left out: it cannot be read") == 1
