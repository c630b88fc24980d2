"""What a fleet repo's passes remember between them, in memory that does not grow with the commits of a long life."""

from collections.abc import Iterator, MutableMapping


class Remembered(MutableMapping[str, object]):
    """A mapping in two generations. What is read or written is of the newer one; :meth:`age` lets go of what was neither
    since the last time but one. For one thread.
    """

    def __init__(self) -> None:
        self._new: dict[str, object] = {}
        self._old: dict[str, object] = {}

    def age(self, at_most: int) -> None:
        """Begin a new generation once the newer one has more than ``at_most`` entries."""
        if len(self._new) > at_most:
            self._old, self._new = self._new, {}

    def __getitem__(self, key: str) -> object:
        if key not in self._new:
            self._new[key] = self._old.pop(key)
        return self._new[key]

    def __setitem__(self, key: str, value: object) -> None:
        self._old.pop(key, None)
        self._new[key] = value

    def __delitem__(self, key: str) -> None:
        del (self._new if key in self._new else self._old)[key]

    def __contains__(self, key: object) -> bool:
        return key in self._new or key in self._old

    def __iter__(self) -> Iterator[str]:
        yield from (*self._new, *self._old)

    def __len__(self) -> int:
        return len(self._new) + len(self._old)
