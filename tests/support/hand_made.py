"""A server of agents that is made by hand and fails on demand."""

import json
import queue
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Told:
    """One answer of a hand-made server. ``hang``: no answer at all until the server stops."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False


@dataclass
class HandMade:
    """A real HTTP server on loopback. Each route answers what is next in its list, and the last for ever.

    Routes are named by method and the end of the path, such as ``POST push``. Registration works unless it is told otherwise.
    """

    url: str
    answers: dict[str, list[Told]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    arrived: "queue.Queue[str]" = field(default_factory=queue.Queue)
    ended: threading.Event = field(default_factory=threading.Event)
    tokens: int = 0

    def tell(self, route: str, *answers: Told) -> None:
        self.answers[route] = list(answers)

    def bodies(self, route: str) -> list[Any]:
        return [json.loads(body) for name, _, body in self.requests if name == route]

    def count(self, route: str) -> int:
        return sum(name == route for name, _, _ in self.requests)

    def next(self, route: str) -> Told:
        waiting = self.answers.get(route, [])
        if waiting:
            return waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if route == "POST register":
            self.tokens += 1
            token = f"token-{self.tokens}"
            return Told(200, {"agentId": "agent_1", "token": token, "tokenExpiresIn": 3600, "pushIntervalSeconds": 15})
        return Told(200, {"ok": True})


@contextmanager
def hand_made(certificate: Path | None = None) -> Iterator[HandMade]:
    """Serve one while inside; over TLS with a ``certificate`` (a PEM file with its key)."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            route = f"{self.command} {self.path.partition('?')[0].rsplit('/', 1)[1]}"
            made.requests.append((route, {k.lower(): v for k, v in self.headers.items()}, body))
            made.arrived.put(route)
            told = made.next(route)
            if told.hang:
                made.ended.wait()
                self.close_connection = True
                return
            text = told.body if isinstance(told.body, str) else json.dumps(told.body) if told.body is not None else ""
            self.send_response(told.status)
            for name, value in {"Content-Type": "application/json", **told.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = _any  # noqa: N815 - the standard library's names

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    made = HandMade(f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        made.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
