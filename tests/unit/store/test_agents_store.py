"""Agents: registered once however often they come, heard of, and gone with all that only they have pushed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, func, select

from reconciler.model.agent import Agent, Command, DockerScale, StatusReport
from reconciler.model.observation import PushBody, SeriesKey
from reconciler.model.samples import Samples
from reconciler.model.workload import WorkloadKey
from reconciler.store.agents import AgentStore, LastPush
from reconciler.store.commands import CommandStore
from reconciler.store.observations import ObservationStore
from reconciler.store.pushes import Incoming, record_push, record_pushes
from reconciler.store.reports import ReportStore
from reconciler.store.tables import incidents, observed, pod_counters, pushes, usage_days, usage_hours
from reconciler.store.transactions import reading
from reconciler.store.usage import UsageStore

NOW = datetime(2026, 6, 17, 10, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def store(engine: Engine) -> AgentStore:
    return AgentStore(engine)


def register(store: AgentStore, name: str = "a", organization: str = "acme", **other: Any) -> Agent:
    given: dict[str, Any] = {"platform": "kubernetes", "hostname": f"{name}-01", "version": "1.0"}
    given |= {"cluster": "prod", "host_pool": "", "observed_as": "prod", "at": NOW}
    return store.register(**{"organization": organization, "name": name, **given, **other})


def push(minutes: float, workload: str = "web", **lists: Any) -> PushBody:
    owner = {"ownerKind": "StatefulSet", "ownerName": workload}
    listed = [{"name": "server", "cpuMillicores": 100, "memoryMB": 64, "restartCount": 1, "oomKills": 1}]
    pod = {"namespace": "default", "name": f"{workload}-0", "uid": f"u-{workload}", **owner, "containers": listed}
    at = NOW + timedelta(minutes=minutes)
    return PushBody.model_validate({"timestamp": at, "pods": [pod], "nodes": [{"name": "n1"}], **lists})


def rows(engine: Engine, *tables: Any) -> list[int]:
    with reading(engine) as connection:
        return [connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables]


def history(engine: Engine, cluster: str = "prod") -> set[str]:
    """The workloads that there is usage of."""
    window: dict[str, Any] = {"since": NOW - timedelta(days=30), "until": NOW + timedelta(days=30), "quantiles": {}}
    return {key.workload.name for key in UsageStore(engine).summaries(cluster, **window)}


def test_registering_again_is_the_same_agent_with_what_is_new(store: AgentStore) -> None:
    first = register(store)
    again = register(store, version="1.1", cluster="c1", observed_as="acme/c1", at=LATER)
    assert again.id == first.id
    assert (again.registered_at, again.last_seen) == (NOW, LATER)
    assert (again.version, again.cluster, again.observed_as) == ("1.1", "c1", "acme/c1")
    assert store.find(first.id) == again
    assert store.list("acme") == (again,)


@pytest.mark.parametrize(
    "other", [{"organization": "other"}, {"platform": "docker"}, {"name": "b"}, {"hostname": "b"}], ids=str
)
def test_another_organization_platform_name_or_host_is_another_agent(store: AgentStore, other: dict[str, str]) -> None:
    first = register(store)
    second = register(store, **other)  # type: ignore[arg-type]
    assert first.id != second.id
    assert {a.id for o in ("acme", "other") for a in store.list(o)} == {first.id, second.id}


def test_an_agent_is_found_by_its_names_in_its_organization_only(store: AgentStore) -> None:
    agent = register(store)
    assert store.named("acme", "kubernetes", "a", "a-01") == agent
    assert store.named("other", "kubernetes", "a", "a-01") is None
    assert store.named("acme", "docker", "a", "a-01") is None


def test_agents_are_listed_by_name_and_found_by_what_they_observe(store: AgentStore) -> None:
    b, a = register(store, "b"), register(store, "a")
    c = register(store, "c", cluster="dev", observed_as="dev")
    assert store.list("acme") == (a, b, c)
    assert store.of("prod") == (a, b)
    assert store.of("nowhere") == ()


@pytest.mark.parametrize(
    ("seconds", "status"),
    [(0, "connected"), (45, "connected"), (46, "stale"), (300, "stale"), (301, "disconnected"), (-5, "connected")],
)
def test_the_status_is_by_how_long_it_was_silent(store: AgentStore, seconds: int, status: str) -> None:
    assert register(store).status(NOW + timedelta(seconds=seconds)) == status


def test_hearing_of_agents_moves_them_forward_only(store: AgentStore) -> None:
    a, b = register(store, "a"), register(store, "b")
    store.heard({a.id: LATER, b.id: NOW - timedelta(hours=1), "agent_gone": LATER})
    assert [agent.last_seen for agent in store.list("acme")] == [LATER, NOW]
    assert sorted(store.last_seen()) == [NOW, LATER]
    store.heard({})


def test_a_push_says_how_many_containers_there_are_and_where_they_are_observed(store: AgentStore) -> None:
    a, b = register(store, "a"), register(store, "b")
    store.pushed({a.id: LastPush(LATER, 8, "other"), b.id: LastPush(LATER, 3)})
    store.pushed({a.id: LastPush(NOW), b.id: LastPush(LATER + timedelta(minutes=1), 0)})
    first, second = store.list("acme")
    assert (first.last_seen, first.container_count, first.observed_as) == (LATER, 8, "other")
    assert (second.last_seen, second.container_count, second.observed_as) == (LATER + timedelta(minutes=1), 0, "prod")
    assert register(store, "a", at=LATER).container_count == 8


def test_a_deleted_agent_takes_everything_that_only_it_has_pushed(store: AgentStore, engine: Engine) -> None:
    agent = register(store)
    record_pushes(engine, [Incoming(push(n), "prod", agent.id) for n in range(3)])
    record_push(engine, push(0, containers=[{"name": "c"}]), "acme/docker/pool", agent.id)
    command = {"policy_id": "p", "payload": DockerScale(host_pool="x", group="y", replicas=2, from_replicas=1)}
    times = {"issued_at": NOW, "expires_at": LATER}
    CommandStore(engine).issue([Command(id="cmd", agent_id=agent.id, **command, **times)])  # type: ignore[arg-type]
    ReportStore(engine).keep(StatusReport(agent_id=agent.id, cluster="prod", revision="r", at=NOW))
    assert history(engine) == {"web"}
    assert store.delete("acme", agent.id)
    assert store.find(agent.id) is None
    tables = (pushes, observed, pod_counters, incidents, usage_days, usage_hours)
    assert rows(engine, *tables) == [0] * len(tables)
    assert ObservationStore(engine).newest("prod").pods == ()
    assert CommandStore(engine).waiting(agent.id, NOW) is None
    assert ReportStore(engine).newest("prod") is None
    assert not store.delete("acme", agent.id)


def test_nobody_deletes_an_agent_of_another_organization(store: AgentStore, engine: Engine) -> None:
    agent = register(store)
    record_push(engine, push(0), "prod", agent.id)
    assert not store.delete("other", agent.id)
    assert store.find(agent.id) == agent
    assert history(engine) == {"web"}


def test_what_another_agent_has_pushed_of_the_cluster_stays(store: AgentStore, engine: Engine) -> None:
    a, b = register(store, "a"), register(store, "b")
    record_push(engine, push(0), "prod", a.id)
    record_push(engine, push(1, "api", containers=[{"name": "b1"}]), "prod", b.id)
    record_push(engine, push(2, "elsewhere"), "dev", a.id)
    store.delete("acme", a.id)
    assert (history(engine), history(engine, "dev")) == ({"web", "api"}, set())
    state = ObservationStore(engine).newest("prod")
    assert ([pod.name for pod in state.pods], [c.name for c in state.containers]) == (["api-0"], ["b1"])
    assert rows(engine, pushes) == [1]
    store.delete("acme", b.id)
    assert history(engine) == set()
    assert rows(engine, pushes, observed, usage_days, usage_hours, incidents) == [0] * 5


def test_what_was_imported_of_the_cluster_stays(store: AgentStore, engine: Engine) -> None:
    agent = register(store)
    owner = WorkloadKey(cluster="prod", namespace="default", kind="Deployment", name="imported")
    key = SeriesKey(workload=owner, container="server", resource="cpu")
    second = np.array([int(NOW.timestamp())])
    UsageStore(engine).record(Samples((key,), np.array([0]), second, np.array([0.5])))
    record_push(engine, push(0), "prod", agent.id)
    store.delete("acme", agent.id)
    assert history(engine) == {"imported", "web"}


def test_another_clusters_history_stays(store: AgentStore, engine: Engine) -> None:
    a, b = register(store, "a"), register(store, "b", cluster="dev", observed_as="dev")
    for n in range(4):  # so that the series of the two lie side by side
        record_push(engine, push(n, f"p{n}"), "prod", a.id)
        record_push(engine, push(n, f"d{n}"), "dev", b.id)
    store.delete("acme", a.id)
    assert (history(engine), history(engine, "dev")) == (set(), {"d0", "d1", "d2", "d3"})


def test_processes_that_know_the_series_go_on_after_a_wipe(store: AgentStore, engine: Engine) -> None:
    """Numbers of series are remembered by every process: they must never come to mean something else."""
    old, usage = register(store, "old"), UsageStore(engine)
    record_push(engine, push(0), "prod", old.id, usage=usage)
    store.delete("acme", old.id)
    new = register(store, "new")
    record_push(engine, push(1, "other"), "prod", new.id)
    assert history(engine) == {"other"}
    record_push(engine, push(2), "prod", new.id, usage=usage)
    assert history(engine) == {"other", "web"}
