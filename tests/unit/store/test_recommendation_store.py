"""Recommendations in the store: pages in order, every filter, and what a pass asks for."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from reconciler.model.change import Change, Decision, Proposal, Subject
from reconciler.model.recommendation import ContainerSizes, Priority, RecommendationStatus, Risk, WorkloadRecommendation
from reconciler.model.workload import Resources
from reconciler.store.changes import ChangeStore
from reconciler.store.recommendations import OpenOne, RecommendationStore, Wanted

AT = datetime(2026, 6, 17, 10, tzinfo=UTC)
FLEET = "https://git.example.com/fleet.git"


def recommendation(
    number: int,
    saving: str = "0.1",
    *,
    organization: str = "acme",
    cluster: str = "prod",
    namespace: str = "shop",
    kind: str = "Deployment",
    status: RecommendationStatus = "pending",
    risk: Risk = "low",
    priority: Priority = "low",
    change_id: str = "",
) -> WorkloadRecommendation:
    small, large = Resources(cpu_request=250, memory_request=2**28), Resources(cpu_request=2000, memory_request=2**32)
    return WorkloadRecommendation(
        id=f"00000000-0000-4000-8000-{number:012}",
        organization=organization,
        fleet=FLEET,
        cluster=cluster,
        cluster_id=f"{cluster}-id",
        namespace=namespace,
        kind=kind,
        name=f"web-{number}",
        uid=f"uid-{number}",
        status=status,
        risk=risk,
        priority=priority,
        current=(ContainerSizes(name="server", resources=large),),
        recommended=(ContainerSizes(name="server", resources=small),),
        hourly_cost=Decimal("1.8400"),
        saving_hourly=Decimal(saving),
        change_id=change_id,
        created_at=AT + timedelta(seconds=number),
        updated_at=AT,
        analyzed_at=AT,
    )


@pytest.fixture
def store(engine: Engine) -> RecommendationStore:
    return RecommendationStore(engine)


def numbers(rows: tuple[WorkloadRecommendation, ...]) -> list[int]:
    return [int(row.id[-12:]) for row in rows]


def test_what_was_saved_is_found_as_it_was_by_its_organization_only(store: RecommendationStore) -> None:
    one = recommendation(1, "-0.0125")
    store.save([one])
    assert store.find("acme", one.id) == one
    assert store.find("other", one.id) is None
    assert store.find("acme", "no such id") is None
    later = one.model_copy(update={"status": "archived", "saving_hourly": Decimal("0.5000")})
    store.save([later])
    assert store.find("acme", one.id) == later
    assert store.count("acme", Wanted()) == 1


def test_the_largest_saving_comes_first_and_equal_ones_by_id(store: RecommendationStore) -> None:
    savings = ["0.1", "2.0", "0.1", "-0.3", "0.0999", "0.1", "2.0", "0"]
    store.save([recommendation(n, saving) for n, saving in enumerate(savings)])
    wanted = [1, 6, 0, 2, 5, 4, 7, 3]
    assert numbers(store.page("acme", Wanted(), limit=100)) == wanted
    for size in (1, 2, 3, 7):
        seen: list[int] = []
        after = None
        while rows := store.page("acme", Wanted(), after=after, limit=size):
            seen += numbers(rows)
            after = (rows[-1].saving_hourly, rows[-1].id)
        assert seen == wanted, size


def test_what_comes_in_between_two_pages_moves_nothing_out_of_them(store: RecommendationStore) -> None:
    store.save([recommendation(n, f"0.{n}") for n in range(1, 9)])
    first = store.page("acme", Wanted(), limit=4)
    store.save([recommendation(9, "0.9"), recommendation(10, "0.05")])
    rest = store.page("acme", Wanted(), after=(first[-1].saving_hourly, first[-1].id), limit=4)
    assert numbers(first + rest) == [8, 7, 6, 5, 4, 3, 2, 1]


FILTERS: list[tuple[Wanted, list[int]]] = [
    (Wanted(), [1, 2, 3, 4, 5]),
    (Wanted(statuses=("pending", "dismissed")), [1, 2]),
    (Wanted(statuses=("dismissed",)), [2]),
    (Wanted(statuses=("applied", "archived")), [3, 4, 5]),
    (Wanted(statuses=("pending", "applied")), [1, 3, 5]),
    (Wanted(cluster_ids=("dev-id", "test-id")), [2, 3]),
    (Wanted(namespaces=("shop",)), [1, 3, 5]),
    (Wanted(risk_levels=("high", "low")), [1, 3, 4, 5]),
    (Wanted(priorities=("high",)), [4]),
    (Wanted(kinds=("CronJob", "Deployment")), [1, 2, 4, 5]),
    (Wanted(workload_uids=("uid-2", "uid-5")), [2, 5]),
    (Wanted(min_saving=Decimal("0.3")), [1, 2, 3]),
    (Wanted(min_saving=Decimal("0.30001")), [1, 2]),
    (Wanted(min_saving=Decimal("1e30")), []),
    (Wanted(clusters=("prod",)), [1, 4, 5]),
    (Wanted(clusters=("dev-id", "prod")), [1, 2, 3, 4, 5]),
    (Wanted(clusters=()), []),
    (Wanted(namespaces=("shop",), statuses=("applied",), min_saving=Decimal("0.2")), [3]),
]


@pytest.fixture
def filled(store: RecommendationStore) -> RecommendationStore:
    store.save(
        [
            recommendation(1, "0.5"),
            recommendation(2, "0.4", cluster="dev", namespace="pay", status="dismissed", risk="medium"),
            recommendation(3, "0.3", cluster="dev", kind="Job", status="applied", risk="high"),
            recommendation(4, "0.2", namespace="pay", priority="high", status="archived"),
            recommendation(5, "0.1", kind="CronJob", status="applied"),
            recommendation(6, "0.6", organization="other"),
        ]
    )
    return store


@pytest.mark.parametrize(("wanted", "found"), FILTERS, ids=lambda value: repr(value)[:60])
def test_filters_narrow_pages_and_counts_alike(filled: RecommendationStore, wanted: Wanted, found: list[int]) -> None:
    assert numbers(filled.page("acme", wanted, limit=100)) == found
    assert filled.count("acme", wanted) == len(found)
    if found:
        first = filled.page("acme", wanted, limit=1)[0]
        assert numbers(filled.page("acme", wanted, after=(first.saving_hourly, first.id), limit=9)) == found[1:]


def test_a_pass_finds_what_is_open_by_workload(filled: RecommendationStore) -> None:
    filled.save([recommendation(7, change_id="c")], digests={recommendation(7).id: "made of this"})
    opened = filled.opened(FLEET)
    assert {place[3] for place in opened} == {"web-1", "web-2", "web-6", "web-7"}
    assert opened["prod", "shop", "Deployment", "web-7"] == OpenOne(
        recommendation(7).id, "pending", "c", "made of this"
    )
    assert opened["dev", "pay", "Deployment", "web-2"].status == "dismissed"
    assert [row.name for row in filled.open_of(FLEET)] == ["web-2", "web-1", "web-6", "web-7"]
    assert filled.opened("another repo") == {}


def test_a_workloads_earlier_ids_are_found_whatever_became_of_them(store: RecommendationStore) -> None:
    first, second = recommendation(1, status="archived"), recommendation(2)
    store.save([first, second.model_copy(update={"name": first.name}), recommendation(3)])
    place = ("prod", "shop", "Deployment")
    asked = [(*place, "web-1"), (*place, "web-4")]
    assert store.lifecycles(FLEET, asked) == {(*place, "web-1"): {first.id, second.id}}
    assert store.lifecycles("another repo", asked) == {}


def test_what_ended_long_ago_is_forgotten_and_what_is_open_never(store: RecommendationStore) -> None:
    statuses: tuple[RecommendationStatus, ...] = ("applied", "archived", "pending", "dismissed")
    old = [recommendation(n, status=status) for n, status in enumerate(statuses)]
    recent = recommendation(5, status="applied").model_copy(update={"updated_at": AT + timedelta(days=2)})
    store.save([*old, recent])
    assert store.forget("another repo", AT + timedelta(days=1)) == 0
    assert store.forget(FLEET, AT) == 0
    assert store.forget(FLEET, AT + timedelta(days=1)) == 2
    assert numbers(store.page("acme", Wanted())) == [2, 3, 5]


def test_what_has_landed_and_what_was_reverted_since(store: RecommendationStore, engine: Engine) -> None:
    changes = ChangeStore(engine)
    subject = Subject(kind="action", id="a", name="rightsize")
    proposal = Proposal(
        kind="requests", subject=subject, cluster="prod", root="r", namespace="shop", edits=(), reason=""
    )
    for number, state in enumerate(("held", "committed", "reverted", "dismissed")):
        told = proposal.model_copy(update={"workload": state, "reverts": state})
        decision = Decision(id=f"d{number}", at=AT, proposal=told)
        changes.save(Change(id=state, group="g", decisions=(decision,), state=state), FLEET)
    assert store.landed(["held", "committed", "reverted", "dismissed", "gone"]) == {"committed", "reverted"}

    store.save(
        [
            recommendation(1, status="applied", change_id="committed"),
            recommendation(2, status="applied", change_id="reverted"),
            recommendation(3, status="archived", change_id="reverted"),
        ]
    )
    assert numbers(store.reverted(FLEET)) == [2]
    assert store.reverted("another repo") == ()


def test_the_first_page_is_read_off_an_index(store: RecommendationStore, engine: Engine) -> None:
    """Neither database sorts or walks what is not on the page: with a hundred thousand stored that would take far longer."""
    store.save(
        [recommendation(n, str(Decimal(n) / 100), status="archived" if n % 4 else "pending") for n in range(4000)]
    )
    plans: list[str] = []

    def explained(_connection: object, cursor: Any, statement: str, parameters: Any, *_more: object) -> None:
        if "body" in statement:
            cursor.execute(f"EXPLAIN {'' if postgresql else 'QUERY PLAN '}{statement}", parameters)
            plans.append("\n".join(str(row) for row in cursor.fetchall()))

    postgresql = engine.dialect.name == "postgresql"
    if postgresql:
        with engine.begin() as connection:
            connection.execute(text("ANALYZE recommendations"))
    event.listen(engine, "before_cursor_execute", explained)
    first = store.page("acme", Wanted(statuses=("pending", "dismissed")), limit=100)
    store.page("acme", Wanted(statuses=("pending",)), after=(first[-1].saving_hourly, first[-1].id), limit=100)
    event.remove(engine, "before_cursor_execute", explained)
    assert len(plans) == 2
    for plan in plans:
        assert "ix_recommendations_open" in plan
        assert "Seq Scan" not in plan
