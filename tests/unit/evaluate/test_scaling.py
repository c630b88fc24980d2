"""Policies as proposals: what is written, what is held back and why, and what goes away."""

from datetime import timedelta
from typing import Any

import pytest

from reconciler.evaluate.scaling import ScalingResult, policy_proposals
from reconciler.model.change import Refusal, ValueEdit
from reconciler.model.fleet import Cluster, Fleet, Root
from reconciler.model.inventory import PersonHpa, RootState
from reconciler.model.policy import ScalingPolicy
from reconciler.model.workload import ObjectRef, Source
from support.declared import (
    CLUSTER,
    FLEET,
    NOW,
    OVERLAY,
    ROOT,
    container,
    landed,
    machine_file,
    observation,
    pod,
    policy,
    state,
    workload,
)

HPA = f"{OVERLAY}/shop/hpa-web.yaml"
REPLICAS = f"{OVERLAY}/handover/shop/replicas-deployment-web.yaml"
WEB = workload()


def decide(policies: list[ScalingPolicy], *roots: RootState, fleet: Fleet = FLEET, **given: Any) -> ScalingResult:
    return policy_proposals(
        policies, roots, fleet, **{"now": NOW, "observations": {}, "policies_complete": True, **given}
    )


def values(edits: tuple[ValueEdit, ...]) -> dict[str, str | None]:
    return {edit.field: edit.new for edit in edits}


def person_hpa(kind: str = "HorizontalPodAutoscaler", target: str = "web") -> PersonHpa:
    return PersonHpa(
        kind=kind,
        namespace="shop",
        name="theirs",
        target_kind="Deployment",
        target_name=target,
        metrics=("cpu",),
        source=Source(path=f"{ROOT}/apps/hpa.yaml", line=3),
    )


def refusal(field: str, value: str | None, path: str = HPA, subject: str = "policy-web") -> Refusal:
    return Refusal(subject=subject, path=path, field=field, value=value, at=NOW, by="pat", commit="0123456789abcdef")


def test_a_live_policy_writes_its_hpa_once() -> None:
    before = state(WEB)
    result = decide([policy()], before)
    (proposal,) = result.proposals
    assert (proposal.kind, proposal.subject.id, proposal.subject.kind) == ("hpa", "policy-web", "policy")
    assert (proposal.cluster, proposal.root, proposal.namespace, proposal.workload) == (CLUSTER, ROOT, "shop", "web")
    assert {edit.path for edit in proposal.edits} == {HPA}
    assert values(proposal.edits)["metrics/cpu"] == "70%"
    assert all(edit.old is None for edit in proposal.edits)
    assert proposal.reason == "policy web: HPA shop/web 2–10 replicas, CPU 70 %"
    assert (proposal.blocked, proposal.takes_capacity, proposal.approval_required) == ("", False, False)
    assert proposal.policy_snapshot["maxReplicas"] == 10

    after = landed(before, proposal)
    assert decide([policy()], after).proposals == ()


def test_only_what_differs_is_edited() -> None:
    at_head = landed(state(WEB), *decide([policy(memory_target_percent=80)], state(WEB)).proposals)
    (proposal,) = decide([policy(max_replicas=5)], at_head).proposals
    assert [(e.field, e.old, e.new) for e in proposal.edits] == [
        ("maxReplicas", "10", "5"),
        ("metrics/memory", "80%", None),
    ]
    assert proposal.takes_capacity


def test_approval_is_asked_for_as_the_policy_says() -> None:
    assert decide([policy(approval_required=True)], state(WEB)).proposals[0].approval_required


@pytest.mark.parametrize("off", [{"dry_run": True}, {"enabled": False}])
def test_a_policy_that_is_not_live_leaves_git_alone_and_still_forecasts(off: dict[str, bool]) -> None:
    at_head = landed(state(WEB), *decide([policy()], state(WEB)).proposals)
    pods = [pod("a", 140), pod("b", 140)]
    result = decide([policy(max_replicas=3, step_size=5, **off)], at_head, observations=observation(pods=pods))
    assert result.proposals == ()
    seen = result.outlooks["policy-web"].forecast
    assert seen is not None
    assert (seen.current_replicas, seen.desired_replicas, seen.trigger_metric) == (2, 3, "cpu_percent")


def test_policies_of_other_runtimes_are_not_looked_at() -> None:
    result = decide([policy("pool", "web-pool/front", runtime="docker")], state(WEB))
    assert (result.proposals, result.problems) == ((), ())


# ── current replicas ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("age", "declared", "current"), [(45, 3, 7), (46, 3, 3), (46, None, 1), (-10, 3, 7), (-3600, 3, 3)]
)
def test_current_replicas(age: int, declared: int | None, current: int) -> None:
    status = {"namespace": "shop", "kind": "Deployment", "name": "web", "replicas": 7}
    seen = observation(NOW - timedelta(seconds=age), workloads=(status,), pods=())
    result = decide([policy(dry_run=True)], state(workload(replicas=declared)), observations=seen)
    outlook = result.outlooks["policy-web"]
    assert outlook.forecast is not None
    assert (outlook.forecast.current_replicas, outlook.forecast.desired_replicas) == (current, None)


def test_pods_are_found_through_their_replica_set() -> None:
    pods = [pod("a", 140, owner_kind="ReplicaSet", owner="web-6c5d")]
    result = decide([policy(dry_run=True, step_size=9)], state(WEB), observations=observation(pods=pods))
    forecast = result.outlooks["policy-web"].forecast
    assert forecast is not None
    assert forecast.desired_replicas == 2


# ── targets ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_deployment_comes_before_a_stateful_set_before_a_rollout() -> None:
    kinds = [workload(kind="Rollout"), workload(kind="StatefulSet"), workload()]
    for kind in ("Rollout", "StatefulSet", "Deployment"):
        known = [one for one in kinds if kinds.index(one) <= [w.key.kind for w in kinds].index(kind)]
        assert decide([policy()], state(*known)).proposals[0].edits[0].target.kind == kind


def test_the_target_may_stand_in_any_root_of_the_cluster() -> None:
    other = state(workload(root="clusters/prod-b"), root="clusters/prod-b")
    (proposal,) = decide([policy()], state(workload("api")), other).proposals
    assert proposal.root == "clusters/prod-b"
    assert proposal.edits[0].path == "clusters/prod-b/trimtab/shop/hpa-web.yaml"


def test_the_patch_names_the_object_as_it_is_where_the_component_runs() -> None:
    renamed = WEB.model_copy(update={"ref": ObjectRef(api_version="apps/v1", kind="Deployment", name="web")})
    edit = decide([policy()], state(renamed)).proposals[0].edits[0]
    assert (edit.target.namespace, edit.path) == (None, HPA)


def test_an_unknown_target_says_so_and_suggests_names() -> None:
    result = decide([policy(target="shop/wbe")], state(WEB, workload("wbe", namespace="other")))
    assert result.proposals == ()
    (problem,) = result.problems
    assert (problem.path, problem.field) == ("policies/web.yaml", "spec.targetRef")
    assert "shop/wbe" in problem.message
    assert "other/wbe" in problem.hint
    assert "shop/web" in problem.hint


def test_daemon_sets_cannot_be_scaled() -> None:
    assert decide([policy()], state(workload(kind="DaemonSet"))).problems[0].field == "spec.targetRef"


def test_a_target_that_is_declared_twice_names_both_places() -> None:
    twin = workload(root="clusters/b")
    (problem,) = decide([policy()], state(WEB), state(twin, root="clusters/b")).problems
    assert "clusters/prod/apps/web.yaml:12" in problem.message
    assert "clusters/b/apps/web.yaml:12" in problem.message


def test_the_cluster_is_needed_where_there_are_several() -> None:
    two = Fleet(
        name="acme", clusters=(*FLEET.clusters, Cluster(name="dev", id="c2", roots=(Root(path="clusters/dev"),)))
    )
    result = decide([policy()], state(WEB), fleet=two)
    assert (result.proposals, result.problems[0].field) == ((), "spec.cluster")
    for named in ("prod", "c1"):
        assert decide([policy(cluster=named)], state(WEB), fleet=two).proposals[0].cluster == "prod"
    (problem,) = decide([policy(cluster="prd")], state(WEB), fleet=two).problems
    assert (problem.field, problem.hint) == ("spec.cluster", "did you mean prod?")


def test_a_second_policy_on_one_target_is_a_problem() -> None:
    result = decide([policy("web-b", max_replicas=99), policy("web-a")], state(WEB))
    assert [proposal.subject.name for proposal in result.proposals] == ["web-a"]
    assert result.problems[0].path == "policies/web-b.yaml"
    assert "web-a" in result.problems[0].message


def test_a_dry_run_does_not_take_the_target_from_a_live_policy() -> None:
    result = decide([policy("a-trial", dry_run=True), policy("web")], state(WEB))
    assert [proposal.subject.name for proposal in result.proposals] == ["web"]


# ── conflicts ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["HorizontalPodAutoscaler", "ScaledObject"])
def test_a_persons_hpa_is_not_given_a_second(kind: str) -> None:
    (proposal,) = decide([policy()], state(WEB, hpas=(person_hpa(kind),))).proposals
    assert f"{kind} shop/theirs (clusters/prod/apps/hpa.yaml:3)" in proposal.blocked
    assert decide([policy()], state(WEB, hpas=(person_hpa(kind, "api"),))).proposals[0].blocked == ""


def test_a_persons_hpa_in_another_root_counts_too() -> None:
    other = state(root="clusters/b", hpas=(person_hpa(),))
    assert "shop/theirs" in decide([policy()], state(WEB), other).proposals[0].blocked


def test_an_hpa_that_kustomize_would_point_elsewhere_is_blocked() -> None:
    astray = state(WEB, strays={WEB.ref.key: "canary-web"})
    (proposal,) = decide([policy()], astray).proposals
    assert "would point an HPA for web at canary-web instead" in proposal.blocked
    # One that stands already is noted, and taken away by the stale patches.
    standing = landed(state(WEB), *decide([policy()], state(WEB)).proposals)
    with_copy = standing.model_copy(update={"inventory": astray.inventory})
    result = decide([policy()], with_copy)
    assert result.proposals == ()
    assert any("canary-web" in note for note in result.notes)


def test_a_handover_of_what_cannot_be_told_apart_is_blocked() -> None:
    web = workload(replicas=3)
    (proposal,) = decide([policy(hand_over=True)], state(web, twins={web.ref.key: ""})).proposals
    assert "cannot tell Deployment web from another one" in proposal.blocked
    told = decide([policy(hand_over=True)], state(web, twins={web.ref.key: "!a.io/b"})).proposals
    assert [(p.kind, p.blocked) for p in told] == [("hpa", ""), ("handover", "")]
    # An HPA is an object of its own: without spec.replicas there is nothing to patch.
    assert [p.blocked for p in decide([policy()], state(WEB, twins={WEB.ref.key: ""})).proposals] == [""]


def test_a_root_that_is_not_wired_is_blocked() -> None:
    assert "trimtab init" in decide([policy()], state(WEB, wired=False)).proposals[0].blocked


def test_replicas_in_the_manifest_block_and_say_where() -> None:
    (proposal,) = decide([policy()], state(workload(replicas=3))).proposals
    assert "clusters/prod/apps/web.yaml:12 sets spec.replicas: 3" in proposal.blocked
    assert "handOver: true" in proposal.blocked
    (proposal,) = decide([policy()], state(workload(replicas=3, replicas_line=17))).proposals
    assert "clusters/prod/apps/web.yaml:17 sets spec.replicas: 3" in proposal.blocked


def test_handing_over_comes_after_the_hpa() -> None:
    before = state(workload(replicas=3))
    hpa, handover = decide([policy(hand_over=True)], before).proposals
    assert (hpa.kind, hpa.blocked, handover.kind) == ("hpa", "", "handover")
    assert [(e.path, e.form, e.field, e.new) for e in handover.edits] == [(REPLICAS, "replicas", "replicas", "null")]

    (alone,) = decide([policy(hand_over=True)], landed(before, hpa)).proposals
    assert alone.kind == "handover"
    done = landed(before, hpa, handover)
    assert decide([policy(hand_over=True)], done).proposals == ()
    # Taking handOver back leaves what has been handed over.
    assert [p.blocked for p in decide([policy(max_replicas=11)], done).proposals] == [""]


def test_a_new_hpa_below_what_runs_holds_its_handover_with_it() -> None:
    hpa, handover = decide([policy(hand_over=True)], state(workload(replicas=30))).proposals
    assert (hpa.takes_capacity, handover.takes_capacity) == (True, True)


def test_nothing_is_handed_over_to_an_hpa_that_cannot_come() -> None:
    for blocked in (state(workload(replicas=3), wired=False), state(workload(replicas=3), hpas=(person_hpa(),))):
        assert [p.kind for p in decide([policy(hand_over=True)], blocked).proposals] == ["hpa"]
    refused = [refusal(name, value) for name, value in _all_values().items()]
    assert decide([policy(hand_over=True)], state(workload(replicas=3)), refusals=refused).proposals == ()


def test_a_standing_hpa_with_a_conflict_is_noted() -> None:
    at_head = landed(state(WEB), *decide([policy()], state(WEB)).proposals)
    clash = at_head.model_copy(update={"inventory": at_head.inventory.model_copy(update={"hpas": (person_hpa(),)})})
    result = decide([policy()], clash)
    assert result.proposals == ()
    assert "shop/theirs" in result.notes[0]


# ── CPU that Trimtab sizes ────────────────────────────────────────────────────────────────────────────────────────

SIZED = {f"{OVERLAY}/shop/requests-deployment-web.yaml": machine_file(
    "requests", WEB.ref, **{"containers/server/requests/cpu": "60m"}
)}  # fmt: skip


def test_the_target_is_absolute_where_the_overlay_sizes_the_cpu() -> None:
    (proposal,) = decide([policy()], state(WEB, overlay=SIZED)).proposals
    assert values(proposal.edits)["metrics/cpu"] == "70m"


def test_memory_alone_leaves_the_percentage() -> None:
    only_memory = {next(iter(SIZED)): machine_file("requests", WEB.ref, **{"containers/server/requests/memory": "1Gi"})}
    assert values(decide([policy()], state(WEB, overlay=only_memory)).proposals[0].edits)["metrics/cpu"] == "70%"


def test_in_place_the_annotation_says_so() -> None:
    edited = workload("web", container(cpu_request=60), annotations={"trimtab.dev/base-cpu-request": "100m"})
    assert values(decide([policy()], state(edited)).proposals[0].edits)["metrics/cpu"] == "70m"


def test_a_new_hpa_is_absolute_from_the_start_when_this_pass_sizes_the_cpu() -> None:
    before = state(WEB)
    (proposal,) = decide([policy()], before, sized_cpu={WEB.key}).proposals
    assert values(proposal.edits)["metrics/cpu"] == "70m"
    # It stays so, also while the sizing itself is held, or after it came to nothing.
    after = landed(before, proposal)
    assert decide([policy()], after, sized_cpu={WEB.key}).proposals == ()
    assert decide([policy()], after).proposals == ()


def test_a_standing_percentage_is_left_to_the_sizing() -> None:
    at_head = landed(state(WEB), *decide([policy()], state(WEB)).proposals)
    assert decide([policy()], at_head, sized_cpu={WEB.key}).proposals == ()


# ── what goes away ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_policy_that_is_gone_takes_its_files_with_it() -> None:
    before = state(workload(replicas=3))
    at_head = landed(before, *decide([policy(hand_over=True)], before).proposals)
    (proposal,) = decide([], at_head).proposals
    assert (proposal.kind, proposal.subject.id, proposal.takes_capacity) == ("hpa", "policy-web", True)
    assert {edit.path for edit in proposal.edits} == {HPA, REPLICAS}
    assert landed(at_head, proposal).overlay == {}


def test_nothing_is_concluded_from_policies_that_could_not_be_read() -> None:
    at_head = landed(state(WEB), *decide([policy()], state(WEB)).proposals)
    assert decide([], at_head, policies_complete=False).proposals == ()


def test_a_policy_that_is_switched_off_is_not_gone() -> None:
    at_head = landed(state(WEB), *decide([policy()], state(WEB)).proposals)
    assert decide([policy(enabled=False)], at_head).proposals == ()


def test_an_orphan_whose_workload_is_gone_is_left_to_the_stale_patches() -> None:
    at_head = landed(state(WEB), *decide([policy()], state(WEB)).proposals)
    assert decide([], state(overlay=at_head.overlay)).proposals == ()


def test_a_moved_target_takes_its_hpa_along_in_one_proposal() -> None:
    before = state(WEB, workload("api"))
    at_head = landed(before, *decide([policy()], before).proposals)
    (proposal,) = decide([policy(target="shop/api")], at_head).proposals
    assert proposal.workload == "api"
    assert "(was web)" in proposal.reason
    assert proposal.takes_capacity
    assert set(landed(at_head, proposal).overlay) == {f"{OVERLAY}/shop/hpa-api.yaml"}


def test_a_target_that_moved_and_is_unknown_changes_nothing() -> None:
    at_head = landed(state(WEB), *decide([policy()], state(WEB)).proposals)
    result = decide([policy(target="shop/nowhere")], at_head)
    assert (result.proposals, len(result.problems)) == ((), 1)


def test_an_hpa_that_points_at_another_kind_is_made_anew() -> None:
    before = state(workload(kind="StatefulSet"))
    at_head = landed(before, *decide([policy()], before).proposals)
    both = state(workload(kind="StatefulSet"), WEB, overlay=at_head.overlay)
    (gone,) = decide([policy()], both).proposals
    assert {edit.new for edit in gone.edits} == {None}
    (made,) = decide([policy()], landed(both, gone)).proposals
    assert {edit.target.kind for edit in made.edits} == {"Deployment"}


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _all_values() -> dict[str, str | None]:
    return values(decide([policy()], state(WEB)).proposals[0].edits)


def test_a_refused_value_withholds_the_policy_and_says_who_refused() -> None:
    at_head = landed(state(WEB), *decide([policy()], state(WEB)).proposals)
    refused = [refusal("maxReplicas", "20")]
    result = decide([policy(max_replicas=21, min_replicas=3)], at_head, refusals=refused)
    assert result.proposals == ()
    assert "pat" in result.notes[0]
    assert "0123456" in result.notes[0]
    assert len(decide([policy(max_replicas=24)], at_head, refusals=refused).proposals) == 1


def test_a_refused_hpa_comes_back_once_one_figure_differs_enough() -> None:
    refused = [refusal(name, value) for name, value in _all_values().items()]
    assert decide([policy()], state(WEB), refusals=refused).proposals == ()
    assert decide([policy(max_replicas=11)], state(WEB), refusals=refused).proposals == ()
    assert len(decide([policy(max_replicas=12)], state(WEB), refusals=refused).proposals) == 1


def test_the_refusal_of_another_policy_does_not_count() -> None:
    refused = [refusal(name, value, subject="policy-other") for name, value in _all_values().items()]
    assert len(decide([policy()], state(WEB), refusals=refused).proposals) == 1


def test_a_removal_that_was_refused_is_not_tried_again() -> None:
    at_head = landed(state(WEB), *decide([policy()], state(WEB)).proposals)
    result = decide([], at_head, refusals=[refusal("maxReplicas", None)])
    assert (result.proposals, len(result.notes)) == ((), 1)
