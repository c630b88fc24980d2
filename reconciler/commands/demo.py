"""`trimtab demo`: the whole job in a throw-away fleet repo, in under a minute."""

import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from git import Repo
from pydantic import SecretStr
from rich.markup import escape
from rich.panel import Panel
from rich.text import Text

from reconciler import loop
from reconciler.bootstrap import open_house, share
from reconciler.clock import fixed_clock
from reconciler.commands.options import err, out, print_diff, progress
from reconciler.commands.rollback import print_values
from reconciler.errors import Stalled
from reconciler.model.plan import Pass
from reconciler.observe.sample_usage import write_sample
from reconciler.render.diff import plan_diff
from reconciler.report.passes import counted, held_table, instant, landed_table, summary
from reconciler.report.recommendations import recommendation_table
from reconciler.settings import Settings
from reconciler.steps.house import House
from reconciler.steps.importing import import_usage
from reconciler.steps.scene import read_scene
from reconciler.steps.view import View

DEMO_NOW = datetime(2026, 6, 17, 10, 0, tzinfo=UTC)
"""A Wednesday morning: outside the example's maintenance windows, so that something is held."""

DAYS = 14


def demo(
    keep: Annotated[
        Path | None,
        typer.Option("--keep", metavar="DIR", help="Leave the fleet repo and its state in DIR, to go on with."),
    ] = None,
) -> None:
    """Show Trimtab at work: 14 days of sample usage, a plan, commits, a rollback, all in a throw-away fleet repo.

    Example:

    ```
    trimtab demo --keep trimtab-demo
    ```
    """
    with _place(keep) as home:
        bare = _fleet(home)
        # Nothing of the environment's: the demo is to write to no database but its own.
        settings = Settings(fleet=str(bare), state_dir=home / "state", database_url=SecretStr(""))
        with open_house(settings, clock=fixed_clock(DEMO_NOW)) as house:
            _run(house, home)
        _next_steps(home if keep else None)


@contextmanager
def _place(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="trimtab-demo-") as folder:
            yield Path(folder)
        return
    if keep.exists() and any(keep.iterdir()):
        raise Stalled(f"{keep} is not empty", hint="give a folder that is not there yet")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep.resolve()


def _fleet(home: Path) -> Path:
    """The example fleet as a person's checkout, pushed to a bare remote."""
    work, bare = home / "fleet", home / "fleet.git"
    shutil.copytree(share("example-repo"), work)
    Repo.init(bare, bare=True, initial_branch="main").close()
    with Repo.init(work, initial_branch="main") as repo:
        repo.git.add("--all")
        # A person's own hooks and signing key are none of the demo's business.
        person = ["user.name=Pat Platform", "user.email=pat@example.com", "commit.gpgsign=false", "core.hooksPath="]
        repo.git(c=person).commit("--quiet", "-m", "The fleet as people wrote it")
        repo.create_remote("origin", str(bare))
        repo.git.push("--quiet", "--set-upstream", "origin", "main")
    return bare


def _run(house: House, home: Path) -> None:
    _usage(house, home)
    _title("1. What each container should request")
    found = loop.recommend(house)
    out.print(recommendation_table(found.recommendations, found.currency))
    plan = loop.plan(house)
    _title(f"2. The plan: what would be committed now ({instant(DEMO_NOW)})")
    _print_diffs(house, plan)
    _title("3. What is held, and until when")
    out.print(held_table(plan.held))
    _title("4. Committed and pushed")
    landed = loop.reconcile(house)
    out.print(landed_table(landed.ready))
    for change in (*landed.ready[:1], *landed.ready[1:][-1:]):
        out.print(Panel(Text(change.message.rstrip()), title=f"git show {change.commit[:10]}", title_align="left"))
    again = loop.reconcile(house)
    out.print(f"A second pass commits {counted(len(again.ready), 'change')}: nothing is left to do.")
    _title("5. Kustomize builds it")
    _build(house, landed)
    _title("6. Undo: trimtab rollback storefront")
    undone = loop.rollback(house, "storefront")
    out.print(f"Rolled back {undone.reverts[:10]} ({escape(undone.summary)}) in {undone.commit[:10]}:", soft_wrap=True)
    print_values(undone)


def _usage(house: House, home: Path) -> None:
    """Fourteen days of made-up usage (seeded, so that every demo shows the same), folded into the history."""
    scene = read_scene(house, View(house.repository.tree(house.repository.fetch())), DEMO_NOW)
    workloads = [w for state in scene.root_states for w in state.inventory.workloads]
    file = home / "usage.csv"
    write_sample(file, workloads, cluster=scene.state.fleet.clusters[0].name, now=DEMO_NOW, days=DAYS)
    with progress("importing sample usage") as on_progress:
        done = import_usage(house.stores, file, on_progress=on_progress)
    out.print(
        f"A throw-away fleet repo, and {DAYS} days of sample usage: {done.new:,} samples of {len(workloads)} workloads."
    )


def _print_diffs(house: House, plan: Pass) -> None:
    tree = house.repository.tree(plan.head)
    for change, diff in plan_diff(plan.ready, lambda path: tree.read(path) if path in tree.blobs else None):
        out.print(Text(summary(change), style="bold"))
        print_diff(diff)
        out.print()


def _build(house: House, landed: Pass) -> None:
    if house.builder is None:
        err.print("kubectl is not on PATH, so nothing is built here; with it, every root is built before a commit.")
        return
    head = landed.ready[-1].commit if landed.ready else landed.head
    house.builder.materialize(house.repository.tree(head), {})
    built = house.builder.build("clusters/demo").decode()
    kinds = sorted(line.removeprefix("kind: ") for line in built.splitlines() if line.startswith("kind: "))
    listed = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    out.print(f"kubectl kustomize clusters/demo: {len(kinds)} objects ({listed})")


def _title(text: str) -> None:
    out.print()
    out.rule(f"[bold]{text}[/]", align="left")


def _next_steps(kept: Path | None) -> None:
    _title("What to type next")
    lines = [] if shutil.which("trimtab") else [(f'export PATH="{Path(sys.executable).parent}:$PATH"', "")]
    if kept:
        fleet, state = shlex.quote(f"{kept}/fleet.git"), shlex.quote(f"{kept}/state")
        lines += [
            (f"export TRIMTAB_FLEET={fleet} TRIMTAB_STATE_DIR={state}", ""),
            ("trimtab plan --now 2026-06-17T22:30:00Z", "the evening window is open"),
            ("trimtab where shop/storefront server", "which file and line holds a value"),
            (f"git -C {fleet} log", "every decision is a commit"),
        ]
    else:
        lines += [
            ("trimtab demo --keep trimtab-demo", "the same, left there to play with"),
            ("trimtab init fleet", "a fleet repo of your own"),
            ("trimtab usage import usage.csv", "your usage"),
            ("trimtab plan --fleet fleet", "what Trimtab would do"),
        ]
    for line, comment in lines:
        out.print(f"  {line:<44} # {comment}" if comment else f"  {line}", markup=False, soft_wrap=True)
