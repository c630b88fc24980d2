"""Apply what Git says, and say what came of it: one step after each listing of the cluster.

What is applied already and still there costs nothing; everything is looked at again every ten minutes, what has failed every
minute, and at once what the listing shows to be different. A step that is cut short by an API server that is away, or by
the end of the process, is gone on with by the next one: the inventory is written before an object is first applied.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from reconciler.agent.kubernetes.bringing import Bringing, Look
from reconciler.agent.kubernetes.cluster import Cluster, ObjectKey, Throttled, Unreachable
from reconciler.agent.kubernetes.entries import Entry, shown, status_of
from reconciler.agent.kubernetes.handback import Asks, Handback, keep_replicas, scale_target
from reconciler.agent.kubernetes.health import health_of
from reconciler.agent.kubernetes.inventory import Record, Store
from reconciler.agent.kubernetes.memory import RETRY, State, mark_of, newest, next_look
from reconciler.agent.kubernetes.owning import REPLICAS, Path, value_at
from reconciler.agent.kubernetes.proof import Proofs
from reconciler.agent.kubernetes.releasing import Releasing
from reconciler.agent.kubernetes.reporting import Outcome, Reports, Summary, Tells
from reconciler.agent.kubernetes.snapshot import Snapshot
from reconciler.agent.link import Desired
from reconciler.agent.options import KubernetesOptions, Say
from reconciler.clock import Clock
from reconciler.errors import RetryLater, TrimtabError
from reconciler.model.agent import ObjectStatus, RootStatus

__all__ = ["Applier", "Outcome"]

HPA = "HorizontalPodAutoscaler"


class Server(Asks, Tells, Protocol):
    """What is asked of the link to the server."""


@dataclass
class _Pass:
    """One step's work. ``complete`` turns False as soon as something is left for the next step."""

    entries: Mapping[ObjectKey, Entry]
    snapshot: Snapshot
    now: datetime
    bringing: Bringing
    releasing: Releasing
    complete: bool = True
    scaled: frozenset[ObjectKey] = field(default_factory=frozenset)


class Applier:
    """``step`` after each listing, then ``report``. Not for several threads."""

    def __init__(self, cluster: Cluster, link: Server, options: KubernetesOptions, *, clock: Clock, say: Say) -> None:
        self._cluster, self._link, self._dry_run = cluster, link, options.dry_run
        self._clock, self._say = clock, say
        self._store = Store(cluster, options.namespace, options.cluster, dry_run=options.dry_run)
        self._states: dict[ObjectKey, State] = {}
        self._reports, self._summary = Reports(link, clock), Summary(say, dry_run=options.dry_run)
        self._proofs = Proofs(cluster)

    def step(self, desired: Desired, snapshot: Snapshot) -> Outcome:
        """Bring the cluster to ``desired``. One object's failure is its own; an API server that is away ends the step early.

        :raises TrimtabError: when the inventory cannot be read or written: nothing is applied then
        """
        work = self._begin(desired, snapshot)
        try:
            self._ask_ahead(work)
            self._apply_all(work)
            self._release_all(work)
        except (Throttled, Unreachable) as error:
            work.complete = False
            self._say.warning("the API server is away; the rest is left for the next round", reason=error.message)
        self._store.save()
        roots, proved = self._proofs.look(desired)
        return self._outcome(desired.revision, work, roots, complete=work.complete and proved)

    def report(self, outcome: Outcome) -> bool:
        """Tell the server where ``outcome.changed``; whether it was told. What was ``drifted`` is ``applied`` from then on.

        Raises the errors of the link. What could not be told is told after the next step.
        """
        if not self._reports.send(outcome):
            return False
        records = self._store.inventory.records
        drifted = {
            ObjectKey(o.api_version, o.kind, o.namespace, o.name) for o in outcome.objects if o.status == "drifted"
        }
        told = [replace(records[key], drift="") for key in drifted if key in records]
        if told:
            self._store.keep(*told)
            with suppress(TrimtabError):  # the next step writes it
                self._store.save()
        return True

    def _outcome(self, revision: str, work: _Pass, roots: tuple[RootStatus, ...], *, complete: bool) -> Outcome:
        objects = tuple(self._status(key, work.snapshot) for key in sorted(self._states))
        changed = complete and not self._dry_run and self._reports.due(revision, objects, roots)
        outcome = Outcome(revision, objects, roots, complete, changed)
        self._summary.tell(outcome)
        return outcome

    def _status(self, key: ObjectKey, snapshot: Snapshot) -> ObjectStatus:
        state, record = self._states[key], self._store.inventory.records.get(key)
        health, why = health_of(newest(state, snapshot, key))
        if state.status == "failed":
            return status_of(key, "failed", state.message, health)
        if record is not None and record.drift:
            return status_of(key, "drifted", record.drift, health)
        why = why if health == "degraded" else ""  # how far a rollout is changes by the second
        return status_of(key, "applied", "; ".join(text for text in (state.message, why) if text), health)

    # --- before ------------------------------------------------------------------------------------------------------

    def _begin(self, desired: Desired, snapshot: Snapshot) -> _Pass:
        """Read the inventory, forget what is another's business now, and note down what is about to be applied."""
        self._store.open()
        entries = {one.key: one for one in map(Entry.of, desired.manifests)}
        self._leave_to_others(desired, entries)
        records = self._store.inventory.records
        self._states = {key: one for key, one in self._states.items() if key in entries or key in records}
        self._store.keep(*(_noted(one, records.get(key), snapshot) for key, one in entries.items()))
        self._store.save()
        handback = Handback(self._cluster, self._link, desired.revision, self._dry_run)
        return _Pass(
            entries,
            snapshot,
            self._clock(),
            Bringing(self._cluster, handback, self._dry_run),
            Releasing(self._cluster, handback, self._dry_run),
            scaled=_scaled(entries, snapshot),
        )

    def _leave_to_others(self, desired: Desired, entries: Mapping[ObjectKey, Entry]) -> None:
        """Forget what Argo CD or Flux brings about from now on: it is theirs as it is, and nothing of it is deleted."""
        store, roots = self._store, {str(one["path"]): str(one["sync"]) for one in desired.roots}
        gone = [key for key in store.inventory.records if key not in entries]
        if gone and _moved(store.inventory.roots, roots):
            self._say.info("left to Argo CD or Flux; nothing is deleted", objects=len(gone))
            store.drop(*gone)
        store.inventory = replace(store.inventory, roots=roots)

    # --- what Git has ------------------------------------------------------------------------------------------------

    def _apply_all(self, work: _Pass) -> None:
        for key, entry in work.entries.items():
            if self._rests(key, work):
                continue
            try:
                self._bring(entry, work)
            except (Throttled, Unreachable):
                raise
            except RetryLater as error:  # the server is away, which is asked what Git says without the overlay
                self._put_off(key, work, error)
            except TrimtabError as error:
                self._fail(key, entry.digest, work, error)

    def _bring(self, entry: Entry, work: _Pass) -> None:
        record = self._store.inventory.records[entry.key]
        look = work.bringing.look(entry, record)
        known = replace(look.record, drift=look.drift or record.drift)
        if known != record:
            self._store.keep(known)
            self._store.save()  # who changed it, and that it was there before us, cannot be seen any more once it is ours
        after, live = work.bringing.write(replace(look, record=known), scaled=entry.key in work.scaled)
        self._store.keep(after)
        self._log(look)
        message = "; ".join(text for text in (look.note, self._keep_target(entry, work)) if text)
        due = next_look(entry.key, work.snapshot, work.now)
        mark = mark_of(work.snapshot, entry.key)
        self._states[entry.key] = State(entry.digest, due, "applied", message, mark, live)

    def _keep_target(self, entry: Entry, work: _Pass) -> str:
        """See that what an HPA of ours scales keeps its replicas; why not, where that cannot be made sure."""
        if entry.owns != "object" or entry.key.kind != HPA:
            return ""
        try:
            keep_replicas(self._cluster, entry, work.entries, dry_run=self._dry_run)
        except RetryLater:
            raise
        except TrimtabError as error:
            return f"its target's replicas could not be kept for it: {error.message}"
        return ""

    # --- what Git no longer has --------------------------------------------------------------------------------------

    def _release_all(self, work: _Pass) -> None:
        for key, record in list(self._store.inventory.records.items()):
            if key in work.entries or self._rests(key, work):
                continue
            try:
                done = work.releasing.release(record, scaled=key in work.scaled)
            except (Throttled, Unreachable):
                raise
            except RetryLater as error:
                self._put_off(key, work, error)
            except TrimtabError as error:
                self._fail(key, "", work, error)
            else:
                self._states.pop(key, None)
                self._store.drop(key)
                if done:
                    self._say.info("would let go" if self._dry_run else "let go", what=done)

    def _ask_ahead(self, work: _Pass) -> None:
        """Ask once what Git says, without the overlay, of all the fields that go."""
        leaving = {}
        for key, record in self._store.inventory.records.items():
            kept: frozenset[Path] = work.entries[key].paths if key in work.entries else frozenset()
            if record.owns == "fields" and record.paths - kept and not self._rests(key, work):
                leaving[key] = record.paths - kept
        with suppress(TrimtabError):  # each object of them says so for itself
            work.bringing.handback.ask(leaving)

    # --- each object -------------------------------------------------------------------------------------------------

    def _rests(self, key: ObjectKey, work: _Pass) -> bool:
        """Whether there is nothing to do for an object now, by what is known of it."""
        state, entry = self._states.get(key), work.entries.get(key)
        if state is None:
            return False
        if entry is None:
            return state.status == "failed" and state.digest == "" and work.now < state.due
        uid = self._store.inventory.records[key].uid
        return state.rests(entry, uid, work.snapshot, work.now, dry_run=self._dry_run)

    def _put_off(self, key: ObjectKey, work: _Pass, error: TrimtabError) -> None:
        work.complete = False
        self._say.warning("left for the next round", object=shown(key), reason=error.message)

    def _fail(self, key: ObjectKey, digest: str, work: _Pass, error: TrimtabError) -> None:
        message = f"{error.message}; {error.hint}" if error.hint else error.message
        known = self._states.get(key)
        if known is None or known.message != message:
            self._say.warning("failed", object=shown(key), reason=message)
        mark = mark_of(work.snapshot, key)
        self._states[key] = State(digest, work.now + RETRY, "failed", message, mark)

    def _log(self, look: Look) -> None:
        if look.drift:
            self._say.warning("drifted", object=shown(look.entry.key), what=look.drift)
        if look.sends:
            word = "would apply" if self._dry_run else "applied"
            note = {"note": look.note} if look.note else {}
            self._say.info(word, object=shown(look.entry.key), **note)


def _noted(entry: Entry, known: Record | None, snapshot: Snapshot) -> Record:
    """The record of an entry before it is applied: there has to be one, with the replicas that the object has without us."""
    record = known if known is not None and known.owns == entry.owns else Record(entry.key, entry.owns)
    seen = snapshot.objects.get(entry.key)
    if record.before is None and seen is not None and REPLICAS in entry.paths - record.paths:
        return replace(record, before=value_at(seen, REPLICAS))
    return record


def _moved(before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Whether a root has gone over from the agent to Argo CD or Flux, or all of them are theirs."""
    theirs = {path for path, sync in now.items() if sync != "agent"}
    return bool(theirs) and (len(theirs) == len(now) or any(before.get(path) == "agent" for path in theirs))


def _scaled(entries: Mapping[ObjectKey, Entry], snapshot: Snapshot) -> frozenset[ObjectKey]:
    """What an HPA scales: one that is there, or one that Git wants."""
    listed = (one for key, one in snapshot.objects.items() if key.kind == HPA)
    wanted = (one.body for key, one in entries.items() if key.kind == HPA)
    return frozenset(target for one in (*listed, *wanted) if (target := scale_target(one)) is not None)
