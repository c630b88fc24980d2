"""What an agent lists, and how often it tries: one list of each kind in each round.

A kind that is not served, that the agent may not list, or that fails again and again is left alone for five minutes, so that
it costs neither the round nor the API server anything.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from reconciler.agent.kubernetes.answers import Denied, Missing, NoSuchKind, Unknown
from reconciler.agent.kubernetes.cluster import Cluster
from reconciler.agent.options import Say
from reconciler.errors import RetryLater, TrimtabError

REST_SECONDS = 300.0
"""Until a kind that could not be listed is asked for again."""

MOST_FAILURES = 3
"""Rounds in a row that a kind may fail before the others go on without it."""

_GIVE_UP = 3
"""Kinds in a row that the API server does not answer: then it is away, and the round is over."""


class Kind(NamedTuple):
    """``resource``: its plural with its group, as ``kubectl auth can-i list`` takes it."""

    api_version: str
    kind: str
    resource: str
    optional: bool = False
    """Of an add-on: a cluster without it lacks nothing."""


PODS = Kind("v1", "Pod", "pods")
NODES = Kind("v1", "Node", "nodes")
WORKLOADS = (
    Kind("apps/v1", "Deployment", "deployments.apps"),
    Kind("apps/v1", "StatefulSet", "statefulsets.apps"),
    Kind("apps/v1", "DaemonSet", "daemonsets.apps"),
    Kind("batch/v1", "CronJob", "cronjobs.batch"),
    Kind("argoproj.io/v1alpha1", "Rollout", "rollouts.argoproj.io", optional=True),
)
QUOTAS = Kind("v1", "ResourceQuota", "resourcequotas")
LIMIT_RANGES = Kind("v1", "LimitRange", "limitranges")
HPAS = (
    Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers.autoscaling"),
    Kind("keda.sh/v1alpha1", "ScaledObject", "scaledobjects.keda.sh", optional=True),
)
BUDGETS = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets.policy")
NODE_POOLS = Kind("karpenter.sh/v1", "NodePool", "nodepools.karpenter.sh", optional=True)
POD_METRICS = Kind("metrics.k8s.io/v1beta1", "PodMetrics", "pods.metrics.k8s.io", optional=True)
NODE_METRICS = Kind("metrics.k8s.io/v1beta1", "NodeMetrics", "nodes.metrics.k8s.io", optional=True)

METRICS = (POD_METRICS, NODE_METRICS)
"""Served by another server, behind the API server: when it is away, that says nothing of the API server."""

Outcome = Literal["listed", "absent", "failed"]
"""``absent``: there is nothing to be had of that kind for a while. ``failed``: there may be in the next round."""


@dataclass
class _Trouble:
    """What stands in the way of one kind. ``until``: by the stopwatch; ``said`` is what was logged of it last."""

    until: float = 0.0
    failures: int = 0
    said: str = ""


class Listing:
    """The lists of one cluster, round after round."""

    def __init__(self, cluster: Cluster, say: Say, elapsed: Callable[[], float]) -> None:
        """``elapsed``: a stopwatch, in seconds."""
        self._cluster, self._say, self._elapsed = cluster, say, elapsed
        self._troubles: dict[Kind, _Trouble] = {}
        self._unanswered = 0
        self._failed: dict[Kind, RetryLater] = {}
        self._odd: set[tuple[Kind, str]] = set()

    def begin(self) -> None:
        """A new round."""
        self._unanswered = 0
        self._failed = {}

    def end(self) -> None:
        """The round came to its end: what failed in it, while others went well, has failed once more.

        Metrics are asked for in each round all the same: nothing waits for them, and without them policies do not scale.
        """
        for kind, error in self._failed.items():
            if kind in METRICS:
                continue
            trouble = self._troubles[kind]
            trouble.failures += 1
            if trouble.failures >= MOST_FAILURES:
                trouble.until = self._elapsed() + REST_SECONDS
                if not trouble.said:
                    trouble.said = error.message
                    self._say.warning(f"{kind.resource} is left out: it cannot be listed", error=error.message)

    def each(self, kind: Kind, take: Callable[[dict[str, Any]], None]) -> Outcome:
        """Give every object of a kind to ``take``, page by page. What was taken counts only where the outcome is ``listed``.

        :raises RetryLater: when the API server answers nothing any more: the round is over. :raises Unknown: likewise, when it
            does not know who the agent is.
        """
        trouble = self._troubles.setdefault(kind, _Trouble())
        if self._elapsed() < trouble.until:
            return "absent"
        try:
            for item in self._cluster.list(kind.api_version, kind.kind):
                self._taken(kind, item, take)
        except Unknown:
            raise
        except (NoSuchKind, Missing, Denied) as error:
            self._rest(kind, trouble, error)
            return "absent"
        except RetryLater as error:
            self._failed[kind] = error
            self._unanswered += kind not in METRICS
            if self._unanswered >= _GIVE_UP:
                raise
            return "failed"
        self._unanswered = 0
        self._well(kind, trouble)
        return "listed"

    def _taken(self, kind: Kind, item: dict[str, Any], take: Callable[[dict[str, Any]], None]) -> None:
        """One object that says something unheard of is left out, and named; the others are taken all the same."""
        try:
            take(item)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            metadata = item.get("metadata") or {}
            name = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}".lstrip("/")
            if (kind, name) not in self._odd:
                self._odd.add((kind, name))
                self._say.warning(f"{kind.kind} {name} is left out: it cannot be read", error=repr(error))

    def _well(self, kind: Kind, trouble: _Trouble) -> None:
        if trouble.said:
            self._say.info(f"{kind.resource} can be listed again")
        self._troubles[kind] = _Trouble()

    def _rest(self, kind: Kind, trouble: _Trouble, error: TrimtabError) -> None:
        trouble.until = self._elapsed() + REST_SECONDS
        if trouble.said == error.message:
            return
        trouble.said = error.message
        if isinstance(error, Denied):
            self._say.warning(
                f"{kind.resource} is left out: the agent may not list it",
                error=error.message,
                next=f"allow the verb list on {kind.resource} in the agent's ClusterRole",
            )
        elif not kind.optional:
            self._say.warning(
                f"{kind.resource} is left out: the cluster does not serve it", error=error.message, next=error.hint
            )
        else:
            trouble.said = ""  # an add-on that is not installed is nothing to speak of, nor when it is there one day
