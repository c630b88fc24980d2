"""Verdicts of people: who said what, for how long an approval stands, and changes by page."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from reconciler.model.change import Change, ChangeState, Decision, Proposal, Refusal, Subject, ValueEdit
from reconciler.model.workload import ObjectRef
from reconciler.store.changes import ChangeStore
from reconciler.store.refusals import RefusalStore
from reconciler.store.verdicts import VerdictStore

AT = datetime(2026, 6, 17, 10, tzinfo=UTC)
LATER = AT + timedelta(hours=1)
FLEET = "fleet"
TARGET = ObjectRef(api_version="autoscaling/v2", kind="HorizontalPodAutoscaler", name="web", namespace="shop")


def proposal(value: str = "6", cluster: str = "prod", policy: str = "scp_web") -> Proposal:
    edit = ValueEdit(path=f"{cluster}/hpa.yaml", form="hpa", target=TARGET, field="maxReplicas", old=None, new=value)
    return Proposal(
        kind="hpa",
        subject=Subject(kind="policy", id=policy, name="web"),
        cluster=cluster,
        root=cluster,
        namespace="shop",
        edits=(edit,),
        reason="",
        approval_required=True,
    )


def change(number: str, *proposals: Proposal, state: ChangeState = "held") -> Change:
    decisions = tuple(Decision(id=f"{number}-{n}", at=AT, proposal=p) for n, p in enumerate(proposals or [proposal()]))
    return Change(id=number, group="web", decisions=decisions, state=state)


def prints(one: Change) -> list[str]:
    return [decision.proposal.fingerprint for decision in one.decisions]


@pytest.fixture
def changes(engine: Engine) -> ChangeStore:
    return ChangeStore(engine)


@pytest.fixture
def verdicts(engine: Engine) -> VerdictStore:
    return VerdictStore(engine)


def test_the_first_approver_stays_and_is_found_by_fingerprint(changes: ChangeStore, verdicts: VerdictStore) -> None:
    one = change("A")
    changes.save(one, FLEET)
    assert verdicts.approve(FLEET, "A", prints(one), by="ann", at=AT, reason="fine")
    assert verdicts.approve(FLEET, "A", prints(one), by="bob", at=LATER)
    assert verdicts.approved(FLEET) == {prints(one)[0]: "ann"}
    assert verdicts.approved("other") == {}
    assert verdicts.of_change("A") == ("approved", "ann")
    (given,) = verdicts.about(["A"])["A"]
    assert (given.verdict, given.by, given.at, given.reason) == ("approved", "ann", AT, "fine")
    assert verdicts.about(["A", "B"]).keys() == {"A"}


def test_an_approval_goes_along_when_the_decision_moves_to_another_change(
    changes: ChangeStore, verdicts: VerdictStore
) -> None:
    one = change("A")
    changes.save(one, FLEET)
    verdicts.approve(FLEET, "A", prints(one), by="ann", at=AT)
    moved = Change(id="B", group="web", decisions=one.decisions, state="held")
    changes.replace_open(FLEET, [moved])
    assert [given.by for given in verdicts.about(["B"])["B"]] == ["ann"]
    verdicts.approve(FLEET, "B", prints(moved), by="bob", at=LATER)
    assert verdicts.of_change("B") == ("approved", "ann")
    changes.mark("B", "committed", commit="c0ffee", at=LATER)
    assert verdicts.of_change("B") == ("approved", "ann"), "the record stays with what landed"
    assert verdicts.approved(FLEET) == {}


def test_an_approval_is_good_for_one_landing(changes: ChangeStore, verdicts: VerdictStore) -> None:
    one, again = change("A"), change("B")
    changes.save(one, FLEET)
    verdicts.approve(FLEET, "A", prints(one), by="ann", at=AT)
    changes.mark("A", "committed", commit="c0ffee", at=AT)
    assert not verdicts.approve(FLEET, "A", prints(one), by="bob", at=LATER), "it is closed"
    changes.save(again, FLEET)
    assert verdicts.about(["B"]) == {}
    verdicts.approve(FLEET, "B", prints(again), by="bob", at=LATER)
    assert verdicts.approved(FLEET) == {prints(again)[0]: "bob"}
    assert [verdicts.of_change(name) for name in "AB"] == [("approved", "ann"), ("approved", "bob")]


def test_rejecting_dismisses_refuses_and_takes_the_approval_back(
    engine: Engine, changes: ChangeStore, verdicts: VerdictStore
) -> None:
    one = change("A")
    changes.save(one, FLEET)
    verdicts.approve(FLEET, "A", prints(one), by="ann", at=AT)
    refused = Refusal(subject="scp_web", path="p", field="f", value="6", at=AT, by="bob", commit="")
    other = refused.model_copy(update={"value": "60"})
    assert verdicts.reject(FLEET, one, [refused], by="bob", at=LATER, reason="no")
    assert not verdicts.reject(FLEET, one, [refused], by="cid", at=LATER)
    found = changes.recorded("A")
    assert found is not None
    assert (found.change.state, found.since) == ("dismissed", LATER)
    assert verdicts.of_change("A") == ("rejected", "bob")
    assert verdicts.approved(FLEET) == {}
    changes.save(change("B", proposal("60")), FLEET)
    assert verdicts.reject(FLEET, change("B", proposal("60")), [other], by="bob", at=LATER)
    assert RefusalStore(engine).standing(FLEET) == (refused, other)


def test_a_pass_that_looked_before_the_rejection_does_not_open_the_change_again(
    changes: ChangeStore, verdicts: VerdictStore
) -> None:
    one, beside = change("A"), change("B", proposal("9", policy="scp_db"))
    changes.replace_open(FLEET, [one, beside])
    verdicts.reject(FLEET, one, [], by="bob", at=LATER)
    changes.replace_open(FLEET, [one, beside])
    assert [c.id for c in changes.open_changes(FLEET)] == ["B"]
    assert changes.decision_ids(FLEET, prints(one)) == {}


def test_nothing_is_noted_of_a_change_of_another_fleet(changes: ChangeStore, verdicts: VerdictStore) -> None:
    one = change("A")
    changes.save(one, FLEET)
    assert not verdicts.approve("other", "A", prints(one), by="ann", at=AT)
    assert not verdicts.reject("other", one, [], by="ann", at=AT)
    assert verdicts.about(["A"]) == {}


def test_since_is_the_instant_at_which_a_change_came_into_its_state(changes: ChangeStore) -> None:
    changes.save(change("A"), FLEET)
    later = Decision(id="A-0", at=LATER, proposal=proposal())
    changes.save(Change(id="A", group="web", decisions=(later,), state="held"), FLEET)
    found = changes.recorded("A")
    assert found is not None
    assert (found.since, found.landed_at, found.fleet) == (AT, None, FLEET)
    changes.mark("A", "committed", commit="c0ffee", at=LATER)
    found = changes.recorded("A")
    assert found is not None
    assert (found.since, found.landed_at) == (LATER, LATER)
    assert changes.recorded("B") is None


def test_pages_are_newest_first_and_narrowed(changes: ChangeStore) -> None:
    changes.save(change("A", proposal("1")), FLEET)
    changes.save(change("B", proposal("2", cluster="dev"), proposal("3"), state="committed"), FLEET)
    changes.save(change("C", proposal("4", policy="scp_db", cluster="dev")), "second")
    changes.save(change("D", proposal("5")), "other")

    def ids(*fleets: str, **query: object) -> str:
        found = changes.page(fleets or (FLEET, "second"), **query)  # type: ignore[arg-type]
        return "".join(recorded.change.id for recorded in found)

    assert ids() == "CBA"
    assert ids(limit=2) == "CB"
    assert ids(before="B") == "A"
    assert ids("second") == "C"
    assert ids(states=("held",)) == "CA"
    assert ids(cluster="dev") == "CB"
    assert ids(clusters=("dev",)) == "C", "a change that is about another cluster, too, is not for this one's eyes"
    assert ids(clusters=()) == ""
    assert ids(policy_id="scp_db") == "C"
    assert ids(action_id="scp_db") == ""
    (both,) = changes.page([FLEET], states=["committed"])
    assert len(both.change.decisions) == 2


def test_summaries_read_the_first_decision_only(changes: ChangeStore) -> None:
    changes.save(change("A", proposal("1"), proposal("2")), FLEET)
    (head,) = changes.open_changes(FLEET, heads=True)
    assert [decision.id for decision in head.decisions] == ["A-0"]
    assert changes.states(FLEET) == {"A": ("held", "", AT)}
    assert changes.paths(["A", "B"]) == {"A": frozenset({"prod/hpa.yaml"})}
