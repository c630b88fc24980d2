"""`trimtab rollback`: put back what a commit of Trimtab's changed, value by value."""

from typing import Annotated

import typer

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

        trimtab rollback storefront

        trimtab rollback 3f2a91c
    """
    settings = settings_from(fleet, database_url)
    with open_house(settings, clock=clock_from(now)) as house, stages(quiet=as_json) as step:
        house.step = step
        undone = loop.rollback(house, target, force=force, on_wait=lambda text: err.print(f"[yellow]waiting[/] {text}"))
    if as_json:
        print_json(
            {
                "ok": True,
                "commit": undone.commit,
                "reverts": undone.reverts,
                "changeId": undone.change_id,
                "decisionId": undone.decision_id,
                "state": "reverted",
                "kept": [{"path": e.path, "field": e.field, "value": e.old} for e in undone.kept],
            }
        )
        return
    out.print(f"[green]Rolled back[/] {undone.reverts[:10]} ({undone.summary}) in {undone.commit[:10]}.", markup=True)
    for edit in undone.restored:
        out.print(f"  {edit.path}  {edit.field}: {edit.old or '-'} → {edit.new or '-'}", markup=False, soft_wrap=True)
    for edit in undone.kept:
        out.print(f"  kept {edit.path}  {edit.field}: {edit.old or '-'} (changed since)", markup=False, soft_wrap=True)
