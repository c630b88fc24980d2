"""What became of changes, and what clusters run, as tables for people."""

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from reconciler.report.passes import instant
from reconciler.report.status import ChangeProgress, RootProgress


def landed_table(landed: Sequence[ChangeProgress]) -> Table:
    """The newest changes: committed → synced → healthy, each with its instant, and what they wait for."""
    table = _table("Landed")
    table.add_column("commit", no_wrap=True, style="yellow")
    table.add_column("change", overflow="fold")
    for name in ("committed", "synced", "healthy"):
        table.add_column(name, no_wrap=True)
    table.add_column("now", overflow="fold")
    for one in landed:
        now = f"{one.state}: {one.message}" if one.message else one.state
        instants = (_at(one.committed_at), _at(one.synced_at), _at(one.healthy_at))
        table.add_row(one.commit[:10], Text(one.summary), *instants, Text(now))
    return table


def roots_table(roots: Sequence[RootProgress]) -> Table:
    """What each root is at, who says so, and since when."""
    table = _table("Clusters")
    table.add_column("cluster", overflow="fold")
    table.add_column("root", overflow="fold")
    table.add_column("by", overflow="fold")
    table.add_column("revision", no_wrap=True, style="yellow")
    table.add_column("since", no_wrap=True)
    table.add_column("health", overflow="fold")
    for one in roots:
        health = f"{one.health}: {one.message}" if one.message else one.health
        table.add_row(
            Text(one.cluster), Text(one.root), Text(one.by), one.revision[:10] or "–", _at(one.since), Text(health)
        )
    return table


def _table(title: str) -> Table:
    return Table(
        box=None, pad_edge=False, header_style="bold", title=title, title_justify="left", title_style="bold green"
    )


def _at(moment: datetime | None) -> str:
    return instant(moment) if moment is not None else "–"
