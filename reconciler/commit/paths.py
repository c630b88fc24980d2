"""Which paths may be written into a tree."""

import re
from collections.abc import Iterable

from reconciler.commit.listing import Listing
from reconciler.errors import InputError, Where

_LONGEST_NAME = 255  # bytes; what ext4, APFS and NTFS can check out


def check_paths(paths: Iterable[str], parent: Listing) -> None:
    """Refuse what Git or a checkout could not hold, and what would push a person's file or directory aside.

    :raises InputError: with the path.
    """
    for path in paths:
        if path in parent.blobs:
            continue
        reason = path_refusal(path) or _in_the_way(path, parent)
        if reason:
            raise InputError(
                f"cannot be written: {reason}", where=Where(path), hint="rename what it is made from, or what is there"
            )


_REFUSED = (
    (re.compile(r"^/"), "it is not relative"),
    (re.compile(r"(^|/)\.{0,2}(/|$)"), "it has an empty name, . or .. in it"),
    (re.compile(r"(^|/)(\.git|git~1)[. ]*(/|$)", re.IGNORECASE), "it goes into .git"),
    (re.compile(r"[\x00-\x1f\x7f]"), "it has a control character in it"),
    (re.compile(r"[\ud800-\udfff]"), "it is not UTF-8"),
)


def path_refusal(path: str) -> str:
    """Why ``path`` cannot be a file of a tree; empty when it can."""
    reason = next((reason for pattern, reason in _REFUSED if pattern.search(path)), "")
    if not reason and max(len(name.encode()) for name in path.split("/")) > _LONGEST_NAME:
        return f"a name in it is longer than {_LONGEST_NAME} bytes"
    return reason


def _in_the_way(path: str, parent: Listing) -> str:
    if path in parent.oddities:
        return f"{parent.oddities[path]} is there"
    if path in parent.directories:
        return "a directory is there"
    above = path.rpartition("/")[0]
    while above and above not in parent.directories:
        if above in parent.blobs or above in parent.oddities:
            return f"{above} is {parent.oddities.get(above, 'a file')}"
        above = above.rpartition("/")[0]
    return ""
