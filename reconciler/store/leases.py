"""Leases: one holder of a name at a time, over processes and machines.

A lease lasts a minute and is renewed while it is held, so that a machine that goes away frees it. A holder on this
machine whose process is gone frees it at once.
"""

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import tenacity
from sqlalchemy import Engine, delete, select, update
from sqlalchemy.exc import SQLAlchemyError

from reconciler.clock import Clock, system_clock
from reconciler.errors import RetryLater, TrimtabError
from reconciler.store.instants import to_micros
from reconciler.store.tables import leases
from reconciler.store.transactions import insert_new, writing

LEASE_SECONDS = 60

_POLL_SECONDS = (0.05, 0.25)
_RENEWALS_A_LEASE = 3
_AGAIN_SECONDS = 5.0
"""Most passes are over by then; who waits for a machine that is gone just tries more than once."""


def process_owner() -> str:
    """This process as a lease's owner: host, pid and when the process started. A host is a name and a space of pids."""
    return f"{_host()}:{os.getpid()}:{_started(os.getpid()) or 0}"


class Lease:
    """A lease that is held."""

    def __init__(self, renew: Callable[[], bool], name: str) -> None:
        self._renew = renew
        self.name = name

    def renew(self) -> None:
        """Hold it for another minute from now.

        :raises RetryLater: when it was lost meanwhile: whoever relies on it must stop.
        """
        if not self._renew():
            raise RetryLater(f"the lease on {self.name} was lost to another process", after_seconds=LEASE_SECONDS)


class _Held(Exception):
    """By whom."""


class LeaseStore:
    """Leases by name. Safe to share between threads."""

    def __init__(self, engine: Engine, clock: Clock = system_clock, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self._engine = engine
        self._clock = clock
        self._seconds = lease_seconds
        self._let_go: set[str] = set()
        """Tokens of leases that have ended, and that the database could not be told of."""

    @contextmanager
    def hold(
        self,
        name: str,
        *,
        owner: str,
        wait_seconds: float,
        on_wait: Callable[[str], None] | None = None,
    ) -> Iterator[Lease]:
        """Hold the lease while the block runs. ``on_wait`` is called once, with the holder, when there is one to wait for.

        :raises RetryLater: when somebody still holds it after ``wait_seconds``; the message says who.
        """
        token = uuid.uuid4().hex
        self._wait(name, owner, token, wait_seconds, on_wait)
        ended = threading.Event()
        renewer = threading.Thread(target=self._keep, args=(name, token, ended), name=f"lease {name}", daemon=True)
        renewer.start()
        try:
            yield Lease(lambda: self._renew(name, token), name)
        finally:
            ended.set()
            renewer.join()
            self._release(name, token)

    def _release(self, name: str, token: str) -> None:
        """What cannot be told now, as the database is away or its disk full, must not hide how the work ended."""
        try:
            with writing(self._engine) as connection:
                connection.execute(delete(leases).where(leases.c.name == name, leases.c.token == token))
        except (TrimtabError, SQLAlchemyError):
            self._let_go.add(token)  # the next of this process need not wait until it expires

    def _wait(
        self, name: str, owner: str, token: str, wait_seconds: float, on_wait: Callable[[str], None] | None
    ) -> None:
        def tell(state: tenacity.RetryCallState) -> None:
            if on_wait is not None and state.attempt_number == 1 and state.outcome is not None:
                on_wait(str(state.outcome.exception()))

        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Held),
            wait=tenacity.wait_random(*_POLL_SECONDS),
            stop=tenacity.stop_after_delay(wait_seconds),
            before_sleep=tell,
            reraise=True,
        )
        try:
            attempts(self._take, name, owner, token)
        except _Held as held:
            raise RetryLater(
                f"{name} is being written by another process ({held})",
                after_seconds=_AGAIN_SECONDS,
                hint="wait until it is done; if it is gone for good, its lease ends within a minute",
            ) from None

    def _take(self, name: str, owner: str, token: str) -> None:
        """:raises _Held: when somebody else has it."""
        row = {"name": name, "owner": owner, "token": token, "expires_ms": self._expiry()}
        with writing(self._engine) as connection:
            if insert_new(connection, leases, row):
                return
            holder = connection.execute(select(leases).where(leases.c.name == name).with_for_update()).one_or_none()
            if holder is None:
                raise _Held("who has just let go of it")
            if holder.expires_ms > self._now() and holder.token not in self._let_go and not _is_gone(holder.owner):
                raise _Held(holder.owner)
            connection.execute(update(leases).where(leases.c.name == name).values(row))

    def _keep(self, name: str, token: str, ended: threading.Event) -> None:
        while not ended.wait(self._seconds / _RENEWALS_A_LEASE):
            with suppress(RetryLater):  # the database is away for a moment: there are two more tries
                if not self._renew(name, token):
                    return

    def _renew(self, name: str, token: str) -> bool:
        mine = update(leases).where(leases.c.name == name, leases.c.token == token)
        with writing(self._engine) as connection:
            return connection.execute(mine.values(expires_ms=self._expiry())).rowcount == 1

    def _now(self) -> int:
        return to_micros(self._clock()) // 1000

    def _expiry(self) -> int:
        return self._now() + int(self._seconds * 1000)


def _host() -> str:
    """Containers may share a host's name and still not see each other's processes."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}/{namespace.strip('pid:[]')}"


def _started(pid: int) -> int | None:
    """Clock ticks from boot to the start of a process; None when it has ended, or there is no /proc to tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


def _is_gone(owner: str) -> bool:
    """Whether ``owner`` was a process of this machine that has ended; False when that cannot be told."""
    host, _, process = owner.partition(":")
    pid, _, started = process.partition(":")
    if host != _host() or not pid.isdecimal() or not started.isdecimal():
        return False
    if Path("/proc/self/stat").exists():
        return _started(int(pid)) != int(started)
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
