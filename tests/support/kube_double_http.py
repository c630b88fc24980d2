"""The double's HTTP: paths, verbs, content types, watches, and answers that a test asked to go wrong."""

import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from support.kube_double_kinds import Json, Resource
from support.kube_double_refusals import Refused
from support.kube_double_state import Name, State, Writing

_REST: Final = r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>status|scale))?"
_PATHS: Final = (re.compile(rf"/namespaces/(?P<namespace>[^/]+){_REST}"), re.compile(_REST))
_ROOT: Final = re.compile(r"/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+/[^/]+))(?P<rest>/.*)?")


@dataclass(frozen=True)
class Asked:
    """One request. ``body`` is what it carried, as JSON."""

    verb: str
    kind: str
    namespace: str
    name: str
    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    status: int = 0


@dataclass
class Failing:
    """Answers that are to go wrong."""

    verb: str
    kind: str
    status: int
    times: int | None
    retry_after: int | None
    message: str
    name: str
    reason: str | None

    def takes(self, verb: str, kind: str, name: str) -> bool:
        """Whether it is this request's turn; counts it."""
        verbs = {verb, "patch"} if verb == "apply" else {verb}
        if self.verb not in verbs | {"*"} or self.kind not in (kind, "*") or self.name not in ("", name):
            return False
        if self.times is None:
            return True
        self.times -= 1
        return self.times >= 0


class _Broken(Exception):
    """The connection is to end without an answer."""


@dataclass
class Served:
    """The listening side. ``start`` after ``stop`` listens at the same port again."""

    state: State
    requests: list[Asked] = field(default_factory=list)
    trouble: list[Failing] = field(default_factory=list)
    known: Callable[[], str] = lambda: ""
    port: int = 0
    _server: "_Server | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen."""
        self._server = _Server(self, self.port)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Listen no more, and end what is open."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.hang_up()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, served: Served, port: int) -> None:
        self.served = served
        self.open: set[socket.socket] = set()
        self.lock = threading.Lock()
        self.ended = threading.Event()
        super().__init__(("127.0.0.1", port), _Handler)

    def hang_up(self) -> None:
        self.ended.set()
        with self.lock:
            for each in self.open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.open.add(self.request)

    def finish(self) -> None:
        with self.server.lock:
            self.server.open.discard(self.request)
        with contextlib.suppress(OSError):
            super().finish()

    def handle(self) -> None:
        with contextlib.suppress(OSError, _Broken):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        split = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(split.query, keep_blank_values=True).items()}
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        call = Call(self.server.served, self.command, split.path, query, self._body(raw), dict(self.headers.items()))
        try:
            status, answer, warnings = call.answered()
        except Refused as refused:
            status, answer, warnings = refused.code, refused.status(), []
            self._log(call, status)
            self._send(status, answer, retry_after=refused.retry_after)
            return
        self._log(call, status)
        if call.watching is not None:
            self._watch(call.watching, query)
            return
        self._send(status, answer, warnings=warnings)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - the base class looks for these names

    def _body(self, raw: bytes) -> Any:
        try:
            return json.loads(raw) if raw else None
        except ValueError:
            try:
                return yaml.safe_load(raw)
            except (yaml.YAMLError, UnicodeDecodeError):
                return raw

    def _log(self, call: "Call", status: int) -> None:
        seen = Asked(call.verb, call.kind, call.name.namespace, call.name.name, call.method, call.path, call.query, call.body, status)  # fmt: skip
        self.server.served.requests.append(seen)
        if status == 0:
            raise _Broken

    def _send(
        self, status: int, answer: Any, *, retry_after: int | None = None, warnings: list[str] | None = None
    ) -> None:
        data = answer.encode() if isinstance(answer, str) else json.dumps(answer, separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8" if isinstance(answer, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        if retry_after:
            self.send_header("Retry-After", str(retry_after))
        for warning in warnings or ():
            self.send_header("Warning", f'299 - "{warning}"')
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def _watch(self, resource: Resource, query: Mapping[str, str]) -> None:
        """Events after a version, until the timeout; a version that is forgotten is one ERROR event of 410."""
        state = self.server.served.state
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        at = int(query.get("resourceVersion") or 0)
        if not at:
            at = state.version
        rounds = int(float(query.get("timeoutSeconds", "60")) * 10)
        for _ in range(max(rounds, 1)):
            with state.lock:
                if at < state.forgotten:
                    gone = Refused(410, f"too old resource version: {at} ({state.forgotten})")
                    self._event("ERROR", gone.status())
                    break
                news = [change for change in state.changes if change[0] > at and change[1] == resource]
                at = state.version
                if not news and not self.server.ended.is_set():
                    state.changed.wait(0.1)
            for _, _, what, obj in news:
                self._event(what, obj)
            if self.server.ended.is_set():
                break
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _event(self, what: str, obj: Json) -> None:
        line = json.dumps({"type": what, "object": obj}).encode() + b"\n"
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.flush()


class Call:
    """One request, understood and answered."""

    def __init__(
        self, served: Served, method: str, path: str, query: Mapping[str, str], body: Any, headers: Mapping[str, str]
    ) -> None:
        self.served, self.state = served, served.state
        self.method, self.path, self.query, self.body = method, path, dict(query), body
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.verb, self.kind, self.name = "discover", "", Name("", "")
        self.subresource = ""
        self.watching: Resource | None = None

    def answered(self) -> tuple[int, Any, list[str]]:
        """Status, answer (text or JSON), warnings.

        :raises Refused: for everything from 400 on
        """
        if self.path in ("/healthz", "/readyz", "/livez"):
            return 200, "ok", []
        resource = self._understood()
        if (token := self.served.known()) and self.headers.get("authorization") != f"Bearer {token}":
            raise Refused(401, "Unauthorized")
        for failing in self.served.trouble:
            if failing.takes(self.verb, self.kind, self.name.name):
                return self._failed(failing, resource)
        if resource is None:
            return self._discovered()
        return self._done(resource)

    def _failed(self, failing: Failing, resource: Resource | None) -> tuple[int, Any, list[str]]:
        if failing.status == 0:
            return 0, None, []
        said = failing.message or self._usual(failing.status, resource)
        details = {"retryAfterSeconds": failing.retry_after} if failing.retry_after else {}
        raise Refused(
            failing.status, said, reason=failing.reason, details=details, retry_after=failing.retry_after or 0
        )

    def _usual(self, status: int, resource: Resource | None) -> str:
        what = resource.resource_name if resource else "the path"
        if status == 403 and resource:
            verb = "patch" if self.verb == "apply" else self.verb
            who = (
                f'User "system:serviceaccount:trimtab-system:trimtab-agent" cannot {verb} resource "{resource.plural}"'
            )
            where = f' in the namespace "{self.name.namespace}"' if self.name.namespace else " at the cluster scope"
            return f'{what} "{self.name.name}" is forbidden: {who} in API group "{resource.group}"{where}'
        words = {
            404: f'{what} "{self.name.name}" not found',
            429: "the server has received too many requests and has asked us to try again later",
            503: "the server is currently unable to handle the request",
            504: "the server was unable to return a response in the time allotted, but may still be processing the request",
        }
        return words.get(status, f"the server answered {status} on request of the test")

    # -- Which resource --------------------------------------------------------------------------------------------

    def _understood(self) -> Resource | None:
        """The resource that a path is about; None for discovery."""
        rooted = _ROOT.fullmatch(self.path)
        if not rooted or not (rooted["rest"] or "").strip("/"):
            return None
        of = {
            each.plural: each
            for each in self.state.resources.values()
            if each.api_version == (rooted["core"] or rooted["group"])
        }
        tried = (pattern.fullmatch(rooted["rest"]) for pattern in _PATHS)
        found = next((each.groupdict() for each in tried if each and each["plural"] in of), None)
        if found is None:
            raise Refused(404, "404 page not found", reason="")
        resource = of[found["plural"]]
        self.kind, self.subresource = resource.kind, found["sub"] or ""
        self.name = Name(unquote(found.get("namespace") or ""), unquote(found["name"] or ""))
        self.verb = self._verb()
        return resource

    def _verb(self) -> str:
        if self.method == "GET" and not self.name.name:
            return "watch" if self.query.get("watch") in ("1", "true") else "list"
        if self.method == "PATCH" and "apply-patch" in self.headers.get("content-type", ""):
            return "apply"
        return {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[self.method]

    # -- Discovery -------------------------------------------------------------------------------------------------

    def _discovered(self) -> tuple[int, Any, list[str]]:
        versions = sorted({each.api_version for each in self.state.resources.values()})
        groups = {version.partition("/")[0] for version in versions if "/" in version}
        rooted = _ROOT.fullmatch(self.path)
        version = (rooted["core"] or rooted["group"]) if rooted else ""
        if self.path == "/version":
            return 200, {"major": "1", "minor": "36", "gitVersion": "v1.36.0", "platform": "linux/amd64"}, []
        if self.path == "/api":
            return 200, {"kind": "APIVersions", "versions": ["v1"]}, []
        if self.path == "/apis":
            listed = [self._group(group, versions) for group in sorted(groups)]
            return 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}, []
        if version in versions:
            return 200, self._resources(version), []
        raise Refused(404, "404 page not found", reason="")

    def _group(self, group: str, versions: list[str]) -> Json:
        of = [
            {"groupVersion": each, "version": each.partition("/")[2]}
            for each in versions
            if each.startswith(f"{group}/")
        ]
        return {"name": group, "versions": of, "preferredVersion": of[0]}

    def _resources(self, version: str) -> Json:
        verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
        listed = []
        for each in self.state.resources.values():
            if each.api_version == version:
                one = {"name": each.plural, "singularName": each.kind.lower(), "kind": each.kind, "verbs": verbs}
                listed.append(one | {"namespaced": each.namespaced})
                if each.status:
                    listed.append(one | {"name": f"{each.plural}/status", "namespaced": each.namespaced})
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": listed}

    # -- Verbs -----------------------------------------------------------------------------------------------------

    def _done(self, resource: Resource) -> tuple[int, Any, list[str]]:
        if self.verb == "watch":
            self.watching = resource
            return 200, None, []
        if self.verb == "list":
            limit = 0 if resource.group == "metrics.k8s.io" else int(self.query.get("limit") or 0)
            token = self.query.get("continue", "")
            return 200, self.state.page(resource, self.name.namespace, limit=limit, token=token), []
        if self.verb == "get":
            return 200, self.state.get(resource, self.name), []
        if self.verb == "delete":
            options = self.body if isinstance(self.body, dict) else {}
            dry_run = bool(options.get("dryRun") or self.query.get("dryRun"))
            return 200, self.state.delete(resource, self.name, options, dry_run=dry_run), []
        return self._write(resource)

    def _write(self, resource: Resource) -> tuple[int, Any, list[str]]:
        if not isinstance(self.body, dict):
            raise Refused(400, "the body of the request is no object")
        agent = self.headers.get("user-agent", "unknown").partition("/")[0]
        writing = Writing(
            self.query.get("fieldManager") or agent,
            dry_run=self.query.get("dryRun") == "All",
            force=self.query.get("force") == "true",
            subresource=self.subresource,
            replaces=self.verb == "update",
        )
        if self.verb == "apply":
            return self._apply(resource, writing)
        if self.verb == "create":
            obj, unknown = self.state.create(resource, self.name.namespace, self.body, writing)
            return 201, obj, _warned(unknown)
        if self.verb == "update":
            obj, unknown = self.state.update(resource, self.name, self.body, writing)
            return 200, obj, _warned(unknown)
        strategic = "strategic" in self.headers.get("content-type", "")
        obj, unknown = self.state.patch(resource, self.name, self.body, writing, strategic=strategic)
        return 200, obj, _warned(unknown)

    def _apply(self, resource: Resource, writing: Writing) -> tuple[int, Any, list[str]]:
        if not self.query.get("fieldManager"):
            said = 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
            raise Refused(422, said)
        obj, new = self.state.apply(resource, self.name, self.body, writing)
        return (201 if new else 200), obj, []


def _warned(unknown: list[str]) -> list[str]:
    return [f'unknown field \\"{each}\\"' for each in unknown]
