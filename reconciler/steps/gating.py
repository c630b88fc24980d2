"""Gate: which windows, budget and approvals apply to a proposal, and what they say."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from reconciler.gate.verdict import Budget, all_open, opening, verdict
from reconciler.model.action import ActionConfig
from reconciler.model.change import Change, Proposal, Subject, Verdict
from reconciler.model.state import FleetState
from reconciler.model.window import Windows
from reconciler.steps.scene import Scene

_RUNS = uuid.UUID("5a7e1f0c-52a5-4f6e-9a53-6f0a4f0b1d27")
"""Namespace of the ids of action runs: the same config and window opening give the same id."""


class Moment(Protocol):
    """What windows are judged by: the fleet as it is declared, at an instant. A :class:`Scene` is one."""

    @property
    def now(self) -> datetime: ...

    @property
    def state(self) -> FleetState: ...

    @property
    def windows(self) -> Mapping[str, Windows]: ...


def owners(scene: Moment, *, cluster: str, subject: Subject | None = None) -> tuple[Windows, ...]:
    """The windows that all must allow: the fleet's, the cluster's, the policy's or action's."""
    fleet = scene.state.fleet
    found = [fleet.windows]
    if known := fleet.cluster(cluster):
        found.append(known.windows)
    if subject is not None and subject.id in scene.windows:
        found.append(scene.windows[subject.id])
    return tuple(found)


def action_windows(scene: Moment, action: ActionConfig, cluster: str) -> tuple[Windows, ...]:
    return (*owners(scene, cluster=cluster), action.windows)


def is_open(scene: Moment, action: ActionConfig, cluster: str) -> bool:
    """Whether every window of the action allows now."""
    return all_open(action_windows(scene, action, cluster), scene.now)


def opened_at(scene: Moment, action: ActionConfig, cluster: str) -> datetime:
    """When the stretch in which the action may run began. Where maintenance windows do not end it, the UTC day does: a
    freeze once a year does not make one stretch of the rest.
    """
    windows = action_windows(scene, action, cluster)
    start, today = opening(windows, scene.now), _midnight(scene.now)
    return max(start or today, today) if goes_by_day(windows, scene.now) else start or today


def goes_by_day(windows: tuple[Windows, ...], now: datetime) -> bool:
    """Whether the maintenance windows that are open at ``now``, if there are any, never close."""
    if not any(owner.maintenance for owner in windows):
        return True
    maintenance = tuple(owner.model_copy(update={"exclusion": ()}) for owner in windows)
    return all_open(maintenance, now) and opening(maintenance, now) is None


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def run_id(scene: Moment, action: ActionConfig, cluster: str) -> str:
    """One run per config and window opening (DESIGN §9)."""
    return str(uuid.uuid5(_RUNS, f"{action.id} {opened_at(scene, action, cluster).isoformat()}"))


def judge(scene: Scene, proposals: Sequence[Proposal]) -> list[tuple[Proposal, Verdict]]:
    """Each proposal with what windows and approvals say. The budget is looked at commit by commit, in :func:`ration`."""
    unlimited = Budget(commits_last_hour=0, limit=scene.state.fleet.delivery.commits_per_hour, oldest=None)
    windows: dict[tuple[str, str], tuple[Windows, ...]] = {}
    judged = []
    for proposal in proposals:
        key = (proposal.cluster, proposal.subject.id)
        if key not in windows:
            windows[key] = owners(scene, cluster=proposal.cluster, subject=proposal.subject)
        told = _approved(scene, proposal)
        said = verdict(told, windows=windows[key], now=scene.now, budget=unlimited)
        judged.append((told, _delivered(scene, said)))
    return judged


def _approved(scene: Scene, proposal: Proposal) -> Proposal:
    """With who has approved just these values, where somebody has."""
    by = scene.approvals.get(proposal.fingerprint) if proposal.approval_required and scene.approvals else None
    if not by:
        return proposal
    return proposal.model_copy(update={"approved_by": by, "reason": f"{proposal.reason}; approved by {by}"})


def _delivered(scene: Scene, said: Verdict) -> Verdict:
    """Nothing goes to the branch directly where people asked for pull requests, which are not made yet."""
    if not said.allowed or scene.state.fleet.delivery.mode == "commit":
        return said
    reason = "delivery.mode is pullRequest, and this version makes no pull requests; mode: commit commits to the branch"
    return Verdict(allowed=False, reason=reason)


def ration(changes: Sequence[Change], *, limit: int, committed: Sequence[datetime], now: datetime) -> list[Change]:
    """Hold the changes that would make more than ``limit`` commits within an hour, until the oldest of them is an hour old."""
    recent = sorted(at for at in committed if at > now - timedelta(hours=1))
    rationed = []
    for change in changes:
        exempt = all(decision.proposal.ignores_budget for decision in change.decisions)
        if exempt or len(recent) < limit:
            recent.append(now)
            rationed.append(change)
            continue
        until = recent[len(recent) - limit] + timedelta(hours=1)
        reason = f"{limit} commits in the last hour (delivery.commitsPerHour)"
        rationed.append(change.model_copy(update={"verdict": Verdict(allowed=False, reason=reason, until=until)}))
    return rationed
