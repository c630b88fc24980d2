"""One winner for each field, whoever comes first in the list."""

from itertools import permutations
from typing import Any

from reconciler.evaluate.arbitration import one_winner_per_field
from reconciler.model.change import Proposal, Subject, ValueEdit
from reconciler.model.machine_file import FileForm
from support.declared import CLUSTER, OVERLAY, ROOT, workload

REF = workload().ref


def proposal(who: str, *edits: ValueEdit, kind: str = "requests", **fields: Any) -> Proposal:
    """``who`` is ``policy web``, ``action nightly`` or ``trimtab``."""
    subject, _, name = who.partition(" ")
    given = {
        "kind": kind,
        "subject": Subject.model_validate({"kind": subject, "id": f"id-{name}", "name": name or subject}),
        "cluster": CLUSTER,
        "root": ROOT,
        "namespace": "shop",
        "reason": "because",
        "edits": edits,
    }
    return Proposal.model_validate({**given, **fields})


def edit(field: str, new: str | None, *, form: FileForm = "requests", file: str = "a") -> ValueEdit:
    return ValueEdit(path=f"{OVERLAY}/shop/{file}.yaml", form=form, target=REF, field=field, old=None, new=new)


def winners(*proposals: Proposal) -> dict[str, str | None]:
    kept, _ = one_winner_per_field(proposals)
    return {f"{p.subject.name} {e.field}": e.new for p in kept for e in p.edits}


def test_what_does_not_meet_passes_untouched_and_in_order() -> None:
    three = (
        proposal("action b", edit("x", "1")),
        proposal("policy a", edit("y", "1")),
        proposal("action a", edit("x", "2", file="b")),
    )
    assert one_winner_per_field(three) == (three, ())


def test_policy_before_action_before_younger_action() -> None:
    contest = [
        proposal("policy z", edit("x", "1")),
        proposal("action a", edit("x", "2"), edit("y", "2")),
        proposal("action b", edit("x", "3"), edit("y", "3"), edit("z", "3")),
    ]
    for order in permutations(contest):
        assert winners(*order) == {"z x": "1", "a y": "2", "b z": "3"}


def test_who_loses_everything_goes_away_and_it_is_noted() -> None:
    kept, notes = one_winner_per_field([proposal("action b", edit("x", "2")), proposal("action a", edit("x", "1"))])
    assert [p.subject.name for p in kept] == ["a"]
    assert notes == (f"action b gives way to action a: {OVERLAY}/shop/a.yaml x = 2",)


def test_agreeing_is_no_news() -> None:
    kept, notes = one_winner_per_field([proposal("action b", edit("x", "1")), proposal("action a", edit("x", "1"))])
    assert ([p.subject.name for p in kept], notes) == (["a"], ())


def test_what_must_not_stand_any_more_goes_first() -> None:
    for kind in ("stale", "turnup", "rollback"):
        gone = proposal("trimtab", edit("x", None), kind=kind)
        assert winners(proposal("policy a", edit("x", "1")), gone) == {"trimtab x": None}


def test_a_blocked_proposal_neither_wins_nor_loses() -> None:
    blocked = proposal("policy a", edit("x", "1"), blocked="no")
    free = proposal("action a", edit("x", "2"))
    assert one_winner_per_field([blocked, free]) == ((blocked, free), ())


def test_requests_wait_for_the_hpa_target_that_belongs_to_them() -> None:
    policy = proposal("policy web", edit("metrics/cpu", "60%", form="hpa"), kind="hpa")
    sizing = proposal("action a", edit("metrics/cpu", "70m", form="hpa"), edit("containers/server/requests/cpu", "60m"))
    kept, notes = one_winner_per_field([sizing, policy])
    assert kept == (policy,)
    assert len(notes) == 1
    agreed = proposal("policy web", edit("metrics/cpu", "70m", form="hpa"), kind="hpa")
    assert winners(sizing, agreed) == {"web metrics/cpu": "70m", "a containers/server/requests/cpu": "60m"}
