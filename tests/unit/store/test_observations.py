"""Pushes: the newest state, incidents, usage, and each of them only once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from reconciler.model.observation import OomRecord, PushBody, SeriesKey
from reconciler.model.workload import WorkloadKey
from reconciler.store.observations import ObservationStore
from reconciler.store.pushes import record_push
from reconciler.store.usage import UsageStore

AT = datetime(2026, 6, 17, 10, 0, 0, 250000, tzinfo=UTC)
WEB = WorkloadKey(cluster="prod", namespace="default", kind="Deployment", name="web")


def pod(name: str = "web-6f7d8c9b5-abcde", uid: str = "u1", **container: Any) -> dict[str, Any]:
    given = {"name": "server", "cpuMillicores": 250, "memoryMB": 100}
    return {
        "namespace": "default",
        "name": name,
        "uid": uid,
        "ownerKind": "ReplicaSet",
        "ownerName": "web-6f7d8c9b5",
        "containers": [{**given, **container}],
    }


def push(minutes: float = 0, **lists: Any) -> PushBody:
    return PushBody.model_validate({"timestamp": AT + timedelta(minutes=minutes), **lists})


@pytest.fixture
def store(engine: Engine) -> ObservationStore:
    return ObservationStore(engine)


def record(store: ObservationStore, body: PushBody, agent: str = "a") -> bool:
    return store.record(body, cluster="prod", agent=agent)


def names(store: ObservationStore, what: str = "nodes") -> list[str]:
    return sorted(item.name for item in getattr(store.newest("prod"), what))


def test_the_newest_state_is_what_was_pushed_last(store: ObservationStore) -> None:
    body = push(
        pods=[pod()],
        nodes=[{"name": "n1", "cpuCapacityMillicores": 4000, "memoryCapacityMB": 16000}],
        workloads=[{"namespace": "default", "kind": "Deployment", "name": "web", "replicas": 2}],
        quotas=[{"namespace": "default", "name": "q", "hard": {"requests.cpu": "4"}, "used": {"requests.cpu": "1"}}],
        containers=[{"id": "c1", "name": "cache", "memoryMB": 12}],
    )
    assert record(store, body)
    seen = store.newest("prod")
    assert (seen.pods, seen.nodes, seen.workloads) == (body.pods, body.nodes, body.workloads)
    assert (seen.quotas, seen.containers) == (body.quotas, body.containers)
    assert set(seen.at.values()) == {AT}
    assert store.newest("nowhere").pods == ()


def test_a_list_that_is_not_pushed_stays_and_an_empty_one_empties(store: ObservationStore) -> None:
    record(store, push(nodes=[{"name": "n1"}], pods=[pod()]))
    record(store, push(1, pods=[]))
    seen = store.newest("prod")
    assert (len(seen.pods), len(seen.nodes)) == (0, 1)
    assert (seen.at["pods"], seen.at["nodes"]) == (AT + timedelta(minutes=1), AT)


def test_an_older_push_never_replaces_a_newer_state(store: ObservationStore) -> None:
    record(store, push(1, nodes=[{"name": "new"}]))
    assert record(store, push(0, nodes=[{"name": "old"}]))
    assert record(store, push(0, nodes=[{"name": "old"}]), agent="b")
    assert names(store) == ["new"]


def test_a_push_counts_once_by_agent_timestamp_and_part(store: ObservationStore) -> None:
    assert record(store, push(nodes=[{"name": "n1"}]))
    assert not record(store, push(nodes=[{"name": "other"}]))
    assert names(store) == ["n1"]
    assert record(store, push(nodes=[{"name": "n2"}]), agent="b")
    assert record(store, push(part=1, nodes=[]))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_parts_become_the_state_together(store: ObservationStore, order: tuple[int, ...]) -> None:
    record(store, push(pods=[pod("old")], nodes=[{"name": "old"}]))
    parts = [
        push(1, part=0, parts=3, pods=[pod("a")]),
        push(1, part=1, parts=3, pods=[pod("b")]),
        push(1, part=2, parts=3, nodes=[{"name": "n1"}, {"name": "n2"}]),
    ]
    for part in order[:2]:
        record(store, parts[part])
        assert (names(store), names(store, "pods")) == (["old"], ["old"])
    record(store, parts[order[2]])
    assert (names(store), names(store, "pods")) == (["n1", "n2"], ["a", "b"])


def test_a_push_whose_parts_never_all_came_is_passed_over(store: ObservationStore) -> None:
    record(store, push(part=0, parts=2, nodes=[{"name": "half"}]))
    assert names(store) == []
    record(store, push(1, nodes=[{"name": "whole"}]))
    record(store, push(part=1, parts=2, nodes=[{"name": "late"}]))
    assert names(store) == ["whole"]


def test_each_docker_host_speaks_for_its_own_containers(store: ObservationStore) -> None:
    record(store, push(containers=[{"name": "a1"}, {"name": "a2"}]), agent="host-a")
    record(store, push(1, containers=[{"name": "b1"}]), agent="host-b")
    assert names(store, "containers") == ["a1", "a2", "b1"]
    record(store, push(2, containers=[{"name": "a3"}]), agent="host-a")
    assert names(store, "containers") == ["a3", "b1"]


def test_a_timestamp_without_offset_is_refused(store: ObservationStore) -> None:
    with pytest.raises(ValueError, match="no offset"):
        record(store, PushBody(timestamp=AT.replace(tzinfo=None)))


def ooms(store: ObservationStore, days: float = 1) -> dict[tuple[WorkloadKey, str], OomRecord]:
    return store.ooms("prod", AT - timedelta(days=days), AT + timedelta(days=days))


def test_incidents_are_what_the_counters_grow_by(store: ObservationStore) -> None:
    record(store, push(0, pods=[pod(restartCount=3, oomKills=1, memoryLimitMB=128)]))
    record(store, push(1, pods=[pod(restartCount=3, oomKills=1, memoryLimitMB=128)]))
    record(store, push(2, pods=[pod(restartCount=5, oomKills=2, memoryLimitMB=128, memoryMB=90)]))
    assert ooms(store) == {
        (WEB, "server"): OomRecord(workload=WEB, container="server", oom_kills=2, restarts=5, peak_bytes=128 * 1024**2)
    }


def test_a_counter_that_fell_begins_anew_and_pods_add_up(store: ObservationStore) -> None:
    record(store, push(0, pods=[pod(restartCount=4, oomKills=2), pod(uid="u2", oomKills=1, memoryMB=200)]))
    record(store, push(1, pods=[pod(restartCount=1, oomKills=1)]))
    record(store, push(2, pods=[pod(uid="u3", oomKills=0)]))
    found = ooms(store)[WEB, "server"]
    assert (found.oom_kills, found.restarts, found.peak_bytes) == (4, 5, 200 * 1024**2)


def test_an_older_or_repeated_push_adds_no_incident(store: ObservationStore) -> None:
    record(store, push(2, pods=[pod(oomKills=2)]))
    record(store, push(1, pods=[pod(oomKills=1)]))
    record(store, push(2, pods=[pod(oomKills=2)]))
    record(store, push(3, pods=[pod(oomKills=2)]))
    assert ooms(store)[WEB, "server"].oom_kills == 2


def test_incidents_belong_to_their_utc_day(store: ObservationStore) -> None:
    record(store, push(0, pods=[pod(oomKills=1)]))
    record(store, push(3 * 24 * 60, pods=[pod(oomKills=5)]))
    later = AT + timedelta(days=3)
    assert store.ooms("prod", AT, AT)[WEB, "server"].oom_kills == 1
    assert store.ooms("prod", later, later)[WEB, "server"].oom_kills == 4
    assert store.ooms("prod", AT + timedelta(days=1), AT + timedelta(days=2)) == {}
    assert store.ooms("other", AT, later) == {}


def usage(engine: Engine) -> dict[SeriesKey, tuple[int, float]]:
    found = UsageStore(engine).summaries("prod", since=AT, until=AT + timedelta(hours=1), quantiles={})
    return {key: (summary.samples, summary.maximum) for key, summary in found.items()}


def test_a_push_is_taken_in_once_with_every_pod_of_a_workload(engine: Engine) -> None:
    body = push(pods=[pod(), pod(uid="u2", cpuMillicores=500, memoryMB=None, oomKills=1)], nodes=[{"name": "n1"}])
    assert record_push(engine, body, "prod", "a")
    assert not record_push(engine, body, "prod", "a")
    assert record_push(engine, push(1, pods=[pod()]), "prod", "a", usage=UsageStore(engine))
    cpu, memory = (SeriesKey(workload=WEB, container="server", resource=resource) for resource in ("cpu", "memory"))
    assert usage(engine) == {cpu: (3, 0.5), memory: (2, 100 * 1024**2)}
    assert ooms(ObservationStore(engine))[WEB, "server"].oom_kills == 1


def test_a_push_that_cannot_be_used_leaves_nothing(engine: Engine) -> None:
    good = push(pods=[pod()], nodes=[{"name": "n1"}])
    endless = good.pods[0].containers[0].model_copy(update={"cpu_millicores": float("inf")})
    body = good.model_copy(update={"pods": (good.pods[0].model_copy(update={"containers": (endless,)}),)})
    with pytest.raises(ValueError, match="finite"):
        record_push(engine, body, "prod")
    assert names(ObservationStore(engine)) == []
    assert record_push(engine, push(nodes=[{"name": "n2"}]), "prod")
