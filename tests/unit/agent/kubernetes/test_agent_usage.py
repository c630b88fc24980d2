"""Usage from metrics.k8s.io, from a Prometheus where that is not there, and throttling, which only a Prometheus knows."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from structlog.testing import capture_logs

from reconciler.agent.kubernetes.answers import Unreachable
from reconciler.agent.kubernetes.prometheus import Prometheus
from reconciler.agent.kubernetes.quantities import mebibytes, millicores
from reconciler.errors import Stalled
from support.kube_lists import Lists, Watched
from support.kube_objects import container, pod, pod_metrics

Labels = tuple[str, str]
"""Cluster (empty: none) and pod."""


@dataclass
class Metrics:
    """A Prometheus whose series are set by the test; values of each pod's container ``server``. ``broken``: answers so instead."""

    cpu: dict[Labels, Any] = field(default_factory=dict)
    memory: dict[Labels, Any] = field(default_factory=dict)
    throttled: dict[Labels, Any] = field(default_factory=dict)
    broken: httpx.Response | None = None
    asked: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self.broken is not None:
            return self.broken
        (query,) = parse_qs(request.content.decode())["query"]
        values = self.throttled if "throttled" in query else self.cpu if "cpu_usage" in query else self.memory
        result = []
        for (cluster, name), value in values.items():
            labels = {"namespace": "shop", "pod": name, "container": "server"} | (
                {"cluster": cluster} if cluster else {}
            )
            result.append({"metric": labels, "value": [1781604000.0, str(value)]})
        return httpx.Response(200, text=json.dumps({"status": "success", "data": {"result": result}}))

    def open(self, url: str = "http://prometheus.test", **options: str) -> Prometheus:
        return Prometheus(url, client=httpx.Client(transport=httpx.MockTransport(self)), **options)


def only(watched: Watched) -> dict[str, Any]:
    """The one container that is pushed."""
    (found,) = watched.observe().lists["pods"]
    return dict(found["containers"][0])


def test_without_metrics_in_the_cluster_prometheus_is_asked_three_questions_for_all_pods() -> None:
    metrics = Metrics(
        {("", "one"): 0.25, ("", "two"): 0.5}, {("", "one"): 2**28}, {("", "one"): 0.125, ("", "two"): "NaN"}
    )
    cluster = Lists(Pod=[pod("one"), pod("two")])
    one, two = (p["containers"][0] for p in Watched(cluster, metrics.open()).observe().lists["pods"])
    assert (one["cpuMillicores"], one["memoryMB"], one["throttledPercent"]) == (250, 256, 12.5)
    assert two["cpuMillicores"] == 500
    assert "memoryMB" not in two and "throttledPercent" not in two
    assert len(metrics.asked) == 3


def test_with_metrics_in_the_cluster_prometheus_is_asked_about_throttling_alone() -> None:
    metrics = Metrics(cpu={("", "one"): 9}, throttled={("", "one"): 0.5})
    cluster = Lists(Pod=[pod("one")], PodMetrics=[pod_metrics("one", cpu="100m")], NodeMetrics=[])
    found = only(Watched(cluster, metrics.open()))
    assert (found["cpuMillicores"], found["throttledPercent"]) == (100, 50)
    assert len(metrics.asked) == 1


def test_of_a_prometheus_of_several_clusters_only_the_own_one_counts() -> None:
    metrics = Metrics(cpu={("blue", "one"): 1, ("green", "one"): 2})
    assert only(Watched(Lists(Pod=[pod("one")]), metrics.open(cluster="green")))["cpuMillicores"] == 2000


def test_without_either_nothing_is_made_up_and_the_next_step_is_said_once() -> None:
    watched = Watched(Lists(Pod=[pod("one")]))
    with capture_logs() as log:
        assert "cpuMillicores" not in only(watched)
        only(watched)
    (said,) = [line for line in log if "no usage" in line["event"]]
    assert "metrics-server" in said["next"] and "--prometheus" in said["next"]


def test_a_metrics_server_that_is_away_takes_nothing_but_usage_with_it() -> None:
    cluster = Lists(Pod=[pod("one")], PodMetrics=[pod_metrics("one")], NodeMetrics=[])
    watched = Watched(cluster)
    cluster.errors["PodMetrics"] = Unreachable("the server is currently unable to handle the request", after_seconds=1)
    assert "cpuMillicores" not in only(watched)
    cluster.errors.clear()
    assert only(watched)["cpuMillicores"] == 120.5


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(503, text="busy"), "answered 503"),
        (httpx.Response(401), "does not let the agent ask"),
        (httpx.Response(200, text="<html>"), "no answer of a Prometheus"),
        (httpx.Response(200, json={"status": "success", "data": {"result": [{"metric": {}}]}}), "no answer"),
    ],
)
def test_a_prometheus_that_does_not_answer_is_said_once_without_its_password(answer: httpx.Response, said: str) -> None:
    metrics = Metrics(broken=answer)
    watched = Watched(Lists(Pod=[pod("one")]), metrics.open("http://reader:secret@prometheus.test"))
    with capture_logs() as log:
        assert "cpuMillicores" not in only(watched)
        only(watched)
        metrics.broken = None
        metrics.cpu = {("", "one"): 1}
        assert only(watched)["cpuMillicores"] == 1000
    assert metrics.asked[0].headers["Authorization"].startswith("Basic ")
    assert "secret" not in str(log)
    assert [line["event"] for line in log] == ["usage cannot be read from Prometheus", "usage can be read again"]
    assert said in log[0]["error"]


def test_a_token_is_sent_and_shown_nowhere() -> None:
    metrics = Metrics(broken=httpx.Response(401, text="unknown token secret-token"))
    with capture_logs() as log:
        only(Watched(Lists(Pod=[pod("one")]), metrics.open(token="secret-token")))
    assert metrics.asked[0].headers["Authorization"] == "Bearer secret-token"
    assert log and "secret-token" not in str(log)


@pytest.mark.parametrize("url", ["prometheus:9090", "ftp://prometheus", "http://", "http://[::1"])
def test_what_is_no_address_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(Stalled, match="--prometheus"):
        Prometheus(url)


@pytest.mark.parametrize(
    ("text", "figure"), [("1834729n", 1.835), ("250u", 0.25), ("100m", 100), ("2", 2000), ("0.5", 500), (3, 3000), ("1e1", 10000)]
)  # fmt: skip
def test_cpu_is_read_in_every_spelling(text: str | int, figure: float) -> None:
    assert millicores(text) == figure


@pytest.mark.parametrize(
    ("text", "figure"), [("131072Ki", 128), ("100Mi", 100), ("2Gi", 2048), ("1048576", 1), ("1M", 0.954), (0, 0), ("1.5Gi", 1536)]
)  # fmt: skip
def test_memory_is_read_in_every_spelling(text: str | int, figure: float) -> None:
    assert mebibytes(text) == figure


def test_a_container_without_sizes_says_none() -> None:
    found = only(Watched(Lists(Pod=[pod("one", containers=[container(resources={})])])))
    assert set(found) == {"name", "restartCount"}
