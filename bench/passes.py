"""One long-lived process: its first pass against one in which nothing changed, and the Git processes that this one starts."""

import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from bench.fleet import NOW
from bench.printing import line, note
from bench.running import trimtab
from bench.scale import Scale
from bench.stage import home, landed

CHEAPER = 20.0

_SHIM = """#!/bin/sh
echo "$@" >> "{log}"
exec "{git}" "$@"
"""


def run(scale: Scale) -> None:
    fleet = landed(scale, scale.large).fleet
    start = NOW + timedelta(hours=scale.plans)
    trimtab(
        fleet.bare, fleet.state, "reconcile", "--once", now=start
    )  # whatever the measure of plans has left to commit
    log = home() / "git-processes"
    command = [sys.executable, "-m", "bench.long_lived", str(fleet.bare), str(fleet.state), str(log), start.isoformat()]
    env = os.environ | {"PATH": f"{_counting_git(log)}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, capture_output=True, env=env, check=True)
    told = json.loads(done.stdout)
    note(f"{scale.large} workloads; nothing to commit ({told['found']} decisions)")
    line("first pass of the process", told["first"])
    line(
        "a pass in which nothing changed",
        told["idle"],
        against="first ÷ 20",
        limit=told["first"] / CHEAPER,
        wanted="≤ 1",
    )
    line("  how many times cheaper", told["first"] / told["idle"], "×", against="wanted", limit=CHEAPER, wanted="≥ 1")
    line("  Git processes that it started", len(told["processes"]), "", against="fetch", limit=1, wanted="≤ 1")
    for words in told["processes"]:
        note("  git " + next(word for word in words.split() if not word.startswith("-")))


def _counting_git(log: Path) -> Path:
    """A folder for PATH whose `git` writes down each start."""
    folder = home() / "counting"
    folder.mkdir()
    git = shutil.which("git")
    shim = folder / "git"
    shim.write_text(_SHIM.format(git=git, log=log))
    shim.chmod(0o755)
    return folder
