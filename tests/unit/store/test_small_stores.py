"""Refusals, the cache and the marks."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from reconciler.model.change import Refusal
from reconciler.store.cache import CacheStore
from reconciler.store.marks import MarkStore
from reconciler.store.refusals import RefusalStore

AT = datetime(2026, 6, 17, 10, tzinfo=UTC)


def refusal(field: str = "cpu", commit: str = "c1", subject: str = "policy/web") -> Refusal:
    return Refusal(subject=subject, path="a.yaml", field=field, value="250m", at=AT, by="a person", commit=commit)


def test_a_refusal_stands_once_until_it_is_cleared(engine: Engine) -> None:
    store = RefusalStore(engine)
    store.add("acme", [refusal(), refusal("memory")])
    store.add("acme", [refusal(), refusal(commit="c2")])
    store.add("other", [refusal()])
    assert store.standing("acme") == (refusal(), refusal("memory"), refusal(commit="c2"))
    store.clear("acme", "policy/web", "a.yaml", "cpu")
    assert store.standing("acme") == (refusal("memory"),)
    assert store.standing("other") == (refusal(),)
    store.add("acme", [])
    assert store.standing("nobody") == ()


def test_marks_are_kept_by_fleet_and_name(engine: Engine) -> None:
    marks = MarkStore(engine)
    assert marks.get("acme", "scanned") is None
    marks.set("acme", "scanned", "c1")
    marks.set("acme", "scanned", "c2")
    marks.set_many("acme", {"build:a": "1", "build:b": "2", "build_c": "3"})
    assert marks.get("acme", "scanned") == "c2"
    assert marks.get("other", "scanned") is None
    assert marks.every("acme", "build:") == {"build:a": "1", "build:b": "2"}
    assert marks.every("acme", "build_") == {"build_c": "3"}


def test_the_cache_gives_back_what_was_put(engine: Engine) -> None:
    cache = CacheStore(engine)
    many = {f"key{n}": bytes([n % 256]) * n for n in range(2500)}
    cache.put_many(many)
    assert cache.get_many([*many, "unknown"]) == many
    cache.put_many({"key1": b"new"})
    assert cache.get_many(["key1"]) == {"key1": b"new"}
    assert cache.get_many([]) == {}


def test_the_cache_drops_what_was_not_used_for_longest(engine: Engine) -> None:
    cache = CacheStore(engine, max_bytes=300)
    for name in ("a", "b", "c"):
        cache.put_many({name: name.encode() * 100})
    assert set(cache.get_many(["a"])) == {"a"}
    cache.put_many({"d": b"d" * 100})
    assert set(cache.get_many("abcd")) == {"a", "c", "d"}


@pytest.mark.parametrize("size", [301, 10_000])
def test_what_is_larger_than_the_cache_is_not_kept_and_drops_nothing(engine: Engine, size: int) -> None:
    cache = CacheStore(engine, max_bytes=300)
    cache.put_many({"small": b"s"})
    cache.put_many({"large": b"l" * size})
    assert cache.get_many(["small", "large"]) == {"small": b"s"}
