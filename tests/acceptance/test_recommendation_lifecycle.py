"""Recommendations as they are stored, pass after pass: from the first proposal to applied, dismissed or archived."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import delete, event

from reconciler import loop
from reconciler.model.observation import PushBody, SeriesKey
from reconciler.model.quantity import MIB
from reconciler.model.recommendation import WorkloadRecommendation
from reconciler.model.samples import Samples
from reconciler.model.workload import Resources, WorkloadKey
from reconciler.steps.house import House
from reconciler.store.recommendations import Wanted
from reconciler.store.tables import recommendations
from support.fleets import FleetRepo, fleet_yaml, git, new_fleet
from support.replay import NOW
from support.served import Served, serving

ROOT = "clusters/prod"
TEMPLATE = """\
metadata: {{labels: {{app: {name}}}}}
spec:
  containers:
    - name: server
      image: app
      resources: {{requests: {{cpu: "2", memory: 4Gi}}, limits: {{memory: 8Gi}}}}
{more}"""
SIDECAR = "    - {name: tracer, image: tracer, resources: {requests: {cpu: 500m, memory: 256Mi}}}\n"
SETUP = (
    "  initContainers:\n    - {name: setup, image: setup, resources: {requests: {cpu: '1', memory: 512Mi}}}\n"
    "    - {name: mesh, image: mesh, restartPolicy: Always, resources: {requests: {cpu: 400m, memory: 128Mi}}}\n"
)
API = {"Job": "batch/v1", "CronJob": "batch/v1", "Pod": "v1", "Rollout": "argoproj.io/v1alpha1"}

Use = dict[str, tuple[float, float]]
"""Cores and MiB by container."""

QUIET = (0.26, 650.0)
"""What one quiet server uses: 400m and 1000Mi at a target of 65 %."""


def workload(name: str, kind: str = "Deployment", more: str = "") -> str:
    head = f"apiVersion: {API.get(kind, 'apps/v1')}\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\n"
    template = TEMPLATE.format(name=name, more=more)
    if kind == "Pod":
        return head + template[template.index("spec:") :]
    if kind == "CronJob":
        return f"{head}spec:\n  schedule: '0 0 * * *'\n  jobTemplate:\n    spec:\n      template:\n{_in(template, 8)}"
    count = "" if kind in ("Job", "DaemonSet") else "  replicas: 2\n"
    selector = "" if kind == "Job" else f"  selector: {{matchLabels: {{app: {name}}}}}\n"
    return f"{head}spec:\n{count}{selector}  template:\n{_in(template, 4)}"


def _in(text: str, spaces: int) -> str:
    return "".join(f"{' ' * spaces}{line}\n" for line in text.splitlines())


def action(name: str = "rightsize", filter_text: str = "", window: str = "") -> str:
    windows = f", maintenanceWindow: '{window}'" if window else ""
    return (
        f"apiVersion: trimtab.dev/v1alpha1\nkind: ActionConfig\nmetadata: {{name: {name}}}\nspec:\n"
        f"  action: containerRequestRightSizing\n  scope: global\n"
        f"  config: {{enabled: true, filter: '{filter_text}', cpu: true, memory: true, profile: Production{windows}}}\n"
    )


def fleet(home: Path, *workloads: str, cluster: str = "", **actions: str) -> FleetRepo:
    files = {
        "trimtab.yaml": fleet_yaml(f"{{name: prod, {cluster}path: {ROOT}}}"),
        f"{ROOT}/kustomization.yaml": "resources: [apps]\ncomponents: [trimtab]\n",
        f"{ROOT}/trimtab/kustomization.yaml": (
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: []\n"
        ),
        f"{ROOT}/apps/kustomization.yaml": f"resources: [{', '.join(f'{n}.yaml' for n in range(len(workloads)))}]\n",
        **{f"{ROOT}/apps/{number}.yaml": text for number, text in enumerate(workloads)},
        **{f"actions/{name}.yaml": text for name, text in actions.items()},
    }
    return new_fleet(home, files)


def used(
    served: Served,
    name: str = "web",
    kind: str = "Deployment",
    since: datetime | None = None,
    **by: tuple[float, float],
) -> None:
    """Hourly samples up to now, of 14 days where ``since`` says no other, always the same in each container."""
    now = served.clock()
    start = since or now - timedelta(days=14)
    seconds = np.arange(int(start.timestamp()), int(now.timestamp()), 1800)
    key = WorkloadKey(cluster="prod", namespace="shop", kind=kind, name=name)
    containers = by or {"server": QUIET}
    series = tuple(SeriesKey(workload=key, container=c, resource=r) for c in containers for r in ("cpu", "memory"))
    values = np.array([v for cores, mib in containers.values() for v in (cores, mib * MIB)])
    samples = Samples(
        series=series,
        index=np.repeat(np.arange(len(series)), len(seconds)),
        seconds=np.tile(seconds, len(series)),
        values=np.repeat(values, len(seconds)),
    )
    served.server.stores.usage.record(samples)
    served.server.stores.recorded()


def stored(served: Served, **wanted: object) -> dict[str, WorkloadRecommendation]:
    """What the store has, by kind and name."""
    asked = Wanted(**wanted)  # type: ignore[arg-type]
    rows = served.server.stores.recommendations.page("acme", asked, limit=500)
    return {f"{row.kind}/{row.name}": row for row in rows}


def only(served: Served, **wanted: object) -> WorkloadRecommendation:
    (row,) = stored(served, **wanted).values()
    return row


def sizes(row: WorkloadRecommendation, which: str) -> dict[str, Resources]:
    return {one.name: one.resources for one in getattr(row, which)}


KINDS = ("Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job", "Rollout", "Pod")
ALL_CONTAINERS: Use = {"server": QUIET, "tracer": (0.1, 100), "setup": (0.1, 100), "mesh": (0.2, 50)}


@pytest.fixture(scope="module")
def of_all_kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One workload of each kind, covered by no action, after one pass. The Deployment was observed with 4 replicas."""
    home = tmp_path_factory.mktemp("kinds")
    repo = fleet(home / "home", *(workload(kind.lower(), kind, SIDECAR + SETUP) for kind in KINDS))
    with serving(home, repo) as served:
        for kind in KINDS:
            used(served, kind.lower(), kind, **ALL_CONTAINERS)
        seen = {"namespace": "shop", "kind": "Deployment", "name": "deployment", "uid": "uid-1", "replicas": 4}
        body = PushBody.model_validate({"timestamp": NOW.isoformat(), "cluster": "prod", "workloads": [seen]})
        served.server.stores.record_push(body, "prod")
        served.reconcile()
        yield served


def test_every_kind_is_recommended_with_all_its_containers(of_all_kinds: Served) -> None:
    found = stored(of_all_kinds)
    assert set(found) == {f"{kind}/{kind.lower()}" for kind in KINDS}
    for row in found.values():
        assert row.status == "pending"
        assert [one.name for one in row.current] == ["setup", "mesh", "server", "tracer"]
        assert sizes(row, "current")["server"] == resources(2000, 4096, limit=8192)
        assert sizes(row, "recommended")["server"] == resources(400, 1000, limit=2000)
        assert sizes(row, "recommended")["mesh"] == resources(308, 77)
        assert row.applied == ()


def test_costs_are_of_all_replicas_and_of_the_containers_that_run_all_the_time(of_all_kinds: Served) -> None:
    row = stored(of_all_kinds)["Deployment/deployment"]
    core, gib = Decimal("0.031611"), Decimal("0.004237")
    assert row.replicas == 4
    # server 2, tracer 0.5, mesh 0.4 cores; 4096, 256 and 128 MiB. The init container runs only at the start.
    assert row.hourly_cost == (4 * (Decimal("2.9") * core + Decimal(4480) / 1024 * gib)).quantize(Decimal("0.0001"))
    cpu = Decimal("2.9") - Decimal("0.862")
    memory = Decimal(4480 - (1000 + 154 + 77)) / 1024
    assert row.saving_hourly == (4 * (cpu * core + memory * gib)).quantize(Decimal("0.0001"))
    assert row.priority == "high"
    job = stored(of_all_kinds)["Job/job"]
    assert job.replicas == 1
    assert job.hourly_cost * 4 == pytest.approx(row.hourly_cost, abs=Decimal("0.0004"))


def test_a_workload_has_the_uid_that_was_observed_and_a_cluster_id(of_all_kinds: Served) -> None:
    found = stored(of_all_kinds)
    assert found["Deployment/deployment"].uid == "uid-1"
    assert found["Pod/pod"].uid == ""
    ids = {row.cluster_id for row in found.values()}
    assert len(ids) == 1
    assert ids != {""}


def test_people_are_told_what_can_be_done_about_it(of_all_kinds: Served) -> None:
    found = stored(of_all_kinds)
    assert found["Deployment/deployment"].title == "Reduce CPU and memory requests on deployment"
    assert "saves $227.37 a month with 4 replicas" in found["Deployment/deployment"].description
    assert "No action config covers it" in found["Deployment/deployment"].description
    assert "put the new values into its manifest" in found["Job/job"].description
    assert "0.26 cores against a request of 2 cores" in found["Deployment/deployment"].cause


def test_the_same_input_gives_the_same_rows_in_a_new_database(of_all_kinds: Served) -> None:
    before = stored(of_all_kinds)
    with of_all_kinds.server.stores.engine.begin() as connection:
        connection.execute(delete(recommendations))
    of_all_kinds.server.stores.recorded()
    of_all_kinds.reconcile()
    assert stored(of_all_kinds) == before


def test_the_next_pass_writes_nothing_until_something_shown_has_changed(of_all_kinds: Served) -> None:
    served, before = of_all_kinds, stored(of_all_kinds)
    served.clock.forward(minutes=5)
    used(served, "deployment", since=NOW, **ALL_CONTAINERS)
    with statements(served) as written:
        served.reconcile()
    assert [text for text in written if "recommendations" in text] == []
    assert stored(served) == before

    served.clock.forward(days=2)
    used(served, "deployment", since=NOW, **ALL_CONTAINERS)
    served.reconcile()
    after = stored(served)
    changed, same = after["Deployment/deployment"], after["StatefulSet/statefulset"]
    assert changed.id == before["Deployment/deployment"].id
    assert changed.samples > before["Deployment/deployment"].samples - 96 * 2
    assert (changed.created_at, changed.updated_at) == (NOW, served.clock())
    assert same.created_at == NOW


@contextmanager
def statements(served: Served) -> Iterator[list[str]]:
    """What is written while it lasts."""
    written: list[str] = []

    def note(_connection: object, _cursor: object, text: str, *_more: object) -> None:
        if text.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
            written.append(text)

    engine = served.server.stores.engine
    event.listen(engine, "before_cursor_execute", note)
    yield written
    event.remove(engine, "before_cursor_execute", note)


def resources(cpu: int | None, mib: int | None, *, limit: int | None = None) -> Resources:
    """Millicores and MiB; ``limit`` of memory."""
    sized = [None if size is None else size * MIB for size in (mib, limit)]
    return Resources(cpu_request=cpu, memory_request=sized[0], memory_limit=sized[1])


# --- what becomes of one --------------------------------------------------------------------------------------------


@contextmanager
def one_web(home: Path, database_url: str = "", more: str = "", **actions: str) -> Iterator[tuple[Served, FleetRepo]]:
    """A Deployment ``web``, used as little as ever, before its first pass."""
    repo = fleet(home / "home", workload("web", more=more), **actions)
    with serving(home, repo, database_url=database_url) as served:
        used(served)
        yield served, repo


def test_what_waits_for_its_window_is_pending_and_then_applied(tmp_path: Path, database_url: str) -> None:
    with one_web(tmp_path, database_url, rightsize=action(window="* 22-23 * * *")) as (served, _):
        served.reconcile()
        waiting = only(served)
        assert (waiting.status, waiting.change_id != "") == ("pending", True)

        served.clock.forward(hours=12)
        served.reconcile()
        applied = only(served)
        assert (applied.id, applied.status) == (waiting.id, "applied")
        assert applied.updated_at == served.clock()
        assert sizes(applied, "applied") == {"server": resources(400, 1000, limit=2000)}
        assert sizes(applied, "current")["server"] == resources(2000, 4096, limit=8192)

        served.reconcile()
        assert only(served) == applied

        used(served, since=NOW - timedelta(hours=1), server=(0.52, 1300))
        served.reconcile()
        again = stored_all(served)
        assert [row.status for row in again] == ["applied", "applied"]
        assert len({row.id for row in again}) == 2
        assert sizes(again[-1], "current")["server"] == resources(400, 1000, limit=2000)
        assert again[-1].saving_hourly < 0
        assert again[-1].title == "Raise CPU and memory requests on web"


def stored_all(served: Served) -> list[WorkloadRecommendation]:
    """Everything, the oldest first."""
    rows = served.server.stores.recommendations.page("acme", Wanted(), limit=500)
    return sorted(rows, key=lambda row: row.created_at)


def test_what_a_person_rejects_is_dismissed_until_it_differs(tmp_path: Path) -> None:
    with one_web(tmp_path, rightsize=action(window="* 22-23 * * *")) as (served, _):
        served.reconcile()
        waiting = only(served)
        assert served.client.post(f"/api/v1/changes/{waiting.change_id}/reject", json={}).status_code == 200
        served.reconcile()
        dismissed = only(served)
        assert (dismissed.id, dismissed.status) == (waiting.id, "dismissed")
        assert dismissed.recommended == waiting.recommended

        served.clock.forward(hours=2)
        used(served, since=NOW)
        served.reconcile()
        assert only(served) == dismissed

        served.clock.forward(hours=2)
        used(served, since=NOW + timedelta(hours=2), server=(0.52, 1300))
        served.reconcile()
        other = only(served)
        assert (other.id, other.status) == (waiting.id, "pending")
        assert sizes(other, "recommended")["server"] == resources(800, 2000, limit=4000)
        assert (other.created_at, other.updated_at) == (NOW, served.clock())


def test_a_persons_revert_dismisses_what_was_applied(tmp_path: Path) -> None:
    with one_web(tmp_path, rightsize=action()) as (served, repo):
        served.reconcile()
        assert only(served).status == "applied"
        repo.pull()
        git(repo.work, "revert", "--no-edit", "HEAD")
        git(repo.work, "push", "-q")
        served.clock.forward(minutes=5)
        served.reconcile()
        taken = only(served)
        assert (taken.status, taken.applied) == ("dismissed", ())
        served.clock.forward(minutes=5)
        used(served, since=NOW)
        served.reconcile()
        assert only(served) == taken


def test_what_is_not_recommended_any_more_is_archived_and_comes_back_as_another(tmp_path: Path) -> None:
    with one_web(tmp_path) as (served, repo):
        served.reconcile()
        first = only(served)
        served.clock.forward(hours=2)
        used(served, since=NOW, server=(1.3, 0.65 * 4096))
        served.reconcile()
        assert only(served).status == "archived"
        assert only(served).id == first.id

        served.clock.forward(days=20)
        used(served)
        served.reconcile()
        _, second = stored_all(served)
        assert (second.status, second.created_at) == ("pending", served.clock())
        assert second.id != first.id

        repo.write(f"{ROOT}/apps/kustomization.yaml", "resources: []\n")
        repo.commit("web is not needed any more")
        served.reconcile()
        assert [row.status for row in stored_all(served)] == ["archived", "archived"]


def test_what_ended_is_kept_for_a_year_and_new_ids_are_never_those_of_others(tmp_path: Path) -> None:
    with one_web(tmp_path) as (served, _):
        ids: list[str] = []
        for days_later in (20, 360, 20, 20):
            used(served)
            served.reconcile()
            ids.append(only(served, statuses=["pending"]).id)
            since = served.clock()
            served.clock.forward(hours=2)
            used(served, since=since, server=(1.3, 0.65 * 4096))
            served.reconcile()
            assert "pending" not in {row.status for row in stored_all(served)}
            served.clock.forward(days=days_later)
        assert len(set(ids)) == 4
        assert {row.id for row in stored_all(served)} == set(ids[2:])


def test_the_same_values_written_by_a_person_count_as_applied(tmp_path: Path) -> None:
    with one_web(tmp_path) as (served, repo):
        served.reconcile()
        text = workload("web").replace('cpu: "2", memory: 4Gi', "cpu: 400m, memory: 1000Mi").replace("8Gi", "2000Mi")
        repo.write(f"{ROOT}/apps/0.yaml", text)
        repo.commit("As Trimtab says")
        served.reconcile()
        row = only(served)
        assert row.status == "applied"
        assert sizes(row, "applied") == {"server": resources(400, 1000, limit=2000)}


def test_a_partial_apply_shows_just_what_was_written(tmp_path: Path) -> None:
    now = action("now", 'container:"server"')
    later = action("later", 'container:"tracer"', window="* 22-23 * * *")
    with one_web(tmp_path, more=SIDECAR, now=now, later=later) as (served, _):
        used(served, tracer=(0.1, 100))
        served.reconcile()
        part = only(served)
        assert part.status == "applied"
        assert set(sizes(part, "applied")) == {"server"}
        assert set(sizes(part, "recommended")) == {"server", "tracer"}

        served.reconcile()
        rest = only(served, statuses=("pending",))
        assert sizes(rest, "recommended")["tracer"] == resources(154, 154)

        served.clock.forward(hours=12)
        served.reconcile()
        done = {row.id: row for row in stored_all(served)}
        assert {row.status for row in done.values()} == {"applied"}
        assert sizes(done[rest.id], "applied") == {"tracer": resources(154, 154)}


def test_a_process_that_dies_after_its_push_leaves_nothing_pending(tmp_path: Path) -> None:
    with one_web(tmp_path, rightsize=action(window="* 22-23 * * *")) as (served, repo):
        served.reconcile()
        waiting = only(served)
        served.clock.forward(hours=12)
        head = repo.head()
        with pytest.raises(Died):
            dying(served, "pushed")
        assert repo.head() != head
        assert only(served).status == "pending"
        served.reconcile()
        row = only(served)
        assert (row.id, row.status) == (waiting.id, "applied")
        assert sizes(row, "applied") == {"server": resources(400, 1000, limit=2000)}


class Died(Exception):
    pass


def dying(served: Served, at: str) -> None:
    """A pass whose process ends at a step."""

    def step(name: str) -> None:
        if name == at:
            raise Died

    def one(house: House) -> None:
        before, house.step = house.step, step
        try:
            loop.reconcile(house)
        finally:
            house.step = before

    served.steward.ask(one).result(timeout=60)


def test_a_root_that_cannot_be_read_archives_nothing(tmp_path: Path) -> None:
    with one_web(tmp_path) as (served, repo):
        served.reconcile()
        before = only(served)
        repo.write(f"{ROOT}/apps/0.yaml", "kind: [")
        repo.commit("A slip")
        served.reconcile()
        assert only(served) == before
        repo.write(f"{ROOT}/apps/0.yaml", workload("web"))
        repo.commit("And back")
        served.reconcile()
        assert only(served) == before
