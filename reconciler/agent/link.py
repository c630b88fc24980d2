"""The way to the server: register, push, pull, report, wait for commands (docs/agents.md).

A link registers when it needs a token, and again when its token is no longer taken. It tries each thing once: when to try
again is for its caller to say (``pace``). Only :meth:`Link.hang_up` may be called from another thread.
"""

import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote, urlsplit
from weakref import WeakSet

import httpx
import structlog
from pydantic_core import from_json, to_json

from reconciler import __version__
from reconciler.agent.failures import Away, Refused, failure_of, not_ours, unreachable
from reconciler.agent.pulse import AWAY_SECONDS, WORK_SECONDS, Pulse
from reconciler.agent.unsent import Push, Unsent
from reconciler.clock import Clock
from reconciler.errors import InputError
from reconciler.model.agent import ObjectStatus, RootStatus
from reconciler.model.base import Model

__all__ = ["Away", "Desired", "Link", "Refused", "Registration"]

PUSH_SECONDS = 15.0
"""Between pushes, until the server has said otherwise."""

BODY_BYTES = 1_900_000
"""The server takes 2 MB."""

_LEAST_BODY_BYTES = 16_000
_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 40.0
"""The server may take 25 seconds to read the fleet repo."""

_BASE_FIELDS = 500
_MESSAGE_LENGTHS = (4096, 400, 0)

log = structlog.get_logger(__name__)

Key = str | Callable[[], str]
"""An API key, or what reads it anew for each registration, as from a secret that is mounted."""


class Registration(Model):
    """Who the agent is. ``cluster``: of Kubernetes; ``host_pool``: of Docker."""

    name: str
    hostname: str
    platform: Literal["kubernetes", "docker"]
    cluster: str = ""
    host_pool: str = ""


@dataclass(frozen=True)
class Desired:
    """What Git asks of the cluster at ``revision``. ``changed`` is False after a 304: the manifests are the last ones then,
    though the revision may be a newer one. ``repository``: the fleet repo's URL; ``roots``: path, namespace and sync of each.
    """

    revision: str
    cluster: str
    manifests: tuple[dict[str, Any], ...]
    roots: tuple[dict[str, Any], ...]
    repository: str
    changed: bool


@dataclass
class _Identity:
    """What the server made of a registration; shared by twins, so that one registers for all."""

    agent: str = ""
    token: str = ""
    push_interval: float = PUSH_SECONDS
    notice: str = ""
    lock: threading.RLock = field(default_factory=threading.RLock)


class Link:
    """One for each thread of an agent. Every method raises :class:`Away` and :class:`Refused`."""

    def __init__(
        self,
        url: str,
        key: Key,
        registration: Registration,
        *,
        clock: Clock,
        client: httpx.Client | None = None,
        pulse: Pulse | None = None,
    ) -> None:
        """:raises InputError: when ``url`` is no address of a server."""
        self.url = _checked(url)
        self.registration = registration
        self.pulse = pulse or Pulse()
        self._key, self._clock, self._given = key, clock, client
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._client = client or _client()
        self._twins: list[Link] = []
        self._identity = _Identity()
        self._unsent = Unsent()
        self._body_bytes = BODY_BYTES
        self._etag = ""
        self._desired: Desired | None = None
        self._polling = self._hung_up = False

    def twin(self) -> "Link":
        """Another link of the same agent, for another thread."""
        one = Link(self.url, self._key, self.registration, clock=self._clock, client=self._given, pulse=self.pulse)
        one._identity, one._hung_up = self._identity, self._hung_up
        self._twins.append(one)
        return one

    @property
    def push_interval(self) -> float:
        """Seconds between pushes, as the server said at registration."""
        return self._identity.push_interval

    @property
    def unsent(self) -> int:
        """How many pushes wait for the server to come back."""
        return len(self._unsent)

    def register(self) -> None:
        """Ask for an id and a token."""
        key = self._key if isinstance(self._key, str) else self._key()
        body = self.registration.model_dump(by_alias=True) | {"version": __version__}
        answer = self._send(
            "POST",
            "/api/v1/agents/register",
            "register",
            authorization=f"Bearer {key}",
            content=to_json({name: value for name, value in body.items() if value}),
        )
        told = self._told(answer, "register")
        try:
            agent, token = str(told["agentId"]), str(told["token"])
        except KeyError:
            raise not_ours(answer, self.url, "register") from None
        known = self._identity
        with known.lock:
            known.agent, known.token = agent, token
            with suppress(TypeError, ValueError):
                known.push_interval = min(max(float(told.get("pushIntervalSeconds", PUSH_SECONDS)), 1.0), 300.0)
            say = log.debug if self.pulse.ready else log.info
            say("registered", agent=agent, server=self.url, push_seconds=known.push_interval)
            notice = answer.headers.get("Trimtab-Notice", "")
            if notice and notice != known.notice:
                log.warning("the server has a notice", notice=notice)
            known.notice = notice
            self.pulse.ready = True

    def push(self, lists: Mapping[str, Sequence[Mapping[str, Any]]], at: datetime) -> None:
        """Send what was measured at ``at``: lists of JSON objects by their names on the wire, such as ``pods``.

        What could not be sent before goes first. What cannot be sent now is kept, the newest twenty at most, and sent with
        the next push.
        """
        self._unsent.add(Push.of(lists, at))
        while (push := self._unsent.first) is not None:
            try:
                for body in push.bodies(self._body_bytes):
                    self._own("POST", "push", "push", "round", content=body)
            except Refused as error:
                if error.status == 413 and self._body_bytes > _LEAST_BODY_BYTES:
                    self._body_bytes //= 2
                    self._unsent.replace_first(push.anew())
                    continue
                if error.status in (400, 413):  # it would be refused for ever, and all others wait behind it
                    self._unsent.done()
                raise
            self._unsent.done()
        self.pulse.beat("round", within=3 * self.push_interval)

    def desired(self) -> Desired:
        """What Git asks of the cluster now."""
        known = self._desired
        headers = {"If-None-Match": self._etag} if known is not None and self._etag else {}
        answer = self._state("GET", "scaling/desired", "pull the desired state", headers=headers)
        if answer.status_code == 304 and known is not None:
            revision = answer.headers.get("Trimtab-Revision", known.revision)
            self._desired = replace(known, revision=revision, changed=False)
        else:
            self._desired = self._read_desired(answer)
            self._etag = answer.headers.get("ETag", "")
        return self._desired

    def _read_desired(self, answer: httpx.Response) -> Desired:
        told = self._told(answer, "pull the desired state")
        try:
            return Desired(
                revision=str(told["revision"]),
                cluster=str(told["cluster"]),
                manifests=tuple(told["manifests"]),
                roots=tuple(told.get("roots", ())),
                repository=str(told.get("repository", "")),
                changed=True,
            )
        except (KeyError, TypeError):
            raise not_ours(answer, self.url, "pull the desired state") from None

    def base(self, revision: str, fields: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """What the roots build to without Trimtab's overlay at ``revision``; ``fields`` and the answer as in docs/agents.md."""
        found: list[dict[str, Any]] = []
        for start in range(0, len(fields), _BASE_FIELDS):
            body = {"revision": revision, "fields": list(fields[start : start + _BASE_FIELDS])}
            answer = self._state("POST", "scaling/base", "ask for the tree's own values", content=to_json(body))
            objects = self._told(answer, "ask for the tree's own values").get("objects")
            if not isinstance(objects, list):
                raise not_ours(answer, self.url, "ask for the tree's own values")
            found.extend(objects)
        return found

    def report(self, revision: str, objects: Sequence[ObjectStatus], roots: Sequence[RootStatus] = ()) -> None:
        """Say what came of each object of the desired state at ``revision``. Long messages are cut where there are many."""
        body: dict[str, Any] = {
            "revision": revision,
            "objects": [one.model_dump(by_alias=True) for one in objects],
            **({"roots": [one.model_dump(by_alias=True) for one in roots]} if roots else {}),
        }
        for length in _MESSAGE_LENGTHS:
            for one in (*body["objects"], *body.get("roots", ())):
                one["message"] = one["message"][:length]
            if len(content := to_json(body)) <= BODY_BYTES:
                break
        self._state("POST", "scaling/status", "report the status", content=content)

    def next_command(self, wait: int = 25) -> dict[str, Any] | None:
        """The next command, waiting up to ``wait`` seconds for one; None when there was none, or after :meth:`hang_up`."""
        self._polling = True
        try:
            if self._hung_up:
                return None
            answer = self._own("GET", f"commands?wait={wait}", "wait for commands", "commands", read=wait + 15.0)
        except Away:
            if self._hung_up:
                return None
            raise
        finally:
            self._polling = False
        if answer.status_code == 204:
            self.pulse.beat("commands", within=AWAY_SECONDS)
            return None
        self.pulse.beat("commands", within=WORK_SECONDS)
        return self._told(answer, "wait for commands")

    def answer(self, command_id: str, status: Literal["succeeded", "failed"], message: str) -> None:
        """Say what came of a command."""
        body = to_json({"status": status, "message": message})
        path = f"commands/{quote(command_id, safe='')}/result"
        self._own("POST", path, "answer a command", "commands", content=body)

    def hang_up(self) -> None:
        """End the wait for a command, of the twins too, from any thread: the agent is to stop. All else still works."""
        self._hung_up = True
        if self._polling:
            for one in list(self._sockets):
                with suppress(OSError):
                    # not the method: that of a TLS socket would pull the rug from under the thread that reads
                    socket.socket.shutdown(one, socket.SHUT_RDWR)
        for twin in self._twins:
            twin.hang_up()

    def close(self) -> None:
        """Let go of the connections, the twins' too."""
        for twin in self._twins:
            twin.close()
        if self._given is None:
            self._client.close()

    def _state(self, method: str, path: str, what: str, **more: Any) -> httpx.Response:
        """About the desired state, after which there may be work to do."""
        answer = self._own(method, path, what, "desired state", **more)
        self.pulse.beat("desired state", within=WORK_SECONDS)
        return answer

    def _own(self, method: str, path: str, what: str, beat: str, **more: Any) -> httpx.Response:
        """One request to the agent's own routes, with a new token where the one at hand is no longer taken."""
        self.pulse.beat(beat, within=AWAY_SECONDS)
        known = self._identity.token
        answer = self._with_token(known or self._renewed(""), method, path, what, **more)
        if answer.status_code == 401 and known:
            answer = self._with_token(self._renewed(known), method, path, what, **more)
        if answer.is_success or answer.status_code == 304:
            return answer
        if answer.status_code == 401:
            self._identity.token = ""
        raise failure_of(answer, self.url, what)

    def _renewed(self, known: str) -> str:
        """Another token than the one that is ``known``: a twin's, if it has got one in the meantime."""
        identity = self._identity
        with identity.lock:
            if identity.token == known:
                identity.token = ""
            if not identity.token:
                self.register()
            return identity.token

    def _with_token(self, token: str, method: str, path: str, what: str, **more: Any) -> httpx.Response:
        where = f"/api/v1/agents/{quote(self._identity.agent, safe='')}/{path}"
        return self._send(method, where, what, authorization=f"Bearer {token}", **more)

    def _send(
        self,
        method: str,
        path: str,
        what: str,
        *,
        authorization: str,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        read: float = _ANSWER_SECONDS,
    ) -> httpx.Response:
        """:raises Away: when there is no answer."""
        sent = {"Authorization": authorization, "Accept": "application/json", **(headers or {})}
        if content is not None:
            sent["Content-Type"] = "application/json"
        try:
            return self._client.request(
                method,
                self.url + path,
                content=content,
                headers=sent,
                timeout=httpx.Timeout(_CONNECT_SECONDS, read=read, write=_ANSWER_SECONDS),
                extensions={"trace": self._note_socket},
            )
        except httpx.HTTPError as error:
            raise unreachable(error, self.url, what) from None

    def _note_socket(self, event: str, info: Mapping[str, Any]) -> None:
        """Remember each connection's socket, so that a wait on it can be ended."""
        if event not in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            return
        found = info["return_value"].get_extra_info("socket")
        if isinstance(found, socket.socket):
            self._sockets.add(found)
            if self._hung_up and self._polling:
                found.shutdown(socket.SHUT_RDWR)

    def _told(self, answer: httpx.Response, what: str) -> dict[str, Any]:
        """The object that a good answer holds."""
        if not answer.is_success:
            raise failure_of(answer, self.url, what)
        try:
            told = from_json(answer.content)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise not_ours(answer, self.url, what)
        return told


def _client() -> httpx.Client:
    return httpx.Client(limits=httpx.Limits(max_connections=2, keepalive_expiry=90.0))


def _checked(url: str) -> str:
    """:raises InputError: when it is no address of a server."""
    if "@" in url:
        raise InputError(
            "--server: the address holds a user or a password", hint="leave them out: the agent shows its key"
        )
    try:
        parts = urlsplit(url.strip())
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and not parts.fragment
        _ = parts.port
    except ValueError:
        good = False
    if not good:
        raise InputError(
            f"--server: {url!r} is not the address of a server", hint="write it as https://trimtab.example.com"
        )
    return url.strip().rstrip("/")
