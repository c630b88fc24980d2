"""Namespaces that sleep: what can be scaled goes to 0 while the action's window is open, and comes back after.

Nothing is deleted, and HPAs stay: at 0 replicas they rest (DESIGN §7). What is written is a component of its own in each
namespace, so that taking it away applies without conflicts, by Trimtab or by a person's ``git revert``.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.evaluate.action_scope import Scope
from reconciler.evaluate.index import Index, NamespaceKey, unwired
from reconciler.evaluate.overlay_edits import differences, removal, value_edit
from reconciler.evaluate.turndown_sites import (
    ACTION_FIELD,
    OWN_NAMESPACE,
    Rest,
    Site,
    at_rest,
    covered,
    refused_namespace,
    sites,
)
from reconciler.model.action import ActionConfig
from reconciler.model.change import Proposal, ProposalKind, Subject, ValueEdit
from reconciler.model.inventory import RootState
from reconciler.model.machine_file import MachineFile
from reconciler.model.workload import WorkloadKey


@dataclass(frozen=True)
class TurndownResult:
    """``proposals``: a namespace's ``prepare`` before its ``turndown``. ``notes``: what stays up, and why."""

    proposals: tuple[Proposal, ...] = ()
    notes: tuple[str, ...] = ()


def turndown_proposals(
    action: ActionConfig,
    roots: Sequence[RootState] | Index,
    *,
    allowed_now: bool,
    refused_namespaces: Collection[NamespaceKey] = frozenset(),
    landed: Mapping[str, str] | None = None,
    prepared: Collection[str] = frozenset(),
    own_namespace: str = OWN_NAMESPACE,
    ignored_replicas: Collection[WorkloadKey] = frozenset(),
    cluster_ids: Mapping[str, str] | None = None,
    run: str = "",
) -> TurndownResult:
    """What ``action`` asks of the namespaces that it covers.

    ``allowed_now``: its windows are open. ``refused_namespaces``: a revert refused turning them down. ``landed``:
    turndown file → the commit that turned its namespace down. ``prepared``: turndown directories that have their
    ``kustomization.yaml``. ``ignored_replicas``: workloads whose replicas Argo CD is told to ignore.
    :raises FilterError: when the action's filter cannot be read.
    """
    if not action.enabled or action.action != "namespaceTurndown":
        return TurndownResult()
    index = Index.of(roots)
    subject = Subject(kind="action", id=action.id, name=action.name, run=run)
    turndown = _Turndown(subject, allowed_now, landed or {}, prepared)
    if not action.namespaces and not action.filter.strip():
        turndown.note("names neither namespaces nor a filter: nothing is turned down")
    for site in covered(Scope.of(action, cluster_ids), index):
        never = refused_namespace(site.namespace, own_namespace)
        reverted = site.key in refused_namespaces
        turndown.decide(site, at_rest(site, index, ignored_replicas), never=never, reverted=reverted)
    return TurndownResult(tuple(turndown.proposals), tuple(dict.fromkeys(turndown.notes)))


def orphan_turnups(
    actions: Sequence[ActionConfig],
    roots: Sequence[RootState] | Index,
    *,
    actions_complete: bool,
    landed: Mapping[str, str] | None = None,
    cluster_ids: Mapping[str, str] | None = None,
) -> tuple[Proposal, ...]:
    """Turning up what is down on behalf of an action that is gone, is disabled or covers it no longer.

    Nothing is concluded unless ``actions_complete``.
    :raises FilterError: when the filter of one of the actions cannot be read.
    """
    if not actions_complete:
        return ()
    index = Index.of(roots)
    known = {action.id: action for action in actions if action.action == "namespaceTurndown"}
    scopes = [Scope.of(action, cluster_ids) for action in known.values() if action.enabled]
    standing = {(scope.action.id, id(site.state), site.namespace) for scope in scopes for site in covered(scope, index)}
    proposals = []
    for site in sites(index):
        if site.found is None or (site.owner, id(site.state), site.namespace) in standing:
            continue
        owner = known.get(site.owner or "")
        name = owner.name if owner else site.owner or "unknown"
        why = f"action {name} covers it no longer" if owner else f"action {name} is gone"
        subject = Subject(kind="action", id=site.owner or name, name=name)
        proposals.append(_turnup(subject, site, why, landed or {}))
    return tuple(proposals)


@dataclass(eq=False)
class _Turndown:
    """One action's way through its sites, and the result as it grows."""

    subject: Subject
    allowed_now: bool
    landed: Mapping[str, str]
    prepared: Collection[str]
    proposals: list[Proposal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(f"action {self.subject.name}: {text}")

    def decide(self, site: Site, rest: Rest, *, never: str, reverted: bool) -> None:
        """``never``: why the namespace must not be down. ``reverted``: turning it down was refused by a revert."""
        if site.owner is not None and site.owner != self.subject.id:
            return  # down on behalf of another action, whose business it is until it is up again
        if never:
            self.note(f"{_at(site)} is never turned down: {never}")
        elif rest.left_up and not reverted:
            self.note(f"{_at(site)}: not turned down: {', '.join(rest.left_up)}")
        if site.found is not None:
            self._while_down(site, site.found, rest, keep=self.allowed_now and not never, joins=not reverted)
        elif reverted and not never:
            self.note(f"{_at(site)} stays up: turning it down was reverted")
        elif rest.values and not never:
            self._go_down(site, rest)

    def _go_down(self, site: Site, rest: Rest) -> None:
        wired = site.state.inventory.wired
        directory = site.path.rpartition("/")[0]
        if wired and directory not in self.prepared:
            path = f"{directory}/kustomization.yaml"
            edit = value_edit(path, "turndown", site.target, "prepared", None, "true")
            reason = f"action {self.subject.name}: an empty component, so that turning {site.namespace} down and up touches no other file"
            self.proposals.append(_proposal("prepare", self.subject, site, (edit,), reason, ignores_windows=True))
        edits = differences(site.path, self._wanted(site, rest), None)
        reason = f"action {self.subject.name}: turn {site.namespace} down ({_count(rest.values)})"
        blocked = unwired(site.state)
        self.proposals.append(
            _proposal("turndown", self.subject, site, edits, reason, takes_capacity=True, blocked=blocked)
        )

    def _while_down(self, site: Site, found: MachineFile, rest: Rest, *, keep: bool, joins: bool) -> None:
        """Up again unless ``keep``; while down, what is new joins and what is gone is dropped, whatever the windows say."""
        if not keep:
            self.proposals.append(_turnup(self.subject, site, f"action {self.subject.name}", self.landed))
            return
        if not rest.values:
            why = f"action {self.subject.name}: nothing is left in it to turn down"
            self.proposals.append(_turnup(self.subject, site, why, {}))
            return
        edits = differences(site.path, self._wanted(site, rest), found)
        gone = tuple(edit for edit in edits if edit.new is None)
        new = tuple(edit for edit in edits if edit.new is not None)
        if gone:
            reason = f"action {self.subject.name}: {_names(gone)} of {site.namespace} is gone or rests by itself"
            self.proposals.append(
                _proposal("stale", self.subject, site, gone, reason, ignores_windows=True, ignores_budget=True)
            )
        if new and joins:
            reason = f"action {self.subject.name}: {_names(new)} joins {site.namespace}, which is down"
            self.proposals.append(_proposal("turndown", self.subject, site, new, reason, takes_capacity=True))

    def _wanted(self, site: Site, rest: Rest) -> MachineFile:
        values = {**rest.values, ACTION_FIELD: self.subject.id}
        return MachineFile(form="turndown", target=site.target, values=values)


def _turnup(subject: Subject, site: Site, why: str, landed: Mapping[str, str]) -> Proposal:
    found = site.found
    assert found is not None, "only what is down is turned up"
    return _proposal(
        "turnup",
        subject,
        site,
        removal(site.path, found),
        f"{why}: turn {site.namespace} up again ({_count({k: v for k, v in found.values.items() if k != ACTION_FIELD})})",
        ignores_windows=True,
        ignores_budget=True,
        reverts=landed.get(site.path, ""),
    )


def _proposal(
    kind: ProposalKind,
    subject: Subject,
    site: Site,
    edits: tuple[ValueEdit, ...],
    reason: str,
    *,
    takes_capacity: bool = False,
    ignores_windows: bool = False,
    ignores_budget: bool = False,
    blocked: str = "",
    reverts: str = "",
) -> Proposal:
    return Proposal(
        kind=kind,
        subject=subject,
        cluster=site.state.inventory.cluster,
        root=site.state.inventory.root,
        namespace=site.namespace,
        edits=edits,
        reason=reason,
        takes_capacity=takes_capacity,
        ignores_windows=ignores_windows,
        ignores_budget=ignores_budget,
        blocked=blocked,
        reverts=reverts,
    )


def _at(site: Site) -> str:
    return f"{site.state.inventory.cluster}/{site.namespace}"


def _count(values: Mapping[str, str]) -> str:
    return f"{len(values)} workload{'' if len(values) == 1 else 's'}"


def _names(edits: Sequence[ValueEdit]) -> str:
    named = (edit.field.split("|") for edit in edits if edit.field != ACTION_FIELD)
    return ", ".join(f"{parts[1]} {parts[-1]}" for parts in named)
