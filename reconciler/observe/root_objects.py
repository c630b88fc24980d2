"""Placed objects → the models of an inventory, each with its identity where the component runs and in the cluster."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from reconciler.manifests.objects_declared import (
    HpaSpec,
    LimitRangeSpec,
    NodePoolSpec,
    QuotaSpec,
    WorkloadSpec,
    is_label,
    is_name,
)
from reconciler.manifests.objects_placed import Placed
from reconciler.model.fleet import Root
from reconciler.model.inventory import LimitRangeItem, NodePool, PersonHpa, Problem, Quota
from reconciler.model.workload import ObjectRef, Workload, WorkloadKey


@dataclass
class RootObjects:
    """The typed objects of one root, in the order in which kustomize would come by them."""

    cluster: str
    root: Root
    workloads: list[Workload] = field(default_factory=list)
    hpas: list[PersonHpa] = field(default_factory=list)
    node_pools: list[NodePool] = field(default_factory=list)
    quotas: list[Quota] = field(default_factory=list)
    limit_ranges: list[LimitRangeItem] = field(default_factory=list)
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    _live: dict[tuple[str, str, str], Placed] = field(default_factory=dict)

    def add_all(self, objects: Iterable[Placed]) -> "RootObjects":
        for placed in objects:
            ref = placed.declared.ref
            if ref.kind == "Namespace" and ref.api_version == "v1":
                self.namespaces[placed.name] = dict(placed.labels)
            elif placed.declared.spec is not None and self._usable(placed):
                self._add(placed)
        return self

    def live_namespace(self, placed: Placed) -> str:
        """Where the object is in the cluster: its own namespace, else what the root's objects without one get."""
        return placed.namespace or self.root.namespace

    def _usable(self, placed: Placed) -> bool:
        """Whether the names can exist in a cluster, and no other object has them there."""
        namespace, kind = self.live_namespace(placed), placed.declared.ref.kind
        if not is_name(placed.name):
            self._problem(placed, f"{placed.name!r} is not a name that Kubernetes takes", "metadata.name")
            return False
        if not is_label(namespace):
            self._problem(placed, f"{namespace!r} is not a namespace that Kubernetes takes", "metadata.namespace")
            return False
        first = self._live.setdefault((kind, "" if kind == "NodePool" else namespace, placed.name), placed)
        if first is not placed:
            other = first.declared.source
            self._problem(
                placed,
                f"is the same object in the cluster as the one in {other.path}:{other.line}: {kind} {namespace}/{placed.name}",
                "metadata.namespace",
                hint=f"an object without a namespace gets the root's, {self.root.namespace}; the first one is used",
            )
        return first is placed

    def _problem(self, placed: Placed, message: str, at: str, hint: str = "") -> None:
        source = placed.declared.source
        self.problems.append(Problem(path=source.path, line=source.line, field=at, message=message, hint=hint))

    def _add(self, placed: Placed) -> None:
        match placed.declared.spec:
            case WorkloadSpec() as spec:
                self.workloads.append(self._workload(placed, spec))
            case HpaSpec() as spec:
                self.hpas.append(self._hpa(placed, spec))
            case NodePoolSpec() as spec:
                self.node_pools.append(self._node_pool(placed, spec))
            case QuotaSpec() as spec:
                self.quotas.append(self._quota(placed, spec))
            case LimitRangeSpec() as spec:
                names = {"namespace": self.live_namespace(placed), "name": placed.name}
                self.limit_ranges += [item.model_copy(update=names) for item in spec.items]

    def _ref(self, placed: Placed, *, namespaced: bool = True) -> ObjectRef:
        ref = placed.declared.ref
        namespace = placed.namespace if namespaced else None
        if ref.name == placed.name and ref.namespace == namespace:
            return ref
        return ObjectRef(api_version=ref.api_version, kind=ref.kind, name=placed.name, namespace=namespace)

    def _workload(self, placed: Placed, spec: WorkloadSpec) -> Workload:
        key = WorkloadKey(
            cluster=self.cluster,
            namespace=self.live_namespace(placed),
            kind=placed.declared.ref.kind,
            name=placed.name,
        )
        return Workload(
            key=key,
            ref=self._ref(placed),
            root=self.root.path,
            source=placed.declared.source,
            containers=spec.containers,
            replicas=spec.replicas,
            replicas_line=spec.replicas_line,
            suspend=spec.suspend,
            labels=dict(placed.labels),
            annotations=dict(placed.annotations),
            pod_labels=dict(placed.pod_labels),
            node_selector=dict(spec.node_selector),
            pod_cpu_request=spec.pod_cpu_request,
            max_surge=spec.max_surge,
            strategy=spec.strategy,
        )

    def _hpa(self, placed: Placed, spec: HpaSpec) -> PersonHpa:
        return PersonHpa(
            kind=placed.declared.ref.kind,
            namespace=self.live_namespace(placed),
            name=placed.name,
            target_kind=spec.target_kind,
            target_name=placed.target_name,
            max_replicas=spec.max_replicas,
            metrics=spec.metrics,
            source=placed.declared.source,
        )

    def _node_pool(self, placed: Placed, spec: NodePoolSpec) -> NodePool:
        """``ref`` without namespace: kustomize may have set one, but a NodePool has none, and its name says enough."""
        return NodePool(
            name=placed.name,
            ref=self._ref(placed, namespaced=False),
            cpu_limit=spec.cpu_limit,
            memory_limit=spec.memory_limit,
            template_labels=dict(spec.template_labels),
            source=placed.declared.source,
        )

    def _quota(self, placed: Placed, spec: QuotaSpec) -> Quota:
        return Quota(
            namespace=self.live_namespace(placed),
            name=placed.name,
            ref=self._ref(placed),
            hard=dict(spec.hard),
            source=placed.declared.source,
        )
