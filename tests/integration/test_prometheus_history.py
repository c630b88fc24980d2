"""The history that is kept from a Prometheus: only what is new is asked for, nothing is lost, nothing counts twice."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from reconciler.bootstrap import open_stores
from reconciler.model.fleet import Cluster
from reconciler.model.observation import PushBody, SeriesKey, UsageSummary
from reconciler.model.workload import RESOURCES, WorkloadKey
from reconciler.observe.prometheus import Prometheus, PrometheusBusy, TooMuch
from reconciler.settings import Settings
from reconciler.steps.house import Stores
from reconciler.steps.prometheus import History
from support.fake_prometheus import Answer, Asked, FakePrometheus, Series, fake_prometheus, refused
from support.served import SetClock

NOW = datetime(2026, 6, 17, 10, 2, tzinfo=UTC)
NEWEST = int(datetime(2026, 6, 17, 10, 0, tzinfo=UTC).timestamp())
DAY = 86_400
STEPS = 14 * DAY // 300
"""Samples of a container in the first fill."""

PROD, DEV = Cluster(name="prod", id="id-of-prod", roots=()), Cluster(name="dev", roots=())
USAGE = ("container_cpu", "container_memory")
MIB = 1 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[FakePrometheus]:
    with fake_prometheus() as fake:
        yield fake


@pytest.fixture
def fake(server: FakePrometheus) -> FakePrometheus:
    server.series, server.failures, server.warnings = [], [], []
    server.most_samples, server.fail = 1 << 40, lambda _asked: None
    server.asked.clear()
    web(server)
    return server


def web(fake: FakePrometheus, **more: Any) -> None:
    """Deployment web in namespace shop, with two pods."""
    for number, pod in enumerate(("web-6f7d8c9b5-aaaaa", "web-6f7d8c9b5-bbbbb"), 1):
        fake.container("shop", pod, "server", cpu=0.1 * number, memory=number * 100 * MIB, **more)
        fake.owner("shop", pod, "ReplicaSet", "web-6f7d8c9b5")


@pytest.fixture
def clock() -> SetClock:
    return SetClock(NOW)


@contextmanager
def opened(home: Path, url: str = "") -> Iterator[Stores]:
    stores = open_stores(Settings(database_url=SecretStr(url), state_dir=home))
    yield stores
    stores.engine.dispose()


@pytest.fixture
def stores(tmp_path: Path, sqlite_template: Path) -> Iterator[Stores]:
    (tmp_path / "trimtab.sqlite3").write_bytes(sqlite_template.read_bytes())
    with opened(tmp_path) as found:
        yield found


@pytest.fixture
def each_stores(tmp_path: Path, database_url: str) -> Iterator[Stores]:
    """On both databases."""
    with opened(tmp_path, database_url) as found:
        yield found


def history(
    fake: FakePrometheus,
    stores: Stores,
    clock: SetClock,
    *,
    timeout: float = 10,
    stopping: Callable[[], bool] | None = None,
) -> History:
    prometheus = Prometheus(fake.url, timeout=timeout)
    stop = stopping or (lambda: False)
    return History(prometheus, stores, clock=clock, label="cluster", stopping=stop, jitter=lambda: 0.5)


def usage(stores: Stores, cluster: str = "prod") -> dict[tuple[str, str], UsageSummary]:
    """By workload and resource."""
    since = datetime.fromtimestamp(NEWEST - 20 * DAY, UTC)
    found = stores.usage.summaries(
        cluster, since=since, until=NOW + timedelta(days=2), quantiles=dict.fromkeys(RESOURCES, 0.95)
    )
    return {(f"{key.workload.kind}/{key.workload.name}", key.resource): summary for key, summary in found.items()}


def samples(stores: Stores, cluster: str = "prod") -> dict[str, int]:
    """Of CPU, by workload."""
    return {name: found.samples for (name, resource), found in usage(stores, cluster).items() if resource == "cpu"}


def test_two_weeks_at_first_and_then_only_what_is_new(
    fake: FakePrometheus, each_stores: Stores, clock: SetClock
) -> None:
    keeper = history(fake, each_stores, clock)
    first = keeper.keep([PROD])
    assert (first.samples, first.refused, first.clusters, first.error) == (4 * STEPS, 0, {"prod"}, None)
    found = usage(each_stores)
    cpu, memory = found["Deployment/web", "cpu"], found["Deployment/web", "memory"]
    assert (cpu.samples, memory.samples) == (2 * STEPS, 2 * STEPS)
    assert (cpu.maximum, memory.maximum) == (0.2, 200 * MIB)
    assert cpu.last == datetime.fromtimestamp(NEWEST, UTC)
    assert cpu.first == datetime.fromtimestamp(NEWEST - 14 * DAY + 300, UTC)

    fake.asked.clear()
    clock.forward(minutes=2)
    assert keeper.keep([PROD]).samples == 0
    assert fake.asked == []  # no sample is due

    clock.forward(minutes=2)
    second = keeper.keep([PROD])
    assert (second.samples, second.clusters) == (4, {"prod"})
    assert {(one.first, one.last) for one in fake.asked} == {(NEWEST + 300, NEWEST + 300)}
    kinds = [next((name for name in (*USAGE, "restarts") if name in one.query), "") for one in fake.asked]
    assert kinds == ["container_memory", *USAGE, "restarts"]  # which clusters there are, and three questions
    assert samples(each_stores) == {"Deployment/web": 2 * STEPS + 2}


def test_a_first_pass_that_was_killed_goes_on_where_it_was(
    fake: FakePrometheus, each_stores: Stores, clock: SetClock
) -> None:
    fake.most_samples = 3000  # so that it takes several questions
    stretches: list[Asked] = []

    def dies(asked: Asked) -> str | None:
        if "rate(" in asked.query and not fake.too_many(asked):
            stretches.append(asked)
        return "broken off" if len(stretches) > 2 and "max_over_time(container" in asked.query else None

    fake.fail = dies
    killed = history(fake, each_stores, clock).keep([PROD])
    assert isinstance(killed.error, PrometheusBusy)
    stored = samples(each_stores)["Deployment/web"]
    assert 0 < stored < 2 * STEPS
    assert killed.samples == 2 * stored
    assert killed.clusters == set()

    fake.fail = lambda _asked: None
    fake.asked.clear()
    again = history(fake, each_stores, clock).keep([PROD])  # another process
    assert again.error is None
    assert samples(each_stores) == {"Deployment/web": 2 * STEPS}
    begun = min(one.first for one in fake.asked if "rate(" in one.query)
    assert begun == NEWEST - 14 * DAY + 300 + stored // 2 * 300


def test_a_server_that_was_killed_keeps_nobody_waiting(
    fake: FakePrometheus, each_stores: Stores, clock: SetClock, tmp_path: Path
) -> None:
    fake.fail = lambda asked: "hang" if "rate(" in asked.query else None
    url = each_stores.engine.url.render_as_string(hide_password=False)
    process = subprocess.Popen([sys.executable, "-c", KEEPS, fake.url, url, str(tmp_path)])
    try:
        while not any("rate(" in asked.query for asked in fake.asked):
            assert process.poll() is None
            threading.Event().wait(0.02)
        assert history(fake, each_stores, clock).keep([PROD]).samples == 0  # it asks, and nobody else does
    finally:
        process.kill()
        process.wait()
    fake.fail = lambda _asked: None
    assert history(fake, each_stores, clock).keep([PROD]).samples == 4 * STEPS


KEEPS = f"""
import sys
from datetime import datetime
from pathlib import Path
from pydantic import SecretStr
from reconciler.bootstrap import open_stores
from reconciler.model.fleet import Cluster
from reconciler.observe.prometheus import Prometheus
from reconciler.settings import Settings
from reconciler.steps.prometheus import History

stores = open_stores(Settings(database_url=SecretStr(sys.argv[2]), state_dir=Path(sys.argv[3])))
now = datetime.fromisoformat({NOW.isoformat()!r})
History(Prometheus(sys.argv[1]), stores, clock=lambda: now, label="cluster").keep([Cluster(name="prod", roots=())])
"""


def test_a_server_that_stops_ends_between_two_stretches(fake: FakePrometheus, stores: Stores, clock: SetClock) -> None:
    fake.most_samples = 3000
    stops = history(fake, stores, clock, stopping=lambda: len(fake.asked) > 12)
    assert stops.keep([PROD]).error is None
    assert 0 < samples(stores)["Deployment/web"] < 2 * STEPS
    assert history(fake, stores, clock).keep([PROD]).clusters == {"prod"}
    assert samples(stores) == {"Deployment/web": 2 * STEPS}


def test_where_one_sample_of_all_is_too_much_namespaces_are_asked_for_in_parts(
    fake: FakePrometheus, stores: Stores, clock: SetClock
) -> None:
    for name in ("a", "b", "c"):
        fake.container(name, "db-0", "db", cpu=1, memory=MIB)
        fake.owner(name, "db-0", "StatefulSet", f"db-{name}")
    keeper = history(fake, stores, clock)
    keeper.keep([PROD])
    clock.forward(minutes=5)
    fake.most_samples = 2
    fake.container("new", "solo", "solo", cpu=1, memory=MIB)
    fake.owner("new", "solo", "", "")
    kept = keeper.keep([PROD])
    assert kept.error is None
    assert samples(stores) == {
        "Deployment/web": 2 * STEPS + 2,
        "Pod/solo": 1,
        **{f"StatefulSet/db-{name}": STEPS + 1 for name in "abc"},
    }
    fake.asked.clear()
    fake.container("newer", "solo-2", "solo", cpu=1, memory=MIB)
    fake.owner("newer", "solo-2", "", "")
    clock.forward(minutes=5)
    assert keeper.keep([PROD]).error is None
    assert samples(stores)["Pod/solo-2"] == 1  # in a namespace that was not there when they were listed
    assert not any(fake.too_many(one) for one in fake.asked if "rate(" in one.query)  # and it was remembered


def test_one_namespace_that_is_too_much_is_reported(fake: FakePrometheus, stores: Stores, clock: SetClock) -> None:
    fake.most_samples = 1
    keeper = history(fake, stores, clock)
    kept = keeper.keep([PROD])
    assert isinstance(kept.error, TooMuch)
    assert samples(stores) == {}
    assert "too large" in keeper.notes(["prod"])[0]


def test_every_pod_counts_for_the_workload_that_people_write(
    fake: FakePrometheus, stores: Stores, clock: SetClock
) -> None:
    behind = {
        "ReplicaSet": (
            "kube_replicaset_owner",
            "replicaset",
            [("canary-5d5d5d5d5", "Rollout", "canary"), ("lone-7c7c7", "", "")],
        ),
        "Job": (
            "kube_job_owner",
            "job_name",
            [
                ("nightly-29000000", "CronJob", "nightly"),
                ("move-20260617", "<none>", "<none>"),
                ("manual", "CronJob", "nightly"),
            ],
        ),
    }
    for metric, label, rows in behind.values():
        for name, kind, owner in rows:
            labels = {"namespace": "shop", label: name, "owner_kind": kind, "owner_name": owner}
            fake.series.append(Series(metric, labels, 1))
    for pod, kind, owner in (
        ("canary-5d5d5d5d5-x", "ReplicaSet", "canary-5d5d5d5d5"),
        ("lone-7c7c7-x", "ReplicaSet", "lone-7c7c7"),
        ("nightly-29000000-x", "Job", "nightly-29000000"),
        ("move-20260617-x", "Job", "move-20260617"),
        ("manual-x", "Job", "manual"),
        ("hourly-29000000-x", "Job", "hourly-29000000"),  # of which no kube_job_owner is there
        ("db-0", "StatefulSet", "db"),
        ("logs-x", "DaemonSet", "logs"),
        ("solo", "<none>", "<none>"),
        ("etcd-node1", "Node", "node1"),
    ):
        fake.container("shop", pod, "main", cpu=1, memory=MIB, begin=NEWEST)
        fake.owner("shop", pod, kind, owner)
    fake.container("shop", "stray", "main", cpu=1, memory=MIB, begin=NEWEST)
    keeper = history(fake, stores, clock)
    keeper.keep([PROD])
    assert samples(stores) == {
        "Deployment/web": 2 * STEPS,
        "Rollout/canary": 1,
        "ReplicaSet/lone-7c7c7": 1,
        "CronJob/nightly": 2,
        "Job/move-20260617": 1,
        "CronJob/hourly": 1,
        "StatefulSet/db": 1,
        "DaemonSet/logs": 1,
        "Pod/solo": 1,
    }
    assert ["1 pods of prod have no owner" in note for note in keeper.notes(["prod"])] == [True]


def test_series_belong_to_the_cluster_that_their_label_names(
    fake: FakePrometheus, stores: Stores, clock: SetClock
) -> None:
    for cluster, pod in (("id-of-prod", "db-0"), ("dev", "db-0"), ("elsewhere", "db-1")):
        fake.container("shop", pod, "db", cpu=1, memory=MIB, cluster=cluster)
    fake.series += [
        Series(
            "kube_pod_owner",
            {"namespace": "shop", "pod": "db-0", "owner_kind": "StatefulSet", "owner_name": "db", "cluster": cluster},
            1,
        )
        for cluster in ("id-of-prod", "dev")
    ]
    keeper = history(fake, stores, clock)
    assert keeper.keep([PROD, DEV]).clusters == {"prod", "dev"}
    assert samples(stores, "prod") == {"StatefulSet/db": STEPS}
    assert samples(stores, "dev") == {"StatefulSet/db": STEPS}
    (note,) = keeper.notes(["prod"])
    assert "2 containers in Prometheus do not say which cluster" in note
    assert "a label 'cluster'" in note


def test_a_cluster_that_prometheus_does_not_know_is_said_and_waits(
    fake: FakePrometheus, stores: Stores, clock: SetClock, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.series.clear()
    fake.container("shop", "db-0", "db", cpu=1, memory=MIB, cluster="kubernetes-prod")
    keeper = history(fake, stores, clock)
    assert keeper.keep([PROD]).error is None
    (note,) = keeper.notes(["prod"])
    assert note == "Prometheus has no containers of prod: is cAdvisor scraped, and does their label 'cluster' name it?"
    assert "kubernetes-prod" in capsys.readouterr().out  # the log says what there is
    fake.series.clear()
    web(fake)
    assert keeper.keep([PROD]).samples == 4 * STEPS  # the two weeks before, too
    assert keeper.notes(["prod"]) == ()


def pushed(at: datetime) -> PushBody:
    pod = {
        "namespace": "shop",
        "name": "web-6f7d8c9b5-aaaaa",
        "ownerKind": "ReplicaSet",
        "ownerName": "web-6f7d8c9b5",
        "containers": [{"name": "server", "cpuMillicores": 700, "memoryMB": 10}],
    }
    return PushBody.model_validate({"timestamp": at.isoformat(), "pods": [pod]})


def test_what_an_agent_pushes_is_not_asked_for(fake: FakePrometheus, each_stores: Stores, clock: SetClock) -> None:
    each_stores.record_push(pushed(NOW - timedelta(days=2)), "prod", "agent-1")
    each_stores.record_push(pushed(NOW - timedelta(minutes=1)), "prod", "agent-1")
    keeper = history(fake, each_stores, clock)
    kept = keeper.keep([PROD])
    midnight = int(datetime(2026, 6, 15, tzinfo=UTC).timestamp())
    older = (midnight - 300 - (NEWEST - 14 * DAY)) // 300
    assert kept.samples == 4 * older  # the days before the agent's first
    assert samples(each_stores) == {"Deployment/web": 2 * older + 2}
    assert keeper.notes(["prod"]) == ("usage of prod comes from its agent, not from Prometheus",)
    for _ in range(3):
        clock.forward(minutes=5)
        each_stores.record_push(pushed(clock()), "prod", "agent-1")
        assert keeper.keep([PROD]).samples == 0

    last = clock()
    fake.asked.clear()
    clock.forward(minutes=20)  # the agent is gone
    assert keeper.keep([PROD]).samples == 4 * 4
    assert keeper.notes(["prod"]) == ()
    assert min(one.first for one in fake.asked if "rate(" in one.query) > last.timestamp()
    assert samples(each_stores) == {"Deployment/web": 2 * older + 2 + 3 + 8}


def test_what_was_imported_is_not_asked_for(fake: FakePrometheus, stores: Stores, clock: SetClock) -> None:
    import numpy as np

    from reconciler.model.samples import Samples

    key = SeriesKey(
        workload=WorkloadKey(cluster="prod", namespace="shop", kind="Deployment", name="web"),
        container="server",
        resource="cpu",
    )
    seconds = np.arange(NEWEST - 10 * DAY, NEWEST - 5 * DAY, 300)
    stores.usage.record(Samples((key,), np.zeros(len(seconds), np.int64), seconds, np.full(len(seconds), 9.0)))
    assert history(fake, stores, clock).keep([PROD]).error is None
    stretches = sorted({(one.first, one.last) for one in fake.asked if "rate(" in one.query})
    midnight = (NEWEST - 10 * DAY) // DAY * DAY
    assert stretches == [(NEWEST - 14 * DAY + 300, midnight - 300), (NEWEST - 5 * DAY, NEWEST)]


def test_what_no_container_can_use_is_refused_and_counted(
    fake: FakePrometheus, stores: Stores, clock: SetClock
) -> None:
    def broken(second: int) -> float:
        return {NEWEST: float("nan"), NEWEST - 300: -1.0, NEWEST - 600: 1e9, NEWEST - 900: float("inf")}.get(
            second, 0.5
        )

    fake.series.clear()
    fake.container("shop", "db-0", "db", cpu=broken, memory=MIB)
    fake.owner("shop", "db-0", "StatefulSet", "db")
    keeper = history(fake, stores, clock)
    kept = keeper.keep([PROD])
    assert (kept.refused, kept.samples) == (4, 2 * STEPS - 4)
    assert usage(stores)["StatefulSet/db", "cpu"].maximum == 0.5
    (note,) = keeper.notes(["prod"])
    assert note.startswith("4 samples of prod from Prometheus were no usage")


def counters(
    fake: FakePrometheus, pod: str, restarts: Callable[[int], float], killed: Callable[[int], float], uid: str
) -> None:
    labels = {"namespace": "shop", "pod": pod, "container": "server", "uid": uid}
    fake.series += [
        Series("kube_pod_container_status_restarts_total", labels, restarts),
        Series("kube_pod_container_status_last_terminated_reason", labels | {"reason": "OOMKilled"}, killed),
        Series("kube_pod_container_resource_limits", labels | {"resource": "memory"}, 256 * MIB),
    ]


def test_restarts_and_oom_kills_are_counted_on_their_day_and_once(
    fake: FakePrometheus, each_stores: Stores, clock: SetClock
) -> None:
    yesterday = NEWEST - DAY
    counters(fake, "web-6f7d8c9b5-aaaaa", lambda at: 30 + 2 * (at >= yesterday), lambda at: at >= yesterday, "u1")
    counters(fake, "web-6f7d8c9b5-bbbbb", lambda at: 3 * (at >= NEWEST + 300), lambda _at: 0, "u2")
    keeper = history(fake, each_stores, clock)
    keeper.keep([PROD])

    def counted(since: datetime) -> tuple[int, int, int]:
        found = each_stores.observations.ooms("prod", since, clock())
        (one,) = found.values() or (None,)
        return (one.restarts, one.oom_kills, one.peak_bytes) if one else (0, 0, 0)

    month = NOW - timedelta(days=30)
    assert counted(month) == (2, 2, 256 * MIB)  # the thirty were before the time that was asked for
    assert each_stores.observations.ooms("prod", NOW, NOW) == {}
    for _ in range(3):
        clock.forward(minutes=5)
        keeper.keep([PROD])
    assert counted(month) == (5, 2, 256 * MIB)
    assert counted(NOW) == (3, 0, 0)


def troubled(asked: Asked) -> bool:
    return "container_memory" in asked.query and asked.query.startswith("max")


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ("hang", "longer than 2 s"),
        ("half", "half an answer"),
        (refused(503, "query timed out", "timeout"), "cannot answer now (503)"),
        (refused(401, "who are you?"), "does not let us in"),
    ],
)
def test_a_server_in_trouble_is_reported_and_keeps_what_it_had(
    fake: FakePrometheus, stores: Stores, clock: SetClock, failure: Answer | str, words: str
) -> None:
    keeper = history(fake, stores, clock, timeout=2)
    keeper.keep([PROD])
    clock.forward(minutes=5)
    fake.fail = lambda asked: failure if troubled(asked) else None
    failed = keeper.keep([PROD])
    assert failed.error is not None and words in failed.error.message
    assert words in keeper.notes(["prod"])[0]
    assert samples(stores) == {
        "Deployment/web": 2 * STEPS
    }  # the CPU that was answered is not stored without the memory

    fake.fail = lambda _asked: None
    clock.forward(minutes=30)
    assert keeper.keep([PROD]).clusters == {"prod"}
    assert samples(stores) == {"Deployment/web": 2 * STEPS + 2 * 7}
    assert keeper.notes(["prod"]) == ()


def test_a_server_in_trouble_is_left_alone_longer_each_time(
    fake: FakePrometheus, stores: Stores, clock: SetClock
) -> None:
    keeper = history(fake, stores, clock)
    fake.fail = lambda _asked: refused(503, "overloaded")
    pauses = []
    for _ in range(8):
        waited = 0
        while keeper.keep([PROD]).error is None:
            assert fake.asked == []
            clock.forward(seconds=15)
            waited += 15
        fake.asked.clear()
        pauses.append(waited)
    assert pauses == [0, 60, 120, 240, 480, 960, 1800, 1800]
    fake.fail = lambda _asked: None
    clock.forward(minutes=30)
    assert keeper.keep([PROD]).clusters == {"prod"}


def test_answers_that_are_partial_are_kept_and_said(fake: FakePrometheus, stores: Stores, clock: SetClock) -> None:
    fake.warnings = ["store-7 is away"]
    keeper = history(fake, stores, clock)
    assert keeper.keep([PROD]).samples == 4 * STEPS
    assert keeper.notes(["prod"]) == ("Prometheus says: store-7 is away",)


def test_one_of_several_servers_asks(fake: FakePrometheus, stores: Stores, clock: SetClock) -> None:
    one, other = history(fake, stores, clock), history(fake, stores, clock)
    with stores.leases.hold("prometheus", owner="another machine", wait_seconds=0):
        assert one.keep([PROD]).error is None
        assert fake.asked == []
    assert one.keep([PROD]).samples == 4 * STEPS
    assert other.keep([PROD]).samples == 0
    assert samples(stores) == {"Deployment/web": 2 * STEPS}
