"""What became of each command, on disk: written before anything is touched and before anything is answered.

Received → done → told. A command that is delivered again after it was done is answered out of here; one that was received
and is not done was broken off, by a kill or because the engine went away, and is taken up again.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from reconciler.errors import Stalled

FILE: Final = "commands.sqlite"
KEPT: Final = timedelta(days=1)
"""How long a command is remembered. The server forgets it after two minutes."""

Status = Literal["succeeded", "failed"]

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS commands (
    id TEXT PRIMARY KEY, body TEXT NOT NULL, received_at TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT '', message TEXT NOT NULL DEFAULT '', told INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS pools (
    host_pool TEXT NOT NULL, grp TEXT NOT NULL, ref TEXT NOT NULL, PRIMARY KEY (host_pool, grp)
);
"""


@dataclass(frozen=True)
class Entry:
    """``status`` is empty while the command is not done, and ``told`` false until the server has taken the answer."""

    id: str
    body: dict[str, Any]
    status: Status | Literal[""]
    message: str
    told: bool


class Ledger:
    """One file that belongs to one agent process for as long as that runs. Every write is on the disk when it returns.

    Each method raises :class:`reconciler.errors.Stalled` when the file cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        """:raises Stalled: no permission, no file of ours, or another agent has it open."""
        self._file = folder / FILE
        with self._used():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._database = sqlite3.connect(self._file, timeout=1, isolation_level=None, check_same_thread=False)
            try:
                # Taken with the first write and never given back while this process lives; a kill gives it back.
                self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._database.execute("PRAGMA synchronous = FULL")
                self._database.executescript(f"BEGIN EXCLUSIVE; {_TABLES} COMMIT;")
            except sqlite3.Error:
                self._database.close()
                raise

    def received(self, body: dict[str, Any], now: datetime) -> Entry:
        """Write a command down, or give the entry that it has. Entries of over a day ago go."""
        with self._used():
            self._database.execute("DELETE FROM commands WHERE received_at < ?", [(now - KEPT).isoformat()])
            self._database.execute(
                "INSERT OR IGNORE INTO commands (id, body, received_at) VALUES (?, ?, ?)",
                [body["command_id"], json.dumps(body), now.isoformat()],
            )
            return next(self._select("WHERE id = ?", body["command_id"]))

    def done(self, command_id: str, status: Status, message: str) -> None:
        """What came of it. What was written first stays."""
        with self._used():
            self._database.execute(
                "UPDATE commands SET status = ?, message = ? WHERE id = ? AND status = ''",
                [status, message, command_id],
            )

    def told(self, command_id: str) -> None:
        """The server has the answer."""
        with self._used():
            self._database.execute("UPDATE commands SET told = 1 WHERE id = ?", [command_id])

    def open(self) -> tuple[Entry, ...]:
        """What is not done, or not told, oldest first."""
        with self._used():
            return tuple(self._select("WHERE told = 0 ORDER BY received_at, rowid"))

    def remember_pool(self, host_pool: str, group: str, ref: str) -> None:
        """Which load balancer's pool the group's containers are in; an empty ``ref`` for none."""
        with self._used():
            self._database.execute("INSERT OR REPLACE INTO pools VALUES (?, ?, ?)", [host_pool, group, ref])

    def pools(self, host_pool: str) -> tuple[tuple[str, str], ...]:
        """(group, ref) of the groups that are in a load balancer's pool."""
        with self._used():
            asked = "SELECT grp, ref FROM pools WHERE host_pool = ? AND ref != '' ORDER BY grp"
            return tuple(self._database.execute(asked, [host_pool]))

    def close(self) -> None:
        self._database.close()

    def _select(self, where: str, *values: str) -> Iterator[Entry]:
        rows = self._database.execute(f"SELECT id, body, status, message, told FROM commands {where}", values)  # noqa: S608 - the condition is written here
        for command_id, body, status, message, told in rows.fetchall():
            yield Entry(command_id, json.loads(body), status, message, bool(told))

    @contextmanager
    def _used(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> Stalled:
        if "locked" in str(error):
            return Stalled(
                f"another agent has the ledger {self._file} open",
                hint="one agent per Docker host is enough; for a second engine or host pool give each its own --ledger folder",
            )
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            hint = "move the file away and start the agent again; what was in it is done, or will be asked for again"
        else:
            hint = "give --ledger a folder on a disk with room that the agent's user can write"
        return Stalled(f"the ledger {self._file} cannot be used: {error}", hint=hint)
