"""An applier over a cluster double: rounds as the agent makes them, without a server."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

from reconciler.agent.kubernetes.applying import Applier, Outcome
from reconciler.agent.kubernetes.cluster import Cluster, NoSuchKind, ObjectKey
from reconciler.agent.kubernetes.snapshot import Snapshot, key_of, trimmed
from reconciler.agent.link import Desired
from reconciler.agent.options import KubernetesOptions
from reconciler.model.agent import ObjectStatus, RootStatus
from support.kube_double import kube_double
from support.served import SetClock

Json = dict[str, Any]

KINDS = (
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "CronJob"),
    ("v1", "ResourceQuota"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
)
WEB = ObjectKey("apps/v1", "Deployment", "shop", "web")
HPA = ObjectKey("autoscaling/v2", "HorizontalPodAutoscaler", "shop", "web")
INVENTORY = ObjectKey("v1", "ConfigMap", "trimtab-system", "trimtab-inventory-prod")
ROOTS = ({"path": "clusters/prod", "namespace": "default", "sync": "agent"},)


class Told:
    """The server's side: ``git`` is what the tree says without the overlay, by (kind, name) and dotted path."""

    def __init__(self) -> None:
        self.git: dict[tuple[str, str], dict[str, Any]] = {}
        self.away: Exception | None = None
        self.asked: list[Json] = []
        self.reports: list[tuple[str, tuple[ObjectStatus, ...], tuple[RootStatus, ...]]] = []

    def base(self, revision: str, fields: Sequence[Mapping[str, Any]]) -> list[Json]:
        self.asked += [{**one, "revision": revision} for one in fields]
        if self.away is not None:
            raise self.away
        return [self._of(dict(one)) for one in fields]

    def _of(self, asked: Json) -> Json:
        known = self.git.get((asked["kind"], asked["name"]))
        values = [
            {"path": path, "value": (known or {})[dotted]}
            if (dotted := ".".join(path)) in (known or {})
            else {"path": path}
            for path in asked.pop("paths")
        ]
        return {**asked, "found": known is not None, "values": values}

    def report(self, revision: str, objects: Sequence[ObjectStatus], roots: Sequence[RootStatus] = ()) -> None:
        if self.away is not None:
            raise self.away
        self.reports.append((revision, tuple(objects), tuple(roots)))


@dataclass
class World:
    """``round`` is one round of the agent; ``restarted`` another process of it."""

    double: Any
    cluster: Any
    told: Told = field(default_factory=Told)
    clock: SetClock = field(default_factory=SetClock)
    dry_run: bool = False

    def __post_init__(self) -> None:
        self.restarted()

    def restarted(self, cluster: Any = None) -> None:
        options = KubernetesOptions(cluster="prod", dry_run=self.dry_run)
        self.applier = Applier(
            cluster or self.cluster, self.told, options, clock=self.clock, say=structlog.get_logger("test")
        )

    def seen(self) -> Snapshot:
        objects, kinds = {}, set()
        for api_version, kind in KINDS:
            try:
                for item in self.cluster.list(api_version, kind):
                    objects[key_of(api_version, kind, item)] = trimmed(api_version, kind, item)
                kinds.add((api_version, kind))
            except NoSuchKind:
                continue
        return Snapshot(objects, frozenset(kinds))

    def round(
        self, *manifests: Json, revision: str = "a" * 40, roots: Sequence[Json] = ROOTS, repository: str = ""
    ) -> Outcome:
        """List, apply and report; 15 seconds go by."""
        desired = Desired(revision, "prod", manifests, tuple(roots), repository, True)
        outcome = self.applier.step(desired, self.seen())
        self.applier.report(outcome)
        self.clock.forward(seconds=15)
        return outcome

    def live(self, key: ObjectKey = WEB) -> Json:
        found = self.cluster.get(key)
        assert found is not None, key
        return dict(found)

    def writes(self) -> list[Any]:
        return [one for one in self.double.requests if one.method != "GET"]

    @property
    def statuses(self) -> dict[str, str]:
        """Kind and status of what the server was told last."""
        return {one.kind: one.status for one in self.told.reports[-1][1]}


@contextmanager
def world(*, dry_run: bool = False) -> Iterator[World]:
    """A cluster with the namespaces ``shop`` and ``trimtab-system``."""
    with kube_double() as double:
        for name in ("shop", "trimtab-system"):
            double.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        cluster = Cluster.open(kubeconfig=str(double.kubeconfig), sleep=lambda _: None)
        yield World(double, cluster, dry_run=dry_run)
        cluster.close()


# --- what Git says ---------------------------------------------------------------------------------------------------


def fields(kind: str = "Deployment", api_version: str = "apps/v1", name: str = "web", **spec: Any) -> Json:
    """A partial object as the server sends it."""
    metadata = {"annotations": {"trimtab.dev/owns": "fields"}, "name": name, "namespace": "shop"}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def requests(cpu: str, **spec: Any) -> Json:
    """``web`` with our CPU request."""
    containers = [{"name": "server", "resources": {"requests": {"cpu": cpu}}}]
    return fields(template={"spec": {"containers": containers}}, **spec)


def hpa(most: int = 10, name: str = "web") -> Json:
    """The HPA of ``web``."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "annotations": {"trimtab.dev/owns": "object", "trimtab.dev/policy": "scp_1"},
            "name": name,
            "namespace": "shop",
        },
        "spec": {
            "minReplicas": 2,
            "maxReplicas": most,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
                }
            ],
        },
    }


# --- what people have ------------------------------------------------------------------------------------------------


def web(*, replicas: int | None = 3, cpu: str = "100m", name: str = "web") -> Json:
    """A person's Deployment."""
    spec: Json = {
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {
                "containers": [
                    {"name": "server", "image": "web:1", "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}}},
                    {"name": "sidecar", "image": "sidecar:1"},
                ]
            },
        },
    }
    metadata = {"name": name, "namespace": "shop"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": spec if replicas is None else {"replicas": replicas, **spec},
    }


def cpu_of(live: Mapping[str, Any]) -> str | None:
    """The CPU request of the container ``server``."""
    server = next(one for one in live["spec"]["template"]["spec"]["containers"] if one["name"] == "server")
    value = server.get("resources", {}).get("requests", {}).get("cpu")
    return None if value is None else str(value)
