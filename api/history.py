"""The usage history that the server keeps from a Prometheus (``TRIMTAB_PROMETHEUS_URL``): looked after every minute."""

import threading

import structlog

from api.server import Server
from reconciler.observe.prometheus import Prometheus
from reconciler.steps.prometheus import History, Kept

TIMEOUT_SECONDS = 60.0
"""What one answer may take. More is a server that is in trouble, and more questions would not help it."""

LOOK_SECONDS = 60.0
"""How often it is looked whether a sample is due: one is every five minutes, and nothing is asked in between."""

STOP_SECONDS = 10.0
_UNREAD_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Keeping:
    """One for each server, a thread of its own from :meth:`start` until the server stops.

    :raises Stalled: when the settings cannot be used.
    """

    def __init__(self, server: Server) -> None:
        settings, self._server = server.settings, server
        token = settings.prometheus_token.get_secret_value()
        self._prometheus = Prometheus(settings.prometheus_url, token=token, timeout=TIMEOUT_SECONDS)
        self._stopping = threading.Event()
        self._history = History(
            self._prometheus,
            server.stores,
            clock=server.clock,
            label=settings.prometheus_cluster_label,
            stopping=self._stopping.is_set,
        )
        self._thread = threading.Thread(target=self._keep, name="usage from Prometheus", daemon=True)

    def start(self) -> None:
        self._server.sources.append(self._history.notes)
        self._server.on_stop.append(self.stop)
        self._thread.start()

    def stop(self) -> None:
        """Ask nothing more, and wait for the answer in hand; one that takes longer than ten seconds is not kept."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)
        self._prometheus.close()

    def _keep(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            # Before every fleet repo was read, it would seem that there are fewer clusters than there are.
            unread = any(steward.watch.fleet is None and not steward.watch.error for steward in self._server.stewards)
            pause = _UNREAD_SECONDS if unread else LOOK_SECONDS
            try:
                if not unread:
                    self._tell(self._look())
            except Exception as error:  # must not end the thread; what it was about is asked for again
                if not self._stopping.is_set():
                    log.error("usage from Prometheus", error=f"{type(error).__name__}: {error}", exc_info=error)

    def _look(self) -> Kept:
        fleets = [steward.watch.fleet for steward in self._server.stewards]
        clusters = [cluster for fleet in fleets if fleet is not None for cluster in fleet.clusters]
        return self._history.keep(clusters, every=None not in fleets)

    def _tell(self, kept: Kept) -> None:
        if kept.samples or kept.refused or kept.error:
            self._server.metrics.pulled(kept.samples, kept.refused, failed=kept.error is not None)
        if kept.clusters:
            self._server.nudge(
                steward
                for steward in self._server.stewards
                if (fleet := steward.watch.fleet) is not None and kept.clusters & {c.name for c in fleet.clusters}
            )
