"""Action configs: list, read, create or update, delete."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.actions.asked import Reader
from api.actions.asking import asked_for
from api.actions.envelope import Envelope
from api.actions.licensed import needs_licence
from api.actions.schemas import ActionConfigAsked, ActionConfigView
from api.auth import HasServer, Principal, needs
from api.errors import BadRequest, Forbidden, NotFound, documented
from api.server import Server
from reconciler.model.action import ActionConfig, StoredAction
from reconciler.observe.action_fields import EVERYWHERE

router = APIRouter(tags=["Actions"], dependencies=[needs_licence])

Writer = Annotated[Principal, Depends(needs("actions:write"))]
ConfigId = Annotated[
    str, Query(min_length=1, max_length=300, pattern=r"^[^\x00]*$", description="The config's id.", alias="id")
]


@router.get("/action/enabled", summary="Whether actions are enabled", responses=documented(401, 402, 403))
def actions_enabled(_principal: Reader) -> Envelope[bool]:
    """True: a server that answers this has the Actions API. Whether one config acts is `enabled` in its `config`."""
    return Envelope(data=True)


@router.get("/action/configs", summary="List action configs", responses=documented(401, 402, 403))
def list_configs(principal: Reader, server: HasServer) -> Envelope[list[ActionConfigView]]:
    """Those that the fleet repos declare (`source: helm`), by file, then those made through the API, the oldest first."""
    made = server.stores.action_configs.of(principal.organization)
    shown = [_declared_view(action) for action in _declared(server, principal)]
    return Envelope(data=[*shown, *(_view(stored) for stored in made if _sees(server, principal, stored))])


@router.get("/action/config", summary="Get an action config", responses=documented(400, 401, 402, 403, 404))
def read_config(config_id: ConfigId, principal: Reader, server: HasServer) -> Envelope[ActionConfigView]:
    """One config, as the list has it."""
    declared = _declared_as(server, principal, config_id)
    return Envelope(data=_declared_view(declared) if declared else _view(_find(server, principal, config_id)))


@router.post(
    "/action/config", summary="Create or update an action config", responses=documented(400, 401, 402, 403, 404)
)
def write_config(body: ActionConfigAsked, principal: Writer, server: HasServer) -> Envelope[ActionConfigView]:
    """With `id`, the config of that id gets the fields that are sent, and no others; without it, a new one is made.

    Everything in `config` is checked against each fleet repo that it is about. A key that is limited to some clusters
    writes configs of scope `cluster` for these.
    """
    earlier = _writable(server, principal, body.id) if body.id else None
    stored = asked_for(body, server, principal, earlier)
    if earlier is None:
        server.stores.action_configs.create(stored)
    elif not server.stores.action_configs.replace(stored):
        raise _none_of(stored.id)
    server.wake(principal.organization)
    return Envelope(data=_view(stored))


@router.delete("/action/config", summary="Delete an action config", responses=documented(400, 401, 402, 403, 404))
def delete_config(config_id: ConfigId, principal: Writer, server: HasServer) -> Envelope[None]:
    """It acts no more; its runs stay. What it has committed stays, too, but namespaces that it turned down come up."""
    stored = _writable(server, principal, config_id)
    if stored.scope == "local":
        raise BadRequest(
            f"the config {stored.name} is of scope local, which cannot be deleted: give it the scope global first, "
            "or set enabled to false in its config"
        )
    if not server.stores.action_configs.delete(config_id, principal.organization, server.clock()):
        raise _none_of(config_id)
    server.wake(principal.organization)
    return Envelope(data=None)


def _declared(server: Server, principal: Principal) -> Iterator[ActionConfig]:
    """Declared in Git, as far as the key sees the clusters that they are about."""
    for steward in server.of(principal.organization):
        watch = steward.watch
        known = {c.name: c.id for c in watch.fleet.clusters} if watch.fleet else {}
        for action in watch.state.actions if watch.state else ():
            about = action.clusters or tuple(known)
            seen = not principal.clusters or any(principal.sees(c, known.get(c, "")) for c in about)
            if action.source == "helm" and seen:
                yield action


def _declared_as(server: Server, principal: Principal, config_id: str) -> ActionConfig | None:
    return next((action for action in _declared(server, principal) if action.id == config_id), None)


def _sees(server: Server, principal: Principal, stored: StoredAction) -> bool:
    if stored.scope != "cluster":
        return True
    found = server.cluster(principal.organization, stored.cluster)
    return principal.sees(stored.cluster, found[1].id if found else "")


def _find(server: Server, principal: Principal, config_id: str) -> StoredAction:
    """:raises NotFound: when there is none, or it is another organization's or about a cluster that the key does not see."""
    stored = server.stores.action_configs.find(config_id, principal.organization)
    if stored is None or not _sees(server, principal, stored):
        raise _none_of(config_id)
    return stored


def _writable(server: Server, principal: Principal, config_id: str) -> StoredAction:
    """:raises BadRequest: when it is declared in Git. :raises Forbidden: when it reaches further than the key."""
    if declared := _declared_as(server, principal, config_id):
        where = f"{declared.path} of the fleet repo"
        raise BadRequest(f"the config {declared.name} is declared in Git (source helm): change it in {where}")
    stored = _find(server, principal, config_id)
    if principal.clusters and stored.scope != "cluster":
        raise Forbidden(f"this key is limited to some clusters, and the config {stored.name} is about all of them")
    return stored


def _none_of(config_id: str) -> NotFound:
    return NotFound(f"there is no action config {config_id}")


def _view(stored: StoredAction) -> ActionConfigView:
    return ActionConfigView(
        id=stored.id,
        source="API",
        scope=stored.scope,
        cluster=stored.cluster or EVERYWHERE,
        name=stored.name,
        action=stored.action,
        config=stored.config,
    )


def _declared_view(action: ActionConfig) -> ActionConfigView:
    return ActionConfigView(
        id=action.id,
        source="helm",
        scope=action.scope,
        cluster=action.clusters[0] if action.clusters else EVERYWHERE,
        name=action.name,
        action=action.action,
        config=action.config,
    )
