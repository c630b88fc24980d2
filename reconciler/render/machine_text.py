"""One machine-owned file → its bytes. The inverse of :func:`reconciler.manifests.machine_files.parse`."""

import re
from collections.abc import Callable, Mapping

from reconciler.errors import InputError, Where
from reconciler.manifests import component, machine_files
from reconciler.manifests.container_order import entries
from reconciler.manifests.container_places import ContainerPlace, places_of
from reconciler.model.machine_file import FileForm, MachineFile
from reconciler.model.workload import ObjectRef
from reconciler.render.fields import (
    BOOKKEEPING,
    BOUNDS,
    MAX_TARGETED_PATCHES,
    RESOURCES,
    ROLES,
    pod_path,
    split_request,
    turndown_target,
)
from reconciler.render.templates import Templates

__all__ = ["ContainerIndex", "ContainerPlace", "Twins", "machine_text", "places_of"]

Variables = dict[str, object]

METRIC_ORDER = ("memory", "cpu")
"""Clusters that keep HPAs as autoscaling/v1 give a CPU utilization back last, whatever the order it was written in
(kubernetes #74099), and Argo CD compares lists in order. Memory first is stable on all of them."""

_COMPARE = "compare it with Trimtab's own, or delete it to go back to that"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


ContainerIndex = Mapping[str, ContainerPlace | int]
"""By ``<role>/<container>``, as the fields of a ``requests`` file begin. A bare number: all three maps are there."""

Twins = Mapping[str, str]
""":attr:`~reconciler.model.inventory.Inventory.twins` of a root: annotation selectors by the key of the object."""


def machine_text(
    file: MachineFile,
    templates: Templates,
    *,
    container_index: ContainerIndex | None = None,
    twins: Twins | None = None,
    path: str = "",
) -> bytes:
    """The whole file, from its values. Keys stand in a fixed order, containers in that of the file, else by name.

    ``container_index`` is needed for ``requests`` of kinds other than the built-in ones, ``twins`` for a turndown of
    objects that kustomize takes for one another. ``path`` is for messages.

    :raises InputError: when a value is not one that the form has, a container's place is not known, or a template
        of the fleet repo's own fails or loses a value.
    """
    _refuse_control_characters(file, path)
    if component.is_json6902(file):
        name, variables = _JSON6902, _json6902(file, path, container_index or {})
    elif file.form == "turndown":
        name, variables = "turndown.yaml.j2", _turndown(file, path, twins or {})
    else:
        name, shape = _SHAPES[file.form]
        variables = shape(file, path)
    variables["target"] = _target(file.target)
    text = templates.render(name, variables).encode()
    if templates.overridden(name):
        _check_override(name, file, text, path)
    return text


def _check_override(name: str, file: MachineFile, text: bytes, path: str) -> None:
    """A template of the fleet repo's own must say what it was asked to, or every pass would write the file again."""
    where = Where(f"templates/{name}")
    try:
        back = machine_files.parse(text, path=path)
    except InputError as error:
        at = f"{error.where.field} " if error.where and error.where.field else ""
        raise InputError(
            f"the template gives a file that cannot be read back: {at}{error.message}", where=where, hint=_COMPARE
        ) from error
    lost = sorted(field for field, value in file.values.items() if back.values.get(field) != value)
    if back.target != file.target:
        lost.append("target")
    if back.order != file.order:
        lost.append("the order of the containers")
    if lost:
        raise InputError(f"the template loses {', '.join(lost[:5])}", where=where, hint=_COMPARE)


def _refuse_control_characters(file: MachineFile, path: str) -> None:
    target = file.target
    texts = (target.api_version, target.kind, target.name, target.namespace or "", *file.values, *file.values.values())
    for text in texts:
        if _CONTROL.search(text):
            raise InputError(f"{text!r} has a line break or control character in it", where=Where(path))


def _target(target: ObjectRef) -> Variables:
    return {
        "api_version": target.api_version,
        "kind": target.kind,
        "name": target.name,
        "namespace": target.namespace or "",
    }


def _unknown(path: str, field: str, form: str) -> InputError:
    return InputError(f"not a value that a {form} file of Trimtab's has", where=Where(path, field=field))


def _requests(file: MachineFile, path: str) -> Variables:
    sizes = _by_container(file, path)
    listed = [entry.split("/", 1) for entry in entries(file.values, file.order)]
    roles = [
        {
            "name": role,
            "containers": [
                {"name": name, "bounds": _bounds(sizes.get((role, name), {}))}
                for in_role, name in listed
                if in_role == role
            ],
        }
        for role in ROLES
    ]
    return {
        "pod_path": list(pod_path(file.target.kind)),
        "roles": [role for role in roles if role["containers"]],
    }


def _by_container(file: MachineFile, path: str) -> dict[tuple[str, str], dict[tuple[str, str], str]]:
    sizes: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
    for field, quantity in file.values.items():
        if field in BOOKKEEPING:
            continue
        role, container, bound, resource = split_request(field)
        if role not in ROLES or not container or bound not in BOUNDS or resource not in RESOURCES:
            raise _unknown(path, field, "requests")
        sizes.setdefault((role, container), {})[bound, resource] = quantity
    return sizes


def _bounds(values: Mapping[tuple[str, str], str]) -> list[Variables]:
    bounds: list[Variables] = []
    for bound in BOUNDS:
        quantities = [
            {"resource": resource, "quantity": values[bound, resource]}
            for resource in RESOURCES
            if (bound, resource) in values
        ]
        if quantities:
            bounds.append({"name": bound, "quantities": quantities})
    return bounds


def _json6902(file: MachineFile, path: str, places: ContainerIndex) -> Variables:
    """``test`` on the container's name first: a patch must fail rather than size the wrong container (FACTS)."""
    operations: list[Variables] = []
    for (role, container), values in sorted(_by_container(file, path).items()):
        place = places.get(f"{role}/{container}")
        if place is None:
            raise InputError(
                f"it is not known where container {container} stands in {role} of {file.target.kind} {file.target.name}",
                where=Where(path, field=f"{role}/{container}"),
                hint="the container is not in the manifest any more; the next pass drops its values",
            )
        place = ContainerPlace(place) if isinstance(place, int) else place
        base = f"/{'/'.join(pod_path(file.target.kind))}/{role}/{place.index}"
        operations.append({"op": "test", "path": f"{base}/name", "value": container})
        maps = ["resources"] + [f"resources/{bound}" for bound in BOUNDS if any(key[0] == bound for key in values)]
        operations += [{"op": "add", "path": f"{base}/{m}", "value": None} for m in maps if m not in place.present]
        operations += [
            {"op": "add", "path": f"{base}/resources/{bound}/{resource}", "value": values[bound, resource]}
            for bound in BOUNDS
            for resource in RESOURCES
            if (bound, resource) in values
        ]
    return {"operations": operations}


def _hpa(file: MachineFile, path: str) -> Variables:
    values = dict(file.values)
    variables: Variables = {
        "policy": values.pop("policy", ""),
        "min_replicas": values.pop("minReplicas", ""),
        "max_replicas": values.pop("maxReplicas", ""),
        "metrics": [_metric(name, values.pop(f"metrics/{name}", "")) for name in METRIC_ORDER],
        "behavior": [_behavior(direction, values) for direction in ("scaleDown", "scaleUp")],
    }
    variables["metrics"] = [metric for metric in _list(variables["metrics"]) if metric]
    variables["behavior"] = [rule for rule in _list(variables["behavior"]) if rule]
    for field in values:
        raise _unknown(path, field, "hpa")
    if not variables["max_replicas"]:
        raise InputError("an HPA needs maxReplicas", where=Where(path, field="maxReplicas"))
    return variables


def _list(value: object) -> list[Variables]:
    assert isinstance(value, list)
    return value


def _metric(name: str, target: str) -> Variables:
    if not target:
        return {}
    utilization = target[:-1] if target.endswith("%") else ""
    return {"name": name, "utilization": utilization, "average_value": "" if utilization else target}


def _behavior(direction: str, values: dict[str, str]) -> Variables:
    """Takes the direction's three values out of ``values``."""
    window, pods, period = (
        values.pop(f"behavior/{direction}/{field}", "")
        for field in ("stabilizationWindowSeconds", "pods", "periodSeconds")
    )
    if not (window or pods):
        return {}
    return {"name": direction, "stabilization": window, "pods": pods, "period": period or "15"}


def _quantities(prefix: str) -> Callable[[MachineFile, str], Variables]:
    def shape(file: MachineFile, path: str) -> Variables:
        rows = []
        for field, quantity in sorted(file.values.items()):
            if field in BOOKKEEPING:
                continue
            if not field.startswith(prefix):
                raise _unknown(path, field, file.form)
            rows.append({"resource": field.removeprefix(prefix), "quantity": quantity})
        return {"quantities": rows}

    return shape


def _replicas(file: MachineFile, path: str) -> Variables:
    for field in file.values.keys() - BOOKKEEPING - {"replicas"}:
        raise _unknown(path, field, "replicas")
    return {"replicas": file.values.get("replicas", "null")}


def _turndown(file: MachineFile, path: str, twins: Twins) -> Variables:
    """Each patch with a target of its own, so that the build stands when a person deletes a workload meanwhile; above
    150 of them without, as kustomize's time grows faster than linear with targets (FACTS)."""
    objects: list[Variables] = []
    for field, value in sorted(file.values.items()):
        if field in BOOKKEEPING:
            continue
        target = turndown_target(field)
        key, _, to = value.partition("=")
        if target is None or key not in ("replicas", "suspend"):
            raise _unknown(path, field, "turndown")
        selects = component.target_text(target, selector=twins.get(target.key, ""), indent=0).rstrip("\n")
        objects.append({**_target(target), "key": key, "value": to, "selects": selects})
    targeted = len(objects) <= MAX_TARGETED_PATCHES or any(field in twins for field in file.values)
    return {"action": file.values.get("action", ""), "objects": objects, "targeted": targeted}


_JSON6902 = "requests-patch-json6902.yaml.j2"
_SHAPES: dict[FileForm, tuple[str, Callable[[MachineFile, str], Variables]]] = {
    "requests": ("requests-patch.yaml.j2", _requests),
    "hpa": ("hpa.yaml.j2", _hpa),
    "quota": ("resourcequota.yaml.j2", _quantities("hard/")),
    "nodepool": ("nodepool.yaml.j2", _quantities("limits/")),
    "replicas": ("replicas-patch.yaml.j2", _replicas),
}
