"""Which fleet repo has which clusters, host pools and LXC nodes: what two of them declare belongs to the one that was given first.

What is observed of a cluster is stored by its name. Two fleet repos with one cluster would decide on each other's data, so
the later one is not kept at all until a person has taken the cluster out of one of the two.
"""

import json
from collections.abc import Callable, Sequence
from threading import Lock

import structlog

from reconciler.model.fleet import Fleet
from reconciler.steward import Claimed
from reconciler.store.marks import MarkStore

DECLARES = "declares"
"""The mark that says what a fleet repo declared when it was last read: that stands also while its remote is away."""

log = structlog.get_logger(__name__)


class Claims:
    """What each fleet repo of this server declares, by its place in the order in which they were given.

    ``lost`` is called with the place of a fleet repo that has just lost something to an earlier one. Safe from any thread.
    """

    def __init__(
        self, urls: Sequence[str], marks: MarkStore, lost: Callable[[int], None] = lambda _place: None
    ) -> None:
        self._urls, self._marks, self._lost, self._lock = urls, marks, lost, Lock()
        kept = (marks.get(url, DECLARES) for url in urls)
        self._declared = [frozenset[str](json.loads(known)) if known else frozenset[str]() for known in kept]

    def admit(self, place: int, fleet: Fleet) -> None:
        """Note what the fleet repo at ``place`` declares now.

        :raises Claimed: when an earlier one has some of it. Nothing of the other one is told: it may be somebody else's.
        """
        mine = _declared(fleet)
        with self._lock:
            changed = self._declared[place] != mine
            self._declared[place] = mine
            others = [(other, mine & theirs) for other, theirs in enumerate(self._declared) if other != place]
        if changed:
            self._marks.set(self._urls[place], DECLARES, json.dumps(sorted(mine)))
        shared = [(other, both) for other, both in others if both]
        for other, both in shared:
            if other < place:
                _refuse(place, other, sorted(both))
            if changed:
                self._lost(other)


def _refuse(place: int, other: int, both: list[str]) -> None:
    words = ", ".join(both)
    log.error("declared twice", what=words, fleet_number=place + 1, kept_fleet_number=other + 1)
    raise Claimed(
        f"{words} is declared by two fleet repos of this server",
        hint="take it out of one of the two, or serve them apart; until then this one, which was given later, is not kept",
    )


def _declared(fleet: Fleet) -> frozenset[str]:
    names = {f"the cluster {name}" for cluster in fleet.clusters for name in (cluster.name, cluster.id) if name}
    names |= {f"the host pool {pool.name}" for pool in fleet.host_pools}
    return frozenset(names | {f"the LXC node {node.name}" for node in fleet.lxc_nodes})
