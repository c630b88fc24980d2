"""Docker policies as proposals: how many containers a group is to run, decided by load (DESIGN §6).

The file of a group is the desired state. A live policy takes a group on by a file that says what runs, and then changes
``spec.replicas`` only, step by step, so that each step can be undone to the one before.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from reconciler.evaluate.containers_load import Reading, readings, wanted
from reconciler.evaluate.containers_proposals import adopt, dropped, is_ours_to_drop, scale
from reconciler.evaluate.overlay_edits import Refusals
from reconciler.evaluate.refusals import refusal_text
from reconciler.evaluate.scaling_forecast import Forecast, bounded, direction_of, worst
from reconciler.evaluate.scaling_outlook import Outlook, second_policy
from reconciler.manifests.container_group import REPLICAS, is_group_name, path_for
from reconciler.model.change import Proposal, Refusal
from reconciler.model.container_group import ContainerGroup, GroupKey, Host, pool_key
from reconciler.model.fleet import Fleet
from reconciler.model.inventory import Problem
from reconciler.model.policy import ScalingPolicy, ScalingPolicySpec


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups that have files. ``unusable``: why nothing can be written for a group, by its key: its file cannot be read,
    or something stands in its place."""

    files: Mapping[GroupKey, ContainerGroup] = field(default_factory=dict)
    unusable: Mapping[GroupKey, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ContainersResult:
    """``proposals``: a group is taken on before it is scaled. ``outlooks`` by policy id, ``problems`` by the policy's file."""

    proposals: tuple[Proposal, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    outlooks: Mapping[str, Outlook] = field(default_factory=dict)


def container_proposals(
    policies: Sequence[ScalingPolicy],
    groups: Groups,
    fleet: Fleet,
    *,
    now: datetime,
    observations: Mapping[str, Sequence[Host]],
    refusals: Iterable[Refusal] = (),
    last_decided: Mapping[str, datetime] | None = None,
    ended: Collection[str] = (),
    policies_complete: bool = True,
) -> ContainersResult:
    """What the docker policies of a fleet ask of its groups.

    ``observations``: the hosts of each pool by ``docker/<pool>``. ``last_decided``: by policy id, when it last committed,
    or in dry run when it last logged. ``ended``: policies that were deleted through the API; without ``policies_complete``
    no file is taken for one whose policy is gone.
    """
    work = _Containers(groups, fleet, now, observations, Refusals(refusals), last_decided or {})
    asked = [policy for policy in policies if policy.spec.runtime == "docker"]
    # A live policy comes before one that is not, so that a dry run beside it does not take its group.
    for policy in sorted(asked, key=lambda policy: (not policy.spec.live, policy.spec.name, policy.id)):
        work.decide(policy)
    if policies_complete:
        work.drop_orphans({policy.id for policy in policies}, ended)
    return ContainersResult(
        tuple(work.proposals), tuple(work.notes), tuple(work.problems), dict(sorted(work.outlooks.items()))
    )


class Seen(NamedTuple):
    """A group as its hosts run it now, and what its policy makes of that."""

    forecast: Forecast
    image: str
    reason: str
    outside: bool
    """Whether the group has more or fewer than the policy allows at all."""


class _Containers:
    """One pass over the policies: lookups, and the result as it grows."""

    def __init__(
        self,
        groups: Groups,
        fleet: Fleet,
        now: datetime,
        observations: Mapping[str, Sequence[Host]],
        refused: Refusals,
        last_decided: Mapping[str, datetime],
    ) -> None:
        self._groups, self._now, self._observations = groups, now, observations
        self._pools = {pool.name for pool in fleet.host_pools}
        self._refused, self._last = refused, last_decided
        self._taken: dict[GroupKey, ScalingPolicy] = {}
        self.proposals: list[Proposal] = []
        self.notes: list[str] = []
        self.problems: list[Problem] = []
        self.outlooks: dict[str, Outlook] = {}

    def decide(self, policy: ScalingPolicy) -> None:
        key = (policy.spec.target_namespace, policy.spec.target_name)
        problem = _bad_target(policy, self._pools)
        if problem is None and (first := self._taken.setdefault(key, policy)) is not policy:
            problem = second_policy(policy, first)
        if problem is not None:
            self.outlooks[policy.id] = Outlook(policy, conflict=problem.message)
            # A policy that is switched off need not be right.
            self.problems += [problem] if policy.spec.enabled else []
            return
        self._look(policy, key)

    def drop_orphans(self, known: Collection[str], ended: Collection[str]) -> None:
        """Files that were made for a policy which is gone. What runs goes on running: nobody asks for a number any more."""
        for key, group in sorted(self._groups.files.items()):
            if not group.policy or group.policy in known or key in self._taken:
                continue
            if not is_ours_to_drop(group.policy, ended):
                self.notes.append(f"policy {group.policy} is not in this database; its file {path_for(key)} stays")
                continue
            self._offer(dropped(group))

    def _look(self, policy: ScalingPolicy, key: GroupKey) -> None:
        path, file = path_for(key), self._groups.files.get(key)
        hosts = [host for host in self._observations.get(pool_key(key[0]), ()) if host.connected(self._now)]
        seen = _seen(policy, key, file, hosts, self._now)
        conflict = self._groups.unusable.get(key, "") or _too_small(policy.spec, file, hosts, key)
        current = file.replicas if file is not None else 1
        outlook = Outlook(policy, forecast=seen.forecast if seen else Forecast(current), path=path, conflict=conflict)
        if seen is None and policy.spec.enabled:
            self.notes.append(
                f"policy {policy.spec.name}: no agent of host pool {key[0]} has pushed a container of {key[1]} lately"
            )
        if seen is not None and policy.spec.enabled and key not in self._groups.unusable:
            outlook = self._decided(outlook, key, file, seen)
        self.outlooks[policy.id] = outlook

    def _decided(self, outlook: Outlook, key: GroupKey, file: ContainerGroup | None, seen: Seen) -> Outlook:
        """Propose what a live policy asks for; give the outlook with the file that it would have."""
        policy, target = outlook.policy, seen.forecast.desired_replicas
        assert target is not None
        base = file or _as_it_runs(policy, key, seen)
        until = None if seen.outside else self._cooling(policy, seen.forecast)
        if target != base.replicas and until is not None:
            self.notes.append(
                f"policy {policy.spec.name}: {seen.reason}; waits for its cooldown until {until:%H:%M:%S} UTC"
            )
            if not policy.spec.live:
                return outlook  # what its last row says still goes
            target = base.replicas
        if policy.spec.live:
            if file is None and not self._offer(adopt(policy, base)):
                return outlook
            if target != base.replicas:
                self._offer(scale(policy, base, target, seen.reason))
        made = base.model_copy(update={"replicas": target})
        return replace(outlook, group=made)

    def _cooling(self, policy: ScalingPolicy, forecast: Forecast) -> datetime | None:
        """Until when the policy takes no step in this direction; None when it may."""
        last = self._last.get(policy.id)
        up = forecast.direction == "up"
        seconds = policy.spec.cooldown_scale_up_seconds if up else policy.spec.cooldown_scale_down_seconds
        until = last + timedelta(seconds=seconds) if last is not None else None
        return until if until is not None and self._now < until else None

    def _offer(self, proposal: Proposal) -> bool:
        """Propose it, unless its number of replicas was refused."""
        edit = next(edit for edit in proposal.edits if edit.field == REPLICAS)
        standing = self._refused.against(proposal.subject, edit)
        if standing is None:
            self.proposals.append(proposal)
            return True
        value = f"{edit.new} containers" if edit.new else "taking it away"
        self.notes.append(f"policy {proposal.subject.name}: {edit.path}: {value} was {refusal_text(standing)}")
        return False


def _bad_target(policy: ScalingPolicy, pools: Collection[str]) -> Problem | None:
    pool, group = policy.spec.target_namespace, policy.spec.target_name
    place = policy.path or f"policy {policy.spec.name}"
    if pool not in pools:
        message = f"there is no host pool {pool!r} in trimtab.yaml"
        hint = f"there are {', '.join(sorted(pools))}" if pools else "name it under spec.hostPools"
        return Problem(path=place, field="spec.targetRef", message=message, hint=hint)
    for name in (pool, group):
        if not is_group_name(name):
            message = f"{name!r} cannot be the name of a host pool or a group"
            hint = "letters, digits, '-', '_' and '.', at most 128 of them; not trimtab, not kustomization"
            return Problem(path=place, field="spec.targetRef", message=message, hint=hint)
    return None


def _seen(
    policy: ScalingPolicy, key: GroupKey, file: ContainerGroup | None, hosts: Sequence[Host], now: datetime
) -> Seen | None:
    """None when nobody has pushed a container of the group within 45 s."""
    spec = policy.spec
    fresh = [host for host in hosts if host.fresh(now)]
    there = [container for host in fresh for container in host.of(key)]
    if not there:
        return None
    running = [container for host in fresh for container in host.running(key)]
    base = file.replicas if file is not None else len(running)
    found, failed = readings(spec, running)
    asked = _unless_catching_up(wanted(found, len(running), failed=failed), len(running), base)
    fits, clamped = _fitting(spec, file, len(hosts), base, asked)
    desired = bounded(spec, base, fits)
    forecast = Forecast(len(running), desired, direction_of(base, desired), *worst([r[:3] for r in found]))
    outside = not spec.min_replicas <= base <= spec.max_replicas
    image = next((c.image for c in [*running, *there] if c.image), "")
    return Seen(forecast, image, _reason(found, len(running), outside, spec) + clamped, outside)


def _unless_catching_up(asked: int, running: int, base: int) -> int:
    """What load asks for. While hosts do not run what the file says yet, only what goes beyond both is a reason to change it."""
    if asked > max(running, base) or asked < min(running, base):
        return asked
    return base


def _per_host(spec: ScalingPolicySpec, file: ContainerGroup | None) -> int | None:
    """The stricter of what the policy and the file say."""
    known = [limit for limit in (spec.max_replicas_per_host, file.max_replicas_per_host if file else None) if limit]
    return min(known, default=None)


def _fitting(
    spec: ScalingPolicySpec, file: ContainerGroup | None, hosts: int, base: int, asked: int
) -> tuple[int, str]:
    """``asked``, as far as the connected hosts have room; and words where they have not. Nothing goes down for want of room."""
    most = _per_host(spec, file)
    if most is None or asked <= max(most * hosts, base):
        return asked, ""
    room = f"{hosts} connected host{'' if hosts == 1 else 's'} × maxReplicasPerHost {most}"
    return max(most * hosts, base), f"; {asked} would not fit on {room}"


def _too_small(spec: ScalingPolicySpec, file: ContainerGroup | None, hosts: Sequence[Host], key: GroupKey) -> str:
    """Why the group cannot run as its file says; empty when it can."""
    if file is None or not file.replicas:
        return ""
    if not hosts:
        return f"no agent of host pool {key[0]} is connected: start one on each host of the pool"
    most = _per_host(spec, file)
    if most is None or most * len(hosts) >= file.replicas:
        return ""
    return (
        f"{file.replicas - most * len(hosts)} of {file.replicas} containers do not fit: {len(hosts)} connected "
        f"host{'' if len(hosts) == 1 else 's'} × maxReplicasPerHost {most}; add a host, or raise maxReplicasPerHost"
    )


def _reason(found: Sequence[Reading], running: int, outside: bool, spec: ScalingPolicySpec) -> str:
    over = f"{running} running container{'' if running == 1 else 's'}"
    if outside:
        return f"{over}, and {spec.min_replicas} to {spec.max_replicas} are allowed"
    metric, value, threshold = worst([reading[:3] for reading in found])
    if metric is None:
        return f"{over}, no metric"
    return f"{metric.removesuffix('_percent')} at {value:g}% against a target of {threshold:g}% over {over}"


def _as_it_runs(policy: ScalingPolicy, key: GroupKey, seen: Seen) -> ContainerGroup:
    return ContainerGroup(
        host_pool=key[0],
        name=key[1],
        replicas=seen.forecast.current_replicas,
        max_replicas_per_host=policy.spec.max_replicas_per_host,
        image=seen.image,
        lb_pool_ref=policy.spec.lb_pool_ref,
        policy=policy.id,
    )
