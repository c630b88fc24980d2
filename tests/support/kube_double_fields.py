"""Who owns which field: sets of paths, merge, compare, remove, and the two ways to write, apply and update.

Formulas: ``sigs.k8s.io/structured-merge-diff/v4`` (``typed/merge.go``, ``typed/remove.go``, ``typed/tofieldset.go``,
``merge/update.go``). A path is a tuple of ``f:<field>``, ``k:<keys of a list item>`` and ``v:<item of a set>``.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from support.kube_double_types import DEDUCED, Shape

Path = tuple[str, ...]
Paths = frozenset[Path]
NOTHING: Final = object()

_OF_THE_SERVER = [
    "creationTimestamp",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "selfLink",
    "uid",
]
STRIPPED: Final[Paths] = frozenset(
    [("f:apiVersion",), ("f:kind",), ("f:metadata",), *(("f:metadata", f"f:{each}") for each in _OF_THE_SERVER)]
)


class Manager(NamedTuple):
    """Whose entry it is in managedFields."""

    name: str
    operation: str  # Apply | Update
    api_version: str  # "" for Apply: an applier has one entry, whatever version it spoke
    subresource: str = ""


@dataclass(frozen=True)
class Owned:
    paths: Paths
    api_version: str
    time: str


Owners = dict[Manager, Owned]


class Conflicting(Exception):
    """What an apply without force runs into."""

    def __init__(self, conflicts: Mapping[Manager, Paths]) -> None:
        self.conflicts = conflicts
        super().__init__("conflict")


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def _empty(value: Any) -> bool:
    return value is NOTHING or value is None or value in ({}, [])


def _as(shape: Shape, value: Any) -> str:
    """What to treat a value as: map, list or leaf."""
    if shape.atomic or shape.kind == "scalar":
        return "leaf"
    if shape.kind == "deduced":
        return "map" if isinstance(value, dict) else "leaf"
    return shape.kind


def _children(shape: Shape, how: str, value: Any) -> dict[str, tuple[Any, Shape]]:
    if _empty(value):
        return {}
    if how == "list":
        return {shape.element(item): (item, shape.item) for item in value}
    return {f"f:{name}": (inner, shape.field(name) or DEDUCED) for name, inner in value.items()}


def paths_of(value: Any, shape: Shape, at: Path = ()) -> Iterator[Path]:
    """Every leaf and item that a value mentions."""
    how = _as(shape, value)
    if how == "leaf":
        yield at
        return
    for element, (inner, of) in _children(shape, how, value).items():
        yield from paths_of(inner, of, (*at, element))
        named = element.startswith("f:") and shape.names(element[2:])
        if how == "list" or not named or inner is None or inner == {}:
            yield (*at, element)


class Difference(NamedTuple):
    added: Paths
    modified: Paths
    removed: Paths


def compare(old: Any, new: Any, shape: Shape) -> Difference:
    """The paths by which two objects differ."""
    added: set[Path] = set()
    modified: set[Path] = set()
    removed: set[Path] = set()

    def walk(one: Any, other: Any, of: Shape, at: Path) -> None:
        how = _as(of, one if other is NOTHING else other)
        if one is not NOTHING and other is not NOTHING and _as(of, one) != how:
            how = "leaf"
        if how == "leaf" or (_empty(one) and _empty(other)):
            if one is not NOTHING and other is not NOTHING:
                if not _same(one, other):
                    modified.add(at)
                return
        else:
            left, right = _children(of, how, one), _children(of, how, other)
            for element in [*left, *(each for each in right if each not in left)]:
                inner = (left.get(element) or right[element])[1]
                walk(left.get(element, (NOTHING,))[0], right.get(element, (NOTHING,))[0], inner, (*at, element))
        if at and one is NOTHING:
            added.add(at)
        elif at and other is NOTHING:
            removed.add(at)

    walk(old, new, shape, ())
    return Difference(frozenset(added), frozenset(modified), frozenset(removed))


def merge(live: Any, config: Any, shape: Shape) -> Any:
    """``config`` over ``live``; nothing is removed."""
    if config is NOTHING or live is NOTHING:
        return live if config is NOTHING else config
    how = _as(shape, config)
    if how == "leaf" or _as(shape, live) != how or (_empty(live) and _empty(config)):
        return config
    left, right = _children(shape, how, live), _children(shape, how, config)
    order = _interleaved(list(left), list(right)) if how == "list" else left | right
    merged = {
        element: merge(left.get(element, (NOTHING,))[0], right.get(element, (NOTHING,))[0], (left | right)[element][1])
        for element in order
    }
    return list(merged.values()) if how == "list" else {element[2:]: inner for element, inner in merged.items()}


def _interleaved(left: list[str], right: list[str]) -> list[str]:
    """``visitListItems``: in the order of ``right``, with what only ``left`` has where it stood."""
    out: list[str] = []
    shared = [each for each in right if each in left]
    here = there = 0
    while here < len(left) or there < len(right):
        if here < len(left) and there < len(right):
            element = left[here]
            if element == right[there]:
                out.append(element)
                shared = shared[1:]
                here, there = here + 1, there + 1
                continue
            if element in right and shared and shared[0] != element:
                here += 1
                continue
        if here < len(left):
            if left[here] not in right:
                out.append(left[here])
                here += 1
                continue
            if left[here] in out:
                here += 1
        if there < len(right):
            out.append(right[there])
            if shared and shared[0] == right[there]:
                shared = shared[1:]
            there += 1
    return out


def remove(value: Any, paths: Iterable[Path], shape: Shape) -> Any:
    """``value`` without what the paths name."""
    gone: dict[str, list[Path]] = {}
    for path in paths:
        gone.setdefault(path[0], []).append(path[1:])
    how = _as(shape, value)
    if how == "leaf" or _empty(value) or not gone:
        return value
    kept: dict[str, Any] = {}
    for element, (inner, of) in _children(shape, how, value).items():
        below = gone.get(element, [])
        if () in below:
            continue
        kept[element] = remove(inner, below, of) if below else inner
    return list(kept.values()) if how == "list" else {element[2:]: inner for element, inner in kept.items()}


def with_named(paths: Paths, shape: Shape) -> Paths:
    """``EnsureNamedFieldsAreMembers``: also each declared field on the way to a path."""
    found = set(paths)
    for path in paths:
        of = shape
        for depth, element in enumerate(path):
            if element.startswith("f:"):
                if of.names(element[2:]):
                    found.add(path[: depth + 1])
                of = of.field(element[2:]) or DEDUCED
            else:
                of = of.item
    return frozenset(found)


def owned_after(
    old: Any, new: Any, shape: Shape, owners: Owners, by: Manager, force: bool
) -> tuple[Owners, Difference]:
    """``update`` of merge/update.go: others lose what changed under them.

    :raises Conflicting: without force, when they would
    """
    difference = compare(old, new, shape)
    changed = difference.modified | difference.added
    conflicts = {manager: owned.paths & changed for manager, owned in owners.items() if manager != by}
    conflicts = {manager: paths for manager, paths in conflicts.items() if paths}
    if conflicts and not force:
        raise Conflicting(conflicts)
    left: Owners = {}
    for manager, owned in owners.items():
        lost = frozenset() if manager == by else (conflicts.get(manager, frozenset()) | difference.removed)
        if paths := owned.paths - lost:
            left[manager] = Owned(paths, owned.api_version, owned.time)
    return left, difference


def updated(
    live: Any, new: Any, shape: Shape, owners: Owners, by: Manager, *, api_version: str, now: str, ignored: Path
) -> Owners:
    """Ownership after a create, update or patch: whoever changed a field has it."""
    left, difference = owned_after(live, new, shape, owners, by, force=True)
    before = left.get(by)
    had = before.paths if before else frozenset()
    has = (had | difference.modified | difference.added) - difference.removed - STRIPPED
    has = frozenset(path for path in has if path[: len(ignored)] != ignored)
    left.pop(by, None)
    if has:
        left[by] = before if before and before.paths == has else Owned(has, api_version, now)
    return left


def applied(
    live: Any,
    config: Any,
    shape: Shape,
    owners: Owners,
    by: Manager,
    *,
    api_version: str,
    now: str,
    ignored: Path,
    force: bool,
) -> tuple[Any, Owners]:
    """The object and its owners after a server-side apply.

    :raises Conflicting: without force, when others own fields that would change
    """  # fmt: skip
    merged = merge(live, config, shape)
    last = owners.get(by)
    paths = frozenset(
        path for path in paths_of(config, shape) if path not in STRIPPED and path[: len(ignored)] != ignored
    )
    managed = {**owners, by: Owned(paths, api_version, now)}
    if last is not None and last.paths == paths:
        managed[by] = last
    if last is not None and last.paths:
        merged = _pruned(merged, last.paths, managed, shape)
    left, _ = owned_after(live, merged, shape, managed, by, force)
    return merged, left


def _pruned(merged: Any, last: Paths, managed: Owners, shape: Shape) -> Any:
    everything = with_named(frozenset(paths_of(merged, shape)), shape)
    named = with_named(last, shape)
    pruned = remove(merged, named, shape)
    owned = with_named(frozenset(path for each in managed.values() for path in each.paths), shape)
    kept = with_named(frozenset(paths_of(pruned, shape)), shape)
    pruned = remove(merged, everything - (kept | owned), shape)  # addBackOwnedItems
    kept = with_named(frozenset(paths_of(pruned, shape)), shape)
    return remove(merged, (everything - kept) & named, shape)  # addBackDanglingItems


def entries(owners: Owners) -> list[dict[str, Any]]:
    """``metadata.managedFields``."""

    def order(each: tuple[Manager, Owned]) -> tuple[str, ...]:
        return each[0].operation, each[1].time, each[0].name

    return [
        {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": owned.api_version,
            "time": owned.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": _tree(owned.paths),
        }
        | ({"subresource": manager.subresource} if manager.subresource else {})
        for manager, owned in sorted(owners.items(), key=order)
    ]


def owners_in(listed: Iterable[Mapping[str, Any]]) -> Owners:
    """The inverse of :func:`entries`."""
    found: Owners = {}
    for each in listed:
        apply = each["operation"] == "Apply"
        manager = Manager(
            each["manager"], each["operation"], "" if apply else each["apiVersion"], each.get("subresource", "")
        )
        found[manager] = Owned(frozenset(_paths_in(each["fieldsV1"])), each["apiVersion"], each["time"])
    return found


def _tree(paths: Paths) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path in sorted(paths):
        node = root
        for element in path:
            node = node.setdefault(element, {})
    members = set(paths)

    def mark(node: dict[str, Any], at: Path) -> None:
        for element, below in node.items():
            mark(below, (*at, element))
        if node and at in members:
            node["."] = {}

    mark(root, ())
    return json.loads(json.dumps(root, sort_keys=True))  # type: ignore[no-any-return]


def _paths_in(tree: Mapping[str, Any], at: Path = ()) -> Iterator[Path]:
    for element, below in tree.items():
        if element == ".":
            yield at
        elif below:
            yield from _paths_in(below, (*at, element))
        else:
            yield (*at, element)
