"""A workload's recommendation in words: what to do, what it brings, and which figures are behind it."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from reconciler.model.action import Algorithm, SizingParameters
from reconciler.model.quantity import GIB, MIB, format_cpu, format_memory
from reconciler.model.recommendation import ContainerRecommendation
from reconciler.model.workload import RESOURCES, Resource
from reconciler.report.money import money
from reconciler.report.passes import counted

_LABEL: dict[Resource, str] = {"cpu": "CPU", "memory": "memory"}
_IMMUTABLE = {
    "Job": "A Job cannot be changed once it exists: put the new values into its manifest before it runs again.",
    "Pod": "A bare Pod cannot be changed in place: put the new values into its manifest and create it anew.",
}
_AT_TIMES = ("Job", "CronJob")
_MOST_NOTES = 4
_UNCOVERED = "No action config covers it, so it is not written by itself: add one, or edit the manifest."


class Words(NamedTuple):
    title: str
    description: str
    cause: str


class Move(NamedTuple):
    """One resource over all containers that would change: sums in millicores or bytes a pod, None where nothing is set.

    ``limits_only``: the requests stay and only limits move.
    """

    resource: Resource
    containers: tuple[ContainerRecommendation, ...]
    old: int | None
    new: int

    @property
    def limits_only(self) -> bool:
        return self.old == self.new

    @property
    def verb(self) -> str:
        if self.old is None:
            return "set"
        if self.limits_only:
            return "adjust"
        return "reduce" if self.new < self.old else "raise"

    @property
    def noun(self) -> str:
        noun = "limit" if self.limits_only else "request"
        return noun if len(self.containers) == 1 else f"{noun}s"


def words(
    group: Sequence[ContainerRecommendation],
    parameters: Mapping[str, SizingParameters],
    *,
    saving_monthly: Decimal,
    currency: str,
) -> Words:
    """What a person reads about one workload.

    ``group``: all its containers, at least one of which would change. ``parameters``: those that each container was sized
    by, by the id of its action config (empty = the fleet's).
    """
    moves = [move for resource in RESOURCES if (move := _move(group, resource))]
    return Words(
        title=_title(moves, group[0].workload.key.name),
        description=_description(group, moves, saving_monthly, currency),
        cause=_cause(group, moves, parameters),
    )


def _move(group: Sequence[ContainerRecommendation], resource: Resource) -> Move | None:
    every = tuple(one for one in group if resource in one.changes)
    # The requests of init containers do not add to those that the pod has while it runs.
    changed = tuple(one for one in every if not _is_init(one)) or every
    if not changed:
        return None
    olds = [one.current.request(resource) for one in changed]
    return Move(
        resource=resource,
        containers=changed,
        old=None if all(old is None for old in olds) else sum(old or 0 for old in olds),
        new=sum(one.recommended.request(resource) or 0 for one in changed),
    )


def _is_init(one: ContainerRecommendation) -> bool:
    container = one.workload.container(one.container)
    return container is not None and container.role == "init"


def _title(moves: Sequence[Move], name: str) -> str:
    """``Reduce CPU and raise memory requests on cart-service``."""
    if len(moves) == 1:
        only = moves[0]
        return f"{only.verb.capitalize()} {_LABEL[only.resource]} {only.noun} on {name}"
    cpu, memory = moves
    first = cpu.verb.capitalize()
    if cpu.limits_only != memory.limits_only:
        return f"{first} CPU {cpu.noun} and {memory.verb} memory {memory.noun} on {name}"
    second = "" if cpu.verb == memory.verb else f"{memory.verb} "
    return f"{first} CPU and {second}memory {'limits' if cpu.limits_only else 'requests'} on {name}"


# --- description ----------------------------------------------------------------------------------------------------


def _description(
    group: Sequence[ContainerRecommendation], moves: Sequence[Move], saving: Decimal, currency: str
) -> str:
    key = group[0].workload.key
    said = [_utilization(group, moves), _change(moves, _counted_as(group), saving, currency), _limits(group)]
    said += _noted(group)
    if key.kind in _IMMUTABLE:
        said.append(_IMMUTABLE[key.kind])
    elif not any(one.action_id for one in group if one.changes):
        said.append(_UNCOVERED)
    return " ".join(sentence for sentence in said if sentence)


def _utilization(group: Sequence[ContainerRecommendation], moves: Sequence[Move]) -> str:
    """How much of what it requests is used on average; init containers are left out, as they run only at the start."""
    workload = group[0].workload
    shares = []
    for resource in RESOURCES:
        used, asked = 0.0, 0
        for one in group:
            summary, request = one.usage.get(resource), one.current.request(resource)
            if summary is not None and request and not _is_init(one):
                used += summary.average * (1000 if resource == "cpu" else 1)
                asked += request
        if asked:
            shares.append(f"{_percent(used / asked)} of the {_LABEL[resource]}")
    if not shares:
        return ""
    span = _span(one for move in moves for one in move.containers)
    return f"Over the last {span}, {workload.key.name} used on average {' and '.join(shares)} that it requests."


def _percent(share: float) -> str:
    return f"{share * 100:.0f}%" if share >= 0.01 or share == 0 else "less than 1%"


def _counted_as(group: Sequence[ContainerRecommendation]) -> str:
    """How many pods the saving is for. What runs at times only saves less than one pod that runs all the time."""
    if group[0].workload.key.kind in _AT_TIMES:
        return ", counted as one pod that runs all the time"
    return f" with {counted(group[0].replicas, 'replica')}"


def _change(moves: Sequence[Move], counted_as: str, saving: Decimal, currency: str) -> str:
    asked = [_asked(move) for move in moves if not move.limits_only]
    adjusted = [_LABEL[move.resource] for move in moves if move.limits_only]
    parts = []
    if asked:
        parts.append(f"requesting {' and '.join(asked)}{_where(moves)}")
    if adjusted:
        parts.append(f"adjusting the limit of {' and '.join(adjusted)}")
    sentence = " and ".join(parts)
    return f"{sentence[:1].upper()}{sentence[1:]} {_effect(saving, currency)}{counted_as}."


def _limits(group: Sequence[ContainerRecommendation]) -> str:
    """What becomes of limits where the request beside them changes; with several, just that they change."""
    moved = [
        (resource, old, new)
        for resource in RESOURCES
        for one in group
        if resource in one.changes and one.current.request(resource) != one.recommended.request(resource)
        if (old := one.current.limit(resource)) != (new := one.recommended.limit(resource))
    ]
    if len({resource for resource, _, _ in moved}) < len(moved):
        return "The limits change as well."
    parts = [f"the {_LABEL[resource]} limit {_limit_move(resource, old, new)}" for resource, old, new in moved]
    return f"With that, {' and '.join(parts)}." if parts else ""


def _limit_move(resource: Resource, old: int | None, new: int | None) -> str:
    if new is None:
        return "goes away"
    became = f"becomes {_quantity(resource, new)}"
    return f"{became} instead of {_quantity(resource, old)}" if old is not None else became


def _noted(group: Sequence[ContainerRecommendation]) -> list[str]:
    """What beside usage moved a value or speaks against it: ``Memory of proxy: raised to 64Mi, the minimum of …``."""
    by_note: dict[tuple[Resource, str], list[str]] = {}
    for one in group:
        for resource, notes in one.notes.items():
            by_note.setdefault((resource, "; ".join(notes)), []).append(one.container)
    several = len(group[0].workload.containers) > 1
    said = []
    for (resource, note), names in by_note.items():
        of = f" of {' and '.join(names)}" if several else ""
        said.append(f"{_LABEL[resource][0].upper()}{_LABEL[resource][1:]}{of}: {note}.")
    left = len(said) - _MOST_NOTES
    return said if left <= 0 else [*said[:_MOST_NOTES], f"{counted(left, 'more note')} of this kind."]


def _where(moves: Sequence[Move]) -> str:
    """Nothing where the pod has just one container."""
    changed = {one.container for move in moves for one in move.containers}
    if len(changed) > 1:
        return " in each pod"
    return f" for {changed.pop()}" if len(moves[0].containers[0].workload.containers) > 1 else ""


def _asked(move: Move) -> str:
    label = _LABEL[move.resource]
    if move.old is None:
        return f"{_quantity(move.resource, move.new)} {label} (none is requested today)"
    return f"{_quantity(move.resource, move.new)} {label} instead of {_quantity(move.resource, move.old)}"


def _quantity(resource: Resource, value: int) -> str:
    return format_cpu(value) if resource == "cpu" else format_memory(value)


def _effect(saving: Decimal, currency: str) -> str:
    if abs(saving) < Decimal("0.005"):
        return "costs the same"
    if saving > 0:
        return f"saves {money(saving, currency)} a month"
    return f"costs {money(-saving, currency)} a month more"


# --- cause ----------------------------------------------------------------------------------------------------------


def _cause(
    group: Sequence[ContainerRecommendation], moves: Sequence[Move], parameters: Mapping[str, SizingParameters]
) -> str:
    several = len(group) > 1
    named = {move.resource: _mover(move) for move in moves}
    said = [_figure(move, named[move.resource], parameters, several=several) for move in moves]
    said += [_kills(one, several=several) for one in group if one.oom_kills]
    others = {one.container for one in group if one.changes} - {one.container for one in named.values()}
    if others:
        said.append(f"{counted(len(others), 'other container')} would change too.")
    return " ".join(said)


def _mover(move: Move) -> ContainerRecommendation:
    """The container whose request moves most."""
    return max(move.containers, key=lambda one: abs(_moved(one, move.resource)))


def _moved(one: ContainerRecommendation, resource: Resource) -> int:
    return (one.recommended.request(resource) or 0) - (one.current.request(resource) or 0)


def _figure(
    move: Move, one: ContainerRecommendation, parameters: Mapping[str, SizingParameters], *, several: bool
) -> str:
    """The figure that the request was computed from, beside the request."""
    resource, of = move.resource, f" of {one.container}" if several else ""
    figure = f"{_statistic(one, parameters, resource)}{of} over {_span([one])} is {_use(one, parameters, resource)}"
    request = one.current.request(resource)
    if request is None:
        return f"No {_LABEL[resource]} request is set{f' on {one.container}' if several else ''}. {figure}."
    return f"{figure} against a request of {_amount(resource, request)}."


_STATISTIC: dict[Algorithm, str] = {
    "max": "Peak {label}",
    "quantile": "P{q} {label}",
    "quantileOfAverages": "P{q} of average {label}",
    "quantileOfMaxes": "P{q} of peak {label}",
}


def _statistic(one: ContainerRecommendation, parameters: Mapping[str, SizingParameters], resource: Resource) -> str:
    algorithm, quantile = _algorithm(one, parameters, resource)
    return _STATISTIC[algorithm].format(label=_LABEL[resource], q=f"{quantile * 100:g}")


def _algorithm(
    one: ContainerRecommendation, parameters: Mapping[str, SizingParameters], resource: Resource
) -> tuple[Algorithm, float]:
    known = parameters.get(one.action_id) or SizingParameters()
    if resource == "cpu":
        return known.algorithm_cpu, known.quantile_cpu
    return known.algorithm_ram, known.quantile_ram


def _use(one: ContainerRecommendation, parameters: Mapping[str, SizingParameters], resource: Resource) -> str:
    summary = one.usage.get(resource)
    if summary is None:
        return "not known"
    algorithm, _ = _algorithm(one, parameters, resource)
    value = summary.base.get(algorithm, summary.maximum)
    return _amount(resource, value * 1000 if resource == "cpu" else value)


def _amount(resource: Resource, value: float) -> str:
    """Millicores or bytes for a person: ``0.42 cores``, ``1 core``, ``3 millicores``, ``212 MiB``, ``2.1 GiB``."""
    if resource == "memory":
        return f"{_three(value / GIB)} GiB" if value >= GIB else f"{_three(value / MIB)} MiB"
    if 0 < value < 10:
        return _counted(f"{value:.2g}" if value >= 0.1 else "less than 0.1", "millicore")
    return _counted(_three(value / 1000), "core")


def _three(figure: float) -> str:
    """Three digits that matter, and never an exponent."""
    if 0 < figure < 0.01:
        return "less than 0.01"
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def _counted(figure: str, noun: str) -> str:
    return f"{figure} {noun}" if figure == "1" else f"{figure} {noun}s"


def _kills(one: ContainerRecommendation, *, several: bool) -> str:
    of = f" of {one.container}" if several else ""
    return f"{counted(one.oom_kills, 'OOM kill')}{of} in that time."


def _span(containers: Iterable[ContainerRecommendation]) -> str:
    """How long the history is that was looked at: ``14 days``, under two days ``36 hours``."""
    days = max((summary.days for one in containers for summary in one.usage.values()), default=0.0)
    return counted(round(days), "day") if days >= 2 else counted(max(round(days * 24), 1), "hour")
