"""A change on its way to Git: what is proposed, what the gates say, and what is committed.

Proposals are field by field: a set of :class:`ValueEdit` on files. That one shape serves arbitration (one winner per
field), rendering, the table in a commit's message, `plan`, refusals and rollback by value.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Literal

from reconciler.model.agent import Health
from reconciler.model.base import Model
from reconciler.model.machine_file import FileForm
from reconciler.model.window import Window
from reconciler.model.workload import ObjectRef

EditForm = FileForm | Literal["source", "config", "group", "lxc"]
"""``source``: a scalar in a person's manifest (write: inPlace). ``config``: a scalar in trimtab's own config files (policies/*.yaml).
``group``: a scalar of a ContainerGroup, ``docker/<host-pool>/<group>.yaml``; all of them, where the file is made or goes away.
``lxc``: likewise of an LXCContainer, ``lxc/<node>/<vmid>.yaml``."""

ProposalKind = Literal[
    "hpa",
    "nodepool",
    "requests",
    "quota",
    "prepare",
    "turndown",
    "turnup",
    "stale",
    "handover",
    "policy",
    "rollback",
    "adopt",
    "containers",
    "resources",
]
"""``adopt``: the file of a group of containers, made of what runs, so that what is decided next can be undone to it.
``resources``: cores, memory or disk of an LXC container.
``prepare``: the empty component of a namespace that is to be turned down; committed before it goes down for the first time."""


class ValueEdit(Model):
    """One value of one file. ``old`` None = the field is not there yet; ``new`` None = the field goes away.

    For machine-owned forms ``field`` is as in :class:`~reconciler.model.machine_file.MachineFile`; for ``source`` and
    ``config`` and ``group`` it is a path of keys joined by ``/``, list items by name (``spec/template/spec/containers/server/…``).
    ``was``: for people, the value in force before where ``old`` is None (what the manifest says without our overlay).
    """

    path: str
    form: EditForm
    target: ObjectRef
    field: str
    old: str | None
    new: str | None
    was: str | None = None


class Subject(Model):
    """On whose behalf: exactly one policy or one action (DESIGN §4, trailers)."""

    kind: Literal["policy", "action", "trimtab"]
    id: str
    name: str
    run: str = ""


class Proposal(Model):
    """A decision before it has an id. One workload, quota, node pool or namespace each.

    ``takes_capacity`` is true when the cluster has less afterwards. ``ignores_windows``: turning up, dropping stale patches.
    ``blocked``: set when it can never be committed as things are (a conflict); the reason for a person.
    """

    kind: ProposalKind
    subject: Subject
    cluster: str
    root: str
    namespace: str
    workload: str = ""
    edits: tuple[ValueEdit, ...]
    reason: str
    saving_monthly: Decimal | None = None
    takes_capacity: bool = False
    ignores_windows: bool = False
    ignores_budget: bool = False
    approval_required: bool = False
    approved_by: str = ""
    blocked: str = ""
    reverts: str = ""
    policy_snapshot: dict[str, object] = {}

    @property
    def fingerprint(self) -> str:
        """The same for the same values on behalf of the same subject: how a decision is found again after a crash."""
        parts = [self.kind, self.subject.kind, self.subject.id, self.reverts]
        parts += [f"{e.path}\0{e.field}\0{e.new}" for e in sorted(self.edits, key=lambda e: (e.path, e.field))]
        return hashlib.sha256("\1".join(parts).encode()).hexdigest()


class Verdict(Model):
    """What the gates say. ``until`` None while held = until a person acts, or never on its own."""

    allowed: bool
    reason: str = ""
    until: datetime | None = None
    window: Window | None = None


ChangeState = Literal[
    "proposed", "held", "prOpen", "committed", "merged", "applied", "failed", "reverted", "dismissed", "superseded"
]


class Decision(Model):
    """A proposal that has got its id (a ULID) and an instant."""

    id: str
    at: datetime
    proposal: Proposal


class RootProof(Model):
    """What was reported of one root that a change touches. ``by``: who says so, ``agent`` or such as ``Application argocd/demo``.

    ``revision``: the one that the cluster was at when the change was first seen in it (empty = it was not yet). ``synced``:
    all of the change has been brought about there. ``health``: of what it touches, or of what Argo CD or Flux keeps;
    ``message``: why it is not healthy yet.
    """

    cluster: str
    root: str
    by: str = "agent"
    revision: str = ""
    synced: bool = False
    health: Health = "unknown"
    message: str = ""


class Change(Model):
    """Decisions that share one commit. ``files``: new bytes by path, None = the file goes away (filled by render).

    ``failure``: what the cluster said when the commit could not be brought about (state ``failed``). ``applied_at``: when it
    was first seen to be in force; what becomes of it later does not take that back. ``synced_at``: when whoever brings its
    clusters about first reported to have applied its commit; ``healthy_at``: when what it touches was first healthy after that.
    ``proof``: by root, once one of them was reported to have its commit.
    """

    id: str
    group: str
    decisions: tuple[Decision, ...]
    state: ChangeState = "proposed"
    verdict: Verdict = Verdict(allowed=True)
    message: str = ""
    files: Mapping[str, bytes | None] = {}
    commit: str = ""
    failure: str = ""
    applied_at: datetime | None = None
    synced_at: datetime | None = None
    healthy_at: datetime | None = None
    proof: tuple[RootProof, ...] = ()

    @property
    def subject(self) -> Subject:
        return self.decisions[0].proposal.subject

    @property
    def kind(self) -> ProposalKind:
        return self.decisions[0].proposal.kind

    @property
    def cluster(self) -> str:
        return self.decisions[0].proposal.cluster


class Refusal(Model):
    """A value that a rollback or a person's revert refused; not written again until it would differ by 20 %."""

    subject: str
    path: str
    field: str
    value: str | None
    at: datetime
    by: str
    commit: str
