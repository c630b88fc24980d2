"""Objects on their way through kustomize's transformers: which name and namespace each has, and had before.

What is worked out here was tried against kustomize 5.5 and 5.8, and is held against the real one by tests:

- ``namespace`` applies to every object but those of the cluster-scoped kinds that kustomize knows; custom kinds such as
  NodePool get one too. A v1 Namespace is renamed to it.
- ``namePrefix`` and ``nameSuffix`` apply to every kind but Namespace, CustomResourceDefinition and APIService; nested
  ones compose, the inner one stands closer to the name.
- Within a build, an object without a namespace is in ``default``: two objects that differ in this only are duplicates.
- A patch ``target`` is compared with the first and with the current name (and namespace) of each object.
"""

from collections import defaultdict
from collections.abc import Iterable

from reconciler.manifests.kustomization import Kustomization
from reconciler.manifests.objects_declared import Declared, HpaSpec, WorkloadSpec

_CLUSTER_SCOPED = {
    "": {"ComponentStatus", "Namespace", "Node", "PersistentVolume"},
    "admissionregistration.k8s.io": {"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"},
    "apiextensions.k8s.io": {"CustomResourceDefinition"},
    "apiregistration.k8s.io": {"APIService"},
    "certificates.k8s.io": {"CertificateSigningRequest"},
    "flowcontrol.apiserver.k8s.io": {"FlowSchema", "PriorityLevelConfiguration"},
    "networking.k8s.io": {"IngressClass"},
    "node.k8s.io": {"RuntimeClass"},
    "policy": {"PodSecurityPolicy"},
    "rbac.authorization.k8s.io": {"ClusterRole", "ClusterRoleBinding"},
    "scheduling.k8s.io": {"PriorityClass"},
    "storage.k8s.io": {"CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"},
}
"""By group, the kinds that kustomize's own schema says are not in a namespace."""

_UNPREFIXED = frozenset({"Namespace", "CustomResourceDefinition", "APIService"})
_TEMPLATED = {"Deployment": "apps", "StatefulSet": "apps", "DaemonSet": "apps", "Job": "batch", "CronJob": "batch"}
"""Kinds in whose pod template ``labels`` are set."""

_PREVIOUS = "internal.config.kubernetes.io/previous"

Identity = tuple[str, str, str, str]
"""apiVersion, kind, effective namespace, name."""


class Placed:
    """One object at one level of a build. ``history``: its names and effective namespaces before the current ones."""

    __slots__ = (
        *("annotations", "declared", "history", "labels", "name", "namespace", "pod_labels", "prefixes", "suffixes"),
        "target_name",
    )

    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self.name = declared.ref.name
        self.namespace = declared.ref.namespace
        self.history: tuple[tuple[str, str], ...] = ()
        self.prefixes: tuple[str, ...] = ()
        self.suffixes: tuple[str, ...] = ()
        self.labels = declared.labels
        self.annotations = declared.annotations
        spec = declared.spec
        self.pod_labels = spec.pod_labels if isinstance(spec, WorkloadSpec) else {}
        self.target_name = spec.target_name if isinstance(spec, HpaSpec) else ""

    @property
    def cluster_scoped(self) -> bool:
        """As far as kustomize knows."""
        ref = self.declared.ref
        return ref.kind in _CLUSTER_SCOPED.get(ref.group, ())

    @property
    def effective_namespace(self) -> str:
        return "_non_namespaceable_" if self.cluster_scoped else self.namespace or "default"

    @property
    def identity(self) -> Identity:
        """What kustomize allows once in a build."""
        ref = self.declared.ref
        return ref.api_version, ref.kind, self.effective_namespace, self.name

    def _remember(self) -> None:
        self.history = (*self.history, (self.name, self.effective_namespace))

    def transform(self, by: Kustomization) -> None:
        """Apply one kustomization's transformers, in kustomize's order."""
        ref = self.declared.ref
        if by.namespace:
            self._remember()
            if ref.kind == "Namespace" and ref.api_version == "v1":
                self.name = by.namespace
            elif not self.cluster_scoped:
                self.namespace = by.namespace
        if ref.kind not in _UNPREFIXED:
            if by.name_prefix:
                self._remember()
                self.name = by.name_prefix + self.name
                self.prefixes = (*self.prefixes, by.name_prefix)
            if by.name_suffix:
                self._remember()
                self.name = self.name + by.name_suffix
                self.suffixes = (*self.suffixes, by.name_suffix)
        for labels in by.labels:
            self.labels = {**self.labels, **labels.pairs}
            if ref.kind == "Pod" or (labels.templates and _TEMPLATED.get(ref.kind) == ref.group):
                self.pod_labels = {**self.pod_labels, **labels.pairs}
        if by.annotations:
            self.annotations = {**self.annotations, **by.annotations}


def duplicates(objects: Iterable[Placed]) -> list[tuple[Placed, Placed]]:
    """Pairs of objects with one identity: the first of each, and the later one."""
    seen: dict[Identity, Placed] = {}
    found = []
    for placed in objects:
        first = seen.setdefault(placed.identity, placed)
        if first is not placed:
            found.append((first, placed))
    return found


def twins(objects: Iterable[Placed]) -> list[tuple[Placed, str]]:
    """Objects whose exact patch target (name and namespace) hits another one too, each with what tells it apart.

    That is an ``annotationSelector`` on kustomize's own notes of previous names, which it keeps on objects during a
    build: an object that was never transformed has none, and one previous name can be compared (several are joined by
    a comma, which a selector cannot hold). "" where these notes do not differ, so that no target is exact.
    """
    answering: dict[Identity, list[Placed]] = defaultdict(list)
    objects = list(objects)
    for placed in objects:
        for identity in _answers_to(placed):
            answering[identity].append(placed)
    return [
        (placed, _selector(placed, others))
        for placed in objects
        if len(answering[placed.identity]) > 1
        and (others := [other for other in answering[placed.identity] if other is not placed])
    ]


def _answers_to(placed: Placed) -> set[Identity]:
    """Every identity at which a patch target matches: first or current name, in first or current namespace."""
    if not placed.history:
        return {placed.identity}
    ref = placed.declared.ref
    first_name, first_namespace = placed.history[0]
    return {
        (ref.api_version, ref.kind, namespace, name)
        for namespace in (first_namespace, placed.effective_namespace)
        for name in (first_name, placed.name)
    }


def _selector(placed: Placed, others: list[Placed]) -> str:
    requirements = {_requirement(placed, other) for other in others}
    return "" if "" in requirements else ",".join(sorted(requirements))


def _requirement(placed: Placed, other: Placed) -> str:
    """What holds for ``placed`` and not for ``other``.

    Only forms that stay right when ``other`` is patched by JSON 6902 before, which notes its name once more.
    """
    if not placed.history:
        return f"!{_PREVIOUS}Names"
    if len(placed.history) > 1:
        return ""
    for part, note in enumerate(("Names", "Namespaces")):
        mine, theirs = placed.history[0][part], [entry[part] for entry in other.history]
        if theirs != [mine] and mine != "_non_namespaceable_":
            return f"{_PREVIOUS}{note}={mine}"
    return ""
