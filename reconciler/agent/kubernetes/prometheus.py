"""Usage and throttling from a Prometheus, or any server with its HTTP API: one question each for all pods of the cluster.

Metrics: cAdvisor's, as the kubelet exports them. API: https://prometheus.io/docs/prometheus/latest/querying/api/.
No message has the token, or the user and password of the URL, in it.
"""

from collections.abc import Mapping
from typing import Any

import httpx
from pydantic_core import from_json

from reconciler.errors import RetryLater, Stalled

Key = tuple[str, str, str]
"""Namespace, pod and container."""

_RUNNING = 'container!="",container!="POD"'
"""Containers, and neither pods as a whole nor what holds a pod's network."""

_WINDOW = "3m"
"""Long enough for two scrapes a minute apart, of which one was missed."""

_BY = "cluster, namespace, pod, container"

CPU = f"max by ({_BY}) (rate(container_cpu_usage_seconds_total{{{_RUNNING}}}[{_WINDOW}]))"
MEMORY = f"max by ({_BY}) (container_memory_working_set_bytes{{{_RUNNING}}})"
THROTTLED = (
    f"max by ({_BY}) (rate(container_cpu_cfs_throttled_periods_total{{{_RUNNING}}}[{_WINDOW}])"
    f" / rate(container_cpu_cfs_periods_total{{{_RUNNING}}}[{_WINDOW}]))"
)
"""The share of the scheduler's periods in which a container was held back by its CPU limit."""

_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_AFTER_SECONDS = 15.0


class PrometheusAway(RetryLater):
    """It did not answer, or with what is no answer."""


class Prometheus:
    """One server. ``cluster``: what its series have as ``cluster`` where it holds those of several."""

    def __init__(self, url: str, *, cluster: str = "", token: str = "", client: httpx.Client | None = None) -> None:
        """:raises Stalled: when ``url`` is no address."""
        given = _checked(url)
        self.url = str(given.copy_with(userinfo=b"")).rstrip("/")
        self._cluster = cluster
        named = bool(given.username) and not token
        self._auth: httpx.Auth = httpx.BasicAuth(given.username, given.password) if named else httpx.Auth()
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = client or httpx.Client(timeout=_TIMEOUT)

    def close(self) -> None:
        self._client.close()

    def ask(self, promql: str) -> dict[Key, float]:
        """The newest value of each container.

        :raises PrometheusAway: when there is none to be had now
        """
        try:
            answer = self._client.post(
                f"{self.url}/api/v1/query", data={"query": promql}, auth=self._auth, headers=self._headers
            )
        except httpx.HTTPError as error:
            raise self._away(f"does not answer: {str(error) or type(error).__name__}") from None
        if answer.status_code in (401, 403):
            raise self._away(f"answered {answer.status_code}: it does not let the agent ask")
        if answer.status_code != httpx.codes.OK:
            raise self._away(f"answered {answer.status_code}")
        try:
            return self._ours(from_json(answer.content, cache_strings="keys")["data"]["result"])
        except (ValueError, KeyError, TypeError, IndexError):
            raise self._away("sent something that is no answer of a Prometheus") from None

    def _ours(self, result: list[Mapping[str, Any]]) -> dict[Key, float]:
        """Of the agent's cluster, where the series say which they are of."""
        clusters = {series["metric"].get("cluster", "") for series in result}
        foreign = clusters - {self._cluster} if self._cluster in clusters else set[str]()
        found = {}
        for series in result:
            labels, value = series["metric"], float(series["value"][1])
            if labels.get("cluster", "") in foreign or not 0 <= value < float("inf"):
                continue
            found[labels["namespace"], labels["pod"], labels["container"]] = value
        return found

    def _away(self, what: str) -> PrometheusAway:
        return PrometheusAway(
            f"Prometheus at {self.url} {what}",
            after_seconds=_AFTER_SECONDS,
            hint="look at --prometheus, and at whether the agent may reach it",
        )


def _checked(url: str) -> httpx.URL:
    """The URL is not repeated where it cannot be read: it may have a password in it."""
    hint = "write it as http://prometheus.monitoring:9090"
    try:
        given = httpx.URL(url.strip())
    except httpx.InvalidURL:
        raise Stalled("--prometheus is not a URL", hint=hint) from None
    if given.scheme not in ("http", "https") or not given.host:
        raise Stalled("--prometheus does not begin with http:// or https:// and a host", hint=hint)
    return given
