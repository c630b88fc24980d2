"""The desired state of a cluster, for its agent to apply."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.routing import APIRoute
from pydantic import Field

from api.agents.answers import Answers
from api.auth import porter_of, server_of, this_agent
from api.errors import documented
from reconciler.model.agent import Agent
from reconciler.model.base import Model
from reconciler.model.fleet import SyncMode

router = APIRouter(tags=["Agents"])

_EXAMPLE = {
    "revision": "4f1c2a9b7d3e5f60718293a4b5c6d7e8f9012345",
    "cluster": "prod-eu-west-1",
    "repository": "https://git.example.com/acme/fleet.git",
    "roots": [{"path": "clusters/prod-eu-west-1", "namespace": "default", "sync": "agent"}],
    "manifests": [
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {
                "annotations": {"trimtab.dev/owns": "object", "trimtab.dev/policy": "scp_1718000000000000000"},
                "name": "checkout-api",
                "namespace": "prod",
            },
            "spec": {
                "maxReplicas": 10,
                "minReplicas": 2,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout-api"},
            },
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "annotations": {"trimtab.dev/owns": "fields"},
                "name": "checkout-api",
                "namespace": "prod",
                "uid": "0d9f3c52-9d1c-4c5b-8a1e-5c1f1c0c7a11",
            },
            "spec": {
                "template": {
                    "spec": {"containers": [{"name": "server", "resources": {"requests": {"cpu": "120m"}}}]},
                }
            },
        },
    ],
}


class DesiredRoot(Model):
    """A path of the fleet repo that builds a part of the cluster. ``sync``: who brings it about; ``namespace``: what its
    objects without one get."""

    path: str
    namespace: str
    sync: SyncMode


class DesiredState(Model):
    """What Trimtab owns of one cluster at one commit of its fleet repo."""

    revision: str = Field(description="The commit at the head of the target branch.")
    cluster: str
    repository: str = Field(description="The fleet repo's URL, without credentials.")
    roots: list[DesiredRoot] = Field(
        description="The cluster's roots. Where `sync` is `argocd` or `flux`, the agent reports what that says of the root."
    )
    manifests: list[dict[str, Any]] = Field(
        description="Whole objects, and partial ones with just Trimtab's fields; the annotation `trimtab.dev/owns` says "
        "which (`object` or `fields`). A partial one carries the uid of the object as it was last observed."
    )


_HEADERS = {
    "ETag": {"description": "Stands for the state.", "schema": {"type": "string"}},
    "Trimtab-Revision": {"description": "The commit at the head of the branch.", "schema": {"type": "string"}},
}


class Pulled(APIRoute):
    """A route of an agent whose handler is given what it needs without the framework's resolving of dependencies, which
    would cost as much as all the rest together."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        async def handle(request: Request) -> Response:
            agent = await porter_of(request).agent(request, request.path_params["agent_id"])
            return await pull_desired(request, agent, request.headers.get("if-none-match", ""))

        return handle


async def pull_desired(
    request: Request,
    agent: Annotated[Agent, Depends(this_agent)],
    if_none_match: Annotated[str, Header(description="ETags of states that are at hand.")] = "",
) -> Response:
    """What the agent is to server-side apply, read from Git at the target branch.

    Roots that Argo CD or Flux bring about (`sync`) have no manifests here. A root that does not build is a 503, never an
    empty list. The header `Trimtab-Revision` is the commit, also of a 304.
    """
    server = server_of(request)
    server.heard[agent.id] = server.clock()
    told = await answers_of(request).of(agent)
    headers = {"ETag": told.etag, "Trimtab-Revision": told.revision}
    if if_none_match and matches(if_none_match, told.etag):
        return Response(status_code=304, headers=headers)
    return Response(told.body, media_type="application/json", headers=headers)


router.add_api_route(
    "/api/v1/agents/{agent_id}/scaling/desired",
    pull_desired,
    methods=["GET"],
    summary="Pull the desired state",
    response_model=DesiredState,
    responses={
        200: {
            "description": "The state at the head of the branch.",
            "content": {"application/json": {"example": _EXAMPLE}},
            "headers": _HEADERS,
        },
        304: {"description": "The state is still the one that `If-None-Match` names.", "headers": _HEADERS},
        **documented(401, 403, 404, 503),
    },
    route_class_override=Pulled,
)


def answers_of(request: Request) -> Answers:
    """The answers of the application that a request came to."""
    state = request.app.state
    known: Answers | None = getattr(state, "answers", None)
    if known is None:
        known = state.answers = Answers(state.server)
    return known


def matches(if_none_match: str, etag: str) -> bool:
    """Whether a header ``If-None-Match`` names ``etag`` (RFC 9110 §13.1.2: weak comparison, ``*`` is any)."""
    if if_none_match == etag:
        return True
    given = [tag.strip() for tag in if_none_match.split(",")]
    return "*" in given or etag in (tag.removeprefix("W/") for tag in given)
