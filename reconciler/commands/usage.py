"""`trimtab usage import`: recorded usage and pushes, from files."""

from pathlib import Path
from typing import Annotated

import typer

from reconciler.bootstrap import open_stores
from reconciler.commands.options import DatabaseOption, JsonOption, err, out, print_json, progress, settings_from
from reconciler.report.passes import counted
from reconciler.steps.importing import Imported, import_usage

app = typer.Typer(no_args_is_help=True, help="Usage history: `trimtab usage import FILE`.")


@app.command("import")
def import_file(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help=".csv of usage, or push bodies in .json or .jsonl; .gz too.")
    ],
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Keep the good rows of a file that has bad ones.")
    ] = False,
    cluster: Annotated[str, typer.Option(metavar="NAME", help="Cluster of push bodies that do not name one.")] = "",
    database_url: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fold recorded usage into the history. Importing the same rows twice changes nothing.

    A CSV has the columns timestamp, cluster, namespace, kind, name, container, cpu_cores and memory_bytes, in any order;
    instants are RFC 3339.

    Examples:

    ```
    trimtab usage import usage.csv
    trimtab usage import pushes.jsonl --cluster prod --keep-going
    ```
    """
    stores = open_stores(settings_from(database_url=database_url))
    try:
        with progress(f"importing {file.name}", quiet=as_json) as on_progress:
            done = import_usage(stores, file, keep_going=keep_going, default_cluster=cluster, on_progress=on_progress)
    finally:
        stores.engine.dispose()
    if as_json:
        print_json(_as_json(done))
    else:
        _print(file, done)


def _as_json(done: Imported) -> dict[str, object]:
    return {
        "samples": done.new,
        "seenBefore": done.seen,
        "pushes": done.pushes,
        "pushesSeenBefore": done.pushes_seen,
        "badRows": done.bad,
        "errors": [{"line": e.line, "field": e.field, "message": e.message} for e in done.errors],
    }


def _print(file: Path, done: Imported) -> None:
    for error in done.errors:
        err.print(f"{file}: {error}", markup=False, soft_wrap=True)
    if done.bad > len(done.errors):
        err.print(f"… and {done.bad - len(done.errors):,} more")
    if done.pushes or done.pushes_seen:
        out.print(f"{done.pushes:,} pushes new, {done.pushes_seen:,} seen before")
    else:
        out.print(f"{done.new:,} samples new, {done.seen:,} seen before")
    if done.bad:
        out.print(f"{counted(done.bad, 'bad row')} left out")
