"""Recommendations of containers put together to one of a workload: sizes, cost, saving, priority, and what was written of it."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.evaluate import recommended
from reconciler.model.change import EditForm, Refusal, ValueEdit
from reconciler.model.fleet import Pricing, Root
from reconciler.model.quantity import GIB, MIB
from reconciler.model.recommendation import ContainerRecommendation, ContainerSizes
from reconciler.model.workload import Container, ObjectRef, Resource, Resources, Source, Workload, WorkloadKey

AT = datetime(2026, 6, 17, 10, tzinfo=UTC)
REF = ObjectRef(api_version="apps/v1", kind="Deployment", name="web", namespace="shop")
ROOT = Root(path="clusters/prod")
FILE = "clusters/prod/trimtab/shop/requests-deployment-web.yaml"
BOTH: tuple[Resource, ...] = ("cpu", "memory")
LARGE = Resources(cpu_request=2000, memory_request=4 * GIB, memory_limit=8 * GIB)
SMALL = Resources(cpu_request=400, memory_request=GIB, memory_limit=2 * GIB)


def workload(*containers: Container, kind: str = "Deployment", root: str = "clusters/prod", **more: object) -> Workload:
    key = WorkloadKey(cluster="prod", namespace="shop", kind=kind, name="web")
    listed = containers or (Container(name="server"),)
    return Workload.model_validate(
        {"key": key, "ref": REF, "root": root, "source": Source(path="web.yaml"), "containers": listed, **more}
    )


def sized(
    of: Workload | None = None,
    name: str = "server",
    now: Resources = LARGE,
    then: Resources = SMALL,
    changes: tuple[Resource, ...] = BOTH,
    **more: object,
) -> ContainerRecommendation:
    fields = {"workload": of or workload(), "container": name, "current": now, "recommended": then, "changes": changes}
    return ContainerRecommendation.model_validate({**fields, **more})


def edit(field: str, new: str | None, form: EditForm = "requests") -> ValueEdit:
    return ValueEdit(path=FILE, form=form, target=REF, field=field, old=None, new=new)


def test_containers_come_in_the_order_of_the_manifest_and_roots_do_not_mix() -> None:
    pod = workload(Container(name="setup", role="init"), Container(name="server"), Container(name="log"))
    elsewhere = workload(root="clusters/other")
    rows = [sized(pod, "log"), sized(pod, "server"), sized(elsewhere), sized(pod, "setup")]
    ((place, group),) = recommended.by_workload(rows).items()
    assert place == ("prod", "shop", "Deployment", "web")
    assert [one.container for one in group] == ["setup", "server", "log"]


def test_a_resource_that_is_not_worth_a_change_is_recommended_as_it_is() -> None:
    (one,) = recommended.recommended_sizes([sized(changes=("cpu",))])
    assert one.resources == Resources(cpu_request=400, memory_request=4 * GIB, memory_limit=8 * GIB)


def test_cost_is_requests_by_replicas_by_price_without_init_containers() -> None:
    pricing = Pricing(cpu_core_hour=Decimal("0.03"), ram_gib_hour=Decimal("0.004"))
    pod = workload(Container(name="setup", role="init"), Container(name="server"))
    group = [sized(pod, "setup", replicas=3), sized(pod, replicas=3)]
    assert recommended.hourly_cost(group, pricing) == Decimal("0.2280")
    whole = workload(pod_cpu_request=3000)
    assert recommended.hourly_cost([sized(whole)], pricing) == Decimal("0.1060")
    bare = sized(now=Resources())
    assert recommended.hourly_cost([bare], pricing) == 0


@pytest.mark.parametrize(
    ("monthly", "hourly", "priority"),
    [
        ("50", "0.0685", "high"),
        ("49.98", "0.0685", "high"),  # what is shown makes 50.005 in a month
        ("49.95", "0.0684", "medium"),
        ("10", "0.0137", "medium"),
        ("9.95", "0.0136", "low"),
        ("0", "0.0000", "low"),
        ("-80", "-0.1096", "low"),
        ("0.0365", "0.0000", "low"),  # half a ten-thousandth goes to the even neighbour
        ("0.1095", "0.0002", "low"),
    ],
)
def test_priority_follows_the_saving_that_is_shown(monthly: str, hourly: str, priority: str) -> None:
    saving = recommended.hourly_saving([sized(saving_monthly=Decimal(monthly))])
    assert str(saving) == hourly
    assert recommended.priority_of(saving) == priority


def test_savings_of_all_containers_add_up() -> None:
    group = [sized(saving_monthly=Decimal("7.3")), sized(name="log", saving_monthly=Decimal("-0.73"))]
    assert recommended.hourly_saving(group) == Decimal("0.0090")


def test_risk_and_samples_are_those_of_the_containers_that_change() -> None:
    idle = sized(name="log", changes=(), risk="high", samples=9000)
    assert recommended.worst_risk([sized(risk="low"), idle]) == "low"
    assert recommended.worst_risk([sized(risk="low"), sized(name="b", risk="medium")]) == "medium"
    assert recommended.samples_of([sized(samples=100), sized(name="b", samples=300), idle]) == 300


# --- what was written -----------------------------------------------------------------------------------------------

SIZES = (
    ContainerSizes(name="server", resources=Resources(cpu_request=400, memory_request=GIB, memory_limit=2 * GIB)),
    ContainerSizes(name="log", resources=Resources(cpu_request=10)),
)


@pytest.mark.parametrize(
    ("edits", "written"),
    [
        ([], {}),
        ([edit("containers/server/requests/cpu", "400m")], {"server": Resources(cpu_request=400)}),
        (
            # The limit was right already, and needed no edit.
            [edit("containers/server/requests/memory", "1Gi")],
            {"server": Resources(memory_request=GIB, memory_limit=2 * GIB)},
        ),
        (
            [edit("spec/template/spec/containers/server/resources/limits/memory", "3Gi", "source")],
            {"server": Resources(memory_request=GIB, memory_limit=3 * GIB)},
        ),
        (
            [edit("containers/server/limits/memory", None), edit("initContainers/log/requests/cpu", "20m")],
            {"server": Resources(memory_request=GIB), "log": Resources(cpu_request=20)},
        ),
        ([edit("maxReplicas", "3", "hpa"), edit("containers/other/requests/cpu", "1")], {}),
    ],
)
def test_what_was_written_is_what_the_edits_touched(edits: list[ValueEdit], written: dict[str, Resources]) -> None:
    found = recommended.written_sizes(REF, edits, SIZES)
    assert {one.name: one.resources for one in found} == written


def test_edits_of_another_workload_count_for_nothing() -> None:
    other = REF.model_copy(update={"name": "db"})
    assert recommended.written_sizes(other, [edit("containers/server/requests/cpu", "400m")], SIZES) == ()


def test_sizes_are_in_force_once_all_that_moved_is() -> None:
    was = recommended.current_sizes([sized()])
    moved = recommended.moved_sizes(was, recommended.recommended_sizes([sized(changes=("memory",))]))
    assert moved == (ContainerSizes(name="server", resources=Resources(memory_request=GIB, memory_limit=2 * GIB)),)
    there = Resources(cpu_request=777, memory_request=GIB, memory_limit=2 * GIB)
    assert recommended.is_in_force([sized(now=there)], moved)
    assert not recommended.is_in_force([sized()], moved)
    assert not recommended.is_in_force([sized(name="other", now=there)], moved)
    assert not recommended.is_in_force([sized(now=there)], ())


def refusal(field: str, value: str | None, subject: str = "a") -> Refusal:
    return Refusal(subject=subject, path=FILE, field=field, value=value, at=AT, by="ann", commit="")


@pytest.mark.parametrize(
    ("one", "any_value", "close"),
    [
        (refusal("containers/server/requests/cpu", "410m"), True, True),
        (refusal("containers/server/requests/cpu", "900m"), True, False),
        (refusal("containers/server/limits/memory", None), True, False),
        (refusal("containers/server/requests/cpu", "410m", subject="another"), False, False),
        (refusal("containers/log/requests/cpu", "410m"), False, False),
    ],
)
def test_a_refusal_stands_against_its_own_field_and_values_near_it(one: Refusal, any_value: bool, close: bool) -> None:
    group, refused = [sized(action_id="a")], recommended.refusals_by_field([one])
    assert recommended.is_refused(group, ROOT, refused) is any_value
    assert recommended.is_refused(group, ROOT, refused, recommended.recommended_sizes(group)) is close
    job = [sized(workload(kind="Job"), action_id="a")]
    assert not recommended.is_refused(job, ROOT, refused)


# --- the digest -----------------------------------------------------------------------------------------------------

_size = st.none() | st.integers(0, 64).map(lambda n: n * MIB)
_resources = st.builds(
    Resources, cpu_request=_size, memory_request=_size, cpu_limit=st.none(), memory_limit=st.sampled_from([None, GIB])
)
_changes: st.SearchStrategy[tuple[Resource, ...]] = st.sampled_from([(), ("cpu",), ("memory",), ("cpu", "memory")])
_one = st.builds(sized, now=_resources, then=_resources, changes=_changes, oom_kills=st.integers(0, 2))


@given(_one, _one)
def test_two_digests_are_the_same_when_the_same_is_recommended(
    one: ContainerRecommendation, other: ContainerRecommendation
) -> None:
    shown = [(recommended.current_sizes([r]), r.recommended, r.changes, r.oom_kills) for r in (one, other)]
    digests = [recommended.digest_of([r], "beside") for r in (one, other)]
    assert (digests[0] == digests[1]) is (shown[0] == shown[1])
    assert digests[0] == recommended.digest_of([one.model_copy(update={"samples": 7, "why": {"cpu": "x"}})], "beside")
    assert digests[0] != recommended.digest_of([one], "besides")
