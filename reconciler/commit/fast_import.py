"""``git fast-import``, kept open: the quickest way to write blobs, trees and commits (DESIGN §4, FACTS §Git)."""

import fcntl
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from subprocess import Popen
from typing import TYPE_CHECKING, cast

from reconciler.commit.client import Client
from reconciler.commit.failures import explain

if TYPE_CHECKING:
    from git.cmd import Git

_CHUNK_BYTES = 1 << 20
_UNPACKED_FILES = 10  # well below what makes more than fastimport.unpackLimit (100) objects, which stay a pack
_MOST_OBJECTS = 200_000  # fast-import remembers each object it wrote; a new process forgets them


class ProcessDied(Exception):
    """fast-import ended; ``err`` is what it said, scrubbed."""

    def __init__(self, err: str, status: int) -> None:
        self.err = err
        self.status = status
        super().__init__(err)


@dataclass(frozen=True)
class Draft:
    """A commit to be written. ``files``: path → (mode, bytes), None = gone. ``seconds``: author and committer time."""

    parent: str
    files: Mapping[str, tuple[str, bytes] | None]
    message: str
    author: str
    seconds: int


class FastImport:
    """One process per writer, started when first needed; commits go to ``ref``, which nobody else uses."""

    def __init__(self, client: Client, ref: str) -> None:
        self._client = client
        self._ref = ref
        self._running: Git.AutoInterrupt | None = None
        self._objects = 0
        self._mark = 0

    def commit(self, draft: Draft) -> str:
        """Write ``draft``; its id, once every object of it can be read by other processes.

        :raises Stalled: when it cannot be written (a full disk), after a second try in a new process.
        """
        try:
            return self._write(draft)
        except ProcessDied:
            # A repack by another process may have taken away a pack that this one still had in mind.
            pass
        try:
            return self._write(draft)
        except ProcessDied as death:
            place = str(self._client.git_dir)
            raise explain(death.err, status=death.status, doing="write the commit", place=place) from None

    def keep(self, commit: str) -> None:
        """Let the ref protect ``commit`` (written by somebody else) from being pruned."""
        self._send([f"reset {self._ref}\nfrom {commit}\n\n".encode()])

    def close(self) -> None:
        """End the process. A later commit starts it again."""
        running, self._running = self._running, None
        if running is not None:
            cast("Popen[bytes]", running.proc).communicate()

    def _write(self, draft: Draft) -> str:
        if self._objects > _MOST_OBJECTS:
            self.close()
        self._mark += 1
        self._objects += 3 * len(draft.files) + 1
        try:
            self._send(_chunks(_stream(draft, self._ref, self._mark)))
            return self._answer()
        except (BrokenPipeError, EOFError):
            raise self._died() from None

    def _send(self, chunks: "Iterator[bytes] | list[bytes]") -> None:
        process = self._process()
        assert process.stdin
        for chunk in chunks:
            process.stdin.write(chunk)
        process.stdin.flush()

    def _answer(self) -> str:
        process = self._process()
        assert process.stdout
        line: bytes = process.stdout.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        return line.decode().strip()

    def _process(self) -> "Popen[bytes]":
        if self._running is None:
            words = ("fast-import", "--quiet", "--force", "--date-format=raw")
            self._running = self._client.spawn(*words)
            self._objects = 0
            _widen(cast("Popen[bytes]", self._running.proc))
        return cast("Popen[bytes]", self._running.proc)

    def _died(self) -> ProcessDied:
        process = self._process()
        err = process.communicate()[1]
        self._running = None
        if self._client.git_dir:
            (self._client.git_dir / f"fast_import_crash_{process.pid}").unlink(missing_ok=True)
        return ProcessDied(self._client.scrubbed(err), process.returncode)


def _widen(process: "Popen[bytes]") -> None:
    """Let the pipe hold as much as one chunk, so that fast-import works while the next one is made (Linux only)."""
    assert process.stdin
    with suppress(OSError, AttributeError):
        fcntl.fcntl(process.stdin, fcntl.F_SETPIPE_SZ, _CHUNK_BYTES)


def _stream(draft: Draft, ref: str, mark: int) -> Iterator[bytes]:
    if len(draft.files) >= _UNPACKED_FILES:
        # A pack is named by what is in it and kept (.keep) as long as its process lives; two processes that write the same
        # commit, or one that was killed and its successor, must not meet in one name.
        yield b"blob\ndata 16\n" + secrets.token_bytes(16) + b"\n"
    message = draft.message.encode()
    who = f"{draft.author} {draft.seconds} +0000"
    yield f"commit {ref}\nmark :{mark}\nauthor {who}\ncommitter {who}\ndata {len(message)}\n".encode()
    yield message + f"\nfrom {draft.parent}\n".encode()
    for path in sorted(draft.files):
        change = draft.files[path]
        if change is None:
            yield f"D {_quoted(path)}\n".encode()
            continue
        mode, content = change
        yield f"M {mode} inline {_quoted(path)}\ndata {len(content)}\n".encode() + content + b"\n"
    # checkpoint makes the objects readable for others; the answer to get-mark says that it has been done.
    yield f"\ncheckpoint\n\nget-mark :{mark}\n".encode()


def _quoted(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _chunks(parts: Iterator[bytes]) -> Iterator[bytes]:
    """``parts`` joined into pieces of about a mebibyte: few writes, little memory."""
    piece: list[bytes] = []
    size = 0
    for part in parts:
        piece.append(part)
        size += len(part)
        if size >= _CHUNK_BYTES:
            yield b"".join(piece)
            piece, size = [], 0
    yield b"".join(piece)
