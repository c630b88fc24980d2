"""A throw-away PostgreSQL for the store's tests: its own cluster on a unix socket, one database a test."""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import tenacity
from psycopg import sql

SUPERUSER = "trimtab"
TEMPLATE = "trimtab_template"
_NUMBERS = itertools.count(1)


def binaries() -> Path | None:
    """The directory of ``initdb`` and ``postgres``: from PATH, else where Debian keeps them."""
    on_path = shutil.which("initdb")
    if on_path and (Path(on_path).resolve().parent / "postgres").exists():
        return Path(on_path).resolve().parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def required() -> bool:
    """With TRIMTAB_REQUIRE_ALL=1 a missing PostgreSQL fails the tests instead of leaving its variants out."""
    return os.environ.get("TRIMTAB_REQUIRE_ALL") == "1"


def _ordinary_user() -> str | None:
    """PostgreSQL refuses to run as root: then somebody else's name."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


@contextmanager
def server() -> Iterator[str]:
    """Start a cluster, give the socket's directory, and end the cluster by its pid."""
    programs = binaries()
    assert programs is not None, "PostgreSQL is not installed (initdb was not found)"
    user = _ordinary_user()
    home = Path(tempfile.mkdtemp(prefix="trimtab-pg-", dir="/tmp"))  # a socket's path has 107 bytes at most
    try:
        if user is not None:
            shutil.chown(home, user)
        data = home / "data"
        initdb = [programs / "initdb", "-D", data, "-U", SUPERUSER, "--auth=trust", "-E", "UTF8", "--no-sync"]
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        subprocess.run(initdb, user=user, env=environment, cwd=home, check=True, capture_output=True)
        options = ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
        command = [programs / "postgres", "-D", data, "-k", home, "-h", "", *options]
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(command, user=user, env=environment, cwd=home, stdout=log, stderr=log)
        try:
            _wait_until_up(str(home))
            yield str(home)
        finally:
            process.send_signal(signal.SIGINT)  # ends it at once, whoever is still connected
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(home, ignore_errors=True)


@tenacity.retry(stop=tenacity.stop_after_delay(30), wait=tenacity.wait_fixed(0.05), reraise=True)
def _wait_until_up(socket: str) -> None:
    _admin(socket).close()


def _admin(socket: str) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(host=socket, user=SUPERUSER, dbname="postgres", autocommit=True)


def url(socket: str, name: str) -> str:
    return f"postgresql://{SUPERUSER}@/{name}?host={socket}"


def create(socket: str, *, name: str = "", template: str = "template1") -> str:
    """A new database; gives its name."""
    name = name or f"test_{next(_NUMBERS)}"
    with _admin(socket) as connection:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
    return name


def drop(socket: str, name: str) -> None:
    with _admin(socket) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
