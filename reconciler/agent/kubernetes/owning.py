"""Who owns which field of an object, read from its ``metadata.managedFields`` (Kubernetes' fieldsV1), and parts of objects.

Pure. A path is keys from the top, with the items of a list by their ``name``, as everywhere on the wire:
``("spec", "template", "spec", "containers", "server", "resources", "requests", "cpu")``.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from reconciler.model.quantity import parse_quantity

Path = tuple[str, ...]
Json = Mapping[str, Any]

MANAGER: Final = "trimtab"
"""The field manager of everything that a commit of Trimtab's says."""

HANDBACK: Final = "trimtab-handback"
"""The field manager that a person's value is left with, so that it does not fall to a default when Trimtab lets go of it."""

REPLICAS: Final[Path] = ("spec", "replicas")

_MISSING: Final = object()
_IDENTITY = frozenset({"apiVersion", "kind", "metadata"})


def paths_of(manifest: Json) -> frozenset[Path]:
    """The fields that a partial object sets: its leaves, identity aside. Items of lists by name; other lists are one field."""
    return frozenset(
        path for key, value in manifest.items() if key not in _IDENTITY for path in _leaves(value, (str(key),))
    )


def _leaves(value: Any, at: Path) -> Iterable[Path]:
    if isinstance(value, Mapping) and value:
        for key, below in value.items():
            yield from _leaves(below, (*at, str(key)))
    elif _is_named(value):
        for item in value:
            rest = {key: below for key, below in item.items() if key != "name"}
            yield from _leaves(rest, (*at, item["name"])) if rest else ()
    else:
        yield at


def _is_named(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, Mapping) and isinstance(item.get("name"), str) for item in value)
    )


def owned_paths(live: Json, manager: str = MANAGER, *, operation: str = "Apply") -> frozenset[Path]:
    """The leaves that ``manager`` owns in an object as the API server has it."""
    found: set[Path] = set()
    for entry in _managers(live):
        if entry.get("manager") == manager and entry.get("operation") == operation and not entry.get("subresource"):
            found.update(_fields(entry.get("fieldsV1") or {}, ()))
    return frozenset(path for path in found if path[0] not in _IDENTITY)


def owners_of(live: Json, path: Path) -> tuple[str, ...]:
    """The managers that own a field, in the order of the object; one that writes through a subresource as ``name/scale``."""
    return tuple(
        f"{entry.get('manager', '')}/{entry['subresource']}" if entry.get("subresource") else str(entry.get("manager"))
        for entry in _managers(live)
        if path in _fields(entry.get("fieldsV1") or {}, ())
    )


def _managers(live: Json) -> Iterable[Json]:
    return (live.get("metadata") or {}).get("managedFields") or ()


def _fields(fields: Json, at: Path) -> set[Path]:
    """Leaves of fieldsV1: ``f:`` is a key, ``k:`` an item of a list by its keys, ``.`` the thing itself."""
    found: set[Path] = set()
    for key, below in fields.items():
        if key.startswith("f:"):
            step = key[2:]
        elif key.startswith("k:"):
            step = _item_name(key[2:])
            below = {name: value for name, value in below.items() if name not in (".", "f:name")}  # noqa: PLW2901
            if not below:
                continue  # that the item is there, and its name, is no value
        else:
            continue
        found |= _fields(below, (*at, step)) if any(name != "." for name in below) else {(*at, step)}
    return found


def _item_name(keys: str) -> str:
    parsed = json.loads(keys)
    return str(parsed["name"]) if "name" in parsed else keys


def dotted(path: Path) -> str:
    """A path as people read it."""
    return ".".join(path)


def value_at(live: Any, path: Path) -> Any:
    """The value at a path, None when there is none."""
    value = live
    for key in path:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list):
            value = next((item for item in value if isinstance(item, Mapping) and item.get("name") == key), None)
        else:
            return None
    return value


def part_of(live: Json, values: Mapping[Path, Any]) -> dict[str, Any]:
    """A part of an object with ``values``, shaped like ``live``: where that has a list, items are given by name."""
    part: dict[str, Any] = {}
    for path, value in sorted(values.items()):
        _put(part, live, path, value)
    return part


def _put(part: dict[str, Any], live: Any, path: Path, value: Any) -> None:
    key, rest = path[0], path[1:]
    if not rest:
        part[key] = value
        return
    below = live.get(key) if isinstance(live, Mapping) else None
    if isinstance(below, list):
        items = part.setdefault(key, [])
        item = next((one for one in items if one["name"] == rest[0]), None)
        if item is None:
            item = {"name": rest[0]}
            items.append(item)
        _put(item, value_at(below, rest[:1]), rest[1:], value)
    else:
        _put(part.setdefault(key, {}), below, rest, value)


def identity(live: Json) -> dict[str, Any]:
    """An object with nothing but its identity; the uid keeps it from being created."""
    metadata = live["metadata"]
    kept = {name: metadata[name] for name in ("name", "namespace", "uid") if metadata.get(name)}
    return {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": kept}


def holds(live: Any, wanted: Any) -> bool:
    """Whether ``live`` has every value of ``wanted``; what it has beyond that does not count. ``1`` and ``1000m`` are the same."""
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(holds(live.get(key, _MISSING), below) for key, below in wanted.items())
    if isinstance(wanted, list):
        return isinstance(live, list) and _holds_items(live, wanted)
    return same(live, wanted)


def _holds_items(live: list[Any], wanted: list[Any]) -> bool:
    if _is_named(wanted) and _is_named(live):
        return all(holds(value_at(live, (item["name"],)), item) for item in wanted)
    # Kubernetes may sort such a list (an HPA's metrics), so that the order does not count.
    return len(live) == len(wanted) and all(any(holds(one, item) for one in live) for item in wanted)


def same(one: Any, other: Any) -> bool:
    """Whether two values of a field mean the same: equal, or the same quantity."""
    if one == other:
        return True
    if isinstance(one, bool) or isinstance(other, bool):
        return False
    quantity: Callable[[Any], object] = parse_quantity
    try:
        return (
            isinstance(one, str | int | float)
            and isinstance(other, str | int | float)
            and quantity(one) == quantity(other)
        )
    except ValueError:
        return False
