"""Whether our patches still mean their objects alone, as people's objects are now.

Kustomize also goes by the names from before its transformers, so that a copy of a base which a person adds, or takes away,
can change what a patch's ``target`` hits (:func:`~reconciler.manifests.objects_placed.twins`).
"""

import posixpath
from collections.abc import Mapping, MutableMapping

from reconciler.errors import InputError
from reconciler.manifests import machine_files
from reconciler.manifests.component import selectors_of
from reconciler.model.machine_file import MachineFile
from reconciler.model.tree import Tree

_SELECTOR = b"annotationSelector"


def mistargeted(
    tree: Tree,
    overlay: str,
    files: Mapping[str, MachineFile],
    twins: Mapping[str, str],
    cache: MutableMapping[str, object],
) -> tuple[str, ...]:
    """The files of ours, sorted by path, whose targets do not say what tells their objects from their ``twins`` now.

    What nothing tells apart (``""``) is left out: no target helps there. ``cache`` keeps what files say by path and blob id.
    """
    said = _said(tree, overlay, files, cache)
    if not (twins or said):
        return ()
    found = []
    for path, file in sorted(files.items()):
        down = file.form == "turndown"
        asked = [(key, (path, key)) for key in file.values if "|" in key] if down else [(file.target.key, (path, ""))]
        asked = [] if file.form == "hpa" else [(key, at) for key, at in asked if twins.get(key) != ""]
        if any(said.get(at, "") != twins.get(key, "") for key, at in asked):
            found.append(path)
    return tuple(found)


def _said(
    tree: Tree, overlay: str, files: Mapping[str, MachineFile], cache: MutableMapping[str, object]
) -> dict[tuple[str, str], str]:
    """The selectors that stand there, by our file's path and, within a turndown, by the key of the object."""
    lists = (f"{overlay}/{machine_files.GENERATED}", f"{overlay}/{machine_files.HANDOVER}/{machine_files.GENERATED}")
    downs = {path for path, file in files.items() if file.form == "turndown"}
    keys = {path: f"selectors:{path}:{tree.blobs[path]}" for path in (*lists, *sorted(downs)) if path in tree.blobs}
    unread = [path for path, key in keys.items() if key not in cache]
    for path, text in (tree.read_many(unread) if unread else {}).items():
        cache[keys[path]] = _selectors(text, path)
    said: dict[tuple[str, str], str] = {}
    for path, key in keys.items():
        found = cache[key]
        assert isinstance(found, dict)
        folder = posixpath.dirname(path)
        for name, selector in found.items():
            said[(path, name) if path in downs else (f"{folder}/{name}", "")] = selector
    return said


def _selectors(text: bytes, path: str) -> dict[str, str]:
    """A file that is no YAML does not build, and the build says so; most files have no selector, and are not parsed."""
    try:
        found = selectors_of(text, path=path) if _SELECTOR in text else {}
    except InputError:
        return {}
    return {name: selector for name, selector in found.items() if selector}
