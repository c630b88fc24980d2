"""Heartbeats: who looks after which cluster, and how they are, as values to be stored."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from reconciler import __version__
from reconciler.model.agent import Agent
from reconciler.model.fleet import Fleet
from reconciler.model.run import Heartbeat

KEPT = timedelta(days=30)
"""Older heartbeats are forgotten."""

RECONCILER = "reconciler"


def of_reconciler(fleet: Fleet, *, degraded: bool, at: datetime, processed: Mapping[str, int]) -> list[Heartbeat]:
    """One for each cluster of a fleet. ``degraded``: its fleet repo cannot be used at the moment.

    ``at``: the tick, so that of several servers on one database the same heartbeat comes. ``processed``: completed actions.
    """
    return [
        Heartbeat(
            organization=fleet.name,
            cluster=cluster.name,
            controller=RECONCILER,
            at=at,
            status="degraded" if degraded else "healthy",
            version=__version__,
            actions_processed=processed.get(cluster.name, 0),
        )
        for cluster in fleet.clusters
    ]


def of_agents(
    agents: Iterable[Agent], fleets: Iterable[Fleet], *, now: datetime, processed: Mapping[str, int]
) -> list[Heartbeat]:
    """One for each agent, at the instant when it was last heard of: as long as that stands, it is the same heartbeat."""
    names = {cluster.id: cluster.name for fleet in fleets for cluster in fleet.clusters if cluster.id}
    found = []
    for agent in agents:
        if agent.last_seen > now - KEPT:
            cluster = names.get(agent.cluster, agent.cluster) or agent.host_pool
            found.append(_of_agent(agent, cluster, now, processed.get(cluster, 0)))
    return found


def _of_agent(agent: Agent, cluster: str, now: datetime, processed: int) -> Heartbeat:
    return Heartbeat(
        organization=agent.organization,
        cluster=cluster,
        controller=agent.id,
        at=agent.last_seen,
        status="healthy" if agent.status(now) == "connected" else "stale",
        version=agent.version,
        actions_processed=processed,
    )
