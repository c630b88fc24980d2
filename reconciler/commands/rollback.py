"""`trimtab rollback`: put back what a commit of Trimtab's changed, value by value."""

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
from reconciler.steps.undoing import Undone


def rollback(
    target: Annotated[
        str, typer.Argument(metavar="POLICY|COMMIT", help="A policy (name or id), or a commit of Trimtab's.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Also inside an exclusion window.")] = False,
    fleet: FleetOption = None,
    database_url: DatabaseOption = None,
    now: NowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restore the state before a commit of Trimtab's, as a commit. What a person has changed since stays.

    Values that are put back are not written again until they would differ by 20 %. A plain `git revert` does the same.

    Examples:

    ```
    trimtab rollback storefront
    trimtab rollback 3f2a91c
    ```
    """
    settings = settings_from(fleet, database_url)
    with open_house(settings, clock=clock_from(now)) as house, stages(quiet=as_json) as step:
        house.step = step
        undone = loop.rollback(house, target, force=force, on_wait=_say_waiting)
    if as_json:
        print_json(
            {
                "ok": True,
                "commit": undone.commit,
                "reverts": undone.reverts,
                "changeId": undone.change_id,
                "decisionId": undone.decision_id,
                "state": "reverted",
                "kept": [{"path": e.path, "field": e.field, "value": e.new, "wrote": e.old} for e in undone.kept],
            }
        )
        return
    out.print(
        f"[green]Rolled back[/] {undone.reverts[:10]} ({escape(undone.summary)}) in {undone.commit[:10]}.",
        soft_wrap=True,
    )
    print_values(undone)


def print_values(undone: Undone) -> None:
    """Each value that went back, and each that stays, with the reason."""
    for edit in undone.restored:
        out.print(f"  {edit.path}  {edit.field}: {edit.old or '-'} → {edit.new or '-'}", markup=False, soft_wrap=True)
    for edit in undone.kept:
        since = "the rest of the file needs it" if edit.new == edit.old else f"changed since, from {edit.old or '-'}"
        value = f"{edit.field}: {edit.new or '-'} ({since})" if edit.field else "the file (changed since)"
        out.print(f"  kept {edit.path}  {value}", markup=False, soft_wrap=True)


def _say_waiting(text: str) -> None:
    err.print(f"[yellow]waiting[/] {escape(text)}")
