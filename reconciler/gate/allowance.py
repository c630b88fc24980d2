"""When the windows of several owners, taken together, allow a change.

Each owner (fleet, cluster, policy or action) that has maintenance windows must have one open, and no exclusion of any
owner may be open: exclusion beats maintenance. The functions raise for a window that cannot be read, except where they
say that they fail closed; :func:`unreadable` finds it first.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache, partial

from reconciler.gate.intervals import Interval, complement, intersection, start_of, union
from reconciler.gate.schedule import read
from reconciler.gate.windows import LOOK_BACK, check_window, horizon, instant, seconds
from reconciler.model.window import Window, Windows

Owners = tuple[Windows, ...]


def unreadable(windows: Sequence[Windows], *, maintenance: bool = True) -> tuple[Window, str] | None:
    """The first window that cannot be read, and why. ``maintenance`` False: of the exclusions only."""
    for owner in windows:
        for window in (*(owner.maintenance if maintenance else ()), *owner.exclusion):
            problem = check_window(window)
            if problem is not None:
                return window, problem
    return None


def all_open(windows: Sequence[Windows], now: datetime) -> bool:
    """Whether all owners allow a change at ``now``. A window that cannot be read fails closed."""
    if unreadable(windows) is not None:
        return False
    second = seconds(now)
    return next(_allowed(tuple(windows), second, second + 1), None) is not None


def opening(windows: Sequence[Windows], now: datetime) -> datetime | None:
    """When the current stretch in which all owners allow began: one run of an action per such stretch.

    None when the owners do not allow at ``now``, and when the stretch has no start within the last 366 days.
    """
    if unreadable(windows) is not None:
        return None
    start = start_of(partial(_allowed, tuple(windows)), seconds(now), int(LOOK_BACK.total_seconds()))
    return None if start is None else instant(start)


def allowed_spans(windows: Sequence[Windows], start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """The stretches of ``[start, end)`` in which all owners allow."""
    low, high = seconds(start), seconds(end)
    return [(instant(a), instant(b)) for a, b in _allowed(tuple(windows), low, high)] if low < high else []


def next_allowed(windows: Sequence[Windows], now: datetime) -> datetime | None:
    """The earliest instant, ``now`` or later, at which all owners allow. None: not within five years."""
    return _next(tuple(windows), now, _allowed)


def next_not_excluded(windows: Sequence[Windows], now: datetime) -> datetime | None:
    """The same for what heeds exclusions only: rollbacks."""
    return _next(tuple(windows), now, _not_excluded)


# A pass asks on behalf of thousands of proposals about the same windows at the same instant.
@lru_cache(maxsize=1024)
def _next(windows: Owners, now: datetime, stream: Callable[[Owners, int, int], Iterator[Interval]]) -> datetime | None:
    low = seconds(now)
    start, _ = next(stream(windows, low, horizon(low)), (None, None))
    if start is None:
        return None
    return now if start <= low else instant(start)


def _allowed(windows: Owners, low: int, high: int) -> Iterator[Interval]:
    allowed = _not_excluded(windows, low, high)
    for owner in windows:
        if owner.maintenance:
            allowed = intersection(allowed, _any_open(owner.maintenance, low, high))
    return allowed


def _not_excluded(windows: Owners, low: int, high: int) -> Iterator[Interval]:
    exclusions = [window for owner in windows for window in owner.exclusion]
    return complement(_any_open(exclusions, low, high), low, high)


def _any_open(windows: Sequence[Window], low: int, high: int) -> Iterator[Interval]:
    return union(*(read(window).intervals(low, high) for window in windows))
