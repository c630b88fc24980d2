"""ResourceQuotas: the formula, the surge of a rollout, and when they may fall."""

from datetime import timedelta
from typing import Any

import pytest

from reconciler.evaluate.index import Index
from reconciler.evaluate.quota import QuotaResult, quota_proposals, shrinking_namespaces
from reconciler.evaluate.quota_demand import pod_sum, surge_pods
from reconciler.model.action import ActionConfig
from reconciler.model.change import Proposal, Refusal, Subject
from reconciler.model.inventory import LimitRangeItem, PersonHpa, Quota, RootState
from reconciler.model.quantity import GIB, MIB
from reconciler.model.recommendation import ContainerRecommendation
from reconciler.model.workload import ObjectRef, Resources, Source, Workload
from support.declared import CLUSTER, NOW, OVERLAY, ROOT, container, landed, machine_file, observation, state, workload

FILE = f"{OVERLAY}/shop/quota-compute.yaml"
REF = ObjectRef(api_version="v1", kind="ResourceQuota", name="compute", namespace="shop")


def action(**fields: Any) -> ActionConfig:
    given = {"id": "action-quotas", "name": "quotas", "action": "resourceQuotaRightSizing", "namespaces": ("shop",)}
    return ActionConfig.model_validate({**given, **fields})


def quota(hard: dict[str, str]) -> Quota:
    source = Source(path=f"{ROOT}/apps/quota.yaml", line=2)
    return Quota(namespace="shop", name="compute", ref=REF, hard=hard, source=source)


def shop(hard: dict[str, str], *workloads: Workload, **given: Any) -> RootState:
    return state(*workloads, quotas=(quota(hard),), **given)


def seen(used: dict[str, str], *workloads: dict[str, Any], age: timedelta = timedelta(0)) -> Any:
    statuses = [{"namespace": "shop", "kind": "Deployment", **one} for one in workloads]
    return observation(
        NOW - age, quotas=({"namespace": "shop", "name": "compute", "used": used},), workloads=tuple(statuses)
    )


def status(name: str = "web", replicas: int = 4, **fields: int) -> dict[str, Any]:
    return {"name": name, "replicas": replicas, "readyReplicas": replicas, "updatedReplicas": replicas, **fields}


def recommended(who: Workload, **resources: int) -> ContainerRecommendation:
    values = Resources(**resources)
    changes = tuple(name for name in ("cpu", "memory") if any(name in field for field in resources))
    return ContainerRecommendation.model_validate(
        {"workload": who, "container": "server", "current": Resources(), "recommended": values, "changes": changes}
    )


def decide(*roots: RootState, by: ActionConfig | None = None, **given: Any) -> QuotaResult:
    return quota_proposals(by or action(), roots, **{"now": NOW, "observations": {}, **given})


def written(result: QuotaResult) -> dict[str, str | None]:
    return {edit.field: edit.new for proposal in result.proposals for edit in proposal.edits}


WEB = workload(replicas=4)  # 100m and 128Mi each
BIG = workload("web", container(cpu_request=1000, cpu_limit=2000, memory_request=GIB, memory_limit=2 * GIB), replicas=4)


def test_headroom_is_a_quarter_on_requests_and_a_half_on_limits() -> None:
    used = {"requests.cpu": "4", "limits.cpu": "8", "requests.memory": "4Gi", "limits.memory": "8Gi"}
    result = decide(shop(dict.fromkeys(used, "1"), BIG), observations=seen(used, status()))
    assert written(result) == {
        "hard/requests.cpu": "5",
        "hard/limits.cpu": "12",
        "hard/requests.memory": "5Gi",
        "hard/limits.memory": "12Gi",
    }


def test_only_keys_that_are_there_are_written() -> None:
    hard = {"cpu": "1", "pods": "10", "count/jobs.batch": "3"}
    result = decide(shop(hard, BIG), observations=seen({"cpu": "4"}, status()))
    assert written(result) == {"hard/cpu": "5"}


def test_results_are_rounded_up_to_100m_and_64mi() -> None:
    used = {"requests.cpu": "1010m", "requests.memory": "1000Mi"}
    result = decide(shop({"requests.cpu": "1", "requests.memory": "1Mi"}), observations=seen(used))
    assert written(result) == {"hard/requests.cpu": "1300m", "hard/requests.memory": "1280Mi"}


def test_what_was_used_at_p95_counts() -> None:
    p95 = {(CLUSTER, "shop", "compute", "requests.cpu"): 8000}
    result = decide(shop({"requests.cpu": "1"}), observations=seen({"requests.cpu": "4"}), p95_used=p95)
    assert written(result) == {"hard/requests.cpu": "10"}


def test_what_the_hpa_may_start_counts_with_the_recommended_request() -> None:
    ours = {f"{OVERLAY}/shop/hpa-web.yaml": machine_file("hpa", WEB.ref, maxReplicas="20")}
    root = shop({"requests.cpu": "1"}, WEB, overlay=ours)
    observed = seen({"requests.cpu": "400m"}, status())
    assert written(decide(root, observations=observed)) == {"hard/requests.cpu": "2500m"}
    smaller = [recommended(WEB, cpu_request=60)]
    assert written(decide(root, observations=observed, recommendations=smaller)) == {"hard/requests.cpu": "1500m"}


def test_a_persons_hpa_counts_likewise() -> None:
    hpa = PersonHpa(
        kind="HorizontalPodAutoscaler",
        namespace="shop",
        name="web",
        target_kind="Deployment",
        target_name="web",
        max_replicas=30,
        source=Source(path="hpa.yaml"),
    )
    assert written(decide(shop({"requests.cpu": "1"}, WEB, hpas=(hpa,)))) == {"hard/requests.cpu": "3800m"}


def test_without_observations_the_manifests_say_what_is_used() -> None:
    ours = {f"{OVERLAY}/shop/requests-deployment-web.yaml": machine_file(
        "requests", WEB.ref, **{"containers/server/requests/cpu": "500m"}
    )}  # fmt: skip
    result = decide(shop({"requests.cpu": "1"}, WEB, overlay=ours))
    # 4 × 500m × 1.25; the rollout's 2000m + 500m is just as much.
    assert written(result) == {"hard/requests.cpu": "2500m"}
    assert "used 2, at most 2" in result.proposals[0].reason


def test_a_rollout_must_fit() -> None:
    # One pod of 4 cores beside the one that runs: 8 in all, more than 4 × 1.25.
    alone = workload("web", container(cpu_request=4000), replicas=1)
    assert written(decide(shop({"requests.cpu": "4"}, alone))) == {"hard/requests.cpu": "8"}
    recreated = alone.model_copy(update={"strategy": "Recreate"})
    assert written(decide(shop({"requests.cpu": "4"}, recreated))) == {"hard/requests.cpu": "5"}


def test_a_rollout_surges_with_the_larger_of_old_and_new() -> None:
    alone = workload("web", container(cpu_request=4000), replicas=1)
    observed = seen({"requests.cpu": "4"}, status(replicas=1))
    grown = decide(
        shop({"requests.cpu": "4"}, alone),
        observations=observed,
        recommendations=[recommended(alone, cpu_request=6000)],
    )
    assert written(grown) == {"hard/requests.cpu": "10"}
    shrunk = decide(
        shop({"requests.cpu": "4"}, alone),
        observations=observed,
        recommendations=[recommended(alone, cpu_request=1000)],
    )
    assert written(shrunk) == {"hard/requests.cpu": "8"}


@pytest.mark.parametrize(
    ("kind", "fields", "pods"),
    [
        ("Deployment", {}, 3),  # 25 % of 10, rounded up
        ("Deployment", {"max_surge": "10%"}, 1),
        ("Deployment", {"max_surge": "100%"}, 10),
        ("Deployment", {"max_surge": "4"}, 4),
        ("Deployment", {"max_surge": "0"}, 0),
        ("Deployment", {"strategy": "Recreate"}, 0),
        ("Rollout", {"strategy": "blueGreen"}, 10),
        ("Rollout", {}, 3),
        ("StatefulSet", {}, 0),
        ("DaemonSet", {}, 0),
        ("Job", {}, 0),
    ],
)
def test_surge_pods(kind: str, fields: dict[str, str], pods: int) -> None:
    assert surge_pods(workload(kind=kind, **fields), 10) == pods


def test_init_containers_take_turns_and_sidecars_stay() -> None:
    pod = workload(
        "web",
        container("migrate", "init", cpu_request=300),
        container("proxy", "sidecar", cpu_request=50),
        container("warm", "init", cpu_request=400),
        container("server", cpu_request=100),
    )
    requests = {c.name: c.resources.cpu_request or 0 for c in pod.containers}
    assert pod_sum(pod, lambda c: requests[c.name]) == 450  # warm, beside the proxy
    requests["server"] = 500
    assert pod_sum(pod, lambda c: requests[c.name]) == 550


def test_a_limit_range_fills_in_what_containers_leave_out() -> None:
    item = LimitRangeItem(namespace="shop", name="defaults", default_cpu=500, default_request_cpu=200)
    bare = workload("web", container(), replicas=4)
    hard = {"requests.cpu": "100m", "limits.cpu": "100m"}
    result = decide(shop(hard, bare, limit_ranges=(item,)))
    assert written(result) == {"hard/requests.cpu": "1", "hard/limits.cpu": "3"}


# ── falling ───────────────────────────────────────────────────────────────────────────────────────────────────────

GENEROUS = {"requests.cpu": "20"}
SETTLED = seen({"requests.cpu": "4"}, status())


def test_a_quota_falls_to_what_is_needed() -> None:
    (proposal,) = decide(shop(GENEROUS, BIG), observations=SETTLED).proposals
    assert [(e.path, e.form, e.target, e.field, e.old, e.new) for e in proposal.edits] == [
        (FILE, "quota", REF, "hard/requests.cpu", None, "5")
    ]
    assert (proposal.kind, proposal.takes_capacity, proposal.subject.id) == ("quota", True, "action-quotas")
    assert "ResourceQuota shop/compute requests.cpu 20 → 5 (used 4, at most 4)" in proposal.reason


def test_what_landed_is_not_written_again() -> None:
    before = shop(GENEROUS, BIG)
    after = landed(before, *decide(before, observations=SETTLED).proposals)
    assert decide(after, observations=SETTLED) == QuotaResult()


def test_the_overlay_is_what_stands() -> None:
    standing = {FILE: machine_file("quota", REF, **{"hard/requests.cpu": "3"})}
    (proposal,) = decide(shop(GENEROUS, BIG, overlay=standing), observations=SETTLED).proposals
    assert [(e.old, e.new) for e in proposal.edits] == [("3", "5")]
    assert not proposal.takes_capacity


@pytest.mark.parametrize(
    ("observed", "given", "why"),
    [
        (seen({"requests.cpu": "4"}, status(readyReplicas=3)), {}, "rollout"),
        (seen({"requests.cpu": "4"}, status(), status("api", updatedReplicas=1)), {}, "rollout"),
        (SETTLED, {"shrinking": {(CLUSTER, "shop")}}, "fall first"),
        (seen({"requests.cpu": "4"}, status(), age=timedelta(hours=1)), {}, "not observed lately"),
    ],
)
def test_a_quota_does_not_fall_under_moving_pods(observed: Any, given: dict[str, Any], why: str) -> None:
    result = decide(shop(GENEROUS, BIG), observations=observed, **given)
    assert result.proposals == ()
    assert why in result.notes[0]


def test_a_quota_rises_whatever_moves() -> None:
    observed = seen({"requests.cpu": "4"}, status(readyReplicas=0))
    result = decide(shop({"requests.cpu": "4"}, BIG), observations=observed, shrinking={(CLUSTER, "shop")})
    assert written(result) == {"hard/requests.cpu": "5"}


def test_a_namespace_that_sleeps_keeps_its_quota() -> None:
    target = ObjectRef(api_version="v1", kind="Namespace", name="shop")
    down = {f"{OVERLAY}/shop/turndown/turndown.yaml": machine_file("turndown", target, action="nightly")}
    result = decide(shop(GENEROUS, BIG, overlay=down), observations=seen({"requests.cpu": "0"}, status(replicas=0)))
    assert result.proposals == ()
    assert "turned down" in result.notes[0]


def test_without_any_observation_a_quota_may_fall() -> None:
    assert written(decide(shop(GENEROUS, BIG))) == {"hard/requests.cpu": "5"}


def test_rising_and_falling_are_gated_apart() -> None:
    hard = {"requests.cpu": "20", "requests.memory": "1Gi"}
    rise, fall = decide(
        shop(hard, BIG), observations=seen({"requests.cpu": "4", "requests.memory": "4Gi"}, status())
    ).proposals
    assert ([e.field for e in rise.edits], rise.takes_capacity) == (["hard/requests.memory"], False)
    assert ([e.field for e in fall.edits], fall.takes_capacity) == (["hard/requests.cpu"], True)


@pytest.mark.parametrize(
    ("hard", "moves"),
    [
        ("5500m", False),  # 9 % too much
        ("5600m", True),
        ("4600m", False),  # what is used fits, the headroom is 8 % short
        ("4500m", True),
        ("3900m", True),  # what is used does not fit
    ],
)
def test_small_changes_are_left_unless_safety_asks(hard: str, moves: bool) -> None:
    recreated = BIG.model_copy(update={"strategy": "Recreate"})
    assert bool(decide(shop({"requests.cpu": hard}, recreated), observations=SETTLED).proposals) is moves


def test_safety_asks_for_small_changes_too() -> None:
    observed = seen({"requests.cpu": "5"}, status(replicas=5))
    by = action(sizing={"minChangePercent": 50})
    result = decide(shop({"requests.cpu": "5900m"}, BIG), observations=observed, by=by)
    assert written(result) == {"hard/requests.cpu": "7"}


# ── scope ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "covered"),
    [
        ({}, True),
        ({"namespaces": ("lab",)}, False),
        ({"filter": 'namespace:"shop"'}, True),
        ({"filter": 'cluster!:"prod"'}, False),
        ({"clusters": ("dev",)}, False),
        ({"enabled": False}, False),
        ({"action": "containerRequestRightSizing"}, False),
    ],
)
def test_the_action_chooses_namespaces(fields: dict[str, Any], covered: bool) -> None:
    assert bool(decide(shop(GENEROUS, BIG), by=action(**fields)).proposals) is covered


def test_an_unwired_root_is_blocked() -> None:
    assert "trimtab init" in decide(shop(GENEROUS, BIG, wired=False)).proposals[0].blocked


def test_a_quota_that_cannot_be_told_apart_is_blocked() -> None:
    indistinct = shop(GENEROUS, BIG, twins={REF.key: ""})
    assert "cannot tell ResourceQuota compute" in decide(indistinct).proposals[0].blocked


def test_a_refused_value_is_left_and_noted() -> None:
    refused = Refusal(
        subject="action-quotas", path=FILE, field="hard/requests.cpu", value="5", at=NOW, by="pat", commit="abc"
    )
    result = decide(shop(GENEROUS, BIG), refusals=[refused])
    assert result.proposals == ()
    assert "pat" in result.notes[0]


def test_workloads_of_all_roots_of_the_cluster_share_a_quota() -> None:
    other = state(workload("api", container(cpu_request=1000), replicas=4, root="clusters/b"), root="clusters/b")
    index = Index.of([shop(GENEROUS, BIG), other])
    assert written(quota_proposals(action(), index, now=NOW, observations={})) == {"hard/requests.cpu": "10"}


def test_shrinking_namespaces() -> None:
    def requests(namespace: str, *, kind: str = "requests", takes: bool = True) -> Proposal:
        return Proposal.model_validate(
            {
                "kind": kind,
                "subject": Subject(kind="action", id="a", name="a"),
                "cluster": CLUSTER,
                "root": ROOT,
                "namespace": namespace,
                "edits": (),
                "reason": "",
                "takes_capacity": takes,
            }
        )

    moves = [requests("shop"), requests("lab", takes=False), requests("web", kind="turndown")]
    assert shrinking_namespaces(moves) == {(CLUSTER, "shop")}


def test_memory_is_written_in_binary_units() -> None:
    observed = seen({"requests.memory": str(3 * GIB + MIB)})
    assert written(decide(shop({"requests.memory": "1Gi"}), observations=observed)) == {
        "hard/requests.memory": "3904Mi"
    }
