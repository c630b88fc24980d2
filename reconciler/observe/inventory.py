"""One root of the fleet repo at one commit → what people declare in it, and Trimtab's own files beside it."""

import posixpath
from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass, field

from reconciler.errors import InputError, TrimtabError
from reconciler.manifests import machine_files
from reconciler.manifests.kustomization import COMPONENT, NAMES, Kustomization, is_remote, root_refusal
from reconciler.manifests.objects_placed import Placed, twins
from reconciler.manifests.objects_references import follow_references, strays
from reconciler.manifests.objects_walk import Walk, is_inside
from reconciler.model.fleet import Root
from reconciler.model.inventory import Inventory, Problem, RootState
from reconciler.model.machine_file import MachineFile
from reconciler.model.tree import Tree
from reconciler.observe.built_objects import place_built
from reconciler.observe.root_objects import RootObjects, assemble
from reconciler.observe.root_paths import files_below, root_directory

Build = Callable[[str], bytes]
"""A path of the tree → what kustomize builds from it. :raises InputError: with kustomize's own words."""

_NO_KUSTOMIZE = "install kustomize or kubectl, so that Trimtab can build what it cannot work out by itself"


def read_root(
    tree: Tree,
    cluster: str,
    root: Root,
    *,
    build: Build | None,
    cache: MutableMapping[str, object] | None = None,
) -> RootState:
    """Read a root. What cannot be read is in ``inventory.problems``, by name; nothing is raised for people's mistakes.

    People's objects are worked out file by file, level by level; an entry of the root under which only kustomize knows
    what comes out (patches, components of people's own, generators, remote resources, …) is built by ``build``, without
    our component. ``cache`` keeps parsed files by path and blob id between calls.
    """
    cache = {} if cache is None else cache
    reading = _Reading(Walk(tree, cache), root_directory(root), build)
    reading.read()
    objects = assemble(cluster, root, reading.people, before=reading.where_component_runs)
    overlay, overlay_problems = _read_overlay(tree, root, cache)
    inventory = Inventory(
        cluster=cluster,
        root=root.path,
        wired=reading.wired,
        workloads=objects.workloads,
        hpas=objects.hpas,
        node_pools=objects.node_pools,
        quotas=objects.quotas,
        limit_ranges=objects.limit_ranges,
        namespaces=objects.namespaces,
        problems=tuple(_unique((*reading.walk.problems, *objects.problems, *overlay_problems))),
        twins=reading.twins,
        strays=reading.strays,
    )
    return RootState(inventory=inventory, overlay=overlay)
