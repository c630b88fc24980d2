"""`trimtab demo`: the whole job in a throw-away fleet repo, in under a minute."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from git import Repo
from rich.panel import Panel
from rich.syntax import Syntax

from reconciler import loop
from reconciler.bootstrap import open_house, share
from reconciler.clock import fixed_clock
from reconciler.commands.options import err, out, progress
from reconciler.errors import Stalled
from reconciler.model.plan import Pass
from reconciler.observe.sample_usage import write_sample
from reconciler.render.diff import plan_diff
from reconciler.report.passes import held_table, instant, landed_table, summary
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

        trimtab demo --keep /tmp/trimtab-demo
    """
    with _place(keep) as home:
        bare = _fleet(home)
        settings = Settings(fleet=str(bare), state_dir=home / "state")
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
        person = ["user.name=Pat Platform", "user.email=pat@example.com"]
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
    for change in landed.ready[:2]:
        out.print(
            Panel(change.message.rstrip(), title=f"git show {change.commit[:10]}", title_align="left"), markup=False
        )
    again = loop.reconcile(house)
    out.print(f"A second pass commits {len(again.ready)} changes: nothing has changed.")
    _title("5. Kustomize builds it")
    _build(house, landed)
    _title("6. Undo: trimtab rollback storefront")
    undone = loop.rollback(house, "storefront")
    out.print(f"Rolled back “{undone.summary}” in {undone.commit[:10]}; it reverts {undone.reverts[:10]}:")
    for edit in undone.restored:
        out.print(f"  {edit.path}  {edit.field}: {edit.old or '-'} → {edit.new or '-'}", markup=False, soft_wrap=True)


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
        out.print(f"[bold]{summary(change)}[/]")
        out.print(Syntax(diff, "diff", theme="ansi_dark", background_color="default", word_wrap=True))


def _build(house: House, landed: Pass) -> None:
    if house.builder is None:
        err.print("kubectl is not on PATH, so nothing is built here; with it, every root is built before a commit.")
        return
    head = landed.ready[-1].commit if landed.ready else landed.head
    house.builder.materialize(house.repository.tree(head), {})
    built = house.builder.build("clusters/demo").decode()
    kinds = sorted(line.removeprefix("kind: ") for line in built.splitlines() if line.startswith("kind: "))
    counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    out.print(f"kubectl kustomize clusters/demo: {len(kinds)} objects ({counted})")


def _title(text: str) -> None:
    out.print()
    out.rule(f"[bold]{text}[/]", align="left")


def _next_steps(kept: Path | None) -> None:
    _title("What to type next")
    if kept:
        out.print(f"  export TRIMTAB_STATE_DIR={kept}/state TRIMTAB_FLEET={kept}/fleet.git")
        out.print("  trimtab plan --now 2026-06-17T22:30:00Z      # the evening window is open")
        out.print("  trimtab where shop/storefront server         # which file and line holds a value")
        out.print(f"  git -C {kept}/fleet.git log                  # every decision is a commit")
    else:
        out.print("  trimtab demo --keep /tmp/trimtab-demo        # the same, left there to play with")
        out.print("  trimtab init fleet                           # a fleet repo of your own")
        out.print("  trimtab usage import usage.csv               # your usage")
        out.print("  trimtab recommend; trimtab plan              # what Trimtab would do")
