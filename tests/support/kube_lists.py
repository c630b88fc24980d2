"""A cluster that can only be listed: its objects are set by the test, and each kind may be made to fail."""

from collections.abc import Iterator
from typing import Any

import structlog

from reconciler.agent.kubernetes.answers import NoSuchKind, Unreachable
from reconciler.agent.kubernetes.kinds import Listing
from reconciler.agent.kubernetes.observing import Observed, Observer
from reconciler.agent.kubernetes.prometheus import Prometheus
from reconciler.agent.kubernetes.usage import Meter

BUILT_IN = (
    "Pod", "Node", "Deployment", "StatefulSet", "DaemonSet", "CronJob", "ResourceQuota", "LimitRange",
    "HorizontalPodAutoscaler", "PodDisruptionBudget",
)  # fmt: skip


class Lists:
    """``objects`` by kind; what is in ``errors`` fails. ``asked``: the kinds that were listed, in order."""

    def __init__(self, **objects: list[dict[str, Any]]) -> None:
        self.objects: dict[str, list[dict[str, Any]]] = {kind: [] for kind in BUILT_IN} | objects
        self.errors: dict[str, Exception] = {}
        self.asked: list[str] = []
        self.away = False

    def list(self, api_version: str, kind: str) -> Iterator[dict[str, Any]]:
        self.asked.append(kind)
        if self.away:
            raise Unreachable("connection refused", after_seconds=1)
        if kind not in self.objects:
            raise NoSuchKind(f"the cluster does not serve {kind} of {api_version}")
        yield from self.objects[kind][:1]
        if kind in self.errors:
            raise self.errors[kind]
        yield from self.objects[kind][1:]


class Watched:
    """An observer of ``cluster``, on a stopwatch that the test moves."""

    def __init__(self, cluster: Lists, prometheus: Prometheus | None = None) -> None:
        self.seconds = 0.0
        say = structlog.get_logger("test")
        listing = Listing(cluster, say, lambda: self.seconds)
        self.observer = Observer(listing, Meter(listing, prometheus, say))

    def observe(self, after: float = 0.0) -> Observed:
        self.seconds += after
        return self.observer.observe()
