"""Follow: what became of the newest changes, and what each root of each cluster is at; for `trimtab status` and its route."""

from collections.abc import Sequence

from reconciler.model.agent import StatusReport
from reconciler.model.change import ChangeState
from reconciler.model.fleet import Cluster
from reconciler.model.guard import Watch
from reconciler.report.passes import summary
from reconciler.report.status import ChangeProgress, RootProgress
from reconciler.steps.house import Stores
from reconciler.steps.root_proofs import Place, proofs_now, revision_at, root_now
from reconciler.store.changes import Recorded

NEWEST = 10
"""How many changes are shown."""

_LANDED: tuple[ChangeState, ...] = ("committed", "merged", "applied", "failed", "reverted")


def landed_changes(
    stores: Stores, fleet: str, clusters: Sequence[Cluster], seen: frozenset[str] | None = None
) -> tuple[ChangeProgress, ...]:
    """The newest changes of a fleet repo that have landed, the newest first. ``seen``: only those about nothing but these
    clusters (None = all)."""
    reports = _Reports(stores)
    found = stores.changes.page([fleet], states=_LANDED, clusters=seen, limit=NEWEST, heads=True)
    watched = stores.watched.of(recorded.change.id for recorded in found)
    return tuple(_progress(recorded, watched.get(recorded.change.id), clusters, reports) for recorded in found)


def root_progress(stores: Stores, clusters: Sequence[Cluster]) -> tuple[RootProgress, ...]:
    """What is reported of each root, in the order of trimtab.yaml."""
    reports = _Reports(stores)
    return tuple(
        _root(Place(cluster.name, root), reports.of(cluster.name)) for cluster in clusters for root in cluster.roots
    )


class _Reports:
    """The newest report about each cluster, read once."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._known: dict[str, StatusReport | None] = {}

    def of(self, cluster: str) -> StatusReport | None:
        if cluster not in self._known:
            self._known[cluster] = self._stores.reports.newest(cluster)
        return self._known[cluster]


def _progress(
    recorded: Recorded, watched: Watch | None, clusters: Sequence[Cluster], reports: _Reports
) -> ChangeProgress:
    change = recorded.change
    return ChangeProgress(
        id=change.id,
        summary=summary(change),
        cluster=change.cluster,
        subject=change.subject.name,
        state=change.state,
        commit=change.commit,
        committed_at=recorded.landed_at,
        synced_at=change.synced_at,
        healthy_at=change.healthy_at,
        message=_message(recorded, watched, clusters, reports),
    )


def _message(recorded: Recorded, watched: Watch | None, clusters: Sequence[Cluster], reports: _Reports) -> str:
    """What it waits for, or why it failed, was taken back or is to be."""
    change = recorded.change
    if change.state == "reverted":
        by_guard = watched is not None and watched.outcome != "over" and watched.evidence
        return f"taken back by the guard: {by_guard}" if by_guard else "taken back"
    if watched is not None and not watched.outcome and watched.evidence:
        return f"the guard is to take it back: {watched.evidence}"
    if change.state == "failed":
        return change.failure
    if change.healthy_at is not None:
        return ""
    said = (proof.message for proof in proofs_now(change, clusters, reports.of))
    return "; ".join(dict.fromkeys(message for message in said if message))


def _root(place: Place, report: StatusReport | None) -> RootProgress:
    now, revision = root_now(place, report), revision_at(report, place.root) if report is not None else ""
    key = "agent" if place.root.sync == "agent" else f"root:{place.root.path}"
    return RootProgress(
        cluster=place.cluster,
        root=place.root.path,
        sync=place.root.sync,
        by=now.by,
        revision=revision,
        since=report.since.get(key) if report is not None and revision else None,
        reported_at=report.at if report is not None else None,
        health=now.health,
        message=now.message,
    )
