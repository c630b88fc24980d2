"""Machine-owned files: bytes → values (the inverse of rendering), and the path that each has.

Only what Trimtab writes is taken; anything else in such a file is an error that names it, so that a person's edit of a
machine-owned file is never half understood.
"""

import posixpath
import re
from collections.abc import Callable
from typing import Any

from reconciler.errors import InputError, Where
from reconciler.manifests.machine_forms import (
    Odd,
    read_hpa,
    read_json6902,
    read_node_pool,
    read_quota,
    read_replicas,
    read_requests,
    read_turndown,
)
from reconciler.manifests.objects_declared import is_label, is_name
from reconciler.manifests.yaml_reader import Document, load_all
from reconciler.model.machine_file import FileForm, MachineFile
from reconciler.model.workload import ObjectRef

GENERATED = "kustomization.yaml"
HANDOVER = "handover"
"""The folder of the component in which workloads are handed over to their HPAs. Apart from the others, as it has to be
applied before the turndowns: ``replicas: 0`` must win over ``replicas: null`` (tests/integration/test_kustomize_build.py)."""
_TURNDOWN = "turndown"

_NAME = re.compile(r"(hpa|requests|replicas|quota|limits)-.+\.yaml")
_FORMS: dict[str, FileForm] = {
    "hpa": "hpa",
    "requests": "requests",
    "replicas": "replicas",
    "quota": "quota",
    "limits": "nodepool",
}
_READERS: dict[FileForm, Callable[[dict[str, Any]], MachineFile]] = {
    "hpa": read_hpa,
    "requests": read_requests,
    "replicas": read_replicas,
    "quota": read_quota,
    "nodepool": read_node_pool,
}


def path_for(overlay: str, form: FileForm, target: ObjectRef, live_namespace: str) -> str:
    """The path of a machine-owned file below ``overlay`` (``<root>/trimtab``).

    ``live_namespace`` is the namespace in the cluster; not used for NodePools.

    :raises InputError: when a name could not be part of a path (it is no DNS subdomain).
    """
    if form == "nodepool":
        return f"{overlay}/nodepools/limits-{_named(target)}.yaml"
    if not is_label(live_namespace):
        raise InputError(f"{live_namespace!r} is not a name that Kubernetes takes for a namespace")
    directory = f"{overlay}/{HANDOVER}/{live_namespace}" if form == "replicas" else f"{overlay}/{live_namespace}"
    if form == "turndown":
        return f"{directory}/{_TURNDOWN}/{_TURNDOWN}.yaml"
    if form in ("requests", "replicas"):
        if not (target.kind.isascii() and target.kind.isalnum()):
            raise InputError(f"{target.kind!r} is not a kind of Kubernetes objects")
        return f"{directory}/{form}-{target.kind.lower()}-{_named(target)}.yaml"
    return f"{directory}/{form}-{_named(target)}.yaml"


def live_namespace_of(path: str) -> str:
    """The namespace that the place of a machine-owned file stands for: what :func:`path_for` was given."""
    directory = posixpath.dirname(path)
    return posixpath.basename(posixpath.dirname(directory) if form_of(path) == "turndown" else directory)


def component_of(relative: str) -> str | None:
    """The component whose list a file belongs into, for a path relative to the overlay; None when no list has it.

    "" is the overlay itself, :data:`HANDOVER` or ``<namespace>/turndown`` one of its own. A namespace may have any name:
    ``handover/turndown/`` holds what is handed over in ``turndown`` beside the turndown of ``handover``.
    """
    *folders, name = relative.split("/")
    if name == GENERATED or not name.endswith(".yaml"):
        return None
    if len(folders) == 1:
        return ""
    if len(folders) == 2 and folders[1] == _TURNDOWN and name == f"{_TURNDOWN}.yaml":
        return "/".join(folders)
    return HANDOVER if len(folders) == 2 and folders[0] == HANDOVER else None


def is_list(relative: str) -> bool:
    """Whether a path relative to the overlay is one of its generated lists: its own, the handover's, a turndown's."""
    *folders, name = relative.split("/")
    return name == GENERATED and (folders in ([], [HANDOVER]) or (len(folders) == 2 and folders[1] == _TURNDOWN))


def _named(target: ObjectRef) -> str:
    if not is_name(target.name):
        raise InputError(f"{target.name!r} is not a name that Kubernetes takes for a {target.kind}")
    return target.name


def form_of(path: str) -> FileForm | None:
    """The form that a file's name says it has; None for a name that Trimtab does not write."""
    name = posixpath.basename(path)
    if name == "turndown.yaml":
        return "turndown"
    match = _NAME.fullmatch(name)
    return _FORMS[match[1]] if match else None


def parse(text: bytes, *, path: str) -> MachineFile:
    """Read a machine-owned file; its form is known by its name.

    :raises InputError: when it is none of Trimtab's, or holds anything that Trimtab does not write there.
    """
    form = form_of(path)
    if form is None:
        raise InputError(
            "this is none of Trimtab's files, and only those belong here",
            where=Where(path),
            hint="move it to a directory of yours, or delete it",
        )
    documents = load_all(text, path=path)
    try:
        return _read(form, documents, text, path)
    except Odd as odd:
        raise InputError(
            odd.message,
            where=Where(path, documents[0].line if documents else 0, field=odd.field),
            hint="undo the edit (git revert), or delete the file: Trimtab writes it anew where it is needed",
        ) from None


def _read(form: FileForm, documents: list[Document], text: bytes, path: str) -> MachineFile:
    if form == "turndown":
        return read_turndown(documents, text, live_namespace_of(path))
    if len(documents) != 1:
        raise Odd("should hold one document" if documents else "is empty")
    value = documents[0].value
    if form == "requests" and isinstance(value, list):
        return read_json6902(value, text)
    if not isinstance(value, dict):
        raise Odd("should hold one object")
    return _READERS[form](value)
