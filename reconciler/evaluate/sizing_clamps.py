"""What the cluster allows: limits that keep their ratio, LimitRanges, the largest node. Each clamp is said.

LimitRange rules: ``k8s.io/kubernetes/plugin/pkg/admission/limitranger/admission.go``.
"""

from dataclasses import dataclass, field
from fractions import Fraction

from reconciler.evaluate.sizing_base import Demand
from reconciler.evaluate.sizing_bounds import Bounds
from reconciler.evaluate.sizing_current import Current
from reconciler.evaluate.sizing_units import down, spell, up
from reconciler.model.workload import Resource


@dataclass(slots=True)
class Fitted:
    """A request and limit in millicores or bytes; ``notes`` say what moved them."""

    request: int
    limit: int | None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the LimitRanges ask, what the largest node has (None = not known), and whether limits keep their ratio."""

    bounds: Bounds
    node: int | None = None
    keep_ratio: bool = True


def fit(wanted: Demand, current: Current, allowed: Allowed, resource: Resource) -> Fitted:
    """The request that the cluster accepts, and the limit that goes with it.

    Where a LimitRange's minimum is above the largest node, the node wins (such a pod would never be scheduled). The memory
    limit never goes below the highest use seen, unless a LimitRange forbids it.
    """
    fitted, bounds = Fitted(wanted.request, None), allowed.bounds
    ceiling = _ceiling(current, bounds, allowed.node, resource)
    _raise_to_minimum(fitted, current, bounds, resource)
    _lower_to(ceiling, fitted, resource)
    if current.own_limit is not None:
        fitted.limit = _limit(fitted, wanted, current, allowed, resource)
        needed = min(up("memory", wanted.highest), fitted.limit) if resource == "memory" else 0
        _keep_ratio(fitted, bounds, needed, ceiling, resource)
    return fitted


def kept_ratio(request: int, own_request: int | None, own_limit: int, resource: Resource) -> int:
    """request × own limit ÷ own request, rounded up to 1m or 1 MiB (VPA keeps the ratio as well).

    Where people have no request above zero to make a ratio of, their limit stays.
    """
    scaled = -(-request * own_limit // own_request) if own_request else own_limit
    return up(resource, scaled)


Ceiling = tuple[int, str] | None
"""The highest request that is accepted, and whose rule it is."""


def _ceiling(current: Current, bounds: Bounds, node: int | None, resource: Resource) -> Ceiling:
    found: list[tuple[int, str]] = []
    if bounds.maximum is not None:
        found.append((_whole(bounds.maximum, bounds, resource), f"the maximum of LimitRange {bounds.name}"))
    if current.own_limit is None and bounds.default_limit is not None and bounds.default_limit != bounds.maximum:
        rule = f"the default limit of LimitRange {bounds.name}, as the container has no limit of its own"
        found.append((_whole(bounds.default_limit, bounds, resource), rule))
    if node is not None:
        found.append((down(resource, node), "what the largest node has"))
    return min(found, key=lambda one: one[0], default=None)


def _whole(value: int, bounds: Bounds, resource: Resource) -> int:
    """``value`` in whole steps, or as it is where whole steps would fall below the LimitRange's minimum."""
    lowered = down(resource, value)
    return value if bounds.minimum is not None and lowered < bounds.minimum <= value else lowered


def _raise_to_minimum(fitted: Fitted, current: Current, bounds: Bounds, resource: Resource) -> None:
    least = up(resource, bounds.minimum) if bounds.minimum is not None else 0
    rule = f"the minimum of LimitRange {bounds.name}"
    if current.own_limit is None and bounds.default_limit is not None and bounds.ratio:
        by_ratio = up(resource, _ceil(Fraction(bounds.default_limit) / Fraction(bounds.ratio)))
        if by_ratio > least:
            least = by_ratio
            rule = f"what the default limit allows at maxLimitRequestRatio {bounds.ratio:g} of LimitRange {bounds.name}"
    if fitted.request < least:
        fitted.request = least
        fitted.notes.append(f"raised to {spell(resource, least)}, {rule}")


def _lower_to(ceiling: Ceiling, fitted: Fitted, resource: Resource) -> None:
    if ceiling is not None and fitted.request > ceiling[0]:
        fitted.request = ceiling[0]
        fitted.notes.append(f"reduced to {spell(resource, ceiling[0])}, {ceiling[1]}")


def _limit(fitted: Fitted, wanted: Demand, current: Current, allowed: Allowed, resource: Resource) -> int:
    """The people's ratio (or, where it need not be kept, their limit), not below the request, nor for memory below the
    highest use; not above a LimitRange's maximum."""
    assert current.own_limit is not None
    limit, bounds = current.own_limit, allowed.bounds
    if allowed.keep_ratio:
        limit = kept_ratio(fitted.request, current.own_request, current.own_limit, resource)
    elif limit < fitted.request:
        fitted.notes.append(f"limit raised to {spell(resource, fitted.request)}, which is requested")
    limit = max(limit, fitted.request)
    if resource == "memory" and limit < wanted.highest:
        limit = up("memory", wanted.highest)
        fitted.notes.append(f"limit kept at {spell('memory', limit)}, the highest use seen")
    if bounds.minimum is not None:
        limit = max(limit, up(resource, bounds.minimum))
    if bounds.maximum is not None and limit > _whole(bounds.maximum, bounds, resource):
        limit = max(_whole(bounds.maximum, bounds, resource), fitted.request)
        fitted.notes.append(f"limit reduced to {spell(resource, limit)}, the maximum of LimitRange {bounds.name}")
    return limit


def _keep_ratio(fitted: Fitted, bounds: Bounds, needed: int, ceiling: Ceiling, resource: Resource) -> None:
    """maxLimitRequestRatio: the limit comes down, or, where it may not fall below ``needed``, the request goes up."""
    if bounds.ratio is None or fitted.limit is None or fitted.limit <= fitted.request * Fraction(bounds.ratio):
        return
    ratio = Fraction(bounds.ratio)
    rule = f"maxLimitRequestRatio {bounds.ratio:g} of LimitRange {bounds.name}"
    if fitted.request * ratio < needed:
        raised = up(resource, _ceil(needed / ratio))
        fitted.request = max(fitted.request, raised if ceiling is None else min(raised, ceiling[0]))
        fitted.notes.append(f"raised to {spell(resource, fitted.request)} for {rule}")
    allowed = down(resource, int(fitted.request * ratio))
    fitted.limit = max(min(fitted.limit, allowed), fitted.request)
    fitted.notes.append(f"limit {spell(resource, fitted.limit)} for {rule}")


def _ceil(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)
