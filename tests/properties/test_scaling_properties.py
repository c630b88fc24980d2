"""What holds for every policy and every load."""

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.evaluate.node_pressure import raised_limit
from reconciler.evaluate.scaling import policy_proposals
from reconciler.evaluate.scaling_forecast import forecast
from reconciler.model.observation import Pod
from reconciler.model.policy import ScalingPolicy
from support.declared import FLEET, NOW, container, landed, observation, pod, policy, state, workload

percents = st.one_of(st.integers(1, 100), st.floats(1, 100, allow_nan=False))
usages = st.one_of(st.none(), st.just(0.0), st.floats(0, 1e6, allow_nan=False))
requests = st.one_of(st.none(), st.just(0.0), st.floats(1, 1e5, allow_nan=False))


@st.composite
def policies(draw: st.DrawFn) -> ScalingPolicy:
    low, high = sorted((draw(st.integers(1, 50)), draw(st.integers(1, 50))))
    cpu = draw(st.one_of(st.none(), percents))
    return policy(
        min_replicas=low,
        max_replicas=high,
        step_size=draw(st.integers(1, 60)),
        cpu_target_percent=cpu,
        memory_target_percent=draw(percents if cpu is None else st.one_of(st.none(), percents)),
        cooldown_scale_up_seconds=draw(st.integers(0, 1800)),
        cooldown_scale_down_seconds=draw(st.integers(0, 1800)),
        hand_over=draw(st.booleans()),
    )


@st.composite
def some_pods(draw: st.DrawFn) -> list[Pod]:
    phases = st.sampled_from(["Running", "Pending", "Failed", ""])
    return [
        pod(
            f"p{number}",
            draw(usages),
            request=draw(requests),
            memory=draw(usages),
            memory_request=draw(requests),
            ready=draw(st.booleans()),
            phase=draw(phases),
        )
        for number in range(draw(st.integers(0, 6)))
    ]


@settings(max_examples=150, deadline=None)
@given(policies(), st.integers(0, 80), some_pods(), st.one_of(st.none(), st.integers(1, 10_000)))
def test_desired_is_always_between_min_and_max(
    rule: ScalingPolicy, current: int, pods: list[Pod], cpu_base: int | None
) -> None:
    spec = rule.spec
    seen = forecast(spec, current, pods, cpu_base=cpu_base)
    desired = seen.desired_replicas
    if desired is None:
        assert seen.direction == "none"
        return
    assert spec.min_replicas <= desired <= spec.max_replicas
    assert seen.direction == ("up" if desired > current else "down" if desired < current else "none")
    within = spec.min_replicas <= current <= spec.max_replicas
    assert not within or abs(desired - current) <= spec.step_size


@settings(max_examples=100, deadline=None)
@given(policies(), st.integers(1, 6), st.floats(0, 1e4, allow_nan=False))
def test_more_load_never_means_fewer_replicas(rule: ScalingPolicy, count: int, load: float) -> None:
    def desired(usage: float) -> int:
        pods = [pod(f"p{n}", usage, memory=usage, memory_request=100) for n in range(count)]
        return forecast(rule.spec, count, pods).desired_replicas or 0

    assert desired(load) <= desired(load * 1.5 + 1)


@settings(max_examples=60, deadline=None)
@given(policies(), st.one_of(st.none(), st.integers(1, 9)), st.booleans(), some_pods())
def test_once_landed_there_is_nothing_more_to_do_whatever_the_load(
    rule: ScalingPolicy, replicas: int | None, sized: bool, pods: list[Pod]
) -> None:
    web = workload("web", container(cpu_request=130), replicas=replicas)
    before = state(web)
    chosen = {web.key} if sized else set()
    first = policy_proposals(
        [rule], [before], FLEET, now=NOW, observations={}, policies_complete=True, sized_cpu=chosen
    )
    free = [proposal for proposal in first.proposals if not proposal.blocked]
    assert bool(free) == (replicas is None or rule.spec.hand_over)
    again = policy_proposals(
        [rule], [landed(before, *free)], FLEET, now=NOW, observations=observation(pods=pods), policies_complete=True
    )
    assert [proposal for proposal in again.proposals if not proposal.blocked] == []


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 10**7), st.floats(0, 1e8, allow_nan=False), percents, st.sampled_from([1000, 1024**3]))
def test_limits_rise_at_most_to_double_and_settle(current: int, requested: float, target: float, unit: int) -> None:
    limit = raised_limit(current, requested, target, unit)
    assert current <= limit <= max(2 * current, unit)
    assert limit == current or limit % unit == 0
    for _ in range(60):
        limit = raised_limit(limit, requested, target, unit)
    assert raised_limit(limit, requested, target, unit) == limit
