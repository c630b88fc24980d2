"""Opening and migrating databases, and what a person is told when that fails."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.pool import QueuePool

from reconciler.clock import stopwatch
from reconciler.errors import InputError, RetryLater, Stalled, TrimtabError
from reconciler.store.database import open_database
from reconciler.store.tables import metadata
from reconciler.store.transactions import reading, writing


def test_the_migrations_make_exactly_the_tables_that_the_code_speaks_of(engine: Engine) -> None:
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    assert differences == []


def test_sqlite_runs_in_wal_mode_with_the_promised_settings(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/deep/down/trimtab.db")
    with reading(engine) as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    engine.dispose()
    assert pragmas == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "busy_timeout": 30000}


def test_opening_a_migrated_file_is_quick(sqlite_template: Path) -> None:
    times = []
    for _ in range(5):
        elapsed = stopwatch()
        open_database(f"sqlite:///{sqlite_template}").dispose()
        times.append(elapsed())
    assert min(times) < 0.05


def test_processes_that_start_at_once_migrate_only_once(tmp_path: Path) -> None:
    file = tmp_path / "trimtab.db"
    script = f"from reconciler.store.database import open_database; open_database('sqlite:///{file}').dispose()"
    starts = [subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE) for _ in range(4)]
    assert [(start.communicate()[1], start.returncode) for start in starts] == [(b"", 0)] * 4


def test_a_database_of_a_newer_trimtab_is_refused(database_url: str) -> None:
    engine = open_database(database_url)
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(Stalled, match=r"revision 9999(.|\n)*upgrade this one"):
        open_database(database_url)


def test_a_transaction_that_fails_leaves_nothing(engine: Engine) -> None:
    insert = text("INSERT INTO marks (fleet, name, value) VALUES ('a', 'b', 'c')")

    def half_way() -> None:
        with writing(engine) as connection:
            connection.execute(insert)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_way()
    with reading(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM marks")).scalar() == 0


@pytest.mark.parametrize("url", ["nonsense", "mysql://user:secret@host/db", "postgresql://u:secret@host:port/db"])
def test_a_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InputError) as raised:
        open_database(url)
    assert "secret" not in str(raised.value)


def test_a_server_that_is_away_is_said_without_the_password() -> None:
    with pytest.raises(RetryLater, match=r"127\.0\.0\.1") as raised:
        open_database("postgresql://trimtab:s3cr3t@127.0.0.1:1/trimtab")
    assert "s3cr3t" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_that_all_connections_are_busy_is_said_and_passes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/trimtab.db"
    open_database(url).dispose()
    engine = create_engine(url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.05)
    with reading(engine):
        for transaction in (reading, writing):
            with pytest.raises(RetryLater, match="busy"), transaction(engine):
                pytest.fail("there is but one connection")
    with reading(engine) as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    engine.dispose()


def test_a_place_that_is_no_directory_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(Stalled, match="cannot be made"):
        open_database(f"sqlite:///{tmp_path}/file/trimtab.db")


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    file = tmp_path / "trimtab.db"
    file.write_text("apiVersion: v1\n" * 200)
    with pytest.raises(Stalled, match="is not a SQLite database"):
        open_database(f"sqlite:///{file}")
    assert file.read_text().startswith("apiVersion")


def test_a_full_disk_is_said_and_nothing_is_half_written(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/trimtab.db")

    def fill(connection_limit: int) -> None:
        with writing(engine) as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {connection_limit}")
            connection.execute(text("INSERT INTO marks VALUES ('fleet', 'first', 'value')"))
            connection.execute(text("INSERT INTO marks VALUES ('fleet', 'big', :value)"), {"value": "x" * 2_000_000})

    with pytest.raises(TrimtabError, match="disk that holds the database .* is full"):
        fill(100)
    with reading(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM marks")).scalar() == 0
    engine.dispose()


def test_the_secret_of_a_url_is_in_no_error_of_a_postgresql_that_refuses(
    request: pytest.FixtureRequest, database_url: str
) -> None:
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        missing = f"{database_url}.d/../../no\0where/x.db"
        with pytest.raises((TrimtabError, ValueError)):
            open_database(missing)
        return
    wrong = url.set(database="not_there", password="s3cr3t")
    with pytest.raises(Stalled, match='"not_there" does not exist') as raised:
        open_database(wrong.render_as_string(hide_password=False))
    assert "s3cr3t" not in str(raised.value)
