"""Which namespaces an action on whole namespaces (quotas, turndown) is about."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.evaluate.filters import Filter, FilterSubject, parse
from reconciler.model.action import ActionConfig

NO_LABELS: Mapping[str, str] = {}


@dataclass(frozen=True, eq=False)
class Scope:
    """An action's clusters, namespaces and filter; all that are given must match.

    ``cluster_ids`` by cluster name: an action may name a cluster either way.
    """

    action: ActionConfig
    filter: Filter
    cluster_ids: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of(action: ActionConfig, cluster_ids: Mapping[str, str] | None = None) -> "Scope":
        """:raises FilterError: when the action's filter cannot be read."""
        return Scope(action, parse(action.filter), cluster_ids or {})

    def covers(self, cluster: str, namespace: str, labels: Mapping[str, str] = NO_LABELS) -> bool:
        """``labels`` of the Namespace object, where Git has one."""
        action = self.action
        named = set(action.clusters)
        if named and not named & {"all", cluster, self.cluster_ids.get(cluster, cluster)}:
            return False
        if action.namespaces and namespace not in action.namespaces:
            return False
        return self.filter.matches(FilterSubject(cluster=cluster, namespace=namespace, labels=dict(labels)))
