"""One round of looking at a cluster: one list of each kind, translated page by page while it comes in.

No page is kept: of each object there stays what is pushed of it, and what a :class:`Snapshot` has.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler.agent.kubernetes.cluster import ObjectKey
from reconciler.agent.kubernetes.kills import Kills
from reconciler.agent.kubernetes.kinds import (
    BUDGETS,
    HPAS,
    LIMIT_RANGES,
    NODE_POOLS,
    NODES,
    PODS,
    QUOTAS,
    WORKLOADS,
    Kind,
    Listing,
    Outcome,
)
from reconciler.agent.kubernetes.pods import FINISHED, pod
from reconciler.agent.kubernetes.quantities import plus
from reconciler.agent.kubernetes.requested import NOTHING, Request, requested
from reconciler.agent.kubernetes.snapshot import Snapshot, key_of, trimmed
from reconciler.agent.kubernetes.translating import node, quota, whole, workload
from reconciler.agent.kubernetes.usage import Meter, Usage

Json = dict[str, Any]
Take = Callable[[Json], None]

_SNAPSHOT = frozenset({*WORKLOADS, HPAS[0], QUOTAS, NODE_POOLS})
"""What Trimtab can own fields of."""


@dataclass(frozen=True)
class Observed:
    """``lists`` are what is pushed, by their names on the wire; one that could not be read to its end is not in it."""

    lists: Mapping[str, Sequence[Mapping[str, Any]]]
    snapshot: Snapshot


@dataclass
class _Round:
    """What one round has found so far."""

    lists: dict[str, list[Json]] = field(default_factory=dict)
    objects: dict[ObjectKey, Mapping[str, Any]] = field(default_factory=dict)
    kinds: set[tuple[str, str]] = field(default_factory=set)
    requested: dict[str, Request] = field(default_factory=lambda: defaultdict(lambda: NOTHING))


class Observer:
    """Looks at one cluster, round after round."""

    def __init__(self, listing: Listing, meter: Meter) -> None:
        self._listing, self._meter = listing, meter
        self._kills = Kills()

    def observe(self) -> Observed:
        """Look once.

        :raises RetryLater: when the API server is away
        """
        self._listing.begin()
        found = _Round()
        self._together(found, "workloads", WORKLOADS, lambda kind, item: workload(kind.kind, item))
        self._together(found, "quotas", (QUOTAS,), lambda _, item: quota(item))
        self._together(found, "limitRanges", (LIMIT_RANGES,), lambda _, item: whole(item))
        self._together(found, "hpas", HPAS, lambda _, item: whole(item))
        self._together(found, "pdbs", (BUDGETS,), lambda _, item: whole(item))
        self._together(found, "", (NODE_POOLS,), None)
        usage = self._meter.read()
        seen = self._pods(found, usage)
        if seen != "failed":
            self._nodes(found, usage)
        self._listing.end()
        return Observed(found.lists, Snapshot(found.objects, frozenset(found.kinds)))

    def _together(
        self, found: _Round, name: str, kinds: Sequence[Kind], translate: Callable[[Kind, Json], Json] | None
    ) -> None:
        """Kinds that make up one list: it is only complete with all of them that can be had."""
        items: list[Json] = []
        outcomes: set[Outcome] = set()
        for kind in kinds:

            def take(item: Json, kind: Kind = kind) -> None:
                if translate is not None:
                    items.append(translate(kind, item))
                if kind in _SNAPSHOT:
                    key = key_of(kind.api_version, kind.kind, item)
                    found.objects[key] = trimmed(kind.api_version, kind.kind, item)

            outcome = self._listing.each(kind, take)
            outcomes.add(outcome)
            if outcome == "listed" and kind in _SNAPSHOT:
                found.kinds.add((kind.api_version, kind.kind))
        if name and "failed" not in outcomes and "listed" in outcomes:
            found.lists[name] = items

    def _pods(self, found: _Round, usage: Usage) -> Outcome:
        """Before nodes: what pods request is what nodes have given away."""
        known = {(one["kind"], one["namespace"], one["name"]): one["uid"] for one in found.lists.get("workloads", ())}
        items: list[Json] = []

        def take(item: Json) -> None:
            one = pod(item, known, usage, self._kills)
            items.append(one)
            if one.get("node") and one["phase"] not in FINISHED:
                found.requested[one["node"]] = plus(found.requested[one["node"]], requested(item))

        outcome = self._listing.each(PODS, take)
        if outcome == "listed":
            self._kills.forget_others()
            found.lists["pods"] = items
        return outcome

    def _nodes(self, found: _Round, usage: Usage) -> None:
        items: list[Json] = []

        def take(item: Json) -> None:
            name = item["metadata"]["name"]
            items.append(node(item, found.requested[name], usage.nodes.get(name)))

        if self._listing.each(NODES, take) == "listed":
            found.lists["nodes"] = items
