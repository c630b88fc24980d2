"""`trimtab plan` and `trimtab reconcile`."""

import signal
from threading import Event
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
    print_diff,
    print_json,
    settings_from,
    stages,
)
from reconciler.errors import InputError, RetryLater
from reconciler.model.change import Change
from reconciler.model.plan import Pass
from reconciler.render.diff import plan_diff
from reconciler.report.passes import asides, held_table, nothing, pass_json, reconcile_report, summary

CHANGES = 2
"""Exit code of `plan` when `reconcile` would commit something."""


def plan(
    fleet: FleetOption = None,
    database_url: DatabaseOption = None,
    now: NowOption = None,
    held: Annotated[bool, typer.Option("--held", help="Also print the diffs of what is held.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the exact diff that `reconcile` would commit now, and what is held until when.

    Exits with 0 when there is nothing to commit, 2 when there is, 1 on an error.

    Examples:

    ```
    trimtab plan
    trimtab plan --now 2026-06-17T22:30:00Z --json
    ```
    """
    settings = settings_from(fleet, database_url)
    with open_house(settings, clock=clock_from(now)) as house, stages(quiet=as_json) as step:
        house.step = step
        found = loop.plan(house)
        tree = house.repository.tree(found.head)
        shown = (*found.ready, *(found.held if held else ()))
        diffs = list(plan_diff(shown, lambda path: tree.read(path) if path in tree.blobs else None))
    if as_json:
        text = "".join(diff for change, diff in diffs if change.verdict.allowed)
        print_json({**pass_json(found), "diff": text})
    else:
        _print_plan(found, diffs)
    raise typer.Exit(CHANGES if found.ready else 0)


def _print_plan(found: Pass, diffs: list[tuple[Change, str]]) -> None:
    for change, diff in diffs:
        colour = "green" if change.verdict.allowed else "yellow"
        held = "" if change.verdict.allowed else "held: "
        out.rule(f"[{colour}]{held}{escape(summary(change))}[/]", align="left")
        print_diff(diff)
        out.print()
    if not found.ready:
        out.print(nothing(found))
    if found.held:
        out.print(held_table(found.held))
    for part in asides(found):
        out.print(part)


def reconcile(
    once: Annotated[bool, typer.Option("--once", help="One pass, then end.")] = False,
    interval: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Seconds between passes.")] = 60.0,
    fleet: FleetOption = None,
    database_url: DatabaseOption = None,
    now: NowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Commit and push what the plan shows; hold what its windows hold. Without --once, again and again.

    Examples:

    ```
    trimtab reconcile --once
    trimtab reconcile --interval 30
    ```
    """
    if now and not once:
        raise InputError("--now goes with --once: a clock that stands still has no second pass")
    settings = settings_from(fleet, database_url)
    with open_house(settings, clock=clock_from(now)) as house:
        if once:
            with stages(quiet=as_json) as step:
                house.step = step
                found = loop.reconcile(house, on_wait=_say_waiting)
            _print_pass(found, as_json=as_json)
            return
        stop = Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: stop.set())
        last: Pass | None = None
        for found in loop.forever(house, interval=interval, stop=stop, on_wait=_say_waiting, on_error=_say_error):
            if as_json or found.ready or last is None or _news(found) != _news(last):
                _print_pass(found, as_json=as_json)
            last = found


def _news(found: Pass) -> object:
    """What a person would want to hear of again; a pass that says the same as the one before is not printed."""
    held = [(summary(change), change.verdict.reason, change.verdict.until) for change in found.held]
    blocked = [(p.subject.name, p.namespace, p.workload, p.blocked) for p in found.blocked]
    return found.head, held, blocked, found.problems, found.notes


def _print_pass(found: Pass, *, as_json: bool) -> None:
    if as_json:
        print_json(pass_json(found))
    else:
        out.print(reconcile_report(found))


def _say_waiting(message: str) -> None:
    err.print(f"[yellow]waiting[/] {escape(message)}")


def _say_error(error: Exception) -> None:
    later = f" (again in {error.after_seconds:.0f} s)" if isinstance(error, RetryLater) else ""
    err.print(f"[red]error[/] {escape(str(error))}{later}")
