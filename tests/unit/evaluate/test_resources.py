"""Lxc policies: what load, limits, room, cooldowns and refusals make of a container."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.evaluate.resources import Containers, ResourcesResult, resource_proposals
from reconciler.evaluate.resources_load import memory_floor
from reconciler.evaluate.resources_room import NodeSeen
from reconciler.manifests.lxc_container import CORES, MEMORY
from reconciler.model.change import Refusal
from reconciler.model.lxc_container import LXCContainer, LXCState, NodeState
from reconciler.model.policy import ScalingPolicy, ScalingPolicySpec
from support.replay import NOW

KEY = ("pve1", 104)
PATH = "lxc/pve1/104.yaml"
MADE = "scp_1718000000000000000"
Step = tuple[str, str | None, str | None]


def lxc_policy(policy_id: str = MADE, **fields: Any) -> ScalingPolicy:
    given_fields = {"name": "db", "runtime": "lxc", "target_ref": "pve1/104", "dry_run": False}
    spec = ScalingPolicySpec.model_validate({**given_fields, "cpu_target_percent": 50, **fields})
    return ScalingPolicy(id=policy_id, spec=spec, source="api")


def memory_policy(**fields: Any) -> ScalingPolicy:
    given_fields = {"cpu_target_percent": None, "memory_target_percent": 50, "max_memory_mb": 8192}
    return lxc_policy(**{**given_fields, **fields})


def state(cpu: float = 50, memory: float = 50, *, ago: float = 0, **more: Any) -> LXCState:
    """A container with 4 cores and 2048 MiB that uses so many percent of them."""
    fields = {"cores": 4, "memory_mb": 2048, "status": "running", "uptime_seconds": 86400, **more}
    used = {"cpu_cores": (fields["cores"] or 8) * cpu / 100, "used_memory_mb": fields["memory_mb"] * memory / 100}
    return LXCState(node="pve1", vmid=104, at=NOW - timedelta(seconds=ago), **{**used, **fields})


def twice(cpu: float = 50, memory: float = 50, **more: Any) -> tuple[LXCState, LXCState]:
    """The same, 30 s ago and now."""
    return state(cpu, memory, ago=30, **more), state(cpu, memory, **more)


def file(cores: int | None = 4, memory: int | None = 2048, **more: Any) -> LXCContainer:
    return LXCContainer(node="pve1", vmid=104, cores=cores, memory_mb=memory, **more)


FILE = file()


def node(
    *readings: LXCState, cpus: int = 8, memory: int = 65536, allocated: int = 2048, used: int = 0, **more: Any
) -> NodeSeen:
    known = NodeState(node="pve1", cpus=cpus, memory_mb=memory, used_memory_mb=used)
    return NodeSeen(known, allocated, {104: readings} if readings else {}, **more)


def evaluate(
    seen: NodeSeen,
    policy: ScalingPolicy | None = None,
    *others: ScalingPolicy,
    has: LXCContainer | None = FILE,
    refusals: tuple[Refusal, ...] = (),
    last: datetime | None = None,
    **more: Any,
) -> ResourcesResult:
    return resource_proposals(
        [policy or lxc_policy(), *others],
        Containers({KEY: has} if has else {}),
        {"pve1": seen},
        now=NOW,
        refusals=refusals,
        last_decided={MADE: last} if last else {},
        **more,
    )


def steps(result: ResourcesResult) -> list[Step]:
    """(field, old, new) of each proposal that changes a size."""
    resized = [proposal for proposal in result.proposals if proposal.kind == "resources"]
    return [(edit.field, edit.old, edit.new) for proposal in resized for edit in proposal.edits]


@pytest.mark.parametrize(
    ("cpu", "wanted"),
    [(50, []), (55, []), (45, []), (56, [(CORES, "4", "5")]), (100, [(CORES, "4", "5")]), (20, [(CORES, "4", "3")])],
)
def test_cores_go_by_a_step_towards_what_the_target_needs_within_a_tolerance_of_a_tenth(
    cpu: float, wanted: list[Step]
) -> None:
    assert steps(evaluate(node(*twice(cpu)))) == wanted


def test_a_larger_step_goes_as_far_as_the_load_asks() -> None:
    result = evaluate(node(*twice(75)), lxc_policy(step_size=10))
    assert steps(result) == [(CORES, "4", "6")]
    seen = result.outlooks[MADE].forecast
    assert seen is not None
    assert (seen.current_replicas, seen.desired_replicas, seen.direction) == (4, 6, "up")
    assert (seen.trigger_metric, seen.trigger_value, seen.threshold) == ("cpu_percent", 75.0, 50.0)
    assert result.proposals[0].reason == "policy db: cpu at 75% of 4 cores against a target of 50%: 4 → 6 cores"


@pytest.mark.parametrize(
    "readings",
    [
        (state(100),),
        (state(50, ago=30), state(100)),
        (state(100, ago=5), state(100)),
        (state(100, ago=121), state(100)),
        (state(100, ago=30, uptime_seconds=30), state(100, uptime_seconds=60)),
        (state(100, ago=30), state(100, uptime_seconds=20)),
        (state(100, ago=30), state(40, ago=15), state(100)),
    ],
    ids=["one", "a spike", "the same measurement", "long ago", "it just started", "it restarted", "a dip between"],
)
def test_one_reading_alone_decides_nothing(readings: tuple[LXCState, ...]) -> None:
    result = evaluate(node(*readings))
    assert steps(result) == []
    assert result.outlooks[MADE].forecast is not None


def test_of_two_readings_the_one_nearer_to_what_is_there_decides() -> None:
    policy = lxc_policy(step_size=100, max_replicas=50)
    assert steps(evaluate(node(state(75, ago=30), state(100)), policy)) == [(CORES, "4", "6")]
    assert steps(evaluate(node(state(30, ago=30), state(5)), policy)) == [(CORES, "4", "3")]


def test_never_more_cores_than_the_node_has() -> None:
    result = evaluate(node(*twice(100), cpus=6), lxc_policy(step_size=100, max_replicas=100))
    assert steps(result) == [(CORES, "4", "6")]
    assert "8 would be more than the 6 cores of its node" in result.proposals[0].reason
    greedy = evaluate(node(*twice(50), cpus=6), lxc_policy(min_replicas=7))
    assert steps(greedy) == [(CORES, "4", "6")]
    assert "minReplicas 7 is more than the 6 cores" in greedy.outlooks[MADE].conflict


def test_without_a_limit_a_container_has_all_of_its_node_and_gets_a_limit_when_it_shrinks() -> None:
    result = evaluate(node(*twice(10, cores=None), cpus=8), has=file(cores=None))
    (proposal,) = result.proposals
    assert steps(result) == [(CORES, None, "7")]
    assert proposal.takes_capacity


@pytest.mark.parametrize(
    ("memory", "wanted"),
    [
        (50, []),
        (55, []),
        (70, [(MEMORY, "2048", "2560")]),  # 2868 would bring it to the target; 512 is a step
        (56, [(MEMORY, "2048", "2304")]),  # 2293.76, rounded up to 64
        (10, [(MEMORY, "2048", "1536")]),
    ],
)
def test_memory_goes_by_512_a_step_in_whole_64s(memory: float, wanted: list[Step]) -> None:
    assert steps(evaluate(node(*twice(memory=memory)), memory_policy())) == wanted


def test_memory_never_goes_below_what_is_used_and_a_tenth() -> None:
    policy = memory_policy(memory_target_percent=100, step_size=100)
    assert steps(evaluate(node(*twice(memory=80)), policy)) == [(MEMORY, "2048", "1856")]
    tight = evaluate(node(*twice(memory=80)), memory_policy(max_memory_mb=1024, step_size=100))
    assert steps(tight) == []
    assert "maxMemoryMB 1024 is too little: 1638 MB are in use" in tight.outlooks[MADE].conflict


def test_without_bounds_memory_is_left_alone() -> None:
    assert steps(evaluate(node(*twice(memory=99)), memory_policy(max_memory_mb=None))) == []


def test_memory_that_the_node_does_not_have_is_a_conflict_and_cores_go_on() -> None:
    policy = memory_policy(cpu_target_percent=50)
    seen = node(*twice(100, 90), memory=16384, allocated=16000)
    result = evaluate(seen, policy)
    assert steps(result) == [(CORES, "4", "5")]
    assert "512 MB more do not fit on pve1: of 16384 MB, 16000 MB are given" in result.outlooks[MADE].conflict
    in_use = evaluate(node(*twice(100, 90), memory=16384, allocated=2048, used=16000), policy)
    assert "16000 MB are in use" in in_use.outlooks[MADE].conflict


def test_two_policies_do_not_give_the_same_memory_away_twice() -> None:
    other = LXCState.model_validate({**state(memory=90).model_dump(), "vmid": 105})
    earlier = other.model_copy(update={"at": NOW - timedelta(seconds=30)})
    known = NodeState(node="pve1", cpus=8, memory_mb=4096 + 600)
    seen = NodeSeen(known, 4096, {104: twice(memory=90), 105: (earlier, other)})
    second = memory_policy().model_copy(update={"id": "scp_2"})
    second = second.model_copy(update={"spec": second.spec.model_copy(update={"name": "z", "target_ref": "pve1/105"})})
    result = evaluate(seen, memory_policy(), second)
    assert [step for step in steps(result) if step[0] == MEMORY] == [(MEMORY, "2048", "2560")]
    assert "do not fit" in result.outlooks["scp_2"].conflict


def test_what_grows_and_what_shrinks_are_apart() -> None:
    result = evaluate(node(*twice(10, 90)), memory_policy(cpu_target_percent=50))
    assert [(p.takes_capacity, [e.field for e in p.edits]) for p in result.proposals] == [
        (False, [MEMORY]),
        (True, [CORES]),
    ]


@pytest.mark.parametrize(
    ("cpu", "seconds", "moves"), [(100, 29, False), (100, 30, True), (10, 299, False), (10, 300, True)]
)
def test_each_direction_has_its_cooldown(cpu: float, seconds: float, moves: bool) -> None:
    result = evaluate(node(*twice(cpu)), last=NOW - timedelta(seconds=seconds))
    assert bool(steps(result)) == moves
    assert any("waits for its cooldown" in note for note in result.notes) != moves


def test_what_the_policy_does_not_allow_is_put_right_at_once_by_one_reading() -> None:
    result = evaluate(node(state(50)), lxc_policy(max_replicas=2), last=NOW)
    assert steps(result) == [(CORES, "4", "2")]
    assert "1 to 2 cores are allowed" in result.proposals[0].reason


def test_a_container_is_taken_on_as_it_is_and_then_changed() -> None:
    exact = state(cores=4, rootfs_gb=8.5, hostname="db")
    result = evaluate(node(*twice(100), configs={104: exact}), has=None)
    taken, resized = result.proposals
    assert (taken.kind, taken.takes_capacity) == ("adopt", False)
    made = {edit.field: edit.new for edit in taken.edits}
    assert made == {
        "metadata/annotations/trimtab.dev~1policy": MADE,
        "spec/node": "pve1",
        CORES: "4",
        MEMORY: "2048",
        "spec/rootfsGB": "8",
        "spec/hostname": "db",
    }
    assert [(edit.field, edit.old, edit.new) for edit in resized.edits] == [(CORES, "4", "5")]


def test_while_the_container_has_not_what_its_file_says_only_more_than_both_changes_the_file() -> None:
    behind = file(cores=6)  # it has 4 yet
    policy = lxc_policy(step_size=100)
    assert steps(evaluate(node(*twice(70)), policy, has=behind)) == []
    assert steps(evaluate(node(*twice(95)), policy, has=behind)) == [(CORES, "6", "8")]


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (node(), "there is no container 104 on pve1"),
        (node(elsewhere={104: "pve2"}), "container 104 is on pve2 now: write targetRef pve2/104"),
        (NodeSeen(trouble="the node pve1 is offline"), "the node pve1 is offline"),
        (node(*twice(100), trouble="Proxmox VE does not answer"), "Proxmox VE does not answer"),
    ],
)
def test_what_cannot_be_seen_is_said_and_decides_nothing(seen: NodeSeen, said: str) -> None:
    result = evaluate(seen)
    assert said in result.outlooks[MADE].conflict
    assert result.proposals == ()


@pytest.mark.parametrize(
    ("more", "word"), [({"status": "stopped"}, "stopped"), ({"lock": "backup"}, "locked (backup)")]
)
def test_a_container_that_is_stopped_or_locked_is_left_alone(more: dict[str, Any], word: str) -> None:
    result = evaluate(node(*twice(100, **more)))
    assert (result.proposals, result.outlooks[MADE].conflict) == ((), "")
    assert any(f"container pve1/104 is {word}" in note for note in result.notes)


def test_in_dry_run_nothing_is_proposed_and_the_file_that_would_be_is_told() -> None:
    result = evaluate(node(*twice(100)), lxc_policy(dry_run=True))
    assert result.proposals == ()
    outlook = result.outlooks[MADE]
    assert outlook.container is not None and outlook.container.cores == 5
    waits = evaluate(node(*twice(100)), lxc_policy(dry_run=True), last=NOW)
    assert waits.outlooks[MADE].container is None


def test_a_disabled_policy_shows_what_is_there() -> None:
    result = evaluate(node(*twice(100)), lxc_policy(enabled=False))
    outlook = result.outlooks[MADE]
    assert result.proposals == ()
    assert outlook.forecast is not None and outlook.forecast.current_replicas == 4


def test_a_second_policy_and_a_node_of_another_fleet_are_problems() -> None:
    second = lxc_policy("scp_2", name="z")
    elsewhere = lxc_policy("scp_3", target_ref="pve9/104")
    result = evaluate(node(*twice()), lxc_policy(), second, elsewhere)
    assert "pve1/104 already has the policy db" in result.outlooks["scp_2"].conflict
    assert "spec.lxcNodes" in result.outlooks["scp_3"].conflict
    assert len(result.problems) == 2


def refusal(field: str, value: str | None) -> Refusal:
    return Refusal(subject=MADE, path=PATH, field=field, value=value, at=NOW, by="trimtab rollback", commit="a" * 40)


def test_a_refused_value_is_not_asked_for_again_until_it_differs_by_a_fifth() -> None:
    policy = memory_policy(cpu_target_percent=50, step_size=3)
    result = evaluate(node(*twice(100, 90)), policy, refusals=(refusal(CORES, "7"),))
    assert [step[0] for step in steps(result)] == [MEMORY]
    assert any("7 cores was refused by trimtab rollback" in note for note in result.notes)
    assert (CORES, "4", "8") in steps(
        evaluate(node(*twice(100)), lxc_policy(step_size=4), refusals=(refusal(CORES, "5"),))
    )


def test_a_file_goes_with_its_policy() -> None:
    gone = file(policy="scp_old", rootfs_gb=8)
    result = resource_proposals([], Containers({KEY: gone}), {}, now=NOW)
    (proposal,) = result.proposals
    assert all(edit.new is None for edit in proposal.edits)
    elsewhere = resource_proposals([], Containers({KEY: file(policy=MADE)}), {}, now=NOW)
    assert elsewhere.proposals == ()
    assert "is not in this database" in elsewhere.notes[0]


@given(
    cpu=st.floats(0, 100),
    memory=st.floats(0, 100),
    before=st.floats(0, 100),
    cores=st.integers(1, 16),
    bounds=st.tuples(st.integers(1, 12), st.integers(1, 12)).map(sorted),
    memory_bounds=st.tuples(st.integers(64, 8192), st.integers(64, 8192)).map(sorted),
    step=st.integers(1, 8),
)
def test_whatever_the_load_what_is_decided_is_within_bounds_and_room(
    cpu: float, memory: float, before: float, cores: int, bounds: list[int], memory_bounds: list[int], step: int
) -> None:
    policy = lxc_policy(
        memory_target_percent=60,
        min_replicas=bounds[0],
        max_replicas=bounds[1],
        min_memory_mb=memory_bounds[0],
        max_memory_mb=memory_bounds[1],
        step_size=step,
    )
    readings = (state(before, before, ago=30, cores=cores), state(cpu, memory, cores=cores))
    seen = node(*readings, cpus=16, memory=6000, allocated=2048)
    for field, old, new in steps(evaluate(seen, policy, has=file(cores=cores))):
        assert old != new
        value = int(new or 0)
        if field == CORES:
            assert bounds[0] <= value <= bounds[1]
        else:
            assert memory_bounds[0] <= value <= memory_bounds[1]
            assert value - 2048 <= 6000 - 2048
            assert value >= 2048 or value >= min(2048, memory_floor(readings[-1:]))
