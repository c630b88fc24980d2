"""One root of the fleet repo at one commit → what people declare in it, and Trimtab's own files beside it."""

import hashlib
from collections.abc import MutableMapping

from reconciler.errors import InputError
from reconciler.manifests import machine_files
from reconciler.manifests.objects_walk import Walk, is_inside
from reconciler.model.fleet import Root
from reconciler.model.inventory import Inventory, Problem, RootState
from reconciler.model.machine_file import MachineFile
from reconciler.model.tree import Tree
from reconciler.observe.overlay_targets import mistargeted
from reconciler.observe.root_files import directories_read, files_below, overlay_directory, root_directory
from reconciler.observe.root_objects import RootObjects
from reconciler.observe.root_reading import Build, RootReading


def read_root(
    tree: Tree,
    cluster: str,
    root: Root,
    *,
    build: Build | None,
    cache: MutableMapping[str, object] | None = None,
) -> RootState:
    """Read a root. People's mistakes are in ``inventory.problems``, by file and line; none is raised.

    People's objects are worked out file by file, level by level. An entry of the root under which only kustomize knows
    what comes out (patches, components of people's own, generators, remote resources, …) is built by ``build``, without
    our component. ``cache`` keeps what files say by path and blob id from one call to the next.
    """
    cache = {} if cache is None else cache
    reading = RootReading(Walk(tree, cache), root_directory(root), build).read()
    objects = RootObjects(cluster, root).add_all(reading.objects)
    overlay, strange = _read_overlay(tree, root, cache)
    inventory = Inventory(
        cluster=cluster,
        root=root.path,
        wired=reading.wired,
        workloads=tuple(objects.workloads),
        hpas=tuple(objects.hpas),
        node_pools=tuple(objects.node_pools),
        quotas=tuple(objects.quotas),
        limit_ranges=tuple(objects.limit_ranges),
        namespaces=objects.namespaces,
        problems=tuple(dict.fromkeys((*reading.problems, *objects.problems, *strange))),
        twins=reading.twins(),
        strays=reading.strays(),
    )
    targets = mistargeted(tree, overlay_directory(root), overlay, inventory, cache)
    return RootState(inventory=inventory, overlay=overlay, mistargeted=targets)


# --- Trimtab's own files ------------------------------------------------------------------------------------------


def _read_overlay(
    tree: Tree, root: Root, cache: MutableMapping[str, object]
) -> tuple[dict[str, MachineFile], list[Problem]]:
    overlay = overlay_directory(root)
    files: dict[str, MachineFile] = {}
    problems: list[Problem] = []
    paths = [path for path in files_below(tree, overlay) if not machine_files.is_list(path.removeprefix(f"{overlay}/"))]
    unread = [path for path in paths if _overlay_key(tree, path) not in cache]
    texts = tree.read_many(unread) if unread else {}
    for path in paths:
        key = _overlay_key(tree, path)
        if key not in cache:
            cache[key] = _read_machine_file(texts[path], path, overlay)
        read = cache[key]
        if isinstance(read, MachineFile):
            files[path] = read
        elif isinstance(read, Problem):
            problems.append(read)
    return files, problems


def _overlay_key(tree: Tree, path: str) -> str:
    return machine_file_key(path, tree.blobs[path])


def machine_file_key(path: str, blob: str) -> str:
    """Under which a ``cache`` has the values of a machine-owned file."""
    return f"machine:{path}:{blob}"


def _read_machine_file(text: bytes, path: str, overlay: str) -> MachineFile | Problem:
    """The file's values. A file that only its place or name makes unlike ours blocks nothing: the build has no part of it."""
    if machine_files.form_of(path) is None:
        message, hint = "only Trimtab writes here; this file has no effect", "move it to a directory of yours"
        return Problem(path=path, message=message, hint=hint)
    try:
        file = machine_files.parse(text, path=path)
        expected = machine_files.path_for(overlay, file.form, file.target, machine_files.live_namespace_of(path))
    except InputError as error:
        where = error.where
        return Problem(
            path=path,
            line=where.line if where else 0,
            field=where.field if where else "",
            message=error.message,
            hint=error.hint,
            blocks_root=True,
        )
    if expected != path:
        message = f"is in the wrong place: what it says belongs into {expected}"
        return Problem(
            path=path, message=message, hint="undo the move (git revert), or delete the file", blocks_root=True
        )
    return file


# --- fingerprints -------------------------------------------------------------------------------------------------


def root_fingerprint(tree: Tree, root: Root) -> str:
    """A hash over all that the root's build may read beside our component: the same hash, the same people's objects.

    That is the root's own directory without ``trimtab``, and the directories that kustomizations in it reach by ``../``.
    """
    overlay = overlay_directory(root)
    digest = hashlib.sha256()
    for directory in directories_read(tree, root_directory(root)):
        for path in files_below(tree, directory):
            if not is_inside(path, overlay):
                digest.update(f"{path}\0{tree.blobs[path]}\n".encode())
        for path, what in sorted(tree.oddities.items()):
            if is_inside(path, directory):
                digest.update(f"{path}\0{what}\n".encode())
    return digest.hexdigest()


def overlay_fingerprint(tree: Tree, root: Root) -> str:
    """A hash over the machine-owned files of the root."""
    digest = hashlib.sha256()
    for path in files_below(tree, overlay_directory(root)):
        digest.update(f"{path}\0{tree.blobs[path]}\n".encode())
    return digest.hexdigest()
