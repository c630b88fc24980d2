"""Recommendations as the API serves them, by organization."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Engine, and_, delete, func, or_, select, tuple_

from reconciler.model.change import ChangeState
from reconciler.model.recommendation import OPEN_STATUSES, Priority, RecommendationStatus, Risk, WorkloadRecommendation
from reconciler.store.instants import to_micros
from reconciler.store.tables import changes, recommendations
from reconciler.store.transactions import chunks_of, execute_many, fetch_raw, pieces_of, reading, upsert_into, writing

Place = tuple[str, str, str, str]
"""Cluster, namespace, kind and name of a workload."""

_LANDED: tuple[ChangeState, ...] = ("committed", "merged", "applied", "failed", "reverted")
_PLACE = (
    recommendations.c.cluster,
    recommendations.c.namespace,
    recommendations.c.kind,
    recommendations.c.name,
)


@dataclass(frozen=True)
class Wanted:
    """Which recommendations; an empty collection and None mean: no matter.

    ``clusters``: the names or ids of the only clusters that may be seen (a key's allowlist; empty = none at all).
    ``min_saving``: of the currency an hour.
    """

    statuses: Collection[RecommendationStatus] = ()
    cluster_ids: Collection[str] = ()
    namespaces: Collection[str] = ()
    risk_levels: Collection[Risk] = ()
    priorities: Collection[Priority] = ()
    kinds: Collection[str] = ()
    workload_uids: Collection[str] = ()
    min_saving: Decimal | None = None
    clusters: Collection[str] | None = None


class OpenOne(NamedTuple):
    """What a pass needs to know of an open recommendation to see that it still is the same."""

    id: str
    status: RecommendationStatus
    change_id: str
    digest: str


class RecommendationStore:
    """One row a lifecycle. Savings are kept as ten-thousandths, so that both databases order and compare them alike."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(
        self, organization: str, wanted: Wanted, *, after: tuple[Decimal, str] | None = None, limit: int = 100
    ) -> tuple[WorkloadRecommendation, ...]:
        """The largest savings first, equal ones by id. ``after``: saving and id of the last one that was seen."""
        query = select(recommendations.c.body).where(*_matching(organization, wanted))
        if after is not None:
            saving, last = _ten_thousandths(after[0]), after[1]
            same = and_(recommendations.c.saving == saving, recommendations.c.id > last)
            query = query.where(recommendations.c.saving <= saving, or_(recommendations.c.saving < saving, same))
        # A sum is in no index: SQLite would else walk all savings in search of a uid that few rows have.
        order = recommendations.c.saving + 0 if wanted.workload_uids else recommendations.c.saving
        query = query.order_by(order.desc(), recommendations.c.id).limit(limit)
        with reading(self._engine) as connection:
            return tuple(_read(row.body) for row in connection.execute(query))

    def count(self, organization: str, wanted: Wanted) -> int:
        """How many there are on all pages together."""
        query = select(func.count()).select_from(recommendations).where(*_matching(organization, wanted))
        with reading(self._engine) as connection:
            return connection.execute(query).scalar_one()

    def find(self, organization: str, rec_id: str) -> WorkloadRecommendation | None:
        """One recommendation, whatever its status."""
        mine = (recommendations.c.id == rec_id, recommendations.c.organization == organization)
        with reading(self._engine) as connection:
            body = connection.execute(select(recommendations.c.body).where(*mine)).scalar_one_or_none()
        return _read(body) if body is not None else None

    def save(self, rows: Sequence[WorkloadRecommendation], *, digests: Mapping[str, str] | None = None) -> None:
        """Write recommendations as they are now, in place of those with their ids. All or nothing.

        ``digests``: by id, what each was made of (see :class:`OpenOne`).
        """
        known = digests or {}
        with writing(self._engine) as connection:
            written = [_row(one, known.get(one.id, "")) for one in rows]
            execute_many(connection, upsert_into(connection, recommendations), written)

    def open_of(self, fleet: str) -> tuple[WorkloadRecommendation, ...]:
        """The pending and dismissed ones of a fleet repo, at most one a workload, by cluster, namespace, kind and name."""
        query = select(recommendations.c.body).where(*_open(fleet)).order_by(*_PLACE, recommendations.c.id)
        with reading(self._engine) as connection:
            return tuple(_read(row.body) for row in connection.execute(query))

    def opened(self, fleet: str) -> dict[Place, OpenOne]:
        """As :meth:`open_of`, in a fraction of the time: only what tells whether one still is the same."""
        columns = (recommendations.c[name] for name in OpenOne._fields)
        with reading(self._engine) as connection:
            rows = fetch_raw(connection, select(*_PLACE, *columns).where(*_open(fleet)))
        return {row[:4]: OpenOne._make(row[4:]) for row in rows}

    def of_ids(self, ids: Iterable[str]) -> dict[str, WorkloadRecommendation]:
        """Recommendations by id; ids that nothing has are left out."""
        found: dict[str, WorkloadRecommendation] = {}
        with reading(self._engine) as connection:
            for some in chunks_of(ids):
                query = select(recommendations.c.id, recommendations.c.body).where(recommendations.c.id.in_(some))
                found.update({row.id: _read(row.body) for row in connection.execute(query)})
        return found

    def lifecycles(self, fleet: str, places: Iterable[Place]) -> dict[Place, set[str]]:
        """The ids of all recommendations of these workloads of a fleet repo, those that have ended too."""
        found: dict[Place, set[str]] = {}
        with reading(self._engine) as connection:
            for some in pieces_of(sorted(set(places))):
                theirs = (recommendations.c.fleet == fleet, tuple_(*_PLACE).in_(some))
                for *place, one in fetch_raw(connection, select(*_PLACE, recommendations.c.id).where(*theirs)):
                    found.setdefault((place[0], place[1], place[2], place[3]), set()).add(one)
        return found

    def forget(self, fleet: str, before: datetime) -> int:
        """Drop the applied and archived ones of a fleet repo that have not changed since ``before``: how many there were."""
        ended = (recommendations.c.fleet == fleet, recommendations.c.is_open.is_(False))
        with writing(self._engine) as connection:
            old = delete(recommendations).where(*ended, recommendations.c.updated_at < to_micros(before))
            return connection.execute(old).rowcount

    def landed(self, change_ids: Iterable[str]) -> frozenset[str]:
        """Those of the changes that have landed on the branch, whatever became of them since."""
        found: set[str] = set()
        with reading(self._engine) as connection:
            for some in chunks_of(sorted(set(change_ids))):
                mine = select(changes.c.id).where(changes.c.id.in_(some), changes.c.state.in_(_LANDED))
                found.update(row.id for row in connection.execute(mine))
        return frozenset(found)

    def reverted(self, fleet: str) -> tuple[WorkloadRecommendation, ...]:
        """The applied ones whose change was reverted since, the newest last."""
        of = and_(recommendations.c.change_id == changes.c.id, recommendations.c.status == "applied")
        query = select(recommendations.c.body).select_from(changes).join(recommendations, of)
        mine = (changes.c.fleet == fleet, changes.c.state == "reverted", recommendations.c.fleet == fleet)
        with reading(self._engine) as connection:
            rows = connection.execute(query.where(*mine).order_by(recommendations.c.created_at, recommendations.c.id))
            return tuple(_read(row.body) for row in rows)


def _open(fleet: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return recommendations.c.fleet == fleet, recommendations.c.is_open.is_(True)


def _matching(organization: str, wanted: Wanted) -> list[ColumnElement[bool]]:
    """``is_open`` beside the statuses lets an index go straight to the open ones, which are few among the archived."""
    table = recommendations.c
    found: list[ColumnElement[bool]] = [table.organization == organization]
    statuses = set(wanted.statuses)
    if statuses and statuses <= set(OPEN_STATUSES):
        found.append(table.is_open.is_(True))
    elif statuses and not statuses & set(OPEN_STATUSES):
        found.append(table.is_open.is_(False))
    if statuses and statuses != set(OPEN_STATUSES):
        found.append(table.status.in_(sorted(statuses)))
    for column, values in (
        (table.cluster_id, wanted.cluster_ids),
        (table.namespace, wanted.namespaces),
        (table.risk, wanted.risk_levels),
        (table.priority, wanted.priorities),
        (table.kind, wanted.kinds),
        (table.uid, wanted.workload_uids),
    ):
        if values:
            found.append(column.in_(sorted(set(values))))
    if wanted.min_saving is not None:
        found.append(table.saving >= _ten_thousandths(wanted.min_saving, ROUND_CEILING))
    if wanted.clusters is not None:
        named = sorted(set(wanted.clusters))
        found.append(or_(table.cluster.in_(named), table.cluster_id.in_(named)))
    return found


def _row(one: WorkloadRecommendation, digest: str) -> dict[str, Any]:
    return {
        "id": one.id,
        "organization": one.organization,
        "fleet": one.fleet,
        "cluster": one.cluster,
        "cluster_id": one.cluster_id,
        "namespace": one.namespace,
        "kind": one.kind,
        "name": one.name,
        "uid": one.uid,
        "status": one.status,
        "is_open": one.status in OPEN_STATUSES,
        "risk": one.risk,
        "priority": one.priority,
        "saving": _ten_thousandths(one.saving_hourly),
        "change_id": one.change_id,
        "digest": digest,
        "created_at": to_micros(one.created_at),
        "updated_at": to_micros(one.updated_at),
        "body": one.model_dump_json(by_alias=True),
    }


def _read(body: str) -> WorkloadRecommendation:
    return WorkloadRecommendation.model_validate_json(body)


_MOST = Decimal(2**62)
"""Bounds what both databases take as a number; no saving is near it."""


def _ten_thousandths(amount: Decimal, rounding: str = ROUND_HALF_EVEN) -> int:
    bounded = max(-_MOST, min(amount * 10_000, _MOST))
    return int(bounded.to_integral_value(rounding=rounding))
