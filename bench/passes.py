"""A pass in which nothing changed, in one long-lived process: what it costs beside the first, and which Git it starts."""

import os
import shutil
import stat
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from bench.fleet import NOW, make_fleet, record_history
from bench.printing import line, note
from bench.scale import Scale
from reconciler import loop
from reconciler.bootstrap import open_house
from reconciler.clock import fixed_clock
from reconciler.settings import Settings
from reconciler.steps.house import House

IDLE = 20


def run(scale: Scale) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        fleet = make_fleet(home, workloads=scale.small, each=scale.each, policies=min(scale.policies, scale.small))
        record_history(fleet, since=NOW - timedelta(days=scale.days), until=NOW, step=scale.step)
        asked = _counting_git(home)
        with open_house(Settings(fleet=str(fleet.bare), state_dir=fleet.state), clock=fixed_clock(NOW)) as house:
            first = _timed(house)
            loop.reconcile(house)  # what the first has committed is read once more
            asked.write_text("")
            idle = min(_timed(house) for _ in range(IDLE))
            started = asked.read_text().splitlines()
        note(f"{scale.small} workloads; Git processes in {IDLE} idle passes: {_counted(started)}")
        line("a pass in which nothing changed", idle, against="the first pass", limit=first, wanted="≤ 0.05")


def _timed(house: House) -> float:
    start = time.perf_counter()
    loop.reconcile(house)
    return time.perf_counter() - start


def _counting_git(home: Path) -> Path:
    """Put a `git` first on PATH that notes each command before it runs the real one; the file that it notes in."""
    real = shutil.which("git")
    asked, shim = home / "asked", home / "shim" / "git"
    shim.parent.mkdir()
    shim.write_text(
        f'#!/bin/sh\nfor word; do case "$word" in -*) ;; *) echo "$word" >> {asked}; break;; esac; done\nexec {real} "$@"\n'
    )
    shim.chmod(shim.stat().st_mode | stat.S_IEXEC)
    os.environ["PATH"] = f"{shim.parent}:{os.environ['PATH']}"
    asked.write_text("")
    return asked


def _counted(words: list[str]) -> str:
    return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words)) or "none"
