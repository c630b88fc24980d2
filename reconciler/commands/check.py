"""`trimtab check`: whether a person's change to the fleet repo is one that Trimtab can live with."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from reconciler.commands.options import JsonOption, err, out, print_json
from reconciler.errors import InputError
from reconciler.observe.kustomize import Builder, find_kustomize
from reconciler.observe.work_tree import WorkTree
from reconciler.steps.checking import check_tree


def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The checkout of the fleet repo.")] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Check a checkout, as a pull request's CI does: configuration, roots that build, patches that would lose their object.

    Exits with 0 when nothing is wrong, 1 when anything is.

    Example:

    ```
    trimtab check .
    ```
    """
    if not (folder / "trimtab.yaml").is_file():
        raise InputError(
            f"{folder.resolve()} holds no trimtab.yaml", hint="run it in a fleet repo; trimtab init makes one"
        )
    command = find_kustomize()
    with TemporaryDirectory(prefix="trimtab-check-") as place:
        builder = Builder(Path(place), command=command) if command else None
        problems = check_tree(WorkTree(folder), builder)
    if as_json:
        print_json([problem.model_dump(by_alias=True) for problem in problems])
    else:
        for problem in problems:
            err.print(f"{problem}", style="red", markup=False, soft_wrap=True)
            if problem.hint:
                err.print(f"  → {problem.hint}", markup=False, soft_wrap=True)
        if builder is None:
            err.print("note: neither kustomize nor kubectl is on PATH: no root was built")
        if not problems:
            out.print("[green]Nothing is wrong.[/]")
    raise typer.Exit(1 if problems else 0)
