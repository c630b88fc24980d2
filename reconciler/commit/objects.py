"""Reads objects through one ``git cat-file --batch`` that stays open."""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice
from subprocess import Popen
from typing import TYPE_CHECKING, NamedTuple, cast

from reconciler.commit.client import Client
from reconciler.commit.failures import explain

if TYPE_CHECKING:
    from git.cmd import Git

CACHE_BYTES = 64 * 1024 * 1024
_PIPELINE = 500  # requests of at most 65 bytes: they fit the 64 KiB of a pipe, so neither side waits for the other


class Found(NamedTuple):
    """An object: its id, its type (``blob``, ``tree``, ``commit``, ``tag``) and its bytes."""

    id: str
    type: str
    content: bytes


class ObjectReader:
    """Blobs are kept, newest first, up to ``cache_bytes``. Safe to call from several threads."""

    def __init__(self, client: Client, *, cache_bytes: int = CACHE_BYTES) -> None:
        self._client = client
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._cached = 0
        self._room = cache_bytes
        self._running: Git.AutoInterrupt | None = None
        self._lock = threading.RLock()

    def look_up(self, name: str) -> Found | None:
        """The object that ``name`` (an id, a ref, ``<commit>:<path>``) stands for; None when there is none."""
        if "\n" in name:
            return None
        with self._lock:
            return self._ask([name])[0]

    def read_many(self, blobs: Iterable[str]) -> dict[str, bytes]:
        """Bytes by blob id. :raises KeyError: when one is not in the repository."""
        wanted = dict.fromkeys(blobs)
        with self._lock:
            found = {blob: self._cache[blob] for blob in wanted if blob in self._cache}
            for blob in found:
                self._cache.move_to_end(blob)
            missing = (blob for blob in wanted if blob not in found)
            while batch := list(islice(missing, _PIPELINE)):
                for blob, answer in zip(batch, self._ask(batch), strict=True):
                    if answer is None:
                        raise KeyError(blob)
                    found[blob] = answer.content
                    self._keep(blob, answer.content)
            return found

    def close(self) -> None:
        """End the process. A later read starts it again."""
        with self._lock:
            running, self._running = self._running, None
            if running is not None:
                cast("Popen[bytes]", running.proc).communicate()

    def _keep(self, blob: str, content: bytes) -> None:
        if len(content) > self._room // 4:
            return
        self._cache[blob] = content
        self._cached += len(content)
        while self._cached > self._room:
            self._cached -= len(self._cache.popitem(last=False)[1])

    def _ask(self, names: list[str]) -> list[Found | None]:
        """One round trip; a process that has died since the last one is started again, once."""
        fresh = self._running is None
        try:
            return self._exchange(names)
        except (BrokenPipeError, EOFError):
            err = self._bury()
            if fresh:
                raise explain(err, doing="read objects", place=str(self._client.git_dir)) from None
        return self._ask(names)

    def _exchange(self, names: list[str]) -> list[Found | None]:
        process = self._process()
        assert process.stdin and process.stdout
        process.stdin.write("".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape"))
        process.stdin.flush()
        return [_answer(process) for _ in names]

    def _process(self) -> "Popen[bytes]":
        if self._running is None:
            self._running = self._client.spawn("cat-file", "--batch")
        return cast("Popen[bytes]", self._running.proc)

    def _bury(self) -> str:
        running, self._running = self._running, None
        process = cast("Popen[bytes]", running.proc) if running else None
        if process is None:
            return ""
        process.kill()
        return self._client.scrubbed(process.communicate()[1])


def _answer(process: "Popen[bytes]") -> Found | None:
    assert process.stdout
    head = process.stdout.readline()
    if not head.endswith(b"\n"):
        raise EOFError
    words = head.split()
    if words[-1] in (b"missing", b"ambiguous"):
        return None
    size = int(words[2])
    content = process.stdout.read(size + 1)
    if len(content) != size + 1:
        raise EOFError
    return Found(words[0].decode(), words[1].decode(), content[:-1])
