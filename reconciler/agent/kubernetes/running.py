"""The Kubernetes agent: opens what it needs, and makes its rounds."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from reconciler.agent.kubernetes.applying import Applier, Outcome
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
    with opened(link, options, stop=stop, clock=clock, say=say) as rounds:
        if once:
            rounds.once()
        else:
            rounds.run(stop)


@contextmanager
def opened(
    link: Link, options: KubernetesOptions, *, stop: threading.Event, clock: Clock, say: Say
) -> Iterator[Rounds[Outcome]]:
    """An agent that is ready for its rounds; raises what :func:`run` raises at the start."""

    def pause(seconds: float) -> None:
        stop.wait(seconds)

    with ExitStack() as stack:
        prometheus = None
        if options.prometheus:
            given = Prometheus(options.prometheus, cluster=options.cluster, token=options.prometheus_token)
            prometheus = stack.enter_context(closing(given))
        cluster = Cluster.open(kubeconfig=options.kubeconfig, context=options.context, sleep=pause)
        stack.enter_context(closing(cluster))
        listing = Listing(cluster, say, stopwatch())
        observer = Observer(listing, Meter(listing, prometheus, say))
        applier = Applier(cluster, link, options, clock=clock, say=say)
        yield Rounds(link, observer, applier, clock=clock, say=say)
