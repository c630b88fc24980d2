"""How the fleet repos are, and when their windows are open."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.auth import HasServer, Principal, needs
from api.errors import BadRequest, documented
from api.server import Server
from reconciler.clock import parse_instant
from reconciler.errors import InputError
from reconciler.model.change import Change
from reconciler.model.fleet import Fleet
from reconciler.model.inventory import Problem
from reconciler.report.calendar import Calendar
from reconciler.report.status import Known, Status, status_of
from reconciler.steps.calendar import calendar, owners_of
from reconciler.steps.following import landed_changes, root_progress
from reconciler.steward import Watch

router = APIRouter(prefix="/api/v1", tags=["Status"])

Reader = Annotated[Principal, Depends(needs("changes:read"))]

WEEK = timedelta(days=7)
LONGEST = timedelta(days=92)


@router.get(
    "/status",
    summary="Fleet repos, held changes, agents, errors",
    responses=documented(401, 403),
    response_model_by_alias=True,
)
def read_status(server: HasServer, principal: Reader) -> Status:
    """The organization's fleet repos with revision, newest pass, what is held and why, and how its agents are."""
    known = [
        _known(server, steward.watch, fleet, principal)
        for steward, fleet in server.fleets(principal.organization)
        if not principal.clusters or _visible(fleet, principal)
    ]
    if not principal.clusters:
        known += [_refused(steward.watch) for steward in server.refused(principal.organization)]
    agents = [
        agent
        for agent in server.stores.agents.list(principal.organization)
        if principal.sees(agent.cluster or None, _id_of(server, principal, agent.cluster))
    ]
    return status_of(known, agents, server.clock())


def _id_of(server: Server, principal: Principal, cluster: str) -> str:
    found = server.cluster(principal.organization, cluster) if cluster else None
    return found[1].id if found else ""


def _visible(fleet: Fleet, principal: Principal) -> list[str]:
    return [cluster.name for cluster in fleet.clusters if principal.sees(cluster.name, cluster.id)]


def _known(server: Server, watch: Watch, fleet: Fleet, principal: Principal) -> Known:
    """One fleet repo as far as the principal may see it. Notes are free text about all of it: only for those who see all."""
    found, seen = watch.found, frozenset(_visible(fleet, principal))
    every = not principal.clusters
    waiting = server.stores.changes.open_changes(watch.url, heads=every)
    return Known(
        name=fleet.name,
        url=watch.url,
        branch=watch.branch,
        revision=watch.head,
        found=found,
        open=tuple(change for change in waiting if every or _clusters_of(change) <= seen),
        blocked=tuple(p for p in (found.blocked if found else ()) if every or p.cluster in seen),
        landed=landed_changes(server.stores, watch.url, fleet.clusters, None if every else seen),
        roots=root_progress(server.stores, [cluster for cluster in fleet.clusters if cluster.name in seen]),
        problems=tuple(p for p in (found.problems if found else ()) if every or _is_within(p, fleet, seen)),
        notes=_notes(server, watch, fleet) if every else (),
        error=watch.error,
        hint=watch.hint,
    )


def _notes(server: Server, watch: Watch, fleet: Fleet) -> tuple[str, ...]:
    """Of the newest pass, and of where usage comes from."""
    names = [cluster.name for cluster in fleet.clusters]
    said = [note for source in server.sources for note in source(names)]
    return (*(watch.found.notes if watch.found else ()), *said)


def _refused(watch: Watch) -> Known:
    """A fleet repo that this server does not keep, since it declares what belongs to another one."""
    return Known(watch.refused, watch.url, watch.branch, revision="", error=watch.error, hint=watch.hint)


def _clusters_of(change: Change) -> frozenset[str]:
    return frozenset(decision.proposal.cluster for decision in change.decisions)


def _is_within(problem: Problem, fleet: Fleet, clusters: frozenset[str]) -> bool:
    """Whether a problem is about a file of one of these clusters."""
    roots = [root.path for cluster in fleet.clusters if cluster.name in clusters for root in cluster.roots]
    return any(problem.path == root or problem.path.startswith(f"{root}/") for root in roots)


@router.get(
    "/windows", summary="When windows are open", responses=documented(400, 401, 403), response_model_by_alias=True
)
def read_windows(
    server: HasServer,
    principal: Reader,
    start: Annotated[
        str | None,
        Query(alias="from", description="RFC 3339; now when left out.", examples=["2026-06-17T00:00:00Z"]),
    ] = None,
    end: Annotated[
        str | None,
        Query(alias="to", description="RFC 3339; seven days after `from` when left out, at most 92 days after it."),
    ] = None,
    cluster: Annotated[
        str | None, Query(description="Only windows that are about this cluster, by name or id.")
    ] = None,
) -> Calendar:
    """Every stretch in which a maintenance or exclusion window of the organization's is open, and what comes next of each."""
    now = server.clock()
    first = _instant(start, "from") or now
    last = _instant(end, "to") or _later(first, WEEK)
    if last <= first:
        raise BadRequest("to is not after from", field="to")
    if last - first > LONGEST:
        raise BadRequest(f"from and to are more than {LONGEST.days} days apart", field="to")
    owners = [
        owners_of(steward.watch.url, steward.watch.state).within(clusters)
        for steward, fleet in server.fleets(principal.organization)
        if (clusters := _asked_for(fleet, principal, cluster)) != frozenset() and steward.watch.state is not None
    ]
    return calendar(owners, first, last, now)


def _instant(text: str | None, field: str) -> datetime | None:
    if text is None:
        return None
    try:
        # A plus sign in a query stands for a space; no RFC 3339 instant that a person means has one there.
        return parse_instant(text.replace(" ", "+"), option=field)
    except (InputError, OverflowError) as error:
        raise BadRequest(str(error), field=field) from None


def _later(first: datetime, by: timedelta) -> datetime:
    try:
        return first + by
    except OverflowError:
        raise BadRequest("from is too far in the future", field="from") from None


def _asked_for(fleet: Fleet, principal: Principal, cluster: str | None) -> frozenset[str] | None:
    """The clusters of a fleet that the answer is about; None = all that there is, also what is in no cluster."""
    if cluster is None and not principal.clusters:
        return None
    named = {c.name for c in fleet.clusters if cluster is None or cluster in (c.name, c.id)}
    return frozenset(_visible(fleet, principal)) & named
