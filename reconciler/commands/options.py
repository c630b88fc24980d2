"""Options that several commands share, and the consoles that they print on."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from io import StringIO
from typing import Annotated, TextIO

import typer
from pydantic import SecretStr, ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.style import Style

from reconciler.clock import Clock, fixed_clock, parse_instant, system_clock
from reconciler.errors import InputError
from reconciler.settings import Settings

FleetOption = Annotated[
    str | None,
    typer.Option(
        "--fleet",
        metavar="PATH_OR_URL",
        help="Fleet repo: a path or any Git URL. [env: TRIMTAB_FLEET; default: the fleet repo one stands in]",
    ),
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="Database. [env: TRIMTAB_DATABASE_URL; default: SQLite under the state directory]",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
NowOption = Annotated[
    str | None, typer.Option("--now", metavar="RFC3339", help="Set the clock, for example 2026-06-17T22:30:00Z.")
]

PIPED_WIDTH = 140
"""Columns of what goes to a file or a pipe: wide enough for tables, where nobody has said how wide it is."""


def _width(stream: TextIO) -> int | None:
    return None if stream.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH


# Without emoji: a name such as a:key:b is to be printed as it is.
out = Console(highlight=False, emoji=False, width=_width(sys.stdout))
err = Console(stderr=True, highlight=False, emoji=False, width=_width(sys.stderr))


def settings_from(fleet: str | None = None, database_url: str | None = None) -> Settings:
    """The environment's settings with the command line's options over them."""
    settings = _environment()
    given: dict[str, object] = {}
    if fleet:
        given["fleet"] = fleet
    if database_url:
        given["database_url"] = SecretStr(database_url)
    return settings.model_copy(update=given)


def _environment() -> Settings:
    """:raises InputError: naming the variable that cannot be used."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = f"TRIMTAB_{'_'.join(str(part) for part in first['loc']).upper()}"
        said = f"{first['msg'][:1].lower()}{first['msg'][1:]}"
        raise InputError(f"{name}: {said}", hint=f"correct or unset {name}") from None


def clock_from(now: str | None) -> Clock:
    """The machine's clock, or one that stands still at ``--now``."""
    return fixed_clock(parse_instant(now)) if now else system_clock


def instant_from(text: str | None, option: str, default: datetime) -> datetime:
    """An instant given by an option, or its default."""
    return parse_instant(text, option=option) if text else default


def print_json(value: object) -> None:
    """JSON on standard output, nothing else, so that it can be piped."""
    sys.stdout.write(json.dumps(value, indent=2, default=str, ensure_ascii=False) + "\n")


_DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan", "d": "bold"}


def print_diff(diff: str) -> None:
    """A diff byte for byte (a console would expand tabs and drop line ends), in colour where the terminal has colours."""
    if not out.is_terminal or out.no_color:
        sys.stdout.write(diff)
        sys.stdout.flush()
        return
    for line in StringIO(diff, newline="\n"):
        style = _DIFF_STYLES.get(line[0])
        text = line.rstrip("\r\n")
        sys.stdout.write(Style.parse(style).render(text) + line[len(text) :] if style else line)
    sys.stdout.flush()


@contextmanager
def progress(what: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error; call it with (done, total). It goes away when the work is done."""
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=quiet or not err.is_terminal,
    )
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


@contextmanager
def stages(*, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """A spinner on standard error that names the step a pass is in."""
    if quiet or not err.is_terminal:
        yield lambda _name: None
        return
    with err.status("…") as status:
        yield status.update
