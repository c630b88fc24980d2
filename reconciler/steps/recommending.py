"""Report: what a pass recommends, kept for the Recommendations API from the first proposal to its end.

A recommendation is *pending* until its change lands (*applied*), a person or a rollback refuses it (*dismissed*), or it is
not recommended any more (*archived*). At most one of a workload is open; what is proposed after its end has another id.
"""

import hashlib
import itertools
import uuid
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple

from reconciler.evaluate import recommended
from reconciler.evaluate.recommended import Group, Refused
from reconciler.model.action import SizingParameters
from reconciler.model.change import Change, ValueEdit
from reconciler.model.recommendation import ContainerSizes, RecommendationStatus, WorkloadRecommendation
from reconciler.report.recommendation_words import words
from reconciler.steps.deciding import Worked
from reconciler.steps.house import House
from reconciler.steps.scene import Scene
from reconciler.store.recommendations import OpenOne, Place

_LIFECYCLES = uuid.UUID("7d0b4c7e-5b7a-4b1d-8d7e-2f6f0a9c3e51")
"""Namespace of the ids of recommendations: the same workload and number of earlier ones give the same id."""

_NOT_SHOWN = ("updated_at", "analyzed_at", "change_id")
"""Fields whose change alone does not make a recommendation another one."""

_FORM = 2
"""Raised whenever the same recommendation would be stored or worded differently."""

_DAY = 86_400

KEPT = timedelta(days=365)
"""How long what was applied or archived is kept after that."""

Site = tuple[str, str]
"""A workload as edits name it: its root, and its identity where the component runs."""

Edits = Mapping[Site, Sequence[ValueEdit]]


def keep_recommendations(house: House, worked: Worked) -> None:
    """Bring the stored recommendations up to date with a pass that has landed what it could; writes only what changed.

    What only moves with the figures behind it (average use, samples) is written anew once a day, at an instant of each
    workload's own: ten thousand at once would hold a pass up.
    """
    store, now = house.stores.recommendations, worked.scene.now
    opened = store.opened(house.name)
    rows = _taken_back(store.reverted(house.name), opened, now)
    facts = _Facts(house.name, worked.scene, *_landings(house, worked, opened))
    cases = list(_cases(facts, recommended.by_workload(worked.recommendations), opened))
    known = store.of_ids(case.open.id for case in cases if case.open is not None) | rows
    earlier = store.lifecycles(house.name, [case.place for case in cases if case.open is None])
    digests: dict[str, str] = {}
    for case in cases:
        row = _brought_up(facts, case, known, earlier)
        rows[row.id] = row
        digests[row.id] = case.digest
    if rows:
        store.save(tuple(rows.values()), digests=digests)
        store.forget(house.name, now - KEPT)


def _taken_back(
    reverted: Sequence[WorkloadRecommendation], opened: dict[Place, OpenOne], now: datetime
) -> dict[str, WorkloadRecommendation]:
    """What was applied and has been reverted since: dismissed, or archived where something newer is open. ``opened``: with them."""
    rows = {}
    for row in reversed(reverted):
        place = (row.cluster, row.namespace, row.kind, row.name)
        status: RecommendationStatus = "archived" if place in opened else "dismissed"
        rows[row.id] = _ended(row, status, now)
        opened.setdefault(place, OpenOne(row.id, status, row.change_id, ""))
    return rows


def _landings(
    house: House, worked: Worked, opened: Mapping[Place, OpenOne]
) -> tuple[Edits, Mapping[str, Edits], Mapping[Site, str]]:
    """What has landed in this pass; by change, what landed before it and was not noted yet; and the change of each workload."""
    in_hand = (*worked.ready, *worked.held)
    asked = {one.change_id for one in opened.values() if one.status == "pending"} - {"", *(c.id for c in in_hand)}
    before = {}
    for change_id in house.stores.recommendations.landed(asked) if asked else ():
        change = house.stores.changes.find(change_id)
        before[change_id] = _edits([change] if change is not None else [])
    changes: dict[Site, str] = {}
    for change in in_hand:
        for site in _edits([change]):
            changes.setdefault(site, change.id)
    return _edits(change for change in worked.ready if change.commit), before, changes


def _edits(changes: Iterable[Change]) -> Edits:
    found: dict[Site, list[ValueEdit]] = {}
    for change in changes:
        for proposal in (decision.proposal for decision in change.decisions):
            if proposal.kind == "requests":
                for edit in proposal.edits:
                    found.setdefault((proposal.root, edit.target.key), []).append(edit)
    return found


@dataclass(frozen=True)
class _Facts:
    """What a pass knows beside the recommendations of containers. ``fleet``: the key of the fleet repo."""

    fleet: str
    scene: Scene
    landed: Edits
    landed_before: Mapping[str, Edits]
    changes: Mapping[Site, str]

    @cached_property
    def parameters(self) -> Mapping[str, SizingParameters]:
        """By id of the action config that gives them; empty = the fleet's own."""
        given = {action.id: action.sizing for action in self.scene.state.actions}
        return given | {"": self.scene.state.fleet.rightsizing}

    def sized_by(self, action_id: str) -> SizingParameters:
        return self.parameters.get(action_id, self.scene.state.fleet.rightsizing)

    @cached_property
    def refused(self) -> Refused:
        return recommended.refusals_by_field(self.scene.refusals)

    @cached_property
    def unreadable(self) -> frozenset[str]:
        """Clusters of which a root could not be read: what is missing in them may still be there."""
        roots = self.scene.roots.values()
        return frozenset(r.cluster.name for r in roots if any(p.blocks_root for p in r.state.inventory.problems))

    @cached_property
    def uids(self) -> Mapping[Place, str]:
        """As last observed."""
        return {
            (cluster, one.namespace, one.kind, one.name): one.uid
            for cluster, observation in self.scene.observations.items()
            for one in observation.workloads
            if one.uid
        }

    @cached_property
    def cluster_ids(self) -> Mapping[str, str]:
        fleet = self.scene.state.fleet
        return {cluster.name: fleet.cluster_id(cluster.name) for cluster in fleet.clusters}

    @cached_property
    def second(self) -> int:
        return int(self.scene.now.timestamp())

    @cached_property
    def common(self) -> str:
        """A digest of what all recommendations have in common."""
        fleet = self.scene.state.fleet
        sized = sorted((action_id, repr(params)) for action_id, params in self.parameters.items())
        parts = (_FORM, fleet.name, repr(fleet.pricing), sized)
        return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()

    def day_of(self, place: Place) -> int:
        """The number of the workload's day, which begins at a second of its own."""
        return (self.second + zlib.crc32("|".join(place).encode()) % _DAY) // _DAY

    def written(self, group: Group, change_id: str) -> Sequence[ValueEdit]:
        """What has landed about a workload: in this pass, or in the change that its recommendation waited for."""
        if not self.landed and not self.landed_before:
            return ()
        site = site_of(group)
        return self.landed.get(site) or self.landed_before.get(change_id, {}).get(site, ())


def site_of(group: Group) -> Site:
    return group[0].workload.root, group[0].workload.ref.key


class _Case(NamedTuple):
    """A workload whose stored recommendation is to change: ``group`` empty = the workload is gone."""

    place: Place
    group: Group
    open: OpenOne | None
    edits: Sequence[ValueEdit]
    digest: str


def _cases(facts: _Facts, groups: Mapping[Place, Group], opened: Mapping[Place, OpenOne]) -> Iterator[_Case]:
    left = dict(opened)
    for place, group in groups.items():
        if case := _case(facts, place, group, left.pop(place, None)):
            yield case
    for place, one in left.items():
        if place[0] not in facts.unreadable:
            yield _Case(place, (), one, (), "")


def _case(facts: _Facts, place: Place, group: Group, one: OpenOne | None) -> _Case | None:
    """None when nothing is to be written about the workload."""
    worth = recommended.is_worth_it(group)
    if not worth and one is None:
        return None
    edits = facts.written(group, one.change_id if one else "")
    if not worth and not edits and one is not None and one.status == "dismissed":
        root = facts.scene.roots[group[0].workload.root].root
        if recommended.is_refused(group, root, facts.refused):
            return None
    digest = _digest(facts, place, group) if worth and not edits else ""
    if digest and one is not None and (one.status, one.digest) == ("pending", digest):
        return None
    return _Case(place, group, one, edits, digest)


def _digest(facts: _Facts, place: Place, group: Group) -> str:
    change = facts.changes.get(site_of(group)) if facts.changes else None
    beside = (facts.common, facts.cluster_ids.get(place[0]), facts.uids.get(place), change)
    return recommended.digest_of(group, *beside, facts.day_of(place))


def _brought_up(
    facts: _Facts, case: _Case, known: Mapping[str, WorkloadRecommendation], earlier: Mapping[Place, set[str]]
) -> WorkloadRecommendation:
    """The recommendation as it is after this pass."""
    now = facts.scene.now
    stored = known[case.open.id] if case.open is not None else None
    fresh = _proposed(facts, case, stored, earlier) if recommended.is_worth_it(case.group) else None
    if case.edits:
        # What landed before this pass was recommended as it is stored; what is recommended now comes on top of it.
        row = fresh if fresh is not None and site_of(case.group) in facts.landed else stored or fresh
        assert row is not None, "what has landed was recommended"
        sizes = recommended.written_sizes(case.group[0].workload.ref, case.edits, row.recommended)
        return _ended(row, "applied", now, sizes)
    if fresh is not None:
        return _as_of(fresh, stored)
    assert stored is not None, "what is not recommended has been"
    return _ending(facts, case, stored)


def _ending(facts: _Facts, case: _Case, row: WorkloadRecommendation) -> WorkloadRecommendation:
    """What becomes of an open recommendation that is not recommended any more."""
    now, group = facts.scene.now, case.group
    if group and row.status == "pending":
        moved = recommended.moved_sizes(row.current, row.recommended)
        if recommended.is_in_force(group, moved):
            return _ended(row, "applied", now, moved)
        root = facts.scene.roots[group[0].workload.root].root
        if recommended.is_refused(group, root, facts.refused, moved):
            return _ended(row, "dismissed", now)
    return _ended(row, "archived", now)


def _ended(
    row: WorkloadRecommendation,
    status: RecommendationStatus,
    now: datetime,
    applied: tuple[ContainerSizes, ...] = (),
) -> WorkloadRecommendation:
    return row.model_copy(update={"status": status, "applied": applied, "updated_at": now})


def _proposed(
    facts: _Facts, case: _Case, stored: WorkloadRecommendation | None, earlier: Mapping[Place, set[str]]
) -> WorkloadRecommendation:
    """A workload's recommendation as of now, under the id of the open one where there is one."""
    fleet, group, now = facts.scene.state.fleet, case.group, facts.scene.now
    cluster, namespace, kind, name = case.place
    saving = recommended.hourly_saving(group)
    told = words(
        group,
        facts.parameters,
        saving_monthly=recommended.monthly_saving(group),
        currency=fleet.pricing.currency,
    )
    return WorkloadRecommendation(
        id=stored.id if stored else _new_id(facts.fleet, case.place, earlier.get(case.place, ())),
        organization=fleet.name,
        fleet=facts.fleet,
        cluster=cluster,
        cluster_id=facts.cluster_ids.get(cluster, ""),
        namespace=namespace,
        kind=kind,
        name=name,
        uid=facts.uids.get(case.place, ""),
        risk=recommended.worst_risk(group),
        priority=recommended.priority_of(saving),
        title=told.title,
        description=told.description,
        cause=told.cause,
        samples=recommended.samples_of(group),
        current=recommended.current_sizes(group),
        recommended=recommended.recommended_sizes(group),
        hourly_cost=recommended.hourly_cost(group, fleet.pricing),
        saving_hourly=saving,
        currency=fleet.pricing.currency,
        replicas=group[0].replicas,
        restarts=sum(one.restarts for one in group),
        oom_kills=sum(one.oom_kills for one in group),
        change_id=facts.changes.get(site_of(group), ""),
        created_at=stored.created_at if stored else now,
        updated_at=now,
        analyzed_at=now,
        window_seconds=max(facts.sized_by(one.action_id).window_seconds for one in group if one.changes),
    )


def _new_id(fleet: str, place: Place, earlier: Collection[str]) -> str:
    """By the number of earlier ones, and on from there: of those, the oldest may be forgotten."""
    numbered = (uuid.uuid5(_LIFECYCLES, "|".join((fleet, *place, str(n)))) for n in itertools.count(len(earlier)))
    return next(one for one in map(str, numbered) if one not in earlier)


def _as_of(fresh: WorkloadRecommendation, stored: WorkloadRecommendation | None) -> WorkloadRecommendation:
    """The fresh one; ``updated_at`` stays where people would see no difference."""
    if stored is None or fresh.model_copy(update={name: getattr(stored, name) for name in _NOT_SHOWN}) != stored:
        return fresh
    return fresh.model_copy(update={"updated_at": stored.updated_at})
