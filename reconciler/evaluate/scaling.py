"""Kubernetes policies as proposals: an HPA per policy, written when it differs from the head of the branch (DESIGN §6)."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.evaluate.hpa_spec import describe, takes_capacity
from reconciler.evaluate.index import Index, OverlayFile, Placed, handover_path
from reconciler.evaluate.overlay_edits import Refusals, differences, removal, value_edit
from reconciler.evaluate.refusals import refusal_text
from reconciler.evaluate.scaling_outlook import Live, Outlook, outlook_of, second_policy
from reconciler.evaluate.scaling_targets import resolve
from reconciler.model.change import Proposal, ProposalKind, Refusal, Subject, ValueEdit
from reconciler.model.fleet import Fleet
from reconciler.model.inventory import Problem, RootState
from reconciler.model.observation import Observation
from reconciler.model.policy import ScalingPolicy
from reconciler.model.workload import Workload, WorkloadKey

DECISIVE = ("minReplicas", "maxReplicas", "metrics/cpu", "metrics/memory")
"""The figures of an HPA that a refusal is about; its behavior and its owner's name only come with them."""


MADE_BY_API = re.compile(r"scp_[0-9]{16,}")
"""The id of a policy that was made through the Scaling API: the instant in nanoseconds."""


@dataclass(frozen=True, eq=False)
class ScalingResult:
    """``proposals``: an HPA before its handover. ``problems`` name a policy's file and field; ``outlooks`` by policy id."""

    proposals: tuple[Proposal, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    outlooks: Mapping[str, Outlook] = field(default_factory=dict)


def policy_proposals(
    policies: Sequence[ScalingPolicy],
    roots: Sequence[RootState] | Index,
    fleet: Fleet,
    *,
    now: datetime,
    observations: Mapping[str, Observation],
    refusals: Iterable[Refusal] = (),
    policies_complete: bool,
    ended: Collection[str] = (),
    sized_cpu: Collection[WorkloadKey] = frozenset(),
    pressures: Mapping[str, float] | None = None,
) -> ScalingResult:
    """What the kubernetes policies of a fleet ask of its roots.

    ``observations`` by cluster name. ``sized_cpu``: workloads whose CPU this pass sizes, beside those whose overlay or
    annotation says so already. ``pressures``: percent by policy id (``nodepool_proposals``), for the forecast.
    Without ``policies_complete`` no file is taken for an orphan; nor is one of a policy that was made through an API,
    unless it is among ``ended``: another server's database may know it.
    """
    live = {cluster: Live.of(observation, now) for cluster, observation in observations.items()}
    scaling = _Scaling(Index.of(roots), fleet, live, Refusals(refusals), frozenset(sized_cpu), pressures or {})
    asked = [policy for policy in policies if policy.spec.runtime == "kubernetes"]
    # A live policy comes before one that is not, so that a dry run beside it does not take its target.
    for policy in sorted(asked, key=lambda policy: (not policy.spec.live, policy.spec.name, policy.id)):
        scaling.decide(policy)
    if policies_complete:
        scaling.drop_orphans({policy.id for policy in policies}, ended)
    return ScalingResult(
        tuple(scaling.proposals), tuple(scaling.notes), tuple(scaling.problems), dict(sorted(scaling.outlooks.items()))
    )


class _Scaling:
    """One pass over the policies: lookups that are made once, and the result as it grows."""

    def __init__(
        self,
        index: Index,
        fleet: Fleet,
        live: Mapping[str, Live],
        refused: Refusals,
        sized_cpu: frozenset[WorkloadKey],
        pressures: Mapping[str, float],
    ) -> None:
        self._index, self._fleet, self._live, self._refused = index, fleet, live, refused
        self._sized, self._pressures = sized_cpu, pressures
        self._files_of: dict[str, list[OverlayFile]] = defaultdict(list)
        for found in index.overlay_files("hpa"):
            self._files_of[found.file.values.get("policy", "")].append(found)
        self._taken: dict[WorkloadKey, ScalingPolicy] = {}
        self.proposals: list[Proposal] = []
        self.notes: list[str] = []
        self.problems: list[Problem] = []
        self.outlooks: dict[str, Outlook] = {}

    def decide(self, policy: ScalingPolicy) -> None:
        resolved = resolve(policy, self._index, self._fleet)
        problem, placed = resolved.problem, resolved.target
        if placed is not None and (first := self._taken.setdefault(placed.workload.key, policy)) is not policy:
            problem, placed = second_policy(policy, first), None
        if placed is None:
            self.outlooks[policy.id] = Outlook(policy, conflict=problem.message if problem else "")
            # A policy that is switched off need not be right.
            self.problems += [problem] if problem and policy.spec.enabled else []
            return
        live = self._live.get(placed.workload.key.cluster, Live())
        pressure = self._pressures.get(policy.id)
        outlook = outlook_of(policy, placed, self._index, live, sized_cpu=self._sized, pressure=pressure)
        self.outlooks[policy.id] = outlook
        if policy.spec.live:
            self._propose(outlook, placed)

    def drop_orphans(self, known: Collection[str], ended: Collection[str]) -> None:
        """Files whose policy is gone. Where the workload is gone too, the file is a stale one: no window holds those."""
        for owner, files in sorted(self._files_of.items()):
            if not owner or owner in known:
                continue
            if MADE_BY_API.fullmatch(owner) and owner not in ended:
                paths = ", ".join(found.path for found in files)
                self.notes.append(f"policy {owner} is not in this database; what it wrote stays: {paths}")
                continue
            for found in files:
                workload = self._index.target_of(found)
                subject = Subject(kind="policy", id=owner, name=owner)
                if workload is not None:
                    self._drop(
                        subject, found, workload, f"policy {owner} is gone: its HPA {_name(workload)} goes with it"
                    )

    def _propose(self, outlook: Outlook, placed: Placed) -> None:
        wanted, found = outlook.rendered, placed.state.overlay.get(outlook.path)
        if wanted is None:
            return
        if found is not None and found.target != wanted.target:
            # An HPA that points at another object of the same name goes away first and is made anew at the next pass.
            edits = removal(outlook.path, found)
        else:
            edits = differences(outlook.path, wanted, found)
        moved = self._moved_from(outlook, placed)
        edits += tuple(edit for old in moved for edit in _whole_removal(old, self._index.target_of(old)))
        proposed = self._propose_hpa(outlook, placed, edits, moved)
        if proposed or (found is not None and found.target == wanted.target):
            self._hand_over(outlook, placed, proposed)

    def _propose_hpa(
        self, outlook: Outlook, placed: Placed, edits: tuple[ValueEdit, ...], moved: Sequence[OverlayFile]
    ) -> Proposal | None:
        """The proposal, which is noted as well as returned; None when there is nothing to change, or it was refused."""
        policy = outlook.policy
        if not edits and outlook.conflict:
            self.notes.append(f"policy {policy.spec.name}: {outlook.conflict}")
        if not edits or self._withheld(_subject(policy), edits, new=outlook.path not in placed.state.overlay):
            return None
        was = "".join(f" (was {old.file.target.name})" for old in moved)
        reason = f"policy {policy.spec.name}: {describe(policy.spec, placed.workload)}{was}"
        takes = bool(moved) or takes_capacity(edits, placed.workload)
        proposal = _proposal("hpa", policy, placed, edits, reason, takes=takes, blocked=outlook.conflict)
        self.proposals.append(proposal)
        return proposal

    def _hand_over(self, outlook: Outlook, placed: Placed, hpa: Proposal | None) -> None:
        """``replicas: null``, after the HPA: at head already, or just before it here and then held by the same gates."""
        workload, policy, path = placed.workload, outlook.policy, handover_path(placed)
        if not policy.spec.hand_over or workload.replicas is None or path in placed.state.overlay or outlook.conflict:
            return
        edit = value_edit(path, "replicas", workload.ref, "replicas", None, "null")
        if self._withheld(_subject(policy), [edit], new=False):
            return
        reason = f"policy {policy.spec.name}: the HPA takes the replicas of {_name(workload)} over from the manifest"
        takes = hpa is not None and hpa.takes_capacity
        self.proposals.append(_proposal("handover", policy, placed, (edit,), reason, takes=takes, blocked=""))

    def _moved_from(self, outlook: Outlook, placed: Placed) -> list[OverlayFile]:
        """HPAs that this policy left behind on other workloads of the cluster; in another cluster they go by themselves."""
        here = []
        for found in self._files_of.get(outlook.policy.id, ()):
            workload = self._index.target_of(found)
            if found.path == outlook.path or workload is None:
                continue
            if found.state.inventory.cluster == placed.workload.key.cluster:
                here.append(found)
            else:
                reason = f"policy {outlook.policy.spec.name} moved to {placed.workload.key.cluster}: {_name(workload)}"
                self._drop(_subject(outlook.policy), found, workload, reason)
        return here

    def _drop(self, subject: Subject, found: OverlayFile, workload: Workload, reason: str) -> None:
        edits = _whole_removal(found, workload)
        if self._withheld(subject, edits, new=False):
            return
        proposal = Proposal(
            kind="hpa",
            subject=subject,
            cluster=workload.key.cluster,
            root=found.state.inventory.root,
            namespace=workload.key.namespace,
            workload=workload.key.name,
            edits=edits,
            reason=reason,
            takes_capacity=True,
        )
        self.proposals.append(proposal)

    def _withheld(self, subject: Subject, edits: Sequence[ValueEdit], *, new: bool) -> bool:
        """One refused value withholds the whole; a whole HPA that was refused may come back once one figure differs."""
        decisive = [edit for edit in edits if edit.field in DECISIVE] or list(edits)
        standing = [refusal for edit in decisive if (refusal := self._refused.against(subject, edit))]
        withheld = len(standing) == len(decisive) if new else bool(standing)
        if withheld:
            first = standing[0]
            value = "removing it" if first.value is None else first.value
            self.notes.append(f"policy {subject.name}: {first.path} {first.field}: {value} was {refusal_text(first)}")
        return withheld


def _whole_removal(found: OverlayFile, workload: Workload | None) -> tuple[ValueEdit, ...]:
    """The HPA's file, and the handover to it."""
    edits = removal(found.path, found.file)
    if workload is None:
        return edits
    path = handover_path(Placed(found.state, workload))
    file = found.state.overlay.get(path)
    return edits + (removal(path, file) if file is not None else ())


def _proposal(
    kind: ProposalKind,
    policy: ScalingPolicy,
    placed: Placed,
    edits: tuple[ValueEdit, ...],
    reason: str,
    *,
    takes: bool,
    blocked: str,
) -> Proposal:
    key = placed.workload.key
    return Proposal(
        kind=kind,
        subject=_subject(policy),
        cluster=key.cluster,
        root=placed.state.inventory.root,
        namespace=key.namespace,
        workload=key.name,
        edits=edits,
        reason=reason,
        takes_capacity=takes,
        approval_required=policy.spec.approval_required,
        blocked=blocked,
        policy_snapshot=policy.spec.model_dump(by_alias=True, mode="json"),
    )


def _subject(policy: ScalingPolicy) -> Subject:
    return Subject(kind="policy", id=policy.id, name=policy.spec.name)


def _name(workload: Workload) -> str:
    return f"{workload.key.namespace}/{workload.key.name}"
