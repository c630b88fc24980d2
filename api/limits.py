"""How many requests one key, user, agent or address may make; part of the auth dependencies, so no route forgets it."""

import math
from collections.abc import Mapping
from datetime import datetime
from threading import Lock

import limits
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from api.errors import TooManyRequests
from reconciler.clock import Clock
from reconciler.errors import InputError

FAILURES = "60/minute"
"""Failed attempts to authenticate that one address may make before it is answered 429."""

_MOST_COUNTERS = 100_000


class Windows(Storage):
    """Counters that end with their window, by the server's clock. No thread of its own, unlike the package's."""

    STORAGE_SCHEME = None

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock, self._lock = clock, Lock()
        self._counts: dict[str, tuple[int, float]] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        now = self._clock().timestamp()
        with self._lock:
            count, ends = self._counts.get(key, (0, 0.0))
            if not now < ends <= now + expiry:
                count, ends = 0, now + expiry
                if len(self._counts) >= _MOST_COUNTERS:
                    self._make_room(now)
            self._counts[key] = (count + amount, ends)
            return count + amount

    def get(self, key: str) -> int:
        count, ends = self._counts.get(key, (0, 0.0))
        return count if self._clock().timestamp() < ends else 0

    def get_expiry(self, key: str) -> float:
        return self._counts.get(key, (0, self._clock().timestamp()))[1]

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        with self._lock:
            ended = len(self._counts)
            self._counts.clear()
            return ended

    def clear(self, key: str) -> None:
        with self._lock:
            self._counts.pop(key, None)

    def _make_room(self, now: float) -> None:
        """Without the windows that are over; when all are open, without the oldest half."""
        standing = [(key, value) for key, value in self._counts.items() if now < value[1]]
        self._counts = dict(standing[-_MOST_COUNTERS // 2 :])


class Limits:
    """Fixed windows in memory, one for each key, user or agent, and one for each address that fails.

    A family of routes with a rate of its own has windows of its own: what is asked of it counts there, and nowhere else.
    """

    def __init__(self, rate: str, clock: Clock, families: Mapping[str, str] | None = None) -> None:
        """``families``: rates by family, such as ``recommendations``; the others share ``rate``.

        :raises InputError: when a rate is not like ``600/minute``.
        """
        self._rate = _rate("TRIMTAB_RATE_LIMIT", rate)
        self._of_family = {
            family: _rate(f"TRIMTAB_{family.upper()}_RATE_LIMIT", own) for family, own in (families or {}).items()
        }
        self._failures = limits.parse(FAILURES)
        self._clock = clock
        self._windows = FixedWindowRateLimiter(Windows(clock))

    def count(self, kind: str, name: str, family: str = "") -> None:
        """One request more of a key, user or agent, to a route of ``family``.

        :raises TooManyRequests: when it is over its limit.
        """
        rate = self._of_family.get(family)
        if rate is not None:
            kind = f"{kind} {family}"
        if not self._windows.hit(rate or self._rate, kind, name):
            raise self._refusal(rate or self._rate, kind, name)

    def failed(self, address: str) -> None:
        """One failed attempt to authenticate more.

        :raises TooManyRequests: when the address is over its limit.
        """
        if not self._windows.hit(self._failures, "failures", address):
            raise self._refusal(self._failures, "failures", address)

    def guessing(self, address: str) -> None:
        """Refuse an address that has failed too often, before anything of its request is looked up.

        :raises TooManyRequests: when it has.
        """
        if not self._windows.test(self._failures, "failures", address):
            raise self._refusal(self._failures, "failures", address)

    def _refusal(self, rate: limits.RateLimitItem, kind: str, name: str) -> TooManyRequests:
        now: datetime = self._clock()
        seconds = max(1, math.ceil(self._windows.get_window_stats(rate, kind, name).reset_time - now.timestamp()))
        what = "failed attempts to authenticate" if kind == "failures" else "requests"
        refusal = TooManyRequests(
            f"too many {what} (the limit is {rate}): try again in {seconds} seconds",
            headers={"Retry-After": str(seconds)},
        )
        refusal.rate = (rate.amount, rate.get_expiry())
        return refusal


def _rate(setting: str, rate: str) -> limits.RateLimitItem:
    """:raises InputError: when it cannot be read."""
    try:
        return limits.parse(rate)
    except ValueError:
        raise InputError(f"{setting}: {rate!r} is not a rate limit", hint="write it as 600/minute") from None
