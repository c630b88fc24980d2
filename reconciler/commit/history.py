"""What has landed, read from the commits themselves: trailers, reverts, and by whom."""

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from reconciler.commit.repository import Repository

_TRAILER = re.compile(r"^([A-Za-z][A-Za-z0-9-]*): ?(.*)$")
_REVERTS = re.compile(r"^This reverts commit ([0-9a-f]{7,64})\b", re.MULTILINE)

CommitKind = Literal["change", "rollback", "turnup", "revert by a person", "other"]


@dataclass(frozen=True)
class Trailers:
    """What Trimtab's trailers say (DESIGN §4); empty where there is none.

    ``change`` is a ULID, ``decisions`` ULIDs, ``rollback`` the change or commit that `trimtab rollback` undid.
    """

    change: str = ""
    decisions: tuple[str, ...] = ()
    policy: str = ""
    action: str = ""
    run: str = ""
    rollback: str = ""


@dataclass(frozen=True)
class LandedCommit:
    """A commit on the branch. ``paths``: what it changed (a merge: only what it changed itself).

    ``reverted``: the commits that its message says it reverts; ``reverts`` is the first of them.
    """

    sha: str
    parents: tuple[str, ...]
    at: datetime
    author: str
    subject: str
    message: str
    trailers: Trailers
    reverted: tuple[str, ...]
    paths: tuple[str, ...]

    @property
    def reverts(self) -> str | None:
        return self.reverted[0] if self.reverted else None

    @property
    def ours(self) -> bool:
        """Whether Trimtab made it: only its commits have a Trimtab-Change trailer."""
        return bool(self.trailers.change)

    @property
    def kind(self) -> CommitKind:
        """A commit of an action's that reverts is a turn-up, unless a person asked for it by `trimtab rollback`."""
        if not self.ours:
            return "revert by a person" if self.reverted else "other"
        if self.trailers.rollback:
            return "rollback"
        if not self.reverted:
            return "change"
        return "turnup" if self.trailers.action else "rollback"


def parse_trailers(message: str) -> Trailers:
    """Trimtab's trailers: from every paragraph after the first that consists of trailers only.

    Not only from the last one: a forge's squash puts several messages together, and adds ``Co-authored-by`` below a line.
    """
    found: dict[str, list[str]] = {}
    paragraphs = re.split(r"\n[ \t]*\n", message.replace("\r\n", "\n").strip("\n"))
    for paragraph in paragraphs[1:]:
        matches = [_TRAILER.match(line) for line in paragraph.strip("\n").split("\n")]
        for match in matches if all(matches) else ():
            assert match
            found.setdefault(match[1].lower(), []).append(match[2].strip())
    first = {name: values[0] for name, values in found.items()}
    return Trailers(
        change=first.get("trimtab-change", ""),
        decisions=tuple(found.get("trimtab-decision", ())),
        policy=first.get("trimtab-policy", ""),
        action=first.get("trimtab-action", ""),
        run=first.get("trimtab-run", ""),
        rollback=first.get("trimtab-rollback", ""),
    )


def parse_reverts(message: str) -> tuple[str, ...]:
    """The commits of which ``message`` says ``This reverts commit <sha>.``, as `git revert` writes it."""
    return tuple(dict.fromkeys(_REVERTS.findall(message)))


def scan(repository: Repository, since: str | None, until: str) -> tuple[LandedCommit, ...]:
    """Every commit reachable from ``until`` and not from ``since``, oldest first, also those that a merge brought in.

    One Git process. :raises Stalled: when one of the two is not there.
    """
    start = secrets.token_hex(16)  # a name that no path and no message can have
    form = "%x00".join((start, "%H", "%P", "%at", "%an <%ae>", "%B", ""))
    shape = ("-z", "--reverse", "--topo-order", "-c", "--name-only", "--no-renames", "--no-show-signature")
    words = (*shape, "--encoding=UTF-8", f"--format=tformat:{form}")
    range_ = (until, f"^{since}") if since else (until,)
    out = repository.client.must("log", *words, "--end-of-options", *range_, "--", doing="read the history")
    text = out.decode("utf-8", "backslashreplace")
    return tuple(_landed(entry) for entry in text.split(f"{start}\0")[1:])


def _landed(entry: str) -> LandedCommit:
    sha, parents, at, author, message, rest = entry.split("\0", 5)
    paths = (path.removeprefix("\n") for path in rest.split("\0"))
    return LandedCommit(
        sha=sha,
        parents=tuple(parents.split()),
        at=datetime.fromtimestamp(int(at), UTC),
        author=author,
        subject=message.partition("\n")[0],
        message=message,
        trailers=parse_trailers(message),
        reverted=parse_reverts(message),
        paths=tuple(path for path in paths if path),
    )
