"""A recommendation: current config, recommended config, saving, risk (Recommendations API)."""

from datetime import datetime
from decimal import Decimal
from typing import Literal

from reconciler.model.base import Model
from reconciler.model.observation import UsageSummary
from reconciler.model.workload import Resource, Resources, Role, Workload

Risk = Literal["low", "medium", "high"]
Priority = Literal["low", "medium", "high"]

HOURS_A_MONTH = 730


class ContainerRecommendation(Model):
    """One container. ``recommended`` is what was computed, and equals ``current`` in a resource that is left alone or refused.

    ``changes``: resources whose change is worth proposing (at or above the minimum change, not refused, not left alone);
    ``why`` tells how each figure came about, and why it is not written where it is not. ``notes``: of a resource that changes,
    what beside its usage moved a value or speaks against it (an OOM kill, a LimitRange, a quota, old samples); each is in ``why``.
    ``refused``: of a resource that would change, by whom it was refused.
    ``saving_monthly`` is for all replicas; negative when the recommendation costs more.
    """

    workload: Workload
    container: str
    current: Resources
    recommended: Resources
    changes: tuple[Resource, ...] = ()
    saving_monthly: Decimal = Decimal(0)
    risk: Risk = "low"
    samples: int = 0
    usage: dict[Resource, UsageSummary] = {}
    why: dict[Resource, str] = {}
    notes: dict[Resource, tuple[str, ...]] = {}
    refused: dict[Resource, str] = {}
    replicas: int = 1
    oom_kills: int = 0
    restarts: int = 0
    action: str = ""
    """Name of the action config whose parameters were used; empty = the fleet's ``rightsizing``."""
    action_id: str = ""


RecommendationStatus = Literal["pending", "applied", "dismissed", "archived"]
OPEN_STATUSES: tuple[RecommendationStatus, ...] = ("pending", "dismissed")


class ContainerSizes(Model):
    """One container's requests and limits. ``role``: an init container adds nothing to what the pod has while it runs."""

    name: str
    resources: Resources
    role: Role = "main"


class WorkloadRecommendation(Model):
    """What the Recommendations API serves: one workload with all its containers, from its first proposal to its end.

    ``id`` stays for one lifecycle: pending → applied, dismissed or archived; what is proposed after that has another id.
    Costs are per hour, for all replicas, with four places; ``saving_hourly`` below zero costs more. ``applied`` is empty until
    the change has landed on the branch. ``analyzed_at`` and ``window_seconds`` say which usage it was made of.
    """

    id: str
    organization: str
    fleet: str
    cluster: str
    cluster_id: str
    namespace: str
    kind: str
    name: str
    uid: str = ""
    status: RecommendationStatus = "pending"
    risk: Risk = "low"
    priority: Priority = "low"
    title: str = ""
    description: str = ""
    cause: str = ""
    samples: int = 0
    current: tuple[ContainerSizes, ...] = ()
    recommended: tuple[ContainerSizes, ...] = ()
    applied: tuple[ContainerSizes, ...] = ()
    hourly_cost: Decimal = Decimal(0)
    saving_hourly: Decimal = Decimal(0)
    currency: str = "USD"
    replicas: int = 1
    restarts: int = 0
    oom_kills: int = 0
    change_id: str = ""
    created_at: datetime
    updated_at: datetime
    analyzed_at: datetime
    window_seconds: int = 0
