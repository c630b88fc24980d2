"""A commit's tree in memory."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass
class Files:
    """A :class:`~reconciler.model.tree.Tree` of these files."""

    files: dict[str, bytes]
    commit: str = "c"

    @property
    def blobs(self) -> Mapping[str, str]:
        return {path: hashlib.sha1(content).hexdigest() for path, content in self.files.items()}

    @property
    def oddities(self) -> Mapping[str, str]:
        return {}

    def read(self, path: str) -> bytes:
        return self.files[path]

    def read_many(self, paths: Iterable[str]) -> dict[str, bytes]:
        return {path: self.files[path] for path in paths}
