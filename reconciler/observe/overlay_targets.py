"""Whether our patches still mean their objects alone, and their containers, as people's manifests are now.

Kustomize also goes by the names from before its transformers, so that a copy of a base which a person adds, or takes away,
can change what a patch's ``target`` hits (:func:`~reconciler.manifests.objects_placed.twins`). A JSON 6902 patch goes by
the places of containers in their lists, and a strategic merge patch brings them into its own order.
"""

import posixpath
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TypeVar

from reconciler.errors import InputError
from reconciler.manifests import machine_files
from reconciler.manifests.component import is_json6902, selectors_of
from reconciler.manifests.container_order import is_out_of_order, standing_of
from reconciler.manifests.container_places import is_misplaced, places_in, places_of
from reconciler.model.inventory import Inventory
from reconciler.model.machine_file import MachineFile
from reconciler.model.tree import Tree
from reconciler.model.workload import Workload

Cache = MutableMapping[str, object]
T = TypeVar("T")

_SELECTOR = b"annotationSelector"


def mistargeted(
    tree: Tree, overlay: str, files: Mapping[str, MachineFile], inventory: Inventory, cache: Cache
) -> tuple[str, ...]:
    """The files of ours, sorted by path, whose targets do not say what tells their objects from their twins now, or
    that were written for other places of containers.

    What nothing tells apart (``""``) is left out: no target helps there. ``cache`` keeps what files say by path and blob id.
    """
    texts = _Texts(tree, cache)
    sized = _sized(files, inventory)
    found = {*_with_other_selectors(texts, overlay, files, inventory.twins), *_misplaced(texts, files, sized)}
    return tuple(sorted(found.union(_out_of_order(files, sized))))


@dataclass(frozen=True)
class _Texts:
    """Files of the tree as ``say`` reads them, each content once."""

    tree: Tree
    cache: Cache

    def said(
        self, what: str, paths: Iterable[str], say: Callable[[bytes, str], Mapping[str, T]]
    ) -> dict[str, Mapping[str, T]]:
        """By path, what ``say`` makes of each file that is there."""
        keys = {path: f"{what}:{path}:{self.tree.blobs[path]}" for path in paths if path in self.tree.blobs}
        unread = [path for path, key in keys.items() if key not in self.cache]
        for path, text in (self.tree.read_many(unread) if unread else {}).items():
            try:
                self.cache[keys[path]] = say(text, path)
            except InputError:
                self.cache[keys[path]] = {}  # what is no YAML does not build, and the build says so
        return {path: known for path, key in keys.items() if isinstance(known := self.cache[key], Mapping)}


def _with_other_selectors(
    texts: _Texts, overlay: str, files: Mapping[str, MachineFile], twins: Mapping[str, str]
) -> list[str]:
    said = _selectors(texts, overlay, [path for path, file in files.items() if file.form == "turndown"])
    if not (twins or said):
        return []
    found = []
    for path, file in files.items():
        down = file.form == "turndown"
        asked = [(key, (path, key)) for key in file.values if "|" in key] if down else [(file.target.key, (path, ""))]
        asked = [] if file.form == "hpa" else [(key, at) for key, at in asked if twins.get(key) != ""]
        if any(said.get(at, "") != twins.get(key, "") for key, at in asked):
            found.append(path)
    return found


def _selectors(texts: _Texts, overlay: str, downs: list[str]) -> dict[tuple[str, str], str]:
    """The selectors that stand there, by our file's path and, within a turndown, by the key of the object."""

    def say(text: bytes, path: str) -> Mapping[str, str]:
        # Most files have no selector, and are not parsed.
        found = selectors_of(text, path=path) if _SELECTOR in text else {}
        return {name: selector for name, selector in found.items() if selector}

    lists = [f"{overlay}/{machine_files.GENERATED}", f"{overlay}/{machine_files.HANDOVER}/{machine_files.GENERATED}"]
    said: dict[tuple[str, str], str] = {}
    for path, selectors in texts.said("selectors", [*lists, *downs], say).items():
        for name, selector in selectors.items():
            said[(path, name) if path in downs else (f"{posixpath.dirname(path)}/{name}", "")] = selector
    return said


def _sized(files: Mapping[str, MachineFile], inventory: Inventory) -> dict[str, Workload]:
    """By path of a file that sizes containers, the workload whose they are."""
    sizing = {path: file.target for path, file in files.items() if file.form == "requests"}
    if not sizing:
        return {}
    workloads = {(w.ref.group, w.ref.kind, w.ref.namespace, w.ref.name): w for w in inventory.workloads}
    found = {path: workloads.get((to.group, to.kind, to.namespace, to.name)) for path, to in sizing.items()}
    return {path: workload for path, workload in found.items() if workload is not None}


def _misplaced(texts: _Texts, files: Mapping[str, MachineFile], sized: Mapping[str, Workload]) -> list[str]:
    patches = {path: workload for path, workload in sized.items() if is_json6902(files[path])}
    if not patches:
        return []
    places = texts.said("places", patches, lambda text, path: places_in(text, path=path))
    return [path for path, workload in patches.items() if is_misplaced(files[path], places[path], places_of(workload))]


def _out_of_order(files: Mapping[str, MachineFile], sized: Mapping[str, Workload]) -> list[str]:
    """Only of workloads of several containers, or that had several: no other can be in an order."""
    several = {
        p: w for p, w in sized.items() if (len(w.containers) > 1 or files[p].order) and not is_json6902(files[p])
    }
    return [path for path, workload in several.items() if is_out_of_order(files[path], standing_of(workload))]
