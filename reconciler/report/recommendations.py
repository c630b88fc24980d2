"""Recommendations as a table for people and as JSON for machines."""

from collections.abc import Sequence
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reconciler.model.quantity import format_cpu, format_memory
from reconciler.model.recommendation import ContainerRecommendation
from reconciler.model.workload import RESOURCES, Resource, Resources
from reconciler.report.money import money

_RISK_STYLE = {"low": "green", "medium": "yellow", "high": "red"}


def quantity(resource: Resource, value: int | None) -> str:
    """A canonical quantity, ``-`` where nothing is set."""
    if value is None:
        return "-"
    return format_cpu(value) if resource == "cpu" else format_memory(value)


def _arrow(resource: Resource, old: int | None, new: int | None) -> Text:
    before, after = quantity(resource, old), quantity(resource, new)
    if before == after:
        return Text(before, style="dim")
    falls = old is not None and new is not None and new < old
    return Text.assemble(before, (" → ", "dim"), (after, "green" if falls else "yellow"))


def by_saving(recommendations: Sequence[ContainerRecommendation]) -> list[ContainerRecommendation]:
    """Largest saving first; equal ones by name, so that two runs print the same."""
    return sorted(recommendations, key=lambda r: (-r.saving_monthly, str(r.workload.key), r.container))


def recommendation_table(
    recommendations: Sequence[ContainerRecommendation], currency: str, *, why: bool = True
) -> RenderableType:
    """Per container: requests and limits, current → recommended, saving per month, risk, samples, and why."""
    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    for name in ("workload", "container", "cpu", "cpu limit", "memory", "memory limit"):
        table.add_column(name, no_wrap=True)
    for name in (f"{currency}/month", "samples"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("risk", no_wrap=True)
    rows = by_saving(recommendations)
    for r in rows:
        key, now, then = r.workload.key, r.current, r.recommended
        table.add_row(
            f"{key.namespace}/{key.name}",
            r.container,
            _arrow("cpu", now.cpu_request, then.cpu_request),
            _arrow("cpu", now.cpu_limit, then.cpu_limit),
            _arrow("memory", now.memory_request, then.memory_request),
            _arrow("memory", now.memory_limit, then.memory_limit),
            money(r.saving_monthly, currency),
            str(r.samples),
            Text(r.risk, style=_RISK_STYLE[r.risk]),
        )
    total = sum((r.saving_monthly for r in rows), Decimal(0))
    parts: list[RenderableType] = [table, Text(f"\n{len(rows)} containers, {money(total, currency)} a month together")]
    if why:
        parts.append(_reasons(rows))
    return Group(*parts)


def _reasons(rows: Sequence[ContainerRecommendation]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    table.add_row("\nwhy", "", "")
    for r in rows:
        name = f"{r.workload.key.namespace}/{r.workload.key.name} {r.container}"
        for resource in RESOURCES:
            if resource in r.why:
                table.add_row(name, resource, r.why[resource])
                name = ""
    return table


def _config(resources: Resources) -> dict[str, dict[str, str]]:
    """Requests and limits as the Recommendations API spells them; what is not set is left out."""
    return {
        "requests": {r: quantity(r, v) for r in RESOURCES if (v := resources.request(r)) is not None},
        "limits": {r: quantity(r, v) for r in RESOURCES if (v := resources.limit(r)) is not None},
    }


def recommendation_json(recommendations: Sequence[ContainerRecommendation], currency: str) -> list[dict[str, object]]:
    """The same rows for machines. Savings are decimal strings with four places, usage is in cores and bytes."""
    return [
        {
            "cluster": r.workload.key.cluster,
            "namespace": r.workload.key.namespace,
            "kind": r.workload.key.kind,
            "name": r.workload.key.name,
            "container": r.container,
            "current": _config(r.current),
            "recommended": _config(r.recommended),
            "changes": list(r.changes),
            "savingMonthly": {"amount": f"{r.saving_monthly:.4f}", "currency": currency},
            "risk": r.risk,
            "samples": r.samples,
            "replicas": r.replicas,
            "oomKills": r.oom_kills,
            "restarts": r.restarts,
            "action": r.action or None,
            "usage": {
                resource: {"max": u.maximum, "average": u.average, **u.quantiles, "samples": u.samples}
                for resource, u in r.usage.items()
            },
            "why": dict(r.why),
            "source": {"path": r.workload.source.path, "line": r.workload.source.line},
        }
        for r in by_saving(recommendations)
    ]
