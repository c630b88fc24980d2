"""Fields of machine-owned files, and where in the objects they stand."""

from typing import NamedTuple

from reconciler.model.machine_file import MachineFile
from reconciler.model.workload import ObjectRef

ROLES = ("initContainers", "containers")
BOUNDS = ("requests", "limits")
RESOURCES = ("cpu", "memory")

PREPARED = "prepared"
"""The field of the edit that makes a namespace's empty turndown component."""

TARGET = "target"
"""The field of the edit that has a file's target written anew, and changes no value."""

BOOKKEEPING = frozenset({"policy", "action"})
"""Values that say whose file it is; a file with nothing else in it goes away."""

MAX_TARGETED_PATCHES = 150
"""Above this, patches of a component go without ``target``: kustomize's time grows faster than linear (FACTS)."""

_POD_PATHS: dict[str, tuple[str, ...]] = {
    "Pod": ("spec",),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}
_POD_TEMPLATE = ("spec", "template", "spec")

Path = tuple[str, ...]
"""Keys from the root of an object; an item of a list of mappings by its ``name``."""


class RequestField(NamedTuple):
    """``containers/server/requests/cpu`` in its parts; parts that are not there are empty."""

    role: str
    container: str
    bound: str
    resource: str


class Wanted(NamedTuple):
    """One value that a file asks for: ``value`` None = the key is not there."""

    target: ObjectRef
    path: Path
    value: str | None


def pod_path(kind: str) -> Path:
    """Where a workload of this kind keeps its pod's spec."""
    return _POD_PATHS.get(kind, _POD_TEMPLATE)


def split_request(field: str) -> RequestField:
    """The parts of a ``requests`` file's field."""
    role, _, rest = field.partition("/")
    container, bound, resource = [*rest.rsplit("/", 2), "", ""][:3]
    return RequestField(role, container, bound, resource)


def turndown_target(field: str) -> ObjectRef | None:
    """The object that a ``turndown`` file's field names; None when it names none."""
    parts = field.split("|")
    if len(parts) != 4:
        return None
    return ObjectRef(api_version=parts[0], kind=parts[1], name=parts[3], namespace=parts[2] or None)


def wanted_values(file: MachineFile) -> list[Wanted]:
    """What the file asks of people's objects, value by value. An HPA is an object of its own: nothing is asked."""
    wanted: list[Wanted] = []
    for field, value in file.values.items():
        if field in BOOKKEEPING or file.form == "hpa":
            continue
        if file.form == "requests":
            part = split_request(field)
            path = (*pod_path(file.target.kind), part.role, part.container, "resources", part.bound, part.resource)
            wanted.append(Wanted(file.target, path, value))
        elif file.form == "turndown":
            target = turndown_target(field)
            key, _, to = value.partition("=")
            if target is not None:
                wanted.append(Wanted(target, ("spec", key), to))
        elif file.form == "replicas":
            wanted.append(Wanted(file.target, ("spec", "replicas"), None if value == "null" else value))
        else:  # quota: hard/<key>, nodepool: limits/<key>; keys may have slashes of their own
            head, _, key = field.partition("/")
            wanted.append(Wanted(file.target, ("spec", head, key), value))
    return wanted
