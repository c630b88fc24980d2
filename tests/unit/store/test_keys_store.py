"""API keys: what is stored of them, who finds them, and how they end."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from reconciler.store.keys import KeyStore
from reconciler.store.tables import api_keys
from reconciler.store.transactions import reading

NOW = datetime(2026, 6, 17, 10, 0, tzinfo=UTC)


@pytest.fixture
def store(engine: Engine) -> KeyStore:
    return KeyStore(engine)


def test_a_key_is_found_by_itself_alone_with_what_it_may_do(store: KeyStore) -> None:
    secret, made = store.create("acme", "ci", ("scaling:write", "agents:register"), ("prod", "c1"), NOW)
    assert re.fullmatch(r"tt_live_[0-9A-Za-z]{32}", secret)
    found = store.find(secret)
    assert found == made
    assert found is not None
    assert (found.organization, found.name, found.created_at) == ("acme", "ci", NOW)
    assert (found.scopes, found.clusters) == (("scaling:write", "agents:register"), ("prod", "c1"))
    for other in (secret[:-1], secret + "x", secret.lower() + "x", "", made.id, made.prefix):
        assert store.find(other) is None


def test_the_key_itself_is_nowhere_in_the_database(store: KeyStore, engine: Engine, database_url: str) -> None:
    secret, made = store.create("acme", "ci", ("admin",), (), NOW)
    with reading(engine) as connection:
        (row,) = connection.execute(select(api_keys)).all()
    assert not any(secret in str(value) for value in row)
    assert secret.startswith(made.prefix) and len(made.prefix) <= 12
    if database_url.startswith("sqlite"):
        folder = Path(database_url.removeprefix("sqlite:///")).parent
        files = [file for file in folder.iterdir() if file.is_file()]
        assert files
        assert not any(secret.encode() in file.read_bytes() for file in files)


def test_two_keys_of_one_name_are_two_keys(store: KeyStore) -> None:
    first, one = store.create("acme", "ci", ("scaling:read",), (), NOW)
    second, two = store.create("acme", "ci", ("scaling:read",), (), NOW)
    assert first != second and one.id != two.id
    assert store.revoke(one.id, NOW)
    assert store.find(first) is None
    assert store.find(second) == two


def test_keys_are_listed_by_organization_the_oldest_first(store: KeyStore) -> None:
    later = store.create("acme", "later", ("admin",), (), NOW + timedelta(hours=1))[1]
    sooner = store.create("acme", "sooner", ("admin",), (), NOW)[1]
    other = store.create("other", "theirs", ("admin",), (), NOW + timedelta(hours=2))[1]
    assert store.list("acme") == (sooner, later)
    assert store.list("other") == (other,)
    assert store.list("nobody") == ()
    assert store.list() == (sooner, later, other)


def test_a_revoked_key_ends_once_and_stays_in_the_list(store: KeyStore) -> None:
    secret, key = store.create("acme", "ci", ("admin",), (), NOW)
    ended = NOW + timedelta(days=1)
    assert store.revoke(key.id, ended)
    assert store.find(secret) is None
    assert not store.revoke(key.id, ended + timedelta(days=1))
    assert [listed.revoked_at for listed in store.list("acme")] == [ended]
    assert not store.revoke("key_000000000000", NOW)
