"""Pushes: never forced, machine branches with lease; what the remote answered."""

import re
from dataclasses import dataclass

from reconciler.commit.client import Client, Finished
from reconciler.commit.failures import explain, said
from reconciler.commit.remote import Remote
from reconciler.errors import Stalled, TrimtabError

_MOVED = re.compile(
    r"fetch first|non-fast-forward|stale info|cannot lock ref|failed to update ref|already exists|incorrect old value"
    r"|reference already exists|failed to lock",
    re.IGNORECASE,
)
_PHYSICAL = re.compile(r"permission denied|read-only file system|no space left|quota exceeded", re.IGNORECASE)
_DIRTY = re.compile(
    r"unstaged changes|staged changes|up-to-date check failed|could not update working tree|could not read index",
    re.IGNORECASE,
)
_UPDATE_INSTEAD = "--receive-pack=git -c receive.denyCurrentBranch=updateInstead receive-pack"


@dataclass(frozen=True)
class PushResult:
    """``pushed``, or rejected because somebody else moved the branch; ``reason`` in Git's words."""

    pushed: bool
    reason: str = ""

    @property
    def rejected(self) -> bool:
        return not self.pushed


def push(
    client: Client, remote: Remote, new: str, ref: str, *, expected: str = "", lease: str | None = None
) -> PushResult:
    """Push ``new`` (empty = delete) to ``ref`` (``refs/heads/…``).

    ``expected``: what the remote must still have there, checked within the connection; the push is then an ordinary
    one. ``lease``: what a machine branch must still have (empty = not be there); it may then be rewritten.

    :raises Stalled: no permission, a protected branch, a hook that declines, a checkout with uncommitted changes.
    :raises RetryLater: the remote is away or broke off; the push may have landed.
    """
    words = ["push", "--porcelain", "--no-follow-tags", "--recurse-submodules=no"]
    if remote.work_tree:
        words.append(_UPDATE_INSTEAD)
    if lease is not None:
        words.append(f"--force-with-lease={ref}:{lease}")
    done = client.run(
        *words, "--end-of-options", remote.url, f"{new}:{ref}",
        remote=True, env={"TRIMTAB_EXPECTED": expected}, config={"core.hooksPath": str(client.home / "hooks")},
    )  # fmt: skip
    return _result(done, remote, ref)


def _result(done: Finished, remote: Remote, ref: str) -> PushResult:
    out = done.out.decode("utf-8", "replace")
    verdict = next((line for line in out.splitlines() if "\t" in line and f":{ref}\t" in line), "")
    flag, _, rest = verdict.partition("\t")
    summary = rest.partition("\t")[2]
    if done.status == 0:
        return PushResult(pushed=True, reason=summary)
    reason = summary if flag.startswith("!") else ""
    if (_MOVED.search(reason) and not _PHYSICAL.search(done.err)) or (not reason and "stale info" in done.err):
        return PushResult(pushed=False, reason=reason or "stale info")
    raise _refusal(done, reason, remote, ref)


def _refusal(done: Finished, reason: str, remote: Remote, ref: str) -> TrimtabError:
    branch = ref.removeprefix("refs/heads/")
    if remote.work_tree and _DIRTY.search(reason):
        return Stalled(
            f"the checkout at {remote.work_tree} has uncommitted changes: {_inner(reason)}",
            hint=f"commit or stash them, or check out another branch than {branch} there; nothing was changed",
        )
    if "remote rejected" in reason and "unpacker error" not in reason:
        words = said(done.err)
        text = _inner(reason) + (f": {words}" if words and words not in reason else "")
        return Stalled(
            f"the remote {remote.url} declines the push to {branch}: {text}",
            hint="let Trimtab's user push there (branch protection, hooks), or set delivery.mode to pullRequest",
        )
    return explain(f"{done.err}\n{reason}", doing=f"push to {branch}", place=remote.url, status=done.status)


def _inner(reason: str) -> str:
    """What stands in parentheses: ``[remote rejected] (pre-receive hook declined)``."""
    match = re.search(r"\((.*)\)\s*$", reason)
    return match.group(1) if match else reason
