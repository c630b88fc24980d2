"""Decisions → changes: what shares one commit, and one pull request (``delivery.groupBy``)."""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from reconciler.model.change import Change, Decision
from reconciler.model.fleet import GroupKey

KIND_ORDER = (
    "stale",
    "prepare",
    "hpa",
    "handover",
    "nodepool",
    "requests",
    "quota",
    "turndown",
    "turnup",
    "adopt",
    "containers",
    "resources",
    "policy",
    "rollback",
)
"""In which changes are committed: what is dead goes first, an HPA stands before replicas are handed to it, room is made
before it is asked for, and nothing follows a namespace's turning down or up that the turning could hide."""

_MIXABLE = frozenset({"hpa", "nodepool", "requests", "quota"})
"""Kinds that may share a commit when ``groupBy`` leaves ``kind`` out. The others are reverted, or must land, apart."""

_KEYS: tuple[GroupKey, ...] = ("cluster", "kind", "namespace", "workload")
MAX_SLUG = 60


class Group(NamedTuple):
    """What the decisions of one change have in common. ``values``: those of the ``groupBy`` keys, in a fixed order."""

    subject_kind: str
    subject_name: str
    subject_id: str
    approval: bool
    values: tuple[str, ...]
    reverts: str = ""


def group_changes(
    decisions: Sequence[Decision], group_by: Sequence[GroupKey], *, new_id: Callable[[], str]
) -> tuple[Change, ...]:
    """Changes in the order in which they are to be committed; the same for the same decisions in any order.

    A change has one subject (policy or action), and one value of each key in ``group_by``. What needs a person's
    approval, and what undoes a commit, is never mixed with what does not. ``new_id`` gives each change its ULID.
    """
    groups: dict[Group, list[Decision]] = {}
    for decision in sorted(decisions, key=_decision_order):
        groups.setdefault(_group_of(decision, group_by), []).append(decision)
    ordered = sorted(groups.items(), key=lambda item: (_rank(item[1]), item[0]))
    return tuple(Change(id=new_id(), group=slug(group), decisions=tuple(members)) for group, members in ordered)


def _decision_order(decision: Decision) -> tuple[str, ...]:
    proposal = decision.proposal
    return (proposal.cluster, proposal.root, proposal.namespace, proposal.workload, proposal.kind, proposal.fingerprint)


def _rank(decisions: Sequence[Decision]) -> int:
    return min(rank_of(decision.proposal.kind) for decision in decisions)


def rank_of(kind: str) -> int:
    """A kind's place in :data:`KIND_ORDER`; one that is not in it goes last."""
    return KIND_ORDER.index(kind) if kind in KIND_ORDER else len(KIND_ORDER)


def _group_of(decision: Decision, group_by: Sequence[GroupKey]) -> Group:
    proposal = decision.proposal
    values: dict[GroupKey, str] = {
        "cluster": proposal.cluster,
        "kind": proposal.kind,
        "namespace": proposal.namespace,
        "workload": proposal.workload,
    }
    keys = [key for key in _KEYS if key in group_by]
    if proposal.approval_required:
        keys = []  # one branch, and one question, per policy (DESIGN §4)
    if proposal.kind not in _MIXABLE:
        keys = [key for key in _KEYS if key in keys or key == "kind"]
    subject = proposal.subject
    return Group(
        subject.kind,
        subject.name,
        subject.id,
        proposal.approval_required,
        tuple(values[key] for key in keys),
        proposal.reverts,
    )


def slug(group: Group) -> str:
    """The name that the group's branch ends in: ``[a-z0-9-]``, at most 60 characters, the same at every pass.

    ``action-nightly--prod--requests``, or a policy's id where it needs approval. What has lost something on the way (cut,
    or other characters) ends in eight hexadecimal digits of the whole, so that two groups never share a slug.
    """
    named = group.subject_kind if group.subject_kind == "trimtab" else f"{group.subject_kind}-{group.subject_name}"
    words = [group.subject_id.lower() if group.approval else named, *group.values]
    words += [group.reverts[:12]] if group.reverts else []
    clean = [re.sub(r"-+", "-", re.sub(r"[^a-z0-9]", "-", word.lower())).strip("-") for word in words]
    text = "--".join(word for word in clean if word)
    if clean == words and all(words) and len(text) <= MAX_SLUG:
        return text
    digest = hashlib.sha256(repr(group).encode()).hexdigest()[:8]
    return f"{text[: MAX_SLUG - 9].rstrip('-')}-{digest}".lstrip("-")
