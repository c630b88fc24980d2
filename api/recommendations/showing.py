"""From a stored recommendation to what the API answers."""

from collections.abc import Iterable
from decimal import Decimal

from api.recommendations.schemas import (
    ClusterName,
    Config,
    ContainerConfig,
    Current,
    Metadata,
    Money,
    Quantities,
    Recommendation,
    RecommendationDetail,
    Savings,
    Sizes,
)
from api.recommendations.snapshot import snapshot
from reconciler.model.quantity import format_cpu, format_memory
from reconciler.model.recommendation import ContainerSizes, WorkloadRecommendation
from reconciler.store.usage_workload import WorkloadHistory

_PLACES = Decimal("0.0001")


def shown(one: WorkloadRecommendation) -> Recommendation:
    """One element of the list."""
    return Recommendation(
        id=one.id,
        kind="Recommendation",
        metadata=_metadata(one),
        current=Current(config=_config(one.current), hourly_cost=_money(one.hourly_cost, one.currency)),
        recommended=Sizes(config=_config(one.recommended)),
        applied=Sizes(config=_config(one.applied)),
        savings=Savings(estimated_hourly=_money(one.saving_hourly, one.currency)),
    )


def detail(one: WorkloadRecommendation, history: WorkloadHistory) -> RecommendationDetail:
    """The same, with what it was made of."""
    fields = dict(shown(one))
    return RecommendationDetail(**fields, metrics_snapshot=snapshot(one, history))


def _metadata(one: WorkloadRecommendation) -> Metadata:
    return Metadata(
        recommendation_type="workload_rightsizing",
        resource_type=one.kind,
        resource_name=one.name,
        resource_uid=one.uid,
        cluster=ClusterName(id=one.cluster_id, name=one.cluster),
        namespace=one.namespace,
        title=one.title,
        description=one.description,
        cause=one.cause,
        risk_level=one.risk,
        priority=one.priority,
        status=one.status,
        data_points_analyzed=one.samples,
        created_at=one.created_at,
        updated_at=one.updated_at,
    )


def _config(sizes: Iterable[ContainerSizes]) -> Config:
    containers = [
        ContainerConfig(
            name=one.name,
            requests=_quantities(one.resources.cpu_request, one.resources.memory_request),
            limits=_quantities(one.resources.cpu_limit, one.resources.memory_limit),
        )
        for one in sizes
    ]
    return Config(containers=containers) if containers else Config()


def _quantities(cpu: int | None, memory: int | None) -> Quantities:
    found = {}
    if cpu is not None:
        found["cpu"] = format_cpu(cpu)
    if memory is not None:
        found["memory"] = format_memory(memory)
    return Quantities(**found)


def _money(amount: Decimal, currency: str) -> Money:
    rounded = amount.quantize(_PLACES)
    return Money(amount=str(rounded if rounded else abs(rounded)), currency=currency)
