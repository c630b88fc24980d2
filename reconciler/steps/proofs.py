"""Prove: what reports say about the changes that have landed (DESIGN §8).

A change is applied when every root that it touches is reported to run it: the agent's revision contains its commit and none
of its objects was refused, or Argo CD or Flux has synced a revision that contains it, and is healthy. It has failed when
the cluster refused one of the objects that it touched. All is read from the history that the passes keep at hand: one look
at Git at most, however many changes.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reconciler.commit.history import LandedCommit
from reconciler.commit.values import is_machine_path
from reconciler.model.agent import StatusReport
from reconciler.model.change import Change, ChangeState, RootProof
from reconciler.model.fleet import Cluster
from reconciler.steps import guarding
from reconciler.steps.catching_up import whole_history
from reconciler.steps.house import House
from reconciler.steps.root_proofs import (
    Place,
    failures,
    is_in_force,
    is_settled,
    places_of,
    root_proof,
)

OPEN_TO_PROOF: tuple[ChangeState, ...] = ("committed", "merged", "failed")
"""A change that failed is applied once a later report has nothing against it."""

HEALTH_AWAITED = timedelta(days=1)
"""For how long after a change was applied it is looked whether what it touched becomes healthy."""

_AGAIN = timedelta(minutes=1)
"""The same report about the same head is gone through again after this: another process may have landed something."""

_HEALTHY = "healthy"
"""The memory of changes that there is nothing more to prove of."""


def prove(house: House, cluster: Cluster, report: StatusReport, clusters: Sequence[Cluster] = ()) -> tuple[str, ...]:
    """Mark the changes of ``cluster`` that ``report`` shows to be in force, or to have failed; gives the ids of those marked.

    ``clusters``: all of the fleet, where a change may touch several. A revision that the branch does not contain, as far as
    it was fetched, proves nothing, and takes nothing back. The same report again costs next to nothing.
    """
    head = house.repository.head
    key = (report.revision, _digest(report), head)
    known = house.parsed.get(f"proved:{cluster.name}")
    if isinstance(known, _Seen) and known.covers(key, house.now()):
        return ()
    commits, found = whole_history(house, head)
    proving = _Proving(house, clusters or (cluster,), commits, {cluster.name: report})
    moved = proving.judge(cluster, report)
    if any(map(proving.contained_of, _revisions(report))):
        house.stores.reports.prove(report, proving.policy_commits(found.stands, cluster, report))
    house.parsed[f"proved:{cluster.name}"] = _Seen(key, house.now())
    return moved


def prove_newest(house: House, clusters: Sequence[Cluster]) -> tuple[str, ...]:
    """:meth:`prove` with the newest report about each cluster, for a pass that begins."""
    reports = ((cluster, house.stores.reports.newest(cluster.name)) for cluster in clusters)
    return tuple(change for cluster, report in reports if report for change in prove(house, cluster, report, clusters))


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


def _revisions(report: StatusReport) -> frozenset[str]:
    """What a report says to be in force, anywhere in the cluster."""
    return frozenset(report.revisions.values())


class _Seen:
    """What was gone through, and when."""

    def __init__(self, key: tuple[str, str, str], at: datetime) -> None:
        self._key, self._at = key, at

    def covers(self, key: tuple[str, str, str], now: datetime) -> bool:
        return key == self._key and self._at <= now < self._at + _AGAIN


def _digest(report: StatusReport) -> str:
    said = sorted((one.kind, one.namespace, one.name, one.status, one.message, one.health) for one in report.objects)
    roots = sorted((one.path, one.revision, one.synced, one.health, one.message) for one in report.roots)
    return hashlib.sha256(repr((report.agent_id, said, roots)).encode()).hexdigest()


@dataclass
class _Proving:
    """One way through the changes that a report may say something of."""

    house: House
    clusters: Sequence[Cluster]
    commits: Sequence[LandedCommit]
    reports: dict[str, StatusReport | None]
    _contained: dict[str, frozenset[str]] = field(default_factory=dict)

    def judge(self, cluster: Cluster, report: StatusReport) -> tuple[str, ...]:
        """The ids of the changes that are in another state now."""
        contained = frozenset(sha for revision in _revisions(report) for sha in self.contained_of(revision))
        candidates = _touching(self.commits, contained, cluster)
        if not candidates:
            return ()
        states = self.house.stores.changes.states(self.house.name)
        return tuple(
            change_id
            for change_id, commit in candidates.items()
            if (state := states.get(change_id)) and self._is_open(change_id, state[0], state[2])
            if self._settle(change_id, commit)
        )

    def contained_of(self, revision: str) -> frozenset[str]:
        """The commits that a revision contains; none of an empty or unknown one."""
        if revision not in self._contained:
            self._contained[revision] = ancestors(self.commits, revision)
        return self._contained[revision]

    def policy_commits(self, stands: Sequence[LandedCommit], cluster: Cluster, report: StatusReport) -> list[str]:
        """Of each policy whose newest standing commit is in force in the cluster, that commit."""
        newest = {
            commit.trailers.policy: commit
            for commit in stands
            if commit.trailers.policy and any(map(is_machine_path, commit.paths)) and _touches(commit, cluster)
        }
        if all(root.sync == "agent" for root in cluster.roots):
            contained = self.contained_of(report.revision)
            return [commit.sha for commit in newest.values() if commit.sha in contained]
        states = self.house.stores.changes.states(self.house.name)
        applied = {change_id for change_id, state in states.items() if state[0] == "applied"}
        return [commit.sha for commit in newest.values() if commit.trailers.change in applied]

    def _is_open(self, change_id: str, state: ChangeState, since: datetime) -> bool:
        """Whether there is anything left to learn of a change."""
        if state in OPEN_TO_PROOF:
            return True
        fresh = state == "applied" and self.house.now() < since + HEALTH_AWAITED
        return fresh and change_id not in _healthy(self.house)

    def _settle(self, change_id: str, commit: str) -> bool:
        """Write down what is known of a change by now; whether it is in another state, or failed for another reason."""
        change = self.house.stores.changes.find(change_id)
        if change is None:
            return False
        change = change.model_copy(update={"commit": commit})
        places = places_of(change, self.clusters)
        proofs = self._proofs(change, places)
        if not any(proof.revision for proof in proofs.values()):
            return False
        everywhere = all(proof.revision for proof in proofs.values())
        if everywhere and change.synced_at is None:
            guarding.watch(self.house, change)
        failure = self._failure(change, places) if everywhere else ""
        settled = _settled(change, proofs, failure, everywhere=everywhere, now=self.house.now())
        if settled.healthy_at is not None:
            _healthy(self.house).add(change_id)
        if settled != change:
            self.house.stores.changes.prove(settled, at=self.house.now())
        return (settled.state, settled.failure) != (change.state, change.failure)

    def _proofs(self, change: Change, places: Sequence[Place]) -> dict[Place, RootProof]:
        """By root; what was settled before stays, and so does the revision that the change was first seen in."""
        recorded = {(proof.cluster, proof.root): proof for proof in change.proof}
        found: dict[Place, RootProof] = {}
        for place in places:
            known = recorded.get((place.cluster, place.root.path))
            if known is None or not is_settled(known):
                proof = root_proof(
                    change, place, self._report(place.cluster), lambda at: change.commit in self.contained_of(at)
                )
                seen = known is not None and known.revision and proof.revision
                known = proof.model_copy(update={"revision": known.revision}) if seen and known else proof
            found[place] = known
        return found

    def _failure(self, change: Change, places: Sequence[Place]) -> str:
        """What the clusters refused of a change; empty where they refused nothing."""
        refused = [
            one
            for place in places
            if (report := self._report(place.cluster))
            for one in failures(change, place, report)
        ]
        return "; ".join(dict.fromkeys(f"{o.kind} {o.name}: {o.message or 'could not be applied'}" for o in refused))

    def _report(self, cluster: str) -> StatusReport | None:
        if cluster not in self.reports:
            self.reports[cluster] = self.house.stores.reports.newest(cluster)
        return self.reports[cluster]


def _settled(
    change: Change, proofs: Mapping[Place, RootProof], failure: str, *, everywhere: bool, now: datetime
) -> Change:
    """The change with what its roots say. Once it was applied, what becomes of it later does not take that back."""
    new: dict[str, object] = {"proof": tuple(proofs.values())}
    if everywhere and all(proof.synced for proof in proofs.values()):
        new["synced_at"] = change.synced_at or now
    if all(is_settled(proof) for proof in proofs.values()):
        new["healthy_at"] = change.healthy_at or now
    if change.state in OPEN_TO_PROOF and failure:
        new |= {"state": "failed", "failure": failure}
    elif change.state in OPEN_TO_PROOF and all(is_in_force(proof, place.root) for place, proof in proofs.items()):
        new |= {"state": "applied", "failure": "", "applied_at": change.applied_at or now}
    return change.model_copy(update=new)


def _healthy(house: House) -> set[str]:
    known = house.parsed.get(_HEALTHY)
    if not isinstance(known, set):
        known = house.parsed[_HEALTHY] = set[str]()
    return known


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
