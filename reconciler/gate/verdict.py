"""All gates of one proposal together: conflicts, approval, windows, the budget of commits.

A verdict that holds says why in words for a person, by which window, and until when: the earliest instant at which every
owner's windows allow. ``until`` None = until a person acts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from reconciler.gate.allowance import all_open, next_allowed, next_not_excluded, opening, unreadable
from reconciler.gate.windows import HORIZON, describe, is_open, next_opening
from reconciler.model.change import Proposal, Verdict
from reconciler.model.window import Window, Windows

__all__ = ["Budget", "all_open", "opening", "rollback_verdict", "verdict"]

_ALLOWED = Verdict(allowed=True)
_NEVER = f"; the windows do not all allow within the next {HORIZON.days // 366} years"
_NAMED = 3


@dataclass(frozen=True)
class Budget:
    """``commitsPerHour``: how many commits were made in the last hour, how many may be, and when the oldest was."""

    commits_last_hour: int
    limit: int
    oldest: datetime | None = None


def verdict(proposal: Proposal, *, windows: Sequence[Windows], now: datetime, budget: Budget) -> Verdict:
    """What the gates say to ``proposal`` at ``now``. ``windows``: of the fleet, the cluster and the policy or action.

    A rollback is held by exclusions only; forcing one is :func:`rollback_verdict`.
    """
    if proposal.blocked:
        return Verdict(allowed=False, reason=proposal.blocked)
    if proposal.approval_required and not proposal.approved_by:
        return Verdict(allowed=False, reason="needs approval")
    heeded = () if proposal.ignores_windows else windows
    by_windows = rollback_verdict(heeded, now) if proposal.kind == "rollback" else _by_windows(tuple(heeded), now)
    if not by_windows.allowed or proposal.ignores_budget:
        return by_windows
    return _by_budget(budget, heeded, now)


def rollback_verdict(windows: Sequence[Windows], now: datetime, force: bool = False) -> Verdict:
    """Whether a rollback may happen now: maintenance windows do not hold it, exclusions do unless ``force``."""
    if force:
        return _ALLOWED
    broken = unreadable(windows, maintenance=False)
    if broken is not None:
        return _by_unreadable(*broken)
    excluding = _open_exclusions(windows, now)
    if not excluding:
        return _ALLOWED
    return _held([_inside(excluding)], excluding[0], next_not_excluded(windows, now))


# A pass asks on behalf of thousands of proposals about the same windows at the same instant.
@lru_cache(maxsize=1024)
def _by_windows(windows: tuple[Windows, ...], now: datetime) -> Verdict:
    broken = unreadable(windows)
    if broken is not None:
        return _by_unreadable(*broken)
    if all_open(windows, now):
        return _ALLOWED
    excluding = _open_exclusions(windows, now)
    closed = [owner for owner in windows if owner.maintenance and not any(is_open(w, now) for w in owner.maintenance)]
    reasons = [_inside(excluding)] if excluding else []
    reasons += [_outside(owner.maintenance) for owner in closed]
    window = excluding[0] if excluding else _first_to_open(closed[0].maintenance, now)
    return _held(reasons, window, next_allowed(windows, now))


def _open_exclusions(windows: Sequence[Windows], now: datetime) -> list[Window]:
    return [window for owner in windows for window in owner.exclusion if is_open(window, now)]


def _by_unreadable(window: Window, problem: str) -> Verdict:
    reason = f"the window {describe(window)} cannot be read, and nothing is committed until it can: {problem}"
    return Verdict(allowed=False, reason=reason, window=window)


def _held(reasons: list[str], window: Window, until: datetime | None) -> Verdict:
    reason = "; ".join(reasons) + (_NEVER if until is None else "")
    return Verdict(allowed=False, reason=reason, until=until, window=window)


def _inside(windows: list[Window]) -> str:
    return f"inside the exclusion{'s' if len(windows) > 1 else ''} {_list(windows)}"


def _outside(windows: Sequence[Window]) -> str:
    return f"outside the maintenance window{'s' if len(windows) > 1 else ''} {_list(windows)}"


def _list(windows: Sequence[Window]) -> str:
    """At most three by name, so that the reason stays a sentence."""
    named = [describe(window) for window in windows[:_NAMED]]
    if len(windows) > _NAMED:
        named.append(f"{len(windows) - _NAMED} more")
    return " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))


def _first_to_open(windows: Sequence[Window], now: datetime) -> Window:
    openings = [(next_opening(window, now), index) for index, window in enumerate(windows)]
    known = [(at, index) for at, index in openings if at is not None]
    return windows[min(known)[1]] if known else windows[0]


def _by_budget(budget: Budget, windows: Sequence[Windows], now: datetime) -> Verdict:
    if budget.commits_last_hour < budget.limit:
        return _ALLOWED
    free = (budget.oldest or now) + timedelta(hours=1)
    reason = f"the budget of {budget.limit} commits an hour is used up ({budget.commits_last_hour} in the last hour)"
    # Windows may have closed by the time that the budget is free again.
    until = next_allowed(windows, max(free, now)) if unreadable(windows) is None else free
    return Verdict(allowed=False, reason=reason, until=until)
