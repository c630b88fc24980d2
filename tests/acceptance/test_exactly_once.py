"""Exactly once: killed at any step, moved heads, two processes at a time; every decision is in one commit, no person's is lost."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.fleets import FleetRepo, boutique, git, policy
from support.replay import write_csv

ROOT = "clusters/boutique-prod"

KILLED = """\
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from reconciler import loop
from reconciler.bootstrap import open_house
from reconciler.clock import fixed_clock
from reconciler.settings import Settings

state, fleet, now, last = sys.argv[1:5]
count = 0
def step(name):
    global count
    count += 1
    print(name, flush=True)
    if count == int(last):
        os.kill(os.getpid(), signal.SIGKILL)

with open_house(Settings(state_dir=Path(state), fleet=fleet), clock=fixed_clock(datetime.fromisoformat(now)), step=step) as house:
    loop.reconcile(house)
"""


def prepared(home: Path) -> FleetRepo:
    repo = boutique(home, files={"policies/frontend.yaml": policy("frontend", "default/frontend")})
    repo.trimtab("usage", "import", str(write_csv(home / "usage.csv")), code=0)
    return repo


def killed_at(repo: FleetRepo, state: str, last: int) -> list[str]:
    """Run a pass that kills itself at step number ``last``; the names of the steps that it reached."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "TRIMTAB_"))} | {"HOME": str(repo.home)}
    words = [sys.executable, "-c", KILLED, str(repo.home / state), str(repo.bare), repo.now, str(last)]
    done = subprocess.run(words, capture_output=True, text=True, env=env, check=False)
    assert done.returncode in (0, -9), done.stderr
    return done.stdout.split("\n")[:-1]


def decisions(repo: FleetRepo) -> list[str]:
    lines = "\n".join(repo.log("%(trailers:key=Trimtab-Decision,valueonly)")).split("\n")
    return [line for line in lines if line]


def test_killed_at_every_step_each_decision_is_in_exactly_one_commit(tmp_path: Path) -> None:
    repo = prepared(tmp_path)
    start = repo.head()
    shutil.copytree(tmp_path / "state", tmp_path / "imported")
    steps = killed_at(repo, "state", 10_000)
    whole = repo.log("%s")
    tree = git(repo.bare, "rev-parse", "main^{tree}")
    wanted = len(decisions(repo))
    assert len(steps) > 8
    assert {"push", "pushed"} <= set(steps)
    for last in range(1, len(steps) + 1):
        git(repo.bare, "update-ref", "refs/heads/main", start)
        state = f"state-{last}"
        shutil.copytree(tmp_path / "imported", tmp_path / state)
        killed_at(repo, state, last)
        repo.trimtab("reconcile", "--once", "--now", repo.now, state=state, code=0)
        assert repo.log("%s") == whole, f"killed at {steps[last - 1]}"
        assert git(repo.bare, "rev-parse", "main^{tree}") == tree
        found = decisions(repo)
        assert len(found) == len(set(found)) == wanted
        left = repo.trimtab("plan", "--json", "--now", repo.now, state=state, code=0).json()
        assert left["changes"] == []


def test_a_decision_keeps_its_id_over_a_crash(tmp_path: Path) -> None:
    repo = prepared(tmp_path)
    steps = killed_at(repo, "other", 10_000)
    git(repo.bare, "update-ref", "refs/heads/main", repo.log("%H")[-1])
    killed_at(repo, "state", steps.index("push") + 1)
    shown = repo.at("plan", "--json", code=2).json()
    planned = {d["id"] for change in shown["changes"] for d in change["decisions"]}
    repo.at("reconcile", "--once", code=0)
    assert set(decisions(repo)) == planned


def test_killed_while_the_remote_takes_the_push(tmp_path: Path) -> None:
    """The push lands, and the process dies before it hears of it."""
    repo = prepared(tmp_path)
    hook = repo.bare / "hooks/post-update"
    hook.write_text('#!/bin/sh\nkill -9 $(cat "$TRIMTAB_TEST_PID" 2>/dev/null || cat pid)\n')
    hook.chmod(0o755)
    code = KILLED.replace(
        "count = 0\n", f"count = 0\nPath({str(repo.bare / 'pid')!r}).write_text(str(os.getpid()))\n", 1
    )
    env = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "TRIMTAB_"))} | {"HOME": str(repo.home)}
    words = [sys.executable, "-c", code, str(repo.home / "state"), str(repo.bare), repo.now, "10000"]
    done = subprocess.run(words, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == -9, done.stderr
    hook.unlink()
    landed = repo.head()
    assert decisions(repo)
    repo.at("reconcile", "--once", code=0)
    assert repo.head() == landed


def test_a_persons_commits_between_fetch_and_push_are_never_lost(tmp_path: Path) -> None:
    repo = prepared(tmp_path)
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(repo.bare), str(other))
    hook = repo.bare / "hooks/pre-receive"
    # The first two pushes find that a person was quicker.
    hook.write_text(
        "#!/bin/sh\n"
        f"n=$(cat {tmp_path}/n 2>/dev/null || echo 0)\n"
        "[ $n -ge 2 ] && exit 0\n"
        f"[ -e {tmp_path}/busy ] && exit 0\n"
        f"touch {tmp_path}/busy; echo $((n+1)) > {tmp_path}/n\n"
        "unset GIT_DIR GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES\n"
        f"cd {other} && git pull -q && echo $n > note-$n && git add . && git -c user.name=P -c user.email=p@example.com commit -qm person-$n && git push -q\n"
        f"rm {tmp_path}/busy\n"
        "exit 0\n"
    )
    hook.chmod(0o755)
    repo.at("reconcile", "--once", code=0)
    subjects = repo.log("%s")
    assert {"person-0", "person-1"} <= set(subjects)
    found = decisions(repo)
    assert found
    assert len(found) == len(set(found))
    assert {"note-0", "note-1"} <= set(repo.files())
    repo.at("plan", code=0)


def test_two_processes_take_turns(tmp_path: Path) -> None:
    repo = prepared(tmp_path)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "TRIMTAB_"))}
    env |= {"HOME": str(tmp_path), "TRIMTAB_STATE_DIR": str(tmp_path / "state"), "TRIMTAB_FLEET": str(repo.bare)}
    words = [sys.executable, "-m", "reconciler.cli", "reconcile", "--once", "--json", "--now", repo.now]
    running = [
        subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        for _ in range(3)
    ]
    printed = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], printed
    committed = [len(json.loads(out)["changes"]) for out, _ in printed]
    assert sorted(committed)[:2] == [0, 0]
    found = decisions(repo)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("states", [("one", "two")])
def test_two_machines_on_one_remote(tmp_path: Path, states: tuple[str, str]) -> None:
    """With separate databases the branch itself decides: nothing is written twice."""
    repo = prepared(tmp_path)
    for state in states:
        repo.trimtab("usage", "import", str(tmp_path / "usage.csv"), state=state, code=0)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "TRIMTAB_"))} | {
        "HOME": str(tmp_path),
        "TRIMTAB_FLEET": str(repo.bare),
    }
    words = [sys.executable, "-m", "reconciler.cli", "reconcile", "--once", "--now", repo.now]
    running = [
        subprocess.Popen(
            words,
            env=env | {"TRIMTAB_STATE_DIR": str(tmp_path / s)},
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=tmp_path,
        )
        for s in states
    ]
    printed = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0], printed
    subjects = [s for s in repo.log("%s") if s != "What people wrote"]
    assert len(subjects) == len(set(subjects))
