"""`trimtab licence`: sign a licence of the Actions API, and show the one that is in force."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from reconciler.bootstrap import open_house
from reconciler.clock import parse_instant
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
)
from reconciler.errors import InputError
from reconciler.licence import licence_key, read_licence, sign
from reconciler.model.licence import ANYBODY, InUse, Licence
from reconciler.report.passes import counted, instant
from reconciler.settings import Settings
from reconciler.steps.scene import read_fleet_of
from reconciler.steps.view import View

app = typer.Typer(no_args_is_help=True, help="The licence of the Actions API: `licence create`, `licence show`.")

_LAST_DAY = datetime(9998, 12, 31, tzinfo=UTC)


@app.command("create")
def create(
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="Ed25519 private key (PEM, no passphrase).")],
    expires: Annotated[
        str,
        typer.Option("--expires", metavar="DATE", help="When it ends: 2027-01-31 (that day's end, UTC) or RFC 3339."),
    ],
    org: Annotated[
        str,
        typer.Option("--org", metavar="ORG", help="Whose licence: metadata.name of its trimtab.yaml; * = anybody's."),
    ] = ANYBODY,
    cores: Annotated[
        int | None, typer.Option(min=0, help="The most cores its nodes may have; no limit if left out.")
    ] = None,
    nodes: Annotated[int | None, typer.Option(min=0, help="The most nodes; no limit if left out.")] = None,
    now: NowOption = None,
) -> None:
    """Sign a licence and print it: put the output into the file that TRIMTAB_LICENCE names.

    Make the pair of keys once, and give the public one to whoever runs the server, as TRIMTAB_LICENCE_KEY:
    `openssl genpkey -algorithm ed25519 -out private.pem` and `openssl pkey -in private.pem -pubout -out public.pem`.

    Examples:

    ```
    trimtab licence create --key private.pem --org acme --cores 100 --nodes 20 --expires 2027-01-31
    trimtab licence create --key private.pem --expires 2027-01-31T12:00:00Z
    ```
    """
    whose, at = org.strip(), clock_from(now)()
    if not whose or not whose.isprintable() or " " in whose:
        raise InputError(f"--org: {org!r} is no name", hint="write it as trimtab.yaml does, or * for anybody")
    licence = Licence(organization=whose, expires_at=_end(expires), cores=cores, nodes=nodes)
    if licence.expires_at <= at:
        raise InputError(f"--expires: {expires} is over already", hint="give a day to come")
    typer.echo(sign(licence, key, at))
    limits = [counted(number, noun) for number, noun in ((cores, "core"), (nodes, "node")) if number is not None]
    whom = "anybody" if whose == ANYBODY else whose
    told = f"A licence for {whom} until {instant(licence.expires_at)}, {' and '.join(limits) or 'without limits'}."
    err.print(told, markup=False, soft_wrap=True)


@app.command("show")
def show(
    fleet: FleetOption = None,
    database_url: DatabaseOption = None,
    now: NowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the licence that TRIMTAB_LICENCE names, what the fleet's clusters have of it, and whether they may go on.

    Example:

    ```
    trimtab licence show --json
    ```
    """
    settings = settings_from(fleet, database_url)
    found = read_licence(settings.licence, licence_key(settings)) if settings.licence is not None else None
    organization, in_use, at = _in_use(settings, now)
    refusal = found.refusal(organization, in_use, at) if found is not None else ""
    if as_json:
        print_json(_as_json(settings, found, organization, in_use, refusal))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("licence", Text(str(settings.licence) if found is not None else "none: nothing is limited"))
    if found is not None:
        table.add_row("for", Text("anybody" if found.organization == ANYBODY else found.organization))
        table.add_row("expires", instant(found.expires_at))
    table.add_row("organization", Text(organization))
    table.add_row("cores", _of(f"{in_use.millicores / 1000:.10g}", found.cores if found is not None else None))
    table.add_row("nodes", _of(str(in_use.nodes), found.nodes if found is not None else None))
    table.add_row("answers", Text(f"402: {refusal}", style="red") if refusal else Text("as asked", style="green"))
    out.print(table)


def _in_use(settings: Settings, now: str | None) -> tuple[str, InUse, datetime]:
    """The organization of the fleet repo, what its clusters have, and the instant."""
    with open_house(settings, clock=clock_from(now)) as house:
        fleet = read_fleet_of(house, View(house.repository.tree(house.repository.fetch()))).fleet
        nodes = [node for cluster in fleet.clusters for node in house.stores.observations.nodes(cluster.name)]
        return fleet.name, InUse.of(nodes), house.now()


def _end(text: str) -> datetime:
    """:raises InputError: when it is no day and no instant, or beyond what any clock shows."""
    try:
        day = datetime.combine(date.fromisoformat(text.strip()), time(), UTC)
    except ValueError:
        end = parse_instant(text, option="--expires")
    else:
        end = min(day, _LAST_DAY) + timedelta(days=1)
    if end > _LAST_DAY:
        raise InputError(f"--expires: {text} is too far away", hint="give a year up to 9998")
    return end.replace(microsecond=0)


def _of(used: str, allowed: int | None) -> str:
    return f"{used} of {allowed}" if allowed is not None else f"{used}, without a limit"


def _as_json(
    settings: Settings, found: Licence | None, organization: str, in_use: InUse, refusal: str
) -> dict[str, object]:
    licence = found and {
        "file": str(settings.licence),
        "organization": found.organization,
        "expires": found.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cores": found.cores,
        "nodes": found.nodes,
    }
    return {
        "licence": licence,
        "organization": organization,
        "inUse": {"cores": in_use.millicores / 1000, "nodes": in_use.nodes},
        "refusal": refusal or None,
    }
