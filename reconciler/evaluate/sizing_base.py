"""How much a container's usage asks for: base ÷ target utilization, floors, and what OOM history demands.

Kubecost's formula with VPA's answer to OOM kills (FACTS §Right-sizing).
"""

from functools import lru_cache
from typing import NamedTuple

from reconciler.evaluate.sizing_units import days_text, spell, spell_use, steps_up, up
from reconciler.model.action import Algorithm, SizingParameters
from reconciler.model.observation import OomRecord, UsageSummary
from reconciler.model.quantity import MIB
from reconciler.model.workload import Resource

OOM_MARGIN_BYTES = 100 * MIB
"""VPA ``--oom-min-bump-up-bytes``: memory after a kill is at least this much above what was used."""

OOM_RATIO = (6, 5)
"""VPA ``--oom-bump-up-ratio`` 1.2, as a fraction so that it is exact."""

_UNIT: dict[Resource, float] = {"cpu": 1000.0, "memory": 1.0 / MIB}
"""From cores or bytes to steps of 1m or 1 MiB."""


class Rules(NamedTuple):
    """The parameters of one resource. ``floor``: millicores or bytes."""

    algorithm: Algorithm
    quantile: float
    utilization: float
    floor: int


class Demand(NamedTuple):
    """A request in millicores or bytes, in whole steps. ``highest``: the most that was ever seen in use, in the same unit.

    ``notes``: what moved it beside usage; the end of ``why``.
    """

    request: int
    oom_demand: int
    highest: int
    why: str
    notes: tuple[str, ...] = ()


def rules_of(params: SizingParameters, resource: Resource) -> Rules:
    if resource == "cpu":
        return Rules(
            params.algorithm_cpu, params.quantile_cpu, params.target_utilization_cpu, params.min_cpu_millicores
        )
    return Rules(params.algorithm_ram, params.quantile_ram, params.target_utilization_ram, params.min_ram_bytes)


def demand(
    summary: UsageSummary, base: float, rules: Rules, resource: Resource, *, oom: OomRecord | None, limit: int | None
) -> Demand:
    """What ``base`` (cores or bytes) asks for. ``limit``: the container's memory limit, the peak of a kill that has no figure."""
    asked = steps_up(base * _UNIT[resource] / rules.utilization) * (1 if resource == "cpu" else MIB)
    span = days_text(summary.days)
    why = [f"{algorithm_text(rules)} {spell_use(resource, base)} over {span} ÷ {rules.utilization:g}"]
    why[0] += f" = {spell(resource, asked)}"
    floor = up(resource, max(rules.floor, 1))
    if asked < floor:
        why.append(f"raised to the floor of {spell(resource, floor)}")
    request = max(asked, floor)
    peak = oom_peak(oom, summary, limit) if oom is not None and oom.oom_kills and resource == "memory" else 0
    demanded = oom_demand(peak) if peak else 0
    if oom is not None and demanded > request:
        kills = f"{oom.oom_kills} OOM kill{'s' if oom.oom_kills > 1 else ''} at {spell_use('memory', peak)}"
        why.append(f"raised to {spell('memory', demanded)} after {kills}")
    highest = summary.maximum * 1000 if resource == "cpu" else max(summary.maximum, peak)
    return Demand(max(request, demanded), demanded, int(-(-highest // 1)), "; ".join(why), tuple(why[1:]))


def base_value(summary: UsageSummary, rules: Rules) -> float | None:
    """The figure of the chosen algorithm, in cores or bytes; None when the history does not have it."""
    if rules.algorithm == "max":
        return summary.base.get("max", summary.maximum)
    return summary.base.get(rules.algorithm)


@lru_cache(maxsize=256)
def algorithm_text(rules: Rules) -> str:
    """``max``, ``p95``, ``p95 of averages``, ``p95 of maxima``."""
    if rules.algorithm == "max":
        return "max"
    suffix = {"quantile": "", "quantileOfAverages": " of averages", "quantileOfMaxes": " of maxima"}
    return f"p{rules.quantile * 100:g}{suffix[rules.algorithm]}"


def oom_peak(oom: OomRecord, summary: UsageSummary, limit: int | None) -> int:
    """What the container used when it was killed: as recorded, else the most that is known (usage or its limit)."""
    return oom.peak_bytes or max(int(-(-summary.maximum // 1)), limit or 0)


def oom_demand(peak: int) -> int:
    """max(peak + 100 MiB, peak × 1.2) bytes in whole MiB (VPA, FACTS §Right-sizing)."""
    bumped = -(-peak * OOM_RATIO[0] // OOM_RATIO[1])
    return up("memory", max(peak + OOM_MARGIN_BYTES, bumped))
