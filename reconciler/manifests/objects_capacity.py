"""Manifests that bound or drive the sizes of workloads: HPAs, ScaledObjects, NodePools, ResourceQuotas, LimitRanges."""

from typing import Any

from reconciler.manifests.objects_declared import (
    HpaSpec,
    KeyPath,
    LimitRangeSpec,
    NodePoolSpec,
    Notebook,
    QuotaSpec,
    mapping,
    shown_field,
    texts,
)
from reconciler.manifests.objects_quantities import read_hard, read_quantity, read_sizes
from reconciler.model.inventory import LimitRangeItem
from reconciler.model.quantity import parse_quantity


def read_hpa(value: dict[str, Any], notes: Notebook) -> HpaSpec | None:
    """An HPA of any version: the resources it scales on are those of ``Resource`` and ``ContainerResource`` metrics.

    autoscaling/v1 scales on CPU (at 80 % where no target is written); v2 without metrics likewise.
    """
    spec = mapping(value.get("spec"))
    target = mapping(spec.get("scaleTargetRef"))
    if not isinstance(target.get("kind"), str) or not isinstance(target.get("name"), str):
        notes.problem(("spec", "scaleTargetRef"), "should say kind and name")
        return None
    return HpaSpec(
        target_kind=target["kind"],
        target_name=target["name"],
        max_replicas=_count(spec.get("maxReplicas")),
        metrics=_resource_names(spec.get("metrics")) if spec.get("metrics") else ("cpu",),
    )


def _resource_names(metrics: Any) -> tuple[str, ...]:
    names = set()
    for metric in metrics if isinstance(metrics, list) else ():
        for key in ("resource", "containerResource"):
            name = mapping(mapping(metric).get(key)).get("name")
            if isinstance(name, str):
                names.add(name)
    return tuple(sorted(names))


def read_scaled(value: dict[str, Any], notes: Notebook) -> HpaSpec | None:
    """A KEDA ScaledObject: its target is a Deployment unless it says otherwise; ``cpu`` and ``memory`` are triggers."""
    spec = mapping(value.get("spec"))
    target = mapping(spec.get("scaleTargetRef"))
    if not isinstance(target.get("name"), str):
        notes.problem(("spec", "scaleTargetRef", "name"), "is missing")
        return None
    kind = target.get("kind")
    triggers = spec.get("triggers")
    types = {mapping(t).get("type") for t in triggers} if isinstance(triggers, list) else set()
    return HpaSpec(
        target_kind=kind if isinstance(kind, str) and kind else "Deployment",
        target_name=target["name"],
        max_replicas=_count(spec.get("maxReplicaCount")),
        metrics=tuple(name for name in ("cpu", "memory") if name in types),
    )


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def read_node_pool(value: dict[str, Any], notes: Notebook) -> NodePoolSpec:
    spec = mapping(value.get("spec"))
    cpu, memory = read_sizes(spec.get("limits"), ("spec", "limits"), "spec.limits", notes)
    template = mapping(mapping(spec.get("template")).get("metadata"))
    return NodePoolSpec(cpu, memory, texts(template.get("labels")))


def read_quota(value: dict[str, Any], notes: Notebook) -> QuotaSpec:
    return QuotaSpec(read_hard(mapping(value.get("spec")).get("hard"), ("spec", "hard"), notes))


_BOUNDS = {"min": "min", "max": "max", "default": "default", "defaultRequest": "default_request"}


def read_limit_range(value: dict[str, Any], notes: Notebook) -> LimitRangeSpec:
    """The items that bound containers and pods; those for volumes and images are left out."""
    items = []
    listed = mapping(value.get("spec")).get("limits")
    for index, item in enumerate(listed if isinstance(listed, list) else ()):
        if mapping(item).get("type") in ("Container", "Pod"):
            items.append(_limit_item(item, ("spec", "limits", index), notes))
    return LimitRangeSpec(tuple(items))


def _limit_item(item: dict[str, Any], at: KeyPath, notes: Notebook) -> LimitRangeItem:
    sizes: dict[str, int | None] = {}
    for key, field in _BOUNDS.items():
        cpu, memory = read_sizes(item.get(key), (*at, key), shown_field((*at, key)), notes)
        sizes |= {f"{field}_cpu": cpu, f"{field}_memory": memory}
    ratios = mapping(item.get("maxLimitRequestRatio"))
    place = (*at, "maxLimitRequestRatio")
    return LimitRangeItem(
        namespace="",
        name="",
        type=item["type"],
        min_cpu=sizes["min_cpu"],
        max_cpu=sizes["max_cpu"],
        min_memory=sizes["min_memory"],
        max_memory=sizes["max_memory"],
        default_cpu=sizes["default_cpu"],
        default_memory=sizes["default_memory"],
        default_request_cpu=sizes["default_request_cpu"],
        default_request_memory=sizes["default_request_memory"],
        ratio_cpu=_ratio(ratios, "cpu", place, notes),
        ratio_memory=_ratio(ratios, "memory", place, notes),
    )


def _ratio(ratios: dict[str, Any], resource: str, at: KeyPath, notes: Notebook) -> float | None:
    if resource not in ratios:
        return None
    place = (*at, resource)
    ratio = read_quantity(ratios[resource], parse_quantity, place, shown_field(place), notes)
    return float(ratio) if ratio else None
