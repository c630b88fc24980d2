"""What Git and remotes say when they refuse, turned into what a person can do about it.

The patterns are the messages of Git (``LC_ALL=C``), curl and ssh as met in the tests; forges word theirs freely, so
that what is not known is passed on as it was said.
"""

import re
from dataclasses import dataclass

from reconciler.errors import RetryLater, Stalled, TrimtabError

_AWAY_SECONDS = 30.0
_SIGXFSZ = 25


@dataclass(frozen=True)
class _Known:
    """A family of messages. ``away`` = the outside world may be back by itself."""

    pattern: re.Pattern[str]
    message: str
    hint: str
    away: bool = False


def _known(pattern: str, message: str, hint: str, *, away: bool = False) -> _Known:
    return _Known(re.compile(pattern, re.IGNORECASE | re.MULTILINE), message, hint, away)


# In this order: a full disk or a missing right also makes Git say that the remote "hung up" or "is not a repository".
_FAMILIES = (
    _known(
        r"no space left on device|disk quota exceeded|file too large",
        "the disk is full",
        "make room on it (the state directory, or the remote's own disk), then run again",
    ),
    _known(
        r"dubious ownership",
        "Git refuses a repository that another user owns",
        "give it to the user that runs Trimtab, or name its path as the fleet",
    ),
    _known(
        r"permission denied \(publickey|authentication failed|could not read (username|password)|invalid username or"
        r"|http basic: access denied|returned error: 40[13]|terminal prompts disabled|unable to read askpass",
        "the remote refuses the credentials",
        "check the user name and token of the remote (TRIMTAB_GITHUB_TOKEN, TRIMTAB_GITLAB_TOKEN, TRIMTAB_GITEA_TOKEN, "
        "or the ssh key), that it has not expired and that it may write to the repository",
    ),
    _known(
        r"host key verification failed|ssl certificate|certificate verify failed|server certificate",
        "the remote cannot be trusted: its key or certificate is not known here",
        "add the host to known_hosts, or its authority to GIT_SSL_CAINFO",
    ),
    _known(
        r"transport '.*' not allowed|unable to find remote helper|is not a git command",
        "this kind of URL is not supported",
        "use a path, file://, http(s)://, ssh:// or user@host:path",
    ),
    _known(
        r"permission denied|read-only file system|insufficient permission|operation not permitted"
        r"|unable to create temporary (object directory|file)",
        "a file or directory must not be read or written",
        "give the user that runs Trimtab the right to read and write it",
    ),
    _known(
        r"could not resolve host(name)?|connection (refused|reset|timed out)|failed to connect|couldn't connect"
        r"|could not connect|network is unreachable|no route to host|operation timed out|operation too slow"
        r"|returned error: (429|5\d\d)|temporary failure in name resolution",
        "the remote does not answer",
        "check the address and the network; Trimtab tries again by itself",
        away=True,
    ),
    _known(
        r"does not appear to be a git repository|not a git repository|repository .*not found|returned error: 404"
        r"|not valid: is this a git repository|could not be found or you don't have permission|no such file or directory",
        "there is no Git repository",
        "check the path or URL of the fleet (--fleet or TRIMTAB_FLEET)",
    ),
    _known(
        r"object file .* is empty|loose object .* is corrupt|bad object|missing blob|inflate: data stream error"
        r"|packfile .* (cannot be accessed|is far too short)|unable to read tree",
        "the clone is damaged",
        "remove this directory below the state directory; the next run makes it anew",
    ),
    _known(
        r"hung up unexpectedly|early eof|unexpected disconnect|rpc failed|remote failed to report status",
        "the remote broke off",
        "look at its logs and hooks; Trimtab looks at what has landed and tries again by itself",
        away=True,
    ),
)


def explain(err: str, *, doing: str, place: str, status: int = 1) -> TrimtabError:
    """The error that says what went wrong, where, and the next step.

    ``err`` is scrubbed standard error; ``doing`` ends the sentence "cannot …"; ``place`` is a URL without
    credentials, or a path. What is not known is :class:`RetryLater`, in Git's own words.
    """
    family = next((known for known in _FAMILIES if known.pattern.search(err)), None)
    if family is None and status == -_SIGXFSZ:
        family = _FAMILIES[0]
    words = said(err)
    if family is None:
        ended = f"Git was ended by signal {-status}" if status < 0 else f"Git ended with status {status}"
        return RetryLater(
            f"cannot {doing} ({place}): {words or ended}",
            after_seconds=_AWAY_SECONDS,
            hint="these are Git's own words; Trimtab tries again by itself",
        )
    text = f"cannot {doing} ({place}): {family.message}" + (f"\n  {words}" if words else "")
    if family.away:
        return RetryLater(text, after_seconds=_AWAY_SECONDS, hint=family.hint)
    return Stalled(text, hint=family.hint)


def said(err: str) -> str:
    """The lines of standard error that say why, on one line: the remote's words first, no advice, no progress."""
    lines = [line.strip() for line in err.replace("\r", "\n").splitlines()]
    lines = [line for line in lines if line and not line.startswith(("hint:", "To ", "Cloning into"))]
    remote = [line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:")]
    own = [
        line
        for line in lines
        if line.startswith(("fatal:", "error:", "ssh:")) and "failed to push some refs" not in line
    ]
    chosen = [line for line in remote if line] + own or lines
    return "; ".join(dict.fromkeys(chosen[:4]))
