"""Actuate: have the hosts of each group run what its file at the head of the branch says (DESIGN §6, §8).

Nothing is commanded without a commit: the number comes from Git, and from nowhere else. A group is looked after when a
docker policy is about it, whether live or not, or when its file's newest commit is one of ours; a person's edit or revert
of such a file counts like a decision.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from reconciler.actuate.containers import Cause, Orders, orders
from reconciler.manifests.container_group import FOLDER, path_for
from reconciler.model.agent import Command
from reconciler.model.container_group import ContainerGroup, GroupKey, Host
from reconciler.model.policy import ScalingPolicy
from reconciler.model.state import FleetState
from reconciler.steps.answering import said
from reconciler.steps.catching_up import whole_history
from reconciler.steps.container_groups import hosts_of, policies_by_group, read_groups
from reconciler.steps.group_outcomes import note_outcomes
from reconciler.steps.house import House
from reconciler.steps.scene import read_fleet_of
from reconciler.steps.view import View
from reconciler.store.commands import Slot

_MEMORY = "actuated"


@dataclass(frozen=True)
class GroupState:
    """What the last look found of a group. ``settled``: its hosts are known to run what the file says. ``failure``: what one
    of them says that could not. ``commit``: the newest of its file."""

    commit: str
    settled: bool
    failure: str = ""


@dataclass(frozen=True)
class _Looked:
    """The last look: at which commit, when to look again though nothing has changed, and what was found."""

    head: str
    due: datetime | None
    groups: Mapping[GroupKey, GroupState]


def actuate(house: House, state: FleetState, view: View, *, head: str) -> tuple[Command, ...]:
    """Issue what is due for every group at ``view``, which holds what the branch's ``head`` does; gives the new commands.

    Calling it again changes nothing until a host, a file or the time has moved on.
    """
    house.step("actuate")
    now = house.now()
    groups, _ = read_groups(view, state)
    work = _Work(house, state, head, now)
    told = [ordered for _, group in sorted(groups.files.items()) if (ordered := work.orders(group))]
    commands = house.stores.commands.issue(command for ordered in told for command in ordered.commands)
    dues = [ordered.due for ordered in told if ordered.due is not None]
    house.parsed[_MEMORY] = _Looked(head, min(dues, default=None), work.states)
    settled = {path_for(key): known.commit for key, known in work.states.items() if known.settled}
    note_outcomes(house, state.fleet, head, present=view.list(FOLDER), settled=settled)
    return commands


def group_states(house: House) -> Mapping[GroupKey, GroupState]:
    """What the last look of this house found of the groups that it looks after."""
    looked = house.parsed.get(_MEMORY)
    return looked.groups if isinstance(looked, _Looked) else {}


def actuate_again(house: House, head: str) -> tuple[Command, ...]:
    """:func:`actuate` in a pass that rests: only when something is due, such as a command that nobody has answered."""
    looked = house.parsed.get(_MEMORY)
    if isinstance(looked, _Looked) and looked.head == head and (looked.due is None or house.now() < looked.due):
        return ()
    return actuate_at(house, head)


def actuate_at(house: House, head: str) -> tuple[Command, ...]:
    """:func:`actuate` at a commit. :raises Stalled: when trimtab.yaml cannot be used there."""
    view = View(house.repository.tree(head))
    return actuate(house, read_fleet_of(house, view), view, head=head)


class _Work:
    """One look at all groups: what is read once for all of them."""

    def __init__(self, house: House, state: FleetState, head: str, now: datetime) -> None:
        self._house, self._head, self._now = house, head, now
        self._policies = policies_by_group(state.policies)
        self._hosts: dict[str, tuple[Host, ...]] = hosts_of(house, state.fleet)
        agents = (host.agent_id for hosts in self._hosts.values() for host in hosts)
        self._newest: dict[Slot, Command] = house.stores.commands.newest(agents)
        self.states: dict[GroupKey, GroupState] = {}

    def orders(self, group: ContainerGroup) -> Orders | None:
        """None for a group that is nobody's but a person's."""
        policy = self._policies.get(group.key)
        cause = self._cause(group, policy)
        if policy is None and not group.policy and not cause.change_id:
            return None
        hosts = self._hosts[group.host_pool]
        newest = {
            host.agent_id: command for host in hosts if (command := self._newest.get((host.agent_id, *group.key)))
        }
        found = orders(
            group,
            hosts,
            newest,
            cause=cause,
            per_host=_per_host(group, policy),
            lb_pool_ref=policy.spec.lb_pool_ref if policy else None,
            now=self._now,
        )
        failed = next((said(command) for command in newest.values() if command.answer == "failed"), "")
        self.states[group.key] = GroupState(cause.commit, found.settled, "" if found.settled else failed)
        return found

    def _cause(self, group: ContainerGroup, policy: ScalingPolicy | None) -> Cause:
        """The newest commit of the group's file."""
        key, path = f"cause:{group.host_pool}/{group.name}", path_for(group.key)
        known = self._house.parsed.get(key)
        owner = policy.id if policy else group.policy
        if not (isinstance(known, tuple) and known[0] == self._head):
            commits, _ = whole_history(self._house, self._head)
            newest = next((commit for commit in reversed(commits) if path in commit.paths), None)
            known = (self._head, newest.sha, newest.trailers) if newest else (self._head, "", None)
            self._house.parsed[key] = known
        _, sha, trailers = known
        if trailers is None:
            return Cause(commit=sha, policy_id=owner)
        return Cause(commit=sha, change_id=trailers.change, policy_id=owner or trailers.policy)


def _per_host(group: ContainerGroup, policy: ScalingPolicy | None) -> int | None:
    """The stricter of what the file and the policy say."""
    limits = (group.max_replicas_per_host, policy.spec.max_replicas_per_host if policy else None)
    return min((limit for limit in limits if limit), default=None)
