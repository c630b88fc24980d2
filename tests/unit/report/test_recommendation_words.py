"""What people read about a recommendation: right figures, right grammar, whatever changes."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.action import Algorithm, SizingParameters
from reconciler.model.observation import UsageSummary
from reconciler.model.quantity import GIB, MIB
from reconciler.model.recommendation import ContainerRecommendation
from reconciler.model.workload import Container, ObjectRef, Resource, Resources, Source, Workload, WorkloadKey
from reconciler.report.recommendation_words import Words, words

AT = datetime(2026, 6, 17, 10, tzinfo=UTC)


def summary(
    value: float, *, days: float = 14, average: float | None = None, algorithm: Algorithm = "max"
) -> UsageSummary:
    mean = value / 2 if average is None else average
    first = AT - timedelta(days=days)
    return UsageSummary(samples=4032, maximum=value, average=mean, base={algorithm: value}, first=first, last=AT)


def sized(
    name: str = "server",
    cpu: tuple[int | None, int | None] = (2000, 600),
    memory: tuple[int | None, int | None] = (4 * GIB, 2 * GIB),
    *,
    used: tuple[float, float] = (0.42, 1.5 * GIB),
    days: float = 14,
    kind: str = "Deployment",
    containers: tuple[Container, ...] = (),
    oom_kills: int = 0,
    action_id: str = "a",
    algorithm: Algorithm = "max",
    limits_only: bool = False,
    replicas: int = 3,
    limits: tuple[int | None, int | None] = (None, None),
    notes: dict[Resource, tuple[str, ...]] | None = None,
) -> ContainerRecommendation:
    """``cpu`` and ``memory``: requests today and as recommended; a pair of the same two is left alone. ``limits``: of memory."""
    key = WorkloadKey(cluster="prod", namespace="shop", kind=kind, name="cart")
    ref = ObjectRef(api_version="apps/v1", kind=kind, name="cart", namespace="shop")
    listed = containers or (Container(name=name),)
    moved: tuple[Resource, ...] = tuple(
        resource for resource, (old, new) in (("cpu", cpu), ("memory", memory)) if old != new or limits_only
    )
    return ContainerRecommendation(
        workload=Workload(key=key, ref=ref, root="r", source=Source(path="cart.yaml"), containers=listed),
        container=name,
        current=Resources(cpu_request=cpu[0], memory_request=memory[0], memory_limit=limits[0]),
        recommended=Resources(cpu_request=cpu[1], memory_request=memory[1], memory_limit=limits[1]),
        notes=notes or {},
        changes=moved,
        usage={
            "cpu": summary(used[0], days=days, algorithm=algorithm),
            "memory": summary(used[1], days=days, algorithm=algorithm),
        },
        replicas=replicas,
        oom_kills=oom_kills,
        action_id=action_id,
    )


def told(*group: ContainerRecommendation, saving: str = "452.6", currency: str = "USD") -> Words:
    given = {"a": SizingParameters(), "q": SizingParameters(algorithm_cpu="quantile", algorithm_ram="quantileOfMaxes")}
    return words(group, given, saving_monthly=Decimal(saving), currency=currency)


SAME_CPU, SAME_MEMORY = (500, 500), (GIB, GIB)

TITLES = [
    (sized(), "Reduce CPU and memory requests on cart"),
    (sized(memory=SAME_MEMORY), "Reduce CPU request on cart"),
    (sized(cpu=SAME_CPU), "Reduce memory request on cart"),
    (sized(cpu=SAME_CPU, memory=(GIB, 2 * GIB)), "Raise memory request on cart"),
    (sized(cpu=(100, 900), memory=(GIB, 2 * GIB)), "Raise CPU and memory requests on cart"),
    (sized(memory=(GIB, 2 * GIB)), "Reduce CPU and raise memory requests on cart"),
    (sized(cpu=(None, 250), memory=SAME_MEMORY), "Set CPU request on cart"),
    (sized(cpu=(None, 250), memory=(None, GIB)), "Set CPU and memory requests on cart"),
    (sized(cpu=(None, 250)), "Set CPU and reduce memory requests on cart"),
    (sized(cpu=SAME_CPU, memory=SAME_MEMORY, limits_only=True), "Adjust CPU and memory limits on cart"),
    (sized(memory=SAME_MEMORY, limits_only=True), "Reduce CPU request and adjust memory limit on cart"),
]


@pytest.mark.parametrize(("one", "title"), TITLES, ids=[title for _, title in TITLES])
def test_the_title_says_what_to_do(one: ContainerRecommendation, title: str) -> None:
    assert told(one).title == title


def test_several_containers_have_requests_in_the_plural() -> None:
    pair = (Container(name="server"), Container(name="proxy"))
    both = [sized(name, memory=SAME_MEMORY, containers=pair) for name in ("server", "proxy")]
    assert told(*both).title == "Reduce CPU requests on cart"


def test_the_description_has_use_change_and_saving() -> None:
    assert told(sized()).description == (
        "Over the last 14 days, cart used on average 10% of the CPU and 19% of the memory that it requests. "
        "Requesting 600m CPU instead of 2 and 2Gi memory instead of 4Gi saves $452.60 a month with 3 replicas."
    )


def test_a_recommendation_that_costs_more_says_so() -> None:
    one = sized(cpu=(100, 900), memory=SAME_MEMORY, replicas=1)
    assert "costs 12.35 CHF a month more with 1 replica." in told(one, saving="-12.345", currency="CHF").description
    assert "costs the same with 1 replica." in told(one, saving="0").description


def test_what_is_set_for_the_first_time_has_no_utilization() -> None:
    description = told(sized(cpu=(None, 250), memory=(None, GIB)), saving="-9").description
    assert description.startswith(
        "Requesting 250m CPU (none is requested today) and 1Gi memory (none is requested today)"
    )


def test_next_steps_are_named_where_nothing_is_written_by_itself() -> None:
    assert "No action config covers it" in told(sized(action_id="")).description
    assert "No action config" not in told(sized()).description
    job = told(sized(kind="Job", action_id="")).description
    assert "put the new values into its manifest" in job
    assert "No action config" not in job


def test_what_runs_at_times_is_not_said_to_save_all_month() -> None:
    assert "a month, counted as one pod that runs all the time." in told(sized(kind="CronJob")).description
    assert "replica" not in told(sized(kind="Job", replicas=1)).description


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ((8 * GIB, 4 * GIB), "replicas. With that, the memory limit becomes 4Gi instead of 8Gi."),
        ((8 * GIB, None), "replicas. With that, the memory limit goes away."),
        ((8 * GIB, 8 * GIB), "with 3 replicas."),
    ],
)
def test_a_limit_that_changes_with_its_request_is_named(limits: tuple[int | None, int | None], said: str) -> None:
    assert told(sized(limits=limits)).description.endswith(said)


def test_limits_of_several_containers_are_not_added_up() -> None:
    pair = (Container(name="server"), Container(name="proxy"))
    both = [sized(one.name, limits=(8 * GIB, 4 * GIB), containers=pair) for one in pair]
    assert told(*both).description.endswith("The limits change as well.")


def test_what_the_cluster_does_not_allow_is_said_to_those_who_read_only_this() -> None:
    bounds, quota = (
        "reduced to 2Gi, the maximum of LimitRange b",
        "6 for 3 replicas is above requests.cpu 4 of ResourceQuota q",
    )
    alone = told(sized(notes={"memory": (bounds, "limit kept at 3Gi, the highest use seen"), "cpu": (quota,)}))
    assert f" Memory: {bounds}; limit kept at 3Gi, the highest use seen. CPU: {quota}." in alone.description
    listed = tuple(Container(name=name) for name in ("server", "proxy", "log"))
    named = [
        sized(one.name, containers=listed, notes={"memory": (bounds,)} if one.name != "log" else {}) for one in listed
    ]
    assert f"Memory of server and proxy: {bounds}." in told(*named).description


def test_no_more_is_said_than_people_read() -> None:
    listed = tuple(Container(name=f"c{number}") for number in range(7))
    said = told(
        *(sized(c.name, containers=listed, notes={"cpu": (f"raised to {c.name}",)}) for c in listed)
    ).description
    assert "CPU of c3: raised to c3. 3 more notes of this kind." in said
    assert "c4" not in said


def test_the_cause_has_the_figure_beside_the_request() -> None:
    assert told(sized()).cause == (
        "Peak CPU over 14 days is 0.42 cores against a request of 2 cores. "
        "Peak memory over 14 days is 1.5 GiB against a request of 4 GiB."
    )
    assert told(sized(cpu=(1000, 300), memory=SAME_MEMORY, used=(1.0, 1))).cause == (
        "Peak CPU over 14 days is 1 core against a request of 1 core."
    )


def test_the_cause_names_the_algorithm_that_was_used() -> None:
    quantile = told(sized(action_id="q", algorithm="quantile", memory=SAME_MEMORY)).cause
    assert quantile == "P95 CPU over 14 days is 0.42 cores against a request of 2 cores."
    maxima = told(sized(action_id="q", algorithm="quantileOfMaxes", cpu=SAME_CPU)).cause
    assert maxima == "P95 of peak memory over 14 days is 1.5 GiB against a request of 4 GiB."


def test_the_cause_names_the_container_that_moves_most() -> None:
    listed = (Container(name="server"), Container(name="proxy"), Container(name="log"))
    group = [
        sized("server", containers=listed),
        sized("proxy", cpu=(500, 100), memory=SAME_MEMORY, containers=listed),
        sized("log", cpu=SAME_CPU, memory=SAME_MEMORY, containers=listed),
    ]
    assert told(*group).cause == (
        "Peak CPU of server over 14 days is 0.42 cores against a request of 2 cores. "
        "Peak memory of server over 14 days is 1.5 GiB against a request of 4 GiB. "
        "1 other container would change too."
    )
    assert "in each pod saves" in told(*group).description
    alone = told(
        *(
            sized(c.name, containers=listed)
            if c.name == "log"
            else sized(c.name, SAME_CPU, SAME_MEMORY, containers=listed)
            for c in listed
        )
    )
    assert "for log saves" in alone.description


def test_init_containers_do_not_add_to_what_the_pod_requests() -> None:
    listed = (Container(name="setup", role="init"), Container(name="server"))
    group = [sized("setup", cpu=(4000, 100), containers=listed), sized("server", containers=listed)]
    assert "Requesting 600m CPU instead of 2 and" in told(*group).description
    assert "used on average 10% of the CPU" in told(*group).description


@pytest.mark.parametrize(("kills", "said"), [(1, "1 OOM kill in that time."), (3, "3 OOM kills in that time.")])
def test_oom_kills_are_named(kills: int, said: str) -> None:
    cause = told(sized(cpu=SAME_CPU, memory=(GIB, 2 * GIB), used=(0.1, GIB), oom_kills=kills)).cause
    assert cause == f"Peak memory over 14 days is 1 GiB against a request of 1 GiB. {said}"


@pytest.mark.parametrize(
    ("days", "span"), [(14, "14 days"), (13.99, "14 days"), (2, "2 days"), (1.5, "36 hours"), (0.04, "1 hour")]
)
def test_the_span_of_the_history_is_told_as_people_count(days: float, span: str) -> None:
    assert f"over {span} is" in told(sized(days=days)).cause


@pytest.mark.parametrize(
    ("cores", "size", "said"),
    [
        (0.0031, 212.4 * MIB, ("3.1 millicores", "212 MiB")),
        (0.001, 1010 * MIB, ("1 millicore ", "1,010 MiB")),
        (0.1 + 0.2, 1.0 * GIB, ("0.3 cores", "1 GiB")),
        (123.456, 2345.6 * GIB, ("123 cores", "2,346 GiB")),
        (0.0, 0.0, ("0 cores", "0 MiB")),
    ],
)
def test_figures_are_short(cores: float, size: float, said: tuple[str, str]) -> None:
    cause = told(sized(used=(cores, size))).cause
    assert f"is {said[0]}" in cause
    assert f"is {said[1]}" in cause


_requests = st.none() | st.integers(1, 512_000)
_bytes = st.none() | st.integers(1, 2048).map(lambda mib: mib * MIB)


@given(
    cpu=st.tuples(_requests, st.integers(1, 512_000)),
    memory=st.tuples(_bytes, st.integers(1, 2048).map(lambda mib: mib * MIB)),
    used=st.tuples(st.floats(0, 512), st.floats(0, 2e12)),
    saving=st.decimals(-10_000, 10_000, places=4),
    days=st.floats(0, 90),
)
def test_sentences_are_whole_whatever_the_figures_are(
    cpu: tuple[int | None, int], memory: tuple[int | None, int], used: tuple[float, float], saving: Decimal, days: float
) -> None:
    one = sized(cpu=cpu, memory=memory, used=used, days=days)
    if not one.changes:
        return
    said = told(one, saving=str(saving))
    assert told(one, saving=str(saving)) == said
    for text in (said.description, said.cause):
        assert re.fullmatch(r"(?:[A-Z][^\n]*\.)", text), text
        assert "  " not in text
        assert not re.search(r"\d\.\d{5,}|\de[+-]?\d|None|nan|inf\b", text), text
