"""Under which key a cluster or a host pool is observed.

What agents push is kept by cluster, and a fleet repo's passes read it by the names that its trimtab.yaml declares. So a
name that is declared by a fleet repo of the agent's own organization is the key as it is; every other one is kept apart
under its organization, where no name that is declared anywhere can be: those hold no slash, but for ``docker/<pool>``.
"""

from dataclasses import dataclass
from urllib.parse import quote

from api.server import Server
from reconciler.model.agent import Agent, Platform
from reconciler.steward import Steward

DOCKER = "docker"


@dataclass(frozen=True)
class Place:
    """Where pushes go: the key, and who keeps the fleet repo that declares it (None = nobody does)."""

    key: str
    steward: Steward | None = None


def observed_as(server: Server, organization: str, platform: Platform, cluster: str, host_pool: str) -> str:
    """The key of an agent's cluster, or on Docker of its host pool: ``prod``, ``docker/web-pool``; where no fleet repo
    of the organization declares it, ``acme/prod``, ``acme/docker/web-pool``."""
    return place_of(server, organization, platform, cluster, host_pool).key


def place_of(server: Server, organization: str, platform: Platform, cluster: str, host_pool: str) -> Place:
    """:func:`observed_as`, and the steward whose policies depend on it."""
    if platform == DOCKER:
        steward = server.host_pool(organization, host_pool)
        key = f"{DOCKER}/{host_pool}"
        return Place(key, steward) if steward is not None else Place(f"{_apart(organization)}/{key}")
    found = server.cluster(organization, cluster)
    return Place(found[1].name, found[0]) if found is not None else Place(f"{_apart(organization)}/{cluster}")


def _apart(organization: str) -> str:
    """One word without a slash for each organization, and never the one that declared host pools begin with."""
    return "%64ocker" if organization == DOCKER else quote(organization, safe="")


class Places:
    """Places as they were found, until a fleet repo's head moves: its trimtab.yaml may declare others then."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._heads: tuple[object, ...] = ()
        self._found: dict[tuple[str, Platform, str, str], Place] = {}

    def look(self) -> None:
        """Forget what was found when a fleet repo has changed since."""
        heads = tuple((steward.watch.head, steward.watch.fleet is None) for steward in self._server.stewards)
        if heads != self._heads:
            self._heads = heads
            self._found.clear()

    def of(self, agent: Agent, host_pool: str = "") -> Place:
        """The place of an agent's own cluster or host pool, or of another host pool that its containers name."""
        key = (agent.organization, agent.platform, agent.cluster, host_pool or agent.host_pool)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = place_of(self._server, *key)
        return found
