"""A recommendation: current config, recommended config, saving, risk (Recommendations API)."""

from decimal import Decimal
from typing import Literal

from reconciler.model.base import Model
from reconciler.model.observation import UsageSummary
from reconciler.model.workload import Resource, Resources, Workload

Risk = Literal["low", "medium", "high"]
Priority = Literal["low", "medium", "high"]

HOURS_A_MONTH = 730


class ContainerRecommendation(Model):
    """One container. ``recommended`` is what was computed, and equals ``current`` in a resource that is left alone or refused.

    ``changes``: resources whose change is worth proposing (at or above the minimum change, not refused, not left alone);
    ``why`` tells how each figure came about, and why it is not written where it is not.
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
    replicas: int = 1
    oom_kills: int = 0
    restarts: int = 0
    action: str = ""
    """Name of the action config whose parameters were used; empty = the fleet's ``rightsizing``."""
