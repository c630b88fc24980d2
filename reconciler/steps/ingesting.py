"""Ingest: what became of the actions of runs, by the state of the change that each is in now.

An action is completed once: as a success when its cluster is seen to run it, as a failure when that will not happen in its
run any more. What happens to it later (a rollback, say) belongs to another story.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from reconciler.model.action import ActionConfig
from reconciler.model.agent import ObjectStatus, StatusReport
from reconciler.model.change import Change
from reconciler.model.run import Outcome, RunAction
from reconciler.model.state import FleetState
from reconciler.model.window import Windows
from reconciler.steps import gating
from reconciler.steps.house import House, Stores
from reconciler.steps.proofs import prove_newest
from reconciler.store.changes import OPEN_STATES, Recorded

NOBODY_REPORTS = timedelta(hours=24)
"""A cluster that Argo CD or Flux syncs, and nobody has reported about for so long, is taken to follow the branch: what was
committed there is done. So is one that nobody has ever reported about."""

KEPT = timedelta(days=90)
"""Runs that are over for longer are forgotten; the commits in Git name them for ever."""

LEASE_SECONDS = 5.0
"""How long to wait while another process makes a pass."""

_GONE = "not recommended any more"
_UNDONE = "it was reverted before the cluster was seen to run it"


@dataclass(frozen=True)
class _Moment:
    """The fleet as it is declared, now: what windows are judged by."""

    now: datetime
    state: FleetState

    @cached_property
    def windows(self) -> Mapping[str, Windows]:
        return {action.id: action.windows for action in self.state.actions}


def ingest(house: House, state: FleetState, *, wait_seconds: float = LEASE_SECONDS) -> int:
    """Complete the pending actions of a fleet repo that something is known of; gives how many.

    The newest reports of agents are looked at first. Not while a pass is being written down, here or elsewhere: a change
    that is about to take another's place would look like one that is gone.

    :raises RetryLater: when another process still makes a pass after ``wait_seconds``.
    """
    if not house.stores.runs.pending(house.name):
        return 0
    with house.lease(wait_seconds=wait_seconds):
        prove_newest(house, state.fleet.clusters)
        pending = house.stores.runs.pending(house.name)
        found = _Ingestion(house.stores, _Moment(house.now(), state), _changes(house.stores, pending))
        done = [completed for action in pending if (completed := found.completed(action))]
        return house.stores.runs.complete(done) if done else 0


def _changes(stores: Stores, pending: tuple[RunAction, ...]) -> dict[str, Recorded]:
    return stores.changes.heads({action.change_id for action in pending})


@dataclass(frozen=True)
class _Said:
    """What became of an action, and when."""

    outcome: Outcome
    at: datetime
    error: str = ""


@dataclass(eq=False)
class _Ingestion:
    """One way through the pending actions."""

    stores: Stores
    moment: _Moment
    changes: Mapping[str, Recorded]
    _reports: dict[str, StatusReport | None] = field(default_factory=dict)
    _refused: dict[str, Mapping[str, Sequence[ObjectStatus]]] = field(default_factory=dict)
    _current: dict[tuple[str, str], str] = field(default_factory=dict)
    _decided_in: dict[str, Collection[str]] = field(default_factory=dict)

    def completed(self, action: RunAction) -> RunAction | None:
        """The action as it ended; None while nothing is known."""
        said = self._said(action, self.changes.get(action.change_id))
        if said is None:
            return None
        at = max(action.created_at, min(said.at, self.moment.now))  # the clock of whoever reverted it may be another
        errors = (said.error,) if said.error else ()
        return action.model_copy(update={"outcome": said.outcome, "errors": errors, "completed_at": at})

    def _said(self, action: RunAction, recorded: Recorded | None) -> _Said | None:
        if recorded is None or recorded.change.state == "superseded":
            return _Said("failure", self.moment.now, _GONE)
        if recorded.change.state == "dismissed":
            return _Said("failure", recorded.since, self._dismissed(recorded))
        if recorded.change.state in OPEN_STATES or action.run_id not in self._runs_of(recorded.change):
            return self._waiting(action)
        return self._landed(action, recorded)

    def _landed(self, action: RunAction, recorded: Recorded) -> _Said | None:
        """Of a change that is on the branch, or was."""
        if recorded.change.state == "applied":
            return _Said("success", recorded.since)
        if recorded.change.state == "failed":
            return self._failed(action, recorded)
        if recorded.change.state == "reverted" and recorded.change.applied_at is not None:
            return _Said("success", recorded.change.applied_at)
        if recorded.change.state == "reverted":
            return _Said("failure", recorded.since, recorded.change.failure or _UNDONE)
        return None if self._is_reported(action.cluster) else _Said("success", recorded.landed_at or recorded.since)

    def _is_reported(self, name: str) -> bool:
        """Whether somebody will say what the cluster runs. What an agent of ours applies is not there while it is away."""
        report, cluster = self._report(name), self.moment.state.fleet.cluster(name)
        if report is None or report.at > self.moment.now - NOBODY_REPORTS:
            return report is not None
        return cluster is not None and any(root.sync == "agent" for root in cluster.roots)

    def _runs_of(self, change: Change) -> Collection[str]:
        """The runs that a change was last decided in: it may have waited for the next opening, and landed in that one."""
        if change.id not in self._decided_in:
            whole = self.stores.changes.find(change.id) or change
            self._decided_in[change.id] = {decision.proposal.subject.run for decision in whole.decisions}
        return self._decided_in[change.id]

    def _waiting(self, action: RunAction) -> _Said | None:
        """Held, or in an open pull request: that is over with the windows of the run. ``errors`` says what held it in them."""
        over = self._over(action)
        return _Said("failure", self.moment.now, ": ".join((over, *action.errors))) if over else None

    def _over(self, action: RunAction) -> str:
        """Why the run does not go on; empty while its windows are open. What cannot be read does not end it."""
        config = next((one for one in self.moment.state.actions if one.id == action.action_id), None)
        if config is None:
            return "the action config was deleted first" if self.moment.state.actions_complete else ""
        if not config.enabled:
            return "the action config was disabled first"
        if self._run_now(config, action.cluster) == action.run_id:
            return ""
        owners = gating.action_windows(self.moment, config, action.cluster)
        by_day = gating.goes_by_day(owners, self.moment.now)
        return "the day of the run ended first" if by_day else "the maintenance window closed first"

    def _run_now(self, config: ActionConfig, cluster: str) -> str:
        """The run that an action would be in now; empty while its windows are closed."""
        key = config.id, cluster
        if key not in self._current:
            open_now = gating.is_open(self.moment, config, cluster)
            self._current[key] = gating.run_id(self.moment, config, cluster) if open_now else ""
        return self._current[key]

    def _failed(self, action: RunAction, recorded: Recorded) -> _Said:
        """One object that the API server refuses fails the change; its other objects are in force all the same."""
        if self._report(action.cluster) is None:
            return _Said("failure", recorded.since, recorded.change.failure)
        refused = (
            one for one in self._refused_in(action.cluster, action.parameters["namespace"]) if _is_of(one, action)
        )
        mine = [f"{one.kind} {one.name}: {one.message or 'could not be applied'}" for one in refused]
        return _Said("failure" if mine else "success", recorded.since, "; ".join(mine))

    def _refused_in(self, cluster: str, namespace: str) -> Sequence[ObjectStatus]:
        """What the cluster has refused of a namespace."""
        if cluster not in self._refused:
            report = self._report(cluster)
            refused: dict[str, list[ObjectStatus]] = defaultdict(list)
            for one in report.objects if report is not None else ():
                if one.status == "failed":
                    refused[one.namespace].append(one)
            self._refused[cluster] = refused
        return self._refused[cluster].get(namespace, ())

    def _report(self, cluster: str) -> StatusReport | None:
        if cluster not in self._reports:
            self._reports[cluster] = self.stores.reports.newest(cluster)
        return self._reports[cluster]

    def _dismissed(self, recorded: Recorded) -> str:
        said = self.stores.verdicts.about([recorded.change.id]).get(recorded.change.id, ())
        given = next((one for one in said if one.verdict == "rejected"), None)
        if given is None:
            return "it was dismissed"
        return f"rejected by {given.by}{f': {given.reason}' if given.reason else ''}"


def _is_of(one: ObjectStatus, action: RunAction) -> bool:
    """Whether a refused object, in the action's namespace, is one that the action has changed."""
    named = action.parameters
    if action.action == "containerRequestRightSizing":
        kinds = (named["controllerKind"], "horizontalpodautoscaler")  # ours is named after what it scales
        return one.kind.lower() in kinds and one.name == named["controllerName"]
    if action.action == "resourceQuotaRightSizing":
        return (one.kind, one.name) == ("ResourceQuota", named["name"])
    return True
