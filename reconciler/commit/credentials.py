"""Credentials for a Git remote, and how they stay out of URLs, arguments, messages and logs."""

import os
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

_USERINFO = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)[^/@\s'\"]*@")
_HIDDEN = "***"


@dataclass(frozen=True)
class Credentials:
    """What a remote asks for. A token alone is the ``secret``; forges take any ``username`` beside it."""

    secret: str = field(repr=False)
    username: str = field(default="trimtab", repr=False)


def split_url(url: str) -> tuple[str, Credentials | None]:
    """``https://user:secret@host/path`` → (``https://host/path``, credentials). The user of an ssh URL stays in it.

    A user without a password in an HTTP URL is a token, as forges document it.
    """
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url, None
    userinfo, _, host = parts.netloc.rpartition("@")
    username, colon, password = (unquote(part) for part in userinfo.partition(":"))
    if parts.scheme not in ("http", "https"):
        return urlunsplit(parts._replace(netloc=f"{quote(username)}@{host}")), None
    found = Credentials(secret=password, username=username) if colon else Credentials(secret=username)
    return urlunsplit(parts._replace(netloc=host)), found


def scrub(text: str, credentials: Credentials | None = None) -> str:
    """``text`` without the userinfo of any URL, and without the secret in any spelling of it."""
    text = _USERINFO.sub(rf"\g<scheme>{_HIDDEN}@", text)
    if credentials and credentials.secret:
        for spelling in {credentials.secret, quote(credentials.secret), quote(credentials.secret, safe="")}:
            text = text.replace(spelling, _HIDDEN)
    return text


def write_askpass(home: Path, url: str) -> Path:
    """The helper that answers Git's questions about ``url`` from the environment of that one process.

    It answers for the host of ``url`` only: a redirect to another host must not collect the secret.
    """
    parts = urlsplit(url)
    user = shlex.quote(f"Username for '{parts.scheme}://{parts.netloc}'")
    host = shlex.quote(f"@{parts.netloc}'")
    script = home / "askpass"
    script.write_text(
        "#!/bin/sh\n"
        'case "$1" in\n'
        f"{user}*) printf '%s\\n' \"$TRIMTAB_REMOTE_USERNAME\" ;;\n"
        f'"Password for \'"*{host}*) printf \'%s\\n\' "$TRIMTAB_REMOTE_SECRET" ;;\n'
        "*) exit 1 ;;\n"
        "esac\n"
    )
    script.chmod(0o700)
    return script


def askpass_environment(home: Path, url: str, credentials: Credentials | None) -> dict[str, str]:
    """The environment of a Git process that talks to ``url``. Without credentials nothing is asked and nothing is told."""
    if credentials is None or urlsplit(url).scheme not in ("http", "https"):
        return {"GIT_ASKPASS": ""}
    return {
        "GIT_ASKPASS": os.fspath(write_askpass(home, url)),
        "TRIMTAB_REMOTE_USERNAME": credentials.username,
        "TRIMTAB_REMOTE_SECRET": credentials.secret,
    }
