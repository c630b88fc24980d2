"""Who shows that a change is in force, root by root, and how far it is: committed → synced → healthy (DESIGN §8).

Of a root that our own agent brings about, its report says so, object by object; of one that Argo CD or Flux brings about,
what that says of the whole root, as our agent has read it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from reconciler.manifests.machine_files import live_namespace_of
from reconciler.model.agent import Health, ObjectStatus, RootStatus, StatusReport
from reconciler.model.change import Change, RootProof, ValueEdit
from reconciler.model.fleet import Cluster, Root, SyncMode
from reconciler.model.workload import WORKLOAD_KINDS
from reconciler.render.fields import turndown_target

Progress = Literal["committed", "synced", "healthy"]

Key = tuple[str, str, str]
"""Kind, namespace in the cluster (empty where there is none) and name."""

Contains = Callable[[str], bool]
"""Whether a revision contains the change's commit."""

AGENT = "agent"
NAMES: dict[SyncMode, str] = {"agent": "the agent", "argocd": "Argo CD", "flux": "Flux"}

_WORST: tuple[Health, ...] = ("degraded", "missing", "progressing", "unknown")
_NAMED = 3
_NOWHERE = frozenset({"config", "group", "lxc"})
"""Forms of edits that no cluster is built from."""


class Place(NamedTuple):
    """A root that a change touches, and the cluster that is built from it."""

    cluster: str
    root: Root


def places_of(change: Change, clusters: Iterable[Cluster]) -> tuple[Place, ...]:
    """The roots that a change has edited, in the order of trimtab.yaml: by its files, else as its decisions say."""
    places = [Place(cluster.name, root) for cluster in clusters for root in cluster.roots]
    touched: set[str] = set()
    for decision in change.decisions:
        paths = [edit.path for edit in decision.proposal.edits if edit.form not in _NOWHERE]
        touched |= {_root_of(path, places) or decision.proposal.root for path in paths}
    return tuple(place for place in places if place.root.path in touched)


def root_proof(change: Change, place: Place, report: StatusReport | None, contains: Contains) -> RootProof:
    """What the newest report about a cluster says of a change in one of its roots.

    ``revision`` is what the root is at where that contains the commit, else empty; ``message`` says what is waited for.
    """
    if report is None:
        return _unreported(place)
    if place.root.sync == AGENT:
        return _by_agent(change, place, report, contains)
    return _by_others(place, status_of_root(report, place.root), contains)


def failures(change: Change, place: Place, report: StatusReport) -> tuple[ObjectStatus, ...]:
    """The objects of a change that the cluster has refused; what Argo CD or Flux cannot apply they try again themselves."""
    if place.root.sync != AGENT:
        return ()
    return tuple(one for one in _reported(change, place, report) if one.status == "failed")


def status_of_root(report: StatusReport, root: Root) -> RootStatus | None:
    """What a report says of a root; None when it says nothing of it."""
    return next((status for status in report.roots if status.path == root.path), None)


def revision_at(report: StatusReport, root: Root) -> str:
    """The revision that a root is at, as far as a report says; empty when it says nothing."""
    if root.sync == AGENT:
        return report.revision
    status = status_of_root(report, root)
    return status.revision if status is not None else ""


def root_now(place: Place, report: StatusReport | None) -> RootProof:
    """What the newest report about a cluster says of a root as a whole: what it is at, and how everything in it is."""
    if report is None:
        return _unreported(place)
    if place.root.sync == AGENT:
        return _of_objects(place, report.revision, report.objects)
    return _by_others(place, status_of_root(report, place.root), lambda _revision: True)


def is_in_force(proof: RootProof, root: Root) -> bool:
    """Whether a change counts as applied in a root: what Argo CD and Flux keep must be healthy, too."""
    return proof.synced and (root.sync == AGENT or proof.health == "healthy")


def progress_of(change: Change) -> Progress:
    """How far a change that has landed is."""
    if change.healthy_at is not None:
        return "healthy"
    return "synced" if change.synced_at is not None else "committed"


def proofs_now(
    change: Change, clusters: Sequence[Cluster], report_of: Callable[[str], StatusReport | None]
) -> tuple[RootProof, ...]:
    """The proofs of a change as of now, for people: as they were recorded where it is healthy, else by the newest report.

    ``report_of``: the newest report about a cluster, by its name.
    """
    recorded = {(proof.cluster, proof.root): proof for proof in change.proof}
    known_of = [Place(cluster.name, root) for cluster in clusters for root in cluster.roots]
    touched = set(places_of(change, clusters))
    found = []
    for place in known_of:
        if place not in touched and (place.cluster, place.root.path) not in recorded:
            continue
        known = recorded.get((place.cluster, place.root.path))
        if known is None or not is_settled(known):
            report = report_of(place.cluster)
            known = _with_revision(root_proof(change, place, report, _as_recorded(known)), place, report)
        found.append(known)
    return tuple(found) or change.proof


def is_settled(proof: RootProof) -> bool:
    """Whether nothing that is reported later changes it."""
    return proof.synced and proof.health == "healthy"


def _as_recorded(known: RootProof | None) -> Contains:
    """Which commits a revision contains is in Git; for people, what was found when the report came in is good enough."""
    return lambda _revision: known is not None and bool(known.revision)


def _with_revision(proof: RootProof, place: Place, report: StatusReport | None) -> RootProof:
    if proof.revision or report is None:
        return proof
    return proof.model_copy(update={"revision": revision_at(report, place.root)})


def _root_of(path: str, places: Sequence[Place]) -> str:
    """The innermost root that a file is in; empty when it is in none."""
    around = [p.root.path for p in places if p.root.path in ("", ".") or path.startswith(f"{p.root.path}/")]
    return max(around, key=len, default="")


def _unreported(place: Place) -> RootProof:
    by = AGENT if place.root.sync == AGENT else NAMES[place.root.sync]
    return _proof(place, by, message=f"no agent of cluster {place.cluster} has reported yet")


def _proof(place: Place, by: str, **more: object) -> RootProof:
    return RootProof.model_validate({"cluster": place.cluster, "root": place.root.path, "by": by, **more})


# --- our own agent --------------------------------------------------------------------------------------------------


def _by_agent(change: Change, place: Place, report: StatusReport, contains: Contains) -> RootProof:
    if not contains(report.revision):
        at = report.revision[:12]
        return _proof(place, AGENT, message=f"the cluster's agent is at {at}, and has not reported the commit yet")
    return _of_objects(place, report.revision, _reported(change, place, report))


def _of_objects(place: Place, revision: str, mine: Sequence[ObjectStatus]) -> RootProof:
    refused = [one for one in mine if one.status == "failed"]
    if refused:
        return _proof(place, AGENT, revision=revision, health="degraded", message=_said(refused))
    waiting = [one for one in mine if _health(one) != "healthy"]
    health = next((health for health in _WORST if any(_health(one) == health for one in waiting)), "healthy")
    return _proof(place, AGENT, revision=revision, synced=True, health=health, message=_said(waiting))


def _health(one: ObjectStatus) -> Health:
    """Of a workload that nobody looked at, nothing is known; anything else is well once it is applied."""
    if one.status == "drifted":
        return "progressing"
    return "healthy" if one.health == "unknown" and one.kind not in WORKLOAD_KINDS else one.health


def _said(objects: Sequence[ObjectStatus]) -> str:
    """Up to three by name, and how many more."""
    words = [f"{one.kind} {one.name}: {one.message or _why(one)}" for one in objects[:_NAMED]]
    if len(objects) > _NAMED:
        words.append(f"and {len(objects) - _NAMED} more")
    return "; ".join(words)


def _why(one: ObjectStatus) -> str:
    if one.status == "failed":
        return "could not be applied"
    if one.status == "drifted":
        return "somebody else has changed it"
    return "its health was not reported" if one.health == "unknown" else one.health


def _reported(change: Change, place: Place, report: StatusReport) -> list[ObjectStatus]:
    """What the report says of the objects that the change has edited in a root."""
    touched = set(_touched(change, place))
    return [one for one in report.objects if (one.kind, one.namespace, one.name) in touched]


def _touched(change: Change, place: Place) -> Iterator[Key]:
    """The objects that a change has edited in a cluster, as the cluster knows them."""
    for decision in change.decisions:
        if decision.proposal.cluster == place.cluster:
            for edit in decision.proposal.edits:
                yield from _object_of(edit, decision.proposal.namespace)


def _object_of(edit: ValueEdit, namespace: str) -> Iterator[Key]:
    target = edit.target
    if edit.form in _NOWHERE:
        return
    if edit.form == "hpa":
        yield "HorizontalPodAutoscaler", live_namespace_of(edit.path), target.name
    elif edit.form == "nodepool":
        yield target.kind, "", target.name
    elif edit.form == "turndown":
        if down := turndown_target(edit.field):
            yield down.kind, live_namespace_of(edit.path), down.name
    elif edit.form == "source":
        yield target.kind, target.namespace or namespace, target.name
    else:
        yield target.kind, live_namespace_of(edit.path), target.name


# --- Argo CD and Flux -----------------------------------------------------------------------------------------------


def _by_others(place: Place, status: RootStatus | None, contains: Contains) -> RootProof:
    name = NAMES[place.root.sync]
    if status is None:
        return _proof(
            place, name, message=f"nothing was reported yet of the {name} object that syncs {place.root.path}"
        )
    by = status.source or name
    if not status.revision or not contains(status.revision):
        where = f"is at {status.revision[:12]}" if status.revision else "has synced nothing yet"
        waits = f"{by} {where}, and has not synced the commit yet"
        return _proof(
            place, by, health=status.health, message=f"{waits}: {status.message}" if status.message else waits
        )
    well = status.synced and status.health == "healthy"
    message = "" if well else f"{by} is {_state(status)}" + (f": {status.message}" if status.message else "")
    return _proof(place, by, revision=status.revision, synced=status.synced, health=status.health, message=message)


def _state(status: RootStatus) -> str:
    return status.health if status.synced else f"not synced, and {status.health}"
