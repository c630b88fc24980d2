"""How the fleet repos of an organization are: the document that `trimtab status --json` prints and GET /api/v1/status answers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import ConfigDict

from reconciler.model.agent import Agent
from reconciler.model.base import Model
from reconciler.model.change import Change, Proposal
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


class FleetStatus(Model):
    """One fleet repo. ``revision`` is the commit that the branch is at; ``lastPass`` null = none yet by this process.

    ``ready`` is about to be committed. ``error`` is empty where all is well; ``hint`` is the next step.
    """

    name: str
    url: str
    branch: str
    revision: str
    last_pass: LastPass | None
    ready: tuple[ChangeSummary, ...]
    held: tuple[ChangeSummary, ...]
    blocked: tuple[BlockedProposal, ...]
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
