"""`trimtab audit`: the decision log held against the Git history, both ways."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from reconciler import loop
from reconciler.bootstrap import open_house
from reconciler.clock import parse_instant
from reconciler.commands.options import (
    DatabaseOption,
    FleetOption,
    JsonOption,
    err,
    out,
    print_json,
    settings_from,
    stages,
)
from reconciler.report.passes import counted
from reconciler.steps.auditing import Audited, Finding, audit

app = typer.Typer(no_args_is_help=True, help="Hold decision log and Git history against each other: `audit verify`.")


@app.callback()
def _audit() -> None:
    """Hold decision log and Git history against each other."""


@app.command("verify")
def verify(
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="RFC3339", help="Report only what landed or was logged from then on."),
    ] = None,
    fleet: FleetOption = None,
    database_url: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the decision log with the commits on the branch, both ways: what one has and the other lacks is named.

    Every decision that is logged as applied or rolled back must be in a commit of the same policy that holds the same
    manifests; every commit with Trimtab's trailers must be known. Nothing is written to Git.

    Exits with 0 when log and history agree, 1 when they do not.

    Examples:

    ```
    trimtab audit verify
    trimtab audit verify --since 2026-06-01T00:00:00Z --json
    ```
    """
    start = parse_instant(since, option="--since") if since else None
    with open_house(settings_from(fleet, database_url)) as house, stages(quiet=as_json) as step:
        house.step = step
        with house.lease(wait_seconds=loop.LEASE_SECONDS, on_wait=_say_waiting):
            found = audit(house, start)
    if as_json:
        print_json(_json(found, since))
    else:
        _print(found)
    raise typer.Exit(1 if found.findings else 0)


def _print(found: Audited) -> None:
    looked_at = f"{counted(found.decisions, 'decision')}, {counted(found.commits, 'commit')}"
    if not found.findings:
        out.print(f"log and history agree: {looked_at}", markup=False, soft_wrap=True)
        return
    many = counted(len(found.findings), "finding")
    out.print(f"log and history disagree: {many} in {looked_at}", style="red", markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("what", no_wrap=True, style="yellow")
    table.add_column("finding", overflow="fold")
    for finding in found.findings:
        table.add_row(finding.kind, Text(f"{finding.message}\n  → {finding.hint}"))
    out.print(table)


def _json(found: Audited, since: str | None) -> dict[str, object]:
    return {
        "fleet": found.fleet,
        "branch": found.branch,
        "head": found.head,
        "since": since,
        "agree": not found.findings,
        "decisions": found.decisions,
        "commits": found.commits,
        "findings": [_finding_json(finding) for finding in found.findings],
    }


def _finding_json(finding: Finding) -> dict[str, str | None]:
    said = asdict(finding)
    names = {"change_id": "changeId", "decision_id": "decisionId", "policy_id": "policyId"}
    return {names.get(name, name): value or None for name, value in said.items()}


def _say_waiting(text: str) -> None:
    err.print(f"[yellow]waiting[/] {escape(text)}")
