"""The files that a change is rendered against: a commit's tree, with what earlier changes of the pass have put over it."""

from collections.abc import Iterable, Mapping
from typing import Protocol


class FilesView(Protocol):
    """Files by path, ``/`` separated."""

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, None when it is not there."""
        ...

    def list(self, prefix: str) -> Iterable[str]:
        """Paths of all files under a folder; ``prefix`` ends in ``/``."""
        ...


class FilesOver:
    """A view with changes over it. ``written``: bytes by path, None = the file goes away.

    A pass keeps one and calls :meth:`put` with each change's files, so that the next change is rendered on top of it.
    """

    def __init__(self, below: FilesView) -> None:
        self.written: dict[str, bytes | None] = {}
        self._below = below

    def put(self, files: Mapping[str, bytes | None]) -> None:
        """Lay files over what is there."""
        self.written.update(files)

    def read(self, path: str) -> bytes | None:
        return self.written[path] if path in self.written else self._below.read(path)

    def list(self, prefix: str) -> Iterable[str]:
        added = (path for path, content in self.written.items() if content is not None and path.startswith(prefix))
        kept = (path for path in self._below.list(prefix) if path not in self.written)
        return sorted({*kept, *added})
