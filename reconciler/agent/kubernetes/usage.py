"""What containers and nodes use right now: from metrics.k8s.io, or from a Prometheus where that is not there.

How much a container is throttled only Prometheus knows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.agent.kubernetes.kinds import NODE_METRICS, POD_METRICS, Listing
from reconciler.agent.kubernetes.prometheus import CPU, MEMORY, THROTTLED, Key, Prometheus, PrometheusAway
from reconciler.agent.kubernetes.quantities import mebibytes, millicores
from reconciler.agent.options import Say
from reconciler.model.quantity import MIB

Json = Mapping[str, Any]

_NO_USAGE = "no usage is pushed: the cluster has no metrics.k8s.io that the agent may read"
_NO_ANSWER = "no usage is pushed: metrics.k8s.io does not answer"
_CHECK = "see that it runs, that --prometheus is its address, and that it scrapes cAdvisor"
_NEXT_STEP = "install metrics-server, or start the agent with --prometheus URL"


@dataclass(frozen=True)
class Usage:
    """``containers`` and ``nodes``: millicores and MiB, by namespace, pod and container, and by node. ``throttled``: percent."""

    containers: Mapping[Key, tuple[float | None, float | None]] = field(default_factory=dict)
    nodes: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    throttled: Mapping[Key, float] = field(default_factory=dict)


class Meter:
    """Reads usage, round after round."""

    def __init__(self, listing: Listing, prometheus: Prometheus | None, say: Say) -> None:
        self._listing, self._prometheus, self._say = listing, prometheus, say
        self._said = ""

    def read(self) -> Usage:
        """What is known now; never fails: what cannot be read is left out, and said once."""
        containers: dict[Key, tuple[float | None, float | None]] = {}
        nodes: dict[str, tuple[float, float]] = {}
        trouble = self._metrics(containers, nodes)
        throttled: dict[Key, float] = {}
        if self._prometheus is not None:
            try:
                containers = self._asked(self._prometheus) if trouble else containers
                throttled = self._prometheus.ask(THROTTLED)
                trouble = ""
            except PrometheusAway as error:
                trouble = error.message
        self._tell(trouble)
        return Usage(containers, nodes, {key: round(min(share, 1.0) * 100, 1) for key, share in throttled.items()})

    def _metrics(
        self,
        containers: dict[Key, tuple[float | None, float | None]],
        nodes: dict[str, tuple[float, float]],
    ) -> str:
        """Fill both from metrics.k8s.io; gives why there is nothing in ``containers``, if so."""

        def pod(item: Json) -> None:
            metadata = item["metadata"]
            for one in item.get("containers") or ():
                containers[metadata["namespace"], metadata["name"], one["name"]] = _used(one["usage"])

        def node(item: Json) -> None:
            nodes[item["metadata"]["name"]] = _used(item["usage"])

        outcome = self._listing.each(POD_METRICS, pod)
        if outcome != "listed":
            containers.clear()
            return _NO_USAGE if outcome == "absent" else _NO_ANSWER
        if self._listing.each(NODE_METRICS, node) != "listed":
            nodes.clear()
        return ""

    @staticmethod
    def _asked(prometheus: Prometheus) -> dict[Key, tuple[float | None, float | None]]:
        cores, size = prometheus.ask(CPU), prometheus.ask(MEMORY)
        return {
            key: (
                round(cores[key] * 1000, 3) if key in cores else None,
                round(size[key] / MIB, 3) if key in size else None,
            )
            for key in cores.keys() | size.keys()
        }

    def _tell(self, trouble: str) -> None:
        if trouble == self._said:
            return
        self._said = trouble
        if not trouble:
            self._say.info("usage can be read again")
        elif trouble in (_NO_USAGE, _NO_ANSWER):
            self._say.warning(trouble, next=_NEXT_STEP)
        else:
            self._say.warning("usage cannot be read from Prometheus", error=trouble, next=_CHECK)


def _used(usage: Json) -> tuple[float, float]:
    return millicores(usage["cpu"]), mebibytes(usage["memory"])
