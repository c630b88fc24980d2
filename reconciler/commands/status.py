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
from reconciler.model.plan import Pass
from reconciler.report.passes import asides, counted, held_table, pass_json
from reconciler.report.progress import landed_table, roots_table
from reconciler.report.status import AgentCounts, Known, Status, status_of
from reconciler.steps.following import landed_changes, root_progress
from reconciler.steps.house import House
from reconciler.steps.scene import read_fleet_of
from reconciler.steps.view import View


def status(
    fleet: FleetOption = None,
    database_url: DatabaseOption = None,
    now: NowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the fleet repo's revision, how much waits to be committed or is held, what became of the newest changes, what
    each cluster runs, its agents, and every problem.

    With --json this is the document that GET /api/v1/status answers, and beside it the details of a pass made just now.

    Example:

    ```
    trimtab status --json
    ```
    """
    with open_house(settings_from(fleet, database_url), clock=clock_from(now)) as house, stages(quiet=as_json) as step:
        house.step = step
        found = loop.plan(house)
        branch = house.repository.branch
        shown = _shown(house, found)
    if as_json:
        print_json({**shown.model_dump(by_alias=True, mode="json"), "branch": branch, **pass_json(found)})
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
    table.add_row("agents", _agents(shown.agents))
    out.print(table)
    if found.held:
        out.print(held_table(found.held))
    (mine,) = shown.fleets
    if mine.landed:
        out.print(landed_table(mine.landed))
    if mine.roots:
        out.print(roots_table(mine.roots))
    for part in asides(found):
        out.print(part)


def _shown(house: House, found: Pass) -> Status:
    """What the server would answer, from a pass that was worked out just now and not committed."""
    fleet = read_fleet_of(house, View(house.repository.tree(found.head))).fleet
    known = Known(
        name=fleet.name,
        url=house.name,
        branch=house.repository.branch,
        revision=found.head,
        found=found,
        open=(*found.ready, *found.held),
        blocked=found.blocked,
        landed=landed_changes(house.stores, house.name, fleet.clusters),
        roots=root_progress(house.stores, fleet.clusters),
        problems=found.problems,
        notes=found.notes,
    )
    return status_of([known], house.stores.agents.list(fleet.name), house.now())


def _agents(counts: AgentCounts) -> str:
    """``none``, or ``3 connected, 1 stale``."""
    named = {name: number for name, number in counts.model_dump().items() if number}
    return ", ".join(f"{number} {name}" for name, number in named.items()) or "none"
