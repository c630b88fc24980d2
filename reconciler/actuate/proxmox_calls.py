"""Calls to Proxmox VE by proxmoxer, in our errors: who must do what next.

What Proxmox VE does that its documents do not say (FACTS §Proxmox VE): a container that is not there is a 500, a locked one
may be 200 with the error in its task's ``exitstatus``, and an offline node is a 595.
"""

import re
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_exponential

from reconciler.errors import RetryLater, Stalled, TrimtabError

if TYPE_CHECKING:  # loaded with the first call: most fleets have no Proxmox VE, and every command would wait for it
    import requests
    from proxmoxer import ResourceException  # type: ignore[import-untyped] # carries no types

TIMEOUT_SECONDS = 30
TASK_SECONDS = 900.0
"""How long a task is waited for; a clone of a large disk takes minutes."""

PRIVILEGES = (
    "VM.Audit, VM.Config.CPU, VM.Config.Memory, VM.Config.Disk, VM.Config.Options, VM.Snapshot, VM.Snapshot.Rollback, "
    "VM.Clone, VM.Allocate, VM.PowerMgmt, Sys.Audit, Datastore.AllocateSpace"
)
"""All that Trimtab does needs no more than these."""

_TOKEN = re.compile(r"(?P<user>[^\s@!=]+@[^\s@!=]+)!(?P<name>[A-Za-z][A-Za-z0-9._-]*)=(?P<secret>\S+)")
_MISSING = re.compile(r"configuration file '[^']*' does not exist", re.I)
_NO_NODE = re.compile(r"no such cluster node|hostname lookup '[^']*' failed", re.I)
_AWAY = frozenset({502, 503, 504, 595, 596, 597, 598, 599})
"""Proxmox VE answers 595 and up where the node that it passes a call on to is offline."""
_SOON_SECONDS = 5.0
_FIRST_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.1, 5.0


class NoContainer(TrimtabError):
    """Proxmox VE knows no such container."""


class NoNode(TrimtabError):
    """Proxmox VE knows no such node."""


class Refused(TrimtabError):
    """Proxmox VE said no: the message is its own."""


class TaskFailed(Refused):
    """Proxmox VE began, and its task ended with an error."""


class Away(RetryLater):
    """Proxmox VE, or the node, did not answer."""


class StillRunning(Away):
    """The task had not ended when we stopped waiting for it: what was asked may yet come true."""


class Calls:
    """One API of Proxmox VE. May be used from any thread: each has a session of its own."""

    def __init__(self, url: str, token: str, verify: str, *, pause: Callable[[float], None] = time.sleep) -> None:
        """:raises Stalled: when the URL, the token or the CA file cannot be used as it is."""
        self._host, self._prefix = _host(url)
        self._user, self._name, self._secret = _token(token)
        self._verify = _verify(verify)
        self._pause, self._local = pause, threading.local()
        self._sessions: list[requests.Session] = []

    def get(self, path: str, **params: Any) -> Any:
        return self._call("get", path, params)

    def post(self, path: str, **data: Any) -> Any:
        return self._call("post", path, data)

    def put(self, path: str, **data: Any) -> Any:
        return self._call("put", path, data)

    def delete(self, path: str, **params: Any) -> Any:
        return self._call("delete", path, params)

    def finish(self, answer: object, *, within: float = TASK_SECONDS) -> None:
        """Wait for the task that a call has answered with, polling ever less often; nothing to wait for is fine.

        :raises TaskFailed: with its ``exitstatus``. :raises StillRunning: when it is not over after ``within`` seconds.
        """
        if not (isinstance(answer, str) and answer.startswith("UPID:")):
            return
        path = f"nodes/{answer.split(':')[1]}/tasks/{answer}/status"
        waiting = Retrying(
            retry=retry_if_result(lambda status: status is None),
            stop=stop_after_delay(timedelta(seconds=within)),
            wait=wait_exponential(multiplier=_FIRST_POLL_SECONDS, max=_LONGEST_POLL_SECONDS),
            sleep=self._pause,
        )
        try:
            exit_status = waiting(self._exit_status, path)
        except RetryError:
            raise StillRunning(
                f"Proxmox VE is still at it after {within:.0f} seconds (task {answer})",
                after_seconds=60.0,
                hint="look at the task in Proxmox VE before you ask again",
            ) from None
        _judge(str(exit_status))

    def _exit_status(self, path: str) -> str | None:
        """None while the task runs, and while nobody can say whether it does."""
        try:
            task = mapping(self.get(path))
        except Away:
            return None
        if task.get("status") != "stopped":
            return None
        return str(task.get("exitstatus") or "unexpected status")

    def _call(self, method: Literal["get", "post", "put", "delete"], path: str, values: dict[str, Any]) -> Any:
        import requests
        from proxmoxer import ResourceException

        try:
            return getattr(self._api()(path), method)(**values)
        except ResourceException as error:
            raise self._refused(error) from None
        except requests.exceptions.SSLError as error:
            raise self._distrusted(error) from None
        except requests.exceptions.Timeout:
            raise Away(
                f"Proxmox VE at {self._host} did not answer within {TIMEOUT_SECONDS} seconds",
                after_seconds=_SOON_SECONDS,
                hint="see that it is up and not overloaded",
            ) from None
        except requests.exceptions.RequestException:
            raise Away(
                f"Proxmox VE at {self._host} cannot be reached",
                after_seconds=_SOON_SECONDS,
                hint="see that it is up, and that TRIMTAB_PROXMOX_URL names its host and port",
            ) from None

    def close(self) -> None:
        """Let go of every connection; what is asked afterwards makes new ones."""
        while self._sessions:
            self._sessions.pop().close()

    def _api(self) -> Any:
        known = getattr(self._local, "api", None)
        if known is None:
            from proxmoxer import ProxmoxAPI

            known = self._local.api = ProxmoxAPI(
                self._host,
                user=self._user,
                token_name=self._name,
                token_value=self._secret,
                verify_ssl=self._verify,
                timeout=TIMEOUT_SECONDS,
                **({"path_prefix": self._prefix} if self._prefix else {}),
            )
            self._sessions.append(known._store["session"])  # proxmoxer has no way to close it
        return known

    def _refused(self, error: "ResourceException") -> TrimtabError:
        said = _words(error)
        status = int(error.status_code)
        if status == 401:
            return Stalled(
                f"Proxmox VE at {self._host} does not accept the API token: {said}",
                hint="make one under Datacenter → Permissions → API Tokens, and set TRIMTAB_PROXMOX_TOKEN=user@realm!name=secret",
            )
        if status == 403:
            return Stalled(
                f"Proxmox VE does not let the API token do this: {said}",
                hint=f"give the token (and its user) a role with {PRIVILEGES}",
            )
        if _MISSING.search(said):
            return NoContainer(said)
        if _NO_NODE.search(said):
            return NoNode(said)
        if status in _AWAY:
            return Away(
                f"Proxmox VE cannot do this now: {said}",
                after_seconds=_SOON_SECONDS,
                hint="see in Proxmox VE whether the node is online",
            )
        return Refused(said)

    def _distrusted(self, error: Exception) -> TrimtabError:
        if "CERTIFICATE_VERIFY_FAILED" not in str(error) and "doesn't match" not in str(error):
            return Away(f"no TLS connection to Proxmox VE at {self._host}: {error}", after_seconds=_SOON_SECONDS)
        return Stalled(
            f"the certificate of Proxmox VE at {self._host} does not verify",
            hint="set TRIMTAB_PROXMOX_VERIFY to the path of its CA (on a node: /etc/pve/pve-root-ca.pem), "
            "and name the host in TRIMTAB_PROXMOX_URL as the certificate does",
        )


def mapping(answer: object) -> dict[str, Any]:
    """An answer that must be an object. :raises Away: when it is not, as from a proxy in between."""
    if isinstance(answer, dict):
        return answer
    raise _unreadable()


def rows(answer: object) -> list[dict[str, Any]]:
    """An answer that must be a list of objects. :raises Away: when it is not, as from a proxy in between."""
    if isinstance(answer, list) and all(isinstance(row, dict) for row in answer):
        return answer
    raise _unreadable()


def _unreadable() -> Away:
    return Away(
        "Proxmox VE's answer cannot be read",
        after_seconds=_SOON_SECONDS,
        hint="see that TRIMTAB_PROXMOX_URL leads to Proxmox VE itself, as https://pve.example.com:8006",
    )


def _judge(exit_status: str) -> None:
    """Success is ``OK``, or ``WARNINGS: n``."""
    if exit_status == "OK" or exit_status.startswith("WARNINGS"):
        return
    if _MISSING.search(exit_status):
        raise NoContainer(exit_status)
    raise TaskFailed(exit_status)


def _words(error: "ResourceException") -> str:
    """What Proxmox VE said, with the fields that it complains about."""
    said = str(error.content).removesuffix(f" - {error.errors}").strip() or str(error.status_message or "")
    if isinstance(error.errors, dict):
        said += ": " + "; ".join(f"{field}: {why}" for field, why in error.errors.items())
    return " ".join(said.split())[:500] or f"status {error.status_code}"


def _host(url: str) -> tuple[str, str]:
    """Host with port, and the path before ``/api2``.

    :raises Stalled: when it is no https URL.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port or 8006
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme != "https" or not parts.hostname or parts.username:
        raise Stalled("TRIMTAB_PROXMOX_URL is no URL of Proxmox VE", hint="write it as https://pve.example.com:8006")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{name}:{port}", parts.path.strip("/").removesuffix("api2/json").strip("/")


def _token(token: str) -> tuple[str, str, str]:
    """User, name of the token, secret. :raises Stalled: when it is not of that form; the message does not show it."""
    found = _TOKEN.fullmatch(token.strip().removeprefix("PVEAPIToken="))
    if found is None:
        said = "is not an API token of Proxmox VE" if token.strip() else "is not set"
        raise Stalled(f"TRIMTAB_PROXMOX_TOKEN {said}", hint="write it as user@realm!name=secret")
    return found["user"], found["name"], found["secret"]


def _verify(verify: str) -> bool | str:
    """:raises Stalled: when it is neither true nor false nor a file."""
    given = verify.strip()
    if given.lower() in ("true", "1", "yes", ""):
        return True
    if given.lower() in ("false", "0", "no"):
        return False
    if not Path(given).exists():
        raise Stalled(
            f"TRIMTAB_PROXMOX_VERIFY: there is no file {given}", hint="give the path of a CA file, or true, or false"
        )
    return given
