"""Policies: list, create, read, change, delete."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.auth import HasServer, Principal, needs
from api.errors import Conflict, NotFound, documented
from api.scaling.asking import asked_for, changed, refuse_second, taken
from api.scaling.schemas import Created, PolicyChange, PolicyCreate, PolicyView
from api.scaling.showing import Found, Views, declared, every, find
from api.server import Server
from reconciler.model.policy import ScalingPolicy, ScalingPolicySpec
from reconciler.store.policies import TargetTaken

router = APIRouter(prefix="/api/v1/scaling/policies", tags=["Scaling"])

Reader = Annotated[Principal, Depends(needs("scaling:read"))]
Writer = Annotated[Principal, Depends(needs("scaling:write"))]


@router.get("", summary="List policies", responses=documented(401, 403, 503))
def list_policies(principal: Reader, server: HasServer) -> list[PolicyView]:
    """Policies made through the API and those that the fleet repos declare (`source`)."""
    views = Views(server, principal.organization)
    return [views.view(found) for found in every(server, principal)]


@router.post("", status_code=201, summary="Create a policy", responses=documented(400, 401, 403, 409, 503))
def create_policy(body: PolicyCreate, principal: Writer, server: HasServer) -> Created:
    """In dry run unless `dryRun` is `false`. `strategy` follows from `runtime`."""
    spec = asked_for(body, server, principal)
    organization = principal.organization
    refuse_second(spec, _others(server, organization, spec), server, organization)
    try:
        made = server.stores.policies.create(organization, spec, server.clock())
    except TargetTaken as error:
        raise taken(error.message) from None
    server.wake(organization)
    return Created(id=made.id)


@router.get("/{policy_id}", summary="Get a policy", responses=documented(401, 403, 404, 503))
def get_policy(policy_id: str, principal: Reader, server: HasServer) -> PolicyView:
    """One policy, as the list has it."""
    return Views(server, principal.organization).view(find(server, principal, policy_id))


@router.put("/{policy_id}", summary="Update a policy", responses=documented(400, 401, 403, 404, 409, 503))
def update_policy(policy_id: str, body: PolicyChange, principal: Writer, server: HasServer) -> PolicyView:
    """Only the fields that are sent change. `runtime` and `strategy` are immutable."""
    organization = principal.organization
    _not_in_git(find(server, principal, policy_id))

    def apply(spec: ScalingPolicySpec) -> ScalingPolicySpec:
        new = changed(spec, body, server, principal)
        if (new.cluster, new.target_ref) != (spec.cluster, spec.target_ref):
            refuse_second(new, (one.policy for one in declared(server, organization)), server, organization)
        return new

    try:
        stored = server.stores.policies.change(policy_id, organization, apply, server.clock())
    except TargetTaken as error:
        raise taken(error.message) from None
    if stored is None:
        raise NotFound(f"there is no policy {policy_id!r}")
    _decided_anew(server, organization, policy_id)
    return Views(server, organization).view(find(server, principal, policy_id))


@router.delete(
    "/{policy_id}",
    status_code=204,
    response_class=Response,
    summary="Delete a policy",
    responses=documented(401, 403, 404, 409, 503),
)
def delete_policy(policy_id: str, principal: Writer, server: HasServer) -> None:
    """Its files in Git go in one commit at the next pass; its decisions stay in the log."""
    _not_in_git(find(server, principal, policy_id))
    if not server.stores.policies.delete(policy_id, server.clock()):
        raise NotFound(f"there is no policy {policy_id!r}")
    server.wake(principal.organization)


def _others(server: Server, organization: str, spec: ScalingPolicySpec) -> Iterator[ScalingPolicy]:
    """Policies that the database does not know to have the target: those in Git, and one that names no cluster."""
    yield from (one.policy for one in declared(server, organization))
    unnamed = server.stores.policies.holder(organization, spec.model_copy(update={"cluster": None}))
    if unnamed is not None:
        yield unnamed.as_policy()


def _not_in_git(found: Found) -> None:
    """:raises Conflict: when the policy is declared in the fleet repo."""
    if found.policy.source == "git":
        name, path = found.policy.spec.name, found.policy.path
        raise Conflict(f"the policy {name} is declared in Git: change it in {path} of the fleet repo")


def _decided_anew(server: Server, organization: str, policy_id: str) -> None:
    """What a rollback had refused may be written again: a person has looked at the policy since."""
    for steward in server.of(organization):
        server.stores.refusals.clear_subject(steward.watch.url, policy_id)
    server.wake(organization)
