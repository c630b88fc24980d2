"""Whether a change is to blame for what happened after it (DESIGN §7, last point). Pure.

Only a container that the change made smaller is looked at: a request or limit of CPU or memory that went down, or a limit
where there was none. What happened to it since the change is compared with what happened in the same length of time before,
``guard.observe`` at least: only more than that speaks against the change. OOM kills count where memory got smaller, throttling where the CPU limit did,
and restarts that were no OOM kills, three at least of one container, where either did.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.manifests.machine_files import live_namespace_of
from reconciler.model.change import Change, Decision, ValueEdit
from reconciler.model.guard import Incident, Sized
from reconciler.model.quantity import parse_quantity
from reconciler.model.workload import Bound, WorkloadKey

CRASHES = 3
"""Restarts of one container, OOM kills apart, that are a crash loop."""

_PLACE = re.compile(
    r"(?:^|/)(?:containers|initContainers)/(?P<container>[^/]+)/(?:resources/)?(?P<bound>requests|limits)/(?P<resource>cpu|memory)$"
)
_FORMS = frozenset({"requests", "source"})
_SINGULAR: dict[Bound, str] = {"requests": "request", "limits": "limit"}
_NAMES = {"cpu": "CPU", "memory": "memory"}

Stands = Callable[[ValueEdit], bool]
"""Whether a value still is what the change wrote."""


@dataclass(frozen=True)
class Span:
    """From when a change was in force, and until when it is looked at. ``least``: for how long before it is compared with,
    however short it has been in force: what happens twice an hour happens within the first minute, too."""

    begins: datetime
    ends: datetime
    least: timedelta = timedelta()

    @property
    def length(self) -> timedelta:
        """Of the time before that it is compared with."""
        return max(self.ends - self.begins, self.least)


@dataclass(frozen=True)
class _Watched:
    """A container that a change made smaller, and what happened to it after the change and before."""

    workload: WorkloadKey
    container: str
    sized: tuple[Sized, ...]
    after: tuple[Incident, ...]
    before: tuple[Incident, ...]
    span: Span

    @property
    def name(self) -> str:
        return f"{self.workload.namespace}/{self.workload.name} {self.container}"


def smaller_of(change: Change) -> tuple[Sized, ...]:
    """The values by which a change has made containers smaller, in the order of its edits."""
    return tuple(sized for decision in change.decisions for sized in _of_decision(decision))


def evidence(
    sized: Sequence[Sized],
    span: Span,
    *,
    before: Sequence[Incident],
    after: Sequence[Incident],
    revert_on: Collection[str],
    stands: Stands,
) -> str:
    """Why the change is to be reverted, in words for people; empty when there is nothing against it.

    ``before`` and ``after``: the incidents of its containers that were known when ``span`` began, and those that came
    later; counted are those within it, and in ``span.length`` before it. ``stands``: a value that somebody has
    changed since is not to blame any more.
    """
    standing = [one for one in sized if stands(one.edit)]
    earlier = [one for one in before if span.begins - span.length <= one.at <= span.begins]
    later = [one for one in after if span.begins <= one.at <= span.ends]
    known = [_with_incidents(key, members, earlier, later, span) for key, members in _by_container(standing).items()]
    found = [why for watched in known if (why := _against(watched, revert_on))]
    if not found:
        return ""
    return found[0] if len(found) == 1 else f"{found[0]}; and {len(found) - 1} more like it"


def _of_decision(decision: Decision) -> Iterator[Sized]:
    proposal = decision.proposal
    if proposal.kind != "requests":
        return
    for edit in proposal.edits:
        place = _PLACE.search(edit.field) if edit.form in _FORMS else None
        if place is None:
            continue
        namespace = edit.target.namespace or proposal.namespace
        if edit.form == "requests":
            namespace = live_namespace_of(edit.path)
        key = WorkloadKey(cluster=proposal.cluster, namespace=namespace, kind=edit.target.kind, name=edit.target.name)
        sized = Sized.model_validate({**place.groupdict(), "workload": key, "edit": edit})
        if _is_smaller(sized):
            yield sized


def _is_smaller(sized: Sized) -> bool:
    """A limit where there was none is smaller; a request where there was none only makes room."""
    old, new = _old(sized), sized.edit.new
    if new is None:
        return False
    if old is None:
        return sized.bound == "limits"
    try:
        return parse_quantity(new) < parse_quantity(old)
    except ValueError:
        return False


def _old(sized: Sized) -> str | None:
    return sized.edit.old if sized.edit.old is not None else sized.edit.was


def _by_container(sized: Iterable[Sized]) -> dict[tuple[WorkloadKey, str], list[Sized]]:
    found: dict[tuple[WorkloadKey, str], list[Sized]] = {}
    for one in sized:
        found.setdefault((one.workload, one.container), []).append(one)
    return found


def _with_incidents(
    key: tuple[WorkloadKey, str],
    sized: Sequence[Sized],
    before: Sequence[Incident],
    after: Sequence[Incident],
    span: Span,
) -> _Watched:
    mine = [tuple(one for one in some if (one.workload, one.container) == key) for some in (before, after)]
    return _Watched(*key, sized=tuple(sized), before=mine[0], after=mine[1], span=span)


def _against(watched: _Watched, revert_on: Collection[str]) -> str:
    """The first of what speaks against a change, worst first."""
    for cause, look in (("oomKill", _oom_kills), ("crashLoop", _crashes), ("throttling", _throttling)):
        if cause in revert_on and (why := look(watched)):
            return why
    return ""


def _oom_kills(watched: _Watched) -> str:
    after, before = (sum(one.oom_kills for one in some) for some in (watched.after, watched.before))
    if after <= before:
        return ""
    killed = [one for one in watched.after if one.oom_kills]
    earlier = _earlier(before, watched.span)
    return _said(f"{_counted(after, 'OOM kill')} of {watched.name}", killed, earlier, _of(watched, "memory"))


def _crashes(watched: _Watched) -> str:
    by_pod: Counter[str] = Counter()
    for one in watched.after:
        by_pod[one.pod] += _crashed(one)
    after, before = (sum(map(_crashed, some)) for some in (watched.after, watched.before))
    if max(by_pod.values(), default=0) < CRASHES or after <= before:
        return ""
    crashed = [one for one in watched.after if _crashed(one)]
    earlier = _earlier(before, watched.span)
    return _said(f"{_counted(after, 'restart')} of {watched.name}", crashed, earlier, watched.sized)


def _throttling(watched: _Watched) -> str:
    limits = [one for one in _of(watched, "cpu") if one.bound == "limits"]
    after, before = (sum(one.throttled for one in some) for some in (watched.after, watched.before))
    if not limits or after <= before:
        return ""
    throttled = [one for one in watched.after if one.throttled]
    return _said(f"{watched.name} was throttled again and again", throttled, "", limits)


def _crashed(incident: Incident) -> int:
    return max(incident.restarts - incident.oom_kills, 0)


def _of(watched: _Watched, resource: str) -> list[Sized]:
    return [one for one in watched.sized if one.resource == resource]


def _earlier(before: int, span: Span) -> str:
    """`` (2 in the 30 minutes before)``; empty for none."""
    minutes = max(1, round(span.length / timedelta(minutes=1)))
    return f" ({before} in the {_counted(minutes, 'minute')} before)" if before else ""


def _said(what: str, incidents: Sequence[Incident], earlier: str, sized: Sequence[Sized]) -> str:
    """``3 OOM kills of prod/web server between 10:02 and 10:09 UTC, after its memory limit went 1Gi → 400Mi``; empty where
    nothing that could be to blame got smaller."""
    if not sized:
        return ""
    return f"{what} {_when(incidents[0].at, incidents[-1].at)}{earlier}, after its {_sizes(sized)}"


def _sizes(sized: Sequence[Sized]) -> str:
    """The limit where there is one, as that is what a container runs into."""
    one = next((one for one in sized if one.bound == "limits"), sized[0])
    name, old = f"{_NAMES[one.resource]} {_SINGULAR[one.bound]}", _old(one)
    return f"{name} went {old} → {one.edit.new}" if old is not None else f"{name} was set to {one.edit.new}"


def _when(first: datetime, last: datetime) -> str:
    if last - first < timedelta(minutes=1):
        return f"at {first:%H:%M} UTC"
    if first.date() == last.date():
        return f"between {first:%H:%M} and {last:%H:%M} UTC"
    return f"between {first:%Y-%m-%d %H:%M} and {last:%Y-%m-%d %H:%M} UTC"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
