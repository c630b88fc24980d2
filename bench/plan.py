"""`trimtab plan` over a whole fleet when values have moved: seconds and megabytes of a fresh process, and how they grow."""

from datetime import timedelta

from bench.fleet import NOW, record_history
from bench.printing import line, note
from bench.running import Ran, trimtab
from bench.scale import Scale
from bench.stage import Landed, landed

SECONDS = 5.0
MEGABYTES = 400.0


def run(scale: Scale) -> None:
    plans = {workloads: _measure(scale, workloads) for workloads in (scale.small, scale.large)}
    small, large = plans[scale.small], plans[scale.large]
    line(f"plan, {scale.small} workloads", small.seconds)
    line(f"plan, {scale.large} workloads", large.seconds, against="limit", limit=SECONDS, wanted="≤ 1")
    line("its peak of memory", large.megabytes, "MB", against="limit", limit=MEGABYTES, wanted="≤ 1")
    growth, linear = large.seconds / small.seconds, scale.large / scale.small
    line(f"growth, {scale.small} → {scale.large} workloads", growth, "×", against="linear", limit=linear, wanted="≤ 1")


def _measure(scale: Scale, workloads: int) -> Ran:
    """The best of the rounds; each is the first plan after new usage, so that nothing is there from the round before."""
    start = landed(scale, workloads)
    _introduce(scale, start)
    rounds: list[Ran] = []
    for number in range(1, scale.plans + 1):
        since, now = NOW + timedelta(hours=number - 1), NOW + timedelta(hours=number)
        # A fifth more than in the round before: the maximum, and with it every request, moves.
        record_history(start.fleet, since=since, until=now, step=300, share=0.3 * 1.2**number)
        rounds.append(trimtab(start.fleet.bare, start.fleet.state, "plan", now=now))
    told = trimtab(start.fleet.bare, start.fleet.state, "plan", "--json", now=now).json()
    moved = sum(len(change["decisions"]) for change in told["changes"])
    stages = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in told["seconds"].items())
    note(f"new values: {moved} decisions in {len(told['changes'])} commits, {told['builds']} root builds; {stages}")
    return min(rounds, key=lambda ran: ran.seconds)


def _introduce(scale: Scale, start: Landed) -> None:
    fleet = start.fleet
    scaled = sum(app.scaled for app in fleet.apps)
    note(
        f"{len(fleet.apps)} workloads in {len(fleet.roots)} roots of {scale.each}, {scaled} policies, one action; "
        f"{scale.days} days of samples every {scale.step} s ({start.samples:,})"
    )
    note(f"first reconcile: {start.decisions} decisions in {len(start.told['changes'])} commits")
    line("  all of it but root builds", start.seconds - start.build_seconds)
    line(f"  {start.told['builds']} root builds, side by side", start.build_seconds)
