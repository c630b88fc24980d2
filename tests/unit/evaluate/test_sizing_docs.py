"""Every figure in docs/rightsizing.md is what the code computes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from reconciler.evaluate.refusals import too_close
from reconciler.evaluate.request_base import absolute_cpu_target
from reconciler.evaluate.sizing import SizingContext, recommend
from reconciler.evaluate.sizing_base import OOM_MARGIN_BYTES, oom_demand
from reconciler.evaluate.sizing_clamps import kept_ratio
from reconciler.evaluate.sizing_pricing import FOUR_PLACES, monthly_price
from reconciler.evaluate.sizing_units import spell
from reconciler.model.action import SizingParameters
from reconciler.model.fleet import Pricing
from reconciler.model.observation import SeriesKey, UsageSummary
from reconciler.model.quantity import MIB, parse_cpu, parse_memory
from reconciler.model.recommendation import HOURS_A_MONTH, ContainerRecommendation
from reconciler.model.workload import Container, ObjectRef, Resource, Resources, Source, Workload, WorkloadKey

DOC = (Path(__file__).resolve().parents[3] / "docs/rightsizing.md").read_text(encoding="utf-8")
NOW = datetime(2026, 6, 16, 10, tzinfo=UTC)
Row = dict[str, str]


def tables() -> Iterator[list[Row]]:
    """The tables of the page, each a list of rows by column name."""
    block: list[list[str]] = []
    for line in [*DOC.splitlines(), ""]:
        if line.startswith("|"):
            block.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
        elif block:
            head, _, *rows = block
            yield [dict(zip(head, row, strict=True)) for row in rows]
            block = []


def rows(*columns: str) -> list[Row]:
    """The rows of the one table that starts with these columns."""
    (found,) = [table for table in tables() if tuple(table[0])[: len(columns)] == columns]
    return found


def amount(text: str, resource: str) -> int:
    return parse_cpu(text) if resource == "cpu" else parse_memory(text)


def recommendation(
    resource: Resource, current: int | None, base: float, params: SizingParameters
) -> ContainerRecommendation:
    key = WorkloadKey(cluster="c", namespace="n", kind="Deployment", name="w")
    resources = Resources(cpu_request=current) if resource == "cpu" else Resources(memory_request=current)
    subject = Workload(
        key=key,
        ref=ObjectRef(api_version="apps/v1", kind="Deployment", name="w"),
        root="r",
        source=Source(path="w.yaml"),
        containers=(Container(name="server", resources=resources),),
    )
    summary = UsageSummary(
        samples=1000, maximum=base, average=base, base={"max": base}, first=NOW - timedelta(days=14), last=NOW
    )
    usage = {SeriesKey(workload=key, container="server", resource=resource): summary}
    (found,) = recommend(subject, SizingContext(now=NOW, params=params, usage=usage))
    return found


def measured(text: str) -> float:
    number, unit = text.split()
    return float(number) * (MIB if unit == "MiB" else 1)


@pytest.mark.parametrize("row", rows("resource", "base"), ids=lambda row: row["base"])
def test_requests(row: Row) -> None:
    resource: Resource = "cpu" if row["resource"] == "cpu" else "memory"
    utilization = float(row["target utilization"])
    params = SizingParameters(target_utilization_cpu=utilization, target_utilization_ram=utilization)
    found = recommendation(resource, None, measured(row["base"]), params)
    assert spell(resource, found.recommended.request(resource)) == row["request"]
    assert f"÷ {utilization:g} = {row['base ÷ utilization']}" in found.why[resource]
    assert ("floor" in found.why[resource]) == (row["why"] == "the floor")


@pytest.mark.parametrize("row", rows("peak", "at least"), ids=lambda row: row["peak"])
def test_after_an_oom_kill(row: Row) -> None:
    peak = int(measured(row["peak"]))
    assert spell("memory", oom_demand(peak)) == row["at least"]
    assert oom_demand(peak) >= peak + OOM_MARGIN_BYTES


@pytest.mark.parametrize("row", rows("resource", "people's request"), ids=lambda row: row["new limit"])
def test_limits(row: Row) -> None:
    resource: Resource = "cpu" if row["resource"] == "cpu" else "memory"
    request, own, limit = (
        amount(row[name], resource) for name in ("new request", "people's request", "people's limit")
    )
    assert spell(resource, kept_ratio(request, own, limit, resource)) == row["new limit"]


@pytest.mark.parametrize("row", rows("policy's percent"), ids=lambda row: row["policy's percent"])
def test_hpa_targets(row: Row) -> None:
    base = parse_cpu(row["people's request of the pod"])
    subject = recommendation("cpu", base, 0.1, SizingParameters()).workload
    assert absolute_cpu_target(float(row["policy's percent"]), subject) == row["target"]


@pytest.mark.parametrize("row", rows("resource", "current", "new"), ids=lambda row: row["new"])
def test_what_is_worth_a_change(row: Row) -> None:
    resource: Resource = "cpu" if row["resource"] == "cpu" else "memory"
    new = amount(row["new"], resource)
    params = SizingParameters(target_utilization_cpu=1.0, target_utilization_ram=1.0)
    base = new / 1000 if resource == "cpu" else float(new)
    found = recommendation(resource, amount(row["current"], resource), base, params)
    assert (resource in found.changes) == (row["changed"] == "yes")


@pytest.mark.parametrize("row", rows("refused"), ids=lambda row: f"{row['refused']}-{row['new']}")
def test_refusals(row: Row) -> None:
    assert too_close(row["refused"], row["new"]) == (row["written again"] == "no")


@pytest.mark.parametrize("row", rows("resource", "current", "recommended"), ids=lambda row: row["saving"])
def test_savings(row: Row) -> None:
    resource: Resource = "cpu" if row["resource"] == "cpu" else "memory"
    less = amount(row["current"], resource) - amount(row["recommended"], resource)
    saving = monthly_price(resource, less, Pricing()) * int(row["replicas"])
    assert saving.quantize(FOUR_PLACES) == Decimal(row["saving"])


def test_the_defaults_are_those_of_the_code() -> None:
    told = {row["parameter"]: row["default"] for row in rows("parameter")}
    params = SizingParameters()
    assert told["rightSizingWindow"] == f"{params.window_seconds // 86400} days"
    assert float(told["quantileCPU`, `quantileRAM"]) == params.quantile_cpu == params.quantile_ram
    utilization = float(told["targetUtilizationCPU`, `targetUtilizationRAM"])
    assert utilization == params.target_utilization_cpu == params.target_utilization_ram
    assert int(told["minRecCPUMillicores"]) == params.min_cpu_millicores
    assert int(told["minRecRAMBytes"]) == params.min_ram_bytes
    assert float(told["minChangePercent"]) == params.min_change_percent
    assert f"smallest number of samples is {params.min_samples} " in DOC
    pricing = Pricing()
    assert f"{pricing.cpu_core_hour} and\n{pricing.ram_gib_hour} {pricing.currency}" in DOC
    assert f"× price × {HOURS_A_MONTH} hours" in DOC


def test_the_reason_that_the_page_quotes() -> None:
    found = recommendation("cpu", 100, 0.182, SizingParameters())
    assert found.why["cpu"] in DOC
