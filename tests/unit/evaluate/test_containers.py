"""Docker policies: what load, limits, room, cooldowns and refusals make of a group."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.evaluate.containers import ContainersResult, Groups, container_proposals
from reconciler.manifests.container_group import REPLICAS
from reconciler.model.change import Proposal, Refusal
from reconciler.model.container_group import ContainerGroup, Host
from reconciler.model.fleet import Fleet, HostPool
from reconciler.model.observation import GroupContainer
from reconciler.model.policy import ScalingPolicy, ScalingPolicySpec
from support.replay import NOW

KEY = ("web-pool", "web")
PATH = "docker/web-pool/web.yaml"
FLEET = Fleet(name="acme", host_pools=(HostPool(name="web-pool"),))
MADE = "scp_1718000000000000000"


def docker_policy(policy_id: str = MADE, **fields: Any) -> ScalingPolicy:
    given_fields = {"name": "web", "runtime": "docker", "target_ref": "web-pool/web", "dry_run": False}
    spec = ScalingPolicySpec.model_validate({**given_fields, "cpu_target_percent": 50, **fields})
    return ScalingPolicy(id=policy_id, spec=spec, source="api")


def container(cpu: float = 50, *, memory: float = 0, limit: float | None = None, **more: str) -> GroupContainer:
    fields = {"status": "running", "group": "web", "image": "web:1", **more}
    return GroupContainer.model_validate({**fields, "cpu_percent": cpu, "memory_mb": memory, "memory_limit_mb": limit})


def host(*containers: GroupContainer, name: str = "a", silent: float = 0, pushed: float = 0) -> Host:
    return Host(
        agent_id=name,
        last_seen=NOW - timedelta(seconds=silent),
        pushed_at=NOW - timedelta(seconds=pushed),
        containers=containers,
    )


def group(replicas: int, **more: Any) -> ContainerGroup:
    return ContainerGroup(host_pool="web-pool", name="web", replicas=replicas, **more)


def evaluate(
    *hosts: Host,
    file: ContainerGroup | None = None,
    policies: tuple[ScalingPolicy, ...] = (docker_policy(),),
    refusals: tuple[Refusal, ...] = (),
    last: datetime | None = None,
    **more: Any,
) -> ContainersResult:
    return container_proposals(
        policies,
        Groups({KEY: file} if file else {}),
        FLEET,
        now=NOW,
        observations={"docker/web-pool": hosts},
        refusals=refusals,
        last_decided={MADE: last} if last else {},
        **more,
    )


def steps(result: ContainersResult) -> list[tuple[str | None, str | None]]:
    """(old, new) of each proposal's number of replicas."""
    edits = [edit for proposal in result.proposals for edit in proposal.edits if edit.field == REPLICAS]
    return [(edit.old, edit.new) for edit in edits]


def only(result: ContainersResult) -> Proposal:
    (proposal,) = result.proposals
    return proposal


def busy(count: int, cpu: float) -> tuple[GroupContainer, ...]:
    return tuple(container(cpu) for _ in range(count))


@pytest.mark.parametrize(
    ("cpu", "wanted"),
    [(50, "none"), (55, "none"), (55.1, "up"), (45, "none"), (44.9, "down"), (100, "up"), (1, "down")],
)
def test_the_tolerance_is_a_tenth(cpu: float, wanted: str) -> None:
    result = evaluate(host(*busy(10, cpu)), file=group(10), policies=(docker_policy(max_replicas=20),))
    forecast = result.outlooks[MADE].forecast
    assert forecast is not None and forecast.direction == wanted
    assert bool(result.proposals) == (wanted != "none")


def test_replicas_are_the_running_ones_times_the_ratio_rounded_up() -> None:
    policy = docker_policy(step_size=10, cpu_target_percent=50)
    result = evaluate(host(*busy(3, 70)), file=group(3), policies=(policy,))
    assert steps(result) == [("3", "5")]


def test_only_running_containers_of_the_group_count() -> None:
    here = (container(90), container(0, status="exited"), container(0, group="other"), container(0, host_pool="else"))
    result = evaluate(host(*here), file=group(1))
    forecast = result.outlooks[MADE].forecast
    assert forecast is not None
    assert (forecast.current_replicas, forecast.trigger_value) == (1, 90.0)
    assert steps(result) == [("1", "2")]


def test_memory_is_a_share_of_the_limits_that_are_known() -> None:
    policy = docker_policy(cpu_target_percent=None, memory_target_percent=50)
    here = (container(memory=90, limit=100), container(memory=70, limit=100), container(memory=10_000))
    result = evaluate(host(*here), file=group(3), policies=(policy,))
    forecast = result.outlooks[MADE].forecast
    assert forecast is not None
    assert (forecast.trigger_metric, forecast.trigger_value) == ("memory_percent", 80.0)
    assert steps(result) == [("3", "4")]


def test_of_two_metrics_the_larger_number_wins() -> None:
    policy = docker_policy(memory_target_percent=50, step_size=9)
    here = [container(10, memory=100, limit=100), container(10, memory=100, limit=100)]
    assert steps(evaluate(host(*here), file=group(2), policies=(policy,))) == [("2", "4")]


def test_a_metric_that_fails_forbids_going_down_and_not_going_up() -> None:
    policy = docker_policy(memory_target_percent=50)
    assert not evaluate(host(*busy(4, 5)), file=group(4), policies=(policy,)).proposals
    assert steps(evaluate(host(*busy(4, 90)), file=group(4), policies=(policy,))) == [("4", "5")]


def test_a_group_without_a_file_is_taken_on_as_it_runs_before_it_is_scaled() -> None:
    policy = docker_policy(max_replicas_per_host=4, lb_pool_ref="haproxy/web")
    adopt, scale = evaluate(host(*busy(2, 90)), policies=(policy,)).proposals
    assert (adopt.kind, scale.kind) == ("adopt", "containers")
    assert {edit.field: edit.new for edit in adopt.edits} == {
        "metadata/annotations/trimtab.dev~1policy": MADE,
        "spec/hostPool": "web-pool",
        "spec/replicas": "2",
        "spec/maxReplicasPerHost": "4",
        "spec/image": "web:1",
        "spec/lbPoolRef": "haproxy/web",
    }
    assert [(edit.path, edit.form, edit.field, edit.old, edit.new) for edit in scale.edits] == [
        (PATH, "group", REPLICAS, "2", "3")
    ]
    assert not scale.takes_capacity


def test_a_group_that_is_as_it_should_be_is_taken_on_and_left_so() -> None:
    assert only(evaluate(host(*busy(2, 50)))).kind == "adopt"


def test_what_takes_containers_away_says_so() -> None:
    assert only(evaluate(host(*busy(3, 1)), file=group(3))).takes_capacity


def test_a_group_that_nobody_has_pushed_is_not_decided() -> None:
    for hosts in ((), (host(name="a"),), (host(*busy(2, 99), pushed=46),), (host(*busy(2, 99), silent=46),)):
        result = evaluate(*hosts, file=group(3))
        forecast = result.outlooks[MADE].forecast
        assert not result.proposals
        assert forecast is not None and (forecast.current_replicas, forecast.desired_replicas) == (3, None)
        assert "no agent of host pool web-pool has pushed a container of web lately" in result.notes[0]
    unknown = evaluate().outlooks[MADE].forecast
    assert unknown is not None and unknown.current_replicas == 1


@pytest.mark.parametrize(("running", "last", "proposed"), [(3, 29, False), (3, 30, True), (3, None, True)])
def test_no_step_up_until_the_cooldown_has_passed(running: int, last: float | None, proposed: bool) -> None:
    at = NOW - timedelta(seconds=last) if last is not None else None
    result = evaluate(host(*busy(running, 99)), file=group(running), last=at)
    assert bool(result.proposals) == proposed
    assert any("cooldown" in note for note in result.notes) != proposed


@pytest.mark.parametrize(("last", "proposed"), [(299, False), (300, True)])
def test_no_step_down_until_its_own_cooldown_has_passed(last: float, proposed: bool) -> None:
    result = evaluate(host(*busy(3, 1)), file=group(3), last=NOW - timedelta(seconds=last))
    assert bool(result.proposals) == proposed


def test_outside_of_the_bounds_it_comes_back_without_waiting() -> None:
    policy = docker_policy(min_replicas=3, max_replicas=5)
    just_now = NOW - timedelta(seconds=1)
    assert steps(evaluate(host(*busy(1, 50)), file=group(1), policies=(policy,), last=just_now)) == [("1", "3")]
    assert steps(evaluate(host(*busy(8, 50)), file=group(8), policies=(policy,), last=just_now)) == [("8", "5")]


def test_nothing_goes_beyond_the_room_that_the_connected_hosts_have() -> None:
    policy = docker_policy(max_replicas_per_host=2, step_size=9)
    hosts = (host(*busy(2, 99), name="a"), host(container(99), name="b"), host(name="c", silent=60))
    result = evaluate(*hosts, file=group(3), policies=(policy,))
    assert steps(result) == [("3", "4")]
    assert "6 would not fit on 2 connected hosts × maxReplicasPerHost 2" in only(result).reason
    assert evaluate(*hosts, file=group(3, max_replicas_per_host=1), policies=(policy,)).proposals == ()


def test_want_of_room_takes_nothing_away_and_is_said() -> None:
    result = evaluate(host(*busy(2, 50)), file=group(4, max_replicas_per_host=2))
    assert not result.proposals
    assert "2 of 4 containers do not fit: 1 connected host × maxReplicasPerHost 2" in result.outlooks[MADE].conflict


def test_without_a_connected_host_the_policy_says_so() -> None:
    assert "no agent of host pool web-pool is connected" in evaluate(file=group(4)).outlooks[MADE].conflict


def test_hosts_that_have_not_caught_up_are_no_reason_to_go_back_halfway() -> None:
    for running, cpu in ((4, 75), (4, 50), (2, 99)):
        assert not evaluate(host(*busy(running, cpu)), file=group(6)).proposals
    assert not evaluate(host(*busy(6, 40)), file=group(3)).proposals
    assert steps(evaluate(host(*busy(6, 90)), file=group(3))) == [("3", "4")]
    assert steps(evaluate(host(*busy(4, 1)), file=group(6))) == [("6", "5")]


def test_a_dry_run_proposes_nothing_and_shows_the_file_that_it_would_write() -> None:
    policy = docker_policy(dry_run=True)
    result = evaluate(host(*busy(2, 99)), policies=(policy,))
    wanted = result.outlooks[MADE].group
    assert not result.proposals
    assert wanted is not None and (wanted.replicas, wanted.image) == (3, "web:1")
    cooling = evaluate(host(*busy(2, 99)), policies=(policy,), last=NOW - timedelta(seconds=3))
    assert cooling.outlooks[MADE].group is None


def test_a_disabled_policy_decides_nothing() -> None:
    result = evaluate(host(*busy(2, 99)), file=group(2), policies=(docker_policy(enabled=False),))
    assert (result.proposals, result.notes, result.problems) == ((), (), ())


def refused(value: str | None) -> Refusal:
    return Refusal(
        subject=MADE, path=PATH, field=REPLICAS, value=value, at=NOW, by="Pat <pat@example.com>", commit="a" * 40
    )


def test_a_number_that_was_refused_is_not_proposed_again_until_it_differs_by_a_fifth() -> None:
    policy = docker_policy(step_size=2, max_replicas=20)
    result = evaluate(host(*busy(10, 60)), file=group(10), policies=(policy,), refusals=(refused("11"),))
    assert not result.proposals
    assert "12 containers was refused by Pat" in result.notes[0]
    lower = evaluate(host(*busy(10, 1)), file=group(10), policies=(policy,), refusals=(refused("11"),))
    assert steps(lower) == [("10", "8")]


def test_a_file_that_was_refused_is_not_made_again() -> None:
    result = evaluate(host(*busy(2, 99)), refusals=(refused("2"),))
    assert not result.proposals


@pytest.mark.parametrize("target", ["other/web", "web-pool/kustomization"])
def test_a_target_that_cannot_be_is_a_problem_that_names_the_field(target: str) -> None:
    result = evaluate(host(*busy(2, 99)), policies=(docker_policy(target_ref=target),))
    assert not result.proposals
    assert [problem.field for problem in result.problems] == ["spec.targetRef"]
    assert result.outlooks[MADE].conflict == result.problems[0].message


def test_a_second_policy_for_a_group_is_a_problem() -> None:
    result = evaluate(
        host(*busy(2, 99)), file=group(2), policies=(docker_policy(), docker_policy("scp_b", name="zeta"))
    )
    assert [proposal.subject.id for proposal in result.proposals] == [MADE]
    assert "already has the policy" in result.problems[0].message


def test_a_group_whose_file_cannot_be_read_is_left_alone() -> None:
    result = container_proposals(
        [docker_policy()],
        Groups(unusable={KEY: "docker/web-pool/web.yaml cannot be read: oh"}),
        FLEET,
        now=NOW,
        observations={"docker/web-pool": [host(*busy(2, 99))]},
    )
    assert not result.proposals
    assert result.outlooks[MADE].conflict == "docker/web-pool/web.yaml cannot be read: oh"


def test_the_file_of_a_policy_that_is_gone_goes_with_it_and_no_other() -> None:
    ours = group(3, policy=MADE, image="web:1")
    dropped = only(evaluate(policies=(), file=ours, ended={MADE}))
    assert steps(ContainersResult((dropped,))) == [("3", None)]
    assert not dropped.takes_capacity
    elsewhere = evaluate(policies=(), file=ours)
    assert not elsewhere.proposals
    assert "is not in this database" in elsewhere.notes[0]
    assert not evaluate(policies=(), file=ours, ended={MADE}, policies_complete=False).proposals
    assert not evaluate(policies=(), file=group(3), ended={MADE}).proposals
    another = docker_policy("scp_another")
    assert all(p.kind != "adopt" for p in evaluate(policies=(another,), file=ours, ended={MADE}).proposals)


FIGURES = st.fixed_dictionaries(
    {
        "running": st.integers(0, 12),
        "file": st.none() | st.integers(0, 15),
        "low": st.integers(1, 6),
        "more": st.integers(0, 8),
        "step": st.integers(1, 5),
        "cpu": st.floats(0, 400),
        "per_host": st.none() | st.integers(1, 4),
        "ago": st.integers(0, 400),
    }
)


@given(FIGURES)
def test_whatever_is_pushed_bounds_steps_and_cooldowns_hold(figures: dict[str, Any]) -> None:
    low, high = figures["low"], figures["low"] + figures["more"]
    policy = docker_policy(
        min_replicas=low, max_replicas=high, step_size=figures["step"], max_replicas_per_host=figures["per_host"]
    )
    stopped = container(0, status="exited")
    file = group(figures["file"]) if figures["file"] is not None else None
    result = evaluate(
        host(stopped, *busy(figures["running"], figures["cpu"])),
        file=file,
        policies=(policy,),
        last=NOW - timedelta(seconds=figures["ago"]),
    )
    forecast = result.outlooks[MADE].forecast
    assert forecast is not None and forecast.desired_replicas is not None
    assert low <= forecast.desired_replicas <= high
    base = figures["running"] if file is None else file.replicas
    for proposal in result.proposals:
        edit = next(edit for edit in proposal.edits if edit.field == REPLICAS)
        if proposal.kind == "adopt":
            assert edit.new == str(base)
            continue
        new = int(edit.new or "0")
        assert edit.old == str(base)
        assert low <= new <= high
        assert proposal.takes_capacity == (new < base)
        if low <= base <= high:
            assert abs(new - base) <= figures["step"]
            assert figures["ago"] >= (30 if new > base else 300)
