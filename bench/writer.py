"""Writing 10,000 changed manifests as one commit: against raw `git fast-import`, and against GitPython's index."""

import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from git import Repo

from bench.printing import line
from reconciler.clock import fixed_clock
from reconciler.commit.repository import Repository
from reconciler.commit.writer import Writer
from reconciler.model.fleet import Author

FILES = 10_000
ROUNDS = 5
AUTHOR = "Bench <bench@example.com> 1781690400 +0000"


def manifest(number: int, cpu: int) -> bytes:
    return (
        "# Written by Trimtab\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n"
        f"  name: app-{number}\n  namespace: team-{number % 100}\nspec:\n  template:\n    spec:\n      containers:\n"
        f"        - name: server\n          resources:\n            requests:\n              cpu: {cpu}m\n"
        f"              memory: {cpu + number % 7}Mi\n"
    ).encode()


def tree(cpu: int) -> dict[str, bytes]:
    return {
        f"clusters/c{n // 100:03}/trimtab/team-{n % 100}/requests-deployment-app-{n}.yaml": manifest(n, cpu)
        for n in range(FILES)
    }


class RawImport:
    """The limit: `git fast-import` kept open, fed the same bytes, asked for the commit's id."""

    def __init__(self, repo: Path) -> None:
        words = ["git", "-C", str(repo), "fast-import", "--quiet", "--force", "--done"]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._mark = 0

    def commit(self, files: dict[str, bytes], parent: str) -> str:
        assert self._process.stdin and self._process.stdout
        self._mark += 1
        out = self._process.stdin
        message = b"Change everything\n"
        out.write(
            f"commit refs/heads/raw\nmark :{self._mark}\nauthor {AUTHOR}\ncommitter {AUTHOR}\ndata {len(message)}\n".encode()
            + message
        )
        if parent and self._mark == 1:  # later commits go on top of the one before, on the same branch
            out.write(f"from {parent}\n".encode())
        for path, data in files.items():
            out.write(f"M 100644 inline {path}\ndata {len(data)}\n".encode() + data + b"\n")
        out.write(f"\nget-mark :{self._mark}\n".encode())
        out.flush()
        return self._process.stdout.readline().decode().strip()

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.write(b"done\n")
        self._process.stdin.close()
        self._process.wait()


def best(rounds: int, once: Callable[[int], None]) -> float:
    times = []
    for number in range(rounds):
        start = time.perf_counter()
        once(number)
        times.append(time.perf_counter() - start)
    return min(times)


def run() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        bare = home / "fleet.git"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
        raw = RawImport(bare)
        start = raw.commit(tree(100), "")
        raw.close()
        subprocess.run(["git", "-C", str(bare), "update-ref", "refs/heads/main", start], check=True)
        trees = [tree(200 + n) for n in range(ROUNDS)]
        raw_seconds = _raw(bare, start, trees)
        ours = _ours(home, bare, trees)
        line(f"{FILES} changed files, one commit", ours, against="raw fast-import", limit=raw_seconds, wanted="≤ 1.5")
        git_python = _git_python(home, bare, tree(999))
        line("the same by GitPython's index.add + index.commit", git_python, against="ours", limit=ours, wanted="≥ 100")


def _raw(bare: Path, start: str, trees: list[dict[str, bytes]]) -> float:
    process = RawImport(bare)
    parent = [start]

    def once(number: int) -> None:
        parent[0] = process.commit(trees[number], parent[0])

    seconds = best(ROUNDS, once)
    process.close()
    return seconds


def _ours(home: Path, bare: Path, trees: list[dict[str, bytes]]) -> float:
    clock = fixed_clock(datetime(2026, 6, 17, tzinfo=UTC))
    with Repository.open(str(bare), state_dir=home / "state", branch="main") as repository:
        parent = [repository.fetch()]
        with Writer(repository, author=Author(), signing=None, clock=clock) as writer:

            def once(number: int) -> None:
                parent[0] = writer.commit(parent[0], trees[number], "Change everything\n")

            return best(ROUNDS, once)


def _git_python(home: Path, bare: Path, files: dict[str, bytes]) -> float:
    work = home / "work"
    subprocess.run(["git", "clone", "-q", "-b", "main", str(bare), str(work)], check=True)
    with Repo(work) as repo:
        start = time.perf_counter()
        for path, data in files.items():
            (work / path).write_bytes(data)
        repo.index.add(list(files))
        repo.index.commit("Change everything")
        return time.perf_counter() - start
