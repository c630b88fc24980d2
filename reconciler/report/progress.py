"""What became of changes, and what clusters run, as tables for people. Both are narrow enough for 80 columns."""

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from reconciler.report.passes import instant
from reconciler.report.status import ChangeProgress, RootProgress


def landed_table(landed: Sequence[ChangeProgress]) -> Table:
    """The newest changes, with what they wait for; committed → synced → healthy below each other, each with its instant."""
    table = _table("Landed")
    table.add_column("commit", no_wrap=True, style="yellow")
    table.add_column("since", no_wrap=True)
    table.add_column("change", overflow="fold")
    for one in landed:
        now = f"{one.state}: {one.message}" if one.message else one.state
        steps = (("committed", one.committed_at), ("synced", one.synced_at), ("healthy", one.healthy_at))
        since = "\n".join(f"{name:<9} {_at(at)}" for name, at in steps)
        table.add_row(one.commit[:10], Text(since), Text(f"{one.summary}\n{now}"))
    return table


def roots_table(roots: Sequence[RootProgress]) -> Table:
    """What each root is at, since when, and who says so."""
    table = _table("Clusters")
    table.add_column("root", overflow="fold")
    table.add_column("revision", no_wrap=True)
    table.add_column("health", overflow="fold")
    for one in roots:
        health = f"{one.health}: {one.message}" if one.message else one.health
        at = Text.assemble((one.revision[:10] or "–", "yellow"), f"\n{_at(one.since)}" if one.revision else "")
        table.add_row(Text(f"{one.cluster}\n{one.root}"), at, Text(f"{health}\n({one.by})"))
    return table


def _table(title: str) -> Table:
    return Table(
        box=None, pad_edge=False, header_style="bold", title=title, title_justify="left", title_style="bold green"
    )


def _at(moment: datetime | None) -> str:
    return instant(moment) if moment is not None else "–"
