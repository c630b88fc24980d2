"""Lxc policies as proposals: how many cores and how much memory a container is to have, decided by load (DESIGN §6).

The file of a container is the desired state. A live policy takes a container on by a file that says what it has, and then
changes ``spec.cores`` and ``spec.memoryMB`` only, step by step, so that each step can be undone to the one before. What grows
and what shrinks are apart: no window that holds the one holds the other.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from reconciler.evaluate.containers_proposals import is_ours_to_drop
from reconciler.evaluate.overlay_edits import Refusals
from reconciler.evaluate.refusals import refusal_text
from reconciler.evaluate.resources_proposals import UNITS, adopt, dropped, resize
from reconciler.evaluate.resources_room import NodeSeen, Room
from reconciler.evaluate.resources_sizing import Asked, Sizing, sized, trigger
from reconciler.evaluate.scaling_forecast import Direction, Forecast, direction_of
from reconciler.evaluate.scaling_outlook import Outlook, second_policy
from reconciler.manifests.lxc_container import CORES, MEMORY, NODE, is_node_name, path_for
from reconciler.model.agent import CONNECTED
from reconciler.model.change import Proposal, Refusal
from reconciler.model.inventory import Problem
from reconciler.model.lxc_container import ContainerKey, LXCContainer, LXCState
from reconciler.model.policy import ScalingPolicy


@dataclass(frozen=True, eq=False)
class Containers:
    """The containers that have files. ``unusable``: why nothing can be written for one, by its key."""

    files: Mapping[ContainerKey, LXCContainer] = field(default_factory=dict)
    unusable: Mapping[ContainerKey, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ResourcesResult:
    """``proposals``: a container is taken on before it is changed. ``outlooks`` by policy id, ``problems`` by the policy's file."""

    proposals: tuple[Proposal, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    outlooks: Mapping[str, Outlook] = field(default_factory=dict)


def resource_proposals(
    policies: Sequence[ScalingPolicy],
    containers: Containers,
    nodes: Mapping[str, NodeSeen],
    *,
    now: datetime,
    refusals: Iterable[Refusal] = (),
    last_decided: Mapping[str, datetime] | None = None,
    ended: Collection[str] = (),
    policies_complete: bool = True,
) -> ResourcesResult:
    """What the lxc policies of a fleet ask of its containers.

    ``nodes``: those that the fleet looks after, by name. ``last_decided``: by policy id, when it last committed, or in dry
    run when it last logged. ``ended``: policies that were deleted through the API; without ``policies_complete`` no file is
    taken for one whose policy is gone.
    """
    work = _Resources(containers, nodes, now, Refusals(refusals), last_decided or {})
    asked = [policy for policy in policies if policy.spec.runtime == "lxc"]
    # A live policy comes before one that is not, so that a dry run beside it does not take its container.
    for policy in sorted(asked, key=lambda policy: (not policy.spec.live, policy.spec.name, policy.id)):
        work.decide(policy)
    if policies_complete:
        work.drop_orphans({policy.id for policy in policies}, ended)
    return ResourcesResult(
        tuple(work.proposals), tuple(work.notes), tuple(work.problems), dict(sorted(work.outlooks.items()))
    )


def key_of_policy(policy: ScalingPolicy) -> ContainerKey:
    """The node and vmid that an lxc policy is about."""
    return policy.spec.target_namespace, int(policy.spec.target_name)


class _Resources:
    """One pass over the policies: lookups, and the result as it grows."""

    def __init__(
        self,
        containers: Containers,
        nodes: Mapping[str, NodeSeen],
        now: datetime,
        refused: Refusals,
        last_decided: Mapping[str, datetime],
    ) -> None:
        self._containers, self._nodes, self._now = containers, nodes, now
        self._refused, self._last, self._room = refused, last_decided, Room()
        self._taken: dict[ContainerKey, ScalingPolicy] = {}
        self.proposals: list[Proposal] = []
        self.notes: list[str] = []
        self.problems: list[Problem] = []
        self.outlooks: dict[str, Outlook] = {}

    def decide(self, policy: ScalingPolicy) -> None:
        key = key_of_policy(policy)
        problem = self._bad_target(policy)
        if problem is None and (first := self._taken.setdefault(key, policy)) is not policy:
            problem = second_policy(policy, first)
        if problem is not None:
            self.outlooks[policy.id] = Outlook(policy, conflict=problem.message)
            # A policy that is switched off need not be right.
            self.problems += [problem] if policy.spec.enabled else []
            return
        self.outlooks[policy.id] = self._look(policy, key, self._nodes[key[0]])

    def drop_orphans(self, known: Collection[str], ended: Collection[str]) -> None:
        """Files that were made for a policy which is gone. The container stays as it is: nobody asks for a size any more."""
        for key, file in sorted(self._containers.files.items()):
            if not file.policy or file.policy in known or key in self._taken:
                continue
            if not is_ours_to_drop(file.policy, ended):
                self.notes.append(f"policy {file.policy} is not in this database; its file {path_for(key)} stays")
                continue
            self._offer(dropped(file))

    def _look(self, policy: ScalingPolicy, key: ContainerKey, node: NodeSeen) -> Outlook:
        file, newest = self._containers.files.get(key), node.newest(key[1])
        conflict = self._containers.unusable.get(key, "") or node.trouble
        fresh = newest is not None and self._now - newest.at <= CONNECTED
        if not conflict and not fresh:
            conflict = node.missing(key)
        current = _current(file, newest, node)
        outlook = Outlook(policy, forecast=Forecast(current), path=path_for(key), conflict=conflict)
        if conflict or newest is None or not policy.spec.enabled:
            return outlook
        if newest.status != "running" or newest.lock:
            why = f"locked ({newest.lock})" if newest.lock else newest.status
            self.notes.append(f"policy {policy.spec.name}: container {key[0]}/{key[1]} is {why}: nothing is decided")
            return outlook
        return self._sized(outlook, key, node, file, newest)

    def _sized(
        self, outlook: Outlook, key: ContainerKey, node: NodeSeen, file: LXCContainer | None, newest: LXCState
    ) -> Outlook:
        policy = outlook.policy
        sizing = sized(policy.spec, node.readings[key[1]], node, file)
        current = _current(file, newest, node)
        asked = [self._admitted(one, node, newest) for one in sizing.asked]
        cores = next((one.value for one in asked if one.field == CORES), current)
        memory = [direction_of(one.base, one.value) for one in asked if one.field == MEMORY]
        moves = [direction_of(one.base, one.value) for one in asked if one.field == CORES] + memory
        direction: Direction = next((move for move in moves if move != "none"), "none")
        conflict = "; ".join(one.conflict for one in asked if one.conflict)
        seen = Forecast(current, cores, direction, *trigger(sizing))
        outlook = replace(outlook, forecast=seen, conflict=conflict)
        return self._decided(outlook, key, node, file, newest, sizing._replace(asked=tuple(asked)))

    def _admitted(self, one: Asked, node: NodeSeen, newest: LXCState) -> Asked:
        """``one``, unless its node has no room for it."""
        if one.field != MEMORY or one.value <= one.base:
            return one
        rise = one.value - newest.memory_mb
        if refusal := self._room.refusal(node, rise):
            return one._replace(value=one.base, conflict=refusal)
        self._room.take(newest.node, rise)
        return one

    def _decided(
        self,
        outlook: Outlook,
        key: ContainerKey,
        node: NodeSeen,
        file: LXCContainer | None,
        newest: LXCState,
        sizing: Sizing,
    ) -> Outlook:
        """Propose what a live policy asks for; give the outlook with the file that it would have."""
        policy = outlook.policy
        base = file or _as_it_is(policy, key, node.configs.get(key[1], newest))
        due = [one for one in sizing.asked if one.value != one.base and not self._waits(policy, one, sizing.reason)]
        if not policy.spec.live:
            waiting = not due and any(one.value != one.base for one in sizing.asked)
            return outlook if waiting else replace(outlook, container=_with(base, due))
        if file is None and not self._offer(adopt(policy, base)):
            return outlook
        landed = []
        for takes in (False, True):
            some = [one for one in due if (one.value < one.base) == takes and not self._is_refused(policy, base, one)]
            if some:
                new = {one.field: one.value for one in some}
                self.proposals.append(resize(policy, base, new, sizing.reason, takes=takes))
            landed += some
        return replace(outlook, container=_with(base, landed))

    def _waits(self, policy: ScalingPolicy, one: Asked, reason: str) -> bool:
        """Whether the policy takes no step in this direction yet. What it does not allow at all waits for nothing."""
        last, up = self._last.get(policy.id), one.value > one.base
        seconds = policy.spec.cooldown_scale_up_seconds if up else policy.spec.cooldown_scale_down_seconds
        until = last + timedelta(seconds=seconds) if last is not None else None
        if until is None or self._now >= until or one.outside:
            return False
        self.notes.append(f"policy {policy.spec.name}: {reason}; waits for its cooldown until {until:%H:%M:%S} UTC")
        return True

    def _is_refused(self, policy: ScalingPolicy, base: LXCContainer, one: Asked) -> bool:
        proposal = resize(policy, base, {one.field: one.value}, "", takes=False)
        standing = self._refused.against(proposal.subject, proposal.edits[0])
        if standing is not None:
            said = f"{one.value} {UNITS[one.field]} was {refusal_text(standing)}"
            self.notes.append(f"policy {policy.spec.name}: {path_for(base.key)}: {said}")
        return standing is not None

    def _offer(self, proposal: Proposal) -> bool:
        """Propose that a file is made or goes away, unless that was refused."""
        edit = next(edit for edit in proposal.edits if edit.field == NODE)
        standing = self._refused.against(proposal.subject, edit)
        if standing is None:
            self.proposals.append(proposal)
            return True
        what = "taking it on" if edit.new else "taking it away"
        self.notes.append(f"policy {proposal.subject.name}: {edit.path}: {what} was {refusal_text(standing)}")
        return False

    def _bad_target(self, policy: ScalingPolicy) -> Problem | None:
        node = policy.spec.target_namespace
        if node in self._nodes:
            return None
        place = policy.path or f"policy {policy.spec.name}"
        if not is_node_name(node):
            message = f"{node!r} cannot be the name of a node"
            hint = "letters, digits, '-', '_' and '.', at most 128 of them; not trimtab, not kustomization"
        else:
            message = f"the node {node} is not looked after by this fleet: name it under spec.lxcNodes of trimtab.yaml"
            hint = f"there are {', '.join(sorted(self._nodes))}" if self._nodes else "lxcNodes: [{name: pve1}]"
        return Problem(path=place, field="spec.targetRef", message=message, hint=hint)


def _current(file: LXCContainer | None, newest: LXCState | None, node: NodeSeen) -> int:
    """The cores that a container has; those of its file while nothing is known of it."""
    if newest is not None:
        return newest.cores or node.cpus or 1
    return (file.cores if file else None) or 1


def _as_it_is(policy: ScalingPolicy, key: ContainerKey, config: LXCState) -> LXCContainer:
    return LXCContainer(
        node=key[0],
        vmid=key[1],
        cores=config.cores,
        memory_mb=config.memory_mb,
        rootfs_gb=int(config.rootfs_gb) if config.rootfs_gb and config.rootfs_gb >= 1 else None,
        hostname=config.hostname,
        policy=policy.id,
    )


def _with(base: LXCContainer, asked: Iterable[Asked]) -> LXCContainer:
    names = {CORES: "cores", MEMORY: "memory_mb"}
    return base.model_copy(update={names[one.field]: one.value for one in asked})
