"""What Trimtab wrote for objects that a person has since removed, renamed or moved."""

from typing import Any

import pytest

from reconciler.evaluate.stale import stale_proposals
from reconciler.model.change import Proposal
from reconciler.model.fleet import Root
from reconciler.model.inventory import NodePool, Problem, Quota, RootState
from reconciler.model.machine_file import MachineFile
from reconciler.model.workload import ObjectRef, Source
from support.declared import OVERLAY, ROOT, container, landed, machine_file, state, workload

WEB = workload(replicas=3)
REQUESTS = f"{OVERLAY}/shop/requests-deployment-web.yaml"
QUOTA_REF = ObjectRef(api_version="v1", kind="ResourceQuota", name="compute", namespace="shop")
POOL_REF = ObjectRef(api_version="karpenter.sh/v1", kind="NodePool", name="general")


def overlay(**fields: str) -> dict[str, MachineFile]:
    """One file of each form, about Deployment shop/web, the quota and the node pool."""
    sizes = fields or {"containers/server/requests/cpu": "60m", "containers/server/requests/memory": "64Mi"}
    return {
        REQUESTS: machine_file("requests", WEB.ref, **sizes),
        f"{OVERLAY}/shop/hpa-web.yaml": machine_file("hpa", WEB.ref, minReplicas="2"),
        f"{OVERLAY}/handover/shop/replicas-deployment-web.yaml": machine_file("replicas", WEB.ref, replicas="null"),
        f"{OVERLAY}/shop/quota-compute.yaml": machine_file("quota", QUOTA_REF, **{"hard/requests.cpu": "4"}),
        f"{OVERLAY}/nodepools/limits-general.yaml": machine_file("nodepool", POOL_REF, **{"limits/cpu": "64"}),
    }


def quota(**hard: str) -> Quota:
    source = Source(path=f"{ROOT}/apps/quota.yaml")
    return Quota(namespace="shop", name="compute", ref=QUOTA_REF, hard=hard or {"requests.cpu": "8"}, source=source)


def pool(cpu_limit: int | None = 40_000) -> NodePool:
    return NodePool(name="general", ref=POOL_REF, cpu_limit=cpu_limit, source=Source(path="pool.yaml"))


def whole(web: Any = WEB, **inventory: Any) -> RootState:
    """A root that declares all that :func:`overlay` is about."""
    return state(web, overlay=overlay(), **{"quotas": (quota(),), "node_pools": (pool(),), **inventory})


def stale(root: RootState) -> tuple[Proposal, ...]:
    return stale_proposals(root, Root(path=ROOT))


def test_nothing_is_stale_while_everything_is_there() -> None:
    assert stale(whole()) == ()


def test_what_is_gone_takes_its_files_along() -> None:
    root = state(overlay=overlay())
    proposals = stale(root)
    assert len(proposals) == 5
    for proposal in proposals:
        assert (proposal.kind, proposal.subject.kind) == ("stale", "trimtab")
        assert (proposal.ignores_windows, proposal.ignores_budget) == (True, True)
        assert {edit.new for edit in proposal.edits} == {None}
        assert "no longer declared" in proposal.reason
    assert landed(root, *proposals).overlay == {}


def test_a_renamed_workload_is_another_workload() -> None:
    renamed = workload("front", replicas=3)
    assert {p.edits[0].target.kind for p in stale(whole(renamed))} == {"Deployment"}
    assert len(stale(whole(renamed))) == 3


def test_a_renamed_container_loses_its_fields_only() -> None:
    web = workload("web", container("app"), container("proxy", "sidecar"), replicas=3)
    sizes = {
        "containers/server/requests/cpu": "60m",
        "containers/app/requests/cpu": "60m",
        "initContainers/proxy/requests/cpu": "10m",
        "containers/proxy/requests/cpu": "10m",
    }
    (proposal,) = [p for p in stale(state(web, overlay=overlay(**sizes))) if p.edits[0].form == "requests"]
    assert {(e.field, e.old, e.new) for e in proposal.edits} == {
        ("containers/server/requests/cpu", "60m", None),
        ("containers/proxy/requests/cpu", "10m", None),
    }
    assert "server" in proposal.reason
    assert (proposal.namespace, proposal.workload) == ("shop", "web")


def test_a_workload_that_moved_to_another_namespace_starts_anew() -> None:
    # Without a namespace of its own it keeps its identity; the transformer further out now puts it into "lab".
    files = {
        REQUESTS: machine_file("requests", workload(ref_namespace=None).ref, **{"containers/server/requests/cpu": "1"})
    }
    assert stale(state(workload(ref_namespace=None), overlay=files)) == ()
    (proposal,) = stale(state(workload(namespace="lab", ref_namespace=None), overlay=files))
    assert "now in namespace lab" in proposal.reason


def test_a_handover_ends_when_the_manifest_lets_go() -> None:
    (proposal,) = stale(whole(workload()))
    assert (proposal.edits[0].form, proposal.edits[0].new) == ("replicas", None)


def test_a_handover_ends_with_its_hpa() -> None:
    files = {path: file for path, file in overlay().items() if file.form != "hpa"}
    (proposal,) = stale(whole().model_copy(update={"overlay": files}))
    assert (proposal.edits[0].form, proposal.edits[0].new, proposal.ignores_windows) == ("replicas", None, True)
    assert "has no HPA of Trimtab's any more" in proposal.reason
    other = machine_file("hpa", WEB.ref.model_copy(update={"kind": "StatefulSet"}), minReplicas="2")
    files[f"{OVERLAY}/shop/hpa-web.yaml"] = other
    found = stale(whole().model_copy(update={"overlay": files}))
    assert {p.edits[0].form for p in found} == {"hpa", "replicas"}


def test_an_hpa_that_now_goes_astray_is_dropped_with_its_handover() -> None:
    proposals = stale(whole(strays={WEB.ref.key: "canary-web"}))
    assert {p.edits[0].form for p in proposals} == {"hpa", "replicas"}
    assert any("points the HPA of web at canary-web" in p.reason for p in proposals)


def test_patches_of_what_cannot_be_told_apart_any_more_are_dropped() -> None:
    proposals = stale(whole(twins={WEB.ref.key: "", QUOTA_REF.key: ""}))
    assert {p.edits[0].form for p in proposals} == {"requests", "replicas", "quota"}
    assert all("cannot tell" in p.reason for p in proposals)


def test_targets_that_no_longer_mean_one_object_are_written_anew() -> None:
    root = whole(twins={WEB.ref.key: "!a.io/b"}).model_copy(update={"mistargeted": (REQUESTS,)})
    (proposal,) = stale(root)
    assert (proposal.kind, proposal.ignores_windows, proposal.takes_capacity) == ("stale", True, False)
    assert (proposal.namespace, proposal.workload) == ("shop", "web")
    assert [(e.path, e.field, e.old, e.new) for e in proposal.edits] == [(REQUESTS, "target", None, None)]
    assert "web" in proposal.reason
    gone = root.model_copy(update={"inventory": state(twins={WEB.ref.key: "!a.io/b"}).inventory})
    assert "target" not in {e.field for p in stale(gone) for e in p.edits}, "what is dropped is not aimed at anything"


@pytest.mark.parametrize(
    ("containers", "said"),
    [
        (("server", "first"), "stand in another order"),
        (("new", "first", "server"), "stand in another order"),
        (("server",), "first of Deployment web, named in Trimtab's file to keep the order, is no longer declared"),
    ],
)
def test_a_file_whose_order_a_person_has_left_is_aimed_anew_and_says_why(
    containers: tuple[str, ...], said: str
) -> None:
    order = ("containers/first", "containers/server")
    file = MachineFile(form="requests", target=WEB.ref, values={"containers/server/requests/cpu": "1"}, order=order)
    root = state(workload("web", *map(container, containers)), overlay={REQUESTS: file})
    (proposal,) = stale(root.model_copy(update={"mistargeted": (REQUESTS,)}))
    assert [(e.path, e.field, e.new) for e in proposal.edits] == [(REQUESTS, "target", None)]
    assert said in proposal.reason


def test_keys_that_a_person_took_out_are_not_put_back() -> None:
    (proposal,) = stale(whole(quotas=(quota(pods="10"),)))
    assert [(e.form, e.field) for e in proposal.edits] == [("quota", "hard/requests.cpu")]
    (proposal,) = stale(whole(node_pools=(pool(None),)))
    assert [(e.form, e.field) for e in proposal.edits] == [("nodepool", "limits/cpu")]


def test_a_new_version_of_the_kind_is_the_same_object() -> None:
    older = machine_file("hpa", WEB.ref.model_copy(update={"api_version": "apps/v1beta2"}), minReplicas="2")
    assert stale(state(WEB, overlay={f"{OVERLAY}/shop/hpa-web.yaml": older})) == ()


@pytest.mark.parametrize("blocks", [True, False])
def test_nothing_is_concluded_from_a_root_that_could_not_be_read(blocks: bool) -> None:
    problem = Problem(path="apps/web.yaml", message="not YAML", blocks_root=blocks)
    assert bool(stale(state(overlay=overlay(), problems=(problem,)))) is not blocks


def test_turndown_files_are_left_to_the_turndown() -> None:
    target = ObjectRef(api_version="v1", kind="Namespace", name="shop")
    file = machine_file("turndown", target, action="a", **{"apps/v1|Deployment|shop|gone": "replicas=0"})
    assert stale(state(WEB, overlay={f"{OVERLAY}/shop/turndown/turndown.yaml": file})) == ()
