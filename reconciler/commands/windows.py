"""`trimtab windows`: the calendar of every maintenance and exclusion window."""

from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from reconciler.bootstrap import open_house
from reconciler.commands.options import (
    DatabaseOption,
    FleetOption,
    JsonOption,
    NowOption,
    clock_from,
    instant_from,
    out,
    print_json,
    settings_from,
)
from reconciler.errors import InputError
from reconciler.gate.windows import combined_spans, is_open, next_closing, next_opening, warn_short
from reconciler.model.window import Span, Window
from reconciler.report.passes import instant
from reconciler.steps.calendar import PASS_INTERVAL, calendar, owners_at_head


def windows(
    start: Annotated[str | None, typer.Option("--from", metavar="RFC3339", help="Start; now when left out.")] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="RFC3339", help="End; a week after the start when left out.")
    ] = None,
    fleet: FleetOption = None,
    database_url: DatabaseOption = None,
    now: NowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print when changes may, and must not, be committed: each window's stretches, its next opening and closing.

    Example:

    ```
    trimtab windows --from 2026-12-18T00:00:00Z --to 2027-01-08T00:00:00Z
    ```
    """
    clock = clock_from(now)
    first = instant_from(start, "--from", clock())
    last = instant_from(end, "--to", first + timedelta(days=7))
    if last <= first:
        raise InputError("--to is not after --from")
    if last - first > timedelta(days=3660):
        raise InputError("--from and --to are more than ten years apart")
    with open_house(settings_from(fleet, database_url), clock=clock) as house:
        owners = owners_at_head(house)
    if as_json:
        shown = calendar([owners], first, last, clock())
        print_json(shown.model_dump(by_alias=True, mode="json"))
        return
    declared = [w for owned in owners.owned for w in (*owned.windows.maintenance, *owned.windows.exclusion)]
    if not declared:
        out.print("No windows are declared: changes may be committed at any time.")
        return
    spans = combined_spans([owned.windows for owned in owners.owned], first, last)
    out.print(_spans_table(spans) if spans else "No window is open in that time.")
    out.print(f"\nNext, from {instant(clock())}:")
    for window in declared:
        out.print(Text.assemble((window.source, "bold"), f" {window}: {_next(window, clock())}"))
        if warning := warn_short(window, PASS_INTERVAL):
            out.print(Text(f"  {warning}", style="yellow"))


def _next(window: Window, now: datetime) -> str:
    opens, closes = next_opening(window, now), next_closing(window, now)
    if is_open(window, now):
        again = f", opens again {instant(opens)}" if opens else ""
        return f"open until {instant(closes)}{again}" if closes else "always open"
    return f"opens {instant(opens)}, closes {instant(closes)}" if opens and closes else "never opens"


def _spans_table(spans: list[Span]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("from", "to", "kind", "of", "window"):
        table.add_column(name, no_wrap=name in ("from", "to", "kind"), overflow="fold")
    for span in spans:
        style = "red" if span.kind == "exclusion" else "green"
        table.add_row(
            instant(span.start),
            instant(span.end),
            Text(span.kind, style=style),
            Text(span.window.source),
            Text(str(span.window)),
        )
    return table
