"""`trimtab agent` as a process of its own, as it runs for users: it starts, goes on, and ends when it is told to."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import tenacity

from reconciler.clock import stopwatch
from support.hand_made import HandMade, Told, hand_made
from support.kube_double import KubeDouble, kube_double

KEY = "tt_live_0123456789abcdefghijABCDEFGHIJ01"
WAIT = 30.0


@dataclass
class Agent:
    """A running agent. ``lines`` is its log so far."""

    popen: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)

    def follow(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.lines.append(line.rstrip("\n"))

    def said(self, word: str) -> str:
        """Wait until the log has a line with a word, and give the line."""
        found: str = tenacity.Retrying(
            stop=tenacity.stop_after_delay(WAIT),
            wait=tenacity.wait_fixed(0.02),
            retry=tenacity.retry_if_result(lambda line: not line),
            retry_error_callback=lambda _: pytest.fail(f"never said {word!r}:\n" + "\n".join(self.lines)),
        )(lambda: next((line for line in self.lines if word in line), ""))
        return found

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Send a signal; seconds until the process has ended, which it must do well."""
        elapsed = stopwatch()
        self.popen.send_signal(number)
        assert self.popen.wait(WAIT) == 0, "\n".join(self.lines)
        return elapsed()


@pytest.fixture
def server() -> Iterator[HandMade]:
    with hand_made() as made:
        made.tell("GET desired", Told(200, {"revision": "a" * 40, "cluster": "prod", "manifests": []}, {"ETag": '"1"'}))
        made.tell("GET commands", Told(204))
        yield made


@pytest.fixture(scope="module")
def double() -> Iterator[KubeDouble]:
    with kube_double() as opened:
        yield opened


def words(server: HandMade, double: KubeDouble) -> list[str]:
    return [
        *("--platform", "kubernetes", "--cluster", "prod", "--kubeconfig", str(double.kubeconfig)),
        *("--server", server.url, "--health-address", "127.0.0.1"),
    ]


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRIMTAB_", "DOCKER_", "KUBE"))}
    return kept | {"HOME": str(home), "TRIMTAB_KEY": KEY}


@contextmanager
def agent(home: Path, *options: str) -> Iterator[Agent]:
    popen = subprocess.Popen(
        [sys.executable, "-m", "reconciler.cli", "agent", *options],
        env=environment(home),
        cwd=home,
        stderr=subprocess.PIPE,
        text=True,
    )
    running = Agent(popen)
    reader = threading.Thread(target=running.follow)
    reader.start()
    try:
        yield running
    finally:
        popen.kill()
        popen.wait(WAIT)
        reader.join(WAIT)
        assert popen.stderr is not None
        popen.stderr.close()
    assert KEY not in "\n".join(running.lines), "no secret in the log"


def until(server: HandMade, route: str) -> None:
    """Wait until a route was asked."""
    while server.arrived.get(timeout=WAIT) != route:
        pass


def test_it_registers_pushes_answers_probes_and_ends_when_told_to(
    tmp_path: Path, server: HandMade, double: KubeDouble
) -> None:
    with agent(tmp_path, *words(server, double), "--health-port", "0") as running:
        running.said("registered")
        until(server, "POST push")
        port = re.search(r"port=(\d+)", running.said("answering probes"))
        assert port is not None
        for path in ("healthz", "readyz"):
            assert httpx.get(f"http://127.0.0.1:{port[1]}/{path}").status_code == 200
        assert running.stop() < 3
        assert "agent ends" in running.lines[-1]
    (body,) = server.bodies("POST register")
    assert (body["name"], body["platform"], body["cluster"]) == ("prod", "kubernetes", "prod")


def docker_words(server: HandMade, home: Path) -> list[str]:
    """On a host whose engine is not there, either."""
    nobody = f"unix://{home}/docker.sock"
    return ["--platform", "docker", "--host-pool", "web", "--docker-host", nobody, "--server", server.url]


def test_a_server_that_is_away_at_first_is_said_once_and_found_again(tmp_path: Path, server: HandMade) -> None:
    away = Told(503, {"error": "the database is away"})
    registered = Told(200, {"agentId": "a", "token": "t", "tokenExpiresIn": 3600, "pushIntervalSeconds": 15})
    server.tell("POST register", away, registered)
    server.tell("GET commands", Told(hang=True))
    with agent(tmp_path, *docker_words(server, tmp_path)) as running:
        running.said("registered")
        until(server, "GET commands")
        running.stop()
        assert sum("the database is away" in line for line in running.lines) == 1


def test_a_revoked_key_is_said_with_the_next_step_and_not_tried_in_a_tight_loop(
    tmp_path: Path, server: HandMade, double: KubeDouble
) -> None:
    server.tell("POST register", Told(401, {"error": "the key is not valid, or was revoked"}))
    with agent(tmp_path, *words(server, double)) as running:
        line = running.said("the key is not valid, or was revoked")
        assert "trimtab key create" in line
        assert running.stop() < 3
    assert server.count("POST register") <= 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_docker_agent_ends_in_the_middle_of_a_long_poll(tmp_path: Path, server: HandMade, number: int) -> None:
    server.tell("GET commands", Told(hang=True))
    with agent(tmp_path, *docker_words(server, tmp_path)) as running:
        until(server, "GET commands")
        assert running.stop(number) < 3


def run_once(home: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "reconciler.cli", "agent", *options, "--once"]
    return subprocess.run(
        line, env=environment(home), cwd=home, capture_output=True, text=True, check=False, timeout=60
    )


def test_one_round_and_its_exit_code(tmp_path: Path, server: HandMade, double: KubeDouble) -> None:
    done = run_once(tmp_path, *words(server, double))
    assert done.returncode == 0, done.stderr
    assert server.count("POST push") == 1 and server.count("GET desired") == 1
    server.tell("POST register", Told(403, {"error": "the scope agents:register is needed"}))
    done = run_once(tmp_path, *words(server, double))
    assert done.returncode == 1
    assert "error: cannot register: the scope agents:register is needed" in done.stderr
    assert "→" in done.stderr and "Traceback" not in done.stderr
