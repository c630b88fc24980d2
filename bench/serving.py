"""Servers to measure: real processes on loopback, ours and the limit beside it."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI

TRIMTAB = [sys.executable, "-m", "reconciler.cli"]


def environment(fleet: Path, state: Path) -> dict[str, str]:
    """Settings for a fleet repo, without a rate limit that could be reached."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "TRIMTAB_"))}
    return env | {
        "TRIMTAB_FLEET": str(fleet),
        "TRIMTAB_STATE_DIR": str(state),
        "TRIMTAB_RATE_LIMIT": "100000000/minute",
        "NO_COLOR": "1",
    }


def registering_key(env: dict[str, str]) -> str:
    """A key with which agents can be registered."""
    words = ["key", "create", "--org", "bench", "--name", "bench", "--scope", "agents:register"]
    return subprocess.run([*TRIMTAB, *words], env=env, capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def served(
    command: list[str], env: dict[str, str], log: Path | None = None
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A server on a port that is free, once it is ready. ``command`` takes the port as its last word."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    with (log or Path(os.devnull)).open("wb") as output:
        process = subprocess.Popen([*command, str(port)], env=env, stdout=output, stderr=output)
        try:
            _wait_until_ready(port, process)
            yield port, process
        finally:
            process.terminate()
            process.wait(60)


def _wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, "the server has ended"
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz").close()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError("the server did not become ready")


def serve_bare(app: FastAPI) -> None:
    """The same server program as ours, with an application that does next to nothing; the port is the first word."""
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )
