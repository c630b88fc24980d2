"""Docker: from the number of containers that a group's file says to one number for each host, and commands that say so.

Pure. Level-triggered: what hosts are taken to run is held against what the file says, again at every call, so that it does
not matter what was missed. What runs stays where it is: only what is missing is started, on the host with the fewest, and
only what is too many is stopped, on the host with the most.
"""

import hashlib
import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.model.agent import COMMAND_LIFETIME, Command, DockerScale
from reconciler.model.container_group import ContainerGroup, Host

CONFIRMED = COMMAND_LIFETIME
"""For so long after an agent said that it has done what it was told, its pushes do not count against it: they may be older."""

RETRY = timedelta(minutes=10)
"""When a host that has failed is told the same again."""


@dataclass(frozen=True)
class Placement:
    """How many containers each host is to run, by agent id; and how many have no place."""

    shares: Mapping[str, int]
    unplaced: int = 0


@dataclass(frozen=True)
class Cause:
    """On whose behalf: the newest commit of the group's file, with the change and policy that it belongs to (empty = a person's)."""

    commit: str
    change_id: str = ""
    policy_id: str = ""


@dataclass(frozen=True)
class Orders:
    """What to tell the hosts of a group now.

    ``settled``: every host is known to run its share, and all have a place. ``due``: when to look again at the latest,
    though nothing has changed; None = no need to.
    """

    commands: tuple[Command, ...]
    unplaced: int
    settled: bool
    due: datetime | None


def place(replicas: int, running: Mapping[str, int], per_host: int | None = None) -> Placement:
    """Shares of ``replicas`` among the hosts, by agent id, from what each is ``running``; at most ``per_host`` on one."""
    shares = {agent: count if per_host is None else min(count, per_host) for agent, count in running.items()}
    total = sum(shares.values())
    fullest = [(-count, agent) for agent, count in shares.items()]
    heapq.heapify(fullest)
    while total > replicas:
        count, agent = heapq.heappop(fullest)
        shares[agent] += -1
        total -= 1
        heapq.heappush(fullest, (count + 1, agent))
    emptiest = [(count, agent) for agent, count in shares.items() if per_host is None or count < per_host]
    heapq.heapify(emptiest)
    while total < replicas and emptiest:
        count, agent = heapq.heappop(emptiest)
        shares[agent] += 1
        total += 1
        if per_host is None or count + 1 < per_host:
            heapq.heappush(emptiest, (count + 1, agent))
    return Placement(shares, replicas - total)


def orders(
    group: ContainerGroup,
    hosts: Sequence[Host],
    newest: Mapping[str, Command],
    *,
    cause: Cause,
    per_host: int | None,
    lb_pool_ref: str | None,
    now: datetime,
) -> Orders:
    """Hold what connected hosts are taken to run against the file.

    ``newest``: the newest command about this group by agent id. A host that has not pushed yet is told nothing, as nobody
    knows what it runs. A command's id is made of what it says and of the one before it, so that the same look at the same
    state issues it once.
    """
    known = [host for host in hosts if host.connected(now) and host.pushed_at is not None]
    believed = {host.agent_id: _believed(host, group, newest.get(host.agent_id), now) for host in known}
    placed = place(group.replicas, believed, per_host)
    commands: list[Command] = []
    due: list[datetime] = []
    for host in known:
        last, share = newest.get(host.agent_id), placed.shares[host.agent_id]
        if share == believed[host.agent_id]:
            due += [last.expires_at] if last is not None and _waits(last, now) else []
            continue
        if (again := _after_failure(last, share)) is not None and now < again:
            due.append(again)
            continue
        command = _command(group, host, last, share, believed[host.agent_id], cause, lb_pool_ref, now)
        commands.append(command)
        due.append(command.expires_at)
    return Orders(
        tuple(commands), placed.unplaced, bool(known) and not (due or placed.unplaced), min(due, default=None)
    )


def _waits(command: Command, now: datetime) -> bool:
    return not command.answer and now < command.expires_at


def _believed(host: Host, group: ContainerGroup, last: Command | None, now: datetime) -> int:
    """What a host runs, as far as one can know: what it is told right now or has confirmed lately, else what it pushed."""
    observed = len(host.running(group.key))
    if last is None:
        return observed
    if _waits(last, now):
        return last.payload.replicas
    if last.answer == "succeeded" and last.answered_at is not None:
        assert host.pushed_at is not None
        if host.pushed_at <= last.answered_at + CONFIRMED:
            return last.payload.replicas
    return observed


def _after_failure(last: Command | None, share: int) -> datetime | None:
    """When a host that failed to run ``share`` containers is told so again; None when it has not."""
    if last is None or last.answer != "failed" or last.answered_at is None or last.payload.replicas != share:
        return None
    return last.answered_at + RETRY


def _command(
    group: ContainerGroup,
    host: Host,
    last: Command | None,
    share: int,
    believed: int,
    cause: Cause,
    lb_pool_ref: str | None,
    now: datetime,
) -> Command:
    before = len(host.running(group.key)) if last is not None and _waits(last, now) else believed
    payload = DockerScale(
        host_pool=group.host_pool,
        group=group.name,
        replicas=share,
        from_replicas=before,
        lb_pool_ref=group.lb_pool_ref or lb_pool_ref,
    )
    parts = (host.agent_id, group.host_pool, group.name, str(share), cause.commit, last.id if last else "")
    return Command(
        id=f"cmd_{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:26]}",
        agent_id=host.agent_id,
        policy_id=cause.policy_id,
        change_id=cause.change_id,
        payload=payload,
        issued_at=now,
        expires_at=now + COMMAND_LIFETIME,
    )
