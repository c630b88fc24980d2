"""A server over a real fleet repo, in this process, on a clock that the test sets."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from pydantic import SecretStr

from api.app import create_app
from api.serve import open_server
from api.server import Server
from reconciler.model.access import SCOPES, Scope
from reconciler.settings import Settings
from reconciler.steps.house import House
from reconciler.steward import Steward
from support.fleets import FleetRepo
from support.replay import NOW


@dataclass
class SetClock:
    """Stands still until it is moved."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Served:
    """``client`` has a key with every scope in organization acme. No pass runs but by :meth:`reconcile`."""

    server: Server
    client: TestClient
    clock: SetClock
    settings: Settings

    def key(self, *scopes: Scope, organization: str = "acme", clusters: tuple[str, ...] = ()) -> dict[str, str]:
        """The header of a new key."""
        created = self.server.stores.keys.create(organization, "test", scopes, clusters, self.clock())
        return {"Authorization": f"Bearer {created[0]}"}

    @property
    def steward(self) -> Steward:
        return self.server.stewards[0]

    def reconcile(self) -> None:
        """One pass of each steward, now, on everything that was pushed; :raises: what it raises."""
        from reconciler import loop

        self.server.flush()
        for steward in self.server.stewards:

            def one(house: House, keeper: Steward = steward) -> None:
                loop.reconcile(house)
                keeper.read(house)

            steward.ask(one).result(timeout=60)

    def agent(self, name: str = "prod", platform: str = "kubernetes", **more: str) -> tuple[str, dict[str, str]]:
        """A registered agent's id and the header with its token."""
        body = {"name": name, "version": "1.0", "platform": platform, "hostname": f"{name}-01", **more}
        answer = self.client.post("/api/v1/agents/register", json=body).json()
        return answer["agentId"], {"Authorization": f"Bearer {answer['token']}"}


@contextmanager
def serving(
    home: Path, *fleets: FleetRepo, database_url: str = "", clock: SetClock | None = None, **more: Any
) -> Iterator[Served]:
    """Serve ``fleets``; passes run only when the test says so. ``more``: settings."""
    clock = clock or SetClock()
    settings = Settings(
        fleet=",".join(str(fleet.bare) for fleet in fleets),
        database_url=SecretStr(database_url),
        state_dir=home / "server",
        **{"rate_limit": "100000/minute", **more},
    )
    with open_server(settings, interval=3600, passes=False, clock=clock) as server:
        for steward in server.stewards:
            steward.ask(steward.read).result(timeout=60)
        key, _ = server.stores.keys.create("acme", "all", tuple(SCOPES), (), clock())
        client = TestClient(
            create_app(server), headers={"Authorization": f"Bearer {key}"}, raise_server_exceptions=False
        )
        yield Served(server, client, clock, settings)
