"""What the cluster allows: limits that keep their ratio, LimitRanges, the largest node; each clamp is said."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.evaluate.sizing import SizingContext, recommend
from reconciler.model.action import SizingParameters
from reconciler.model.inventory import LimitRangeItem
from reconciler.model.observation import OomRecord, SeriesKey, UsageSummary
from reconciler.model.quantity import GIB, MIB
from reconciler.model.recommendation import ContainerRecommendation
from reconciler.model.workload import Container, ObjectRef, Resource, Resources, Source, Workload, WorkloadKey

NOW = datetime(2026, 6, 16, 10, tzinfo=UTC)
KEY = WorkloadKey(cluster="prod", namespace="shop", kind="Deployment", name="web")
AS_USED = SizingParameters(target_utilization_cpu=1.0, target_utilization_ram=1.0)


def sized(
    resources: Resources,
    *ranges: LimitRangeItem,
    cpu: float = 0.0,
    memory: float = 0.0,
    node: tuple[int, int] | None = None,
    oom: OomRecord | None = None,
    beside: tuple[Container, ...] = (),
    peak: float = 0.0,
    pod_cpu: int | None = None,
) -> ContainerRecommendation:
    """The recommendation for one container that used ``cpu`` cores and ``memory`` bytes, at 100 % utilization."""
    web = Workload(
        key=KEY,
        ref=ObjectRef(api_version="apps/v1", kind="Deployment", name="web"),
        root="clusters/prod",
        source=Source(path="web.yaml"),
        containers=(Container(name="server", resources=resources), *beside),
        pod_cpu_request=pod_cpu,
    )
    base: dict[Resource, float] = {"cpu": cpu, "memory": memory}
    usage = {
        SeriesKey(workload=KEY, container="server", resource=resource): UsageSummary(
            samples=1000,
            maximum=max(value, peak if resource == "memory" else 0),
            average=value,
            base={"max": value},
            first=NOW - timedelta(days=14),
            last=NOW,
        )
        for resource, value in base.items()
        if value
    }
    context = SizingContext(
        now=NOW,
        params=AS_USED,
        usage=usage,
        limit_ranges=ranges,
        largest_node=node,
        ooms={(KEY, "server"): oom} if oom else {},
    )
    return recommend(web, context)[0]


def limit_range(**figures: object) -> LimitRangeItem:
    return LimitRangeItem.model_validate({"namespace": "shop", "name": "bounds", **figures})


@pytest.mark.parametrize(
    ("request_m", "limit_m", "used", "expected"),
    [
        (100, 200, 0.28, (280, 560)),
        (300, 1000, 0.1, (100, 334)),
        (0, 500, 0.28, (280, 500)),
        (0, 100, 0.28, (280, 280)),
    ],
)
def test_a_limit_keeps_its_ratio(request_m: int, limit_m: int, used: float, expected: tuple[int, int]) -> None:
    found = sized(Resources(cpu_request=request_m, cpu_limit=limit_m), cpu=used).recommended
    assert (found.cpu_request, found.cpu_limit) == expected


def test_no_limit_is_ever_added() -> None:
    found = sized(Resources(cpu_request=100, memory_request=GIB), cpu=0.5, memory=100 * MIB).recommended
    assert (found.cpu_limit, found.memory_limit) == (None, None)


def test_a_memory_limit_stays_at_the_highest_use() -> None:
    resources = Resources(memory_request=512 * MIB, memory_limit=512 * MIB)
    found = sized(resources, memory=100 * MIB, peak=300.5 * MIB)
    assert (found.recommended.memory_request, found.recommended.memory_limit) == (100 * MIB, 301 * MIB)
    assert "limit kept at 301Mi, the highest use seen" in found.why["memory"]


def test_minimum_and_maximum_of_a_limit_range() -> None:
    bounds = limit_range(min_cpu=50, max_memory=GIB)
    found = sized(Resources(cpu_request=500, memory_request=200 * MIB), bounds, cpu=0.02, memory=2 * GIB)
    assert found.recommended == Resources(cpu_request=50, memory_request=GIB)
    assert "raised to 50m, the minimum of LimitRange bounds" in found.why["cpu"]
    assert "reduced to 1Gi, the maximum of LimitRange bounds" in found.why["memory"]
    assert found.notes == {
        "cpu": ("raised to 50m, the minimum of LimitRange bounds",),
        "memory": ("reduced to 1Gi, the maximum of LimitRange bounds",),
    }


def test_a_maximum_bounds_the_limit_as_well() -> None:
    found = sized(Resources(cpu_request=100, cpu_limit=400), limit_range(max_cpu=1000), cpu=0.5)
    assert (found.recommended.cpu_request, found.recommended.cpu_limit) == (500, 1000)
    assert "limit reduced to 1, the maximum of LimitRange bounds" in found.why["cpu"]


def test_a_maximum_that_is_no_whole_mebibyte_is_never_passed() -> None:
    found = sized(Resources(memory_request=100 * MIB), limit_range(max_memory=10**9), memory=2 * GIB)
    assert found.recommended.memory_request == 953 * MIB


def test_a_single_permitted_value_is_taken_as_it_is() -> None:
    found = sized(Resources(memory_request=100 * MIB), limit_range(min_memory=10**9, max_memory=10**9), memory=2 * GIB)
    assert found.recommended.memory_request == 10**9
    assert "reduced to 1G, the maximum of LimitRange bounds" in found.why["memory"]


def test_a_container_without_a_limit_stays_within_the_default_limit() -> None:
    found = sized(Resources(cpu_request=100), limit_range(default_cpu=300), cpu=0.5)
    assert found.recommended == Resources(cpu_request=300)
    assert "reduced to 300m, the default limit of LimitRange bounds, as the container has no limit" in found.why["cpu"]
    assert sized(Resources(cpu_request=100, cpu_limit=100), limit_range(default_cpu=300), cpu=0.5).recommended == (
        Resources(cpu_request=500, cpu_limit=500)
    )


def test_a_default_request_is_what_the_container_has_today() -> None:
    found = sized(Resources(), limit_range(default_request_cpu=400, default_cpu=800), cpu=0.1)
    assert (found.current.cpu_request, found.recommended.cpu_request) == (400, 100)
    assert found.saving_monthly > 0


def test_the_limit_comes_down_to_the_permitted_ratio() -> None:
    found = sized(Resources(cpu_request=100, cpu_limit=1000), limit_range(ratio_cpu=4), cpu=0.2)
    assert (found.recommended.cpu_request, found.recommended.cpu_limit) == (200, 800)
    assert "limit 800m for maxLimitRequestRatio 4 of LimitRange bounds" in found.why["cpu"]


def test_the_request_goes_up_where_memory_use_holds_the_limit() -> None:
    resources = Resources(memory_request=512 * MIB, memory_limit=GIB)
    found = sized(resources, limit_range(ratio_memory=2), memory=100 * MIB, peak=400 * MIB)
    assert (found.recommended.memory_request, found.recommended.memory_limit) == (200 * MIB, 400 * MIB)
    assert "raised to 200Mi for maxLimitRequestRatio 2" in found.why["memory"]


def test_the_default_limit_counts_for_the_ratio_too() -> None:
    found = sized(Resources(cpu_request=500), limit_range(default_cpu=1000, ratio_cpu=4), cpu=0.1)
    assert found.recommended == Resources(cpu_request=250)
    assert "maxLimitRequestRatio 4" in found.why["cpu"]


def test_several_limit_ranges_bind_together() -> None:
    first, second = limit_range(max_cpu=800), limit_range(name="other", max_cpu=600)
    assert sized(Resources(cpu_request=100), first, second, cpu=2.0).recommended.cpu_request == 600
    elsewhere = limit_range(max_cpu=600).model_copy(update={"namespace": "bank"})
    assert sized(Resources(cpu_request=100), elsewhere, cpu=2.0).recommended.cpu_request == 2000


def test_a_pod_item_binds_a_pod_of_one_container() -> None:
    pod = limit_range(type="Pod", max_cpu=300)
    assert sized(Resources(cpu_request=100), pod, cpu=0.5).recommended.cpu_request == 300
    beside = (Container(name="proxy"),)
    assert sized(Resources(cpu_request=100), pod, cpu=0.5, beside=beside).recommended.cpu_request == 500


def test_a_request_fits_the_largest_node() -> None:
    found = sized(Resources(cpu_request=100, cpu_limit=200), cpu=9.5, node=(4000, 16 * GIB))
    assert (found.recommended.cpu_request, found.recommended.cpu_limit) == (4000, 8000)
    assert "reduced to 4, what the largest node has" in found.why["cpu"]


def test_the_node_wins_over_oom_history() -> None:
    oom = OomRecord(workload=KEY, container="server", oom_kills=1, peak_bytes=2 * GIB)
    found = sized(Resources(memory_request=GIB), memory=GIB, node=(4000, 2 * GIB), oom=oom)
    assert found.recommended.memory_request == 2 * GIB
    assert "raised to 2458Mi after 1 OOM kill at 2048.0 MiB; reduced to 2Gi" in found.why["memory"]


def test_containers_stay_within_the_pods_own_request() -> None:
    beside = (Container(name="proxy", resources=Resources(cpu_request=300)),)
    fits = sized(Resources(cpu_request=500), cpu=0.2, beside=beside, pod_cpu=700)
    assert fits.recommended.cpu_request == 200
    assert fits.saving_monthly == 0
    above = sized(Resources(cpu_request=200), cpu=0.5, beside=beside, pod_cpu=700)
    assert above.changes == ()
    assert above.recommended.cpu_request == 200
    assert above.why["cpu"] == "left alone: the containers would request 800m, above the pod's own request of 700m"
