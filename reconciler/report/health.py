"""Whether what a policy asks for is in force: from what stands in Git, and what the cluster's agent has reported of it."""

from collections.abc import Iterator
from typing import Literal

from reconciler.model.agent import ObjectStatus, RootStatus, StatusReport
from reconciler.model.fleet import SyncMode
from reconciler.model.policy import PolicyState, ScalingPolicy

ApplyHealth = Literal["pending", "applied", "drifted", "failed", "unknown"]


def apply_health(policy: ScalingPolicy, state: PolicyState | None, report: StatusReport | None) -> ApplyHealth:
    """``applyHealth`` of the Scaling API.

    ``unknown``: not live, or no pass has looked at it yet. ``pending``: nothing of it stands in Git, or what stands has
    not been reported yet. ``failed`` and ``drifted``: as reported of any of its objects. ``applied``: all of them were
    reported as applied, at a revision that contains the policy's newest commit.

    Where Argo CD or Flux bring its root about, ``applied`` is when the policy's newest commit was seen to be synced and
    healthy there; nothing is told of single objects.

    ``report``: the newest about the policy's cluster, None where there is none, as for Docker: there its commands say what
    came of it, through ``state.failure`` and ``state.proved``.
    """
    if not policy.spec.live or state is None:
        return "unknown"
    if state.failure:
        return "failed"
    if policy.spec.runtime != "kubernetes":
        return "applied" if state.revision and state.proved else "pending"
    return _by_agent(state, report) if state.sync == "agent" else _by_others(state, report)


def _by_others(state: PolicyState, report: StatusReport | None) -> ApplyHealth:
    return "applied" if state.objects and _is_proved(state, report) else "pending"


def _by_agent(state: PolicyState, report: StatusReport | None) -> ApplyHealth:
    said = [found.status for found in _reported(state, report)]
    if "failed" in said:
        return "failed"
    if "drifted" in said:
        return "drifted"
    return "applied" if state.objects and _all_applied(state, report) else "pending"


def health_message(policy: ScalingPolicy, state: PolicyState | None, report: StatusReport | None) -> str:
    """Why the health is what it is, for people; empty where there is nothing to add to it."""
    health = apply_health(policy, state, report)
    if state is None or health in ("unknown", "applied"):
        return ""
    if health == "pending":
        return state.conflict or state.held or _waiting(policy, state, report)
    if state.failure:
        return state.failure
    told = [found for found in _reported(state, report) if found.status == health]
    return "; ".join(f"{_label(found)}: {found.message or health}" for found in told)


def _waiting(policy: ScalingPolicy, state: PolicyState, report: StatusReport | None) -> str:
    if not state.revision:
        return "nothing of it is committed yet"
    if policy.spec.runtime != "kubernetes":
        docker = policy.spec.runtime == "docker"
        return "the hosts have not answered yet" if docker else "Proxmox VE has not done it yet"
    if report is None:
        return f"no agent of cluster {state.cluster} has reported yet" if state.cluster else "no agent has reported yet"
    if state.sync != "agent":
        return _waiting_for(state, next((root for root in report.roots if root.path == state.root), None))
    return f"the cluster's agent has not reported commit {state.revision[:12]} as applied yet"


_KEEPERS: dict[SyncMode, str] = {"argocd": "Argo CD", "flux": "Flux"}


def _waiting_for(state: PolicyState, root: RootStatus | None) -> str:
    """What Argo CD or Flux has yet to do."""
    name, commit = _KEEPERS.get(state.sync, state.sync), state.revision[:12]
    if root is None:
        return f"the agent of the cluster has found no {name} object that syncs {state.root}, or has not told of it yet"
    who = root.source or name
    if not (root.synced and root.health == "healthy"):
        how = root.health if root.synced else f"not synced, and {root.health}"
        return f"{who} is {how}" + (f": {root.message}" if root.message else "")
    return f"{who} is at {root.revision[:12] or 'no commit'}, and has not synced commit {commit} yet"


def _is_proved(state: PolicyState, report: StatusReport | None) -> bool:
    return state.proved or (report is not None and bool(state.revision) and state.revision in report.proves)


def _reported(state: PolicyState, report: StatusReport | None) -> Iterator[ObjectStatus]:
    """What was reported of the policy's own objects."""
    mine = {_plain(label) for label in state.objects}
    return (found for found in (report.objects if report else ()) if _label(found) in mine)


def _all_applied(state: PolicyState, report: StatusReport | None) -> bool:
    if report is None or not (state.revision == report.revision or _is_proved(state, report)):
        return False
    applied = {_label(found) for found in _reported(state, report) if found.status == "applied"}
    return applied >= {_plain(label) for label in state.objects}


def _label(found: ObjectStatus) -> str:
    return f"{found.kind} {found.namespace}/{found.name}" if found.namespace else f"{found.kind} {found.name}"


def _plain(label: str) -> str:
    """``NodePool /default`` and ``NodePool default`` are the same: it has no namespace."""
    return label.replace(" /", " ")
