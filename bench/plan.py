"""`trimtab plan` over a whole fleet: seconds and megabytes of a fresh process, and how they grow."""

import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from bench.fleet import NOW, Fleet, make_fleet, record_history
from bench.printing import line, note
from bench.running import Ran, trimtab
from bench.scale import Scale

LATER = NOW + timedelta(hours=1)
SECONDS = 5.0
MEGABYTES = 400.0


@dataclass(frozen=True)
class Measured:
    """``plan``: the best of the rounds."""

    fleet: Fleet
    plan: Ran


def run(scale: Scale) -> None:
    with tempfile.TemporaryDirectory() as folder:
        small = _measure(Path(folder) / "small", scale, scale.small, scale.policies * scale.small // scale.large)
        large = _measure(Path(folder) / "large", scale, scale.large, scale.policies)
    growth = scale.large / scale.small
    line(f"plan, {scale.small} workloads", small.plan.seconds)
    line(f"plan, {scale.large} workloads", large.plan.seconds, against="limit", limit=SECONDS, wanted="≤ 1")
    line("its peak memory", large.plan.megabytes, "MB", against="limit", limit=MEGABYTES, wanted="≤ 1")
    line(
        f"growth, {scale.small} → {scale.large} workloads",
        large.plan.seconds / small.plan.seconds,
        "times",
        against="linear",
        limit=growth,
        wanted="≤ 1",
    )


def _measure(home: Path, scale: Scale, workloads: int, policies: int) -> Measured:
    fleet = make_fleet(home, workloads=workloads, each=scale.each, policies=policies)
    since = NOW - timedelta(days=scale.days)
    samples = record_history(fleet, since=since, until=NOW, step=scale.step)
    note(
        f"{workloads} workloads in {len(fleet.roots)} roots, {policies} policies, "
        f"{scale.days} days of samples every {scale.step} s ({samples})"
    )
    first = trimtab(fleet.bare, fleet.state, "reconcile", "--once", "--json", now=NOW)
    told = first.json()
    landed = sum(len(change["decisions"]) for change in told["changes"])
    proved = told["seconds"].get("prove", 0.0)
    note(f"first reconcile: {landed} decisions in {len(told['changes'])} commits, {len(told['held'])} held")
    line("  first reconcile without root builds", first.seconds - proved)
    line(f"  {told['builds']} root builds", proved)
    record_history(fleet, since=NOW, until=LATER, step=300, share=0.3)
    plans = [trimtab(fleet.bare, fleet.state, "plan", now=LATER) for _ in range(3)]
    again = trimtab(fleet.bare, fleet.state, "plan", "--json", now=LATER).json()
    moved = sum(len(change["decisions"]) for change in again["changes"])
    note(f"new values: {moved} decisions, {again['builds']} root builds; {_stages(again['seconds'])}")
    return Measured(fleet, min(plans, key=lambda ran: ran.seconds))


def _stages(seconds: dict[str, float]) -> str:
    return ", ".join(f"{stage} {spent:.2f} s" for stage, spent in seconds.items())
