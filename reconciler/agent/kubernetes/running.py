"""The Kubernetes agent: opens what it needs, and makes its rounds."""

import threading

from reconciler.agent.kubernetes.applying import Applier
from reconciler.agent.kubernetes.cluster import Cluster
from reconciler.agent.kubernetes.kinds import Listing
from reconciler.agent.kubernetes.observing import Observer
from reconciler.agent.kubernetes.prometheus import Prometheus
from reconciler.agent.kubernetes.rounds import Rounds
from reconciler.agent.kubernetes.usage import Meter
from reconciler.agent.link import Link
from reconciler.agent.options import KubernetesOptions, Say
from reconciler.clock import Clock, stopwatch


def run(
    link: Link, options: KubernetesOptions, *, stop: threading.Event, clock: Clock, say: Say, once: bool = False
) -> None:
    """Until ``stop`` is set; or one round, and :raises TrimtabError: what went wrong in it.

    :raises Stalled: when there is no way to a cluster, or the address of Prometheus is none.
    """

    def pause(seconds: float) -> None:
        stop.wait(seconds)

    prometheus = Prometheus(options.prometheus, cluster=options.cluster) if options.prometheus else None
    cluster = Cluster.open(kubeconfig=options.kubeconfig, context=options.context, sleep=pause)
    listing = Listing(cluster, say, stopwatch())
    observer = Observer(listing, Meter(listing, prometheus, say))
    applier = Applier(cluster, link, options, clock=clock, say=say)
    rounds = Rounds(link, observer, applier, clock=clock, say=say)
    try:
        rounds.once() if once else rounds.run(stop)
    finally:
        cluster.close()
        if prometheus is not None:
            prometheus.close()
