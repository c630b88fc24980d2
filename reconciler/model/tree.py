"""A commit's tree as every stage may see it, without knowing Git."""

from collections.abc import Iterable, Mapping
from typing import Protocol


class Tree(Protocol):
    """The files of the fleet repo at one commit.

    ``commit`` is the commit's id. ``blobs`` maps each path (``/`` separated, no leading slash) to its blob id;
    reading is cheap for blobs that were read before. Symlinks and submodules are not in ``blobs``, their paths are in ``oddities``.
    """

    @property
    def commit(self) -> str: ...

    @property
    def blobs(self) -> Mapping[str, str]: ...

    @property
    def oddities(self) -> Mapping[str, str]: ...

    def read(self, path: str) -> bytes:
        """The bytes of a file. :raises KeyError: when the path is not in the tree."""
        ...

    def read_many(self, paths: Iterable[str]) -> dict[str, bytes]: ...
