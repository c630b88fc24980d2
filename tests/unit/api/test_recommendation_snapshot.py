"""The pod's figures of ``metrics_snapshot``: what runs side by side, and nothing else."""

from datetime import UTC, datetime, timedelta

import pytest

from api.recommendations.snapshot import snapshot
from reconciler.model.observation import UsageSummary
from reconciler.model.quantity import GIB
from reconciler.model.recommendation import ContainerSizes, WorkloadRecommendation
from reconciler.model.workload import RESOURCES, Resources, Role
from reconciler.store.usage_workload import WorkloadHistory

AT = datetime(2026, 6, 17, 10, tzinfo=UTC)


def one(**roles: Role) -> WorkloadRecommendation:
    """Each container requests a core and a GiB."""
    sized = Resources(cpu_request=1000, memory_request=GIB)
    return WorkloadRecommendation(
        id="1", organization="acme", fleet="f", cluster="prod", cluster_id="", namespace="shop", kind="Deployment",
        name="web", created_at=AT, updated_at=AT, analyzed_at=AT, window_seconds=86_400,
        current=tuple(ContainerSizes(name=name, resources=sized, role=role) for name, role in roles.items()),
    )  # fmt: skip


def history(*names: str) -> WorkloadHistory:
    """Each container uses half a core, and half a GiB."""
    found = {}
    for resource, half in zip(RESOURCES, (0.5, GIB / 2), strict=True):
        summary = UsageSummary(
            samples=10, maximum=half, average=half, first=AT - timedelta(days=1), last=AT,
            quantiles=dict.fromkeys(("p50", "p95", "p99"), half),
        )  # fmt: skip
        found |= {(name, resource): summary for name in names}
    return WorkloadHistory(usage=found, incidents={})


def test_init_containers_are_shown_and_not_added_up_and_native_sidecars_are() -> None:
    shown = snapshot(one(setup="init", mesh="sidecar", server="main"), history("setup", "mesh", "server"))
    cpu, memory = shown.cpu.model_dump(exclude_unset=True), shown.memory.model_dump(exclude_unset=True)
    assert (cpu["request_cores"], cpu["used_cores_p95"], cpu["used_cores_max"]) == (2.0, 1.0, 1.0)
    assert (memory["request_bytes"], memory["used_bytes_avg"]) == (2 * GIB, GIB)
    assert cpu["utilization_percent_p95"] == memory["utilization_percent_p95"] == 50.0
    assert [each.name for each in shown.containers] == ["setup", "mesh", "server"]
    assert shown.containers[0].cpu.model_dump(exclude_unset=True)["used_cores_p95"] == pytest.approx(0.5)


def test_what_was_stored_without_roles_is_read_as_containers_that_run() -> None:
    body = one(server="main").model_dump_json(by_alias=True).replace(',"role":"main"', "")
    stored = WorkloadRecommendation.model_validate_json(body)
    assert '"role"' not in body and stored.current[0].role == "main"
