"""Git processes, started through GitPython in an environment that is known to the last variable.

Nothing of the caller's surroundings reaches Git: no ``GIT_*`` variable (a hook or an alias may have started us), no
setting of Trimtab's, no system or user configuration, no prompt, no hook of a clone. What reaches it is listed in :data:`KEPT` and below.
"""

import os
import signal
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen, TimeoutExpired
from typing import TYPE_CHECKING, cast

from reconciler.commit.credentials import Credentials, askpass_environment, scrub
from reconciler.commit.failures import explain
from reconciler.errors import RetryLater, Stalled

if TYPE_CHECKING:
    from git.cmd import Git

KEPT = frozenset(
    {
        "GIT_EXEC_PATH",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_SSH_VARIANT",
        "GIT_SSL_CAINFO",
        "GIT_SSL_CAPATH",
        "GIT_SSL_CERT",
        "GIT_SSL_KEY",
        "GIT_PROXY_SSL_CAINFO",
    }
)
"""Variables that say how to reach and trust a host, and where Git is installed; every other ``GIT_*`` is dropped."""

_SCRUBBED = ("GIT_", "TRIMTAB_")  # our own settings hold tokens, and a local remote's hooks inherit what Git gets

_USERS_OWN = frozenset({"GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_SYSTEM"})

_CONFIG = {
    "core.hooksPath": os.devnull,
    "core.filesRefLockTimeout": "5000",
    "core.packedRefsTimeout": "5000",
    "protocol.ext.allow": "never",
    "maintenance.auto": "false",
    "gc.autoDetach": "false",
    "http.lowSpeedLimit": "100",
    "http.lowSpeedTime": "60",
}
_BATCH_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15"

LOCAL_SECONDS = 120.0
REMOTE_SECONDS = 900.0


@dataclass(frozen=True)
class Finished:
    """A process that ended. ``err`` has no secret in it; ``status`` is negative when a signal ended it."""

    status: int
    out: bytes
    err: str


class Client:
    """Runs Git in one repository.

    ``safe``: local paths that a person named as the fleet; Git then reads them whoever owns them. ``as_user``: with the
    caller's own configuration, to read a checkout as its owner sees it. Close it: it holds a private HOME (0700).
    """

    def __init__(
        self,
        git_dir: Path | None,
        *,
        url: str = "",
        credentials: Credentials | None = None,
        safe: tuple[Path, ...] = (),
        as_user: bool = False,
    ) -> None:
        self.git_dir = git_dir
        self.url = url
        self._credentials = credentials
        self._home = tempfile.TemporaryDirectory(prefix="trimtab-git-")
        self.home = Path(self._home.name)
        self._as_user = as_user
        self._config = dict(_CONFIG)
        self._safe = tuple(str(path) for path in safe)
        self._git = _git_python()(str(git_dir) if git_dir else None)
        self._remote_env = askpass_environment(self.home, url, credentials)
        self._write_home()

    def _write_home(self) -> None:
        # A local remote's own process reads no command-line configuration, only this protected file: safe.directory.
        quoted = (path.replace("\\", "\\\\").replace('"', '\\"') for path in self._safe)
        text = "".join(f'[safe]\n\tdirectory = "{path}"\n' for path in quoted)
        (self.home / ".gitconfig").write_text(text)
        hooks = self.home / "hooks"
        hooks.mkdir()
        hook = hooks / "pre-push"
        hook.write_text(_PRE_PUSH)
        hook.chmod(0o700)

    def environment(self, config: dict[str, str] | None = None) -> dict[str, str]:
        """What is set for every process, ``config`` on top of the standing configuration."""
        env = {
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "SSH_ASKPASS_REQUIRE": "never",
            "LC_ALL": "C",
            "LANGUAGE": "C",
            "GIT_ATTR_NOSYSTEM": "1",
        }
        if not os.environ.keys() & {"GIT_SSH", "GIT_SSH_COMMAND"}:
            env["GIT_SSH_COMMAND"] = _BATCH_SSH
        if not self._as_user:
            env |= {"HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home), "GIT_CONFIG_NOSYSTEM": "1"}
            env["GIT_CONFIG_GLOBAL"] = str(self.home / ".gitconfig")
        pairs = [*(self._config | (config or {})).items(), *(("safe.directory", path) for path in self._safe)]
        env["GIT_CONFIG_COUNT"] = str(len(pairs))
        for number, (key, value) in enumerate(pairs):
            env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        return env

    def spawn(
        self,
        *words: str,
        stdin: bool = True,
        env: dict[str, str] | None = None,
        config: dict[str, str] | None = None,
    ) -> "Git.AutoInterrupt":
        """Start ``git words…`` and leave it running.

        :raises Stalled: when Git is not installed.
        """
        full = self.environment(config) | (env or {})
        kept = KEPT | (_USERS_OWN if self._as_user else frozenset())
        stray = [name for name in os.environ if name.startswith(_SCRUBBED) and name not in kept and name not in full]
        place = [f"--git-dir={self.git_dir}"] if self.git_dir else []
        command = ["git", *place, *words]
        if stray:
            command = ["env", *(word for name in stray for word in ("-u", name)), *command]
        return self._git.execute(
            command, as_process=True, env=full, istream=PIPE if stdin else None, start_new_session=True
        )

    def run(
        self,
        *words: str,
        stdin: bytes | None = None,
        remote: bool = False,
        env: dict[str, str] | None = None,
        config: dict[str, str] | None = None,
        seconds: float = 0.0,
    ) -> Finished:
        """Run ``git words…`` to its end, whatever its status. ``remote``: it may ask for the remote's credentials.

        :raises RetryLater: when it takes longer than ``seconds`` (default: 120, remote 900).
        """
        limit = seconds or (REMOTE_SECONDS if remote else LOCAL_SECONDS)
        extra = (self._remote_env if remote else {}) | (env or {})
        running = self.spawn(*words, stdin=stdin is not None, env=extra, config=config)
        process = cast("Popen[bytes]", running.proc)
        try:
            out, err = process.communicate(stdin, timeout=limit)
        except TimeoutExpired:
            _kill_group(process)
            raise RetryLater(
                f"git {words[0]} did not end within {limit:.0f} s",
                after_seconds=60,
                hint="look at the remote and at the network to it; Trimtab tries again by itself",
            ) from None
        except BaseException:
            _kill_group(process)
            raise
        return Finished(process.returncode, out, self.scrubbed(err))

    def must(self, *words: str, doing: str, stdin: bytes | None = None, remote: bool = False) -> bytes:
        """Standard output of ``git words…``.

        :raises Stalled: or :class:`RetryLater`, explained, when its status is not 0. ``doing`` ends "cannot …".
        """
        done = self.run(*words, stdin=stdin, remote=remote)
        if done.status:
            raise explain(done.err, status=done.status, doing=doing, place=self.url or str(self.git_dir))
        return done.out

    def scrubbed(self, text: bytes | str) -> str:
        """``text`` as it may be shown to people."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        return scrub(text, self._credentials)

    def close(self) -> None:
        """Remove the private HOME."""
        self._home.cleanup()


_PRE_PUSH = """\
#!/bin/sh
# Nothing is pushed unless the branch still is where the commits were built on: also a branch that was set back must not
# be brought forward again. Git tells the remote's commit here, within the connection that would update it.
while read -r _ _ _ remote; do
  [ -z "$TRIMTAB_EXPECTED" ] || [ "$remote" = "$TRIMTAB_EXPECTED" ] || { echo "stale info" >&2; exit 1; }
done
"""


def _git_python() -> "type[Git]":
    # Imported when first used: GitPython looks for the git program while it is imported, and takes 50 ms for it.
    try:
        from git.cmd import Git
    except ImportError:
        raise Stalled("git is not installed, or not on the PATH", hint="install Git 2.31 or newer") from None
    return Git


def _kill_group(process: "Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
