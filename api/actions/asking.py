"""From what a request asks for to an action config that each fleet repo it is about can use."""

import uuid
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from api.actions.schemas import ActionConfigAsked
from api.auth import Principal
from api.errors import ApiError, BadRequest, Forbidden, encodable
from api.scaling.asking import allow
from api.scaling.figures import Line
from api.server import Server
from reconciler.evaluate.turndown_sites import refused_namespace
from reconciler.model.action import ActionConfig, ActionType, StoredAction
from reconciler.model.fleet import Cluster, Fleet
from reconciler.observe.action_fields import LEGACY_ACTIONS
from reconciler.observe.config_complaints import Complaint
from reconciler.steps.action_configs import read_stored
from reconciler.steward import Steward

_KINDS: dict[ActionType, str] = {
    "containerRequestRightSizing": "rightsizing",
    "resourceQuotaRightSizing": "quotas",
    "namespaceTurndown": "turndown",
}
_LINE: TypeAdapter[str] = TypeAdapter(Line)
_SHOWN = 300  # characters of what was sent that an error repeats


def asked_for(
    body: ActionConfigAsked, server: Server, principal: Principal, earlier: StoredAction | None
) -> StoredAction:
    """The config as it is to be stored, in place of ``earlier`` where there is one.

    :raises BadRequest: naming the field, such as ``config.maintenanceWindow``.
    :raises Forbidden: when it reaches further than the key. :raises ApiError: (500) while no fleet repo can be read.
    """
    fleets = _fleets(server, principal.organization)
    place = _place(body, server, principal)
    now = server.clock()
    config_id = earlier.id if earlier else str(uuid.uuid4())
    action = LEGACY_ACTIONS[body.action] if body.action == "rightsizing" else body.action
    stored = StoredAction(
        id=config_id,
        organization=principal.organization,
        scope=body.scope,
        cluster=place[1].name if place else body.cluster or "",
        fleet=place[0].watch.name if place else "",
        name=_name(body, action, config_id, earlier),
        action=action,
        config=body.config,
        created_at=_since(earlier, now),
        updated_at=now,
    )
    for steward, fleet in fleets:
        if place is None or steward is place[0]:
            _check(stored, fleet)
    return stored if place else stored.model_copy(update={"cluster": ""})


def _since(earlier: StoredAction | None, now: datetime) -> datetime:
    return earlier.created_at if earlier else now


def _fleets(server: Server, organization: str) -> list[tuple[Steward, Fleet]]:
    found = list(server.fleets(organization))
    if found:
        return found
    if any(steward.watch.fleet is None and not steward.watch.refused for steward in server.stewards):
        raise ApiError("a fleet repo could not be read yet: try again soon", headers={"Retry-After": "5"})
    raise BadRequest(f"organization {organization} has no fleet repo on this server that an action could be about")


def _place(body: ActionConfigAsked, server: Server, principal: Principal) -> tuple[Steward, Cluster] | None:
    """The cluster that it is for, and who keeps it; None = all clusters."""
    if body.scope != "cluster":
        if principal.clusters:
            mine = ", ".join(sorted(principal.clusters))
            raise Forbidden(f"this key is limited to the clusters {mine}: write scope cluster, and one of them")
        return None
    inside = body.config.get("cluster")
    asked = body.cluster or (inside if isinstance(inside, str) else "")
    if not asked:
        raise BadRequest("cluster: is needed with the scope cluster: the name or id of one", field="cluster")
    found = server.cluster(principal.organization, asked)
    if found is None:
        known = server.clusters(principal.organization)
        listed = ", ".join(sorted(c.name for c in known if principal.sees(c.name, c.id))) or "none"
        field = "cluster" if body.cluster else "config.cluster"
        raise BadRequest(f"{field}: there is no cluster {asked[:_SHOWN]!r}; there are: {listed}", field=field)
    allow(principal, found[1])
    return found


def _name(body: ActionConfigAsked, action: ActionType, config_id: str, earlier: StoredAction | None) -> str:
    """What was sent, else the name it had, else one that tells a person what the config does."""
    inside = body.config.get("actionConfigName")
    if body.name or not (isinstance(inside, str) and inside.strip()):
        return body.name or (earlier.name if earlier else f"{_KINDS[action]}-{config_id[:8]}")
    try:
        return _LINE.validate_python(inside)
    except ValidationError as error:
        field = "config.actionConfigName"
        raise BadRequest(f"{field}: {_sentence(error.errors()[0]['msg'])}", field=field) from None


def _check(stored: StoredAction, fleet: Fleet) -> None:
    """:raises BadRequest: with the first thing that is wrong, and how many more there are."""
    found = read_stored(stored, fleet)
    if isinstance(found, ActionConfig):
        _refuse_needed(found)
        return
    first, *rest = found
    more = f" (and {len(rest)} more)" if rest else ""
    raise BadRequest(f"{_said(first)}{more}", field=_field(first))


def _refuse_needed(action: ActionConfig) -> None:
    """:raises BadRequest: when it names a namespace to be turned down that never is."""
    reasons = {name: refused_namespace(name) for name in action.namespaces if action.action == "namespaceTurndown"}
    for name, reason in reasons.items():
        if reason:
            field = "config.namespace" if action.config.get("namespace") == name else "config.namespaces"
            raise BadRequest(f"{field}: {name} is never turned down: {reason}", field=field)


def _said(complaint: Complaint) -> str:
    hint = f"; {complaint.hint}" if complaint.hint else ""
    return f"{_field(complaint)}: {_sentence(complaint.message)}{hint}"


def _field(complaint: Complaint) -> str:
    return encodable(".".join(str(step) for step in complaint.at))[:_SHOWN]


def _sentence(message: str) -> str:
    """Of pydantic's or ours: ``must be a valid integer``, ``there is no profile named X``."""
    for start, instead in (("Input should ", "must "), ("Field required", "is needed")):
        if message.startswith(start):
            message = instead + message.removeprefix(start)
    return message[:1].lower() + message[1:][:_SHOWN]
