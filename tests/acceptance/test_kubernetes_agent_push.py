"""What a Kubernetes agent sees reaches the server and what is decided there: a fleet repo, a server, an agent, and a cluster."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from reconciler.agent.kubernetes.answers import Unreachable
from reconciler.agent.kubernetes.rounds import Rounds
from reconciler.agent.kubernetes.running import opened, run
from reconciler.agent.link import Away, Link
from reconciler.agent.options import KubernetesOptions
from reconciler.errors import Stalled
from support import kube_objects as made
from support.kube_double import KubeDouble, kube_double
from support.linked import Through, link_to
from support.served import Served, serving
from support.small import small_fleet

POLICIES = "/api/v1/scaling/policies"
HASH = "6f7d8c9b5"
OTHERS = 300
"""Pods of somebody else: more than a page of a list has."""


@dataclass
class Whole:
    """A server and a cluster, and the cluster's agent between them."""

    served: Served
    cluster: KubeDouble
    through: Through
    link: Link

    def round(self) -> None:
        """One round of an agent that has just started; :raises: what went wrong in it."""
        with self.started() as rounds:
            self.once(rounds)

    def started(self, **more: str) -> AbstractContextManager[Rounds[Any]]:
        options = KubernetesOptions(cluster="prod", kubeconfig=str(self.cluster.kubeconfig), **more)
        say = structlog.get_logger("test")
        return opened(self.link, options, stop=threading.Event(), clock=self.served.clock, say=say)

    def once(self, rounds: Rounds[Any]) -> None:
        """One round, fifteen seconds after the one before."""
        self.served.clock.forward(seconds=15)
        try:
            rounds.once()
        finally:
            self.served.server.flush()

    @property
    def policy(self) -> dict[str, Any]:
        """As a person sees it after a pass."""
        self.served.reconcile()
        (found,) = self.served.client.get(POLICIES).json()
        return dict(found)

    @property
    def agent(self) -> dict[str, Any]:
        (found,) = self.served.client.get("/api/v1/agents").json()
        return dict(found)

    def put(self, api_version: str, kind: str, *objects: dict[str, Any]) -> None:
        for one in objects:
            self.cluster.put({"apiVersion": api_version, "kind": kind, **one})

    def uses(self, cpu: str) -> None:
        """Each of web's four pods, of the 100m that it requests."""
        self.put(
            "metrics.k8s.io/v1beta1",
            "PodMetrics",
            *(made.pod_metrics(name, namespace="default", cpu=cpu) for name in names()),
        )


def names() -> list[str]:
    return [f"web-{HASH}-{number}" for number in range(4)]


def fill(whole: Whole) -> None:
    """Four pods of web on a node, and those of others on the next."""
    whole.put("v1", "Namespace", {"metadata": {"name": "trimtab-system"}})
    sizes = {"resources": made.resources({"cpu": "100m", "memory": "64Mi"}, {"memory": "1Gi"})}
    server = made.container(**sizes)
    whole.put("apps/v1", "Deployment", made.workload("Deployment", "web", namespace="default", replicas=4))
    whole.put("v1", "Node", made.node("node-0"), made.node("node-1"))
    owned = {"owner": ("ReplicaSet", f"web-{HASH}"), "labels": {"pod-template-hash": HASH}, "containers": [server]}
    whole.put("v1", "Pod", *(made.pod(name, namespace="default", **owned) for name in names()))
    whole.put("v1", "Pod", *(made.pod(f"other-{number}", node="node-1") for number in range(OTHERS)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    home = tmp_path_factory.mktemp("whole")
    with serving(home, small_fleet(home)) as served, kube_double(clock=served.clock) as cluster:
        through = Through(served)
        found = Whole(served, cluster, through, link_to(served, cluster="prod", through=through))
        fill(found)
        yield found


@pytest.fixture(autouse=True)
def healed(whole: Whole) -> Iterator[None]:
    """Whatever a test has broken is whole again after it."""
    yield
    whole.cluster.heal()
    whole.through.away = False


def test_a_policy_goes_by_what_the_agent_sees(whole: Whole) -> None:
    whole.uses("90m")
    whole.round()
    shown = whole.policy
    assert (shown["currentReplicas"], shown["desiredReplicas"]) == (4, 5), "one step up from 90 % of a target of 70 %"
    whole.uses("35m")
    whole.round()
    assert whole.policy["desiredReplicas"] == 3
    assert whole.agent["status"] == "connected"
    assert whole.agent["containerCount"] == 4 + OTHERS


def test_one_round_lists_each_kind_once_and_costs_one_304_while_nothing_has_changed(whole: Whole) -> None:
    whole.round()
    whole.cluster.requests.clear()
    whole.through.seen.clear()
    whole.round()
    lists = Counter(one.kind for one in whole.cluster.asked("list") if "continue" not in one.query)
    assert set(lists.values()) == {1}
    assert {"Pod", "Node", "Deployment", "StatefulSet", "DaemonSet", "CronJob", "PodMetrics"} <= set(lists)
    assert len(whole.cluster.asked("list", "Pod")) == 2, "three hundred pods are two pages"
    asked = Counter((method, path.rpartition("/")[2], status) for method, path, status in whole.through.seen)
    assert asked["GET", "desired", 304] == 1
    assert asked["POST", "push", 200] == 1


def test_a_list_that_expires_half_way_is_read_again_and_nothing_counts_twice(whole: Whole) -> None:
    whole.cluster.fail("list", "Pod", 410, times=1, reason="Expired")
    whole.round()
    assert whole.agent["containerCount"] == 4 + OTHERS


def test_what_the_agent_may_not_list_is_named_and_all_else_is_pushed(whole: Whole) -> None:
    whole.cluster.fail("list", "ResourceQuota", 403, times=None)
    whole.uses("90m")
    with capture_logs() as log:
        whole.round()
    (said,) = [line for line in log if "resourcequotas is left out" in line["event"]]
    assert "resourcequotas" in said["next"]
    assert whole.policy["desiredReplicas"] == 5


def test_a_metrics_server_that_is_away_costs_usage_and_nothing_else(whole: Whole) -> None:
    whole.cluster.fail("list", "PodMetrics", 503, times=None)
    with capture_logs() as log:
        whole.round()
    assert any("no usage is pushed" in line["event"] and "--prometheus" in line["next"] for line in log)
    shown = whole.policy
    assert shown["currentReplicas"] == 4


def test_an_api_server_that_is_away_does_not_hide_the_agent(whole: Whole) -> None:
    whole.cluster.down()
    try:
        with pytest.raises(Unreachable):
            whole.round()
    finally:
        whole.cluster.up()
    assert whole.agent["status"] == "connected"
    whole.round()
    assert whole.policy["currentReplicas"] == 4


def test_what_could_not_be_pushed_while_the_server_was_away_is_pushed_when_it_is_back(whole: Whole) -> None:
    with whole.started() as rounds:
        whole.through.away = True
        for _ in range(2):
            with pytest.raises(Away):
                whole.once(rounds)
        whole.through.away = False
        whole.through.seen.clear()
        whole.once(rounds)
    assert [status for _, path, status in whole.through.seen if path.endswith("/push")] == [200, 200, 200]


def test_a_kubeconfig_that_is_not_there_is_said_with_the_next_step(whole: Whole, tmp_path: Path) -> None:
    options = KubernetesOptions(cluster="prod", kubeconfig=str(tmp_path / "nowhere"))
    with pytest.raises(Stalled, match="no way to a cluster") as raised:
        run(
            whole.link, options, stop=threading.Event(), clock=whole.served.clock, say=structlog.get_logger(), once=True
        )
    assert raised.value.hint
