"""Which files of a tree belong to a root, found without looking at every path of the tree."""

import posixpath
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock

from reconciler.errors import InputError
from reconciler.manifests.kustomization import NAMES, parse_kustomization
from reconciler.manifests.objects_walk import is_inside
from reconciler.model.fleet import Root
from reconciler.model.tree import Tree

_KEPT = 4
_sorted: "OrderedDict[int, tuple[Mapping[str, str], list[str]]]" = OrderedDict()
"""Sorted paths of the trees looked at last, by the identity of their ``blobs`` (which is held, so that it stays its own)."""
_lock = Lock()


def root_directory(root: Root) -> str:
    """The root's path as the tree spells it: "" for the top of the repo, no trailing slash."""
    path = posixpath.normpath(root.path or ".")
    return "" if path == "." else path


def overlay_directory(root: Root) -> str:
    """Where Trimtab's component of the root is."""
    return posixpath.join(root_directory(root), "trimtab")


def files_below(tree: Tree, directory: str) -> Sequence[str]:
    """The paths of all files below a directory, sorted."""
    paths = _sorted_paths(tree.blobs)
    if not directory:
        return paths
    # "0" is the character after "/": everything below a directory stands between the two.
    first = bisect_left(paths, directory + "/")
    return paths[first : bisect_left(paths, directory + "0", first)]


def _sorted_paths(blobs: Mapping[str, str]) -> list[str]:
    with _lock:
        known = _sorted.get(id(blobs))
        if known is not None and known[0] is blobs and len(known[1]) == len(blobs):
            _sorted.move_to_end(id(blobs))
            return known[1]
        paths = sorted(blobs)
        _sorted[id(blobs)] = blobs, paths
        while len(_sorted) > _KEPT:
            _sorted.popitem(last=False)
        return paths


def directories_read(tree: Tree, directory: str) -> list[str]:
    """``directory``, and every other one that building it may read: those that kustomizations reach by ``../``.

    kustomize reads nothing else: files have to be in or below the directory of the kustomization that names them.
    """
    found = [directory]
    for start in found:
        for path in files_below(tree, start):
            if posixpath.basename(path) in NAMES:
                for entry in _elsewhere(tree, path):
                    reached = posixpath.normpath(posixpath.join(posixpath.dirname(path), entry))
                    reached = "" if reached == "." else reached
                    if not reached.startswith("..") and not any(is_inside(reached, known) for known in found):
                        found.append(reached)
    return found


_MOST = 1 << 16
_leading_out: dict[str, tuple[str, ...]] = {}
"""By blob id: the same bytes lead to the same entries."""


def _elsewhere(tree: Tree, path: str) -> tuple[str, ...]:
    """The entries of a kustomization that lead out of its directory."""
    blob = tree.blobs[path]
    known = _leading_out.get(blob)
    if known is None:
        if len(_leading_out) >= _MOST:
            _leading_out.clear()
        known = _leading_out[blob] = _read_leading_out(tree.read(path), path)
    return known


def _read_leading_out(text: bytes, path: str) -> tuple[str, ...]:
    if b".." not in text:
        return ()
    try:
        kustomization = parse_kustomization(text, path=path)
    except InputError:
        return ()
    entries = (*kustomization.resources, *kustomization.components)
    return tuple(entry for entry in entries if posixpath.normpath(entry).startswith(".."))
