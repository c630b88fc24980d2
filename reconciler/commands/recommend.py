"""`trimtab recommend`: current → recommended, per container."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

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
    progress,
    settings_from,
    stages,
)
from reconciler.errors import InputError, Stalled
from reconciler.report.recommendations import recommendation_json, recommendation_table
from reconciler.settings import Settings
from reconciler.steps.evaluating import Recommended

if TYPE_CHECKING:
    from reconciler.steps.scanning import Asked

ANSWER_SECONDS = 120.0
"""How long one answer of Prometheus may take: its own limit, unless someone has changed it."""


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
    prometheus: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Look at the usage that a Prometheus has: needs no fleet repo and no database, and keeps nothing.",
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
    trimtab recommend --prometheus http://prometheus.example.com:9090
    ```
    """
    settings = settings_from(fleet, database_url)
    if prometheus is not None:
        _refuse_beside_prometheus(fleet, database_url)
        from reconciler.steps.scanning import Asked

        asked = Asked(
            now=clock_from(now)(),
            cluster_label=settings.prometheus_cluster_label,
            filter_text=filter_text,
            window=window,
            profile=profile,
            everything=as_json,
        )
        with progress("asking Prometheus", quiet=as_json) as on_progress:
            found = _from_prometheus(prometheus, settings, asked, on_progress)
    else:
        with open_house(settings, clock=clock_from(now)) as house, stages(quiet=as_json) as step:
            house.step = step
            found = loop.recommend(house, filter_text=filter_text, window=window, profile=profile)
    _print(found, as_json=as_json)


def _refuse_beside_prometheus(fleet: str | None, database_url: str | None) -> None:
    """:raises InputError: with an option that is about a fleet's own usage."""
    if fleet or database_url:
        raise InputError(
            f"--prometheus and {'--fleet' if fleet else '--database-url'} do not go together",
            hint="--prometheus looks at Prometheus alone; a fleet's own recommendations are shown without it",
        )


def _from_prometheus(
    url: str, settings: Settings, asked: "Asked", on_progress: Callable[[int, int], None]
) -> Recommended:
    """:raises Stalled: also when Prometheus is away or slow: there is no later at which it is asked again."""
    from reconciler.observe.prometheus import Prometheus, PrometheusBusy, PrometheusSlow, TooMuch
    from reconciler.steps.scanning import recommend_from

    token = settings.prometheus_token.get_secret_value()
    try:
        with Prometheus(url, token=token, timeout=ANSWER_SECONDS) as prometheus:
            return recommend_from(prometheus, asked, on_progress)
    except PrometheusSlow as error:
        hint = "try a shorter --window, such as 3d, or try again when it is less busy"
        raise Stalled(error.message, hint=hint) from None
    except PrometheusBusy as error:
        raise Stalled(error.message, hint="check the address and that it is running, then try again") from None
    except TooMuch as error:
        raise Stalled(error.message, hint="try a shorter --window, such as 3d") from None


def _print(found: Recommended, *, as_json: bool) -> None:
    for problem in found.problems:
        err.print(f"[red]problem[/] {escape(str(problem))}", soft_wrap=True)
        if problem.hint:
            err.print(f"  → {problem.hint}", markup=False, soft_wrap=True)
    if as_json:
        print_json(recommendation_json(found.recommendations, found.currency))
        return
    if not found.recommendations:
        out.print("No container matches; `trimtab recommend` without --filter shows all.")
        return
    out.print(recommendation_table(found.recommendations, found.currency))
