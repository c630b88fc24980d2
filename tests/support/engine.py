"""A real Docker engine for tests: its own data, its own socket, ended by its pid. Debian's docker.io has all it needs."""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tenacity

_SYSTEM = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"  # in front: dockerd's own client, iptables, runc

_BRIDGE = ("--iptables=false", "--ip6tables=false", "--ip-forward=false")
"""The default bridge, with the machine's firewall and routing left alone: ports are published by docker-proxy."""

_THE_BRIDGE = Path(tempfile.gettempdir()) / "trimtab-docker-bridge.lock"

_NO_BRIDGE = ("--bridge=none", *_BRIDGE)


@dataclass(frozen=True)
class Docker:
    """``host``: the engine's address, for DOCKER_HOST. Without ``bridge``, containers have the host's network or none."""

    host: str
    bridge: bool

    def __call__(self, *words: str, stdin: bytes | int | None = None, code: int | None = 0) -> str:
        """Run the client; what it prints, stripped. ``code=None`` takes any."""
        given = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
        done = subprocess.run(["docker", *words], env=self._environment(), capture_output=True, check=False, **given)
        text = done.stdout.decode(errors="replace").strip()
        if code is not None and done.returncode != code:
            said = f"{text}\n{done.stderr.decode(errors='replace')}"[-6000:]
            raise AssertionError(f"docker {' '.join(words)} ended with {done.returncode}, not {code}:\n{said}")
        return text

    def inspect(self, thing: str, template: str) -> str:
        """One field of a container, image or volume, by Go template."""
        return self("inspect", "--format", template, thing)

    def logs(self, container: str) -> str:
        """The last lines that a container wrote, on either stream."""
        words = ["docker", "logs", "--tail", "40", container]
        out = subprocess.PIPE
        done = subprocess.run(words, env=self._environment(), stdout=out, stderr=subprocess.STDOUT, check=False)
        return done.stdout.decode(errors="replace")

    def publish(self, port: int) -> tuple[str, ...]:
        """Options of ``run`` that make the container's port reachable from here."""
        return ("--publish", f"127.0.0.1::{port}") if self.bridge else ("--network", "host")

    def address(self, container: str, port: int) -> str:
        """Where a port of a container that was run with :meth:`publish` is: ``127.0.0.1:49153``."""
        return self("port", container, f"{port}/tcp").splitlines()[0] if self.bridge else f"127.0.0.1:{port}"

    def _environment(self) -> dict[str, str]:
        return {"PATH": _path(), "HOME": "/nonexistent", "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "0"}


def missing() -> str | None:
    """What this machine lacks to run an engine, with the next step; None when it lacks nothing."""
    if os.geteuid() != 0:
        return "a Docker engine needs root: run these tests as root, in a machine of their own"
    lacking = [name for name in ("dockerd", "docker", "containerd", "runc") if shutil.which(name, path=_path()) is None]
    if lacking:
        return f"{', '.join(lacking)} not found: apt-get install docker.io"
    return None


@contextmanager
def engine(*, bridge: bool = True) -> Iterator[Docker]:
    """Start an engine, and end it with all of its containers.

    Engines share the default bridge, do not know of one another's addresses, and take it away when they end: one at a time
    has it, also of several test processes, and the others wait for it.
    Layers are kept as overlays where the kernel can, else as copies (vfs), which works anywhere but takes long.
    """
    home = Path(tempfile.mkdtemp(prefix="trimtab-docker-", dir="/tmp"))  # a socket's path has 107 bytes at most
    turn = _THE_BRIDGE.open("w") if bridge else None
    try:
        if turn is not None:
            fcntl.flock(turn, fcntl.LOCK_EX)
        networks = (_BRIDGE, _NO_BRIDGE) if bridge else (_NO_BRIDGE,)
        process, docker = _first_that_starts(home, [(d, n) for n in networks for d in ("overlay2", "vfs")])
        try:
            yield docker
        finally:
            if running := docker("ps", "--all", "--quiet", code=None).split():
                docker("rm", "--force", "--volumes", *running, code=None)
            _end(process)
    finally:
        _unmount(home)
        shutil.rmtree(home, ignore_errors=True)
        if turn is not None:
            turn.close()


def _first_that_starts(home: Path, ways: list[tuple[str, tuple[str, ...]]]) -> tuple["subprocess.Popen[bytes]", Docker]:
    log = home / "log"
    for driver, network in ways:
        docker = Docker(f"unix://{home}/docker.sock", bridge=network is _BRIDGE)
        process = _start(home, log, "--storage-driver", driver, *network)
        try:
            _wait_until_up(docker, process)
        except _NotUp:
            _end(process)
            continue
        return process, docker
    raise AssertionError(f"dockerd does not start here; the end of its log:\n{log.read_text()[-4000:]}")


def _start(home: Path, log: Path, *options: str) -> "subprocess.Popen[bytes]":
    command = ["dockerd", "--host", f"unix://{home}/docker.sock", "--pidfile", str(home / "pid")]
    command += ["--data-root", str(home / "data"), "--exec-root", str(home / "exec"), *options]
    with log.open("ab") as out:
        # A session of its own: Ctrl-C is for pytest, which then ends the engine.
        return subprocess.Popen(
            command, env={"PATH": _path(), "HOME": str(home)}, stdout=out, stderr=out, start_new_session=True
        )


class _NotUp(Exception):
    pass


@tenacity.retry(
    stop=tenacity.stop_after_delay(60),
    wait=tenacity.wait_fixed(0.1),
    retry=tenacity.retry_if_result(lambda up: not up),
    retry_error_cls=_NotUp,
)
def _wait_until_up(docker: Docker, process: "subprocess.Popen[bytes]") -> bool:
    if process.poll() is not None:
        raise _NotUp
    return docker("version", "--format", "{{.Server.Version}}", code=None) != ""


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _unmount(home: Path) -> None:
    """What dockerd leaves mounted, innermost first."""
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for place in reversed([place for place in mounted if place.startswith(f"{home}/")]):
        subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)


def _path() -> str:
    return f"{_SYSTEM}:{os.environ.get('PATH', '')}"
