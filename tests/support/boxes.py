"""Containers for tests of the Docker agent: an image made here of one static program, and groups of containers of it."""

import io
import os
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import tenacity

from support.engine import Docker

IMAGE = "box:1"
_COMMANDS = ("sh", "sleep", "httpd", "wget", "test", "touch", "cat", "echo", "yes", "rm", "ls", "kill", "mkdir")

SERVE = "mkdir -p /tmp; trap 'exit 0' TERM; while :; do sleep 0.1; done"
"""A main process that ends at once when it is asked to; a shell without a trap would wait for the kill."""


def build(docker: Docker) -> str:
    """The image, FROM scratch with a static busybox; its id."""
    program = shutil.which("busybox")
    assert program, "busybox not found: apt-get install busybox-static"
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as out:
        out.add(program, "bin/busybox")
        for name in _COMMANDS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            out.addfile(link)
    return docker("import", "--change", "ENV PATH=/bin", "-", IMAGE, stdin=tar.getvalue())


def template(docker: Docker, group: str, *words: str, script: str = SERVE, name: str = "", pool: str = "") -> str:
    """Run a container of a group as a person would; its id."""
    labels = ["--label", f"trimtab.group={group}", *(["--label", f"trimtab.host-pool={pool}"] if pool else [])]
    return docker("run", "--detach", "--name", name or group, *labels, *words, IMAGE, "sh", "-c", script)


def running(docker: Docker, group: str) -> list[str]:
    """Names of the group's containers that run."""
    listed = docker("ps", "--filter", f"label=trimtab.group={group}", "--format", "{{.Names}}")
    return sorted(listed.split())


def present(docker: Docker, group: str) -> list[str]:
    """Names of all of the group's containers."""
    listed = docker("ps", "--all", "--filter", f"label=trimtab.group={group}", "--format", "{{.Names}}")
    return sorted(listed.split())


def clear(docker: Docker) -> None:
    """Remove all containers."""
    if ids := docker("ps", "--all", "--quiet").split():
        docker("rm", "--force", "--volumes", *ids)


@tenacity.retry(stop=tenacity.stop_after_delay(120), wait=tenacity.wait_fixed(0.05), reraise=True)
def until(true: Callable[[], object]) -> None:
    """Until it says so."""
    assert true()


@contextmanager
def away(docker: Docker) -> Iterator[Callable[[], None]]:
    """The engine is ended; what is given starts it again as it was. It is ended for good when the test is over."""
    home = Path(docker.host.removeprefix("unix://")).parent
    pid = int((home / "pid").read_text())
    command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    environment = dict(entry.split("=", 1) for entry in Path(f"/proc/{pid}/environ").read_text().split("\0")[:-1])
    os.kill(pid, signal.SIGTERM)
    until(lambda: not (home / "pid").exists())
    begun: list[subprocess.Popen[bytes]] = []

    def back() -> None:
        with (home / "log").open("ab") as log:
            begun.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True))
        until(lambda: docker("version", "--format", "{{.Server.Version}}", code=None))

    try:
        yield back
    finally:
        if begun:
            if ids := docker("ps", "--all", "--quiet", code=None).split():
                docker("rm", "--force", "--volumes", *ids, code=None)
            begun[0].terminate()
            begun[0].wait(30)
