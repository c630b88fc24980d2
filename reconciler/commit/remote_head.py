"""Which branch a remote has checked out: where a fleet repo's own configuration is read first."""

import re
from contextlib import closing

from reconciler.commit.client import Client
from reconciler.commit.credentials import Credentials
from reconciler.commit.remote import resolve_remote

_SYMREF = re.compile(r"^ref: refs/heads/(\S+)\tHEAD$", re.MULTILINE)
FALLBACK = "main"


def default_branch(url_or_path: str, credentials: Credentials | None = None) -> str:
    """The remote's default branch; ``main`` for a remote that does not say.

    :raises Stalled: when it is no repository, or may not be read.  :raises RetryLater: when it is away.
    """
    remote = resolve_remote(url_or_path, branch=FALLBACK)
    safe = (remote.local, remote.local / ".git") if remote.local else ()
    with closing(Client(None, url=remote.url, credentials=credentials or remote.credentials, safe=safe)) as client:
        words = ("ls-remote", "--symref", "--end-of-options", remote.url, "HEAD")
        out = client.must(*words, remote=True, doing="reach the fleet repo")
    match = _SYMREF.search(out.decode("utf-8", "replace"))
    return match[1] if match else FALLBACK
