"""Opening a database and bringing its tables up to date.

SQLite runs in WAL mode, where readers never wait; a writer takes the write lock when it begins, so that two processes
that read and then write take turns instead of failing half way. PostgreSQL is spoken to through psycopg 3.
"""

import sqlite3
from pathlib import Path

import tenacity
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from reconciler.errors import InputError, RetryLater, Stalled
from reconciler.store.transactions import reading, writing

HEAD = "0004"
"""The newest revision in ``migrations/versions``."""

_BUSY_TIMEOUT_MS = 30_000
_CONNECT_TIMEOUT_SECONDS = 10
_MIGRATION_LOCK = 0x5452494D
"""The advisory lock ("TRIM") that concurrent starts on PostgreSQL queue for."""

_HAS_REVISION = {
    "sqlite": "SELECT name FROM sqlite_master WHERE name = 'alembic_version'",
    "postgresql": "SELECT to_regclass('alembic_version')",
}


def open_database(url: str) -> Engine:
    """Connect to ``sqlite:///path`` or ``postgresql://user@host/name`` and bring its tables up to date.

    Safe when several processes start at once. The directory of a SQLite file is made when it is not there.

    :raises InputError: when ``url`` is no database URL of a kind that Trimtab speaks.
    :raises Stalled: when the place cannot be written, or was written by a newer Trimtab.
    :raises RetryLater: when the server is away, or the file stays locked.
    """
    parsed = _parse(url)
    engine = _sqlite_engine(parsed) if parsed.get_backend_name() == "sqlite" else _postgresql_engine(parsed)
    try:
        _bring_up_to_date(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _parse(url: str) -> URL:
    hint = "write it as sqlite:///path/to/file or postgresql://user@host/name"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise InputError("the database URL cannot be read", hint=hint) from None
    if parsed.drivername in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        raise InputError(f"{parsed.drivername!r} is not a database that Trimtab speaks", hint=hint)
    return parsed


def _postgresql_engine(url: URL) -> Engine:
    arguments = {"connect_timeout": _CONNECT_TIMEOUT_SECONDS}
    try:
        return create_engine(url, pool_pre_ping=True, connect_args=arguments, hide_parameters=True)
    except ImportError:
        raise Stalled("PostgreSQL needs the package psycopg", hint="pip install 'trimtab[postgres]'") from None


def _sqlite_engine(url: URL) -> Engine:
    if url.database and url.database != ":memory:":
        file = Path(url.database).expanduser()
        url = url.set(database=str(file))
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Stalled(
                f"the directory {file.parent} cannot be made: {error.strerror}",
                hint="point --database-url or TRIMTAB_STATE_DIR somewhere else",
            ) from None
    engine = create_engine(url, hide_parameters=True)
    event.listen(engine, "connect", _on_sqlite_connect)
    event.listen(engine, "begin", _on_sqlite_begin)
    return engine


def _on_sqlite_connect(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # or pysqlite begins by itself, and only before the first write
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA recursive_triggers = ON")  # a REPLACE is a DELETE, too, for the triggers of the decision log
    cursor.close()


def _on_sqlite_begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("trimtab_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _bring_up_to_date(engine: Engine) -> None:
    """Migrate where needed. SQLite refuses at once, without waiting, while another process turns WAL mode on: try again."""
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda e: isinstance(e, RetryLater) and engine.dialect.name == "sqlite"),
        wait=tenacity.wait_random(0.02, 0.2),
        stop=tenacity.stop_after_delay(_BUSY_TIMEOUT_MS / 1000),
        reraise=True,
    ):
        with attempt:
            if _revision(engine) != HEAD:
                _migrate(engine)


def _revision(engine: Engine) -> str | None:
    """The revision that the database is at; None when it has no tables yet."""
    with reading(engine) as connection:
        if connection.exec_driver_sql(_HAS_REVISION[engine.dialect.name]).scalar() is None:
            return None
        return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def _migrate(engine: Engine) -> None:
    """Run the migrations in one transaction, one process at a time; whoever comes second finds nothing to do."""
    # Alembic takes a tenth of a second to import, and is not needed again once a database is up to date.
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    known = [revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()]
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in known:
            raise Stalled(
                f"the database is at revision {current}; this Trimtab knows revisions up to {HEAD}",
                hint="a newer Trimtab wrote it: upgrade this one",
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
