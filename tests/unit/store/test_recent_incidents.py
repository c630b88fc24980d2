"""Incidents with their instants: what pushes grew by, for two days, on both databases."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, func, select

from reconciler.model.guard import Incident, Watch
from reconciler.model.observation import PushBody
from reconciler.model.workload import WorkloadKey
from reconciler.store.pushes import Incoming, record_pushes
from reconciler.store.tables import pod_counters, recent_incidents
from reconciler.store.watched import WatchedStore

AT = datetime(2026, 6, 17, 10, tzinfo=UTC)
WEB = WorkloadKey(cluster="prod", namespace="shop", kind="Deployment", name="web")


def pushed(minute: float, pod: str, container: dict[str, Any]) -> Incoming:
    owned = {"ownerKind": "ReplicaSet", "ownerName": "web-6f7d8c9b5", "containers": [{"name": "server", **container}]}
    pods = [{"namespace": "shop", "name": pod, "uid": pod, **owned}]
    body = PushBody.model_validate({"timestamp": AT + timedelta(minutes=minute), "pods": pods})
    return Incoming(body, "prod", "agent")


def push(engine: Engine, minute: float, pod: str = "p1", **container: Any) -> None:
    record_pushes(engine, [pushed(minute, pod, container)])


def told(engine: Engine, since: datetime = AT) -> list[tuple[float, str, int, int, int]]:
    """Minute, pod, OOM kills, restarts, throttled."""
    found = WatchedStore(engine).incidents(["prod"], {WEB}, since)
    return [((i.at - AT) / timedelta(minutes=1), i.pod, i.oom_kills, i.restarts, i.throttled) for i in found]


def rows(engine: Engine) -> int:
    with engine.begin() as connection:
        return int(connection.execute(select(func.count()).select_from(recent_incidents)).scalar_one())


def test_what_grew_with_a_push_has_its_instant(engine: Engine) -> None:
    push(engine, 0, restartCount=7, oomKills=2)  # the cluster's first push: who knows when
    push(engine, 1, restartCount=8, oomKills=3)
    push(engine, 2, restartCount=8, oomKills=3)
    push(engine, 3, "p2", restartCount=2)  # a pod that was not there a minute ago
    push(engine, 4, restartCount=1, oomKills=0)  # begins anew
    assert told(engine) == [(1, "p1", 1, 1, 0), (3, "p2", 0, 2, 0), (4, "p1", 0, 1, 0)]
    assert told(engine, AT + timedelta(minutes=3)) == told(engine)[1:]
    assert WatchedStore(engine).incidents(["prod", "other"], set(), AT) == []


def test_a_kill_that_an_agent_sees_again_after_its_restart_is_no_new_one(engine: Engine) -> None:
    push(engine, 0)
    push(engine, 1, restartCount=2, oomKills=2)
    push(engine, 30, restartCount=2, oomKills=1)  # started anew, it knows how the container has ended last
    push(engine, 31, restartCount=2, oomKills=0)
    push(engine, 32, restartCount=3, oomKills=1)
    assert told(engine) == [(1, "p1", 2, 2, 0), (32, "p1", 1, 1, 0)]


def test_pushes_without_incidents_write_nothing(engine: Engine) -> None:
    for minute in range(5):
        push(engine, minute, cpuMillicores=5, throttledPercent=10)
    with engine.begin() as connection:
        counters = connection.execute(select(func.count()).select_from(pod_counters)).scalar_one()
    assert (rows(engine), counters) == (0, 0)


def test_throttled_in_three_pushes_in_a_row_is_an_incident_and_then_every_fourth(engine: Engine) -> None:
    for minute, share in enumerate((30, 30, 10, 25, 26, 27, 28, 29, 30, 31, None, 30)):
        push(engine, minute, throttledPercent=share)
    assert told(engine) == [(5, "p1", 0, 0, 1), (9, "p1", 0, 0, 1)]


def test_what_is_older_than_two_days_is_let_go(engine: Engine) -> None:
    push(engine, 0)
    push(engine, 1, restartCount=1)
    push(engine, 60 * 47, restartCount=2)
    assert rows(engine) == 2
    push(engine, 60 * 49, restartCount=3)
    assert rows(engine) == 2
    assert [minute for minute, *_ in told(engine)] == [60 * 47, 60 * 49]


def test_many_pushes_at_once_count_like_one_after_the_other(engine: Engine) -> None:
    record_pushes(engine, [pushed(minute, "p", {"oomKills": kills}) for minute, kills in enumerate((0, 1, 1, 3))])
    assert told(engine) == [(1, "p", 1, 0, 0), (3, "p", 2, 0, 0)]


def test_a_change_is_watched_once(engine: Engine) -> None:
    store = WatchedStore(engine)
    before = Incident(at=AT, workload=WEB, container="server", oom_kills=1)
    watch = Watch(change_id="c1", fleet="f", begins=AT, before=(before,))
    assert store.begin(watch)
    assert not store.begin(watch.model_copy(update={"begins": AT + timedelta(hours=1)}))
    assert store.open("f") == (watch,)
    assert store.open("other") == ()
    noted = watch.model_copy(update={"evidence": "because", "overtaken": frozenset({"a.yaml#x"})})
    store.note(noted)
    assert store.open("f") == (noted,)
    store.close(noted, "reverted")
    assert store.open("f") == ()
    store.note(watch)
    assert store.find("c1") == noted.model_copy(update={"outcome": "reverted"})
    assert store.of(["c1", "c2"]).keys() == {"c1"}
    assert not store.begin(watch)
    assert store.is_known("c1") and not store.is_known("c2")
    later = Watch(change_id="c2", fleet="f", begins=AT + timedelta(days=91))
    store.begin(later)
    store.close(later, "quiet")
    assert store.find("c1") is None
