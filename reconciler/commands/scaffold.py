"""What `trimtab init` finds and adds: pure of Git, everything in values, written by the command in one go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from reconciler.errors import InputError, TrimtabError, Where
from reconciler.manifests.kustomization import parse_kustomization, root_refusal
from reconciler.manifests.wiring import EMPTY_COMPONENT, new_root, wire_component
from reconciler.manifests.yaml_reader import load_all
from reconciler.model.tree import Tree

KUSTOMIZATION_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")


@dataclass
class Scaffold:
    """``files`` to write (by path), ``kept`` what was there already, ``notes`` for the person."""

    files: dict[str, str] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def kustomization_of(tree: Tree, folder: str) -> str | None:
    """The path of a folder's kustomization, None when it has none."""
    return next((path for name in KUSTOMIZATION_NAMES if (path := _join(folder, name)) in tree.blobs), None)


def discover_clusters(tree: Tree) -> list[str]:
    """The folders below ``clusters/`` that hold files: one cluster each, as DESIGN §3 lays a fleet repo out."""
    found = {
        PurePosixPath(path).parts[1]
        for path in tree.blobs
        if len(PurePosixPath(path).parts) > 2 and path.startswith("clusters/")
    }
    return sorted(found)


def fleet_text(name: str, roots: Mapping[str, str], branch: str) -> str:
    """A first trimtab.yaml: ``roots`` gives each cluster's path."""
    clusters = "".join(f"    - name: {cluster}\n      path: {path}\n" for cluster, path in sorted(roots.items()))
    return (
        "# The fleet: which clusters there are, how changes are delivered, and when.\n"
        "apiVersion: trimtab.dev/v1alpha1\n"
        "kind: Fleet\n"
        f"metadata:\n  name: {name}\n"
        f"spec:\n  clusters:\n{clusters}"
        f"  delivery:\n    mode: commit\n    branch: {branch}\n    groupBy: [cluster, kind]\n"
        "  rightsizing: {profile: Production, window: 14d, minChangePercent: 10}\n"
    )


def wire_root(tree: Tree, root: str, scaffold: Scaffold) -> None:
    """Add what the root at ``root`` lacks to carry the component.

    :raises InputError: when the root cannot carry it as it is; the hint says what to move.
    """
    component = _join(root, "trimtab/kustomization.yaml")
    if component in tree.blobs:
        scaffold.kept.append(component)
    else:
        scaffold.files[component] = EMPTY_COMPONENT
    path = kustomization_of(tree, root)
    if path is None:
        path = _join(root, KUSTOMIZATION_NAMES[0])
        scaffold.files[path] = new_root(_resources(tree, root, scaffold))
        return
    data = tree.read(path)
    if refusal := root_refusal(parse_kustomization(data, path=path)):
        raise InputError(refusal, where=Where(path), hint=move_down_hint(root, path))
    text = data.decode()
    wired = wire_component(text, path=path)
    if wired == text:
        scaffold.kept.append(path)
    else:
        scaffold.files[path] = wired


def move_down_hint(root: str, path: str) -> str:
    """How to make room: everything one level down, and a root that holds resources and components only."""
    return (
        "move what is there one level down, then run trimtab init again:\n"
        f"      mkdir {root}/apps && git mv $(git ls-files {root} | cut -d/ -f{len(PurePosixPath(root).parts) + 1}"
        f" | sort -u | grep -vx trimtab | sed 's|^|{root}/|') {root}/apps/\n"
        f"      printf 'resources: [apps]\\n' > {path}\n"
        f"      (in {root}/apps, paths that start with ../ need one more ../)\n"
        f"      git add -A {root} && git commit -m 'Make room for Trimtab'"
    )


def _resources(tree: Tree, root: str, scaffold: Scaffold) -> list[str]:
    """Everything below a root without a kustomization: its manifests, and folders that have a kustomization of their own."""
    start = root.rstrip("/") + "/"
    inside = sorted(path.removeprefix(start) for path in tree.blobs if path.startswith(start))
    packaged = {
        str(PurePosixPath(name).parent) for name in inside if PurePosixPath(name).name in KUSTOMIZATION_NAMES
    } - {"."}
    found: set[str] = set()
    for name in inside:
        parents = {str(parent) for parent in PurePosixPath(name).parents}
        if name.startswith("trimtab/") or not name.endswith((".yaml", ".yml")):
            continue
        if owners := parents & packaged:
            found.add(min(owners, key=len))
        elif _is_manifest(tree, start + name, scaffold):
            found.add(name)
    return sorted(found)


def _is_manifest(tree: Tree, path: str, scaffold: Scaffold) -> bool:
    try:
        documents = load_all(tree.read(path), path=path)
    except TrimtabError as error:
        scaffold.notes.append(f"{path} is not listed: {error.message}")
        return False
    if documents and all(isinstance(d.value, dict) and {"apiVersion", "kind"} <= d.value.keys() for d in documents):
        return True
    scaffold.notes.append(f"{path} is not listed: it holds no Kubernetes objects")
    return False


def _join(folder: str, name: str) -> str:
    return name if folder in ("", ".") else f"{folder}/{name}"
