"""Prove: what an agent's report says about the changes that have landed (DESIGN §8).

A change is applied when the reported revision contains its commit, and failed when the cluster refused one of the objects
that it touched. All is read from the history that the passes keep at hand: one look at Git at most, however many changes.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from reconciler.commit.history import LandedCommit
from reconciler.commit.values import is_machine_path
from reconciler.manifests.machine_files import live_namespace_of
from reconciler.model.agent import ObjectStatus, StatusReport
from reconciler.model.change import Change, ChangeState, ValueEdit
from reconciler.model.fleet import Cluster
from reconciler.render.fields import turndown_target
from reconciler.steps.catching_up import whole_history
from reconciler.steps.house import House

OPEN_TO_PROOF: tuple[ChangeState, ...] = ("committed", "merged", "failed")
"""A change that failed is applied once a later report has nothing against it."""

_AGAIN = timedelta(minutes=1)
"""The same report about the same head is gone through again after this: another process may have landed something."""

Key = tuple[str, str, str]
"""Kind, namespace in the cluster (empty where there is none) and name."""


def prove(house: House, cluster: Cluster, report: StatusReport) -> tuple[str, ...]:
    """Mark the changes of ``cluster`` that ``report`` shows to be in force, or to have failed; gives the ids of those marked.

    A revision that the branch does not contain, as far as it was fetched, proves nothing, and takes nothing back. The same report again costs next to nothing.
    """
    head = house.repository.head
    key = (report.revision, _digest(report), head)
    known = house.parsed.get(f"proved:{cluster.name}")
    if isinstance(known, _Seen) and known.covers(key, house.now()):
        return ()
    commits, found = whole_history(house, head)
    moved: tuple[str, ...] = ()
    if contained := ancestors(commits, report.revision):
        moved = _judge(house, cluster, report, _touching(commits, contained, cluster), commits)
        house.stores.reports.prove(report, _policy_commits(found.stands, contained, cluster))
    house.parsed[f"proved:{cluster.name}"] = _Seen(key, house.now())
    return moved


def prove_newest(house: House, clusters: Sequence[Cluster]) -> tuple[str, ...]:
    """:meth:`prove` with the newest report about each cluster, for a pass that begins."""
    reports = ((cluster, house.stores.reports.newest(cluster.name)) for cluster in clusters)
    return tuple(change for cluster, report in reports if report for change in prove(house, cluster, report))


def ancestors(commits: Sequence[LandedCommit], revision: str) -> frozenset[str]:
    """The commits that ``revision`` contains, itself too; none when it is not among ``commits``."""
    parents = {commit.sha: commit.parents for commit in commits}
    found: set[str] = set()
    waiting = [revision] if revision in parents else []
    while waiting:
        sha = waiting.pop()
        if sha not in found:
            found.add(sha)
            waiting += parents.get(sha, ())
    return frozenset(found)


class _Seen:
    """What was gone through, and when."""

    def __init__(self, key: tuple[str, str, str], at: datetime) -> None:
        self._key, self._at = key, at

    def covers(self, key: tuple[str, str, str], now: datetime) -> bool:
        return key == self._key and self._at <= now < self._at + _AGAIN


def _digest(report: StatusReport) -> str:
    said = sorted((*_key_of(one), one.status, one.message) for one in report.objects)
    return hashlib.sha256(repr((report.agent_id, said)).encode()).hexdigest()


def _touching(commits: Sequence[LandedCommit], contained: frozenset[str], cluster: Cluster) -> dict[str, str]:
    """Our commits that are contained and touch a root of the cluster: change id → commit."""
    return {
        commit.trailers.change: commit.sha
        for commit in commits
        if commit.ours and commit.sha in contained and _touches(commit, cluster)
    }


def _touches(commit: LandedCommit, cluster: Cluster) -> bool:
    folders = tuple("" if root.path in ("", ".") else f"{root.path}/" for root in cluster.roots)
    return any(path.startswith(folders) for path in commit.paths)


def _policy_commits(stands: Sequence[LandedCommit], contained: frozenset[str], cluster: Cluster) -> list[str]:
    """Of each policy whose newest standing commit is contained, that commit."""
    newest = {
        commit.trailers.policy: commit.sha
        for commit in stands
        if commit.trailers.policy and any(map(is_machine_path, commit.paths)) and _touches(commit, cluster)
    }
    return [sha for sha in newest.values() if sha in contained]


def _judge(
    house: House, cluster: Cluster, report: StatusReport, candidates: Mapping[str, str], commits: Sequence[LandedCommit]
) -> tuple[str, ...]:
    states = house.stores.changes.states(house.name)
    moved: list[str] = []
    for change_id, commit in candidates.items():
        state = states.get(change_id)
        change = house.stores.changes.find(change_id) if state and state[0] in OPEN_TO_PROOF else None
        if change is None:
            continue
        change = change.model_copy(update={"commit": commit})
        reports = _reports(house, cluster, report, change, commits)
        if reports is not None and _settle(house, change, reports):
            moved.append(change_id)
    return tuple(moved)


def _reports(
    house: House, cluster: Cluster, report: StatusReport, change: Change, commits: Sequence[LandedCommit]
) -> dict[str, StatusReport] | None:
    """By cluster, the report that speaks for the change; None while one of its clusters has not reported its commit."""
    found = {cluster.name: report}
    for name in sorted({decision.proposal.cluster for decision in change.decisions} - {cluster.name}):
        other = house.stores.reports.newest(name)
        if other is None or change.commit not in ancestors(commits, other.revision):
            return None
        found[name] = other
    return found


def _settle(house: House, change: Change, reports: Mapping[str, StatusReport]) -> bool:
    """Whether the change is in another state now, or failed for another reason."""
    failed: list[ObjectStatus] = []
    for name, report in reports.items():
        touched = set(_touched(change, name))
        failed += [one for one in report.objects if one.status == "failed" and _key_of(one) in touched]
    state: ChangeState = "failed" if failed else "applied"
    failure = "; ".join(f"{one.kind} {one.name}: {one.message or 'could not be applied'}" for one in failed)
    if (change.state, change.failure) == (state, failure):
        return False
    applied_at = house.now() if state == "applied" and change.applied_at is None else change.applied_at
    settled = {"state": state, "failure": failure, "applied_at": applied_at}
    house.stores.changes.save(change.model_copy(update=settled), house.name)
    house.stores.changes.mark(change.id, state, at=house.now())
    return True


def _key_of(one: ObjectStatus) -> Key:
    return one.kind, one.namespace, one.name


def _touched(change: Change, cluster: str) -> Iterator[Key]:
    """The objects of a cluster that a change has edited, as the cluster knows them."""
    for decision in change.decisions:
        if decision.proposal.cluster == cluster:
            for edit in decision.proposal.edits:
                yield from _object_of(edit, decision.proposal.namespace)


def _object_of(edit: ValueEdit, namespace: str) -> Iterator[Key]:
    target = edit.target
    if edit.form == "hpa":
        yield "HorizontalPodAutoscaler", live_namespace_of(edit.path), target.name
    elif edit.form == "nodepool":
        yield target.kind, "", target.name
    elif edit.form == "turndown":
        if down := turndown_target(edit.field):
            yield down.kind, live_namespace_of(edit.path), down.name
    elif edit.form == "source":
        yield target.kind, target.namespace or namespace, target.name
    elif edit.form != "config":
        yield target.kind, live_namespace_of(edit.path), target.name
