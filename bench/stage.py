"""What several measures share: the fleets, each made once for a run of the benchmark, in a directory that goes away."""

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from bench.fleet import NOW, Fleet, make_fleet, record_history
from bench.running import trimtab
from bench.scale import Scale


@cache
def home() -> Path:
    """Where everything is; removed when the benchmark ends."""
    folder = Path(tempfile.mkdtemp(prefix="trimtab-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def with_history(scale: Scale, workloads: int) -> tuple[Fleet, int]:
    """A fleet whose usage up to :data:`~bench.fleet.NOW` is in the store; and how many samples that are."""
    policies = scale.policies * workloads // scale.large
    fleet = make_fleet(home() / str(workloads), workloads=workloads, each=scale.each, policies=policies)
    return fleet, record_history(fleet, since=NOW - timedelta(days=scale.days), until=NOW, step=scale.step)


@dataclass(frozen=True)
class Landed:
    """A fleet whose first reconcile has landed everything: its seconds, and what it told as JSON."""

    fleet: Fleet
    samples: int
    seconds: float
    told: dict[str, Any]

    @property
    def build_seconds(self) -> float:
        return float(self.told["seconds"]["prove"])

    @property
    def decisions(self) -> int:
        return sum(len(change["decisions"]) for change in self.told["changes"])


@cache
def landed(scale: Scale, workloads: int) -> Landed:
    fleet, samples = with_history(scale, workloads)
    first = trimtab(fleet.bare, fleet.state, "reconcile", "--once", "--json", now=NOW)
    return Landed(fleet, samples, first.seconds, first.json())
