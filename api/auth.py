"""Who asks, and what they may do (DESIGN §9).

A route declares what it needs, once: ``Annotated[Principal, Depends(needs("scaling:write"))]`` for keys and users,
``Annotated[Agent, Depends(this_agent)]`` for the agent's own routes, which take that agent's token only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from api.errors import Forbidden, Unauthorized
from api.server import Server
from reconciler.model.access import Scope, grants
from reconciler.model.agent import Agent
from reconciler.store.keys import PREFIX


@dataclass(frozen=True)
class Principal:
    """A key or a user. ``clusters``: names or ids that it may see, empty = all of its organization's. ``name`` is for records."""

    id: str
    organization: str
    name: str
    scopes: frozenset[str]
    clusters: tuple[str, ...] = ()

    def sees(self, cluster: str | None, cluster_id: str = "") -> bool:
        """Whether a cluster is within reach; what is in no cluster is so only without an allowlist."""
        return not self.clusters or bool({cluster, cluster_id} & set(self.clusters) - {None, ""})


def server_of(request: Request) -> Server:
    """The server that a request came to."""
    found = request.app.state.server
    assert isinstance(found, Server)
    return found


HasServer = Annotated[Server, Depends(server_of)]


def credential(request: Request) -> str:
    """The key or token of a request, from ``X-API-Key`` or ``Authorization: Bearer``.

    :raises Unauthorized: without one.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "").strip()
    if not given:
        raise Unauthorized(
            "credentials are needed: send Authorization: Bearer <key or token>, or X-API-Key: <key>",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return given


def needs(scope: Scope) -> Callable[[Request, Server], Principal]:
    """The principal of a request, which must hold ``scope``."""

    def principal(request: Request, server: HasServer) -> Principal:
        found = identify(credential(request), server)
        if not grants(found.scopes, scope):
            raise Forbidden(f"the scope {scope} is needed")
        return found

    principal.__name__ = f"needs {scope}"
    return principal


def identify(secret: str, server: Server) -> Principal:
    """:raises Unauthorized: when the key or token is not valid."""
    if not secret.startswith(PREFIX):
        raise Unauthorized("the key or token is not valid")
    key = server.stores.keys.find(secret)
    if key is None:
        raise Unauthorized("the key is not valid, or was revoked")
    return Principal(key.id, key.organization, key.name, frozenset(key.scopes), key.clusters)


def this_agent(agent_id: str, request: Request, server: HasServer) -> Agent:
    """The agent of the path, by its own token.

    :raises Unauthorized: without a token, with one that has expired or is none of ours, or when the agent was deleted.
    :raises Forbidden: with another agent's token.
    """
    named, organization = server.tokens.agent(credential(request), server.clock())
    if named != agent_id:
        raise Forbidden("this token is another agent's: register again to get your own")
    agent = server.stores.agents.find(agent_id)
    if agent is None or agent.organization != organization:
        raise Unauthorized("the agent is not registered any more: register again")
    return agent
