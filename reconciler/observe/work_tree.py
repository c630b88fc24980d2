"""A folder on disk as a tree: what `trimtab check` and `trimtab init` look at before anything is committed."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path


class WorkTree:
    """The files below ``folder`` (a :class:`~reconciler.model.tree.Tree`). Hidden folders are left out, as Git's own is.

    ``commit`` is empty: nothing here is committed yet. Symlinks are in ``oddities``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def commit(self) -> str:
        return ""

    @cached_property
    def _scan(self) -> tuple[dict[str, str], dict[str, str]]:
        blobs: dict[str, str] = {}
        oddities: dict[str, str] = {}
        for base, folders, names in os.walk(self._folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in names:
                file = Path(base, name)
                path = file.relative_to(self._folder).as_posix()
                if file.is_symlink() or not file.is_file():
                    oddities[path] = "symlink" if file.is_symlink() else "special file"
                else:
                    data = file.read_bytes()
                    blobs[path] = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        return blobs, oddities

    @property
    def blobs(self) -> Mapping[str, str]:
        return self._scan[0]

    @property
    def oddities(self) -> Mapping[str, str]:
        return self._scan[1]

    def read(self, path: str) -> bytes:
        if path not in self.blobs:
            raise KeyError(path)
        return (self._folder / path).read_bytes()

    def read_many(self, paths: Iterable[str]) -> dict[str, bytes]:
        return {path: self.read(path) for path in paths if path in self.blobs}
