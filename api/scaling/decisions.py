"""The decision log, newest first."""

from collections.abc import Collection
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.auth import HasServer, Principal, needs
from api.errors import documented
from api.scaling.asking import cluster_of
from api.scaling.schemas import DecisionView
from api.scaling.showing import declared, may_be_id
from api.server import Server
from reconciler.model.policy import ScalingPolicySpec

router = APIRouter(prefix="/api/v1/scaling/decisions", tags=["Scaling"])

Reader = Annotated[Principal, Depends(needs("scaling:read"))]
PolicyId = Annotated[str, Query(alias="policyId", description="Only this policy's, also after it was deleted.")]
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("", summary="Decision log", responses=documented(400, 401, 403, 503))
def list_decisions(
    principal: Reader, server: HasServer, policy_id: PolicyId = "", limit: Limit = 100
) -> list[DecisionView]:
    """Every action on the organization's policies, newest first: `dry_run`, `apply`, `rollback`, `apply_failed`."""
    wanted = _wanted(server, principal, policy_id)
    if wanted is not None and not wanted:
        return []
    fleets = dict.fromkeys(steward.watch.url for steward in server.of(principal.organization))
    rows = server.stores.log.newest_of(fleets, wanted, limit)
    return [DecisionView.model_validate(row.model_dump()) for row in rows]


def _wanted(server: Server, principal: Principal, policy_id: str) -> Collection[str] | None:
    """The policies to read; None = all of the organization's."""
    asked = None if not policy_id else {policy_id} if may_be_id(policy_id) else set[str]()
    if not principal.clusters:
        return asked
    reach = _within_reach(server, principal)
    return reach if asked is None else asked & reach


def _within_reach(server: Server, principal: Principal) -> set[str]:
    """The policies of the clusters that a key is limited to, deleted ones too."""

    def sees(spec: ScalingPolicySpec) -> bool:
        cluster = cluster_of(server, principal.organization, spec)
        return principal.sees(cluster.name if cluster else spec.cluster, cluster.id if cluster else "")

    stored = {one.id for one in server.stores.policies.ever(principal.organization) if sees(one.spec)}
    return stored | {f.policy.id for f in declared(server, principal.organization) if sees(f.policy.spec)}
