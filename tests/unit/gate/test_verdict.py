"""Verdicts: who holds a proposal, in which words, and until when."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.gate.allowance import allowed_spans
from reconciler.gate.verdict import Budget, all_open, opening, rollback_verdict, verdict
from reconciler.model.change import Proposal, Subject, Verdict
from reconciler.model.window import Window, Windows

EVENINGS = Window(cron="* 22-23 * * 1-5", source="fleet")
FREEZE = Window(
    cron="0 0 20 12 *", duration=timedelta(days=14), timezone="Europe/Berlin", name="holiday freeze", source="fleet"
)
FLEET = Windows(maintenance=(EVENINGS,), exclusion=(FREEZE,))
BROKEN = Window(cron="* 25 * * *", source="policy web")
FREE = Budget(commits_last_hour=0, limit=60)

TUESDAY_NOON = datetime(2026, 6, 16, 12, 0, 30, tzinfo=UTC)
TUESDAY_EVENING = datetime(2026, 6, 16, 22, 15, tzinfo=UTC)
CHRISTMAS_EVE = datetime(2026, 12, 24, 22, 15, tzinfo=UTC)


def proposal(**fields: object) -> Proposal:
    return Proposal.model_validate(
        {
            "kind": "requests",
            "subject": Subject(kind="action", id="a1", name="nightly"),
            "cluster": "prod",
            "root": "clusters/prod",
            "namespace": "shop",
            "edits": (),
            "reason": "",
            **fields,
        }
    )


def ask(*windows: Windows, now: datetime = TUESDAY_NOON, budget: Budget = FREE, **fields: object) -> Verdict:
    return verdict(proposal(**fields), windows=windows, now=now, budget=budget)


def test_no_windows_allow() -> None:
    assert ask().allowed
    assert ask(Windows(), Windows()).allowed


def test_inside_the_maintenance_window_it_is_allowed() -> None:
    assert ask(FLEET, now=TUESDAY_EVENING) == Verdict(allowed=True)


def test_outside_the_maintenance_window_it_is_held_until_it_opens() -> None:
    held = ask(FLEET)
    assert not held.allowed
    assert held.reason == "outside the maintenance window `* 22-23 * * 1-5` (fleet)"
    assert held.window == EVENINGS
    assert held.until == datetime(2026, 6, 16, 22, 0, tzinfo=UTC)


def test_exclusion_beats_maintenance_and_until_is_when_both_allow() -> None:
    held = ask(FLEET, now=CHRISTMAS_EVE)
    assert not held.allowed
    assert held.reason == "inside the exclusion holiday freeze (`0 0 20 12 *` for 14d Europe/Berlin, fleet)"
    assert held.window == FREEZE
    # The freeze ends on Saturday 2 January; the next evening of a working day is Monday the 4th.
    assert held.until == datetime(2027, 1, 4, 22, 0, tzinfo=UTC)


def test_both_reasons_are_told() -> None:
    held = ask(FLEET, now=datetime(2026, 12, 24, 12, 0, tzinfo=UTC))
    assert "inside the exclusion holiday freeze" in held.reason
    assert "; outside the maintenance window" in held.reason


def test_every_owner_must_allow() -> None:
    policy = Windows(maintenance=(Window(cron="* 23 * * *", source="policy web"),))
    held = ask(FLEET, policy, now=TUESDAY_EVENING)
    assert held.reason == "outside the maintenance window `* 23 * * *` (policy web)"
    assert held.until == datetime(2026, 6, 16, 23, 0, tzinfo=UTC)
    assert ask(FLEET, policy, now=TUESDAY_EVENING.replace(hour=23)).allowed


def test_one_open_maintenance_window_of_an_owner_is_enough() -> None:
    owner = Windows(maintenance=(Window(cron="* 3 * * *"), Window(cron="* 12 * * *")))
    assert ask(owner).allowed


def test_several_windows_are_listed_and_the_first_to_open_is_named() -> None:
    later, sooner = Window(cron="* 3 * * *", source="fleet"), Window(cron="* 14 * * *", source="fleet")
    held = ask(Windows(maintenance=(later, sooner)))
    assert held.reason == "outside the maintenance windows `* 3 * * *` (fleet) and `* 14 * * *` (fleet)"
    assert held.window == sooner
    many = ask(Windows(maintenance=tuple(Window(cron=f"* {hour} * * *") for hour in (1, 2, 3, 4, 5))))
    assert many.reason.endswith("`* 3 * * *` and 2 more")


def test_what_never_opens_has_no_until_and_says_so() -> None:
    held = ask(Windows(maintenance=(Window(cron="* 2 * * *"),), exclusion=(Window(cron="* 2-3 * * *"),)))
    assert held.until is None
    assert "do not all allow within the next 5 years" in held.reason


@pytest.mark.parametrize(
    "windows",
    [
        Windows(maintenance=(BROKEN,)),
        Windows(maintenance=(Window(cron="* * * * *"), BROKEN)),
        Windows(exclusion=(BROKEN,)),
    ],
)
def test_an_unreadable_window_fails_closed(windows: Windows) -> None:
    held = ask(windows)
    assert not held.allowed
    assert held.until is None
    assert held.window == BROKEN
    assert "`* 25 * * *` (policy web) cannot be read" in held.reason
    assert "hour: 25 is out of range" in held.reason
    assert not all_open([windows], TUESDAY_NOON)
    assert opening([windows], TUESDAY_NOON) is None


def test_turning_up_is_held_by_no_window() -> None:
    assert ask(FLEET, now=CHRISTMAS_EVE, kind="turnup", ignores_windows=True).allowed
    assert ask(Windows(exclusion=(BROKEN,)), kind="turnup", ignores_windows=True).allowed


def test_a_blocked_proposal_waits_for_a_person() -> None:
    held = ask(blocked="an HPA of a person's own targets it", ignores_windows=True)
    assert held == Verdict(allowed=False, reason="an HPA of a person's own targets it")


def test_approval_comes_first() -> None:
    assert ask(FLEET, approval_required=True) == Verdict(allowed=False, reason="needs approval")
    assert not ask(approval_required=True).allowed


def test_a_used_up_budget_holds_until_the_oldest_commit_is_an_hour_old() -> None:
    budget = Budget(commits_last_hour=60, limit=60, oldest=TUESDAY_NOON - timedelta(minutes=20))
    held = ask(budget=budget)
    assert not held.allowed
    assert "60 commits an hour" in held.reason
    assert held.until == TUESDAY_NOON + timedelta(minutes=40)
    assert ask(budget=Budget(commits_last_hour=59, limit=60)).allowed


def test_the_budget_is_awaited_together_with_the_windows() -> None:
    now = TUESDAY_EVENING.replace(hour=23)
    budget = Budget(commits_last_hour=61, limit=60, oldest=now)
    assert ask(FLEET, now=now, budget=budget).until == datetime(2026, 6, 17, 22, 0, tzinfo=UTC)


def test_what_ignores_the_budget_passes() -> None:
    spent = Budget(commits_last_hour=60, limit=60, oldest=TUESDAY_NOON)
    assert ask(budget=spent, ignores_budget=True).allowed
    assert not ask(FLEET, budget=spent, ignores_budget=True).allowed
    assert not ask(FLEET, budget=spent, ignores_windows=True).allowed


def test_a_rollback_heeds_exclusions_only_unless_forced() -> None:
    assert rollback_verdict([FLEET], TUESDAY_NOON).allowed
    held = rollback_verdict([FLEET], CHRISTMAS_EVE)
    assert not held.allowed
    assert "holiday freeze" in held.reason
    assert held.until == datetime(2027, 1, 2, 23, 0, tzinfo=UTC)
    assert rollback_verdict([FLEET], CHRISTMAS_EVE, force=True).allowed


def test_a_rollback_and_unreadable_windows() -> None:
    assert rollback_verdict([Windows(maintenance=(BROKEN,))], TUESDAY_NOON).allowed
    assert not rollback_verdict([Windows(exclusion=(BROKEN,))], TUESDAY_NOON).allowed
    assert rollback_verdict([Windows(exclusion=(BROKEN,))], TUESDAY_NOON, force=True).allowed


def test_a_proposed_rollback_is_gated_as_one() -> None:
    assert ask(FLEET, kind="rollback").allowed
    assert not ask(FLEET, now=CHRISTMAS_EVE, kind="rollback").allowed


def test_the_opening_of_the_stretch_in_which_all_allow() -> None:
    action = Windows(maintenance=(Window(cron="30 21 * * *", duration=timedelta(hours=2)),))
    now = datetime(2026, 6, 16, 23, 10, tzinfo=UTC)
    assert all_open([FLEET, action], now)
    assert opening([FLEET, action], now) == datetime(2026, 6, 16, 22, 0, tzinfo=UTC)
    assert opening([action], now) == datetime(2026, 6, 16, 21, 30, tzinfo=UTC)
    assert not all_open([FLEET, action], now.replace(minute=30))
    assert opening([FLEET, action], now.replace(minute=30)) is None


def test_an_exclusion_that_ends_starts_a_stretch() -> None:
    freeze = Windows(exclusion=(FREEZE,))
    assert opening([freeze], datetime(2027, 5, 1, 0, 0, tzinfo=UTC)) == datetime(2027, 1, 2, 23, 0, tzinfo=UTC)


def test_always_allowed_has_no_opening() -> None:
    assert all_open([Windows()], TUESDAY_NOON)
    assert opening([Windows()], TUESDAY_NOON) is None
    assert opening([], TUESDAY_NOON) is None


def test_allowed_spans_are_maintenance_less_exclusion() -> None:
    owner = Windows(maintenance=(Window(cron="* 10-12 * * *"),), exclusion=(Window(cron="* 11 * * *"),))
    start = datetime(2026, 6, 16, tzinfo=UTC)
    assert allowed_spans([owner], start, start + timedelta(days=1)) == [
        (start.replace(hour=10), start.replace(hour=11)),
        (start.replace(hour=12), start.replace(hour=13)),
    ]
    assert allowed_spans([owner], start, start) == []
