"""Heartbeats: one a cluster, controller and instant, read newest first, forgotten after a while."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from reconciler.store.heartbeats import HeartbeatStore
from support.ran import heartbeat

AT = datetime(2026, 6, 17, 10, tzinfo=UTC)


def after(minutes: float) -> datetime:
    return AT + timedelta(minutes=minutes)


@pytest.fixture
def store(engine: Engine) -> HeartbeatStore:
    made = HeartbeatStore(engine)
    beats = [heartbeat(cluster, after(5 * n)) for cluster in ("prod", "dev") for n in range(3)]
    made.beat([*beats, heartbeat("prod", after(1), "agent_1"), heartbeat("prod", after(60), organization="globex")])
    return made


def test_they_come_newest_first_with_all_they_said(store: HeartbeatStore) -> None:
    newest = heartbeat("prod", after(15), "agent_1", status="stale", version="1.2.3", actions_processed=7)
    store.beat([newest])
    found = store.list("acme")
    assert found[0] == newest
    assert [beat.at for beat in found] == sorted((beat.at for beat in found), reverse=True) and len(found) == 8


def test_the_same_tick_is_one_heartbeat(store: HeartbeatStore) -> None:
    again = heartbeat("prod", AT, status="degraded")
    store.beat([again])
    store.beat([])
    assert store.list("acme", end=AT) == (heartbeat("dev", AT), again)


def test_they_are_narrowed_and_paged(store: HeartbeatStore) -> None:
    assert {beat.cluster for beat in store.list("acme", cluster="dev")} == {"dev"}
    assert [beat.at for beat in store.list("acme", cluster="dev", start=after(5), end=after(10))] == [
        after(10),
        after(5),
    ]
    assert {beat.cluster for beat in store.list("acme", clusters={"prod", "x"})} == {"prod"}
    assert store.list("acme", clusters=set()) == store.list("nobody") == store.list("acme", cluster="x") == ()
    everything = store.list("acme")
    assert sum((store.list("acme", limit=3, offset=n) for n in (0, 3, 6)), ()) == everything
    assert store.list("acme", offset=5) == everything[5:]


def test_the_latest_of_each_cluster(store: HeartbeatStore) -> None:
    store.beat([heartbeat("prod", after(11), "agent_1"), heartbeat("a-new-one", after(2))])
    assert store.latest("acme") == {"a-new-one": after(2), "dev": after(10), "prod": after(11)}
    assert store.latest("acme", {"prod", "x"}) == {"prod": after(11)}
    assert store.latest("globex") == {"prod": after(60)}
    assert store.latest("nobody") == store.latest("acme", ()) == {}


def test_old_ones_are_forgotten_everywhere(store: HeartbeatStore) -> None:
    assert store.forget(after(5)) == 3
    assert store.forget(after(5)) == 0
    assert {beat.at for beat in store.list("acme")} == {after(5), after(10)}
    assert store.forget(after(100)) == 5
    assert store.latest("acme") == store.latest("globex") == {}
