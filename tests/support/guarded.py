"""A served fleet whose one workload a right-sizing action has just made smaller: what the guard looks after."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from reconciler.model.change import Change
from reconciler.model.observation import PushBody
from reconciler.store.observations import Incoming
from support.fleets import RIGHTSIZE, FleetRepo, fleet_yaml, new_fleet
from support.served import Served, serving
from support.small import ROOT, root_files

SIZES = "{requests: {cpu: 500m, memory: 4Gi}, limits: {cpu: 500m, memory: 4Gi}}"


def guarded_fleet(home: Path, *, cluster: str = f"{{name: prod, path: {ROOT}}}", extra: str = "") -> FleetRepo:
    """One Deployment ``shop/web`` that asks for half a core and 4Gi, and an action that right-sizes it."""
    files = root_files(ROOT)
    path = f"{ROOT}/apps/web.yaml"
    files[path] = files[path].replace("{requests: {cpu: 100m, memory: 64Mi}}", SIZES)
    files["trimtab.yaml"] = fleet_yaml(cluster, extra=extra)
    files["actions/rightsize.yaml"] = RIGHTSIZE
    return new_fleet(home, files)


@dataclass
class Sized:
    """``agent``: id and header. Time goes by with every push."""

    served: Served
    repo: FleetRepo
    agent: tuple[str, dict[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        self.agent = self.served.agent("prod", cluster="prod")

    def used(self, samples: int = 400, **container: object) -> None:
        """A history of usage far below what is asked for, up to now."""
        now, bodies = self.served.clock(), []
        for back in range(samples, 0, -1):
            bodies.append(self.body(now - timedelta(minutes=10 * back), **container))
        batch = [Incoming(PushBody.model_validate(body), "prod", "history") for body in bodies]
        self.served.server.stores.record_pushes(batch)
        self.served.server.stores.recorded()

    def body(self, at: datetime, pod: str = "web-old", **container: object) -> dict[str, Any]:
        one = {"name": "server", "cpuMillicores": 30, "memoryMB": 600, **container}
        return {
            "timestamp": at.isoformat(),
            "pods": [
                {
                    "namespace": "shop",
                    "name": pod,
                    "uid": pod,
                    "ownerKind": "ReplicaSet",
                    "ownerName": "web-6f7d8c9b5",
                    "containers": [one],
                }
            ],
            "workloads": [
                {"namespace": "shop", "kind": "Deployment", "name": "web", "replicas": 1, "readyReplicas": 1}
            ],
        }

    def push(self, pod: str = "web-new", *, minutes: float = 1, **container: object) -> None:
        """One push, some time after the last one."""
        self.served.clock.forward(minutes=minutes)
        body = self.body(self.served.clock(), pod, **container)
        answer = self.served.client.post(f"/api/v1/agents/{self.agent[0]}/push", json=body, headers=self.agent[1])
        assert answer.status_code == 200, answer.text

    def report(self, revision: str = "", *objects: dict[str, Any], roots: list[dict[str, Any]] | None = None) -> None:
        """A status report that was gone through, a second after the last push."""
        self.served.clock.forward(seconds=1)
        body = {"revision": revision or self.repo.head(), "objects": list(objects), "roots": roots or []}
        path = f"/api/v1/agents/{self.agent[0]}/scaling/status"
        answer = self.served.client.post(path, json=body, headers=self.agent[1])
        assert answer.status_code == 200, answer.text
        self.served.steward.ask(lambda _house: None).result(timeout=60)

    def changes(self) -> tuple[Change, ...]:
        """The newest first."""
        return self.served.server.stores.changes.list(self.served.steward.watch.url)

    def change(self, change_id: str) -> dict[str, Any]:
        """As the API shows it."""
        found: dict[str, Any] = self.served.client.get(f"/api/v1/changes/{change_id}").json()
        return found

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.served.client.get("/api/v1/status").json()["fleets"][0]
        return found


@contextmanager
def sized(home: Path, database_url: str = "", **fleet: str) -> Iterator[Sized]:
    """Right-sized in one commit, which nobody has reported yet."""
    repo = guarded_fleet(home, **fleet)
    with serving(home, repo, database_url=database_url) as served:
        one = Sized(served, repo)
        one.used()
        served.reconcile()
        assert [change.kind for change in one.changes()] == ["requests"], one.status()
        yield one


def applied(health: str = "healthy", status: str = "applied", **more: str) -> dict[str, Any]:
    """What an agent says of the workload."""
    named = {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web"}
    return {**named, "status": status, "message": "", "health": health, **more}
