"""What each form of a machine-owned file says, as the flat values of :class:`~reconciler.model.machine_file.MachineFile`.

Readers take parsed YAML and raise :class:`Odd` at the first thing that Trimtab does not write there.
"""

import re
from collections.abc import Iterable
from typing import Any

from reconciler.errors import InputError
from reconciler.manifests.container_order import said_by_names
from reconciler.manifests.objects_declared import mapping, texts
from reconciler.manifests.objects_pods import POD_PATHS, POD_TEMPLATE
from reconciler.manifests.yaml_reader import Document, load_all
from reconciler.model.machine_file import MachineFile
from reconciler.model.quantity import parse_quantity
from reconciler.model.workload import ObjectRef

POLICY_ANNOTATION = "trimtab.dev/policy"
ROLES = ("containers", "initContainers")

_ADDED = re.compile(
    r"(/spec/(?:[A-Za-z]+/)*(containers|initContainers)/(\d+))/"
    r"(name|resources|resources/(?:requests|limits)|resources/(requests|limits)/(cpu|memory))"
)


class Odd(Exception):
    """Something stands in the file that Trimtab does not write there; ``field`` says where, as far as it is known."""

    def __init__(self, message: str, field: str = "") -> None:
        self.message = message
        self.field = field
        super().__init__(message)


def _only_keys(value: Any, keys: Iterable[str], field: str) -> dict[str, Any]:
    """``value`` as a mapping that has none but ``keys``."""
    if not isinstance(value, dict):
        raise Odd("should be a mapping", field)
    for key in value:
        if key not in keys:
            raise Odd("is nothing that Trimtab writes here", f"{field}.{key}".removeprefix("."))
    return value


def _identity(value: dict[str, Any]) -> ObjectRef:
    metadata = mapping(value.get("metadata"))
    api_version, kind, name = value.get("apiVersion"), value.get("kind"), metadata.get("name")
    namespace = metadata.get("namespace")
    if not (isinstance(api_version, str) and isinstance(kind, str) and isinstance(name, str) and name):
        raise Odd("apiVersion, kind and metadata.name should say which object this is about")
    return ObjectRef(
        api_version=api_version,
        kind=kind,
        name=name,
        namespace=namespace if isinstance(namespace, str) and namespace else None,
    )


def _quantity(value: Any, field: str) -> str:
    try:
        parse_quantity(value if isinstance(value, str | int | float) else "")
    except ValueError as error:
        raise Odd(str(error), field) from None
    return str(value)


def _patch(value: dict[str, Any], kind: str = "") -> tuple[ObjectRef, dict[str, Any]]:
    """The target and the ``spec`` of a strategic merge patch."""
    _only_keys(value, ("apiVersion", "kind", "metadata", "spec"), "")
    target = _identity(value)
    if kind and target.kind != kind:
        raise Odd(f"should be a {kind}", "kind")
    return target, mapping(value.get("spec"))


# --- one reader a form ----------------------------------------------------------------------------------------------


def read_requests(value: dict[str, Any]) -> MachineFile:
    target, _ = _patch(value)
    pod: Any = value
    path = (*POD_PATHS.get(target.kind, POD_TEMPLATE), "spec")
    for depth, step in enumerate(path):
        if depth:
            _only_keys(pod, (step,), ".".join(path[:depth]))
        pod = mapping(pod.get(step))
    values: dict[str, str] = {}
    listed: list[str] = []
    at = ".".join(path)
    for role, items in _only_keys(pod, ROLES, at).items():
        for item in items if isinstance(items, list) else ():
            name, sizes = _container_sizes(item, role, f"{at}.{role}")
            listed.append(f"{role}/{name}")
            values |= sizes
    return MachineFile(form="requests", target=target, values=values, order=said_by_names(listed, values))


def _container_sizes(item: Any, role: str, at: str) -> tuple[str, dict[str, str]]:
    """The container's name and its values; none where it stands only for the order."""
    container = _only_keys(item, ("name", "resources"), at)
    name = container.get("name")
    if not isinstance(name, str) or not name:
        raise Odd("a container should have its name", at)
    field = f"{at}[{name}].resources"
    values: dict[str, str] = {}
    if "resources" not in container:
        return name, values
    if container["resources"] is None:
        raise Odd("has nothing in it, by which kustomize would delete the ones that people wrote", field)
    for bound, sizes in _only_keys(container.get("resources"), ("requests", "limits"), field).items():
        for resource, quantity in _only_keys(sizes, ("cpu", "memory"), f"{field}.{bound}").items():
            values[f"{role}/{name}/{bound}/{resource}"] = _quantity(quantity, f"{field}.{bound}.{resource}")
    return name, values


def read_json6902(operations: list[Any], text: bytes) -> MachineFile:
    """A requests patch of a kind that is not built in. Its target is in a comment, as JSON 6902 has no place for it."""
    words = leading_comment(text, "target").split()
    if len(words) != 4:
        raise Odd("a line `# target: <apiVersion> <kind> <namespace or -> <name>` should come first")
    api_version, kind, namespace, name = words
    target = ObjectRef(api_version=api_version, kind=kind, name=name, namespace=None if namespace == "-" else namespace)
    names: dict[str, str] = {}
    values: dict[str, str] = {}
    for number, operation in enumerate(operations):
        at = f"[{number}]"
        entry = _only_keys(operation, ("op", "path", "value"), at)
        match = _ADDED.fullmatch(str(entry.get("path", "")))
        if match is None or entry.get("op") != ("test" if match[4] == "name" else "add"):
            raise Odd("is nothing that Trimtab writes here", at)
        base, role, bound, resource = match[1], match[2], match[5], match[6]
        if entry["op"] == "test":
            names[base] = str(entry.get("value"))
        elif resource:
            if base not in names:
                raise Odd("a test of the container's name should come before it", at)
            values[f"{role}/{names[base]}/{bound}/{resource}"] = _quantity(entry.get("value"), at)
    return MachineFile(form="requests", target=target, values=values)


def leading_comment(text: bytes, key: str) -> str:
    """What follows ``# <key>:`` in the comment at the head of a file; "" when it is not there."""
    for line in text.decode("utf-8-sig").splitlines():
        if not line.startswith("#"):
            return ""
        if line.startswith(f"# {key}:"):
            return line.partition(":")[2].strip()
    return ""


def read_hpa(value: dict[str, Any]) -> MachineFile:
    _only_keys(value, ("apiVersion", "kind", "metadata", "spec"), "")
    own = _identity(value)
    if own.kind != "HorizontalPodAutoscaler":
        raise Odd("should be a HorizontalPodAutoscaler", "kind")
    fields = ("scaleTargetRef", "minReplicas", "maxReplicas", "metrics", "behavior")
    spec = _only_keys(value.get("spec"), fields, "spec")
    ref = mapping(spec.get("scaleTargetRef"))
    target = _identity({**ref, "metadata": {"name": ref.get("name"), "namespace": own.namespace}})
    if target.name != own.name:
        raise Odd(f"should have the name of the HPA, {own.name}", "spec.scaleTargetRef.name")
    values = {key: str(spec[key]) for key in ("minReplicas", "maxReplicas") if type(spec.get(key)) is int}
    policy = texts(mapping(value.get("metadata")).get("annotations")).get(POLICY_ANNOTATION)
    if policy:
        values["policy"] = policy
    for metric in spec.get("metrics") or ():
        values |= _metric(metric)
    for direction, rule in _only_keys(spec.get("behavior") or {}, ("scaleUp", "scaleDown"), "spec.behavior").items():
        values |= _behavior(direction, mapping(rule))
    return MachineFile(form="hpa", target=target, values=values)


def _metric(metric: Any) -> dict[str, str]:
    resource = mapping(mapping(metric).get("resource"))
    name, target = resource.get("name"), mapping(resource.get("target"))
    if name in ("cpu", "memory") and target.get("type") == "Utilization" and "averageUtilization" in target:
        return {f"metrics/{name}": f"{target['averageUtilization']}%"}
    if name in ("cpu", "memory") and target.get("type") == "AverageValue":
        return {f"metrics/{name}": _quantity(target.get("averageValue"), "spec.metrics")}
    raise Odd("holds a metric that Trimtab does not write", "spec.metrics")


def _behavior(direction: str, rule: dict[str, Any]) -> dict[str, str]:
    values: dict[str, str] = {}
    at = f"behavior/{direction}"
    if "stabilizationWindowSeconds" in rule:
        values[f"{at}/stabilizationWindowSeconds"] = str(rule["stabilizationWindowSeconds"])
    policies = rule.get("policies") or []
    if len(policies) > 1 or any(mapping(policy).get("type") != "Pods" for policy in policies):
        raise Odd("should have one policy, of type Pods", f"spec.behavior.{direction}.policies")
    for policy in policies:
        values |= {f"{at}/pods": str(policy.get("value")), f"{at}/periodSeconds": str(policy.get("periodSeconds"))}
    return values


def read_quota(value: dict[str, Any]) -> MachineFile:
    target, spec = _patch(value, "ResourceQuota")
    hard = mapping(_only_keys(spec, ("hard",), "spec").get("hard"))
    values = {f"hard/{key}": _quantity(quantity, f"spec.hard[{key}]") for key, quantity in hard.items()}
    return MachineFile(form="quota", target=target, values=values)


def read_node_pool(value: dict[str, Any]) -> MachineFile:
    target, spec = _patch(value, "NodePool")
    limits = mapping(_only_keys(spec, ("limits",), "spec").get("limits"))
    values = {f"limits/{key}": _quantity(quantity, f"spec.limits.{key}") for key, quantity in limits.items()}
    return MachineFile(form="nodepool", target=target.model_copy(update={"namespace": None}), values=values)


def read_replicas(value: dict[str, Any]) -> MachineFile:
    target, spec = _patch(value)
    if _only_keys(spec, ("replicas",), "spec") != {"replicas": None}:
        raise Odd("should be null: the HPA decides", "spec.replicas")
    return MachineFile(form="replicas", target=target, values={"replicas": "null"})


def read_turndown(documents: list[Document], text: bytes, namespace: str) -> MachineFile:
    """``turndown.yaml``: a patch a document, or a PatchTransformer with that patch in it.

    ``namespace`` is the live one, by the file's place.
    """
    values: dict[str, str] = {}
    for document in documents:
        patch = _only_keys(document.value, ("apiVersion", "kind", "metadata", "spec", "target", "patch"), "")
        if patch.get("kind") == "PatchTransformer":
            patch = _inner_patch(patch.get("patch"))
        target, spec = _patch(patch)
        values[target.key] = _rest(_only_keys(spec, ("replicas", "suspend"), "spec"))
    if not values:
        raise Odd("names no workload")
    if action := leading_comment(text, "action"):
        values["action"] = action
    return MachineFile(
        form="turndown", target=ObjectRef(api_version="v1", kind="Namespace", name=namespace), values=values
    )


def patched_by(transformer: dict[str, Any]) -> tuple[str, ...]:
    """The key of the object that a PatchTransformer of a turndown patches; none where that cannot be read."""
    try:
        return (_identity(_inner_patch(transformer.get("patch"))).key,)
    except Odd:
        return ()


def _inner_patch(patch: Any) -> dict[str, Any]:
    try:
        documents = load_all(str(patch).encode(), path="patch")
    except InputError as error:
        raise Odd(error.message, "patch") from None
    if len(documents) != 1 or not isinstance(documents[0].value, dict):
        raise Odd("should be one strategic merge patch", "patch")
    return documents[0].value


def _rest(spec: dict[str, Any]) -> str:
    if type(spec.get("replicas")) is int and spec == {"replicas": 0}:
        return "replicas=0"
    if spec == {"suspend": True}:
        return "suspend=true"
    raise Odd("should be replicas: 0 or suspend: true", "spec")
