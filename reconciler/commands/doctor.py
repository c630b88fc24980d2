"""`trimtab doctor`: whether everything that Trimtab relies on is as it should be, and what to do where it is not."""

from collections.abc import Callable, Iterator
from typing import Literal

import typer
from rich.table import Table
from rich.text import Text

from reconciler.bootstrap import open_house
from reconciler.commands.options import DatabaseOption, FleetOption, JsonOption, out, print_json, settings_from
from reconciler.errors import TrimtabError
from reconciler.model.base import Model
from reconciler.steps import diagnosing
from reconciler.steps.house import House

Mark = Literal["ok", "warning", "failed"]
_STYLE = {"ok": "green", "warning": "yellow", "failed": "red"}


class Finding(Model):
    """One line of the doctor's. ``hint`` is the next step."""

    check: str
    mark: Mark
    message: str
    hint: str = ""


def doctor(fleet: FleetOption = None, database_url: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Look at repository, remote, identity, configuration, roots, patches, and conflicts with people's HPAs.

    Exits with 0 when all is well or there are warnings only, 1 when a check failed.

    Example:

    ```
    trimtab doctor --fleet https://git.example.com/platform/fleet.git
    ```
    """
    findings = list(_examine(fleet, database_url))
    if as_json:
        print_json([finding.model_dump(by_alias=True) for finding in findings])
    else:
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, style="bold")
        table.add_column(overflow="fold")
        for finding in findings:
            table.add_row(Text(finding.mark, style=_STYLE[finding.mark]), finding.check, Text(finding.message))
            if finding.hint:
                table.add_row("", "", Text(f"→ {finding.hint}", style="dim"))
        out.print(table)
    raise typer.Exit(1 if any(finding.mark == "failed" for finding in findings) else 0)


def _examine(fleet: str | None, database_url: str | None) -> Iterator[Finding]:
    try:
        with open_house(settings_from(fleet, database_url)) as house:
            for name, look in diagnosing.CHECKS.items():
                findings, go_on = _run(house, name, look)
                yield from findings
                if not go_on:
                    return
    except TrimtabError as error:
        yield Finding(check="repository", mark="failed", message=str(error).split("\n")[0], hint=error.hint)


def _run(
    house: House, name: str, look: Callable[[House], Iterator[tuple[str, str, str]]]
) -> tuple[list[Finding], bool]:
    """The findings of one check; a check that cannot be made at all ends the examination."""
    try:
        found = [
            Finding.model_validate({"check": name, "mark": mark, "message": message, "hint": hint})
            for mark, message, hint in look(house)
        ]
    except TrimtabError as error:
        return [Finding(check=name, mark="failed", message=str(error).split("\n")[0], hint=error.hint)], False
    return found, True
