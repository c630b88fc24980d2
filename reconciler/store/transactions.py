"""The two kinds of transaction that the stores use, what they write with, and what a person is told when one fails."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Engine, Executable, Table, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from reconciler.errors import RetryLater, Stalled, TrimtabError

Row = Mapping[str, Any]
T = TypeVar("T")

_KEYS_AT_A_TIME = 1_000


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent view of the database.

    :raises RetryLater: when the database is away or locked for long. :raises Stalled: when it cannot be used at all.
    """
    with plain_errors(engine.url), engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """All or nothing; on SQLite the only writer while it lasts. Raises what :func:`reading` does."""
    with plain_errors(engine.url), engine.connect() as connection:
        connection.execution_options(trimtab_write=True)
        with connection.begin():
            yield connection


def lock_cluster(connection: Connection, cluster: str) -> None:
    """Until the transaction ends, the only writer of what is observed of a cluster. On SQLite a writer is alone anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:cluster))"), {"cluster": cluster})


def lock_clusters(connection: Connection, clusters: Iterable[str]) -> None:
    """:func:`lock_cluster` of several at once, by ascending number of their locks: two servers never wait for each other."""
    names = sorted(set(clusters))
    if connection.dialect.name == "postgresql" and names:
        connection.execute(_LOCK_ALL, {"clusters": names})


_LOCK_ALL = text(
    "SELECT pg_advisory_xact_lock(number) FROM"
    " (SELECT DISTINCT hashtext(name) AS number FROM unnest(CAST(:clusters AS text[])) AS name ORDER BY 1) AS numbers"
)


def insert_into(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that knows ON CONFLICT, which both databases spell alike and SQLAlchemy keeps apart."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def insert_new(connection: Connection, table: Table, row: Row) -> bool:
    """Insert a row; False, and nothing changes, where one with its key is there."""
    insert = insert_into(connection, table).values(row).on_conflict_do_nothing()
    return connection.execute(insert.returning(*table.primary_key)).first() is not None


def upsert_into(connection: Connection, table: Table, *, keep: Sequence[str] = ()) -> Executable:
    """Insert a row, or set every other column, but those to ``keep``, of the one that has its primary key."""
    insert = insert_into(connection, table)
    keys = [column.name for column in table.primary_key]
    kept = {*keys, *keep}
    new = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in kept}
    return insert.on_conflict_do_update(index_elements=keys, set_=new)


def execute_many(connection: Connection, statement: Executable, rows: Sequence[Row]) -> None:
    """Run ``statement`` for all rows at once; without rows there is nothing to run."""
    if rows:
        connection.execute(statement, rows)


def fetch_raw(connection: Connection, query: Executable) -> list[tuple[Any, ...]]:
    """All rows as the driver gives them: a third of the time where there are hundreds of thousands."""
    result = connection.execute(query)
    assert isinstance(result, CursorResult) and result.cursor is not None
    rows = list(result.cursor.fetchall())
    result.close()
    return rows


def chunks_of(keys: Iterable[str]) -> Iterator[list[str]]:
    """Keys in lists that fit into one IN (…)."""
    remaining = iter(keys)
    while some := list(islice(remaining, _KEYS_AT_A_TIME)):
        yield some


def pieces_of(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The same of whatever else goes into IN (…), such as pairs."""
    for begin in range(0, len(items), _KEYS_AT_A_TIME):
        yield items[begin : begin + _KEYS_AT_A_TIME]


@contextmanager
def plain_errors(url: URL) -> Iterator[None]:
    """Turn what a driver raises about the world outside (not about our SQL) into words, without the URL's password."""
    try:
        yield
    except (IntegrityError, ProgrammingError):
        raise
    except PoolTimeoutError:
        raise RetryLater("all connections to the database are busy", after_seconds=5) from None
    except DBAPIError as error:
        plain = _plain(url, str(error.orig))
        if plain is None:
            raise
        raise plain from None


def _plain(url: URL, cause: str) -> TrimtabError | None:
    return _plain_sqlite(url, cause) if url.get_backend_name() == "sqlite" else _plain_postgresql(url, cause)


_SQLITE_STALLED = {
    "disk is full": ("the disk that holds the database {place} is full", "make room; nothing was half-written"),
    "readonly": ("the database {place} cannot be written", "check who owns the file and its directory"),
    "unable to open": ("the database {place} cannot be opened", "check that its directory exists and can be written"),
    "disk I/O error": ("the database {place} cannot be read or written: disk I/O error", "check the disk"),
    "not a database": ("{place} is not a SQLite database", "point --database-url at another file"),
    "malformed": ("the database {place} is damaged", "restore it, or move it away: usage can be imported again"),
}


def _plain_sqlite(url: URL, cause: str) -> TrimtabError | None:
    if "locked" in cause or "busy" in cause:
        return RetryLater(f"the database {url.database} is locked by another process", after_seconds=5)
    for words, (message, hint) in _SQLITE_STALLED.items():
        if words in cause:
            return Stalled(message.format(place=url.database), hint=hint)
    return None


_POSTGRESQL_AWAY = ("connection", "server closed", "timeout", "starting up", "shutting down", "could not translate")


def _plain_postgresql(url: URL, cause: str) -> TrimtabError | None:
    place = url.set(password=None, query={}).render_as_string()
    said = cause.strip().splitlines()[0] if cause.strip() else "no answer"
    if url.password:
        said = said.replace(str(url.password), "***")
    if "No space left" in cause or "could not extend" in cause:
        return Stalled(f"the disk of the database {place} is full", hint="make room; nothing was half-written")
    if "authentication failed" in cause or "does not exist" in cause or "no password" in cause:
        return Stalled(f"the database {place} refuses us: {said}", hint="check user, password and name in the URL")
    if "deadlock" in cause or "serialize" in cause or any(word in cause for word in _POSTGRESQL_AWAY):
        return RetryLater(f"the database {place} is away: {said}", after_seconds=10)
    return None
