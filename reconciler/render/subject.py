"""The subject line of a change: at most 72 characters that a person understands."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from reconciler.manifests.container_group import REPLICAS
from reconciler.manifests.lxc_container import CORES, MEMORY, NODE, ROOTFS
from reconciler.model.change import Change, Proposal, ValueEdit
from reconciler.render.fields import TARGET
from reconciler.render.words import count, money, named_or_counted, one_line, shortened

MAX_SUBJECT = 72

Line = tuple[str, str]
"""What is done, and where (may be left out where room is short)."""


def subject_line(change: Change, *, currency: str) -> str:
    """``Right-size 9 workloads in boutique-prod/default, save $31.20/month``."""
    proposals = [decision.proposal for decision in change.decisions]
    kinds = {proposal.kind for proposal in proposals}
    describe = _LINES.get(change.kind, _several) if len(kinds) == 1 else _several
    what, where = describe(proposals)
    money_part = _saving_part(saving_of(change), currency) if kinds & {"requests", "quota", "hpa"} else ""
    for line in (f"{what}{where}{money_part}", f"{what}{money_part}", f"{what}{where}", what):
        if len(line) <= MAX_SUBJECT:
            return line
    return shortened(what, MAX_SUBJECT)


def saving_of(change: Change) -> Decimal | None:
    """The monthly saving of all decisions together; None when none of them has one."""
    savings = [d.proposal.saving_monthly for d in change.decisions if d.proposal.saving_monthly is not None]
    return sum(savings, Decimal(0)) if savings else None


def saving_words(saving: Decimal | None, currency: str) -> str:
    """``Saves $31.20 a month.``; empty when there is nothing to say."""
    if saving is None or abs(saving) < Decimal("0.005"):
        return ""
    return f"{'Saves' if saving > 0 else 'Costs'} {money(saving, currency)}{' more' if saving < 0 else ''} a month."


def _saving_part(saving: Decimal | None, currency: str) -> str:
    if saving is None or abs(saving) < Decimal("0.005"):
        return ""
    return f", {'save' if saving > 0 else 'cost'} {money(saving, currency)}/month"


def _distinct(values: Iterable[str]) -> list[str]:
    return sorted({one_line(value, 253) for value in values if value})


def _where(proposals: Sequence[Proposal], *, namespace: bool = True) -> str:
    clusters, namespaces = _distinct(p.cluster for p in proposals), _distinct(p.namespace for p in proposals)
    if len(clusters) != 1:
        return f" in {count(len(clusters), 'cluster')}" if clusters else ""
    return f" in {clusters[0]}/{namespaces[0]}" if namespace and len(namespaces) == 1 else f" in {clusters[0]}"


def _workloads(proposals: Sequence[Proposal]) -> str:
    names = sorted({(p.cluster, p.namespace, one_line(p.workload, 253)) for p in proposals})
    return named_or_counted([name for *_, name in names], "workload")


def _requests(proposals: Sequence[Proposal]) -> Line:
    return f"Right-size {_workloads(proposals)}", _where(proposals)


def _hpa(proposals: Sequence[Proposal]) -> Line:
    edits = [edit for proposal in proposals for edit in proposal.edits if edit.form == "hpa"]
    gone = {edit.path for edit in edits if edit.field == "maxReplicas" and edit.new is None}
    if gone and not (edits := [edit for edit in edits if edit.path not in gone]):  # one that moves goes elsewhere, too
        return f"Stop scaling {_workloads(proposals)}", _where(proposals)
    if len(proposals) > 1:
        return f"Scale {_workloads(proposals)}", _where(proposals)
    details = " ".join(filter(None, (_replicas(edits), _targets(edits))))
    return f"Scale {_workloads(proposals)}: HPA {details or 'settings'}", ""


def _replicas(edits: Sequence[ValueEdit]) -> str:
    changed = {edit.field: edit for edit in edits if edit.field in ("minReplicas", "maxReplicas")}
    low, high = changed.get("minReplicas"), changed.get("maxReplicas")
    if low and high and low.new and high.new:
        return f"{low.new}–{high.new} replicas"
    words = {"minReplicas": "min", "maxReplicas": "max"}
    steps = [f"{words[field]} {edit.old or '–'} → {edit.new or '–'}" for field, edit in sorted(changed.items())]
    return ", ".join(steps) + (" replicas" if steps else "")


def _targets(edits: Sequence[ValueEdit]) -> str:
    names = {"metrics/cpu": "CPU", "metrics/memory": "memory"}
    targets = [f"{e.new} {names[e.field]}" for e in sorted(edits, key=lambda e: e.field) if e.field in names and e.new]
    dropped = [names[e.field] for e in sorted(edits, key=lambda e: e.field) if e.field in names and not e.new]
    words = [f"at {' and '.join(targets)}"] if targets else []
    words += [f"without its {' and '.join(dropped)} target"] if dropped else []
    return ", ".join(words)


def _targets_of(proposals: Sequence[Proposal]) -> list[str]:
    return _distinct(edit.target.name for proposal in proposals for edit in proposal.edits)


def _nodepool(proposals: Sequence[Proposal]) -> Line:
    names = _targets_of(proposals)
    limits = {edit.field: edit.new for proposal in proposals for edit in proposal.edits if edit.new}
    if len(names) != 1 or not limits:
        return f"Raise {named_or_counted(names, 'NodePool')}", _where(proposals, namespace=False)
    words = [f"{limits['limits/cpu']} CPU"] if "limits/cpu" in limits else []
    words += [f"{limits['limits/memory']} memory"] if "limits/memory" in limits else []
    return f"Raise NodePool {names[0]} to {', '.join(words)}", _where(proposals, namespace=False)


def _quota(proposals: Sequence[Proposal]) -> Line:
    names = sorted({(p.cluster, p.namespace, one_line(e.target.name)) for p in proposals for e in p.edits})
    if len(names) == 1:
        return f"Resize ResourceQuota {names[0][2]}", _where(proposals)
    return f"Resize {count(len(names), 'ResourceQuota')}", _where(proposals)


def _namespaces(verb: str) -> Callable[[Sequence[Proposal]], Line]:
    def line(proposals: Sequence[Proposal]) -> Line:
        names = _distinct(p.namespace for p in proposals)
        what = f"namespace {names[0]}" if len(names) == 1 else count(len(names), "namespace")
        return f"{verb} {what}", _where(proposals, namespace=False)

    return line


def _stale(proposals: Sequence[Proposal]) -> Line:
    edits = [edit for proposal in proposals for edit in proposal.edits]
    dropped = {edit.path for edit in edits if edit.field != TARGET}
    aimed = {edit.path for edit in edits} - dropped
    words = [f"drop {count(len(dropped), 'stale patch', 'stale patches')}"] if dropped else []
    words += [f"aim {count(len(aimed), 'patch', 'patches')} anew"] if aimed else []
    return " and ".join(words).capitalize(), _where(proposals, namespace=False)


def _handover(proposals: Sequence[Proposal]) -> Line:
    return f"Hand the replicas of {_workloads(proposals)} over to the HPA", _where(proposals)


def _adopt(proposals: Sequence[Proposal]) -> Line:
    if all(edit.form == "lxc" for proposal in proposals for edit in proposal.edits):
        return _adopt_lxc(proposals)
    edits = [edit for proposal in proposals for edit in proposal.edits if edit.field == REPLICAS]
    if edits and all(edit.new is None for edit in edits):
        return f"Stop scaling {_groups(proposals)}", ""
    return f"Take on {_groups(proposals)} with {_containers(edits)}", ""


def _scaled(proposals: Sequence[Proposal]) -> Line:
    edits = [edit for proposal in proposals for edit in proposal.edits if edit.field == REPLICAS]
    if len(edits) != 1:
        return f"Scale {_groups(proposals)}", ""
    return f"Scale {_groups(proposals)}: {edits[0].old or '–'} → {_containers(edits)}", ""


def _containers(edits: Sequence[ValueEdit]) -> str:
    value = next((edit.new for edit in edits), None) or "0"
    return f"{one_line(value, 12)} {'container' if value == '1' else 'containers'}"


def _groups(proposals: Sequence[Proposal]) -> str:
    names = sorted({f"{one_line(p.namespace, 128)}/{one_line(p.workload, 128)}" for p in proposals})
    return named_or_counted(names, "group")


def _adopt_lxc(proposals: Sequence[Proposal]) -> Line:
    nodes = [edit for proposal in proposals for edit in proposal.edits if edit.field == NODE]
    if nodes and all(edit.new is None for edit in nodes):
        return f"Stop scaling {_lxc(proposals)}", ""
    sizes = _sizes(proposals) if len(nodes) == 1 else []
    return f"Take on {_lxc(proposals)}" + (f" with {' and '.join(sizes)}" if sizes else ""), ""


def _resources(proposals: Sequence[Proposal]) -> Line:
    nodes = [edit for proposal in proposals for edit in proposal.edits if edit.field == NODE]
    if nodes and all(edit.new is None for edit in nodes):
        return f"Delete {_lxc(proposals)}", ""
    sizes = _sizes(proposals)
    if len({(p.namespace, p.workload) for p in proposals}) != 1 or not sizes:
        return f"Resize {_lxc(proposals)}", ""
    return f"Give {_lxc(proposals)} {' and '.join(sizes)}", ""


def _sizes(proposals: Sequence[Proposal]) -> list[str]:
    """``4 cores``, ``2048 MB of memory``, ``10 GB of disk``, of edits that set them."""
    new = {e.field: one_line(e.new, 12) for p in proposals for e in p.edits if e.new and e.new != e.was}
    words = [f"{new[CORES]} {'core' if new[CORES] == '1' else 'cores'}"] if CORES in new else []
    words += [f"{new[MEMORY]} MB of memory"] if MEMORY in new else []
    return words + ([f"{new[ROOTFS]} GB of disk"] if ROOTFS in new else [])


def _lxc(proposals: Sequence[Proposal]) -> str:
    names = sorted({f"{one_line(p.namespace, 128)}/{one_line(p.workload, 128)}" for p in proposals})
    return named_or_counted(names, "container")


def _policy(proposals: Sequence[Proposal]) -> Line:
    return f"Change policy {one_line(proposals[0].subject.name, 253)}", ""


def _rollback(proposals: Sequence[Proposal]) -> Line:
    subject = proposals[0].subject
    named = f"{subject.kind} {one_line(subject.name, 253)}" if subject.kind != "trimtab" else "Trimtab's change"
    reverted = _distinct(p.reverts[:12] for p in proposals)
    return f"Roll back {named}", f" to before {reverted[0]}" if len(reverted) == 1 else ""


def _several(proposals: Sequence[Proposal]) -> Line:
    subject = proposals[0].subject
    edits = sum(len(proposal.edits) for proposal in proposals)
    return f"Change {count(edits, 'value')} for {subject.kind} {one_line(subject.name, 253)}", _where(proposals)


_LINES: dict[str, Callable[[Sequence[Proposal]], Line]] = {
    "requests": _requests,
    "hpa": _hpa,
    "nodepool": _nodepool,
    "quota": _quota,
    "turndown": _namespaces("Turn down"),
    "turnup": _namespaces("Turn up"),
    "prepare": _namespaces("Prepare turndown of"),
    "stale": _stale,
    "handover": _handover,
    "adopt": _adopt,
    "containers": _scaled,
    "resources": _resources,
    "policy": _policy,
    "rollback": _rollback,
}
