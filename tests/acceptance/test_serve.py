"""`trimtab serve`, as a process: it starts, answers, stops without losing anything, and carries on after a kill."""

import json
import os
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.fleets import FleetRepo, git
from support.processes import WAIT, Process, process
from support.small import small_fleet

KILLED = """\
import os, signal, sys
from pathlib import Path
from api.process import run
from reconciler.journal import configure
from reconciler.settings import Settings

def step(name):
    if name.split()[0] == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)

configure("text", "info")
run(Settings(), host="127.0.0.1", port=0, interval=30.0, passes=True, step=step)
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fleet repo, and a migrated database with one key of admin's."""
    home = tmp_path_factory.mktemp("template")
    repo = small_fleet(home)
    made = repo.trimtab("key", "create", "--org", "acme", "--name", "all", "--scope", "admin", code=0)
    (home / "key").write_text(made.out.strip())
    return home


@pytest.fixture
def repo(template: Path, tmp_path: Path) -> FleetRepo:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True, symlinks=True)
    git(tmp_path / "work", "remote", "set-url", "origin", str(tmp_path / "fleet.git"))
    return FleetRepo(home=tmp_path, work=tmp_path / "work", bare=tmp_path / "fleet.git")


def key(repo: FleetRepo) -> dict[str, str]:
    return {"X-API-Key": (repo.home / "key").read_text()}


def registered(running: Process, repo: FleetRepo, **more: str) -> dict[str, str]:
    body = {"name": "prod", "version": "1.0", "platform": "kubernetes", "hostname": "prod-01", **more}
    answer = httpx.post(f"{running.url}/api/v1/agents/register", json=body, headers=key(repo), timeout=WAIT)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def decisions(repo: FleetRepo) -> list[str]:
    lines = "\n".join(repo.log("%(trailers:key=Trimtab-Decision,valueonly)")).split("\n")
    return [line for line in lines if line]


def logged(repo: FleetRepo) -> list[tuple[str, str]]:
    with sqlite3.connect(repo.home / "state/trimtab.sqlite3") as database:
        rows = database.execute("SELECT action, decision_id FROM decision_log ORDER BY id").fetchall()
    database.close()
    return rows


def wait_for(pipe: Path) -> None:
    """Until somebody writes into a pipe."""
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert select.select([end], [], [], WAIT)[0], "nobody came"
        assert os.read(end, 100)
    finally:
        os.close(end)


@pytest.fixture
def blocked_push(repo: FleetRepo) -> Iterator[Path]:
    """The remote takes a push only once somebody has written into this pipe, and says in the other that one is there."""
    pipe, there = repo.home / "go", repo.home / "there"
    os.mkfifo(pipe)
    os.mkfifo(there)
    hook = repo.bare / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\necho there > {there}\nread line < {pipe}\nexit 0\n")
    hook.chmod(0o755)
    yield pipe
    hook.unlink()


def test_it_serves_and_a_restart_keeps_everything(repo: FleetRepo) -> None:
    with process(repo, TRIMTAB_LOG_FORMAT="json") as running:
        running.until("/readyz", 200)
        assert running.get("/healthz").json() == {"status": "ok"}
        running.passed()
        agent = registered(running, repo)
        listed = running.get("/api/v1/agents", headers=key(repo)).json()
        assert [entry["id"] for entry in listed] == [agent["agentId"]]
        policies = running.get("/api/v1/scaling/policies", headers=key(repo)).json()
        shown = running.get("/metrics").text
        assert 'trimtab_passes_total{outcome="committed"} 1.0' in shown
        assert "trimtab_commits_total 1.0" in shown
        assert 'trimtab_decisions_total{action="apply"} 1.0' in shown
        assert 'trimtab_agents{status="connected"} 1.0' in shown
        assert 'trimtab_http_requests_total{method="GET",route="/readyz",status="200"}' in shown
        assert running.stop() == 0
    lines = [json.loads(line) for line in running.lines]
    assert [line["event"] for line in lines if line["event"] in ("serving", "pass", "stopping", "stopped")] == [
        "serving",
        "pass",
        "stopping",
        "stopped",
    ]
    assert all(line["timestamp"].endswith("Z") and line["level"] for line in lines)
    assert (repo.home / "key").read_text() not in running.log
    assert agent["token"] not in running.log
    with process(repo) as again:
        again.until("/readyz", 200)
        again.passed()
        assert registered(again, repo)["agentId"] == agent["agentId"]
        assert again.get("/api/v1/scaling/policies", headers=key(repo)).json()[0]["id"] == policies[0]["id"]
        waited = httpx.get(
            f"{again.url}/api/v1/agents/{agent['agentId']}/scaling/desired",
            headers={"Authorization": f"Bearer {agent['token']}"},
            timeout=WAIT,
        )
        assert waited.status_code == 200, "a token from before the restart still counts"
        assert again.stop(signal.SIGINT) == 0
    assert len(decisions(repo)) == len(logged(repo)) == 1


def test_told_to_stop_it_answers_long_polls_at_once(repo: FleetRepo) -> None:
    with process(repo, "--no-loop") as running:
        running.until("/readyz", 200)
        agent = registered(running, repo, platform="docker", name="web-pool")
        host, port = running.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=WAIT) as poll:
            path = f"/api/v1/agents/{agent['agentId']}/commands?wait=50"
            poll.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {agent['token']}\r\n\r\n".encode())
            running.get("/readyz")  # sent after the poll, so the poll waits by now
            assert running.stop() == 0
            assert poll.recv(100).startswith(b"HTTP/1.1 204")
    assert decisions(repo) == []


def test_the_commit_in_hand_is_finished_before_it_stops(repo: FleetRepo, blocked_push: Path) -> None:
    with process(repo) as running:
        wait_for(repo.home / "there")
        running.popen.send_signal(signal.SIGTERM)
        blocked_push.write_text("go\n")
        assert running.popen.wait(WAIT) == 0
    found = decisions(repo)
    assert len(found) == 1
    assert logged(repo) == [("apply", found[0])]


def test_a_second_signal_ends_it_at_once(repo: FleetRepo, blocked_push: Path) -> None:
    with process(repo) as running:
        wait_for(repo.home / "there")
        running.popen.send_signal(signal.SIGTERM)
        running.said("stopping")
        assert running.stop() == -signal.SIGTERM
        blocked_push.write_text("go\n")


def test_killed_again_and_again_each_decision_is_committed_once(repo: FleetRepo) -> None:
    with process(repo, "--no-loop") as running:
        running.until("/readyz", 200)
        agent = registered(running, repo)
        before = running.get("/api/v1/agents", headers=key(repo)).json()
        assert running.stop() == 0
    start = repo.head()
    for at, moved in (("record", False), ("commit", False), ("push", False), ("pushed", True)):
        with process(repo, at, program=(sys.executable, "-c", KILLED)) as killed:
            assert killed.popen.wait(WAIT) == -signal.SIGKILL, killed.log
        assert (repo.head() != start) is moved, at
    with process(repo) as running:
        running.until("/readyz", 200)
        running.passed()
        found = decisions(repo)
        assert len(found) == 1
        assert logged(repo) == [("apply", found[0])]
        after = running.get("/api/v1/agents", headers=key(repo)).json()
        assert [entry["id"] for entry in after] == [entry["id"] for entry in before] == [agent["agentId"]]
        rows = running.get("/api/v1/scaling/decisions", headers=key(repo)).json()
        assert [(row["action"], row["policyId"]) for row in rows] == [("apply", "scp_web")]
        assert running.stop() == 0


def test_killed_while_the_remote_takes_the_push(repo: FleetRepo, blocked_push: Path) -> None:
    with process(repo) as running:
        wait_for(repo.home / "there")
        assert running.stop(signal.SIGKILL) == -signal.SIGKILL
        blocked_push.write_text("go\n")
    (repo.bare / "hooks/pre-receive").write_text("#!/bin/sh\nexit 0\n")
    with process(repo) as again:
        again.passed()
        found = decisions(repo)
        assert len(found) == 1
        assert logged(repo) == [("apply", found[0])]
        assert again.stop() == 0


def test_a_fleet_repo_that_is_away_is_waited_for(repo: FleetRepo) -> None:
    away = repo.home / "away.git"
    repo.bare.rename(away)
    with process(repo) as running:
        said = running.until("/readyz", 503).json()
        assert said["status"] == "unavailable"
        assert running.get("/healthz").json() == {"status": "ok"}
        assert running.get("/api/v1/agents", headers=key(repo)).json() == []
        away.rename(repo.bare)
        running.until("/readyz", 200)
        assert running.stop() == 0
    assert any("level=warning" in line and "there is no directory" in line for line in running.lines)


def test_what_keeps_it_from_starting_is_said_in_plain_words(repo: FleetRepo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = repo.trimtab("serve", "--port", port, code=1)
        assert ran.err == (
            f"error: cannot listen on 127.0.0.1 port {port}: address already in use\n"
            "  → end what listens there, or take another port with --port\n"
        )
    assert "no such address" in repo.trimtab("serve", "--host", "no.such.host.invalid", code=1).err
    ran = repo.trimtab("serve", "--port", "0", "--database-url", "mysql://me:hidden@db/x", code=1)
    assert "is not a database that Trimtab speaks" in ran.err
    ran = repo.trimtab("serve", "--port", "0", "--database-url", "postgresql://me:hidden@127.0.0.1:1/x", code=1)
    assert "is away" in ran.err
    assert "hidden" not in ran.text
    repo.env = {"TRIMTAB_LOG_FORMAT": "xml"}
    assert repo.trimtab("serve", "--port", "0", code=1).err.startswith("error: TRIMTAB_LOG_FORMAT: ")
    repo.env = {"TRIMTAB_FLEET": ""}
    ran = repo.trimtab("serve", "--port", "0", code=1)
    assert "no fleet repo given\n  → pass --fleet" in ran.err
    assert "Traceback" not in ran.text


def test_other_commands_do_not_wait_for_the_servers_packages() -> None:
    asked = "import sys, reconciler.cli; print([n for n in ('fastapi', 'uvicorn', 'prometheus_client', 'api', 'structlog') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_its_help_shows_how_to_run_it(repo: FleetRepo) -> None:
    shown = repo.trimtab("serve", "--help", code=0).out
    for word in ("--host", "--port", "--no-loop", "--interval", "--fleet", "--database-url", "/readyz"):
        assert word in shown
