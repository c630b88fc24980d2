"""Recommendations as edits: where they land, what goes with them, and what an HPA asks for."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from reconciler.evaluate.request_base import absolute_cpu_target, pod_cpu_request_base, request_base_problem
from reconciler.evaluate.sizing import SizingContext, proposals, recommend, sized_cpu
from reconciler.model.change import Proposal, Subject
from reconciler.model.fleet import Root
from reconciler.model.inventory import Inventory, PersonHpa, RootState
from reconciler.model.machine_file import MachineFile
from reconciler.model.observation import SeriesKey, UsageSummary
from reconciler.model.quantity import MIB
from reconciler.model.workload import Container, ObjectRef, Resources, Source, Workload, WorkloadKey

NOW = datetime(2026, 6, 16, 10, tzinfo=UTC)
KEY = WorkloadKey(cluster="prod", namespace="shop", kind="Deployment", name="web")
REF = ObjectRef(api_version="apps/v1", kind="Deployment", name="web", namespace="shop")
SUBJECT = Subject(kind="action", id="a1", name="nightly")
ROOT = Root(path="clusters/prod")
IN_PLACE = ROOT.model_copy(update={"write": "inPlace"})
REQUESTS = "clusters/prod/trimtab/shop/requests-deployment-web.yaml"
HPA = "clusters/prod/trimtab/shop/hpa-web.yaml"
MANIFEST = "clusters/prod/apps/web.yaml"


def container(name: str = "server", role: str = "main", **resources: int) -> Container:
    values = resources or {"cpu_request": 500, "cpu_limit": 1000, "memory_request": 512 * MIB}
    return Container.model_validate({"name": name, "role": role, "resources": Resources(**values)})


def workload(*containers: Container, kind: str = "Deployment", **fields: object) -> Workload:
    values = {
        "key": KEY.model_copy(update={"kind": kind}),
        "ref": REF.model_copy(update={"kind": kind}),
        "root": "clusters/prod",
        "source": Source(path=MANIFEST, line=7),
        "containers": containers or (container(),),
        "replicas": 3,
    }
    return Workload.model_validate({**values, **fields})


def usage(subject: Workload, *, cpu: float = 0.182, memory: float = 212.4 * MIB) -> dict[SeriesKey, UsageSummary]:
    return {
        SeriesKey(workload=subject.key, container=one.name, resource=resource): UsageSummary(
            samples=4032,
            maximum=value,
            average=value,
            base={"max": value},
            first=NOW - timedelta(days=14),
            last=NOW,
        )
        for one in subject.containers
        for resource, value in (("cpu", cpu), ("memory", memory))
    }


def proposed(
    subject: Workload,
    *,
    root: Root = ROOT,
    overlay: dict[str, MachineFile] | None = None,
    wired: bool = True,
    twins: dict[str, str] | None = None,
    **context: object,
) -> tuple[Proposal, ...]:
    values = {"usage": usage(subject), **context}
    sizing = SizingContext(now=NOW, **values)  # type: ignore[arg-type]
    inventory = Inventory(cluster="prod", root=root.path, wired=wired, twins=twins or {})
    state = RootState(inventory=inventory, overlay=overlay or {})
    return proposals(recommend(subject, sizing), subject=SUBJECT, root_state=state, root=root, context=sizing)


def moves(found: Iterable[Proposal]) -> dict[tuple[str, str], tuple[str | None, str | None]]:
    return {(edit.path, edit.field): (edit.old, edit.new) for one in found for edit in one.edits}


def hpa(**values: str) -> MachineFile:
    return MachineFile(form="hpa", target=REF, values={f"metrics/{name}": value for name, value in values.items()})


def test_one_proposal_per_workload_with_all_that_it_needs() -> None:
    (found,) = proposed(workload())
    assert moves([found]) == {
        (REQUESTS, "containers/server/requests/cpu"): (None, "280m"),
        (REQUESTS, "containers/server/limits/cpu"): (None, "560m"),
        (REQUESTS, "containers/server/requests/memory"): (None, "327Mi"),
    }
    assert found.kind == "requests"
    assert (found.cluster, found.root, found.namespace, found.workload) == ("prod", "clusters/prod", "shop", "web")
    assert found.reason == "Deployment shop/web: server CPU 500m → 280m, server memory 512Mi → 327Mi"
    assert found.takes_capacity
    assert found.saving_monthly is not None
    assert found.saving_monthly > Decimal(15)
    assert not found.blocked
    assert {edit.target for edit in found.edits} == {REF}
    assert {edit.form for edit in found.edits} == {"requests"}


def test_the_dearest_changes_are_named_and_the_rest_counted() -> None:
    big, small = container("big", cpu_request=4000), container("small", cpu_request=500)
    (found,) = proposed(workload(small, big))
    assert found.reason == "Deployment shop/web: big CPU 4 → 280m, small CPU 500m → 280m, 2 more"


def test_a_raise_takes_no_capacity() -> None:
    (found,) = proposed(workload(container(cpu_request=100, memory_request=100 * MIB)))
    assert not found.takes_capacity
    assert found.saving_monthly is not None
    assert found.saving_monthly < 0


def test_only_what_differs_from_the_overlay_is_edited() -> None:
    ours = MachineFile(
        form="requests",
        target=REF,
        values={"containers/server/requests/cpu": "400m", "containers/server/limits/cpu": "560m"},
    )
    found = proposed(
        workload(container(cpu_request=500, cpu_limit=1000)), overlay={REQUESTS: ours}, requests_files={KEY: ours}
    )
    cpu = {field: move for (_, field), move in moves(found).items() if field.endswith("cpu")}
    assert cpu == {"containers/server/requests/cpu": ("400m", "280m")}


def test_init_containers_and_sidecars_have_their_own_fields() -> None:
    subject = workload(container("setup", "init", cpu_request=500), container("proxy", "sidecar", cpu_request=500))
    fields = {field for _, field in moves(proposed(subject))}
    assert {"initContainers/setup/requests/cpu", "initContainers/proxy/requests/cpu"} <= fields


@pytest.mark.parametrize("kind", ["Job", "Pod"])
def test_what_cannot_be_changed_is_not_proposed(kind: str) -> None:
    assert proposed(workload(kind=kind)) == ()


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet", "CronJob", "Rollout"])
def test_the_other_kinds_are_proposed(kind: str) -> None:
    assert len(proposed(workload(kind=kind))) == 1


def test_nothing_to_do_is_no_proposal() -> None:
    assert proposed(workload(), usage={}) == ()


def test_a_root_that_cannot_carry_the_values_blocks_them_by_name() -> None:
    (unwired,) = proposed(workload(), wired=False)
    assert unwired.blocked == "clusters/prod does not list the component clusters/prod/trimtab: run trimtab init"
    (helm,) = proposed(workload(), root=ROOT.model_copy(update={"write": "helmValues"}))
    assert "Helm values" in helm.blocked
    assert helm.edits == ()


def test_what_kustomize_cannot_tell_apart_is_blocked_where_a_patch_would_be_written() -> None:
    indistinct = {REF.key: ""}
    (proposal,) = proposed(workload(), twins=indistinct)
    assert "cannot tell Deployment web from another one" in proposal.blocked
    assert [p.blocked for p in proposed(workload(), twins={REF.key: "!a.io/b"})] == [""]
    assert [p.blocked for p in proposed(workload(), root=IN_PLACE, twins=indistinct)] == [""]


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [
        ("Deployment", "spec/template/spec/containers/server/resources"),
        ("CronJob", "spec/jobTemplate/spec/template/spec/containers/server/resources"),
    ],
)
def test_in_place_edits_name_the_manifests_own_fields(kind: str, prefix: str) -> None:
    found = proposed(workload(kind=kind), root=IN_PLACE, wired=False)
    assert moves(found) == {
        (MANIFEST, f"{prefix}/requests/cpu"): ("500m", "280m"),
        (MANIFEST, f"{prefix}/limits/cpu"): ("1", "560m"),
        (MANIFEST, f"{prefix}/requests/memory"): ("512Mi", "327Mi"),
    }
    assert {edit.form for one in found for edit in one.edits} == {"source"}


def test_our_hpas_metric_changes_in_the_same_proposal() -> None:
    found = proposed(workload(), hpa_files={KEY: hpa(cpu="70%")}, policy_cpu_percent={KEY: 70.0})
    assert len(found) == 1
    assert moves(found)[HPA, "metrics/cpu"] == ("70%", "350m")


def test_the_metric_follows_peoples_request_and_not_ours() -> None:
    ours = MachineFile(form="requests", target=REF, values={"containers/server/requests/cpu": "100m"})
    context = {"hpa_files": {KEY: hpa(cpu="70%")}, "requests_files": {KEY: ours}}
    found = proposed(workload(), overlay={REQUESTS: ours}, **context)
    assert moves(found)[HPA, "metrics/cpu"] == ("70%", "350m")
    context |= {"hpa_files": {KEY: hpa(cpu="350m")}, "policy_cpu_percent": {KEY: 70.0}}
    again = moves(proposed(workload(), overlay={REQUESTS: ours}, **context))
    assert (REQUESTS, "containers/server/requests/cpu") in again
    assert (HPA, "metrics/cpu") not in again


def test_a_sidecar_without_a_request_leaves_cpu_alone_under_our_hpa() -> None:
    subject = workload(container(), container("proxy", "sidecar", memory_request=MIB))
    context = SizingContext(now=NOW, usage=usage(subject), hpa_files={KEY: hpa(cpu="70%")})
    found = recommend(subject, context)
    assert found[0].changes == ("memory",)
    assert found[0].why["cpu"] == "left alone: Trimtab's HPA scales on CPU and container proxy has no CPU request"


def test_a_policy_whose_hpa_is_not_written_yet_is_told_what_is_sized() -> None:
    subject = workload()
    context = SizingContext(now=NOW, usage=usage(subject), policy_cpu_percent={KEY: 70.0})
    assert sized_cpu(recommend(subject, context)) == {KEY}
    assert not [field for path, field in moves(proposed(subject, policy_cpu_percent={KEY: 70.0})) if path == HPA]


@pytest.mark.parametrize("context", [{"hpa_files": {KEY: hpa(memory="70%")}}, {"policy_memory": frozenset({KEY})}])
def test_memory_is_left_alone_under_our_hpa_on_memory(context: dict[str, object]) -> None:
    subject = workload()
    sizing = SizingContext(now=NOW, usage=usage(subject), **context)  # type: ignore[arg-type]
    (found,) = recommend(subject, sizing)
    assert found.changes == ("cpu",)
    assert "scales on memory" in found.why["memory"]


@pytest.mark.parametrize("kind", ["HorizontalPodAutoscaler", "ScaledObject"])
def test_a_persons_hpa_leaves_its_resource_alone_and_is_named(kind: str) -> None:
    subject = workload()
    theirs = PersonHpa(
        kind=kind,
        namespace="shop",
        name="web-hpa",
        target_kind="Deployment",
        target_name="web",
        metrics=("cpu",),
        source=Source(path="clusters/prod/apps/hpa.yaml", line=3),
    )
    (found,) = recommend(subject, SizingContext(now=NOW, usage=usage(subject), person_hpas=(theirs,)))
    assert found.changes == ("memory",)
    assert found.why["cpu"].startswith(f"left alone: {kind} shop/web-hpa (clusters/prod/apps/hpa.yaml:3) scales on CPU")


def test_in_place_keeps_peoples_request_in_an_annotation() -> None:
    context = {"root": IN_PLACE, "hpa_files": {KEY: hpa(cpu="70%")}}
    first = moves(proposed(workload(), **context))
    assert first[MANIFEST, "metadata/annotations/trimtab.dev~1base-cpu-request"] == (None, "500m")
    assert first[HPA, "metrics/cpu"] == ("70%", "350m")
    edited = workload(container(cpu_request=100), annotations={"trimtab.dev/base-cpu-request": "500m"})
    context["hpa_files"] = {KEY: hpa(cpu="350m")}
    second = moves(proposed(edited, **context))
    assert {path for path, _ in second} == {MANIFEST}
    assert not [field for _, field in second if "annotations" in field]


@pytest.mark.parametrize(
    ("subject", "base", "problem"),
    [
        (workload(container(cpu_request=300), container("p", "sidecar", cpu_request=100)), 400, ""),
        (workload(container(cpu_request=300), container("i", "init", memory_request=1)), 300, ""),
        (workload(container(memory_request=1), pod_cpu_request=700), 700, ""),
        (workload(container(cpu_limit=250)), 250, ""),
        (
            workload(container("a", memory_request=1), container("b", memory_request=1)),
            None,
            "containers a, b have no CPU request",
        ),
        (workload(container(cpu_request=0)), None, "the CPU requests of the pod add up to zero"),
        (workload(annotations={"trimtab.dev/base-cpu-request": "1500m"}), 1500, ""),
        (
            workload(annotations={"trimtab.dev/base-cpu-request": "much"}),
            None,
            "the annotation trimtab.dev/base-cpu-request: 'much' is not a CPU quantity above zero",
        ),
    ],
)
def test_peoples_own_request_of_the_pod(subject: Workload, base: int | None, problem: str) -> None:
    assert pod_cpu_request_base(subject) == base
    assert request_base_problem(subject) == problem


@pytest.mark.parametrize(("percent", "target"), [(70, "350m"), (62.5, "313m"), (70.1, "351m"), (200, "1"), (0.1, "1m")])
def test_the_absolute_target_is_canonical_and_rounded_up(percent: float, target: str) -> None:
    assert absolute_cpu_target(percent, workload()) == target
