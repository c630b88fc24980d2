"""Writes commits on top of a known commit, and moves branches by compare-and-swap."""

import hashlib
import os
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from reconciler.clock import Clock
from reconciler.commit.fast_import import Draft, FastImport
from reconciler.commit.listing import Listing
from reconciler.commit.paths import check_paths
from reconciler.commit.push import PushResult, push
from reconciler.commit.repository import PENDING, Repository
from reconciler.commit.signing import signed_commit
from reconciler.errors import InputError
from reconciler.model.fleet import Author, Signing


class Writer:
    """One writer of one clone, for one thread. Several commits in a row cost one process; ``close`` ends it.

    Until they are pushed, commits are kept by a ref below ``refs/trimtab/pending/`` that no remote ever sees.
    """

    def __init__(self, repository: Repository, *, author: Author, signing: Signing | None, clock: Clock) -> None:
        for field, value in (("name", author.name), ("email", author.email)):
            if not value.strip() or any(char in value for char in "<>\n\0"):
                raise InputError(
                    f"the author's {field} {value!r} is empty or has <, > or a line end in it",
                    hint="correct delivery.author in trimtab.yaml",
                )
        self._repository = repository
        self._author = author
        self._signing = signing
        self._clock = clock
        self._ref = f"{PENDING}{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._import = FastImport(repository.client, self._ref)
        self._wrote = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def commit(self, parent: str, files: Mapping[str, bytes | None], message: str) -> str:
        """The id of a commit on top of ``parent``; ``parent`` itself when ``files`` change nothing.

        ``files``: new bytes by path, None = the file goes away (its directory too, when it was the last). The mode of
        a file that is there stays; a new one is not executable.

        :raises InputError: a path that cannot be written.
        :raises Stalled: a full disk, a signing key that is missing or refused.
        """
        listing = self._repository.listing(parent)
        blobs = _changed(files, listing)
        if not blobs:
            return parent
        check_paths((path for path, blob in blobs.items() if blob), listing)
        seconds = int(self._clock().timestamp())
        draft = Draft(
            parent=parent,
            files={path: _entry(listing, path, files[path]) for path in blobs},
            message=message if message.endswith("\n") else message + "\n",
            author=f"{self._author.name} <{self._author.email}>",
            seconds=seconds,
        )
        self._wrote = True
        commit = self._import.commit(draft)
        if self._signing:
            commit = self._sign(commit, draft, self._signing)
        self._repository.keep_listing(commit, listing.with_changes(blobs))
        return commit

    def push(self, new: str, old: str) -> PushResult:
        """Move the fleet's branch from ``old`` to ``new`` on the remote, as an ordinary push; never forced.

        Rejected when the branch is not at ``old`` any more, wherever it went: fetch, and commit on what is there.

        :raises Stalled: no permission, a protected branch, a hook that declines, a checkout with uncommitted changes.
        :raises RetryLater: the remote is away or broke off; the push may have landed.
        """
        ref = f"refs/heads/{self._repository.branch}"
        return self._landed(
            push(self._repository.client, self._repository.remote, new, ref, expected=old), ref, new, old
        )

    def push_branch(self, branch: str, new: str, expected_old: str) -> PushResult:
        """Set a machine branch to ``new`` (empty = delete it), if it still is at ``expected_old`` (empty = not there).

        :raises Stalled: as :meth:`push`. :raises RetryLater: as :meth:`push`.
        :raises ValueError: for the fleet's own branch.
        """
        ref = f"refs/heads/{branch.removeprefix('refs/heads/')}"
        if ref == f"refs/heads/{self._repository.branch}":
            raise ValueError(f"{branch} is the fleet's branch, not one of Trimtab's own")
        result = push(self._repository.client, self._repository.remote, new, ref, lease=expected_old)
        return self._landed(result, ref, new, expected_old)

    def close(self) -> None:
        """End the process, and let go of what was not pushed."""
        self._import.close()
        if self._wrote:
            self._repository.client.run("update-ref", "-d", self._ref)
            self._wrote = False

    def _sign(self, unsigned: str, draft: Draft, signing: Signing) -> str:
        commit = signed_commit(
            self._repository.client,
            signing,
            tree=self._repository.tree_id(unsigned),
            parent=draft.parent,
            message=draft.message,
            author=self._author,
            seconds=draft.seconds,
        )
        self._import.keep(commit)
        return commit

    def _landed(self, result: PushResult, ref: str, new: str, old: str) -> PushResult:
        if result.pushed:
            self._repository.move_tracking(ref, new, old)
            self._repository.tidy()
        return result


def _changed(files: Mapping[str, bytes | None], listing: Listing) -> dict[str, str | None]:
    """The new blob id of each path that really changes, None = it goes away."""
    blobs = {path: None if content is None else blob_id(content) for path, content in files.items()}
    return {path: blob for path, blob in blobs.items() if blob != listing.blobs.get(path)}


def blob_id(content: bytes) -> str:
    """The id that Git gives to ``content``."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _entry(listing: Listing, path: str, content: bytes | None) -> tuple[str, bytes] | None:
    return None if content is None else (listing.mode(path), content)
