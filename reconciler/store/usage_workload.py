"""The usage history of one workload, read by itself: its own rows only, however many others its cluster has."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import cast

import numpy as np
from sqlalchemy import Connection, Engine, func, select

from reconciler.model.observation import OomRecord, SeriesKey, UsageSummary
from reconciler.model.workload import Resource, WorkloadKey
from reconciler.store.instants import to_micros
from reconciler.store.seen import DAY
from reconciler.store.tables import incidents, usage_series
from reconciler.store.transactions import reading
from reconciler.store.usage_read import DEFAULT_QUANTILE, Figures, Window, summarize

_FIGURES = Figures(by_bucket=False)
_MICROS_A_DAY = DAY * 1_000_000


@dataclass(frozen=True)
class WorkloadHistory:
    """``usage``: by container and resource, with ``quantiles``, where there is a sample. ``incidents``: by container."""

    usage: Mapping[tuple[str, Resource], UsageSummary]
    incidents: Mapping[str, OomRecord]


def read_workload(engine: Engine, workload: WorkloadKey, *, since: datetime, until: datetime) -> WorkloadHistory:
    """All hours and days that overlap the window. Remembers nothing, so it is for any thread."""
    window = Window(int(since.timestamp()), int(until.timestamp()))
    with reading(engine) as connection:
        keys = _series(connection, workload)
        q = np.full(len(keys), DEFAULT_QUANTILE)
        found = summarize(connection, keys, q, window, _FIGURES)
        return WorkloadHistory(
            usage={(key.container, key.resource): summary for key, summary in found.items()},
            incidents=_incidents(connection, workload, since, until),
        )


def _series(connection: Connection, workload: WorkloadKey) -> dict[int, SeriesKey]:
    """By id, ascending."""
    of = usage_series.c
    query = select(of.id, of.container, of.resource).where(
        of.cluster == workload.cluster,
        of.namespace == workload.namespace,
        of.kind == workload.kind,
        of.name == workload.name,
    )
    return {
        number: SeriesKey(workload=workload, container=container, resource=cast(Resource, resource))
        for number, container, resource in connection.execute(query.order_by(of.id))
    }


def _incidents(connection: Connection, workload: WorkloadKey, since: datetime, until: datetime) -> dict[str, OomRecord]:
    """Of the UTC days that the window overlaps."""
    of = incidents.c
    first, last = (to_micros(instant) // _MICROS_A_DAY for instant in (since, until))
    query = (
        select(of.container, func.sum(of.oom_kills), func.sum(of.restarts), func.max(of.peak_bytes))
        .where(
            of.cluster == workload.cluster,
            of.namespace == workload.namespace,
            of.kind == workload.kind,
            of.name == workload.name,
            of.day.between(first, last),
        )
        .group_by(of.container)
    )
    return {
        container: OomRecord(
            workload=workload, container=container, oom_kills=int(kills), restarts=int(restarts), peak_bytes=int(peak)
        )
        for container, kills, restarts, peak in connection.execute(query)
    }
