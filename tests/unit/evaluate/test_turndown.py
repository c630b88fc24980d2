"""Turndown: what goes to rest, what stays up and why, and how it comes back."""

from typing import Any

import pytest

from reconciler.evaluate.filters import FilterError
from reconciler.evaluate.turndown import TurndownResult, orphan_turnups, turndown_proposals
from reconciler.model.action import ActionConfig
from reconciler.model.change import Proposal
from reconciler.model.inventory import PersonHpa, RootState
from reconciler.model.workload import ObjectRef, Source
from support.declared import CLUSTER, OVERLAY, ROOT, landed, machine_file, state, workload

DIRECTORY = f"{OVERLAY}/shop/turndown"
FILE = f"{DIRECTORY}/turndown.yaml"
SHOP = ObjectRef(api_version="v1", kind="Namespace", name="shop")
WEB = workload(replicas=3)


def action(name: str = "nightly", **fields: Any) -> ActionConfig:
    given = {"id": f"action-{name}", "name": name, "action": "namespaceTurndown"}
    chosen = {} if {"namespaces", "filter"} & set(fields) else {"namespaces": ("shop",)}
    return ActionConfig.model_validate({**given, **chosen, **fields})


def decide(*roots: RootState, by: ActionConfig | None = None, **given: Any) -> TurndownResult:
    return turndown_proposals(by or action(), roots, **{"allowed_now": True, "prepared": {DIRECTORY}, **given})


def down(before: RootState) -> RootState:
    return landed(before, *decide(before).proposals)


def written(proposal: Proposal) -> dict[str, str | None]:
    return {edit.field: edit.new for edit in proposal.edits}


def test_a_namespace_goes_down_whole() -> None:
    result = decide(
        state(
            WEB,
            workload("db", kind="StatefulSet"),
            workload("canary", kind="Rollout"),
            workload("report", kind="CronJob"),
            workload("log", kind="DaemonSet"),
            workload("seed", kind="Job"),
            workload("other", namespace="lab"),
        )
    )
    (proposal,) = result.proposals
    assert (proposal.kind, proposal.namespace, proposal.takes_capacity) == ("turndown", "shop", True)
    assert (proposal.ignores_windows, proposal.subject.id) == (False, "action-nightly")
    assert {(edit.path, edit.form, edit.target) for edit in proposal.edits} == {(FILE, "turndown", SHOP)}
    assert written(proposal) == {
        "apps/v1|Deployment|shop|web": "replicas=0",
        "apps/v1|StatefulSet|shop|db": "replicas=0",
        "argoproj.io/v1alpha1|Rollout|shop|canary": "replicas=0",
        "batch/v1|CronJob|shop|report": "suspend=true",
        "action": "action-nightly",
    }
    (note,) = result.notes
    assert "DaemonSet log (has no replicas), Job seed (has no replicas)" in note


def test_identities_are_those_where_the_component_runs() -> None:
    (proposal,) = decide(state(workload(replicas=3, ref_namespace=None))).proposals
    assert "apps/v1|Deployment||web" in written(proposal)
    assert proposal.edits[0].path == FILE


def test_it_is_proposed_outside_the_window_too_and_held_there() -> None:
    assert [p.kind for p in decide(state(WEB), allowed_now=False).proposals] == ["turndown"]


def test_the_component_is_prepared_before_the_first_time() -> None:
    prepare, turndown = decide(state(WEB), prepared=()).proposals
    assert (prepare.kind, prepare.ignores_windows, prepare.takes_capacity) == ("prepare", True, False)
    (edit,) = prepare.edits
    assert (edit.path, edit.form, edit.target) == (f"{DIRECTORY}/kustomization.yaml", "turndown", SHOP)
    assert (edit.field, edit.old, edit.new) == ("prepared", None, "true")
    assert turndown.kind == "turndown"


def test_what_rests_already_is_not_patched() -> None:
    asleep = state(workload("off", replicas=0), workload("done", kind="CronJob", suspend=True))
    assert decide(asleep) == TurndownResult()


def test_what_cannot_be_told_apart_stays_up_and_says_so() -> None:
    twins = {WEB.ref.key: "", "apps/v1|Deployment|shop|api": "!a.io/b"}
    result = decide(state(WEB, workload("api"), twins=twins))
    (proposal,) = result.proposals
    assert set(written(proposal)) == {"apps/v1|Deployment|shop|api", "action"}
    assert any("Deployment web (kustomize cannot tell" in note for note in result.notes)


def test_a_zero_that_was_handed_over_to_an_hpa_rests_no_more() -> None:
    off = workload("off", replicas=0)
    file = machine_file("replicas", off.ref, replicas="null")
    handed_over = state(off, overlay={f"{OVERLAY}/handover/shop/replicas-deployment-off.yaml": file})
    (proposal,) = decide(handed_over).proposals
    assert written(proposal)["apps/v1|Deployment|shop|off"] == "replicas=0"


def test_while_down_nothing_is_written_twice() -> None:
    assert decide(down(state(WEB))).proposals == ()


def test_while_down_new_workloads_join_and_gone_ones_are_dropped() -> None:
    at_head = down(state(WEB, workload("api")))
    changed = state(WEB, workload("new"), overlay=at_head.overlay)
    stale, join = decide(changed).proposals
    assert (stale.kind, stale.ignores_windows, written(stale)) == ("stale", True, {"apps/v1|Deployment|shop|api": None})
    assert (join.kind, join.takes_capacity) == ("turndown", True)
    assert written(join) == {"apps/v1|Deployment|shop|new": "replicas=0"}
    assert decide(landed(changed, stale, join)).proposals == ()


def test_when_the_window_closes_everything_comes_back_whatever_holds_others() -> None:
    at_head = down(state(WEB))
    (proposal,) = decide(at_head, allowed_now=False, landed={FILE: "abc123"}).proposals
    assert (proposal.kind, proposal.reverts) == ("turnup", "abc123")
    assert (proposal.ignores_windows, proposal.ignores_budget, proposal.takes_capacity) == (True, True, False)
    assert set(written(proposal).values()) == {None}
    assert landed(at_head, proposal).overlay == {}


def test_a_namespace_without_workloads_left_comes_up() -> None:
    at_head = down(state(WEB))
    (proposal,) = decide(state(overlay=at_head.overlay)).proposals
    assert (proposal.kind, set(written(proposal).values())) == ("turnup", {None})


@pytest.mark.parametrize("namespace", ["default", "kube-system", "kube-public", "trimtab-system"])
def test_system_namespaces_are_refused(namespace: str) -> None:
    result = decide(state(workload(namespace=namespace)), by=action(namespaces=(namespace,)))
    assert result.proposals == ()
    assert f"prod/{namespace} is never turned down" in result.notes[0]


def test_trimtabs_own_namespace_can_have_another_name() -> None:
    assert decide(state(WEB), own_namespace="shop").proposals == ()
    # Had it been turned down before that was known, it comes back.
    assert [p.kind for p in decide(down(state(WEB)), own_namespace="shop").proposals] == ["turnup"]


def test_keda_and_argo_keep_their_workloads() -> None:
    keda = PersonHpa(
        kind="ScaledObject",
        namespace="shop",
        name="web",
        target_kind="Deployment",
        target_name="web",
        source=Source(path="x"),
    )
    api, job = workload("api"), workload("job")
    result = decide(state(WEB, api, job, hpas=(keda,)), ignored_replicas={api.key})
    assert set(written(result.proposals[0])) == {"apps/v1|Deployment|shop|job", "action"}
    assert "Deployment web (KEDA scales it)" in result.notes[0]
    assert "Deployment api (Argo CD is told to ignore its replicas)" in result.notes[0]


def test_a_person_who_reverted_it_is_heeded() -> None:
    refused = {(CLUSTER, "shop")}
    result = decide(state(WEB), refused_namespaces=refused)
    assert result.proposals == ()
    assert "stays up: turning it down was reverted" in result.notes[0]
    at_head = down(state(WEB))
    assert decide(at_head, refused_namespaces=refused, allowed_now=False).proposals[0].kind == "turnup"


def test_an_unwired_root_is_blocked() -> None:
    (proposal,) = decide(state(WEB, wired=False), prepared=()).proposals
    assert (proposal.kind, "trimtab init" in proposal.blocked) == ("turndown", True)


def test_namespaces_are_chosen_by_filter_and_by_labels_in_git() -> None:
    root = state(WEB, workload(namespace="lab"))
    assert [p.namespace for p in decide(root, by=action(filter='namespace:"lab"'), prepared=()).proposals] == [
        "lab"
    ] * 2
    labels = state(root="clusters/b", namespaces={"lab": {"sleep": "nightly"}})
    by_label = action(filter='label[sleep]:"nightly"')
    assert {p.namespace for p in decide(root, labels, by=by_label).proposals} == {"lab"}
    both = action(filter='namespace~:"a"', namespaces=("shop",))
    assert decide(root, by=both) == TurndownResult()


def test_without_namespaces_or_filter_nothing_is_turned_down() -> None:
    result = decide(state(WEB), by=action(filter=" "))
    assert result.proposals == ()
    assert "names neither namespaces nor a filter" in result.notes[0]


def test_a_bad_filter_is_an_error() -> None:
    with pytest.raises(FilterError):
        decide(state(WEB), by=action(filter="namespace:"))


@pytest.mark.parametrize(
    ("fields", "count"),
    [({"clusters": ("dev",)}, 0), ({"clusters": ("prod",)}, 1), ({"clusters": ("c1",)}, 1), ({"enabled": False}, 0)],
)
def test_the_actions_clusters(fields: dict[str, Any], count: int) -> None:
    assert len(decide(state(WEB), by=action(**fields), cluster_ids={"prod": "c1"}).proposals) == count


def test_a_namespace_over_two_roots_goes_down_in_both() -> None:
    other = state(workload("api", root="clusters/b"), root="clusters/b")
    assert {p.root for p in decide(state(WEB), other).proposals if p.kind == "turndown"} == {ROOT, "clusters/b"}


def test_what_another_action_turned_down_is_its_business() -> None:
    at_head = down(state(WEB))
    assert decide(at_head, by=action("weekend")) == TurndownResult()
    assert decide(at_head, by=action("weekend"), allowed_now=False) == TurndownResult()


# ── turndowns whose action is no more ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "actions",
    [[], [action(enabled=False)], [action(namespaces=("lab",))], [action(clusters=("dev",))], [action("weekend")]],
)
def test_orphans_come_up(actions: list[ActionConfig]) -> None:
    at_head = down(state(WEB))
    (proposal,) = orphan_turnups(actions, [at_head], actions_complete=True, landed={FILE: "abc"})
    assert (proposal.kind, proposal.subject.id, proposal.reverts) == ("turnup", "action-nightly", "abc")
    assert (proposal.ignores_windows, proposal.ignores_budget) == (True, True)
    assert landed(at_head, proposal).overlay == {}
    assert orphan_turnups(actions, [at_head], actions_complete=False) == ()


def test_what_its_action_still_covers_is_no_orphan() -> None:
    assert orphan_turnups([action("weekend"), action()], [down(state(WEB))], actions_complete=True) == ()


def test_a_turndown_without_owner_comes_up() -> None:
    lost = state(WEB, overlay={FILE: machine_file("turndown", SHOP, **{"apps/v1|Deployment|shop|web": "replicas=0"})})
    (proposal,) = orphan_turnups([action()], [lost], actions_complete=True)
    assert (proposal.kind, proposal.subject.name) == ("turnup", "unknown")
