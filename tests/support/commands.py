"""A server for Docker agents that says what the test wants it to: real HTTP on the loopback, nothing behind it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import tenacity

from reconciler.clock import system_clock


@dataclass
class CommandServer:
    """``waiting``: commands to deliver, again and again until answered or taken out. ``answers``: (command, status, message)."""

    url: str = ""
    interval: int = 1
    waiting: list[dict[str, Any]] = field(default_factory=list)
    answers: list[tuple[str, str, str]] = field(default_factory=list)
    pushes: list[dict[str, Any]] = field(default_factory=list)
    polls: int = 0
    broken: bool = False
    deaf: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)

    def order(
        self, command_id: str, group: str, replicas: int, *, lives: float = 600, **payload: Any
    ) -> dict[str, Any]:
        """Have a host told to run so many."""
        now = system_clock()
        body = {
            "command_id": command_id,
            "type": "docker.scale",
            "policyId": "scp_1",
            "payload": {"hostPool": "web-pool", "group": group, "replicas": replicas, "fromReplicas": 1} | payload,
            "issued_at": _text(now),
            "expires_at": _text(now + timedelta(seconds=lives)),
        }
        with self.changed:
            self.waiting.append(body)
            self.changed.notify_all()
        return body

    def answer_to(self, command_id: str, times: int = 1) -> tuple[str, str]:
        """(status, message), once it has come so many times."""
        for attempt in tenacity.Retrying(
            stop=tenacity.stop_after_delay(120), wait=tenacity.wait_fixed(0.02), reraise=True
        ):
            with attempt:
                found = [answer[1:] for answer in self.answers if answer[0] == command_id]
                assert len(found) >= times, (self.answers, self.waiting)
        assert len(set(found)) == 1, f"the same command was answered differently: {found}"
        return found[0]


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def command_server() -> Iterator[CommandServer]:
    """A server on a free port."""
    state = CommandServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
            if state.broken:
                self.say(503, {"error": "not now"})
            elif self.path.endswith("/register"):
                self.say(200, {"agentId": "agent_1", "token": "t", "pushIntervalSeconds": state.interval})
            elif self.path.endswith("/push"):
                state.pushes.append(body)
                self.say(200, {"ok": True})
            elif state.deaf:
                self.say(503, {"error": "not now"})
            else:
                command_id = self.path.split("/")[-2]
                with state.changed:
                    state.answers.append((command_id, body["status"], body["message"]))
                    state.waiting = [one for one in state.waiting if one["command_id"] != command_id]
                self.say(200, {"ok": True})

        def do_GET(self) -> None:
            state.polls += 1
            if state.broken:
                self.say(503, {"error": "not now"})
                return
            wait = float(self.path.rpartition("=")[2])
            with state.changed:
                state.changed.wait_for(lambda: state.waiting, min(wait, 2))
                found = state.waiting[0] if state.waiting else None
            self.say(200, found) if found else self.say(204, None)

        def say(self, status: int, body: object) -> None:
            content = b"" if body is None else json.dumps(body).encode()
            with suppress(ConnectionError):  # the agent hung up, or was killed
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
