"""What a recommendation is computed from: one value per cluster and set of parameters."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from reconciler.evaluate.sizing_base import Rules, rules_of
from reconciler.evaluate.sizing_bounds import Bounds, merge_bounds
from reconciler.model.action import SizingParameters
from reconciler.model.change import Refusal
from reconciler.model.fleet import Pricing, Root
from reconciler.model.inventory import LimitRangeItem, PersonHpa, Quota
from reconciler.model.machine_file import MachineFile
from reconciler.model.observation import OomRecord, SeriesKey, UsageSummary
from reconciler.model.workload import RESOURCES, Container, Resource, Workload, WorkloadKey

SeriesName = tuple[str, str, str, str, Resource]
"""Namespace, kind and name of a workload, a container's name, and a resource."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SizingContext:
    """Everything beside the workload itself. Make one per root and action, not one per workload: LimitRanges, HPAs and
    refusals are indexed once.

    ``action`` is the name of the action config whose ``params`` these are, empty for the fleet's ``rightsizing``;
    ``subject`` its id, against which ``refusals`` count (empty = the name). ``usage`` is over the parameters' window;
    ``usage_by_name`` the same by plain texts, of the context's own cluster: found in a tenth of the time.
    ``hpa_files`` and ``requests_files``: Trimtab's own files as they stand in the overlay. ``policy_cpu_percent`` and
    ``policy_memory``: what the live policy on a workload scales on. ``replicas``: as observed. ``largest_node``:
    millicores and bytes. ``root`` says where edits would land (None = an overlay in the workload's root).
    """

    now: datetime
    params: SizingParameters = field(default_factory=SizingParameters)
    pricing: Pricing = field(default_factory=Pricing)
    action: str = ""
    subject: str = ""
    root: Root | None = None
    usage: Mapping[SeriesKey, UsageSummary] = field(default_factory=dict)
    usage_by_name: Mapping[SeriesName, UsageSummary] | None = None
    ooms: Mapping[tuple[WorkloadKey, str], OomRecord] = field(default_factory=dict)
    limit_ranges: tuple[LimitRangeItem, ...] = ()
    person_hpas: tuple[PersonHpa, ...] = ()
    hpa_files: Mapping[WorkloadKey, MachineFile] = field(default_factory=dict)
    policy_cpu_percent: Mapping[WorkloadKey, float] = field(default_factory=dict)
    policy_memory: frozenset[WorkloadKey] = frozenset()
    requests_files: Mapping[WorkloadKey, MachineFile] = field(default_factory=dict)
    replicas: Mapping[WorkloadKey, int] = field(default_factory=dict)
    largest_node: tuple[int, int] | None = None
    refusals: tuple[Refusal, ...] = ()
    quotas: tuple[Quota, ...] = ()

    @property
    def subject_id(self) -> str:
        return self.subject or self.action

    def root_of(self, workload: Workload) -> Root:
        """Where edits of the workload would be written."""
        return self.root or Root(path=workload.root)

    def rules(self, resource: Resource) -> Rules:
        return self._rules[resource]

    def summary(self, workload: Workload, container: Container, resource: Resource) -> UsageSummary | None:
        """What is known of one series. Looked up as it comes: ``usage`` is a whole cluster's and shared by many contexts."""
        key = workload.key
        if self.usage_by_name is not None:
            return self.usage_by_name.get((key.namespace, key.kind, key.name, container.name, resource))
        return self.usage.get(SeriesKey(workload=key, container=container.name, resource=resource))

    def observed_replicas(self, workload: Workload) -> int | None:
        return self.replicas.get(workload.key) if self.replicas else None

    def node(self, resource: Resource) -> int | None:
        """What the largest node has of a resource: millicores or bytes."""
        if self.largest_node is None:
            return None
        return self.largest_node[0 if resource == "cpu" else 1]

    def bounds(self, workload: Workload, resource: Resource) -> Bounds:
        """What the namespace's LimitRanges ask of each container of the workload.

        Items of type Pod bind the sum over the pod's containers; they are applied where there is just one.
        """
        if not self.limit_ranges:
            return NO_BOUNDS
        whole = len(workload.containers) == 1
        return self._bounds.get((workload.key.namespace, whole, resource), NO_BOUNDS)

    def oom(self, workload: Workload, container: Container) -> OomRecord | None:
        """What is known of the container's OOM kills and restarts in the window."""
        return self.ooms.get((workload.key, container.name)) if self.ooms else None

    def hpas_on(self, workload: Workload) -> tuple[PersonHpa, ...]:
        """People's HPAs and ScaledObjects that scale the workload."""
        key = workload.key
        return tuple(self._hpas.get((key.namespace, key.kind, key.name), ()))

    def refusals_at(self, path: str, name: str) -> tuple[Refusal, ...]:
        """Refusals of one field of one file."""
        return tuple(self._refusals.get((path, name), ()))

    def quotas_of(self, namespace: str) -> tuple[Quota, ...]:
        return tuple(self._quotas.get(namespace, ()))

    @cached_property
    def _rules(self) -> dict[Resource, Rules]:
        return {resource: rules_of(self.params, resource) for resource in RESOURCES}

    @cached_property
    def _bounds(self) -> dict[tuple[str, bool, Resource], Bounds]:
        """By namespace, whether the pod is a single container, and resource."""
        items: dict[tuple[str, bool], list[LimitRangeItem]] = defaultdict(list)
        for item in self.limit_ranges:
            for whole in (True, False):
                if item.type == "Container" or (item.type == "Pod" and whole):
                    items[item.namespace, whole].append(item)
        return {
            (namespace, whole, resource): merge_bounds(found, resource)
            for (namespace, whole), found in items.items()
            for resource in RESOURCES
        }

    @cached_property
    def _hpas(self) -> dict[tuple[str, str, str], list[PersonHpa]]:
        found: dict[tuple[str, str, str], list[PersonHpa]] = defaultdict(list)
        for hpa in self.person_hpas:
            found[hpa.namespace, hpa.target_kind, hpa.target_name].append(hpa)
        return dict(found)

    @cached_property
    def _refusals(self) -> dict[tuple[str, str], list[Refusal]]:
        found: dict[tuple[str, str], list[Refusal]] = defaultdict(list)
        for refusal in self.refusals:
            if refusal.subject == self.subject_id:
                found[refusal.path, refusal.field].append(refusal)
        return dict(found)

    @cached_property
    def _quotas(self) -> dict[str, list[Quota]]:
        found: dict[str, list[Quota]] = defaultdict(list)
        for quota in self.quotas:
            found[quota.namespace].append(quota)
        return dict(found)


NO_BOUNDS = Bounds()
