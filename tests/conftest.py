"""Databases for tests: every store test runs on SQLite and, where it is installed, on PostgreSQL."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy import Engine

import support_postgres
from reconciler.store.database import open_database
from support.engine import Docker, missing
from support.engine import engine as docker_engine
from support.kube_double import KubeDouble, kube_double
from support.prometheus import Running, Sampled, prometheus_with
from support.prometheus import missing as prometheus_missing

# In CI every run tries the same examples, so that a change is judged by itself; at home each run tries new ones. No example
# has a deadline: how fast the machine is at the moment is not what a test says.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("home", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "home")

BACKENDS = ["sqlite"]
if support_postgres.binaries() is not None or support_postgres.required():
    BACKENDS.append("postgresql")


@pytest.fixture(scope="session")
def postgres_socket() -> Iterator[str]:
    """A PostgreSQL cluster of this test process, with a migrated template database in it."""
    with support_postgres.server() as socket:
        template = support_postgres.create(socket, name=support_postgres.TEMPLATE)
        open_database(support_postgres.url(socket, template)).dispose()
        yield socket


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file to copy."""
    file = tmp_path_factory.mktemp("template") / "trimtab.db"
    open_database(f"sqlite:///{file}").dispose()
    return file


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh, migrated database."""
    with _fresh(request, tmp_path) as url:
        yield url


@pytest.fixture(scope="module", params=BACKENDS)
def module_database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same for all tests of a module, which then leave it as they found it."""
    with _fresh(request, tmp_path_factory.mktemp("database")) as url:
        yield url


@contextmanager
def _fresh(request: pytest.FixtureRequest, home: Path) -> Iterator[str]:
    if request.param == "sqlite":
        file = home / "trimtab.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), file)
        yield f"sqlite:///{file}"
        return
    socket = request.getfixturevalue("postgres_socket")
    name = support_postgres.create(socket, template=support_postgres.TEMPLATE)
    yield support_postgres.url(socket, name)
    support_postgres.drop(socket, name)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_database(database_url)
    yield opened
    opened.dispose()


@pytest.fixture(scope="module")
def docker() -> Iterator[Docker]:
    """A Docker engine of one file's tests: the next file, which may be another process's, waits for its bridge."""
    if lacking := missing():
        (pytest.fail if support_postgres.required() else pytest.skip)(lacking)
    with docker_engine() as running:
        yield running


@pytest.fixture
def kube() -> Iterator[KubeDouble]:
    """A Kubernetes API server with nothing in it but the namespaces default and kube-system."""
    with kube_double() as double:
        yield double


@pytest.fixture(scope="session")
def prometheus() -> Iterator[Callable[..., Running]]:
    """Starts real Prometheus servers: ``prometheus(samples, *options)``; they end with this test process. In place of
    samples, a server whose samples the new one is to have, too.
    """
    if lacking := prometheus_missing():
        (pytest.fail if support_postgres.required() else pytest.skip)(lacking)
    with ExitStack() as servers:

        def start(samples: Sequence[Sampled] | Running, *options: str) -> Running:
            return servers.enter_context(prometheus_with(samples, *options))

        yield start
