"""Recommendations: list, look at one."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request

from api.auth import HasServer, Principal, needs
from api.errors import NotFound, documented
from api.recommendations import cursor
from api.recommendations.asking import ListQuery, outside, query_hash, refuse_cost_mode, wanted
from api.recommendations.schemas import Meta, PageMeta, Pagination, RecommendationAnswer, RecommendationPage
from api.recommendations.showing import detail, shown
from api.recommendations.snapshot import analyzed
from api.server import Server
from reconciler.model.recommendation import WorkloadRecommendation
from reconciler.model.workload import WorkloadKey
from reconciler.store.usage_workload import read_workload

router = APIRouter(prefix="/v1/recommendations", tags=["Recommendations"])

Reader = Annotated[Principal, Depends(needs("recommendations:read", bearer_only=True))]
RecId = Annotated[UUID, Path(description="The id that the list has.")]


@router.get(
    "",
    summary="List recommendations",
    responses=documented(400, 401, 403, 410, 422, 503),
    response_model_exclude_unset=True,
)
def list_recommendations(
    request: Request, principal: Reader, server: HasServer, query: Annotated[ListQuery, Query()]
) -> RecommendationPage:
    """What is worth changing, the largest saving first.

    `next_cursor` is null on the last page. A cursor is good for 24 hours, and for the query that it came from: filters and
    `limit` must stay, `include_total` and the key may change. `cost_mode` is refused: savings know no modes.
    """
    refuse_cost_mode(request.query_params)
    asked, organization = wanted(query, server, principal), principal.organization
    bound, sign = query_hash(organization, asked, query.limit), partial(server.tokens.signature, "recommendations")
    after = None if query.cursor is None else cursor.decode(query.cursor, bound, server.clock(), sign)
    found = server.stores.recommendations.page(organization, asked, after=after, limit=query.limit + 1)
    here, more = found[: query.limit], len(found) > query.limit
    last = (here[-1].saving_hourly, here[-1].id) if more else None
    pagination = Pagination(
        next_cursor=cursor.encode(last, bound, server.clock(), sign) if last else None,
        has_more=more,
        limit=query.limit,
    )
    if query.include_total:
        pagination.total_count = server.stores.recommendations.count(organization, asked)
    meta = PageMeta(**dict(_meta(request, server)), pagination=pagination)
    return RecommendationPage(data=[shown(one) for one in here], meta=meta)


@router.get(
    "/{rec_id}",
    summary="Look at a recommendation",
    responses=documented(400, 401, 403, 404, 422, 503),
    response_model_exclude_unset=True,
)
def read_recommendation(rec_id: RecId, request: Request, principal: Reader, server: HasServer) -> RecommendationAnswer:
    """One recommendation, whatever its status, with what it was made of (`metrics_snapshot`)."""
    refuse_cost_mode(request.query_params)
    one = _find(rec_id, server, principal)
    since, until = analyzed(one)
    workload = WorkloadKey(cluster=one.cluster, namespace=one.namespace, kind=one.kind, name=one.name)
    history = read_workload(server.stores.engine, workload, since=since, until=until)
    return RecommendationAnswer(data=detail(one, history), meta=_meta(request, server))


def _find(rec_id: UUID, server: Server, principal: Principal) -> WorkloadRecommendation:
    """:raises NotFound: when the organization has none of that id. :raises Forbidden: when its cluster is out of reach."""
    one = server.stores.recommendations.find(principal.organization, str(rec_id))
    if one is None:
        raise NotFound(
            f"there is no recommendation {rec_id}: the list of recommendations has the ids",
            code="RECOMMENDATION_NOT_FOUND",
        )
    if not principal.sees(one.cluster, one.cluster_id):
        raise outside("the cluster that this recommendation belongs to")
    return one


def _meta(request: Request, server: Server) -> Meta:
    return Meta(request_id=request.state.request_id, applied_at=server.clock())
