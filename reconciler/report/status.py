"""How the fleet repos of an organization are: the document that `trimtab status --json` prints and GET /api/v1/status answers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import ConfigDict

from reconciler.model.agent import Agent, Health
from reconciler.model.base import Model
from reconciler.model.change import Change, ChangeState, Proposal
from reconciler.model.fleet import SyncMode
from reconciler.model.inventory import Problem
from reconciler.model.plan import Pass
from reconciler.report.calendar import Instant
from reconciler.report.passes import summary


class LastPass(Model):
    """The newest pass: when, how long it took (seconds), and how many there were of each."""

    at: Instant
    seconds: float
    commits: int
    held: int
    blocked: int
    problems: int


class ChangeSummary(Model):
    """An open change in one line. ``reason`` and ``until``: what holds it, and until when; ``until`` null = until a person
    acts. Both are null where nothing holds it."""

    id: str
    summary: str
    kind: str
    cluster: str
    subject: str
    reason: str | None
    until: Instant | None


class BlockedProposal(Model):
    """What cannot be committed as things are, and why."""

    subject: str
    cluster: str
    namespace: str
    workload: str
    reason: str


class ChangeProgress(Model):
    """A change that has landed, and since when it is where: committed → synced → healthy. ``message``: what it waits for, or
    why it failed or was taken back; empty where all is well."""

    id: str
    summary: str
    cluster: str
    subject: str
    state: ChangeState
    commit: str
    committed_at: Instant | None
    synced_at: Instant | None
    healthy_at: Instant | None
    message: str


class RootProgress(Model):
    """A root of a cluster: who says what it is at (``by``), since when it is at ``revision``, and when that was last said.

    ``revision`` is empty, and the instants null, until something was reported.
    """

    cluster: str
    root: str
    sync: SyncMode
    by: str
    revision: str
    since: Instant | None
    reported_at: Instant | None
    health: Health
    message: str


class FleetStatus(Model):
    """One fleet repo. ``revision`` is the commit that the branch is at; ``lastPass`` null = none yet by this process.

    ``ready`` is about to be committed. ``landed``: the newest changes on the branch; ``roots``: what each cluster runs.
    ``error`` is empty where all is well; ``hint`` is the next step.
    """

    name: str
    url: str
    branch: str
    revision: str
    last_pass: LastPass | None
    ready: tuple[ChangeSummary, ...]
    held: tuple[ChangeSummary, ...]
    blocked: tuple[BlockedProposal, ...]
    landed: tuple[ChangeProgress, ...]
    roots: tuple[RootProgress, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    error: str
    hint: str


class AgentCounts(Model):
    """Agents by when they were last heard of: up to 45 s ago, up to 300 s ago, longer ago."""

    connected: int = 0
    stale: int = 0
    disconnected: int = 0


class FleetError(Model):
    """Why a fleet repo cannot be used now, and what to do about it."""

    fleet: str
    error: str
    hint: str


class Status(Model):
    """All fleet repos and agents of an organization, and what is wrong with any of them."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "fleets": [
                    {
                        "name": "acme",
                        "url": "https://git.example.com/acme/fleet.git",
                        "branch": "main",
                        "revision": "3f2a91c0d4e5b6a7980123456789abcdef012345",
                        "lastPass": {
                            "at": "2026-06-17T10:00:00+00:00",
                            "seconds": 0.41,
                            "commits": 1,
                            "held": 1,
                            "blocked": 0,
                            "problems": 0,
                        },
                        "ready": [],
                        "held": [
                            {
                                "id": "01JY0C7W3B5N8Q2R4T6V8X0Z1A",
                                "summary": "Scale web between 2 and 10 replicas",
                                "kind": "hpa",
                                "cluster": "prod-eu-west-1",
                                "subject": "web",
                                "reason": "needs approval",
                                "until": None,
                            }
                        ],
                        "blocked": [],
                        "landed": [
                            {
                                "id": "01JY0C7W3B5N8Q2R4T6V8X0Z19",
                                "summary": "Right-size 9 workloads in prod-eu-west-1/shop, save $31.20/month",
                                "cluster": "prod-eu-west-1",
                                "subject": "rightsize",
                                "state": "applied",
                                "commit": "3f2a91c0d4e5b6a7980123456789abcdef012345",
                                "committedAt": "2026-06-17T09:58:00+00:00",
                                "syncedAt": "2026-06-17T09:58:20+00:00",
                                "healthyAt": "2026-06-17T09:59:10+00:00",
                                "message": "",
                            }
                        ],
                        "roots": [
                            {
                                "cluster": "prod-eu-west-1",
                                "root": "clusters/prod-eu-west-1",
                                "sync": "argocd",
                                "by": "Application argocd/prod",
                                "revision": "3f2a91c0d4e5b6a7980123456789abcdef012345",
                                "since": "2026-06-17T09:58:20+00:00",
                                "reportedAt": "2026-06-17T10:00:00+00:00",
                                "health": "healthy",
                                "message": "",
                            }
                        ],
                        "problems": [],
                        "notes": [],
                        "error": "",
                        "hint": "",
                    }
                ],
                "agents": {"connected": 3, "stale": 0, "disconnected": 1},
                "heldChanges": 1,
                "errors": [],
            }
        }
    )

    fleets: tuple[FleetStatus, ...]
    agents: AgentCounts
    held_changes: int
    errors: tuple[FleetError, ...]


@dataclass(frozen=True)
class Known:
    """What is known of one fleet repo. ``url`` without credentials; ``found`` is the newest pass, if any; ``open`` are the
    changes that are not committed yet."""

    name: str
    url: str
    branch: str
    revision: str
    found: Pass | None = None
    open: tuple[Change, ...] = ()
    blocked: tuple[Proposal, ...] = ()
    landed: tuple[ChangeProgress, ...] = ()
    roots: tuple[RootProgress, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""
    hint: str = ""


def status_of(fleets: Iterable[Known], agents: Iterable[Agent], now: datetime) -> Status:
    """The whole document."""
    shown = tuple(_fleet(known) for known in fleets)
    return Status(
        fleets=shown,
        agents=_agents(agents, now),
        held_changes=sum(len(fleet.held) for fleet in shown),
        errors=tuple(FleetError(fleet=f.url, error=f.error, hint=f.hint) for f in shown if f.error),
    )


def _fleet(known: Known) -> FleetStatus:
    ready = [change for change in known.open if change.verdict.allowed]
    held = [change for change in known.open if not change.verdict.allowed]
    return FleetStatus(
        name=known.name,
        url=known.url,
        branch=known.branch,
        revision=known.revision,
        last_pass=_last_pass(known.found) if known.found else None,
        ready=_summaries(ready),
        held=_summaries(held),
        blocked=tuple(_blocked(proposal) for proposal in known.blocked),
        landed=known.landed,
        roots=known.roots,
        problems=known.problems,
        notes=known.notes,
        error=known.error,
        hint=known.hint,
    )


def _last_pass(found: Pass) -> LastPass:
    return LastPass(
        at=found.at,
        seconds=round(sum(found.seconds.values()), 4),
        commits=sum(1 for change in found.ready if change.commit),
        held=len(found.held),
        blocked=len(found.blocked),
        problems=len(found.problems),
    )


def _summaries(changes: Sequence[Change]) -> tuple[ChangeSummary, ...]:
    return tuple(
        ChangeSummary(
            id=change.id,
            summary=summary(change),
            kind=change.kind,
            cluster=change.cluster,
            subject=change.subject.name,
            reason=change.verdict.reason or None,
            until=change.verdict.until,
        )
        for change in changes
    )


def _blocked(proposal: Proposal) -> BlockedProposal:
    return BlockedProposal(
        subject=proposal.subject.name,
        cluster=proposal.cluster,
        namespace=proposal.namespace,
        workload=proposal.workload,
        reason=proposal.blocked,
    )


def _agents(agents: Iterable[Agent], now: datetime) -> AgentCounts:
    counts = {"connected": 0, "stale": 0, "disconnected": 0}
    for agent in agents:
        counts[agent.status(now)] += 1
    return AgentCounts.model_validate(counts)
