"""A tree as ``git ls-tree -r`` lists it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

EXECUTABLE = "100755"
REGULAR = "100644"
_LINK = "a symbolic link"
_SUBMODULE = "a submodule"
_NOT_UTF8 = "a name that is not UTF-8"


@dataclass(frozen=True, eq=False)
class Listing:
    """``blobs``: path → blob id. ``oddities``: path → what it is instead of a file. ``executable``: paths of mode 100755."""

    blobs: Mapping[str, str]
    executable: frozenset[str] = frozenset()
    oddities: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def directories(self) -> frozenset[str]:
        """Every directory that holds something, at any depth."""
        found: set[str] = set()
        for path in (*self.blobs, *self.oddities):
            above = path.rpartition("/")[0]
            while above and above not in found:
                found.add(above)
                above = above.rpartition("/")[0]
        return frozenset(found)

    def mode(self, path: str) -> str:
        return EXECUTABLE if path in self.executable else REGULAR

    def with_changes(self, changes: Mapping[str, str | None]) -> "Listing":
        """The listing after ``changes`` (path → new blob id, None = gone)."""
        blobs = {**self.blobs, **{path: blob for path, blob in changes.items() if blob is not None}}
        for path, blob in changes.items():
            if blob is None:
                blobs.pop(path, None)
        return Listing(blobs, self.executable & blobs.keys(), self.oddities)


def parse_listing(text: bytes) -> Listing:
    """From ``git ls-tree -r -z``. Links, submodules and names that are not UTF-8 are oddities."""
    blobs: dict[str, str] = {}
    executable: set[str] = set()
    oddities: dict[str, str] = {}
    for entry in text.split(b"\0")[:-1]:
        head, _, raw = entry.partition(b"\t")
        mode, kind, blob = head.split(b" ")
        try:
            path = raw.decode()
        except UnicodeDecodeError:
            oddities[raw.decode("utf-8", "backslashreplace")] = _NOT_UTF8
            continue
        if kind != b"blob" or mode == b"120000":
            oddities[path] = _SUBMODULE if kind != b"blob" else _LINK
            continue
        blobs[path] = blob.decode()
        if mode == b"100755":
            executable.add(path)
    return Listing(blobs, frozenset(executable), oddities)
