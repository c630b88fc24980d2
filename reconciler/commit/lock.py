"""A file lock between processes that use one clone."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reconciler.clock import stopwatch
from reconciler.errors import RetryLater

_STEP_SECONDS = 0.02


@contextmanager
def held(path: Path, *, seconds: float = 120.0) -> Iterator[None]:
    """Hold ``path`` (made when missing) alone; the kernel lets go of it when the process dies, however it dies.

    Also keeps two holders within one process apart.

    :raises RetryLater: when somebody else has held it for ``seconds``.
    """
    waited = stopwatch()
    with path.open("ab") as file:
        while not _try(file.fileno()):
            if waited() > seconds:
                raise RetryLater(
                    f"another Trimtab process has been working on {path.parent} for {seconds:.0f} s",
                    after_seconds=30,
                    hint="wait for it, or look for one that hangs",
                )
            time.sleep(_STEP_SECONDS)
        yield


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
