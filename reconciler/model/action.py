"""Action configs: right-sizing, quota and turndown jobs, with the fields of the Actions API."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from reconciler.model.base import Model
from reconciler.model.window import Windows

ActionType = Literal["containerRequestRightSizing", "resourceQuotaRightSizing", "namespaceTurndown"]
Algorithm = Literal["max", "quantile", "quantileOfAverages", "quantileOfMaxes"]

MIN_CPU_MILLICORES = 10
MIN_RAM_BYTES = 20 * 1024 * 1024

Fraction = Annotated[float, Field(gt=0, le=1)]
Quantile = Annotated[float, Field(ge=0, le=1)]


class SizingParameters(Model):
    """How a recommendation is computed (DESIGN §7). ``window_seconds`` looks back from now."""

    profile: str = ""
    window_seconds: int = 14 * 86400
    algorithm_cpu: Algorithm = "max"
    algorithm_ram: Algorithm = "max"
    quantile_cpu: Quantile = 0.95
    quantile_ram: Quantile = 0.95
    target_utilization_cpu: Fraction = 0.65
    target_utilization_ram: Fraction = 0.65
    min_cpu_millicores: int = MIN_CPU_MILLICORES
    min_ram_bytes: int = MIN_RAM_BYTES
    min_change_percent: float = 10.0
    keep_limit_ratio: bool = True
    """False: limits stay as people wrote them, but never below the request."""
    min_samples: int = 100
    cpu: bool = True
    memory: bool = True


class ActionConfig(Model):
    """One action config. ``config`` is echoed as sent; what the engine needs is parsed beside it.

    ``clusters`` empty = all of the fleet. ``sizing`` is set for right-sizing; quota and turndown use ``filter`` only.
    """

    id: str
    name: str
    action: ActionType
    scope: Literal["global", "cluster", "local"] = "global"
    clusters: tuple[str, ...] = ()
    enabled: bool = True
    filter: str = ""
    namespaces: tuple[str, ...] = ()
    sizing: SizingParameters = SizingParameters()
    windows: Windows = Windows()
    source: Literal["helm", "API"] = "helm"
    path: str = ""
    config: dict[str, object] = {}


class StoredAction(Model):
    """An action config made through the API, as it was sent: ``config`` is echoed byte for value, whatever it means to us.

    ``cluster`` empty = all. ``fleet``: the fleet repo, as the stores know it, that had the cluster when it was named. What the engine makes of it is an :class:`ActionConfig`, per fleet repo of the organization.
    """

    id: str
    organization: str
    scope: Literal["global", "cluster", "local"]
    cluster: str = ""
    fleet: str = ""
    name: str
    action: ActionType
    config: dict[str, object] = {}
    created_at: datetime
    updated_at: datetime
