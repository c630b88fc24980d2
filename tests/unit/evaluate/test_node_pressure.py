"""NodePool limits under node pressure: raised by the formula, never lowered, conflicts shown."""

from datetime import timedelta
from typing import Any

import pytest

from reconciler.evaluate.node_pressure import NodePoolResult, nodepool_proposals, raised_limit
from reconciler.model.change import Refusal
from reconciler.model.inventory import NodePool, RootState
from reconciler.model.observation import Observation
from reconciler.model.policy import ScalingPolicy
from reconciler.model.quantity import GIB
from reconciler.model.workload import ObjectRef, Source
from support.declared import FLEET, NOW, OVERLAY, ROOT, landed, machine_file, observation, pod, policy, state
from support.declared import workload as declared

LIMITS = f"{OVERLAY}/nodepools/limits-general.yaml"
REF = ObjectRef(api_version="karpenter.sh/v1", kind="NodePool", name="general")


def pool(cpu: int | None = 40_000, memory: int | None = 160 * GIB, name: str = "general") -> NodePool:
    source = Source(path=f"{ROOT}/apps/pool.yaml", line=4)
    ref = REF.model_copy(update={"name": name})
    return NodePool(name=name, ref=ref, cpu_limit=cpu, memory_limit=memory, source=source)


def node(
    name: str = "n1", cpu: float = 38_000, memory_gib: float = 60, node_pool: str = "general", **fields: Any
) -> Any:
    """A node of 40 cores and 160 GiB, of which so much is requested."""
    return {
        "name": name,
        "nodePool": node_pool,
        "cpuCapacityMillicores": 40_000,
        "memoryCapacityMB": 160 * 1024,
        "cpuRequestedMillicores": cpu,
        "memoryRequestedMB": memory_gib * 1024,
        **fields,
    }


def seen(*nodes: Any, age: timedelta = timedelta(0), on: str = "n1") -> dict[str, Observation]:
    return observation(NOW - age, nodes=nodes, pods=(pod("a", 50, node=on),))


def decide(
    *roots: RootState, nodes: dict[str, Observation], rule: ScalingPolicy | None = None, **given: Any
) -> NodePoolResult:
    rule = rule or policy(node_pressure_target_percent=75)
    return nodepool_proposals([rule], roots, FLEET, now=NOW, observations=nodes, **given)


def test_pressure_raises_each_limit_to_what_the_target_asks_for() -> None:
    # 38 cores ÷ 0.75 = 50.67 → 51; 60 GiB ÷ 0.75 = 80 GiB is below the 160 that stand.
    result = decide(state(declared(), node_pools=(pool(),)), nodes=seen(node()))
    (proposal,) = result.proposals
    assert [(e.path, e.form, e.field, e.old, e.new) for e in proposal.edits] == [
        (LIMITS, "nodepool", "limits/cpu", None, "51")
    ]
    assert (proposal.kind, proposal.workload, proposal.takes_capacity, proposal.blocked) == (
        "nodepool",
        "general",
        False,
        "",
    )
    assert "95 %" in proposal.reason
    assert result.pressures == {"policy-web": 95}


def test_memory_is_written_in_gi() -> None:
    result = decide(state(declared(), node_pools=(pool(),)), nodes=seen(node(cpu=1000, memory_gib=150.5)))
    assert [(e.field, e.new) for e in result.proposals[0].edits] == [("limits/memory", "201Gi")]


@pytest.mark.parametrize(("requested", "proposed"), [(33_000, 0), (33_100, 1)])
def test_nothing_moves_up_to_a_tenth_above_the_target(requested: float, proposed: int) -> None:
    result = decide(state(declared(), node_pools=(pool(),)), nodes=seen(node(cpu=requested)))
    assert len(result.proposals) == proposed


def test_a_limit_is_at_most_doubled_and_what_landed_counts() -> None:
    before = state(declared(), node_pools=(pool(cpu=15_000, memory=None),))
    first = decide(before, nodes=seen(node())).proposals[0]
    assert [(e.field, e.new) for e in first.edits] == [("limits/cpu", "30")]
    second = decide(landed(before, first), nodes=seen(node())).proposals[0]
    assert [(e.old, e.new) for e in second.edits] == [("30", "51")]
    assert decide(landed(before, first, second), nodes=seen(node())).proposals == ()


def test_a_limit_is_never_lowered() -> None:
    high = {LIMITS: machine_file("nodepool", REF, **{"limits/cpu": "512"})}
    assert decide(state(declared(), node_pools=(pool(),), overlay=high), nodes=seen(node())).proposals == ()


@pytest.mark.parametrize(
    ("current", "requested", "limit"),
    [(4000, 3001, 5000), (4000, 90_000, 8000), (4500, 90_000, 9000), (250, 900, 1000), (8000, 100, 8000)],
)
def test_whole_units(current: int, requested: float, limit: int) -> None:
    assert raised_limit(current, requested, 75, 1000) == limit


def test_only_ready_nodes_of_the_pools_that_run_the_target_count() -> None:
    nodes = (node(), node("n2", cpu=39_000, ready=False), node("n3", cpu=40_000, node_pool="batch"))
    result = decide(state(declared(), node_pools=(pool(),)), nodes=seen(*nodes))
    assert result.pressures == {"policy-web": 95}
    idle = decide(state(declared(), node_pools=(pool(),)), nodes=seen(*nodes, node("n4", cpu=10), on="n4"))
    assert idle.pressures["policy-web"] < 50


def test_old_nodes_are_no_reason() -> None:
    roots = state(declared(), node_pools=(pool(),))
    assert decide(roots, nodes=seen(node(), age=timedelta(minutes=15))).proposals
    assert decide(roots, nodes=seen(node(), age=timedelta(minutes=16))) == NodePoolResult()
    assert (
        decide(roots, nodes=seen(node(), age=timedelta(minutes=2)), max_age=timedelta(seconds=45)) == NodePoolResult()
    )


def test_pools_without_limits_or_outside_git_are_shown() -> None:
    unlimited = decide(state(declared(), node_pools=(pool(None, None),)), nodes=seen(node()))
    assert unlimited.proposals == ()
    assert "has no limits" in unlimited.notes[0]
    assert "clusters/prod/apps/pool.yaml:4" in unlimited.notes[0]
    elsewhere = decide(state(declared()), nodes=seen(node()))
    assert elsewhere.proposals == ()
    assert "general of prod is not in Git" in elsewhere.notes[0]


def test_the_pool_may_stand_in_another_root_of_the_cluster() -> None:
    infra = state(root="infra", node_pools=(pool(),))
    (proposal,) = decide(state(declared()), infra, nodes=seen(node())).proposals
    assert (proposal.root, proposal.edits[0].path) == ("infra", "infra/trimtab/nodepools/limits-general.yaml")
    unwired = state(root="infra", node_pools=(pool(),), wired=False)
    assert "trimtab init" in decide(state(declared()), unwired, nodes=seen(node())).proposals[0].blocked


def test_a_dry_run_shows_the_pressure_and_writes_nothing() -> None:
    rule = policy(node_pressure_target_percent=75, dry_run=True)
    result = decide(state(declared(), node_pools=(pool(),)), nodes=seen(node()), rule=rule)
    assert (result.proposals, result.pressures) == ((), {"policy-web": 95})


def test_a_policy_without_the_target_has_no_say() -> None:
    result = decide(state(declared(), node_pools=(pool(),)), nodes=seen(node()), rule=policy())
    assert result == NodePoolResult()


def test_a_refused_limit_is_not_written_again() -> None:
    refused = Refusal(subject="policy-web", path=LIMITS, field="limits/cpu", value="51", at=NOW, by="pat", commit="abc")
    result = decide(state(declared(), node_pools=(pool(),)), nodes=seen(node()), refusals=(refused,))
    assert result.proposals == ()
    assert "NodePool general limits/cpu 51" in result.notes[0]
    assert "pat" in result.notes[0]
