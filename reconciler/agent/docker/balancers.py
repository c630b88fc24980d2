"""The load balancer's backends file: where the group's healthy containers are, in the balancer's own words."""

import os
import re
import socket
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

import reconciler
from reconciler.agent.docker.members import PORT, TEMPLATE
from reconciler.errors import Stalled

BUILT_IN: Final = {"traefik": "traefik.yml.j2", "haproxy": "haproxy.cfg.j2", "nginx": "nginx.conf.j2"}
OWN_TEMPLATE: Final = "template:"
MARK: Final = "Written by Trimtab"
NEW_FILE_MODE: Final = 0o644
_ANYWHERE: Final = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
_ODD: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Server:
    """``address``: ``172.17.0.2:80``, an IPv6 one in brackets."""

    name: str
    address: str


class Balancers:
    """The files by ``lbPoolRef``, each wholly Trimtab's.

    Every method raises :class:`reconciler.errors.Stalled`, with the next step, when a file or a template cannot be used.
    """

    def __init__(self, given: Iterable[tuple[str, str, Path]]) -> None:
        self._files = {ref: (kind, file) for ref, kind, file in given}
        for ref, (kind, _) in self._files.items():
            if kind not in BUILT_IN and not kind.startswith(OWN_TEMPLATE):
                raise Stalled(f"--lb {ref}: {kind!r} is no kind of load balancer", hint=_KINDS)
            self._render(ref, "none", ())

    def knows(self, ref: str) -> bool:
        return ref in self._files

    def check(self, ref: str) -> None:
        """Whether its file could be written now: to know it before containers come and go."""
        _, file = self._known(ref)
        self._ours(file)
        with _blaming(file):
            handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
            os.close(handle)
            Path(name).unlink()

    def write(self, ref: str, group: str, servers: Iterable[Server]) -> bool:
        """Put these servers into the file, in one step, if it does not say so already; whether it was written."""
        _, file = self._known(ref)
        text = self._render(ref, group, tuple(sorted(servers, key=lambda server: server.name)))
        with _blaming(file):
            if file.exists() and file.read_bytes() == text:
                return False
        self._ours(file)
        with _blaming(file):
            _replace(file, text)
        return True

    def _known(self, ref: str) -> tuple[str, Path]:
        if ref not in self._files:
            raise Stalled(
                f"this host's agent knows no load balancer {ref!r}, which lbPoolRef asks for",
                hint=f"start the agent with --lb {ref}=traefik:FILE (or haproxy, nginx), or take lbPoolRef off the group",
            )
        return self._files[ref]

    def _ours(self, file: Path) -> None:
        """Somebody's own file is not written over: what the built-in templates make has a mark in its first line."""
        kind = next(kind for kind, known in self._files.values() if known == file)
        if kind not in BUILT_IN:
            return
        with _blaming(file):
            text = file.read_text(errors="replace") if file.exists() else ""
        if text.strip() and MARK not in text.splitlines()[0]:
            raise Stalled(
                f"{file} is not written over: it was not written by Trimtab",
                hint="give --lb a file of its own; Traefik, HAProxy and nginx each read several",
            )

    def _render(self, ref: str, group: str, servers: tuple[Server, ...]) -> bytes:
        kind, _ = self._files[ref]
        source = Path(kind.removeprefix(OWN_TEMPLATE)) if kind not in BUILT_IN else _folder() / BUILT_IN[kind]
        sandbox = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
        )
        try:
            template = sandbox.from_string(source.read_text(encoding="utf-8"))
            return template.render(ref=ref, pool=pool_of(ref), group=group, servers=servers).encode()
        except (OSError, ValueError, TemplateError) as error:
            line = getattr(error, "lineno", None)
            where = f"{source}:{line}" if line else str(source)
            raise Stalled(
                f"--lb {ref}: {where}: {error}", hint="it is given ref, pool, group and servers (name, address)"
            ) from error


_KINDS: Final = "traefik, haproxy, nginx, or template:FILE for a Jinja2 template of your own"


def pool_of(ref: str) -> str:
    """What the pool is called in the balancer's own file: ``web`` of ``haproxy/web``, without what such names cannot have."""
    return _ODD.sub("-", ref.rstrip("/").rpartition("/")[2]) or "pool"


def servers_of(inspected: Iterable[Mapping[str, Any]]) -> tuple[Server, ...]:
    """Where containers can be reached: in their network, at the port of the label ``trimtab.port``; else at their published port.

    :raises Stalled: when one has neither.
    """
    return tuple(Server(one["Name"].removeprefix("/"), address_of(one)) for one in inspected)


def address_of(inspected: Mapping[str, Any]) -> str:
    """:raises Stalled: when it cannot be reached."""
    port = (inspected["Config"].get("Labels") or {}).get(PORT, "")
    if port:
        return _joined(_network_address(inspected), port)
    ports = inspected["NetworkSettings"].get("Ports") or {}
    published = sorted((name, bound[0]) for name, bound in ports.items() if bound and name.endswith("/tcp"))
    if not published:
        raise Stalled(
            f"{inspected['Name'].removeprefix('/')} has no label {PORT} and publishes no port, so that a load balancer cannot find it",
            hint=f"run the group's {TEMPLATE} container with --label {PORT}=8080, or with -p 8080",
        )
    _, binding = published[0]
    address = binding["HostIp"] if binding["HostIp"] not in _ANYWHERE else own_address()
    return _joined(address, binding["HostPort"])


def own_address() -> str:
    """This machine's address towards other machines; the loopback where it has no way to any."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # of RFC 5737's test network; a datagram socket sends nothing when it connects
        return str(probe.getsockname()[0])
    return "127.0.0.1"


def _network_address(inspected: Mapping[str, Any]) -> str:
    networks = inspected["NetworkSettings"].get("Networks") or {}
    addresses = (
        joined.get(key) for key in ("IPAddress", "GlobalIPv6Address") for _, joined in sorted(networks.items())
    )
    return next((str(address) for address in addresses if address), "") or own_address()


def _joined(address: str, port: str) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _replace(file: Path, text: bytes) -> None:
    """A reader sees the old file or the new one, whole, also after the power went; mode and owner stay."""
    before = file.stat() if file.exists() else None
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(text)
            os.fchmod(out.fileno(), stat.S_IMODE(before.st_mode) if before else NEW_FILE_MODE)
            if before and (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                with suppress(PermissionError):
                    os.fchown(out.fileno(), before.st_uid, before.st_gid)
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _blaming(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Stalled(
            f"the load balancer's file {file} cannot be written: {error.strerror or error}",
            hint="the agent's user must be able to write its folder, too: the file is replaced in one step",
        ) from error


def _folder() -> Path:
    """Templates in the wheel, or beside the package in a checkout."""
    package = Path(reconciler.__file__).resolve().parent
    installed = package / "_share" / "templates"
    return (installed if installed.is_dir() else package.parent / "templates") / "balancers"
