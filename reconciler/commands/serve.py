"""`trimtab serve`: the HTTP API and the passes, in one process."""

from importlib import import_module
from typing import Annotated

import typer

from reconciler.bootstrap import default_fleet
from reconciler.commands.options import DatabaseOption, settings_from
from reconciler.settings import Settings


def serve(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Listen on this address; 0.0.0.0 for all.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Listen on this port; 0 for any that is free.")] = 8080,
    no_loop: Annotated[
        bool, typer.Option("--no-loop", help="Serve only: `trimtab reconcile` makes the passes in another process.")
    ] = False,
    interval: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Seconds between passes.")] = 30.0,
    fleet: Annotated[
        list[str] | None,
        typer.Option(
            "--fleet",
            metavar="PATH_OR_URL",
            help="Fleet repo: a path or any Git URL; may be repeated. "
            "[env: TRIMTAB_FLEET; default: the fleet repo one stands in]",
        ),
    ] = None,
    database_url: DatabaseOption = None,
) -> None:
    """Serve the HTTP API, and reconcile every fleet repo again and again.

    Stops cleanly on SIGTERM and Ctrl-C: requests in flight and the commit in hand are finished. The log goes to standard
    error (TRIMTAB_LOG_FORMAT=json, TRIMTAB_LOG_LEVEL=debug). GET /readyz says when it is ready. Make a key first, with
    `trimtab key create`.

    Examples:

    ```
    trimtab serve --fleet https://git.example.com/acme/fleet.git
    trimtab serve --host 0.0.0.0 --port 8080 --fleet one.git --fleet two.git --interval 15
    ```
    """
    settings = _settings(fleet, database_url)
    from reconciler.journal import configure

    configure(settings.log_format, settings.log_level)
    # By name: the API is built on top of everything that the command line is made of, so it must not be imported here, and
    # no other command should wait for its packages.
    import_module("api.process").run(settings, host=host, port=port, interval=interval, passes=not no_loop)


def _settings(fleet: list[str] | None, database_url: str | None) -> Settings:
    """:raises Stalled: without any fleet repo."""
    settings = settings_from(",".join(fleet or ()), database_url)
    return settings if settings.fleets else settings.model_copy(update={"fleet": default_fleet(settings)})
