"""What a size has to fit in, as kube-state-metrics tells it: nodes, LimitRanges, ResourceQuotas, HPAs."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from reconciler.model.inventory import LimitRangeItem, PersonHpa, Quota
from reconciler.model.quantity import canonical
from reconciler.model.workload import RESOURCES, ObjectRef
from reconciler.observe import prometheus_questions as questions
from reconciler.observe.prometheus import Point
from reconciler.observe.prometheus_scan import Scan
from reconciler.observe.prometheus_workloads import SEEN_IN, whole

_BOUNDS = {"min": "min", "max": "max", "default": "default", "defaultRequest": "default_request"}


@dataclass(frozen=True)
class Around:
    """``largest_node``: millicores and bytes, each of the node that has most of it; None where no node is known."""

    largest_node: tuple[int, int] | None
    limit_ranges: tuple[LimitRangeItem, ...]
    quotas: tuple[Quota, ...]
    hpas: tuple[PersonHpa, ...]


def around(scan: Scan) -> Around:
    """What surrounds the workloads of a cluster; what is not exported is not known."""
    return Around(
        _largest_node(scan.answers[questions.NODES]),
        _limit_ranges(scan.answers[questions.LIMIT_RANGES]),
        _quotas(scan.answers[questions.QUOTAS]),
        _hpas(scan.answers[questions.HPAS], scan.answers[questions.HPA_METRICS]),
    )


def _largest_node(points: list[Point]) -> tuple[int, int] | None:
    most = {
        resource: max((p.value for p in points if p.labels.get("resource") == resource and _sane(p)), default=0.0)
        for resource in RESOURCES
    }
    if not all(most.values()):
        return None
    return whole(most["cpu"], "cpu"), whole(most["memory"], "memory")


def _limit_ranges(points: list[Point]) -> tuple[LimitRangeItem, ...]:
    items: dict[tuple[str, str, str], dict[str, int | float]] = defaultdict(dict)
    for point in points:
        labels, constraint = point.labels, point.labels.get("constraint", "")
        for resource in RESOURCES:
            if labels.get("resource") != resource or not _sane(point):
                continue
            item = items[labels.get("namespace", ""), labels.get("limitrange", ""), labels.get("type", "")]
            if constraint == "maxLimitRequestRatio":
                item[f"ratio_{resource}"] = point.value
            elif constraint in _BOUNDS:
                item[f"{_BOUNDS[constraint]}_{resource}"] = whole(point.value, resource)
    return tuple(
        LimitRangeItem.model_validate({"namespace": namespace, "name": name, "type": kind, **item})
        for (namespace, name, kind), item in sorted(items.items())
        if kind in ("Container", "Pod")
    )


def _quotas(points: list[Point]) -> tuple[Quota, ...]:
    hard: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for point in points:
        if _sane(point):
            key = point.labels.get("namespace", ""), point.labels.get("resourcequota", "")
            hard[key][point.labels.get("resource", "")] = canonical(str(round(Decimal(point.value), 3)))
    return tuple(
        Quota(
            namespace=namespace,
            name=name,
            ref=ObjectRef(api_version="v1", kind="ResourceQuota", name=name, namespace=namespace),
            hard=dict(sorted(found.items())),
            source=SEEN_IN,
        )
        for (namespace, name), found in sorted(hard.items())
    )


def _hpas(points: list[Point], metrics: list[Point]) -> tuple[PersonHpa, ...]:
    resources: Mapping[tuple[str, str], set[str]] = defaultdict(set)
    for point in metrics:
        if point.labels.get("metric_name") in RESOURCES:
            resources[_hpa(point)].add(point.labels["metric_name"])
    return tuple(
        PersonHpa(
            kind="HorizontalPodAutoscaler",
            namespace=point.labels.get("namespace", ""),
            name=point.labels.get("horizontalpodautoscaler", ""),
            target_kind=point.labels.get("scaletargetref_kind", ""),
            target_name=point.labels.get("scaletargetref_name", ""),
            metrics=tuple(sorted(resources[_hpa(point)])),
            source=SEEN_IN,
        )
        for point in sorted(points, key=_hpa)
    )


def _hpa(point: Point) -> tuple[str, str]:
    return point.labels.get("namespace", ""), point.labels.get("horizontalpodautoscaler", "")


def _sane(point: Point) -> bool:
    return 0 <= point.value < 2**53
