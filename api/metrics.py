"""`/metrics`, for Prometheus: what was counted as it happened, and what the database knows at this moment."""

from collections.abc import Iterable, Iterator
from threading import Lock

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from api.auth import HasServer
from reconciler.clock import Clock
from reconciler.errors import TrimtabError
from reconciler.model.agent import CONNECTED, STALE
from reconciler.steps.house import Stores
from reconciler.store.tallies import TallyStore

router = APIRouter(tags=["Operations"])

_EXAMPLE = 'trimtab_passes_total{outcome="committed"} 12.0\ntrimtab_changes_held 1.0\n'
_UNSETTLED = 1000
"""Rows of the decision log that are counted again each time: on PostgreSQL they do not become visible in order."""


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=PlainTextResponse,
    responses={200: {"description": "Prometheus text format.", "content": {"text/plain": {"example": _EXAMPLE}}}},
)
def metrics(server: HasServer) -> Response:
    """Passes, decisions, commits, what is held, agents, commands and requests. Needs no credentials, and names nobody."""
    return Response(generate_latest(server.metrics.registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


class Stored(Collector):
    """What the database says when it is asked. A database that is away is a metric, too, and not an error."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        self._stores, self._clock, self._tallies = stores, clock, TallyStore(stores.engine)
        self._decisions, self._answers, self._lock = _Settled(), _Growing(), Lock()

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that to register this does not ask the database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("trimtab_database_up", "1 when the database answers.")
        try:
            with self._lock:
                yield from list(self._read())
        except TrimtabError:
            up.add_metric([], 0)
        else:
            up.add_metric([], 1)
        yield up

    def _read(self) -> Iterator[Metric]:
        held = GaugeMetricFamily("trimtab_changes_held", "Changes that are held by a window, a budget or for approval.")
        held.add_metric([], self._tallies.held())
        yield held
        yield self._agents()
        decisions = self._decisions.read(self._tallies)
        yield _counter("trimtab_decisions", "Entries of the decision log.", "action", decisions)
        answers = self._answers.read(self._tallies.answers())
        yield _counter("trimtab_commands", "Commands that agents have answered.", "answer", answers)

    def _agents(self) -> Metric:
        found = dict.fromkeys(("connected", "stale", "disconnected"), 0)
        now = self._clock()
        for seen in self._stores.agents.last_seen():
            silent = now - seen
            found["connected" if silent <= CONNECTED else "stale" if silent <= STALE else "disconnected"] += 1
        family = GaugeMetricFamily(
            "trimtab_agents", "Registered agents, by when they were heard of.", labels=["status"]
        )
        for status, count in found.items():
            family.add_metric([status], count)
        return family


def _counter(name: str, about: str, label: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, about, labels=[label])
    for value, count in sorted(values.items()):
        family.add_metric([value], count)
    return family


class _Settled:
    """Counts of a table that only grows: what is old enough to be complete is counted once."""

    def __init__(self) -> None:
        self._up_to, self._counts = 0, dict.fromkeys(("apply", "apply_failed", "dry_run", "rollback"), 0)

    def read(self, tallies: TallyStore) -> dict[str, int]:
        newest = tallies.newest_decision()
        settled = max(self._up_to, newest - _UNSETTLED)
        if settled > self._up_to:
            self._counts = _sum(self._counts, tallies.decisions(self._up_to, settled))
            self._up_to = settled
        return _sum(self._counts, tallies.decisions(self._up_to, newest))


class _Growing:
    """Counts of rows that may go away again: a counter must not fall, so what went away is added."""

    def __init__(self) -> None:
        self._gone = dict.fromkeys(("failed", "succeeded"), 0)
        self._last: dict[str, int] = {}

    def read(self, counts: dict[str, int]) -> dict[str, int]:
        for answer in self._gone:
            self._gone[answer] += max(0, self._last.get(answer, 0) - counts.get(answer, 0))
        self._last = counts
        return _sum(self._gone, counts)


def _sum(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in one | other}
