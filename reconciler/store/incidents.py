"""OOM kills and restarts by workload, container and UTC day, from the counters that pods carry; those of the last two days,
and how CPU limits hold containers back, with their instants, too."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, exists, func, select

from reconciler.model.guard import Incident as RecentIncident
from reconciler.model.observation import OomRecord, PodContainer, PushBody
from reconciler.model.ownership import MEBIBYTE, known_in, workload_of
from reconciler.model.pulled import Restarted
from reconciler.model.workload import WorkloadKey
from reconciler.store.instants import from_micros, to_micros
from reconciler.store.seen import DAY
from reconciler.store.tables import incidents, pod_counters, push_sources, pushes, recent_incidents
from reconciler.store.transactions import chunks_of, execute_many, insert_into, upsert_into

_MICROS_A_DAY = DAY * 1_000_000

RECENT = timedelta(days=2)
"""For how long instants are kept."""

THROTTLED_PERCENT = 25.0
"""From here on, a container counts as throttled."""

THROTTLED_PUSHES = 3
"""Throttled in so many pushes in a row is an incident; while it goes on, every fourth push is another one."""

_THROTTLED_AGAIN = 4
_COUNTS = ("oom_kills", "restarts", "throttled")

Counter = tuple[str, str]
"""A pod (its uid) and a container of it."""

Incident = tuple[int, WorkloadKey, str]
"""A UTC day, a workload and a container of it."""


@dataclass(frozen=True)
class _Counted:
    at: int
    restarts: int
    oom_kills: int
    throttled: int = 0


_NEVER_SEEN = _Counted(at=0, restarts=0, oom_kills=0)


@dataclass
class _Grown:
    """What the counters of some pushes grew by, and when."""

    by_day: dict[Incident, OomRecord] = field(default_factory=dict)
    recent: list[tuple[RecentIncident, bool]] = field(default_factory=list)
    """With whether the counter was known before."""


def count(connection: Connection, bodies: Sequence[PushBody], cluster: str) -> None:
    """Add what the counters of each push grew by since the newest push before it.

    A pod that is first seen with a count above 0 counts it; a counter that fell begins anew. A push that is older
    than what is known of a counter adds nothing.
    """
    pushed = [(to_micros(body.timestamp), list(_containers(body, cluster))) for body in bodies]
    known = _known(connection, cluster, {pod for _, containers in pushed for _, (pod, _), _ in containers})
    changed: dict[Counter, _Counted] = {}
    grown = _Grown()
    for at, containers in pushed:
        new = _count_one(at, containers, known, grown)
        changed |= new
        known |= new
    _write_counters(connection, cluster, changed)
    _write_incidents(connection, grown.by_day)
    _write_recent(connection, cluster, _happened(connection, cluster, grown.recent))


def _count_one(
    at: int,
    containers: Iterable[tuple[WorkloadKey | None, Counter, PodContainer]],
    known: Mapping[Counter, _Counted],
    grown: _Grown,
) -> dict[Counter, _Counted]:
    """The counters that one push changes; what they grew by is added to ``grown``."""
    changed: dict[Counter, _Counted] = {}
    for workload, counter, container in containers:
        before = known.get(counter, _NEVER_SEEN)
        restarts, kills = container.restart_count, container.oom_kills
        throttled = before.throttled + 1 if (container.throttled_percent or 0.0) >= THROTTLED_PERCENT else 0
        same = (restarts, kills, throttled) == (before.restarts, before.oom_kills, before.throttled)
        if at < before.at or same:
            continue
        changed[counter] = _Counted(at, restarts, kills, throttled)
        if workload is None:
            continue
        if (restarts, kills) != (before.restarts, before.oom_kills):
            key = (at // _MICROS_A_DAY, workload, container.name)
            grown.by_day[key] = _add(grown.by_day.get(key), workload, container, before)
        grown.recent.append((_incident(at, workload, counter, container, before, throttled), counter in known))
    return changed


def _incident(
    at: int, workload: WorkloadKey, counter: Counter, container: PodContainer, before: _Counted, throttled: int
) -> RecentIncident:
    again = throttled >= THROTTLED_PUSHES and (throttled - THROTTLED_PUSHES) % _THROTTLED_AGAIN == 0
    return RecentIncident(
        at=from_micros(at),
        workload=workload,
        container=container.name,
        pod=counter[0],
        oom_kills=_new_kills(before, container),
        restarts=_growth(before.restarts, container.restart_count),
        throttled=int(again),
    )


def _happened(
    connection: Connection, cluster: str, recent: Sequence[tuple[RecentIncident, bool]]
) -> list[RecentIncident]:
    """Those that are known to have happened just then. What the pods of a cluster's very first push have counted so far
    may have happened any time before."""
    some = [(one, known) for one, known in recent if one.oom_kills or one.restarts or one.throttled]
    unknown = [to_micros(one.at) for one, known in some if not known]
    if not unknown:
        return [one for one, _ in some]
    sources = select(push_sources.c.id).where(push_sources.c.cluster == cluster)
    earlier = exists().where(pushes.c.source.in_(sources), pushes.c.at < min(unknown))
    seen_before = connection.execute(select(earlier)).scalar()
    return [one for one, known in some if known or seen_before]


def count_restarts(connection: Connection, restarted: Iterable[Restarted]) -> None:
    """Add what a metrics server tells of restarts; nothing is known of them yet, so that each is told once.

    A server tells how a container has ended last, and no count of OOM kills: restarts whose newest was one count as kills.
    """
    grown: dict[Incident, OomRecord] = {}
    recent: dict[str, list[RecentIncident]] = {}
    for one in restarted:
        told = RecentIncident(
            at=from_micros(one.second * 1_000_000),
            workload=one.workload,
            container=one.container,
            oom_kills=one.restarts if one.killed else 0,
            restarts=one.restarts,
        )
        recent.setdefault(one.workload.cluster, []).append(told)
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
    for cluster, mine in recent.items():
        _write_recent(connection, cluster, mine)


def recent(connection: Connection, cluster: str, since: datetime) -> list[RecentIncident]:
    """What happened to containers of a cluster since an instant, by time; of the last two days at most."""
    of = recent_incidents.c
    query = select(recent_incidents).where(of.cluster == cluster, of.at >= to_micros(since)).order_by(of.at)
    return [
        RecentIncident(
            at=from_micros(row.at),
            workload=WorkloadKey(cluster=cluster, namespace=row.namespace, kind=row.kind, name=row.name),
            container=row.container,
            pod=row.pod,
            oom_kills=row.oom_kills,
            restarts=row.restarts,
            throttled=row.throttled,
        )
        for row in connection.execute(query)
    ]


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
            found[row.pod, row.container] = _Counted(row.at, row.restarts, row.oom_kills, row.throttled)
    return found


def _add(so_far: OomRecord | None, workload: WorkloadKey, container: PodContainer, before: _Counted) -> OomRecord:
    so_far = so_far or OomRecord(workload=workload, container=container.name)
    restarts = _growth(before.restarts, container.restart_count)
    kills = _new_kills(before, container)
    return OomRecord(
        workload=workload,
        container=container.name,
        oom_kills=so_far.oom_kills + kills,
        restarts=so_far.restarts + restarts,
        peak_bytes=max(so_far.peak_bytes, _peak_bytes(container) if kills else 0),
    )


def _new_kills(before: _Counted, container: PodContainer) -> int:
    """Where the count fell, the agent was started anew: it sees the last kill, which may have been counted already."""
    kills = _growth(before.oom_kills, container.oom_kills)
    if container.oom_kills < before.oom_kills:
        return min(kills, _growth(before.restarts, container.restart_count))
    return kills


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


def _write_recent(connection: Connection, cluster: str, happened: Sequence[RecentIncident]) -> None:
    """Add them, and let go of what is older than two days; what was told of the same instant before adds up."""
    if not happened:
        return
    insert = insert_into(connection, recent_incidents)
    new, old = insert.excluded, recent_incidents.c
    added = {name: old[name] + new[name] for name in _COUNTS}
    keys = [column.name for column in recent_incidents.primary_key]
    rows = [
        {"cluster": cluster, "at": to_micros(one.at), "container": one.container, "pod": one.pod}
        | one.workload.model_dump(exclude={"cluster"})
        | one.model_dump(include=set(_COUNTS))
        for one in happened
    ]
    execute_many(connection, insert.on_conflict_do_update(index_elements=keys, set_=added), rows)
    oldest = to_micros(max(one.at for one in happened) - RECENT)
    connection.execute(delete(recent_incidents).where(old.cluster == cluster, old.at < oldest))
