"""Which action config covers a container: the first by name whose scope and filter match."""

from collections.abc import Callable, Sequence

from reconciler.evaluate.filters import FilterSubject
from reconciler.model.action import ActionConfig
from reconciler.model.workload import Container, Workload

Covering = tuple[ActionConfig, Callable[[FilterSubject], bool]]
"""An action config and its parsed filter (``Filter.matches``)."""


def pick_action(
    workload: Workload, container: Container, actions: Sequence[Covering], *, cluster_id: str = ""
) -> ActionConfig | None:
    """The right-sizing action whose parameters and windows count for the container; None = the fleet's ``rightsizing``.

    Of several that match, the first by name, and then by id. An action that names clusters may do so by name or by ``cluster_id``.
    """
    best: ActionConfig | None = None
    subject: FilterSubject | None = None
    for action, matches in actions:
        if (best is not None and (action.name, action.id) >= (best.name, best.id)) or not _in_scope(
            action, workload, cluster_id
        ):
            continue
        subject = subject or subject_of(workload, container)
        if matches(subject):
            best = action
    return best


def subject_of(workload: Workload, container: Container) -> FilterSubject:
    """What a filter sees of a container that is declared and not observed: it has no node and no pod yet.

    A label of the pod template wins over the workload's own, as Kubecost's allocations carry the labels of pods.
    """
    key = workload.key
    return FilterSubject(
        cluster=key.cluster,
        namespace=key.namespace,
        controller_kind=key.kind,
        controller_name=key.name,
        container=container.name,
        labels={**workload.labels, **workload.pod_labels},
        annotations=workload.annotations,
    )


def _in_scope(action: ActionConfig, workload: Workload, cluster_id: str) -> bool:
    if not action.enabled or action.action != "containerRequestRightSizing":
        return False
    if action.namespaces and workload.key.namespace not in action.namespaces:
        return False
    # "local" and "global" both mean all clusters (DESIGN §9); a declared list of clusters narrows any scope.
    return not action.clusters or _named(action, workload, cluster_id)


def _named(action: ActionConfig, workload: Workload, cluster_id: str) -> bool:
    named = set(action.clusters)
    return "all" in named or workload.key.cluster in named or bool(cluster_id and cluster_id in named)
