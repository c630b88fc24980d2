"""`trimtab recommend`: current → recommended, per container."""

from typing import Annotated

import typer
from rich.markup import escape

from reconciler import loop
from reconciler.bootstrap import open_house
from reconciler.commands.options import (
    DatabaseOption,
    FleetOption,
    JsonOption,
    NowOption,
    clock_from,
    err,
    out,
    print_json,
    settings_from,
    stages,
)
from reconciler.report.recommendations import recommendation_json, recommendation_table


def recommend(
    filter_text: Annotated[
        str,
        typer.Option(
            "--filter", metavar="FILTER", help="""Which containers, for example 'namespace:"shop"+label[team]:"web"'."""
        ),
    ] = "",
    window: Annotated[
        str | None, typer.Option(metavar="DURATION", help="How far to look back, for example 14d or 48h.")
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help='Savings profile: Development, Production, "High Availability", or your own.'
        ),
    ] = None,
    fleet: FleetOption = None,
    database_url: DatabaseOption = None,
    now: NowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what each container should request: current → recommended, saving per month, risk, samples, and why.

    Examples:

    ```
    trimtab recommend
    trimtab recommend --filter 'namespace:"shop"' --window 7d
    trimtab recommend --profile "High Availability" --json
    ```
    """
    settings = settings_from(fleet, database_url)
    with open_house(settings, clock=clock_from(now)) as house, stages(quiet=as_json) as step:
        house.step = step
        found = loop.recommend(house, filter_text=filter_text, window=window, profile=profile)
    if as_json:
        print_json(recommendation_json(found.recommendations, found.currency))
        return
    for problem in found.problems:
        err.print(f"[red]problem[/] {escape(str(problem))}", soft_wrap=True)
        if problem.hint:
            err.print(f"  → {problem.hint}", markup=False, soft_wrap=True)
    if not found.recommendations:
        out.print("No container matches; `trimtab recommend` without --filter shows all.")
        return
    out.print(recommendation_table(found.recommendations, found.currency))
