"""Metrics of one process, in a registry of their own (Prometheus). No label says which organization or fleet repo it was."""

from collections.abc import Callable, Mapping
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector

from reconciler import __version__
from reconciler.model.lxc_container import ScaledResource, Scaling

Outcome = Literal["committed", "nothing", "rested", "failed"]
"""``nothing`` to commit; ``rested``: nothing had changed since the last pass, so that it was not worked out again."""

STAGE_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0)
REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """What is counted as it happens. Safe to use from any thread. What the database knows is added to :attr:`registry`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._passes = self._counter("trimtab_passes", "Passes over fleet repos, by how they ended.", "outcome")
        self._commits = self._counter("trimtab_commits", "Commits pushed to fleet repos.")
        self._retries = self._counter(
            "trimtab_push_retries", "Pushes tried again because somebody else's commit had come first."
        )
        self._stages = Histogram(
            "trimtab_pass_stage_seconds",
            "Time of each stage of a pass.",
            ["stage"],
            registry=self.registry,
            buckets=STAGE_BUCKETS,
        )
        self._requests = self._counter(
            "trimtab_http_requests", "Requests, by method, route and status.", "method", "route", "status"
        )
        self._request_seconds = Histogram(
            "trimtab_http_request_seconds",
            "Time from a request to the end of its answer, by route; long polls wait on purpose.",
            ["route"],
            registry=self.registry,
            buckets=REQUEST_BUCKETS,
        )
        self._pulls = self._counter(
            "trimtab_prometheus_pulls", "Times that Prometheus was asked, by how they ended.", "outcome"
        )
        self._pulled = self._counter(
            "trimtab_prometheus_samples", "Samples from Prometheus: stored, or refused as no usage.", "result"
        )
        self._lxc = self._counter(
            "lxc_scaling_actions", "Total scaling actions", "container_id", "action", "resource"
        )  # as the LXC API's document prints it
        Info("trimtab_build", "This Trimtab.", registry=self.registry).info({"version": __version__})
        for outcome in ("committed", "nothing", "rested", "failed"):
            self._passes.labels(outcome)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, labels, registry=self.registry)

    def passed(self, outcome: Outcome, seconds: Mapping[str, float]) -> None:
        """A pass is over; ``seconds`` by stage."""
        self._passes.labels(outcome).inc()
        for stage, time in seconds.items():
            self._stages.labels(stage).observe(time)

    def pulled(self, samples: int, refused: int, *, failed: bool) -> None:
        """Prometheus was asked; how many samples of usage that gave."""
        self._pulls.labels("failed" if failed else "answered").inc()
        self._pulled.labels("stored").inc(samples)
        self._pulled.labels("refused").inc(refused)

    def lxc_scaled(self, vmid: int, action: Scaling, resource: ScaledResource) -> None:
        """Proxmox VE gave a container more or less of something: for a request of the LXC API, or for a pass."""
        self._lxc.labels(str(vmid), action, resource).inc()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request is over. ``route``: its template, empty where there is none; ``status`` 0: the client left before."""
        named = route or "unmatched"
        known = method if method in _METHODS else "other"
        self._requests.labels(known, named, str(status or 499)).inc()
        self._request_seconds.labels(named).observe(seconds)

    def steps(self) -> Callable[[str], None]:
        """What to tell the steps of one fleet repo's passes and rollbacks to, so that commits and retries are counted."""
        written = 0

        def step(name: str) -> None:
            nonlocal written
            if name == "retry":
                self._retries.inc()
            elif name == "pushed":
                self._commits.inc(written)
            elif name.startswith("commit "):
                written += 1
                return
            elif name == "push":
                return
            written = 0

        return step
