"""A workload's manifest → its containers and sizes."""

import re
from typing import Any, Literal

from reconciler.manifests.objects_declared import KeyPath, Notebook, WorkloadSpec, is_label, mapping, shown_field, texts
from reconciler.manifests.objects_quantities import read_quantity, read_resources
from reconciler.model.quantity import parse_cpu
from reconciler.model.workload import Container, ObjectRef

POD_PATHS: dict[str, tuple[str, ...]] = {
    "Pod": (),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
"""Where the pod template (``metadata`` and ``spec``) stands; ``spec.template`` for all other kinds."""

POD_TEMPLATE = ("spec", "template")

_PERCENT = re.compile(r"\d{1,3}%")


def read_workload(ref: ObjectRef, value: dict[str, Any], notes: Notebook) -> WorkloadSpec:
    """The workload's sizes. A Rollout that takes its template from a Deployment (``workloadRef``) has no containers."""
    spec = mapping(value.get("spec"))
    at = POD_PATHS.get(ref.kind, POD_TEMPLATE)
    template: Any = value
    for step in at:
        template = mapping(mapping(template).get(step))
    pod = mapping(template.get("spec"))
    strategy, max_surge = _strategy(ref.kind, spec)
    return WorkloadSpec(
        containers=_containers(pod, (*at, "spec"), notes),
        replicas=_replicas(spec, notes) if ref.kind in _REPLICATED else None,
        suspend=spec.get("suspend") is True,
        pod_labels=texts(mapping(template.get("metadata")).get("labels")),
        node_selector=texts(pod.get("nodeSelector")),
        pod_cpu_request=_pod_request(pod, (*at, "spec"), notes),
        max_surge=max_surge,
        strategy=strategy,
    )


_REPLICATED = ("Deployment", "StatefulSet", "Rollout")


def _replicas(spec: dict[str, Any], notes: Notebook) -> int | None:
    replicas = spec.get("replicas")
    if replicas is None or (type(replicas) is int and replicas >= 0):
        return replicas
    notes.problem(("spec", "replicas"), f"{replicas!r} is not a number of replicas", hint="write it as 3")
    return None


def _strategy(kind: str, spec: dict[str, Any]) -> tuple[str, str | None]:
    """The strategy's name and its ``maxSurge`` as written. A blue-green Rollout runs a whole second set: 100 %."""
    strategy = mapping(spec.get("updateStrategy" if kind in ("StatefulSet", "DaemonSet") else "strategy"))
    if kind == "Rollout":
        if "blueGreen" in strategy:
            return "BlueGreen", "100%"
        surge = mapping(strategy.get("canary")).get("maxSurge")
        return "RollingUpdate", _surge(surge)
    name = strategy.get("type")
    surge = mapping(strategy.get("rollingUpdate")).get("maxSurge")
    return name if isinstance(name, str) else "RollingUpdate", _surge(surge)


def _surge(surge: Any) -> str | None:
    text = str(surge)
    return text if type(surge) is int or _PERCENT.fullmatch(text) or text.isdecimal() else None


def _pod_request(pod: dict[str, Any], at: KeyPath, notes: Notebook) -> int | None:
    """The pod-level CPU request (KEP-2837), millicores; None when there is none."""
    requests = mapping(mapping(pod.get("resources")).get("requests"))
    if "cpu" not in requests:
        return None
    place = (*at, "resources", "requests", "cpu")
    return read_quantity(requests["cpu"], parse_cpu, place, shown_field(place), notes)


def _containers(pod: dict[str, Any], at: KeyPath, notes: Notebook) -> tuple[Container, ...]:
    found: list[Container] = []
    names: set[str] = set()
    for key in ("initContainers", "containers"):
        listed = pod.get(key)
        if listed is not None and not isinstance(listed, list):
            notes.problem((*at, key), "should be a list of containers")
            continue
        for index, item in enumerate(listed or ()):
            place = (*at, key, index)
            container = _container(mapping(item), key, place, notes)
            if container is None:
                continue
            if container.name in names:
                notes.problem(place, f"there is another container {container.name} in this pod")
                continue
            names.add(container.name)
            found.append(container)
    return tuple(found)


def _container(item: dict[str, Any], key: str, at: KeyPath, notes: Notebook) -> Container | None:
    name = item.get("name")
    if not isinstance(name, str) or not is_label(name):
        notes.problem((*at, "name"), f"{name!r} is not a container's name" if name is not None else "is missing")
        return None
    shown = f"{shown_field(at[:-1])}[{name}].resources"
    resources, written = read_resources(item.get("resources"), (*at, "resources"), shown, notes)
    role: Literal["main", "init", "sidecar"] = "main"
    if key == "initContainers":
        role = "sidecar" if item.get("restartPolicy") == "Always" else "init"
    return Container(name=name, role=role, resources=resources, written=written)
