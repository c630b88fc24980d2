"""What people's own manifests say where Trimtab's overlay has a value: what an agent hands back before it lets a field go.

Pure. Only fields of capacity are told: an agent's token opens no other part of the fleet repo.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from reconciler.actuate.desired import CLUSTER_SCOPED
from reconciler.model.fleet import Root

Path = tuple[str, ...]
"""Keys from the top of an object; an item of a list by its ``name``."""

Values = Mapping[Path, Any]
"""The capacity values of one object, as JSON."""

_SWITCHES = frozenset({"replicas", "suspend"})
_BOUNDS = frozenset({"requests", "limits"})


class BaseKey(NamedTuple):
    """An object by group, kind, namespace in the cluster (empty where its kind has none) and name."""

    group: str
    kind: str
    namespace: str
    name: str


class Asked(NamedTuple):
    """Fields of one object that are to be let go."""

    api_version: str
    kind: str
    namespace: str
    name: str
    paths: tuple[Path, ...]

    @property
    def key(self) -> BaseKey:
        return BaseKey(self.api_version.rpartition("/")[0], self.kind, self.namespace, self.name)


class Told(NamedTuple):
    """What the manifests say of them. ``found``: whether the object is there at all; ``values`` holds those that are set."""

    asked: Asked
    found: bool
    values: Values


def is_capacity(path: Path) -> bool:
    """Whether a path holds what Trimtab may write: ``spec/replicas``, ``spec/suspend``, ``…/resources/requests/cpu``,
    ``spec/hard/pods``, ``spec/limits/cpu``."""
    if len(path) < 2 or path[0] != "spec" or not all(path):
        return False
    if len(path) == 2:
        return path[1] in _SWITCHES
    if len(path) == 3 and path[1] in ("hard", "limits"):
        return True
    return len(path) > 3 and path[-3] == "resources" and path[-2] in _BOUNDS


def base_values(built: Iterable[Mapping[str, Any]], root: Root) -> dict[BaseKey, Values]:
    """The capacity values of every object that a root builds to without our component, by where it is in the cluster.

    An object without a namespace is where the root puts those, or of a kind that has none: it is found under both.
    """
    found: dict[BaseKey, Values] = {}
    for one in built:
        kind, metadata = str(one.get("kind", "")), one.get("metadata") or {}
        group = str(one.get("apiVersion", "")).rpartition("/")[0]
        namespace = "" if kind in CLUSTER_SCOPED else str(metadata.get("namespace") or "")
        values = dict(_capacity(one.get("spec"), ("spec",)))
        for place in {namespace, namespace or root.namespace}:
            found.setdefault(BaseKey(group, kind, place, str(metadata.get("name", ""))), values)
    return found


def told(asked: Asked, known: Values | None) -> Told:
    """The values of the fields that were asked for, out of those of their object (None = there is no such object)."""
    values = {path: known[path] for path in asked.paths if known is not None and path in known}
    return Told(asked, known is not None, values)


def _capacity(value: Any, at: Path) -> Iterator[tuple[Path, Any]]:
    for key, item in _items(value):
        path = (*at, key)
        if isinstance(item, Mapping | list):
            yield from _capacity(item, path)
        elif item is not None and is_capacity(path):
            yield path, item


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((str(key), item) for key, item in value.items())
    elif isinstance(value, list):
        yield from ((item["name"], item) for item in value if isinstance(item, Mapping) and "name" in item)
