"""The command line: `trimtab`.

A command's module is imported when that command is asked for: an agent, which runs on every host, is not to carry the
database and the loop with it, nor `--version` to wait for them.
"""

import copy
import gc
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

gc.disable()  # until all is imported: there is no garbage in it, and to look for some takes a fifth of the time

import typer
from typer.core import TyperCommand, TyperGroup

from reconciler import __version__
from reconciler.errors import TrimtabError

gc.freeze()
gc.enable()


@dataclass(frozen=True)
class Entry:
    """Where a command is: its module in ``reconciler.commands``, the function or group there, and its line in the help."""

    module: str
    attribute: str
    summary: str


TABLE: Mapping[str, Entry] = {
    "init": Entry(
        "init", "init", "Scaffold a fleet repo, or add what an existing one lacks; nothing that is there is touched."
    ),
    "check": Entry(
        "check",
        "check",
        "Check a checkout, as a pull request's CI does: configuration, roots that build, patches that would lose their object.",
    ),
    "plan": Entry(
        "passes", "plan", "Print the exact diff that `reconcile` would commit now, and what is held until when."
    ),
    "reconcile": Entry(
        "passes",
        "reconcile",
        "Commit and push what the plan shows; hold what its windows hold. Without --once, again and again.",
    ),
    "serve": Entry("serve", "serve", "Serve the HTTP API, and reconcile every fleet repo again and again."),
    "agent": Entry(
        "agent",
        "agent",
        "Run beside a Kubernetes cluster or a Docker host: push what is measured, bring about what Git says.",
    ),
    "rollback": Entry(
        "rollback",
        "rollback",
        "Restore the state before a commit of Trimtab's, as a commit. What a person has changed since stays.",
    ),
    "recommend": Entry(
        "recommend",
        "recommend",
        "Print what each container should request: current → recommended, saving per month, risk, samples, and why.",
    ),
    "where": Entry(
        "where",
        "where",
        "Say which file, line and field hold a container's requests and limits, and which of them is in force.",
    ),
    "windows": Entry(
        "windows",
        "windows",
        "Print when changes may, and must not, be committed: each window's stretches, its next opening and closing.",
    ),
    "status": Entry(
        "status",
        "status",
        "Print the fleet repo's revision, how much waits to be committed or is held, what became of the newest changes, what each cluster runs, its agents, and every problem.",
    ),
    "doctor": Entry(
        "doctor",
        "doctor",
        "Look at repository, remote, identity, configuration, roots, patches, and conflicts with people's HPAs.",
    ),
    "demo": Entry(
        "demo",
        "demo",
        "Show Trimtab at work: 14 days of sample usage, a plan, commits, a rollback, all in a throw-away fleet repo.",
    ),
    "key": Entry("keys", "app", "API keys: `trimtab key create`, `key list`, `key revoke`."),
    "licence": Entry("licence", "app", "The licence of the Actions API: `licence create`, `licence show`."),
    "usage": Entry("usage", "app", "Usage history: `trimtab usage import FILE`."),
    "audit": Entry("audit", "app", "Hold decision log and Git history against each other: `audit verify`."),
}


class Commands(Mapping[str, TyperCommand | TyperGroup]):
    """The commands of :data:`TABLE` by name, each imported when it is asked for."""

    def __init__(self) -> None:
        self._known: dict[str, TyperCommand | TyperGroup] = {}

    def __getitem__(self, name: str) -> TyperCommand | TyperGroup:
        if name not in self._known:
            self._known[name] = _loaded(name, TABLE[name])
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(TABLE)

    def __len__(self) -> int:
        return len(TABLE)


def _loaded(name: str, entry: Entry) -> TyperCommand | TyperGroup:
    with _without_collecting():
        found = getattr(import_module(f"reconciler.commands.{entry.module}"), entry.attribute)
    holder = typer.Typer(rich_markup_mode="markdown", add_completion=False, pretty_exceptions_enable=False)
    holder.callback()(lambda: None)  # else typer would make a single command of it, without a name
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name)
    else:
        holder.command(name)(found)
    made: Any = typer.main.get_command(holder)
    command: TyperCommand | TyperGroup = made.commands[name]
    return command


@contextmanager
def _without_collecting() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class LazyGroup(TyperGroup):
    """`trimtab` itself."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = Commands()

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """From the table alone."""
        shown = copy.copy(self)
        shown.commands = {name: TyperCommand(name, help=entry.summary) for name, entry in TABLE.items()}
        TyperGroup.format_help(shown, ctx, formatter)


app = typer.Typer(
    name="trimtab",
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# A wrong option is an error like any other; 2 is kept for `plan`, whose 2 says that there is something to commit.
_usage_error: Any = typer.BadParameter.__bases__[0]
_usage_error.exit_code = 1


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"trimtab {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A GitOps reconciler for capacity: every scaling, right-sizing and turndown decision becomes a commit.

    See it at work with the first of these; the others are the way to a fleet repo of your own.

    ```
    trimtab demo
    trimtab init fleet
    trimtab usage import usage.csv
    trimtab plan --fleet fleet
    trimtab reconcile --once --fleet fleet
    ```

    Exits with 0 when all went well, 1 on an error; plan also with 2, when there is something to commit.
    """


def main() -> None:
    """Run the command line; what a person can act on ends with its message and exit code 1."""
    try:
        app()
    except TrimtabError as error:
        from reconciler.commands.options import err

        err.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)


if __name__ == "__main__":
    main()
