"""Pushes that wait to be sent: kept while the server is away, bounded, and cut into bodies that it takes.

The newest push is what policies are decided by. Of older ones only what goes into the usage history is worth sending late.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_core import to_json

MOST_PUSHES = 20
MOST_BYTES = 16_000_000
USAGE_LISTS = ("pods", "containers")

_SOONER = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Push:
    """One push: each list's items as JSON, by the list's name on the wire."""

    at: datetime
    lists: Mapping[str, Sequence[bytes]]
    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", sum(len(item) + 1 for items in self.lists.values() for item in items))

    @classmethod
    def of(cls, lists: Mapping[str, Sequence[Mapping[str, Any]]], at: datetime) -> "Push":
        return cls(at.astimezone(UTC), {name: tuple(to_json(item) for item in items) for name, items in lists.items()})

    def usage(self) -> "Push":
        """Only what goes into the usage history."""
        return Push(self.at, {name: items for name, items in self.lists.items() if name in USAGE_LISTS})

    def anew(self) -> "Push":
        """The same, to be sent in other parts: under another instant, for parts are told apart by instant and number."""
        return replace(self, at=self.at + _SOONER)

    def bodies(self, limit: int) -> list[bytes]:
        """The request bodies, each under ``limit`` bytes unless a single item is larger."""
        parts: list[dict[str, list[bytes]]] = [{}]
        room = limit - _ENVELOPE
        for name, items in self.lists.items():
            parts[-1].setdefault(name, [])
            room -= len(name) + 6
            for item in items:
                if len(item) + 1 > room and any(parts[-1].values()):
                    parts.append({name: []})
                    room = limit - _ENVELOPE - len(name) - 6
                parts[-1].setdefault(name, []).append(item)
                room -= len(item) + 1
        return [self._body(lists, number, len(parts)) for number, lists in enumerate(parts)]

    def _body(self, lists: Mapping[str, Sequence[bytes]], part: int, parts: int) -> bytes:
        head = to_json({"timestamp": self.at.isoformat(), "part": part, "parts": parts})[:-1]
        return b"".join(
            [head, *(b',"%s":[%s]' % (name.encode(), b",".join(items)) for name, items in lists.items()), b"}"]
        )


_ENVELOPE = 100
"""Bytes of a body beside its lists, at most."""


class Unsent:
    """The newest pushes, the oldest first."""

    def __init__(self, most: int = MOST_PUSHES, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._waiting: deque[Push] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, push: Push) -> None:
        """Put a push last. What came before keeps its usage only; the oldest go when there are too many."""
        if self._waiting:
            before = self._waiting.pop().usage()
            if before.size:
                self._waiting.append(before)
        self._waiting.append(push)
        while len(self._waiting) > 1 and (
            len(self._waiting) > self._most or sum(one.size for one in self._waiting) > self._most_bytes
        ):
            self._waiting.popleft()

    @property
    def first(self) -> Push | None:
        """The oldest."""
        return self._waiting[0] if self._waiting else None

    def replace_first(self, push: Push) -> None:
        self._waiting[0] = push

    def done(self) -> None:
        """The oldest was sent, or will never be taken."""
        self._waiting.popleft()
