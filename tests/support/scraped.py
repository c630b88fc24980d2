"""What the kubelets and kube-state-metrics of a cluster export, for a real Prometheus to be filled with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from support.prometheus import Sampled

NOW = datetime(2026, 6, 17, 10, 0, tzinfo=UTC)
END = int(NOW.timestamp())
START = END - 4 * 86400
MIB = 2**20


@dataclass
class World:
    """One cluster. Containers are scraped every ``every`` seconds."""

    labels: dict[str, str] = field(default_factory=dict)
    every: int = 120
    series: list[Sampled] = field(default_factory=list)

    def add(self, name: str, values: Sequence[float], seconds: Sequence[int], **labels: str) -> None:
        self.series.append(Sampled(name, {**self.labels, **labels}, seconds, values))

    def state(self, name: str, value: float = 1.0, *, since: int = START, until: int = END, **labels: str) -> None:
        """What stays as it is; every five minutes is as often as it must be seen."""
        seconds = range(since, until + 1, 300)
        self.add(name, [float(value)] * len(seconds), seconds, **labels)

    def used(
        self,
        namespace: str,
        pod: str,
        container: str,
        cores: Callable[[int], float],
        memory: Callable[[int], float],
        *,
        since: int = START,
        until: int = END,
    ) -> None:
        """CPU and memory as cAdvisor counts them; ``cores`` and ``memory`` by unix second."""
        seconds = range(since, until + 1, self.every)
        total, counter = 0.0, []
        for second in seconds:
            counter.append(round(total, 6))
            total += cores(second) * self.every
        names = {"namespace": namespace, "pod": pod, "container": container, "id": f"/kubepods/{pod}/{container}"}
        self.add("container_cpu_usage_seconds_total", counter, seconds, **names, cpu="total")
        self.add("container_memory_working_set_bytes", [float(memory(s)) for s in seconds], seconds, **names)

    def owned(self, namespace: str, pod: str, kind: str, owner: str, **span: int) -> None:
        names = {"namespace": namespace, "pod": pod, "owner_is_controller": "true"}
        self.state("kube_pod_owner", owner_kind=kind, owner_name=owner, **names, **span)

    def sized(
        self, namespace: str, pod: str, container: str, *, cpu: float, memory: float, init: str = "", **span: int
    ) -> None:
        """Requests, and limits of twice as much."""
        names = {"namespace": namespace, "pod": pod, "container": container}
        for bound, times in (("requests", 1), ("limits", 2)):
            metric = f"kube_pod_{init}container_resource_{bound}"
            self.state(metric, cpu * times, resource="cpu", unit="core", **names, **span)
            self.state(metric, memory * times, resource="memory", unit="byte", **names, **span)


def flat(value: float) -> Callable[[int], float]:
    return lambda _second: value


def burst(usual: float, most: float, *, since: int = END - 6000, until: int = END - 4800) -> Callable[[int], float]:
    """Twenty minutes of more, a few hours ago."""
    return lambda second: most if since <= second < until else usual


def simple(world: World, kind: str, owner: str, pod: str, *, namespace: str = "shop", cores: float = 0.13) -> None:
    """A pod with one container that requests 1 CPU and 1Gi, and uses 130m and 260 MiB: 200m and 400Mi would do."""
    world.owned(namespace, pod, kind, owner)
    world.sized(namespace, pod, "main", cpu=1, memory=1024 * MIB)
    world.used(namespace, pod, "main", flat(cores), flat(260 * MIB))


def shop() -> list[Sampled]:
    """Two workloads over eight days, one of them given far too much: what a page of the docs looks at."""
    world, span = World(every=300), {"since": END - 8 * 86400}
    for pod in ("web-6f7d8c9b5-aaaaa", "web-6f7d8c9b5-bbbbb"):
        world.owned("shop", pod, "ReplicaSet", "web-6f7d8c9b5", **span)
        world.sized("shop", pod, "server", cpu=1, memory=1024 * MIB, **span)
        world.used("shop", pod, "server", flat(0.13), flat(260 * MIB), **span)
    world.owned("shop", "db-0", "StatefulSet", "db", **span)
    world.sized("shop", "db-0", "postgres", cpu=0.5, memory=1024 * MIB, **span)
    world.used("shop", "db-0", "postgres", burst(0.1, 0.39), flat(624 * MIB), **span)
    return world.series
