"""Recommendations as a table for people and as JSON for machines."""

from collections.abc import Sequence
from decimal import Decimal

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from reconciler.model.quantity import format_cpu, format_memory
from reconciler.model.recommendation import ContainerRecommendation
from reconciler.model.workload import RESOURCES, Resource, Resources
from reconciler.report.money import money
from reconciler.report.passes import counted

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
    rows = by_saving(recommendations)
    total = sum((r.saving_monthly for r in rows), Decimal(0))
    told = f"\n{counted(len(rows), 'container')}, {money(total, currency)} a month together"
    return Group(_Containers(rows, currency), Text(told), *([_reasons(rows)] if why else []))


def _names(rows: Sequence[ContainerRecommendation]) -> list[str]:
    """``shop/web``; with the cluster before it where the rows are of several."""
    keys = [r.workload.key for r in rows]
    several = len({key.cluster for key in keys}) > 1
    return [f"{key.cluster + '/' if several and key.cluster else ''}{key.namespace}/{key.name}" for key in keys]


class _Containers:
    """The table, with limits in columns of their own, or below the requests where the terminal is too narrow for that."""

    def __init__(self, rows: Sequence[ContainerRecommendation], currency: str) -> None:
        self.rows = rows
        self.currency = currency

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = self._table(wide=True)
        needed = Measurement.get(console, options.update(max_width=10_000), table).maximum
        yield table if needed <= options.max_width else self._table(wide=False)

    def _table(self, *, wide: bool) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
        for name in ("workload", "container"):
            table.add_column(name, overflow="fold")
        for name in ("cpu", "cpu limit", "memory", "memory limit") if wide else ("cpu\n  limit", "memory\n  limit"):
            table.add_column(name, no_wrap=True)
        for name in (f"{self.currency}/month", "samples"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("risk", no_wrap=True)
        for name, r in zip(_names(self.rows), self.rows, strict=True):
            table.add_row(
                Text(name),
                Text(r.container),
                *_values(r, wide=wide),
                money(r.saving_monthly, self.currency),
                str(r.samples),
                Text(r.risk, style=_RISK_STYLE[r.risk]),
            )
        return table


def _values(r: ContainerRecommendation, *, wide: bool) -> list[Text]:
    """CPU, its limit, memory, its limit; a limit that is not set is left out where it has no column of its own."""
    now, then = r.current, r.recommended
    cells = []
    for resource in RESOURCES:
        request = _arrow(resource, now.request(resource), then.request(resource))
        limit = _arrow(resource, now.limit(resource), then.limit(resource))
        if wide:
            cells += [request, limit]
        else:
            cells.append(Text.assemble(request, "\n  ", limit) if limit.plain != "-" else request)
    return cells


def _reasons(rows: Sequence[ContainerRecommendation]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(overflow="fold", style="bold")
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    table.add_row("\nwhy", "", "")
    for workload, r in zip(_names(rows), rows, strict=True):
        name = f"{workload} {r.container}"
        for resource in RESOURCES:
            if resource in r.why:
                table.add_row(Text(name), resource, Text(r.why[resource]))
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
