"""The Actions API's background work: what runs by the document's schedule, and at once when a sync route is called."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from datetime import datetime

from api.schedule import Job
from api.server import Server
from reconciler.errors import Stalled
from reconciler.steps import heartbeats
from reconciler.steps.house import House
from reconciler.steps.ingesting import KEPT, ingest
from reconciler.steward import Steward

WAIT_SECONDS = 120.0
"""How long a pass is waited for; what was begun by then goes on, what was not is called off."""


def jobs(server: Server) -> tuple[Job, ...]:
    """The document's cron schedule. Reading the configs at the head of the branch is how every pass begins."""
    return (
        Job("heartbeats", "*/5 * * * *", lambda at: _beat_all(server, at)),
        Job("config sync and submission", "*/10 * * * *", lambda _at: _nudge_all(server)),
        Job("ingestion", "*/10 * * * *", lambda at: _ingest_and_forget(server, at)),
    )


def _ingest_and_forget(server: Server, at: datetime) -> None:
    server.stores.runs.forget(at - KEPT)
    ingest_all(server.stewards)


def _nudge_all(server: Server) -> None:
    for steward in server.stewards:
        steward.nudge()


def read_all(stewards: Sequence[Steward]) -> None:
    """Read trimtab.yaml, policies/ and actions/ at the heads of the branches, and the configs made through the API.

    :raises TrimtabError: when that is not possible.  :raises TimeoutError: when it takes longer than a request may.
    """
    _ask_all(stewards, lambda steward: steward.read)


def submit_all(server: Server, stewards: Sequence[Steward]) -> None:
    """One pass over each fleet repo, on all that was pushed so far. Raises as :func:`read_all` does."""
    server.flush()
    _ask_all(stewards, lambda steward: steward.submit)


def ingest_all(stewards: Sequence[Steward]) -> None:
    """Complete the actions that something is known of. Raises as :func:`read_all` does."""
    _ask_all(stewards, _ingesting)


def _ingesting(steward: Steward) -> Callable[[House], object]:
    def work(house: House) -> object:
        state = steward.watch.state
        if state is None:
            raise Stalled(f"the fleet repo could not be read yet: {steward.watch.error or 'ask again soon'}")
        return ingest(house, state)

    return work


def _ask_all(stewards: Sequence[Steward], work: Callable[[Steward], Callable[[House], object]]) -> None:
    """Have all of them at it at once; the first error is raised when all are done."""
    asked: list[Future[object]] = [steward.ask(work(steward)) for steward in stewards]
    done, late = wait(asked, timeout=WAIT_SECONDS)
    for future in late:
        future.cancel()
    for future in asked:
        if future in done:
            future.result()
    if late:
        raise TimeoutError


def beat(server: Server, organization: str, at: datetime) -> None:
    """Store the heartbeats of an organization: the reconciler's at ``at``, each agent's at when it was last heard of."""
    kept = tuple(server.fleets(organization))
    agents, processed = server.stores.agents.list(organization), server.stores.runs.processed(organization)
    fleets = [fleet for _, fleet in kept]
    found = heartbeats.of_agents(agents, fleets, now=server.clock(), processed=processed)
    for steward, fleet in kept:
        degraded = bool(steward.watch.error)
        found += heartbeats.of_reconciler(fleet, degraded=degraded, at=at, processed=processed)
    server.stores.heartbeats.beat(found)


def _beat_all(server: Server, at: datetime) -> None:
    server.flush_heard()
    for organization in sorted({s.watch.fleet.name for s in server.stewards if s.watch.fleet is not None}):
        beat(server, organization, at)
    server.stores.heartbeats.forget(at - heartbeats.KEPT)
