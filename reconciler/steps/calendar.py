"""The calendar of every window of a fleet: what `trimtab windows` and GET /api/v1/windows show."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from reconciler.gate.windows import combined_spans, is_open, next_closing, next_opening, warn_short
from reconciler.model.state import FleetState
from reconciler.model.window import Window, Windows
from reconciler.report.calendar import Calendar, NextShown, shown, span_shown
from reconciler.steps.house import House
from reconciler.steps.scene import read_fleet_of
from reconciler.steps.view import View

PASS_INTERVAL = 90.0
"""Seconds from the beginning of one pass to that of the next, at most: a minute's pause, and what a pass takes. A window
that is shorter may be missed by every pass; one of a single minute is."""

_ALL = "all"


@dataclass(frozen=True)
class Owned:
    """The windows of the fleet, a cluster, a policy or an action, and the names of the clusters that they are about
    (None = all of the fleet's)."""

    windows: Windows
    clusters: frozenset[str] | None

    @property
    def declared(self) -> bool:
        return bool(self.windows.maintenance or self.windows.exclusion)


@dataclass(frozen=True)
class Owners:
    """Every owner of windows in one fleet repo, under the fleet's name as it is stored."""

    fleet: str
    owned: tuple[Owned, ...]

    def within(self, clusters: Collection[str] | None) -> "Owners":
        """Those that are about one of ``clusters`` (None = all)."""
        if clusters is None:
            return self
        wanted = frozenset(clusters)
        return Owners(self.fleet, tuple(o for o in self.owned if o.clusters is None or o.clusters & wanted))


def owners_at_head(house: House) -> Owners:
    """What the head of the branch declares now, with the policies and action configs made through the API.

    :raises Stalled: when trimtab.yaml cannot be used.
    """
    tree = house.repository.tree(house.repository.fetch())
    return owners_of(house.name, read_fleet_of(house, View(tree)))


def owners_of(fleet: str, state: FleetState) -> Owners:
    """The fleet, its clusters, policies and actions, as far as they declare windows."""
    names = {known: c.name for c in state.fleet.clusters for known in (c.id, c.name) if known}
    owned = [Owned(state.fleet.windows, None)]
    owned += [Owned(cluster.windows, frozenset({cluster.name})) for cluster in state.fleet.clusters]
    owned += [Owned(p.windows, _named([p.spec.cluster] if p.spec.cluster else [], names)) for p in state.policies]
    owned += [Owned(action.windows, _named(action.clusters, names)) for action in state.actions]
    return Owners(fleet, tuple(one for one in owned if one.declared))


def _named(clusters: Collection[str], names: dict[str, str]) -> frozenset[str] | None:
    return frozenset(names.get(name, name) for name in clusters) if clusters and _ALL not in clusters else None


def calendar(fleets: Iterable[Owners], start: datetime, end: datetime, now: datetime) -> Calendar:
    """Every window's stretches within ``[start, end)``, and each window's next opening and closing after ``now``."""
    spans, windows = [], []
    for owners in fleets:
        owned = [one.windows for one in owners.owned]
        spans += [span_shown(span, owners.fleet) for span in combined_spans(owned, start, end)]
        for one in owned:
            windows += [_next(owners.fleet, "maintenance", window, now) for window in one.maintenance]
            windows += [_next(owners.fleet, "exclusion", window, now) for window in one.exclusion]
    spans.sort(key=lambda span: (span.start, span.end, span.kind))
    return Calendar(start=start, end=end, spans=tuple(spans), windows=tuple(windows))


def _next(fleet: str, kind: str, window: Window, now: datetime) -> NextShown:
    return NextShown.model_validate(
        {
            **shown(window),
            "fleet": fleet,
            "kind": kind,
            "open": is_open(window, now),
            "opens": next_opening(window, now),
            "closes": next_closing(window, now),
            "warning": warn_short(window, PASS_INTERVAL),
        }
    )
