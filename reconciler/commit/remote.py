"""Which repository is the fleet: a path or URL as a person gives it, and what Trimtab fetches from and pushes to."""

import re
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from reconciler.commit.client import Client
from reconciler.commit.credentials import Credentials, scrub, split_url
from reconciler.commit.failures import explain
from reconciler.errors import Stalled

_URL = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]*::?//|^[a-zA-Z][a-zA-Z0-9+.-]*::")
_SCP = re.compile(r"^[^/\\:]+:(?!//)")


@dataclass(frozen=True)
class Remote:
    """``url`` has no credentials in it; a local one is an absolute path.

    ``note`` is for people: that a checkout's remote is taken instead of the checkout, and what it does not have yet.
    ``work_tree`` is set when the remote is itself a repository with files checked out.
    """

    url: str
    note: str = ""
    work_tree: Path | None = None
    credentials: Credentials | None = field(default=None, repr=False)

    @property
    def local(self) -> Path | None:
        """The remote's path, when it is on this machine."""
        return Path(self.url) if self.url.startswith("/") else None


def resolve_remote(url_or_path: str, *, branch: str) -> Remote:
    """The fleet's remote. A checkout that has a remote stands for that remote; without one it is the remote itself.

    :raises Stalled: when a path is no Git repository, or has several remotes of which none is meant.
    """
    text = url_or_path.strip()
    if not text or text.startswith("-"):
        raise Stalled(f"{text!r} is no path or URL of a Git repository", hint="name it with --fleet or TRIMTAB_FLEET")
    path = _as_path(text)
    if path is None:
        url, credentials = split_url(text.rstrip("/"))
        return Remote(url, credentials=credentials)
    work_tree = _work_tree(path)
    return _of_checkout(work_tree, branch) if work_tree else Remote(str(path))


def _as_path(text: str) -> Path | None:
    if text.lower().startswith("file://"):
        return Path(unquote(urlsplit(text).path)).resolve()
    if _URL.match(text) or (_SCP.match(text) and not Path(text).exists()):
        return None
    return Path(text).expanduser().resolve()


def _work_tree(path: Path) -> Path | None:
    """The work tree at ``path``; None when it is a bare repository.

    :raises Stalled: when it is neither.
    """
    try:
        if not path.is_dir():
            raise Stalled(
                f"there is no directory {path}", hint="check the path of the fleet (--fleet or TRIMTAB_FLEET)"
            )
        if path.name == ".git" and (path / "HEAD").is_file():
            return path.parent
        if (path / ".git").exists():
            return path
        if (path / "HEAD").is_file() and (path / "objects").is_dir():
            return None
    except PermissionError:
        raise Stalled(f"{path} must not be read", hint="give the user that runs Trimtab the right to read it") from None
    above = next((parent for parent in path.parents if (parent / ".git").exists()), None)
    hint = f"did you mean {above}?" if above else "run `git init` in it, or check --fleet and TRIMTAB_FLEET"
    raise Stalled(f"{path} is not a Git repository", hint=hint)


def _of_checkout(work_tree: Path, branch: str) -> Remote:
    with closing(Client(None, safe=(work_tree, work_tree / ".git"), as_user=True)) as client:
        ask = _Checkout(client, work_tree)
        name = _remote_name(ask, branch)
        if not name:
            return Remote(str(work_tree), work_tree=work_tree)
        url = ask.line("remote", "get-url", name)
        note = _note(ask, name, scrub(url), branch)
    path = (
        _as_path(url)
        if _as_path(url) is None
        else (work_tree / Path(url.removeprefix("file://")).expanduser()).resolve()
    )
    if path is None:
        clean, credentials = split_url(url.rstrip("/"))
        return Remote(clean, note=note, credentials=credentials)
    return Remote(str(path), note=note, work_tree=_work_tree(path))


@dataclass(frozen=True)
class _Checkout:
    client: Client
    path: Path

    def line(self, *words: str) -> str:
        """What Git answers about the checkout; empty when it has nothing to say."""
        done = self.client.run("-C", str(self.path), *words)
        if done.status > 1 and "not a git repository" in done.err:
            raise explain(done.err, doing="read the fleet", place=str(self.path), status=done.status)
        return "" if done.status else done.out.decode("utf-8", "replace").strip()


def _remote_name(ask: _Checkout, branch: str) -> str:
    names = ask.line("remote").split()
    upstream = ask.line("config", "--get", f"branch.{branch}.remote")
    for name in (upstream, "origin"):
        if name in names:
            return name
    if len(names) > 1:
        raise Stalled(
            f"{ask.path} has the remotes {', '.join(names)}, and neither an `origin` nor an upstream of {branch}",
            hint=f"run `git branch --set-upstream-to=<remote>/{branch} {branch}`, or give the remote's URL as the fleet",
        )
    return names[0] if names else ""


def _note(ask: _Checkout, name: str, url: str, branch: str) -> str:
    note = f"the fleet is {url}, the remote {name!r} of {ask.path}"
    if not ask.line("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}"):
        return note
    tracking = f"refs/remotes/{name}/{branch}"
    known = ask.line("rev-parse", "--verify", "--quiet", tracking)
    ahead = ask.line("rev-list", "--count", f"refs/heads/{branch}", *([f"^{tracking}"] if known else []))
    if ahead in ("", "0"):
        return note
    commits = "a commit that is" if ahead == "1" else f"{ahead} commits that are"
    return f"{note}; warning: branch {branch} there has {commits} not pushed: not seen until then"
