"""`trimtab status`: the fleet repo, what is held, what is wrong."""

from rich.table import Table
from rich.text import Text

from reconciler import loop
from reconciler.bootstrap import open_house
from reconciler.commands.options import (
    DatabaseOption,
    FleetOption,
    JsonOption,
    NowOption,
    clock_from,
    out,
    print_json,
    settings_from,
    stages,
)
from reconciler.report.passes import asides, counted, held_table, pass_json


def status(
    fleet: FleetOption = None,
    database_url: DatabaseOption = None,
    now: NowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the fleet repo's revision, how much waits to be committed or is held, and every problem.

    Example:

    ```
    trimtab status --json
    ```
    """
    with open_house(settings_from(fleet, database_url), clock=clock_from(now)) as house, stages(quiet=as_json) as step:
        house.step = step
        found = loop.plan(house)
        branch = house.repository.branch
    if as_json:
        print_json({"branch": branch, **pass_json(found)})
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("fleet", Text(found.fleet))
    table.add_row("revision", Text(f"{found.head[:10]} on {branch}"))
    table.add_row("ready", f"{counted(len(found.ready), 'change')} would be committed now")
    table.add_row("held", counted(len(found.held), "change"))
    table.add_row("blocked", counted(len(found.blocked), "proposal"))
    table.add_row("problems", str(len(found.problems)))
    out.print(table)
    if found.held:
        out.print(held_table(found.held))
    for part in asides(found):
        out.print(part)
