"""A commit's tree with a pass's own changes laid over it: what later changes of the same pass see."""

import bisect
import hashlib
from collections.abc import Iterable, Mapping

from reconciler.model.tree import Tree


def blob_id(data: bytes) -> str:
    """Git's id of a blob, so that an unwritten file is cached like a written one."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


class View:
    """``base`` with ``changed`` over it (None = the file is gone). Is a :class:`~reconciler.model.tree.Tree` itself."""

    def __init__(self, base: Tree, changed: Mapping[str, bytes | None] | None = None) -> None:
        self._base = base
        self._changed: dict[str, bytes | None] = dict(changed or {})
        self._blobs: Mapping[str, str] | None = None
        self._sorted: list[str] | None = None

    @property
    def commit(self) -> str:
        return self._base.commit

    @property
    def base(self) -> Tree:
        return self._base

    @property
    def changed(self) -> Mapping[str, bytes | None]:
        return self._changed

    @property
    def oddities(self) -> Mapping[str, str]:
        return self._base.oddities

    @property
    def blobs(self) -> Mapping[str, str]:
        if self._blobs is None:
            blobs = dict(self._base.blobs)
            for path, data in self._changed.items():
                if data is None:
                    blobs.pop(path, None)
                else:
                    blobs[path] = blob_id(data)
            self._blobs = blobs if self._changed else self._base.blobs
        return self._blobs

    def read(self, path: str) -> bytes:
        if path in self._changed:
            data = self._changed[path]
            if data is None:
                raise KeyError(path)
            return data
        return self._base.read(path)

    def read_many(self, paths: Iterable[str]) -> dict[str, bytes]:
        asked = list(paths)
        found = self._base.read_many([p for p in asked if p not in self._changed])
        found.update({p: data for p in asked if (data := self._changed.get(p)) is not None})
        return found

    def get(self, path: str) -> bytes | None:
        """The bytes of a file, None when it is not there."""
        return self.read(path) if path in self.blobs else None

    def list(self, prefix: str) -> list[str]:
        """Every path below the folder ``prefix``, sorted."""
        if self._sorted is None:
            self._sorted = sorted(self.blobs)
        start = prefix.rstrip("/") + "/"
        first = bisect.bisect_left(self._sorted, start)
        return self._sorted[first : bisect.bisect_left(self._sorted, prefix.rstrip("/") + "0", first)]

    @property
    def files(self) -> "Files":
        """The view as rendering wants it."""
        return Files(self)

    def over(self, files: Mapping[str, bytes | None]) -> "View":
        """This view with ``files`` laid over it."""
        return View(self._base, {**self._changed, **files})


class Files:
    """A view as :class:`reconciler.render.files.FilesView`: what is not there reads as None."""

    def __init__(self, view: View) -> None:
        self._view = view

    def read(self, path: str) -> bytes | None:
        return self._view.get(path)

    def list(self, prefix: str) -> Iterable[str]:
        return self._view.list(prefix)
