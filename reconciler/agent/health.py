"""A tiny HTTP server that says whether the agent is alive, for Kubernetes' probes and Docker's health checks."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from reconciler.agent.pulse import Pulse
from reconciler.errors import InputError

_SLOW_SECONDS = 5.0


@contextmanager
def health(pulse: Pulse, port: int, address: str = "") -> Iterator[int]:
    """Answer ``/healthz`` and ``/readyz`` while inside; gives the port, which is a free one for 0.

    ``address``: empty for all, of both kinds, as a probe comes from outside.

    :raises InputError: when it cannot listen there.
    """
    try:
        server = _Server((address, port), _handler(pulse))
    except OSError as error:
        where = f"{address}:{port}" if address else f"port {port}"
        raise InputError(
            f"--health-port: cannot listen on {where}: {error.strerror or error}", hint="take another port"
        ) from None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="health", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, where: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = family(where[0])
        super().__init__(where, handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6 and not self.server_address[0]:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def family(address: str, both: bool | None = None) -> socket.AddressFamily:
    """IPv6 for such an address, and for all addresses where its sockets take IPv4, too (``both``; None: as the machine is)."""
    if not address:
        both = socket.has_dualstack_ipv6() if both is None else both
    return socket.AF_INET6 if ":" in address or (not address and both) else socket.AF_INET


def _handler(pulse: Pulse) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _SLOW_SECONDS

        def do_GET(self) -> None:
            status, text = _answer(pulse, self.path.partition("?")[0])
            body = f"{text}\n".encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the standard library's name

        def log_message(self, format: str, *args: Any) -> None:
            """Probes are no news."""

    return Handler


def _answer(pulse: Pulse, path: str) -> tuple[int, str]:
    if path == "/healthz":
        overdue = pulse.overdue()
        return (503, f"hangs: {', '.join(overdue)}") if overdue else (200, "ok")
    if path == "/readyz":
        return (200, "ok") if pulse.ready else (503, "has not registered at the server yet")
    return 404, "there are /healthz and /readyz here"
