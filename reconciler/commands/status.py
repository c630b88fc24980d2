"""`trimtab status`: the fleet repo, what is held, what is wrong."""

from rich.table import Table

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
from reconciler.report.passes import asides, held_table, pass_json


def status(
    fleet: FleetOption = None,
    database_url: DatabaseOption = None,
    now: NowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the fleet repo's revision, how much waits to be committed or is held, and every problem.

    Example:

        trimtab status --json
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
    table.add_column()
    table.add_row("fleet", found.fleet)
    table.add_row("revision", f"{found.head[:10]} on {branch}")
    table.add_row("ready", f"{len(found.ready)} changes would be committed now")
    table.add_row("held", f"{len(found.held)} changes")
    table.add_row("blocked", f"{len(found.blocked)} proposals")
    table.add_row("problems", str(len(found.problems)))
    out.print(table)
    if found.held:
        out.print(held_table(found.held))
    for part in asides(found):
        out.print(part)
