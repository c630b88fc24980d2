"""Pushes of 50 containers: `trimtab serve` against a bare FastAPI route that validates the same body and stores nothing.

Both are real processes with one uvicorn worker on loopback, under the same load. What was answered is then counted in the
database, after SIGTERM: nothing may be missing.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from bench.printing import line, note
from bench.scale import Scale
from bench.serving import TRIMTAB, environment, registering_key, served
from bench.stage import home

WANTED = 0.35
CONTAINERS = 50
CONNECTIONS = 32
POOLS = 20


def run(scale: Scale) -> None:
    folder = home() / "push"
    folder.mkdir()
    env = _environment(folder)
    with served([sys.executable, "-m", "bench.bare_push"], {**os.environ}) as (bare, _):
        command = [*TRIMTAB, "serve", "--no-loop", "--port"]
        with served(command, env, log=folder / "log") as (port, process):
            agents = folder / "agents.json"
            agents.write_text(json.dumps(_registered(port, env, scale.agents)))
            rates: dict[int, list[float]] = {bare: [], port: []}
            answered = 0
            for _ in range(scale.rounds):
                for each, found in rates.items():
                    told = _push(each, agents, scale.push_seconds)
                    found.append(told["statuses"]["200"] / told["seconds"])
                    answered += told["statuses"]["200"] if each == port else 0
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    note(f"{scale.agents} agents of {POOLS} host pools, {CONTAINERS} containers a push; best of {scale.rounds} rounds")
    line("bare FastAPI route that validates the body", max(rates[bare]), "pushes/s")
    what = "pushes taken and stored"
    line(what, max(rates[port]), "pushes/s", against="bare", limit=max(rates[bare]), wanted=f"≥ {WANTED}")
    line(
        "  of those answered, found in the database after SIGTERM",
        _stored(folder),
        "",
        against="answered",
        limit=answered,
        wanted="1",
    )


_FLEET = """\
apiVersion: trimtab.dev/v1alpha1
kind: Fleet
metadata: {{name: bench}}
spec:
  clusters: []
  hostPools: [{pools}]
"""


def _environment(folder: Path) -> dict[str, str]:
    """A fleet repo that declares the host pools, and settings for it."""
    fleet = folder / "fleet"
    fleet.mkdir()
    pools = ", ".join(f"{{name: pool-{number}}}" for number in range(POOLS))
    (fleet / "trimtab.yaml").write_text(_FLEET.format(pools=pools))
    person = ["-c", "user.name=Pat Person", "-c", "user.email=pat@example.com"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], [*person, "commit", "-qm", "Start"]):
        subprocess.run(["git", "-C", str(fleet), *words], check=True)
    return environment(fleet, folder / "state")


def _registered(port: int, env: dict[str, str], agents: int) -> list[tuple[str, str]]:
    """Ids and tokens of new agents."""
    key = registering_key(env)
    found = []
    for number in range(agents):
        name = {"name": f"host-{number}", "hostname": f"host-{number}", "hostPool": f"pool-{number % POOLS}"}
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/v1/agents/register",
            data=json.dumps({**name, "platform": "docker", "version": "1.0"}).encode(),
            headers={"X-API-Key": key, "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked) as answer:
            told = json.load(answer)
        found.append((told["agentId"], told["token"]))
    return found


def _push(port: int, agents: Path, seconds: float) -> dict[str, Any]:
    words = ["-m", "bench.pusher", str(port), str(seconds), str(CONNECTIONS), str(CONTAINERS), str(agents)]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    assert set(told["statuses"]) == {"200"}, told
    return told


def _stored(folder: Path) -> int:
    (file,) = (folder / "state").glob("*.sqlite3")
    with sqlite3.connect(file) as connection:
        return int(connection.execute("SELECT count(*) FROM pushes").fetchone()[0])
