"""Many pushes at once: the same as one after the other, all or nothing, and one bad push takes no other with it."""

import json
import threading
import zlib
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, select

from reconciler.errors import RetryLater
from reconciler.model.observation import PushBody
from reconciler.model.workload import WorkloadKey
from reconciler.store.agents import AgentStore
from reconciler.store.observations import ObservationStore, Parcel
from reconciler.store.pushes import Incoming, forget_pushes, record_push, record_pushes, record_usable
from reconciler.store.tables import incidents, observed, pod_counters, push_sources, pushes
from reconciler.store.transactions import reading
from reconciler.store.usage import UsageStore

AT = datetime(2026, 6, 17, 23, 58, tzinfo=UTC)  # so that some minutes later it is another day
_NUMBERS = count(1)
_DAY = 24 * 60


def pod(name: str = "web", cpu: float = 250, **container: Any) -> dict[str, Any]:
    listed = {"name": "server", "cpuMillicores": cpu, "memoryMB": 100, **container}
    owner = {"ownerKind": "ReplicaSet", "ownerName": f"{name}-6f7d8c9b5"}
    return {"namespace": "default", "name": f"{name}-0", "uid": f"uid-{name}", **owner, "containers": [listed]}


def push(minutes: float = 0, **lists: Any) -> PushBody:
    return PushBody.model_validate({"timestamp": AT + timedelta(minutes=minutes), **lists})


def everything(engine: Engine, prefix: str) -> dict[str, Any]:
    """All that is stored of the clusters whose names begin so, without the prefix."""
    with reading(engine) as connection:

        def rows(table: Any, *columns: Any) -> list[tuple[Any, ...]]:
            named = select(table.c.cluster, *columns).where(table.c.cluster.startswith(prefix))
            return sorted((row[0].removeprefix(prefix), *row[1:]) for row in connection.execute(named))

        sources = {row.id: row for row in connection.execute(select(push_sources))}
        pushed = [(sources[row.source], row.at, row.part) for row in connection.execute(select(pushes))]
        state = [
            (*row[:-1], json.loads(zlib.decompress(row[-1])))
            for row in rows(observed, *[c for c in observed.c if c.name != "cluster"])
        ]
        found = {
            "pushes": sorted(
                (source.cluster.removeprefix(prefix), source.agent, at, part)
                for source, at, part in pushed
                if source.cluster.startswith(prefix)
            ),
            "observed": state,
            "counters": rows(pod_counters, *[c for c in pod_counters.c if c.name != "cluster"]),
            "incidents": rows(incidents, *[c for c in incidents.c if c.name != "cluster"]),
        }
    usage = UsageStore(engine)
    for cluster in ("x", "y"):
        window = {"since": AT - timedelta(days=1), "until": AT + timedelta(days=1), "quantiles": {}}
        found[f"usage {cluster}"] = sorted(
            (key.workload.name, key.resource, summary.samples, summary.maximum, round(summary.average, 6))
            for key, summary in usage.summaries(prefix + cluster, **window).items()  # type: ignore[arg-type]
        )
    return found


containers = st.lists(st.sampled_from(["c1", "c2"]).map(lambda name: {"name": name}), max_size=2)
pods = st.lists(
    st.builds(
        pod,
        name=st.sampled_from(["web", "api"]),
        cpu=st.sampled_from([0, 100, 300]),
        restartCount=st.integers(0, 3),
        oomKills=st.integers(0, 2),
    ),
    max_size=2,
)
nodes = st.lists(st.sampled_from(["n1", "n2"]).map(lambda name: {"name": name}), max_size=2)
lists = st.fixed_dictionaries({}, optional={"pods": pods, "nodes": nodes, "containers": containers})
part_of = st.sampled_from([(0, 1), (0, 1), (0, 1), (0, 2), (1, 2), (2, 3)])
one_push = st.tuples(st.sampled_from("xy"), st.sampled_from("ab"), st.integers(0, 4), part_of, lists)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(batches=st.lists(st.lists(one_push, max_size=8), min_size=1, max_size=3))
def test_a_batch_leaves_what_its_pushes_leave_one_after_the_other(engine: Engine, batches: list[list[Any]]) -> None:
    together, alone = f"together-{next(_NUMBERS)}-", f"alone-{next(_NUMBERS)}-"
    usage = UsageStore(engine)
    for batch in batches:
        made = [
            (push(minute, part=part, parts=parts, **given), cluster, agent)
            for cluster, agent, minute, (part, parts), given in batch
        ]
        new = record_pushes(engine, [Incoming(body, together + c, agent) for body, c, agent in made], usage=usage)
        assert new == sum(record_push(engine, body, alone + c, agent) for body, c, agent in made)
    assert everything(engine, together) == everything(engine, alone)


def test_what_was_made_lighter_is_stored_the_same(engine: Engine) -> None:
    body = push(containers=[{"name": "c1", "group": "shop", "cpuPercent": 12.5}], nodes=[])
    lighter = Parcel.of(body, {"containers": body.containers, "nodes": body.nodes})
    record_pushes(engine, [Incoming(body, "heavy-x", "a"), Incoming(lighter, "light-x", "a")])
    assert everything(engine, "heavy-") == everything(engine, "light-")
    assert ObservationStore(engine).newest("light-x").containers == body.containers


def mixed() -> list[Incoming]:
    """A batch that writes to every table, over a state that it replaces."""
    return [
        Incoming(push(1, pods=[pod(restartCount=2)], nodes=[{"name": "n2"}]), "x", "a"),
        Incoming(push(2, pods=[pod(restartCount=3, oomKills=1)], part=0, parts=2), "x", "a"),
        Incoming(push(2, nodes=[], part=1, parts=2), "x", "a"),
        Incoming(push(1, containers=[{"name": "c1"}]), "y", "b"),
        Incoming(push(1, containers=[{"name": "c1"}]), "y", "b"),
    ]


class Killed(Exception):
    pass


def test_whatever_statement_it_dies_at_nothing_of_a_batch_is_left(engine: Engine) -> None:
    record_push(engine, push(0, pods=[pod("old")], nodes=[{"name": "n1"}]), "x", "a")
    before, usage = everything(engine, ""), UsageStore(engine)
    statements = [0]

    def count_down(*_: object) -> None:
        statements[0] -= 1
        if statements[0] == 0:
            raise Killed

    event.listen(engine, "before_cursor_execute", count_down)
    tried = 0
    while True:
        tried += 1
        statements[0] = tried
        try:
            stored = record_pushes(engine, mixed(), usage=usage)
            break
        except Killed:
            assert everything(engine, "") == before
    event.remove(engine, "before_cursor_execute", count_down)
    assert tried > 10
    assert stored == 4
    assert record_pushes(engine, mixed(), usage=usage) == 0
    state = ObservationStore(engine).newest("x")
    assert (len(state.pods), state.nodes) == (1, ())


def test_one_bad_push_takes_no_other_with_it(engine: Engine) -> None:
    agents = registered(engine, 7)
    good = [Incoming(push(n, pods=[pod(cpu=n + 1)]), "x", agent) for n, agent in enumerate(agents)]
    part = good[3].body
    assert isinstance(part, PushBody)
    worse = part.pods[0].containers[0].model_copy(update={"cpu_millicores": float("inf")})
    bad_pod = part.pods[0].model_copy(update={"containers": (worse,)})
    good[3] = Incoming(part.model_copy(update={"pods": (bad_pod,)}), "x", agents[3])
    refused = record_usable(engine, good, usage=UsageStore(engine))
    assert [(found.push.agent, type(found.error)) for found in refused] == [(agents[3], ValueError)]
    usage = everything(engine, "")["usage x"]
    assert [(row[1], row[2], row[3]) for row in usage] == [("cpu", 6, 0.007), ("memory", 6, 100 * 1024**2)]


def test_a_database_that_is_away_refuses_the_whole_batch(engine: Engine) -> None:
    """It is for the caller to give the batch again; nobody looks for a push at fault."""
    tries = []

    def away(*_: object) -> None:
        tries.append(1)
        raise RetryLater("the database is away", after_seconds=1)

    batch = [Incoming(push(n, nodes=[]), "x", agent) for n, agent in enumerate(registered(engine, 4))]
    event.listen(engine, "before_cursor_execute", away)
    with pytest.raises(RetryLater):
        record_usable(engine, batch)
    event.remove(engine, "before_cursor_execute", away)
    assert len(tries) == 1
    assert record_usable(engine, batch) == []
    assert len(everything(engine, "")["pushes"]) == 4


def registered(engine: Engine, number: int) -> list[str]:
    store = AgentStore(engine)
    names = [f"host-{n}" for n in range(number)]
    given: dict[str, Any] = {"platform": "kubernetes", "version": "", "host_pool": "", "at": AT}
    return [
        store.register(organization="acme", name=n, hostname=n, cluster="x", observed_as="x", **given).id for n in names
    ]


def test_nothing_of_a_deleted_agent_comes_back(engine: Engine) -> None:
    gone, here = registered(engine, 2)
    AgentStore(engine).delete("acme", gone)
    batch = [Incoming(push(nodes=[{"name": agent}], pods=[pod()]), "x", agent) for agent in (here, gone)]
    assert record_pushes(engine, batch, registered=True) == 1
    assert [node.name for node in ObservationStore(engine).newest("x").nodes] == [here]


def test_servers_that_write_the_same_clusters_do_not_wait_for_each_other_in_a_ring(engine: Engine) -> None:
    clusters = [f"c{number}" for number in range(20)]
    errors: list[BaseException] = []

    def write(agent: str, order: int) -> None:
        usage = UsageStore(engine)
        try:
            for minute in range(4):
                body = push(minute, pods=[pod(cpu=100)])
                record_pushes(engine, [Incoming(body, c, agent) for c in clusters[::order]], usage=usage)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(f"agent-{n}", order)) for n, order in enumerate((1, -1, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    found = UsageStore(engine).summaries("c7", since=AT, until=AT + timedelta(hours=1), quantiles={})
    workload = WorkloadKey(cluster="c7", namespace="default", kind="Deployment", name="web")
    assert {key.workload: summary.samples for key, summary in found.items()} == {workload: 12}


def test_an_empty_batch_is_nothing(engine: Engine) -> None:
    assert record_pushes(engine, []) == 0
    assert record_usable(engine, []) == []


def test_agents_pushes_are_forgotten_after_a_while_and_imports_never(engine: Engine) -> None:
    usage = UsageStore(engine)
    day = (AT - datetime(1970, 1, 1, tzinfo=UTC)).days
    old = [Incoming(push(), "prod", agent, day) for agent in ("one", "")]
    late = Incoming(push(-30 * _DAY), "prod", "one", day + 6)
    new = Incoming(push(6 * _DAY), "prod", "one", day + 6)
    assert record_pushes(engine, [*old, late, new], usage=usage) == 4
    assert forget_pushes(engine, AT + timedelta(days=2)) == 1
    # Sending again what came in lately, or was imported once, still changes nothing.
    assert record_pushes(engine, [old[1], late, new], usage=usage) == 0
