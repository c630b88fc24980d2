"""One process that serves: its socket, its signals, and a stop that loses nothing."""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import structlog
import uvicorn
from prometheus_client import disable_created_metrics

from api.app import create_app
from api.middleware import Answered
from api.serve import open_server
from api.server import Server
from reconciler.errors import InputError, Stalled
from reconciler.settings import Settings

REQUEST_SECONDS = 10
"""How long requests in flight get to finish once the process was told to stop."""

_BACKLOG = 2048

log = structlog.get_logger(__name__)


def run(
    settings: Settings,
    *,
    host: str,
    port: int,
    interval: float,
    passes: bool,
    step: Callable[[str], None] = lambda _name: None,
) -> None:
    """Serve until SIGTERM or SIGINT. A second signal ends the process at once. ``step`` is told the steps of passes.

    :raises TrimtabError: when it cannot begin: the port is taken, the database cannot be used.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]
    with listen(host, port) as listener, _before_serving():
        with open_server(settings, interval=interval, passes=passes, schedule=True, step=step) as server:
            if not server.stores.keys.list():
                log.warning("there is no API key yet", hint="trimtab key create --org ORG --name NAME --scope SCOPE")
            serve(server, listener)
        log.info("stopped")


def serve(server: Server, listener: socket.socket) -> None:
    """Answer what comes in on ``listener`` until a signal says stop, and then what is in flight."""

    def tell(answered: Answered) -> None:
        server.metrics.answered(answered.method, answered.route, answered.status, answered.seconds)

    config = uvicorn.Config(
        create_app(server, tell=tell),
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=REQUEST_SECONDS,
    )
    _collect_less()
    _share_the_interpreter()
    host, port = listener.getsockname()[:2]
    log.info("serving", url=f"http://{f'[{host}]' if ':' in host else host}:{port}", fleets=len(server.stewards))
    _Process(config, server).run(sockets=[listener])


def _collect_less() -> None:
    """What was imported is no garbage, and a request makes few cycles: without this a quarter of a push's time goes into
    walking the same objects again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _share_the_interpreter() -> None:
    """Threads take turns every millisecond instead of every five: the one that writes to the database lets go at each row,
    and would wait that long for its next turn, row by row, behind the thread that answers."""
    sys.setswitchinterval(0.001)


class _Process(uvicorn.Server):
    """uvicorn's server, where the first signal tells everybody at once, and exits with 0 when all is done."""

    def __init__(self, config: uvicorn.Config, server: Server) -> None:
        super().__init__(config)
        self._server = server

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ours stay set until the process ends; uvicorn's own would raise the signal again after the last request."""
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal stops cleanly; the second ends the process as if nobody had handled it."""
        if self.should_exit:
            _end_hard(sig, frame)
        self.should_exit = True
        # Not here: this may interrupt anything, such as a line of log that is half written.
        self._loop.call_soon_threadsafe(self._stop_waiting)

    def _stop_waiting(self) -> None:
        """Long polls are answered, and no pass begins any more; what was asked of a fleet repo is still done."""
        log.info("stopping")
        self._server.closing.set()
        for steward in self._server.stewards:
            steward.wind_down()


def _end_hard(sig: int, _frame: FrameType | None) -> None:
    signal.signal(sig, signal.SIG_DFL)
    os.kill(os.getpid(), sig)


@contextmanager
def _before_serving() -> Iterator[None]:
    """Also who is told to stop while it still starts ends as it should, with 0."""

    def stop(sig: int, _frame: FrameType | None) -> None:
        signal.signal(sig, _end_hard)
        raise SystemExit(0)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens; port 0 takes any that is free.

    :raises InputError: when this machine has no such address.
    :raises Stalled: when the port is taken, or must not be used.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError):
        raise InputError(
            f"--host {host}: there is no such address", hint="use 127.0.0.1 for this machine only, 0.0.0.0 for all"
        ) from None
    try:
        listener = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise Stalled(
            f"cannot listen on {host} port {port}: {os.strerror(error.errno or 0).lower()}",
            hint="end what listens there, or take another port with --port",
        ) from None
    with listener:
        yield listener
