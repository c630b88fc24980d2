"""A fleet repo as one bare clone: fetched, read, never checked out.

The clone holds the remote's branches below ``refs/remotes/origin/`` and Trimtab's unpushed work below
``refs/trimtab/``; it has no remote of its own configured, so that no URL is ever written into it.
"""

import hashlib
import os
import re
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from reconciler.clock import system_clock
from reconciler.commit.client import Client
from reconciler.commit.credentials import Credentials
from reconciler.commit.failures import explain
from reconciler.commit.listing import Listing, parse_listing
from reconciler.commit.lock import held
from reconciler.commit.objects import ObjectReader
from reconciler.commit.remote import Remote, resolve_remote
from reconciler.errors import InputError, Stalled

_LISTINGS = 6
_KEPT_SECONDS = 86400.0
TRACKING = "refs/remotes/origin/"
PENDING = "refs/trimtab/pending/"
_BRANCH = re.compile(r"^(?![-/.])(?!.*(\.\.|//|@\{|\.lock$|\.lock/|/\.|\.$|/$))[^\x00-\x20\x7f~^:?*\[\\]+$")


class Repository:
    """One clone of one fleet repo. Safe to use from several threads, and beside other processes on the same clone.

    ``close`` it (or use it as a context manager): it keeps a ``git cat-file`` running and a private directory.
    """

    def __init__(self, git_dir: Path, remote: Remote, branch: str, client: Client) -> None:
        self.git_dir = git_dir
        self.remote = remote
        self.branch = branch
        self.client = client
        self.objects = ObjectReader(client)
        self._head = ""
        self._trees: dict[str, str] = {}
        self._listings: OrderedDict[str, Listing] = OrderedDict()
        self._lock = threading.RLock()

    @classmethod
    def open(
        cls, url_or_path: str, *, state_dir: Path, branch: str, credentials: Credentials | None = None
    ) -> "Repository":
        """The clone of ``url_or_path`` below ``state_dir``, made when it is not there yet; no network is touched.

        ``credentials`` win over those in the URL.

        :raises Stalled: when it is no repository, or the clone cannot be made.
        """
        if not _BRANCH.match(branch):
            raise InputError(f"{branch!r} is no name of a branch", hint="correct delivery.branch in trimtab.yaml")
        remote = resolve_remote(url_or_path, branch=branch)
        git_dir = (state_dir / "clones" / slug(remote.url)).absolute()
        safe = (remote.local, remote.local / ".git") if remote.local else ()
        client = Client(git_dir, url=remote.url, credentials=credentials or remote.credentials, safe=safe)
        try:
            _make(git_dir, client)
        except BaseException:
            client.close()
            raise
        return cls(git_dir, remote, branch, client)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child processes."""
        self.objects.close()
        self.client.close()

    def fetch(self) -> str:
        """Bring the clone up to the remote (one Git process) and return the commit that the branch is at.

        :raises Stalled: no repository, no commit, no such branch, no permission.
        :raises RetryLater: the remote is away.
        """
        before = self._head
        with self.exclusive():
            self.client.must(
                "fetch", "--quiet", "--prune", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
                "--update-shallow", "--end-of-options", self.remote.url, f"+refs/heads/*:{TRACKING}*",
                doing="fetch the fleet repo", remote=True,
            )  # fmt: skip
        head = self.branch_head(self.branch)
        if not head:
            raise self._no_branch()
        self._head = head
        if before and head != before:
            self.tidy()
        return head

    @property
    def head(self) -> str:
        """The branch's commit as last fetched or pushed; the first time it is fetched.

        :raises Stalled: as :meth:`fetch`.
        """
        return self._head or self.fetch()

    def branch_head(self, branch: str) -> str:
        """The commit that any branch of the remote was at when last fetched or pushed; empty when it is not there."""
        found = self.objects.look_up(f"{TRACKING}{branch}^{{commit}}")
        return found.id if found else ""

    def resolve(self, revision: str) -> str:
        """The full id of a commit that a person names (abbreviated, or a branch of the remote).

        :raises InputError: when there is no such commit.
        """
        names = (revision, TRACKING + revision) if revision and not revision.startswith("-") else ()
        for name in names:
            found = self.objects.look_up(f"{name}^{{commit}}")
            if found:
                return found.id
        raise InputError(
            f"there is no commit {revision!r} in {self.remote.url}", hint="give its id as `git log` shows it"
        )

    def tree(self, commit: str) -> "GitTree":
        """The files at ``commit``; nothing is read until they are asked for."""
        return GitTree(self, commit)

    def tree_id(self, commit: str) -> str:
        """The id of a commit's tree: equal ids, equal files. :raises InputError: when there is no such commit."""
        if commit not in self._trees:
            found = self.objects.look_up(f"{commit}^{{tree}}")
            if found is None:
                raise InputError(f"there is no commit {commit!r} in {self.remote.url}")
            self._trees[commit] = found.id
        return self._trees[commit]

    def listing(self, commit: str) -> Listing:
        """What ``git ls-tree -r`` says of ``commit``; the last few are kept by tree."""
        with self._lock:
            tree = self.tree_id(commit)
            if tree not in self._listings:
                self.keep_listing(
                    commit, parse_listing(self.client.must("ls-tree", "-r", "-z", tree, doing="list files"))
                )
            self._listings.move_to_end(tree)
            return self._listings[tree]

    def keep_listing(self, commit: str, listing: Listing) -> None:
        """Remember the listing of a commit that was just written, so that it need not be asked for."""
        with self._lock:
            self._listings[self.tree_id(commit)] = listing
            while len(self._listings) > _LISTINGS:
                self._listings.popitem(last=False)

    def files_at(self, commit: str, paths: Iterable[str]) -> dict[str, bytes]:
        """The bytes of those ``paths`` that are at ``commit``, without listing the rest. ``commit`` empty = no files."""
        found = ((path, self.objects.look_up(f"{commit}:{path}")) for path in paths if commit)
        return {path: file.content for path, file in found if file and file.type == "blob"}

    def move_tracking(self, ref: str, new: str, old: str) -> None:
        """After a push: the clone knows that ``ref`` (``refs/heads/…``) is now at ``new`` (empty = gone).

        Compare-and-swap: where a fetch has meanwhile seen something else, that stays.
        """
        tracking = TRACKING + ref.removeprefix("refs/heads/")
        words = ("-d", tracking) if not new else (tracking, new)
        with self.exclusive():
            self.client.run("update-ref", *words, *([old] if old else []))
        if ref == f"refs/heads/{self.branch}":
            self._head = self.branch_head(self.branch)

    def tidy(self) -> None:
        """Let go of what writers that died left behind, and let Git repack when it thinks that is due (``gc --auto``)."""
        with self.exclusive():
            listed = self.client.run("for-each-ref", "--format=%(refname)", PENDING).out.decode()
            for ref in listed.split():
                if not _alive(ref.removeprefix(PENDING).partition("-")[0]):
                    self.client.run("update-ref", "-d", ref)
            self._let_go_of_packs()
            self.client.run("gc", "--auto", "--quiet", seconds=1800)

    def _let_go_of_packs(self) -> None:
        """fast-import takes its .keep files away when it ends, but not when it is killed. A day is more than any batch."""
        oldest = system_clock().timestamp() - _KEPT_SECONDS
        for keep in (self.git_dir / "objects" / "pack").glob("*.keep"):
            with suppress(FileNotFoundError):
                if keep.stat().st_mtime < oldest:
                    keep.unlink()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Alone on this clone among all threads and processes. Not to be nested."""
        with held(self.git_dir / "trimtab.lock", seconds=1000):
            yield

    def _no_branch(self) -> Stalled:
        listed = self.client.must("for-each-ref", "--format=%(refname)", TRACKING, doing="list the branches")
        names = [name.removeprefix(TRACKING) for name in listed.decode("utf-8", "replace").split()]
        if not names:
            return Stalled(
                f"{self.remote.url} has no commits yet",
                hint="run `trimtab init` in a checkout of it, commit and push, then run again",
            )
        shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        return Stalled(
            f"{self.remote.url} has no branch {self.branch!r}; it has {shown}",
            hint="correct delivery.branch in trimtab.yaml, or push the branch",
        )


class GitTree:
    """The files of one commit: a :class:`~reconciler.model.tree.Tree`."""

    def __init__(self, repository: Repository, commit: str) -> None:
        self._repository = repository
        self._commit = commit

    @property
    def commit(self) -> str:
        return self._commit

    @property
    def blobs(self) -> Mapping[str, str]:
        return self._repository.listing(self._commit).blobs

    @property
    def oddities(self) -> Mapping[str, str]:
        return self._repository.listing(self._commit).oddities

    def read(self, path: str) -> bytes:
        """The bytes of a file. :raises KeyError: when the path is not in the tree."""
        return self.read_many([path])[path]

    def read_many(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Bytes by path, in one round trip. :raises KeyError: when a path is not in the tree."""
        blobs = self.blobs
        wanted = {path: blobs[path] for path in paths}
        contents = self._repository.objects.read_many(wanted.values())
        return {path: contents[blob] for path, blob in wanted.items()}


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def slug(url: str) -> str:
    """The directory of a remote's clone: readable, and its own for each URL (which has no credentials in it)."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", url.rpartition("://")[2]).strip("-")[-60:].strip("-")
    return f"{readable}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"


def _make(git_dir: Path, client: Client) -> None:
    """An empty bare repository at ``git_dir``, whole or not at all; one that is there stays."""
    if (git_dir / "HEAD").is_file():
        return
    try:
        git_dir.parent.mkdir(parents=True, exist_ok=True)
        with held(git_dir.parent / "trimtab.lock"):
            if not (git_dir / "HEAD").is_file():
                _init(git_dir, client)
    except OSError as error:
        raise explain(
            str(error.strerror), doing="make a clone of the fleet repo", place=str(git_dir), status=1
        ) from None


def _init(git_dir: Path, client: Client) -> None:
    with tempfile.TemporaryDirectory(prefix="new-", dir=git_dir.parent) as staging:
        made = Path(staging) / "clone"
        done = client.run("init", "--bare", "--quiet", "--template=", str(made))
        if done.status:
            raise explain(done.err, doing="make a clone of the fleet repo", place=str(git_dir), status=done.status)
        shutil.rmtree(git_dir, ignore_errors=True)
        made.rename(git_dir)
