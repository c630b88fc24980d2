"""Who asks, and what they may do (DESIGN §9).

A route declares what it needs, once: ``Annotated[Principal, Depends(needs("scaling:write"))]`` for keys and users,
``Annotated[Agent, Depends(this_agent)]`` for the agent's own routes, which take that agent's token only. Both are
for plain and async routes: what is remembered is answered at once, the rest is looked up in a thread. Both count the
request against the rate limit of who makes it.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, TypeVar

import anyio
from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from api.errors import BadRequest, Forbidden, Lapsed, Unauthorized
from api.limits import Limits
from api.server import Server
from api.tokens import Recent
from reconciler.errors import RetryLater
from reconciler.model.access import Scope, grants
from reconciler.model.agent import Agent
from reconciler.store.keys import PREFIX

REMEMBERED = timedelta(seconds=5)
"""A key, and that an agent is registered, is looked up again after this: a revoked key works for so long at most."""

WHILE_AWAY = timedelta(minutes=15)
"""While the database is away, an agent that was registered this long ago still is, so that its pushes reach the buffer."""

OR_BY_QUERY = " or by query"
"""Ends the name of the security scheme of what takes a key as ``?api_key=``, too."""

QUERY_KEY = "api_key"

BY_BEARER = " by bearer"
"""Ends the name of the security scheme of what is asked for by ``Authorization: Bearer`` only."""

_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_KEY_HEADER = b"x-api-key"
_KNOWN = "known_principal"
"""Where a request keeps who makes it."""
_KEPT = 10_000
_LOOKUPS_AT_ONCE = 4

T = TypeVar("T")


@dataclass(frozen=True)
class Principal:
    """A key or a user. ``clusters``: names or ids that it may see, empty = all of its organization's. ``name`` is for records."""

    id: str
    organization: str
    name: str
    scopes: frozenset[str]
    clusters: tuple[str, ...] = ()
    key: str = ""
    """Id of the key; empty for a user."""

    def sees(self, cluster: str | None, cluster_id: str = "") -> bool:
        """Whether a cluster is within reach; what is in no cluster is so only without an allowlist."""
        return not self.clusters or bool({cluster, cluster_id} & set(self.clusters) - {None, ""})


def server_of(request: Request) -> Server:
    """The server that a request came to."""
    found = request.app.state.server
    assert isinstance(found, Server)
    return found


async def _server(request: Request) -> Server:
    return server_of(request)


HasServer = Annotated[Server, Depends(_server)]


def credential(request: Request, *, bearer_only: bool = False, query_key: bool = False) -> str:
    """The key or token of a request, from ``X-API-Key`` or ``Authorization: Bearer``; or from the latter alone. With
    ``query_key`` from ``?api_key=``, too.

    :raises Unauthorized: without one.
    :raises BadRequest: with two that differ.
    """
    headers = request.scope["headers"]
    given = {_sent(name, value) for name, value in headers if not (bearer_only and name == _KEY_HEADER)} - {""}
    if query_key:
        given |= {value.strip() for value in request.query_params.getlist(QUERY_KEY)} - {""}
    if len(given) > 1:
        raise BadRequest("two different credentials were sent: send Authorization: Bearer, or X-API-Key, not both")
    if not given:
        other = "" if bearer_only else ", or X-API-Key: <key>"
        raise Unauthorized(
            f"credentials are needed: send Authorization: Bearer <key or token>{other}", headers=_CHALLENGE
        )
    return given.pop()


def _sent(name: bytes, value: bytes) -> str:
    if name == _KEY_HEADER:
        return value.strip().decode("latin-1")
    if name == b"authorization":
        scheme, _, token = value.partition(b" ")
        return token.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""
    return ""


class Porter:
    """Knows who comes in: one for each application, with what it remembers of keys and agents, and the rate limits."""

    def __init__(self, server: Server) -> None:
        """:raises InputError: when the rate limit in the settings cannot be read."""
        self._server = server
        self._limits = Limits(
            server.settings.rate_limit,
            server.clock,
            {
                "recommendations": server.settings.recommendations_rate_limit,
                "lxc": server.settings.lxc_rate_limit,
            },
        )
        self._keys: Recent[str, tuple[Principal, datetime]] = Recent(_KEPT)
        self._agents: Recent[str, tuple[Agent, datetime]] = Recent(_KEPT)
        self._standing: Recent[str, tuple[bool, datetime]] = Recent(_KEPT)
        self._once_good: Recent[str, bool] = Recent(_KEPT)
        self._threads = anyio.CapacityLimiter(_LOOKUPS_AT_ONCE)

    async def principal(
        self, request: Request, family: str = "", *, bearer_only: bool = False, query_key: bool = False
    ) -> Principal:
        """Who asks, by a key or a user's token, within the rate limit; a request is counted once, whoever asks for it.

        ``family``: of the route that is asked for, where that has a rate limit of its own. ``bearer_only``: its document
        knows no ``X-API-Key``. ``query_key``: it knows ``?api_key=``.
        """
        known = request.scope["state"].get(_KNOWN)
        if isinstance(known, Principal):
            return known
        address = _address(request)
        try:
            secret = credential(request, bearer_only=bearer_only, query_key=query_key)
            digest = hashlib.sha256(secret.encode()).hexdigest()
            found = _fresh(self._keys.get(digest), self._server.clock())
            if found is None:
                if self._once_good.get(digest) is None:
                    self._limits.guessing(address)
                found = await anyio.to_thread.run_sync(self._look_up, secret, digest, limiter=self._threads)
        except Unauthorized as error:
            raise self._failed(error, address) from None
        request.scope["state"].update(organization=found.organization, principal=found.id)
        self._limits.count("principal", found.id, family)
        request.scope["state"][_KNOWN] = found
        return found

    def _look_up(self, secret: str, digest: str) -> Principal:
        try:
            found = identify(secret, self._server)
        except Unauthorized:
            self._once_good.drop(digest)
            raise
        if secret.startswith(PREFIX):
            self._keys.put(digest, (found, self._server.clock()))
        self._once_good.put(digest, True)
        return found

    async def agent(self, request: Request, agent_id: str) -> Agent:
        """The agent of that id, by its own token, within the rate limit."""
        try:
            now = self._server.clock()
            token = _agent_token(request)
            named, organization = self._server.tokens.agent(token, now)
            request.scope["state"].update(organization=organization, principal=named, routine=True)
            self._limits.count("agent", named)
            if named != agent_id:
                raise Forbidden("this token is another agent's: register again to get your own")
            agent = _fresh(self._agents.get(agent_id), now)
            if agent is None:
                agent = await anyio.to_thread.run_sync(self._look_up_agent, agent_id, limiter=self._threads)
            if agent.organization != organization:
                raise _gone()
            await self._check_key(self._server.tokens.key_of(token), now)
        except Unauthorized as error:
            raise self._failed(error, _address(request)) from None
        return agent

    def _look_up_agent(self, agent_id: str) -> Agent:
        try:
            agent = self._server.stores.agents.find(agent_id)
        except RetryLater:
            if known := _fresh(self._agents.get(agent_id), self._server.clock(), WHILE_AWAY):
                return known
            raise
        if agent is None:
            self._agents.drop(agent_id)
            raise _gone()
        self._agents.put(agent_id, (agent, self._server.clock()))
        return agent

    async def _check_key(self, key_id: str, now: datetime) -> None:
        """:raises Lapsed: when the key was revoked that an agent has registered with; its token ends with it."""
        if not key_id:
            return
        stands = _fresh(self._standing.get(key_id), now)
        if stands is None:
            stands = await anyio.to_thread.run_sync(self._look_up_standing, key_id, limiter=self._threads)
        if not stands:
            raise Lapsed("the key that the agent registered with was revoked: register again with another")

    def _look_up_standing(self, key_id: str) -> bool:
        try:
            stands = self._server.stores.keys.stands(key_id)
        except RetryLater:
            if known := _fresh(self._standing.get(key_id), self._server.clock(), WHILE_AWAY):
                return known
            raise
        self._standing.put(key_id, (stands, self._server.clock()))
        return stands

    def forget_agent(self, agent_id: str) -> None:
        """To be called when an agent was deleted or registered anew: its next request looks it up again."""
        self._agents.drop(agent_id)

    def _failed(self, error: Unauthorized, address: str) -> Unauthorized:
        """:raises TooManyRequests: in its place, when the address has failed too often."""
        if not isinstance(error, Lapsed):
            self._limits.failed(address)
        error.headers = {**_CHALLENGE, **error.headers}
        return error


def _fresh(entry: tuple[T, datetime] | None, now: datetime, within: timedelta = REMEMBERED) -> T | None:
    """What is remembered, unless it is too old, or the clock was turned back."""
    if entry is None or not entry[1] <= now <= entry[1] + within:
        return None
    return entry[0]


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _agent_token(request: Request) -> str:
    given = credential(request)
    if given.startswith(PREFIX):
        raise Unauthorized("this route takes the agent's own token, not a key: register with the key to get one")
    return given


def _gone() -> Lapsed:
    return Lapsed("the agent is not registered any more: register again")


def porter_of(request: Request) -> Porter:
    """The porter of the application that a request came to."""
    found = request.app.state.porter
    assert isinstance(found, Porter)
    return found


class Needs(SecurityBase):
    """The principal of a request, which must hold ``scope``.

    FastAPI sees a security scheme, named after the scope, which :mod:`api.document` turns into what people read.
    """

    def __init__(self, scope: Scope, *, bearer_only: bool = False, query_key: bool = False) -> None:
        self.scope, self._bearer_only, self._query_key = scope, bearer_only, query_key
        self.scheme_name = f"needs {scope}{BY_BEARER if bearer_only else OR_BY_QUERY if query_key else ''}"
        self.model = HTTPBearer()

    async def __call__(self, request: Request) -> Principal:
        family = self.scope.partition(":")[0]
        porter = porter_of(request)
        found = await porter.principal(request, family, bearer_only=self._bearer_only, query_key=self._query_key)
        if not grants(found.scopes, self.scope):
            raise Forbidden(f"the scope {self.scope} is needed")
        return found


def needs(scope: Scope, *, bearer_only: bool = False, query_key: bool = False) -> Needs:
    """For ``Depends``: the :class:`Principal` of a request, which must hold ``scope``.

    ``bearer_only``: sent as ``Authorization: Bearer``; an ``X-API-Key`` is not looked at. ``query_key``: may be sent as
    ``?api_key=``, too.

    :raises Unauthorized: without a valid key or user's token. :raises Forbidden: without the scope.
    :raises TooManyRequests: over the rate limit.
    """
    return Needs(scope, bearer_only=bearer_only, query_key=query_key)


class ThisAgent(SecurityBase):
    """The agent of the path parameter ``agent_id``, by its own token."""

    def __init__(self) -> None:
        self.scheme_name = "agent"
        self.model = HTTPBearer(bearerFormat="JWT")

    async def __call__(self, agent_id: str, request: Request) -> Agent:
        """The agent as it was at most :data:`REMEMBERED` ago, or :data:`WHILE_AWAY` where the database cannot tell.

        :raises Unauthorized: without a token, with one that has expired or is none of ours, or when the agent was deleted, or
            the key that it registered with was revoked.
        :raises Forbidden: with another agent's token. :raises TooManyRequests: over the rate limit.
        """
        return await porter_of(request).agent(request, agent_id)


this_agent = ThisAgent()


def identify(secret: str, server: Server) -> Principal:
    """Whose key or user's token this is. Asks the database or the JWKS host.

    :raises Unauthorized: when it is not valid. :raises Forbidden: when it is an agent's.
    """
    if secret.startswith(PREFIX):
        key = server.stores.keys.find(secret)
        if key is None:
            raise Unauthorized("the key is not valid, or was revoked")
        return Principal(key.id, key.organization, key.name, frozenset(key.scopes), key.clusters, key.id)
    if _is_agents(secret, server):
        raise Forbidden("this is an agent's token: it is good for that agent's own routes only; use a key here")
    claims = server.tokens.user(secret, server.clock())
    return Principal(f"user:{claims.subject}", claims.organization, claims.subject, claims.scopes)


def _is_agents(secret: str, server: Server) -> bool:
    try:
        server.tokens.agent(secret, server.clock())
    except Lapsed:
        return True
    except Unauthorized:
        return False
    return True
