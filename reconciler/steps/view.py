"""A commit's tree with a pass's own changes laid over it: what later changes of the same pass see."""

import bisect
import hashlib
from collections.abc import Iterable, Mapping, Sequence

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
        self._base_blobs: Mapping[str, str] | None = None
        self._base_paths: list[str] | None = None
        self._changed_paths: list[str] | None = None
        self._fetched: dict[str, bytes] = {}

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
            blobs = dict(self.blobs_below)
            for path, data in self._changed.items():
                if data is None:
                    blobs.pop(path, None)
                else:
                    blobs[path] = blob_id(data)
            self._blobs = blobs if self._changed else self.blobs_below
        return self._blobs

    @property
    def blobs_below(self) -> Mapping[str, str]:
        """The blobs of the commit itself."""
        if self._base_blobs is None:
            self._base_blobs = self._base.blobs
        return self._base_blobs

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
        if path in self._changed:
            return self._changed[path]
        if path in self._fetched:
            return self._fetched[path]
        return self._base.read(path) if path in self.blobs_below else None

    def fetch(self, paths: Iterable[str]) -> None:
        """Read files of the commit ahead, in one round trip; :meth:`get` has them at hand from then on."""
        wanted = (path for path in paths if path not in self._fetched and path in self.blobs_below)
        self._fetched.update(self._base.read_many(wanted))

    def list(self, prefix: str) -> list[str]:
        """Every path below the folder ``prefix``, sorted."""
        if self._base_paths is None:
            self._base_paths = sorted(self.blobs_below)
        if self._changed_paths is None:
            self._changed_paths = sorted(self._changed)
        below, changed = paths_below(self._base_paths, prefix), paths_below(self._changed_paths, prefix)
        if not changed:
            return below
        return sorted({*below, *changed} - {path for path in changed if self._changed[path] is None})

    @property
    def files(self) -> "Files":
        """The view as rendering wants it."""
        return Files(self)

    def over(self, files: Mapping[str, bytes | None]) -> "View":
        """This view with ``files`` laid over it."""
        view = View(self._base, {**self._changed, **files})
        # What is known of the commit is handed on: it stays what it is.
        view._base_blobs, view._base_paths, view._fetched = self._base_blobs, self._base_paths, self._fetched
        return view

    def lay(self, files: Mapping[str, bytes | None]) -> None:
        """Lay ``files`` over this very view; only for whoever made it, before anybody else has seen it."""
        if self._changed_paths is not None:
            for path in files.keys() - self._changed.keys():
                bisect.insort(self._changed_paths, path)
        self._changed.update(files)
        self._blobs = None


def paths_below(paths: Sequence[str], folder: str) -> list[str]:
    """Those of the sorted ``paths`` that are below ``folder``: "0" is the character after "/"."""
    above = folder.rstrip("/")
    first = bisect.bisect_left(paths, above + "/")
    return list(paths[first : bisect.bisect_left(paths, above + "0", first)])


class Files:
    """A view as :class:`reconciler.render.files.FilesView`: what is not there reads as None."""

    def __init__(self, view: View) -> None:
        self._view = view

    def read(self, path: str) -> bytes | None:
        return self._view.get(path)

    def list(self, prefix: str) -> Iterable[str]:
        return self._view.list(prefix)
