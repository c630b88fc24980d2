"""The command line in a process of its own, without importing it anew each time: half of a short command's time.

A process that has imported it waits for requests and forks for each, so that every command starts from the same, clean
state: environment, working directory, no caches.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

SERVE = """
import json, os, sys, traceback
from reconciler.cli import TABLE, Commands, main
for name in TABLE:
    if name != "agent":
        Commands()[name]  # imported once, here

def run(ask):
    os.environ.clear()
    os.environ.update(ask["env"])
    os.chdir(ask["cwd"])
    for fd, name in ((1, "out"), (2, "err")):
        file = os.open(ask[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, fd)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["trimtab", *ask["words"]]
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

for line in sys.stdin:
    child = os.fork()
    if not child:
        run(json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

FIXED = {"COLUMNS": "200", "NO_COLOR": "1"}
"""What the consoles read when they are made, once."""


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


class Zygote:
    """One per test process."""

    def __init__(self) -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "TRIMTAB_"))}
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env | FIXED,
        )
        atexit.register(self._end)

    def run(self, words: list[str], env: dict[str, str], cwd: Path) -> Done:
        assert self._process.stdin is not None and self._process.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            files = {name: f"{folder}/{name}" for name in ("out", "err")}
            ask = {"words": words, "env": env, "cwd": str(cwd), **files}
            self._process.stdin.write(json.dumps(ask) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            out, err = (Path(files[name]).read_text() for name in ("out", "err"))
        return Done(code, out, err)

    def _end(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


_started: list[Zygote] = []


def run(words: list[str], env: dict[str, str], cwd: Path) -> Done:
    """Run ``trimtab`` with ``words``; the consoles are as wide, and as colourless, as :data:`FIXED` says."""
    assert FIXED.items() <= env.items()
    if not _started:
        _started.append(Zygote())
    return _started[0].run(words, env, cwd)
