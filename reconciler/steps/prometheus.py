"""Keep the usage history of clusters from a Prometheus: each time only what is new since the last time.

What was pulled is stored in one transaction with how far it goes, so that a crash neither loses nor doubles any of it.
Where an agent pushes a cluster's pods, that is its history, and nothing is asked for the time in which it does.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from reconciler.clock import Clock
from reconciler.errors import RetryLater, TrimtabError
from reconciler.model.fleet import Cluster
from reconciler.model.pulled import STEP_SECONDS, Progress, Pulled
from reconciler.observe.prometheus import Prometheus, PrometheusBusy, TooMuch
from reconciler.observe.prometheus_owners import Owners
from reconciler.observe.prometheus_reach import Reach
from reconciler.observe.prometheus_scope import Scope, label_name
from reconciler.observe.prometheus_usage import Span, Windows, namespaces, pull, scrape_seconds, series_by_cluster
from reconciler.steps.house import Stores
from reconciler.steps.prometheus_notes import Pauses, Said
from reconciler.store.leases import process_owner
from reconciler.store.pulled import PulledStore

FIRST_SECONDS = 14 * 86_400
"""How far back the first time goes: what right-sizing looks at when nobody says otherwise."""

LAG_SECONDS = 60
"""So late may a scrape come, or get to the server that is asked."""

PUSHES_SECONDS = 300
"""An agent whose newest pods are no older pushes that cluster's usage."""

_LEASE = "prometheus"
_LOOK_SECONDS = 3600
"""After that long, it is looked again how often containers are scraped."""
_SHOWN = 5
_MANY_STEPS = 12
"""An hour at a time is not what is new since the last pass: the log says how it goes."""


@dataclass
class Kept:
    """What one pass did: samples stored and refused, the clusters that are up to date again, and the error that ended it."""

    samples: int = 0
    refused: int = 0
    clusters: set[str] = field(default_factory=set)
    error: TrimtabError | None = None


class History:
    """One for each process and Prometheus; used by one thread. :meth:`notes` may be read from any.

    ``label``: of series, it has the name or id of their cluster. ``stopping`` is asked between two questions; ``jitter``
    gives 0 to 1.

    :raises Stalled: when no label can be named so.
    """

    def __init__(
        self,
        prometheus: Prometheus,
        stores: Stores,
        *,
        clock: Clock,
        label: str,
        stopping: Callable[[], bool] = lambda: False,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._prometheus, self._leases, self._clock, self._label = prometheus, stores.leases, clock, label_name(label)
        self._stopping = stopping
        self._store, self._owner = PulledStore(stores.engine), process_owner()
        self._owners: dict[str, Owners] = {}
        self._reaches: dict[str, Reach] = {}
        self._windows: dict[str, tuple[datetime, Windows]] = {}
        self._pauses = Pauses(jitter)
        self._said = Said()

    def notes(self, clusters: Iterable[str]) -> tuple[str, ...]:
        """For people: what is wrong with the server, and what is to be known of these clusters."""
        return self._said.about(clusters)

    def keep(self, clusters: Sequence[Cluster], *, every: bool = True) -> Kept:
        """Ask for what is new of each cluster, and store it. Without anything new, or while it waits after an error, it
        asks nothing.

        ``every``: these are all clusters that there are, so that series without a cluster label belong to an only one.
        An error ends the pass and is in the answer; what was stored stands, and after a while, longer each time, a call
        goes on from there.
        """
        now, kept = self._clock(), Kept()
        if self._pauses.hold(now):
            return kept
        try:
            due = [cluster for cluster in clusters if self._is_due(cluster.name, now)]
            if due:
                with self._alone() as alone:
                    if alone:
                        self._pass(due, only=every and len(clusters) == 1, now=now, kept=kept)
        except TrimtabError as error:
            kept.error = error
            seconds = self._pauses.failed(error, now)
            self._said.failed(error, seconds)
        else:
            if due:
                self._pauses.went_well()
                self._said.failed(None, 0)
        return kept

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """One server of a database asks at a time; False for the others."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self._leases.hold(_LEASE, owner=self._owner, wait_seconds=0))
            except RetryLater:
                yield False
                return
            yield True

    # --- what is due -------------------------------------------------------------------------------------------------

    def _progress(self, cluster: str, now: datetime) -> tuple[Progress | None, Progress]:
        """How far a cluster's history goes as it is stored, and as it is with what others have recorded."""
        until = _until(now)
        stored = self._store.progress(cluster)
        progress = stored or Progress.begin(until - FIRST_SECONDS, self._store.known(cluster))
        pushed = self._store.pods_pushed(cluster)
        pushes = pushed is not None and now.timestamp() - pushed <= PUSHES_SECONDS
        self._said.of(
            cluster, "agent", f"usage of {cluster} comes from its agent, not from Prometheus" if pushes else ""
        )
        if pushed is not None:
            progress = progress.covered(until if pushes else pushed)
        return stored, progress.moved(until - FIRST_SECONDS)

    def _is_due(self, cluster: str, now: datetime) -> bool:
        stored, progress = self._progress(cluster, now)
        if progress.next(_until(now)) is not None:
            return True
        if progress != stored:
            self._store.record(cluster, stored, progress)
        return False

    # --- a pass ------------------------------------------------------------------------------------------------------

    def _pass(self, due: Sequence[Cluster], *, only: bool, now: datetime, kept: Kept) -> None:
        self._prometheus.warnings.clear()
        counts = series_by_cluster(self._prometheus, self._label, _until(now))
        self._unlabelled(0 if only else counts.get("", 0))
        failed: TooMuch | None = None
        for cluster in due:
            values = (cluster.name, *([cluster.id] if cluster.id else ()), *([""] if only else ()))
            found = sum(counts.get(value, 0) for value in values)
            self._nothing(cluster.name, counts, found=found > 0)
            try:
                if found:
                    self._catch_up(cluster.name, Scope(self._label, values), found, now, kept)
            except TooMuch as error:  # the others may be smaller
                failed = error
        self._said.of(
            "", "warnings", "; ".join(f"Prometheus says: {said}" for said in self._prometheus.warnings[:_SHOWN])
        )
        if failed is not None:
            raise failed

    def _unlabelled(self, containers: int) -> None:
        hint = "set TRIMTAB_PROMETHEUS_CLUSTER_LABEL to the label that says it"
        text = f"{containers:,} containers in Prometheus do not say which cluster they are of, and are left out: "
        if self._label:
            hint = f"give them a label {self._label!r} with the name or id of their cluster"
        self._said.of("", "unlabelled", text + hint if containers else "")

    def _nothing(self, cluster: str, counts: Mapping[str, int], *, found: bool) -> None:
        """Names of clusters that nobody has declared here may be somebody else's: they are for the log alone."""
        text = f"Prometheus has no containers of {cluster}: is cAdvisor scraped"
        text += f", and does their label {self._label!r} name it?" if self._label else "?"
        self._said.of(cluster, "none", "" if found else text, there=sorted(counts)[:_SHOWN])

    def _catch_up(self, cluster: str, scope: Scope, containers: int, now: datetime, kept: Kept) -> None:
        """Stretch by stretch, the oldest first."""
        windows, until = self._windows_of(cluster, scope, now), _until(now)
        reach, new = self._reaches.pop(cluster, None) or Reach.of(containers), 0
        while not self._stopping():
            stored, progress = self._progress(cluster, now)
            stretch = progress.next(until)
            span = reach.span(*stretch) if stretch else None
            if span is None:
                kept.clusters |= {cluster} if new else set()
                self._reaches |= {cluster: reach} if reach.groups else {}
                return
            try:
                pulled = self._pull(cluster, reach.scopes(scope), span, windows, now)
            except (TooMuch, PrometheusBusy) as error:
                smaller = reach.smaller(span, lambda: self._namespaces(scope, until))
                if isinstance(error, PrometheusBusy) or smaller is None:
                    self._reaches[cluster] = smaller or reach
                    raise
                reach = smaller
                continue
            if not self._store.record(cluster, stored, progress.moved(span.last), pulled):
                return  # another server did
            self._count(cluster, pulled, kept)
            if span.steps > _MANY_STEPS and len(pulled.samples.values):
                self._said.filled(cluster, datetime.fromtimestamp(span.last, UTC), len(pulled.samples.values))
            new += len(pulled.samples.values)
            reach = reach.larger()

    def _namespaces(self, scope: Scope, until: int) -> list[str]:
        return namespaces(self._prometheus, scope, until)

    def _pull(self, cluster: str, scopes: Sequence[Scope], span: Span, windows: Windows, now: datetime) -> Pulled:
        owners = self._owners.setdefault(cluster, Owners(cluster))
        return pull(
            self._prometheus,
            scopes,
            span,
            owners=owners,
            windows=windows,
            now=int(now.timestamp()),
        )

    def _windows_of(self, cluster: str, scope: Scope, now: datetime) -> Windows:
        looked, windows = self._windows.get(cluster, (None, Windows()))
        if looked is None or now - looked > timedelta(seconds=_LOOK_SECONDS):
            with suppress(TooMuch):
                windows = Windows.for_scrapes(scrape_seconds(self._prometheus, scope, _until(now)))
            self._windows[cluster] = (now, windows)
            self._reaches.pop(cluster, None)  # what was too much an hour ago need not be now
        return windows

    def _count(self, cluster: str, pulled: Pulled, kept: Kept) -> None:
        kept.samples += len(pulled.samples.values)
        kept.refused += pulled.refused
        if pulled.refused:
            self._said.refused(cluster, pulled.refused)
        unowned = (
            f"{pulled.unowned:,} pods of {cluster} have no owner in kube_pod_owner, and are left out: is"
            " kube-state-metrics scraped?"
        )
        self._said.of(cluster, "unowned", unowned if pulled.unowned else "")


def _until(now: datetime) -> int:
    """The newest sample that can be asked for."""
    return (int(now.timestamp()) - LAG_SECONDS) // STEP_SECONDS * STEP_SECONDS
