"""What the LimitRanges of a namespace ask of a container, as one value per resource."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reconciler.model.inventory import LimitRangeItem
from reconciler.model.workload import Resource


@dataclass(frozen=True, slots=True)
class Bounds:
    """Millicores or bytes, None where nothing is asked. ``name`` of the LimitRange(s), for a person.

    ``default_limit`` and ``default_request`` are what the API server gives a container that says nothing: an unset
    default limit is the max, an unset default request the default limit, else the min
    (``k8s.io/kubernetes/pkg/apis/core/v1/defaults.go``, ``SetDefaults_LimitRangeItem``). ``ratio`` is the most that limit ÷ request may be.
    """

    name: str = ""
    minimum: int | None = None
    maximum: int | None = None
    default_limit: int | None = None
    default_request: int | None = None
    ratio: float | None = None


def merge_bounds(items: Sequence[LimitRangeItem], resource: Resource) -> Bounds:
    """All items together: each must be met, so the narrowest of each figure counts."""
    each = [_bounds(item, resource) for item in items]
    names = sorted({item.name for item, one in zip(items, each, strict=True) if one != Bounds(name=one.name)})
    ratios = [one.ratio for one in each if one.ratio is not None]
    return Bounds(
        name=", ".join(names),
        minimum=max(_known(one.minimum for one in each), default=None),
        maximum=min(_known(one.maximum for one in each), default=None),
        default_limit=min(_known(one.default_limit for one in each), default=None),
        default_request=min(_known(one.default_request for one in each), default=None),
        ratio=min(ratios, default=None),
    )


def _bounds(item: LimitRangeItem, resource: Resource) -> Bounds:
    minimum, maximum, default, default_request, ratio = (
        (item.min_cpu, item.max_cpu, item.default_cpu, item.default_request_cpu, item.ratio_cpu)
        if resource == "cpu"
        else (item.min_memory, item.max_memory, item.default_memory, item.default_request_memory, item.ratio_memory)
    )
    if item.type != "Container":  # only Container items have defaults
        return Bounds(name=item.name, minimum=minimum, maximum=maximum, ratio=ratio)
    default = _first(default, maximum)
    return Bounds(
        name=item.name,
        minimum=minimum,
        maximum=maximum,
        default_limit=default,
        default_request=_first(default_request, default, minimum),
        ratio=ratio,
    )


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _known(values: Iterable[int | None]) -> list[int]:
    return [value for value in values if value is not None]
