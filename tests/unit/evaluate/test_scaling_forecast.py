"""How many replicas an HPA would run: the ratio, its tolerance, and pods that have no say."""

import pytest

from reconciler.evaluate.scaling_forecast import forecast
from reconciler.model.policy import ScalingPolicySpec
from support.declared import container, pod, policy, workload


def spec(**fields: object) -> ScalingPolicySpec:
    return policy(**{"min_replicas": 1, "max_replicas": 20, "step_size": 100, "cpu_target_percent": 50, **fields}).spec


def test_replicas_follow_the_ratio_of_usage_to_target() -> None:
    seen = forecast(spec(), 4, [pod(f"p{i}", 75) for i in range(4)])
    assert (seen.current_replicas, seen.desired_replicas, seen.direction) == (4, 6, "up")
    assert (seen.trigger_metric, seen.trigger_value, seen.threshold) == ("cpu_percent", 75, 50)


def test_a_low_load_scales_down() -> None:
    seen = forecast(spec(), 4, [pod(f"p{i}", 20) for i in range(4)])
    assert (seen.desired_replicas, seen.direction) == (2, "down")


@pytest.mark.parametrize(("millicores", "desired"), [(55, 4), (45, 4), (56, 5), (44, 4), (37, 3)])
def test_nothing_moves_within_the_tolerance(millicores: float, desired: int) -> None:
    # 55 and 45 of 100 are ratios of exactly 1.1 and 0.9; 44 leaves the tolerance, yet ceil(0.88 × 4) is 4 all the same.
    assert forecast(spec(), 4, [pod(f"p{i}", millicores) for i in range(4)]).desired_replicas == desired


def test_the_target_is_a_share_of_the_request() -> None:
    pods = [pod("a", 75, request=300), pod("b", 75, request=100)]
    assert forecast(spec(), 2, pods).trigger_value == 37.5


def test_pods_without_metrics_hold_back_a_scale_down() -> None:
    # One idle pod of two: alone it would halve the replicas, with the silent one taken for fully used nothing happens.
    assert forecast(spec(), 2, [pod("a", 5), pod("b", None)]).desired_replicas == 2


def test_pods_without_metrics_count_nothing_when_scaling_up() -> None:
    # Ratio 2 over one pod; over both pods it is 1: no change.
    assert forecast(spec(), 2, [pod("a", 100), pod("b", None)]).desired_replicas == 2
    assert forecast(spec(), 2, [pod("a", 180), pod("b", None)]).desired_replicas == 4


def test_starting_pods_count_nothing_when_scaling_up_and_are_ignored_when_scaling_down() -> None:
    burning = pod("b", 900, ready=False)
    assert forecast(spec(), 2, [pod("a", 100), burning]).desired_replicas == 2
    assert forecast(spec(), 2, [pod("a", 20), burning]).desired_replicas == 1


def test_readiness_does_not_matter_for_memory() -> None:
    pods = [pod("a", None, memory=100, memory_request=100), pod("b", None, memory=100, memory_request=100, ready=False)]
    seen = forecast(spec(cpu_target_percent=None, memory_target_percent=50), 2, pods)
    assert (seen.desired_replicas, seen.trigger_metric) == (4, "memory_percent")


def test_pending_and_ended_pods() -> None:
    ended = pod("c", 900, phase="Failed")
    pending = pod("b", 900, phase="Pending")
    assert forecast(spec(), 2, [pod("a", 100), pending, ended]).desired_replicas == 2


def test_the_hungriest_metric_wins() -> None:
    pods = [pod("a", 60, memory=90, memory_request=100), pod("b", 60, memory=90, memory_request=100)]
    seen = forecast(spec(memory_target_percent=30), 2, pods)
    assert (seen.desired_replicas, seen.trigger_metric, seen.trigger_value) == (6, "memory_percent", 90)


def test_a_failed_metric_forbids_scaling_down_but_not_up() -> None:
    two = spec(memory_target_percent=50)
    assert forecast(two, 4, [pod(f"p{i}", 10) for i in range(4)]).desired_replicas == 4
    assert forecast(two, 4, [pod(f"p{i}", 100) for i in range(4)]).desired_replicas == 8


def test_one_pod_without_a_request_fails_the_metric() -> None:
    assert forecast(spec(), 2, [pod("a", 10), pod("b", 10, request=None)]).desired_replicas is None


def test_the_manifest_supplies_requests_that_were_not_pushed() -> None:
    known = workload("web", container("server", cpu_request=200))
    seen = forecast(spec(), 2, [pod("a", 200, request=None), pod("b", 200, request=None)], workload=known)
    assert (seen.desired_replicas, seen.trigger_value) == (4, 100)


def test_an_absolute_target_is_a_share_of_the_base_request() -> None:
    # Trimtab shrank the request to 100m; people's own was 400m, and the HPA's target stayed at 50 % of that.
    seen = forecast(spec(), 2, [pod("a", 200), pod("b", 200)], cpu_base=400)
    assert (seen.desired_replicas, seen.trigger_value) == (2, 50)


def test_steps_then_bounds() -> None:
    pods = [pod(f"p{i}", 500) for i in range(4)]
    assert forecast(spec(step_size=2), 4, pods).desired_replicas == 6
    assert forecast(spec(step_size=2, max_replicas=5), 4, pods).desired_replicas == 5
    assert forecast(spec(min_replicas=12, step_size=1), 4, pods).desired_replicas == 12


def test_nothing_is_forecast_without_an_observation() -> None:
    seen = forecast(spec(), 3, [])
    assert (seen.current_replicas, seen.desired_replicas, seen.direction, seen.trigger_metric) == (
        3,
        None,
        "none",
        None,
    )


def test_an_hpa_at_zero_rests() -> None:
    seen = forecast(spec(), 0, [pod("a", 100)])
    assert (seen.desired_replicas, seen.direction) == (None, "none")


def test_node_pressure_can_be_the_worst_and_moves_no_replicas() -> None:
    pods = [pod("a", 50), pod("b", 50)]
    seen = forecast(spec(node_pressure_target_percent=60), 2, pods, node_pressure=90)
    assert (seen.trigger_metric, seen.trigger_value, seen.threshold) == ("node_pressure_percent", 90, 60)
    assert seen.desired_replicas == 2
