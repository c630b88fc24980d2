"""Writing 10,000 changed manifests as one commit: against raw `git fast-import`, and against GitPython's index."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from git import Repo

from bench.printing import line, note
from bench.scale import Scale
from reconciler.clock import fixed_clock
from reconciler.commit.repository import Repository
from reconciler.commit.writer import Writer
from reconciler.model.fleet import Author

MESSAGE = "Change everything\n"
AUTHOR = "Bench <bench@example.com> 1781690400 +0000"


def manifest(number: int, cpu: int) -> bytes:
    return (
        "# Written by Trimtab\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n"
        f"  name: app-{number}\n  namespace: team-{number % 100}\nspec:\n  template:\n    spec:\n      containers:\n"
        f"        - name: server\n          resources:\n            requests:\n              cpu: {cpu}m\n"
        f"              memory: {cpu + number % 7}Mi\n"
    ).encode()


def tree(cpu: int, files: int) -> dict[str, bytes]:
    return {
        f"clusters/c{n // 100:03}/trimtab/team-{n % 100}/requests-deployment-app-{n}.yaml": manifest(n, cpu)
        for n in range(files)
    }


class RawImport:
    """The limit: `git fast-import` kept open, fed the same bytes, asked for the commit's id.

    ``checkpoint``: asked to make the objects readable by others before it answers, as Trimtab must.
    """

    def __init__(self, repo: Path, branch: str, *, checkpoint: bool = False) -> None:
        words = ["git", "-C", str(repo), "fast-import", "--quiet", "--force", "--done"]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._branch = branch
        self._checkpoint = b"checkpoint\n\n" if checkpoint else b""
        self._mark = 0

    def commit(self, files: dict[str, bytes], parent: str) -> str:
        assert self._process.stdin
        self._mark += 1
        out, message = self._process.stdin, MESSAGE.encode()
        out.write(
            f"commit refs/heads/{self._branch}\nmark :{self._mark}\nauthor {AUTHOR}\ncommitter {AUTHOR}\n"
            f"data {len(message)}\n".encode()
            + message
        )
        if parent and self._mark == 1:  # later commits go on top of the one before, on the same branch
            out.write(f"from {parent}\n".encode())
        for path, data in files.items():
            out.write(f"M 100644 inline {path}\ndata {len(data)}\n".encode() + data + b"\n")
        out.write(b"\n" + self._checkpoint + f"get-mark :{self._mark}\n".encode())
        return self._answer()

    def flush(self) -> None:
        """Make what was written readable by others."""
        assert self._process.stdin
        self._process.stdin.write(f"checkpoint\n\nget-mark :{self._mark}\n".encode())
        self._answer()

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.write(b"done\n")
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> str:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.flush()
        return self._process.stdout.readline().decode().strip()


def run(scale: Scale) -> None:
    """Both sides get the same commits, each in a repository of its own that never saw them; what they wrote must agree."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        ours, raw, checked = _seeded(home / "ours.git", scale), _seeded(home / "raw.git", scale), home / "checked.git"
        subprocess.run(["git", "clone", "-q", "--bare", str(raw), str(checked)], check=True)
        trees = [tree(200 + n, scale.files) for n in range(scale.rounds)]
        times = _side_by_side(home, ours, raw, checked, trees)
        note(f"best of {scale.rounds} rounds, side by side; the trees are the same, and so are the numbers of objects")
        what = f"{scale.files} changed files, one commit"
        line(what, times.ours, against="raw fast-import", limit=times.raw, wanted="≤ 1.5")
        line(
            "the same, raw fast-import asked for a checkpoint (readable by others), as we do",
            times.ours,
            against="raw",
            limit=times.checked,
        )
        git_python = _git_python(home, raw, tree(999, scale.files))
        line(
            "GitPython's index.add + index.commit of the same",
            git_python,
            against="ours",
            limit=times.ours,
            wanted="≥ 100",
        )


def _seeded(bare: Path, scale: Scale) -> Path:
    """A repository that has all files, in a first commit."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    process = RawImport(bare, "main")
    process.commit(tree(100, scale.files), "")
    process.close()
    return bare


@dataclass(frozen=True)
class Times:
    """Seconds of the best round: ours, raw fast-import, and raw fast-import with a checkpoint."""

    ours: float
    raw: float
    checked: float


def _side_by_side(home: Path, ours: Path, raw: Path, checked: Path, trees: list[dict[str, bytes]]) -> Times:
    clock = fixed_clock(datetime(2026, 6, 17, tzinfo=UTC))
    seconds: dict[str, list[float]] = {"ours": [], "raw": [], "checked": []}
    sides = {"raw": RawImport(raw, "main"), "checked": RawImport(checked, "main", checkpoint=True)}
    heads = {name: head(repo) for name, repo in (("ours", ours), ("raw", raw), ("checked", checked))}
    with (
        Repository.open(str(ours), state_dir=home / "state", branch="main") as repository,
        Writer(repository, author=Author(), signing=None, clock=clock) as writer,
    ):
        repository.fetch()
        before = objects(repository.git_dir)
        for files in trees:
            for name, side in sides.items():
                with timed(seconds[name]):
                    heads[name] = side.commit(files, heads[name])
            with timed(seconds["ours"]):
                heads["ours"] = writer.commit(heads["ours"], files, MESSAGE)
            _checkpoints(sides)
            assert len({tree_of(where, heads[name]) for name, where in _places(repository, raw, checked)}) == 1
        written = objects(repository.git_dir) - before
        for side in sides.values():
            side.close()
        # Ours has one small blob more in each pack, which gives the pack a name of its own.
        assert 0 <= written - (objects(raw) - before) <= len(trees)
        assert objects(raw) == objects(checked)
    return Times(min(seconds["ours"]), min(seconds["raw"]), min(seconds["checked"]))


def _places(repository: Repository, raw: Path, checked: Path) -> list[tuple[str, Path]]:
    return [("ours", repository.git_dir), ("raw", raw), ("checked", checked)]


def _checkpoints(sides: dict[str, RawImport]) -> None:
    """Outside of what is timed: raw fast-import's objects can be read by nobody else before that."""
    for side in sides.values():
        side.flush()


@contextmanager
def timed(seconds: list[float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds.append(time.perf_counter() - start)


def head(repo: Path) -> str:
    return _git(repo, "rev-parse", "main")


def tree_of(repo: Path, commit: str) -> str:
    return _git(repo, "rev-parse", f"{commit}^{{tree}}")


def objects(repo: Path) -> int:
    """How many different objects a repository has."""
    return len(_git(repo, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split())


def _git(repo: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(repo), *words], check=True, capture_output=True, text=True).stdout.strip()


def _git_python(home: Path, bare: Path, files: dict[str, bytes]) -> float:
    """Writing the files into the work tree counts, too: the index takes them from there."""
    work = home / "work"
    subprocess.run(["git", "clone", "-q", "--shared", "--no-checkout", "-b", "main", str(bare), str(work)], check=True)
    subprocess.run(["git", "-C", str(work), "read-tree", "HEAD"], check=True)
    for folder in {(work / path).parent for path in files}:
        folder.mkdir(parents=True, exist_ok=True)
    with Repo(work) as repo:
        start = time.perf_counter()
        for path, data in files.items():
            (work / path).write_bytes(data)
        repo.index.add(list(files))
        repo.index.commit("Change everything")
        return time.perf_counter() - start
