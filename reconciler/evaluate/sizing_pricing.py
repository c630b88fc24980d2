"""What a recommendation saves and how risky it is (DESIGN §9, Recommendations)."""

from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache

from reconciler.model.fleet import Pricing
from reconciler.model.observation import OomRecord, UsageSummary
from reconciler.model.quantity import GIB
from reconciler.model.recommendation import HOURS_A_MONTH, Risk
from reconciler.model.workload import Container, Resource, Workload

FOUR_PLACES = Decimal("0.0001")

HIGH_RISK_DAYS = 3
MEDIUM_RISK_DAYS = 7

_RUNS_AT_TIMES = ("Job", "CronJob")
_NO_MANIFEST_COUNT = ("DaemonSet", "Pod")


def monthly_price(resource: Resource, amount: int, pricing: Pricing) -> Decimal:
    """What ``amount`` millicores or bytes of request cost in a month of 730 hours; not rounded."""
    if resource == "cpu":
        return amount * _of_a_month(pricing.cpu_core_hour) / 1000
    return amount * _of_a_month(pricing.ram_gib_hour) / GIB


@lru_cache(maxsize=64)
def _of_a_month(hourly: Decimal) -> Decimal:
    return hourly * HOURS_A_MONTH


def saving(
    container: Container, changes: Iterable[tuple[Resource, int, int]], replicas: int, pricing: Pricing
) -> Decimal:
    """Σ (current − recommended request) × replicas × price × 730 h over ``changes`` (resource, current, recommended).

    To four places; negative when it costs more. An init container adds nothing: the pod's request is the larger of its
    init containers and the sum of the others, and the others run all month.
    """
    if container.role == "init":
        return Decimal(0)
    total = sum((monthly_price(name, old - new, pricing) for name, old, new in changes), start=Decimal(0))
    return (total * replicas).quantize(FOUR_PLACES)


def replicas_of(workload: Workload, observed: int | None) -> int:
    """Pods to count: as observed, else as the manifest says, else 1. A Job or CronJob counts as one pod all month."""
    if workload.key.kind in _RUNS_AT_TIMES:
        return 1
    if observed is not None:
        return observed
    if workload.key.kind in _NO_MANIFEST_COUNT or workload.replicas is None:
        return 1
    return workload.replicas


def risk_of(summaries: Iterable[UsageSummary], *, memory_falls: bool, oom: OomRecord | None) -> Risk:
    """high after an OOM kill or under 3 days of data, medium where memory falls or under 7 days, else low (DESIGN §9).

    ``summaries``: the history behind the recommendation; the shortest counts, none at all is no data.
    """
    days = min((summary.days for summary in summaries), default=0.0)
    if (oom is not None and oom.oom_kills) or days < HIGH_RISK_DAYS:
        return "high"
    return "medium" if memory_falls or days < MEDIUM_RISK_DAYS else "low"
