"""Running `trimtab` as a user does, in a process of its own, and what that process has cost."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

_LAUNCHER = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
done = subprocess.run(sys.argv[2:], stdout=open(sys.argv[1], "wb"), stderr=subprocess.PIPE)
seconds = time.perf_counter() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"code": done.returncode, "err": done.stderr.decode(), "seconds": seconds,
                  "cpu": used.ru_utime + used.ru_stime, "megabytes": used.ru_maxrss / 1024}))
"""
"""A small process in between: what a child inherits at its start counts in its peak, and a benchmark holds a lot."""


@dataclass(frozen=True)
class Ran:
    """``megabytes``: the peak of resident memory, of the largest of the process and its children."""

    code: int
    seconds: float
    cpu: float
    megabytes: float
    out: bytes

    def json(self) -> Any:
        return json.loads(self.out)


def trimtab(fleet: Path, state: Path, *words: str, now: datetime, path: str | None = None) -> Ran:
    """Run a command in a fresh process with the clock set; ``path`` in place of PATH.

    :raises AssertionError: when it ends with an error.
    """
    env = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "TRIMTAB_"))}
    env |= {"TRIMTAB_FLEET": str(fleet), "TRIMTAB_STATE_DIR": str(state), "NO_COLOR": "1", "COLUMNS": "160"}
    env |= {"PATH": path} if path else {}
    out = state / "bench-output"
    command = [sys.executable, "-m", "reconciler.cli", *words, "--now", now.strftime("%Y-%m-%dT%H:%M:%SZ")]
    done = subprocess.run(
        [sys.executable, "-c", _LAUNCHER, str(out), *command], capture_output=True, text=True, env=env, check=True
    )
    told = json.loads(done.stdout)
    assert told["code"] in (0, 2), f"trimtab {' '.join(words)} ended with {told['code']}:\n{told['err']}"
    return Ran(told["code"], told["seconds"], told["cpu"], told["megabytes"], out.read_bytes())
