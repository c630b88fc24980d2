"""What a scan asks a Prometheus, in PromQL: each question is about all containers of a cluster.

Small questions about one instant are asked together: each costs as much to send as to answer.

``max by`` and ``sum by`` leave just the labels that count: a container that was restarted has several series, each with
labels as long as an answer should be.
"""

from collections.abc import Iterable, Mapping

from reconciler.observe.prometheus import Point
from reconciler.observe.prometheus_bulk import Question
from reconciler.observe.prometheus_scope import RUNNING, Scope
from reconciler.observe.prometheus_usage import CPU, MEMORY, STEP_SECONDS, Windows

_PLACE = "namespace, pod, container"
_STARTED = "id"
"""What cAdvisor names a container of a pod by: another one after each restart."""
_ASKED = "asked"
"""The label that says which of several questions an answer is to."""

REQUESTS = "kube_pod_container_resource_requests"
LIMITS = "kube_pod_container_resource_limits"
INIT_REQUESTS = "kube_pod_init_container_resource_requests"
INIT_LIMITS = "kube_pod_init_container_resource_limits"
SIZES = (REQUESTS, LIMITS, INIT_REQUESTS, INIT_LIMITS)
INIT = "kube_pod_init_container_info"
RESTARTS = "kube_pod_container_status_restarts_total"
ENDED = "kube_pod_container_status_last_terminated_reason"

LABELS = "kube_pod_labels"
ANNOTATIONS = "kube_pod_annotations"
NODES = "kube_node_status_capacity"
LIMIT_RANGES = "kube_limitrange"
QUOTAS = "kube_resourcequota"
HPAS = "kube_horizontalpodautoscaler_info"
HPA_METRICS = "kube_horizontalpodautoscaler_spec_target_metric"

KILLED = 'reason="OOMKilled"'
SIZED = 'resource=~"cpu|memory"'

AROUND = {
    NODES: ("node, resource", SIZED),
    LIMIT_RANGES: ("namespace, limitrange, resource, type, constraint",),
    QUOTAS: ("namespace, resourcequota, resource", 'type="hard"'),
    HPAS: ("namespace, horizontalpodautoscaler, scaletargetref_kind, scaletargetref_name",),
    HPA_METRICS: ("namespace, horizontalpodautoscaler, metric_name",),
}
"""What a size has to fit in, where kube-state-metrics tells it: the labels that count, and which series."""


def cpu_over_time(function: str, windows: Windows, *parameters: str) -> Question:
    """``max_over_time`` or ``quantile_over_time`` of the cores that each container used, five minutes a sample."""

    def promql(scope: Scope, seconds: int) -> str:
        rate = f"rate({scope.series(CPU, *RUNNING)}[{windows.rate}s])"
        steps = f"{rate}[{seconds}s:{STEP_SECONDS}s]"
        return f"max by ({_PLACE}) ({function}({', '.join((*parameters, steps))}))"

    return promql


def cpu_seconds(scope: Scope, seconds: int) -> str:
    """How many seconds of a core each container used."""
    return _added(f"increase({scope.series(CPU, *RUNNING)}[{seconds}s])")


def memory_over_time(function: str, *parameters: str) -> Question:
    """A function over the bytes of every scrape."""

    def promql(scope: Scope, seconds: int) -> str:
        scrapes = f"{scope.series(MEMORY, *RUNNING)}[{seconds}s]"
        return f"max by ({_PLACE}) ({function}({', '.join((*parameters, scrapes))}))"

    return promql


def memory_sums(scope: Scope, seconds: int) -> str:
    """The bytes of all scrapes together."""
    return _added(f"sum_over_time({scope.series(MEMORY, *RUNNING)}[{seconds}s])")


def _added(vector: str) -> str:
    """Of each container: each time that it was started counts, but what two servers have scraped counts once."""
    return f"sum by ({_PLACE}) (max by ({_PLACE}, {_STARTED}) ({vector}))"


def counted(metric: str) -> Question:
    """How often each container was scraped. A millisecond less than asked, so that no scrape is in two stretches."""

    def promql(scope: Scope, seconds: int) -> str:
        return _added(f"count_over_time({scope.series(metric, *RUNNING)}[{seconds * 1000 - 1}ms])")

    return promql


def running(metric: str) -> Question:
    """The containers that run at the instant."""
    return lambda scope, _seconds: f"count by ({_PLACE}) ({scope.series(metric, *RUNNING)})"


def latest(metric: str, by: str, *matchers: str) -> Question:
    """The value at the instant, or the last one in the stretch of time."""

    def promql(scope: Scope, seconds: int) -> str:
        series = scope.series(metric, *matchers)
        return f"max by ({by}) ({f'last_over_time({series}[{seconds}s])' if seconds else series})"

    return promql


def highest(metric: str, by: str, *matchers: str) -> Question:
    """The highest value in the stretch of time, where it is not 0."""
    return lambda scope, seconds: f"max by ({by}) (max_over_time({scope.series(metric, *matchers)}[{seconds}s])) > 0"


def sizes(metric: str) -> Question:
    """Requests or limits of containers: cores and bytes, by ``resource``."""
    return latest(metric, f"{_PLACE}, resource", SIZED)


def per_container(metric: str, *matchers: str, more: str = "") -> Question:
    """One value a container, with ``more`` labels."""
    return latest(metric, f"{_PLACE}{', ' if more else ''}{more}", *matchers)


def above_zero(metric: str, *matchers: str) -> Question:
    """One value a container, of those that do not have 0: of counters and flags, by far the fewest."""
    return lambda scope, seconds: f"{per_container(metric, *matchers)(scope, seconds)} > 0"


def killed(scope: Scope, seconds: int) -> str:
    """The containers whose last end was an OOM kill, some time in the window."""
    return highest(ENDED, _PLACE, KILLED)(scope, seconds)


def together(asked: Mapping[str, Question]) -> Question:
    """All of these in one; :func:`apart` tells the answers apart. Names have no quotes in them."""

    def promql(scope: Scope, seconds: int) -> str:
        return " or ".join(
            f'label_replace({question(scope, seconds)}, "{_ASKED}", "{name}", "", "")'
            for name, question in asked.items()
        )

    return promql


def apart(points: Iterable[Point], names: Iterable[str]) -> Mapping[str, list[Point]]:
    """The answers to each of the questions that were asked together; an empty one where there was none."""
    found: dict[str, list[Point]] = {name: [] for name in names}
    for point in points:
        found.setdefault(point.labels.get(_ASKED, ""), []).append(point)
    return found


def labels_of(metric: str) -> Question:
    """``kube_pod_labels`` or ``kube_pod_annotations``: all labels are wanted."""
    return lambda scope, seconds: f"last_over_time({scope.series(metric)}[{seconds}s])"
