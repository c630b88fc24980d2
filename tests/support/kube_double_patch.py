"""JSON merge patch (RFC 7396) and strategic merge patch (``apimachinery/pkg/util/strategicpatch``)."""

from typing import Any

from support.kube_double_types import DEDUCED, Shape


def merge_patched(live: Any, patch: Any) -> Any:
    """RFC 7396: null removes, objects merge, all else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(live) if isinstance(live, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patched(merged.get(name), value)
    return merged


def strategic_patched(live: Any, patch: Any, shape: Shape) -> Any:
    """Merges lists by their merge key where the kind's schema says so; knows ``$patch``, ``$retainKeys`` and
    ``$deleteFromPrimitiveList``."""
    if not isinstance(patch, dict):
        return patch
    how = patch.get("$patch")
    if how == "delete":
        return {}
    merged = dict(live) if isinstance(live, dict) and how != "replace" else {}
    if isinstance(retained := patch.get("$retainKeys"), list):
        merged = {name: value for name, value in merged.items() if name in retained}
    for name, value in patch.items():
        if name.startswith("$deleteFromPrimitiveList/"):
            key = name.partition("/")[2]
            merged[key] = [each for each in merged.get(key, []) if each not in value]
        elif value is None:
            merged.pop(name, None)
        elif not name.startswith("$"):
            merged[name] = _field_patched(merged.get(name), value, shape.field(name) or DEDUCED)
    return merged


def _field_patched(live: Any, value: Any, shape: Shape) -> Any:
    if isinstance(value, dict):
        return strategic_patched(live, value, shape)
    if isinstance(value, list) and "merge" in shape.strategy:
        return _list_patched(list(live or []), value, shape)
    return value


def _list_patched(live: list[Any], patch: list[Any], shape: Shape) -> list[Any]:
    if any(isinstance(each, dict) and each.get("$patch") == "replace" for each in patch):
        return [each for each in patch if each.get("$patch") != "replace"]
    key = shape.merge_key
    if not key:
        return live + [each for each in patch if each not in live]
    order = [each.get(key) for each in live]
    wanted = [each.get(key) for each in patch]
    merged = list(live)
    for each in patch:
        at = next((n for n, one in enumerate(merged) if one.get(key) == each.get(key)), None)
        if each.get("$patch") == "delete":
            merged = [one for one in merged if one.get(key) != each.get(key)]
        elif at is None:
            merged.append(strategic_patched({}, each, shape.item))
        else:
            merged[at] = strategic_patched(merged[at], each, shape.item)
    named = sorted((one for one in merged if one.get(key) in wanted), key=lambda one: wanted.index(one.get(key)))
    return _interleaved([one for one in merged if one.get(key) not in wanted], named, order, key)


def _interleaved(others: list[Any], named: list[Any], order: list[Any], key: str) -> list[Any]:
    """``mergeSortedSlice``: what the patch names comes in the patch's order, and first, but for what stood before it."""
    merged = []
    while others and named:
        first = named[0][key] in order and order.index(others[0][key]) < order.index(named[0][key])
        merged.append((others if first else named).pop(0))
    return merged + others + named
