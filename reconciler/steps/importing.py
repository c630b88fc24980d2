"""Recorded usage and pushes, from a file into the store."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler.observe.usage_batch import SHOWN_ERRORS, RowError
from reconciler.observe.usage_import import read_usage
from reconciler.steps.house import Stores
from reconciler.store.pushes import Incoming

_BODIES_AT_A_TIME = 100
"""One transaction each: push bodies may be 2 MB, and what they add up to is held in memory."""


@dataclass(frozen=True)
class Imported:
    """What an import did. ``new`` and ``seen`` count samples; ``errors`` are the first bad rows, ``bad`` counts them all."""

    new: int = 0
    seen: int = 0
    pushes: int = 0
    pushes_seen: int = 0
    errors: tuple[RowError, ...] = ()
    bad: int = 0


def import_usage(
    stores: Stores,
    file: Path,
    *,
    keep_going: bool = False,
    default_cluster: str = "",
    on_progress: Callable[[int, int], None] | None = None,
) -> Imported:
    """Fold a file into usage history and observations; what was imported before changes nothing.

    :raises BadUsage: without ``keep_going``, when a row cannot be used; then nothing of the file is stored.
    """
    done = Imported()
    for batch in read_usage(file, keep_going=keep_going, default_cluster=default_cluster, on_progress=on_progress):
        if len(batch.samples.seconds):
            recorded = stores.usage.record(batch.samples)
            done = replace(done, new=done.new + recorded.new, seen=done.seen + recorded.seen)
        for begin in range(0, len(batch.bodies), _BODIES_AT_A_TIME):
            some = [Incoming(b, b.cluster or default_cluster) for b in batch.bodies[begin : begin + _BODIES_AT_A_TIME]]
            new = stores.record_pushes(some)
            done = replace(done, pushes=done.pushes + new, pushes_seen=done.pushes_seen + len(some) - new)
        errors = (*done.errors, *batch.errors)[:SHOWN_ERRORS]
        done = replace(done, errors=errors, bad=done.bad + len(batch.errors))
    if done.new or done.pushes:
        stores.recorded()
    return done
