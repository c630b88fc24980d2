"""Pulls of the desired state with a matching ETag: `trimtab serve` against a FastAPI route that returns ready bytes.

Both are real processes with one uvicorn worker on loopback, under the same load. The processor time of each tells the same
whatever else the machine does.
"""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.printing import line, note
from bench.scale import Scale
from bench.serving import TRIMTAB, environment, registering_key, served
from bench.stage import home, landed

WANTED = 0.5
CONNECTIONS = 32
AGENTS = 8
"""Of one cluster, so that several answer for each connection."""


@dataclass
class Rounds:
    """What one server did: answers a second, and microseconds of processor time an answer, round by round."""

    port: int
    pid: int
    requests: Path
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    def pull(self, seconds: float, status: str) -> None:
        """One round, in which every answer has ``status``."""
        words = ["-m", "bench.puller", str(self.port), str(seconds), str(CONNECTIONS), str(self.requests)]
        before = _cpu_seconds(self.pid)
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
        told: dict[str, Any] = json.loads(done.stdout)
        assert set(told["statuses"]) == {status}, told
        answers = told["statuses"][status]
        self.rates.append(answers / told["seconds"])
        self.costs.append((_cpu_seconds(self.pid) - before) / answers * 1e6)


def run(scale: Scale) -> None:
    fleet = landed(scale, scale.small).fleet
    folder = home() / "desired"
    folder.mkdir()
    env = environment(fleet.bare, fleet.state)
    with (
        served([sys.executable, "-m", "bench.bare_get"], {**os.environ}) as (bare_port, bare_process),
        served([*TRIMTAB, "serve", "--no-loop", "--port"], env) as (port, process),
    ):
        bare = Rounds(bare_port, bare_process.pid, _written(folder / "bare.json", [("/readyz", {})]))
        pulls, manifests = _pulls(port, env)
        ours = Rounds(port, process.pid, _written(folder / "ours.json", pulls))
        for _ in range(scale.rounds):
            bare.pull(scale.push_seconds, "200")
            ours.pull(scale.push_seconds, "304")
    note(f"{scale.small} workloads, {manifests} manifests, {CONNECTIONS} connections; best of {scale.rounds} rounds")
    line("bare FastAPI GET of ready bytes", max(bare.rates), "answers/s")
    what = "desired state with a matching ETag"
    line(what, max(ours.rates), "answers/s", against="bare", limit=max(bare.rates), wanted=f"≥ {WANTED}")
    cost, limit = min(ours.costs), min(bare.costs)
    line("  processor time of an answer", cost, "µs", against="bare", limit=limit, wanted=f"≤ {1 / WANTED:g}")


def _pulls(port: int, env: dict[str, str]) -> tuple[list[tuple[str, dict[str, str]]], int]:
    """A pull that matches for each of some agents, and how many manifests they have been told of."""
    key = registering_key(env)
    found, manifests = [], 0
    for number in range(AGENTS):
        name = {"name": f"agent-{number}", "hostname": f"agent-{number}", "cluster": "prod-0"}
        headers = {"X-API-Key": key, "Content-Type": "application/json"}
        body = json.dumps({**name, "platform": "kubernetes", "version": "1.0"}).encode()
        told, _ = _asked(f"http://127.0.0.1:{port}/api/v1/agents/register", headers, body)
        path = f"/api/v1/agents/{told['agentId']}/scaling/desired"
        token = {"Authorization": f"Bearer {told['token']}"}
        state, etag = _asked(f"http://127.0.0.1:{port}{path}", token)
        manifests = len(state["manifests"])
        assert manifests, "the cluster's agent is told of nothing"
        found.append((path, {**token, "If-None-Match": etag}))
    return found, manifests


def _asked(url: str, headers: dict[str, str], body: bytes | None = None) -> tuple[Any, str]:
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
        return json.load(answer), answer.headers.get("ETag", "")


def _written(file: Path, requests: list[tuple[str, dict[str, str]]]) -> Path:
    file.write_text(json.dumps(requests))
    return file


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (proc(5): the fields after the name in brackets)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
