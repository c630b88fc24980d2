"""OOM kills and restarts by workload, container and UTC day, from the counters that pods carry."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from reconciler.model.observation import OomRecord, PodContainer, PushBody
from reconciler.model.ownership import MEBIBYTE, known_in, workload_of
from reconciler.model.pulled import Restarted
from reconciler.model.workload import WorkloadKey
from reconciler.store.instants import to_micros
from reconciler.store.seen import DAY
from reconciler.store.tables import incidents, pod_counters
from reconciler.store.transactions import chunks_of, execute_many, insert_into, upsert_into

_MICROS_A_DAY = DAY * 1_000_000

Counter = tuple[str, str]
"""A pod (its uid) and a container of it."""

Incident = tuple[int, WorkloadKey, str]
"""A UTC day, a workload and a container of it."""


@dataclass(frozen=True)
class _Counted:
    at: int
    restarts: int
    oom_kills: int


_NEVER_SEEN = _Counted(at=0, restarts=0, oom_kills=0)


def count(connection: Connection, bodies: Sequence[PushBody], cluster: str) -> None:
    """Add what the counters of each push grew by since the newest push before it.

    A pod that is first seen with a count above 0 counts it; a counter that fell begins anew. A push that is older
    than what is known of a counter adds nothing.
    """
    pushed = [(to_micros(body.timestamp), list(_containers(body, cluster))) for body in bodies]
    known = _known(connection, cluster, {pod for _, containers in pushed for _, (pod, _), _ in containers})
    changed: dict[Counter, _Counted] = {}
    grown: dict[Incident, OomRecord] = {}
    for at, containers in pushed:
        new = _count_one(at, containers, known, grown)
        changed |= new
        known |= new
    _write_counters(connection, cluster, changed)
    _write_incidents(connection, grown)


def _count_one(
    at: int,
    containers: Iterable[tuple[WorkloadKey | None, Counter, PodContainer]],
    known: Mapping[Counter, _Counted],
    grown: dict[Incident, OomRecord],
) -> dict[Counter, _Counted]:
    """The counters that one push changes; what they grew by is added to ``grown``."""
    changed: dict[Counter, _Counted] = {}
    for workload, counter, container in containers:
        before = known.get(counter, _NEVER_SEEN)
        now = _Counted(at, container.restart_count, container.oom_kills)
        if at < before.at or (now.restarts, now.oom_kills) == (before.restarts, before.oom_kills):
            continue
        changed[counter] = now
        if workload is not None:
            key = (at // _MICROS_A_DAY, workload, container.name)
            grown[key] = _add(grown.get(key), workload, container, before)
    return changed


def count_restarts(connection: Connection, restarted: Iterable[Restarted]) -> None:
    """Add what a metrics server tells of restarts; nothing is known of them yet, so that each is told once.

    A server tells how a container has ended last, and no count of OOM kills: restarts whose newest was one count as kills.
    """
    grown: dict[Incident, OomRecord] = {}
    for one in restarted:
        key = (one.second // DAY, one.workload, one.container)
        so_far = grown.get(key) or OomRecord(workload=one.workload, container=one.container)
        kills = one.restarts if one.killed else 0
        grown[key] = OomRecord(
            workload=one.workload,
            container=one.container,
            oom_kills=so_far.oom_kills + kills,
            restarts=so_far.restarts + one.restarts,
            peak_bytes=max(so_far.peak_bytes, one.peak_bytes if kills else 0),
        )
    _write_incidents(connection, grown)


def ooms(
    connection: Connection, cluster: str, since: datetime, until: datetime
) -> dict[tuple[WorkloadKey, str], OomRecord]:
    """Sums over the UTC days that the window overlaps, by workload and container."""
    first, last = (to_micros(instant) // _MICROS_A_DAY for instant in (since, until))
    columns = (incidents.c.namespace, incidents.c.kind, incidents.c.name, incidents.c.container)
    query = (
        select(
            *columns, func.sum(incidents.c.oom_kills), func.sum(incidents.c.restarts), func.max(incidents.c.peak_bytes)
        )
        .where(incidents.c.cluster == cluster, incidents.c.day.between(first, last))
        .group_by(*columns)
    )
    found = {}
    for namespace, kind, name, container, kills, restarts, peak in connection.execute(query):
        workload = WorkloadKey(cluster=cluster, namespace=namespace, kind=kind, name=name)
        found[workload, container] = OomRecord(
            workload=workload, container=container, oom_kills=int(kills), restarts=int(restarts), peak_bytes=peak
        )
    return found


def _containers(body: PushBody, cluster: str) -> Iterator[tuple[WorkloadKey | None, Counter, PodContainer]]:
    known = known_in(body)
    for pod in body.pods:
        workload = workload_of(pod, cluster, known)
        for container in pod.containers:
            yield workload, (pod.uid or f"{pod.namespace}/{pod.name}", container.name), container


def _known(connection: Connection, cluster: str, pods: set[str]) -> dict[Counter, _Counted]:
    found: dict[Counter, _Counted] = {}
    for some in chunks_of(sorted(pods)):
        mine = (pod_counters.c.cluster == cluster, pod_counters.c.pod.in_(some))
        for row in connection.execute(select(pod_counters).where(*mine)):
            found[row.pod, row.container] = _Counted(row.at, row.restarts, row.oom_kills)
    return found


def _add(so_far: OomRecord | None, workload: WorkloadKey, container: PodContainer, before: _Counted) -> OomRecord:
    so_far = so_far or OomRecord(workload=workload, container=container.name)
    kills = _growth(before.oom_kills, container.oom_kills)
    return OomRecord(
        workload=workload,
        container=container.name,
        oom_kills=so_far.oom_kills + kills,
        restarts=so_far.restarts + _growth(before.restarts, container.restart_count),
        peak_bytes=max(so_far.peak_bytes, _peak_bytes(container) if kills else 0),
    )


def _growth(before: int, now: int) -> int:
    return now - before if now >= before else now


def _peak_bytes(container: PodContainer) -> int:
    """What was in use when it was killed: its limit, which it ran into; without one, what was measured."""
    return int(max(container.memory_mb or 0, container.memory_limit_mb or 0) * MEBIBYTE)


def _write_counters(connection: Connection, cluster: str, changed: Mapping[Counter, _Counted]) -> None:
    rows = [
        {"cluster": cluster, "pod": pod, "container": container, **vars(counted)}
        for (pod, container), counted in sorted(changed.items())
    ]
    execute_many(connection, upsert_into(connection, pod_counters), rows)


def _write_incidents(connection: Connection, grown: Mapping[Incident, OomRecord]) -> None:
    insert = insert_into(connection, incidents)
    new, old = insert.excluded, incidents.c
    statement = insert.on_conflict_do_update(
        index_elements=["cluster", "namespace", "kind", "name", "container", "day"],
        set_={
            "oom_kills": old.oom_kills + new.oom_kills,
            "restarts": old.restarts + new.restarts,
            "peak_bytes": func.greatest(old.peak_bytes, new.peak_bytes)
            if connection.dialect.name == "postgresql"
            else func.max(old.peak_bytes, new.peak_bytes),
        },
    )
    rows = [
        {**workload.model_dump(), "container": container, "day": day}
        | record.model_dump(include={"oom_kills", "restarts", "peak_bytes"})
        for (day, workload, container), record in sorted(grown.items(), key=lambda item: tuple(map(str, item[0])))
    ]
    execute_many(connection, statement, rows)
