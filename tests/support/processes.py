"""`trimtab serve` as a process of its own, over HTTP, as it runs for users."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import tenacity

from support.fleets import FleetRepo

WAIT = 60.0
CLI = (sys.executable, "-m", "reconciler.cli", "serve")


def _patiently() -> tenacity.Retrying:
    return tenacity.Retrying(stop=tenacity.stop_after_delay(WAIT), wait=tenacity.wait_fixed(0.05), reraise=True)


@dataclass
class Process:
    """A running server. ``lines`` is its log so far."""

    popen: "subprocess.Popen[str]"
    url: str = ""
    lines: list[str] = field(default_factory=list)
    _urls: "queue.Queue[str]" = field(default_factory=queue.Queue)

    def follow(self) -> None:
        """Read the log to its end, and find the address in it."""
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.lines.append(line.rstrip("\n"))
            if found := re.search(r"http://[\w.:\[\]]+:\d+", line if "serving" in line else ""):
                self._urls.put(found[0])
        self._urls.put("")

    def began(self) -> None:
        self.url = self._urls.get(timeout=WAIT)
        assert self.url, self.log

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def get(self, path: str, status: int = 200, **more: object) -> httpx.Response:
        answer = httpx.get(self.url + path, timeout=WAIT, **more)  # type: ignore[arg-type]
        assert answer.status_code == status, (answer.text, self.log)
        return answer

    def until(self, path: str, status: int) -> httpx.Response:
        """Ask again and again until the answer has that status."""
        for attempt in _patiently():
            with attempt:
                answer = httpx.get(self.url + path, timeout=WAIT)
                assert answer.status_code == status, (answer.text, self.log)
        return answer

    def passed(self) -> None:
        """Wait until a pass went well."""
        for attempt in _patiently():
            with attempt:
                shown = httpx.get(self.url + "/metrics", timeout=WAIT).text
                assert re.search(r'trimtab_passes_total\{outcome="(committed|nothing)"\} [1-9]', shown), self.log

    def said(self, word: str) -> None:
        """Wait until the log has a line with a word."""
        for attempt in _patiently():
            with attempt:
                assert any(word in line for line in self.lines)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and give the exit code."""
        self.popen.send_signal(number)
        return self.popen.wait(WAIT)


def environment(repo: FleetRepo, state: str = "state", **more: str) -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "TRIMTAB_"))}
    return env | {
        "HOME": str(repo.home),
        "TRIMTAB_STATE_DIR": str(repo.home / state),
        "TRIMTAB_FLEET": str(repo.bare),
        **more,
    }


@contextmanager
def process(repo: FleetRepo, *words: str, program: tuple[str, ...] = CLI, **env: str) -> Iterator[Process]:
    """A server on a free port. It is killed at the end unless it has ended by then."""
    popen = subprocess.Popen(
        [*program, "--port", "0", *words] if program is CLI else [*program, *words],
        env=environment(repo, **env),
        cwd=repo.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    running = Process(popen)
    reader = threading.Thread(target=running.follow)
    reader.start()
    try:
        running.began()
        yield running
    finally:
        popen.kill()
        popen.wait(WAIT)
        reader.join(WAIT)
        for pipe in (popen.stdout, popen.stderr):
            assert pipe is not None
            pipe.close()
