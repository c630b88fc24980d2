"""The command line: `trimtab`."""

import gc
import sys
from typing import Annotated, Any

gc.disable()  # until all is imported: there is no garbage in it, and to look for some takes a fifth of the time

import typer

from reconciler import __version__
from reconciler.commands import (
    audit,
    check,
    demo,
    doctor,
    init,
    keys,
    licence,
    passes,
    recommend,
    rollback,
    serve,
    status,
    usage,
    where,
    windows,
)
from reconciler.commands.options import err
from reconciler.errors import TrimtabError

gc.freeze()
gc.enable()

app = typer.Typer(
    name="trimtab",
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


app.command("init")(init.init)
app.command("check")(check.check)
app.command("plan")(passes.plan)
app.command("reconcile")(passes.reconcile)
app.command("serve")(serve.serve)
app.add_typer(keys.app, name="key")
app.add_typer(licence.app, name="licence")
app.command("rollback")(rollback.rollback)
app.command("recommend")(recommend.recommend)
app.command("where")(where.where)
app.command("windows")(windows.windows)
app.command("status")(status.status)
app.add_typer(usage.app, name="usage")
app.add_typer(audit.app, name="audit")
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)


def main() -> None:
    """Run the command line; what a person can act on ends with its message and exit code 1."""
    try:
        app()
    except TrimtabError as error:
        err.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)


if __name__ == "__main__":
    main()
