"""Agents: register, push, list, delete."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Request, Response

from api.agents.observed import DOCKER, observed_as, place_of
from api.agents.push import FromBytes, push
from api.agents.schemas import REGISTRATION_EXAMPLES, AgentView, PushAnswer, Registered, Registration
from api.auth import HasServer, Principal, needs, porter_of
from api.errors import Forbidden, NotFound, documented
from api.server import Server
from api.tokens import LIFETIME
from reconciler.model.agent import Agent, Platform

router = APIRouter(prefix="/api/v1/agents", tags=["Agents"])

Registrar = Annotated[Principal, Depends(needs("agents:register"))]
Reader = Annotated[Principal, Depends(needs("agents:read"))]
Writer = Annotated[Principal, Depends(needs("agents:write"))]


NOTICE = "Trimtab-Notice"
"""A header: what keeps the agent from being of use, for whoever reads its log."""

_SHOWN = 10


@router.post("/register", summary="Register an agent", responses=documented(400, 401, 403, 503))
def register(
    request: Request,
    response: Response,
    body: Annotated[Registration, Body(openapi_examples=REGISTRATION_EXAMPLES)],
    principal: Registrar,
    server: HasServer,
) -> Registered:
    """An id and a token for an hour. Registering again, with the same names, is the same agent with a new token."""
    docker = body.platform == DOCKER
    cluster = "" if docker else body.cluster or body.name
    host_pool = (body.host_pool or body.name) if docker else ""
    _refuse_out_of_reach(server, principal, body, cluster, host_pool)
    agent = server.stores.agents.register(
        organization=principal.organization,
        platform=body.platform,
        name=body.name,
        hostname=body.hostname,
        version=body.version,
        cluster=cluster,
        host_pool=host_pool,
        observed_as=observed_as(server, principal.organization, body.platform, cluster, host_pool),
        at=server.clock(),
    )
    porter_of(request).forget_agent(agent.id)
    token = server.tokens.for_agent(agent.id, principal.organization, server.clock(), key=principal.key)
    if docker and (notice := _unknown_pool(server, agent)):
        response.headers[NOTICE] = notice
    return Registered(agent_id=agent.id, token=token, token_expires_in=int(LIFETIME.total_seconds()))


router.add_api_route(
    "/{agent_id}/push",
    push,
    methods=["POST"],
    summary="Push metrics",
    response_model=PushAnswer,
    responses=documented(400, 401, 403, 503),
    route_class_override=FromBytes,
)


@router.get("", summary="List agents", responses=documented(401, 403, 503))
def list_agents(principal: Reader, server: HasServer) -> list[AgentView]:
    """All agents of the organization, in the order of their names."""
    server.flush()
    now = server.clock()
    mine = server.stores.agents.list(principal.organization)
    return [AgentView.of(agent, now) for agent in mine if _sees(server, principal, agent)]


@router.delete(
    "/{agent_id}",
    status_code=204,
    response_class=Response,
    summary="Delete an agent",
    responses=documented(401, 403, 404, 503),
)
def delete_agent(request: Request, agent_id: str, principal: Writer, server: HasServer) -> None:
    """Its metrics go with it, and its token ends. What several agents have recorded of one cluster stays."""
    agent = server.stores.agents.find(agent_id)
    if agent is None or agent.organization != principal.organization or not _sees(server, principal, agent):
        raise NotFound(f"there is no agent {agent_id!r}")
    server.stores.agents.delete(principal.organization, agent_id)
    porter_of(request).forget_agent(agent_id)
    place = place_of(server, agent.organization, agent.platform, agent.cluster, agent.host_pool)
    if place.steward is not None:
        server.nudge([place.steward])


def _refuse_out_of_reach(
    server: Server, principal: Principal, body: Registration, cluster: str, host_pool: str
) -> None:
    """:raises Forbidden: when the key's clusters do not hold the agent's, or the one that it has been registered with."""
    if not principal.clusters:
        return
    before = server.stores.agents.named(principal.organization, body.platform, body.name, body.hostname)
    if not _reaches(server, principal, body.platform, cluster, host_pool):
        raise Forbidden(f"the key is for other clusters than {cluster or host_pool!r}", field="cluster")
    if before is not None and not _sees(server, principal, before):
        raise Forbidden("an agent of these names is registered for a cluster that the key is not for", field="name")


def _unknown_pool(server: Server, agent: Agent) -> str:
    """What to say where no fleet repo declares the agent's host pool. Nothing while none could be read: who knows."""
    pools = sorted({pool.name for _, fleet in server.fleets(agent.organization) for pool in fleet.host_pools})
    if not server.of(agent.organization) or agent.host_pool in pools:
        return ""
    there = f"there is {', '.join(pools[:_SHOWN])}{', ...' if pools[_SHOWN:] else ''}" if pools else "there is none yet"
    said = (
        f"no fleet repo declares the host pool {agent.host_pool!r} ({there}), so that nothing is done on this host: "
        "check --host-pool, or name it under spec.hostPools of trimtab.yaml"
    )
    return said.encode("ascii", "backslashreplace").decode()  # a header has no other letters


def _sees(server: Server, principal: Principal, agent: Agent) -> bool:
    return _reaches(server, principal, agent.platform, agent.cluster, agent.host_pool)


def _reaches(server: Server, principal: Principal, platform: Platform, cluster: str, host_pool: str) -> bool:
    """Clusters by name or id; a host pool is no cluster, and only within an allowlist that names it ``docker/<pool>``."""
    if platform == DOCKER:
        return principal.sees(f"{DOCKER}/{host_pool}")
    found = server.cluster(principal.organization, cluster)
    return principal.sees(found[1].name, found[1].id) if found is not None else principal.sees(cluster)
