"""`trimtab key`: make, list and revoke API keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from reconciler.bootstrap import open_stores
from reconciler.clock import system_clock
from reconciler.commands.options import DatabaseOption, JsonOption, err, out, print_json, settings_from
from reconciler.errors import InputError
from reconciler.model.access import SCOPES, ApiKey, Scope
from reconciler.report.passes import instant
from reconciler.steps.house import Stores

app = typer.Typer(no_args_is_help=True, help="API keys: `trimtab key create`, `key list`, `key revoke`.")


@app.command("create")
def create(
    org: Annotated[str, typer.Option("--org", metavar="ORG", help="Whose key: metadata.name of its trimtab.yaml.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What people tell the key by, such as ci.")],
    scope: Annotated[
        list[str],
        typer.Option("--scope", metavar="SCOPE", help="What the key may do; may be repeated. write includes read."),
    ],
    cluster: Annotated[
        list[str] | None,
        typer.Option(
            "--cluster", metavar="ID", help="Name or id of a cluster that the key may see; all when left out."
        ),
    ] = None,
    database_url: DatabaseOption = None,
) -> None:
    """Make a key and print it: on standard output the key alone, so that it can go straight into a secret store.

    Nobody can read it again: only a hash of it is stored. Scopes: `scaling`, `agents`, `actions`, `recommendations`, `lxc`
    and `changes`, each with `:read` or `:write`; `agents:register`; `admin` for all.

    Examples:

    ```
    trimtab key create --org acme --name ci --scope scaling:write --scope agents:register
    trimtab key create --org acme --name dashboard --scope changes:read --cluster prod-eu-west-1
    ```
    """
    org, name = _word(org, "--org"), _line(name, "--name")
    scopes = tuple(dict.fromkeys(_scope(text) for text in scope))
    clusters = tuple(dict.fromkeys(_word(text, "--cluster") for text in cluster or ()))
    with _stores(database_url) as stores:
        secret, key = stores.keys.create(org, name, scopes, clusters, system_clock())
    typer.echo(secret)
    err.print(f"{key.id} is made. Keep it safe: it is shown this once only.", markup=False, soft_wrap=True)
    err.print("Send it as X-API-Key: <key>, or Authorization: Bearer <key>.", markup=False, soft_wrap=True)


@app.command("list")
def list_keys(
    org: Annotated[str | None, typer.Option("--org", metavar="ORG", help="Only this organization's.")] = None,
    database_url: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the keys, the oldest first, revoked ones too; never the key itself, only how it begins.

    Examples:

    ```
    trimtab key list
    trimtab key list --org acme --json
    ```
    """
    with _stores(database_url) as stores:
        found = stores.keys.list(org)
    if as_json:
        print_json([_as_json(key) for key in found])
    elif found:
        out.print(_table(found))
    else:
        whose = f" of {org}" if org else ""
        out.print(f"There are no keys{whose} yet: `trimtab key create` makes one.", markup=False)


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `trimtab key list` shows it.")],
    database_url: DatabaseOption = None,
) -> None:
    """End a key: whoever sends it is answered 401 from now on.

    Example:

    ```
    trimtab key revoke key_0f1e2d3c4b5a
    ```
    """
    with _stores(database_url) as stores:
        if not stores.keys.revoke(key_id, system_clock()):
            _explain(stores.keys.list(), key_id)
            return
    out.print(f"{key_id} is revoked.", markup=False)


def _explain(keys: tuple[ApiKey, ...], key_id: str) -> None:
    """:raises InputError: when there is no such key; one that was revoked before is as it should be."""
    known = next((key for key in keys if key.id == key_id), None)
    if known is None or known.revoked_at is None:
        raise InputError(f"there is no key {key_id}", hint="`trimtab key list` shows the ids of all keys")
    out.print(f"{key_id} was revoked before, {instant(known.revoked_at)}.", markup=False)


@contextmanager
def _stores(database_url: str | None) -> Iterator[Stores]:
    stores = open_stores(settings_from(database_url=database_url))
    try:
        yield stores
    finally:
        stores.engine.dispose()


def _scope(text: str) -> Scope:
    found = next((scope for scope in SCOPES if scope == text.strip()), None)
    if found is None:
        raise InputError(f"--scope: there is no scope {text!r}", hint=f"take one or more of {', '.join(SCOPES)}")
    return found


def _word(text: str, option: str) -> str:
    word = text.strip()
    if not word or not word.isprintable() or " " in word:
        raise InputError(f"{option}: {text!r} is no name", hint="write it as trimtab.yaml does, without spaces")
    return word


def _line(text: str, option: str) -> str:
    line = text.strip()
    if not line or not line.isprintable() or len(line) > 100:
        raise InputError(f"{option}: give a name of one line, at most 100 characters", hint="such as --name ci")
    return line


def _as_json(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "org": key.organization,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": list(key.scopes),
        "clusters": list(key.clusters),
        "created": _instant(key.created_at),
        "revoked": _instant(key.revoked_at) if key.revoked_at else None,
    }


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _table(keys: tuple[ApiKey, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("id", "org", "name", "prefix", "scopes", "clusters", "created", "revoked"):
        table.add_column(title, overflow="fold", no_wrap=title in ("id", "prefix", "created", "revoked"))
    for key in keys:
        table.add_row(
            key.id,
            Text(key.organization),
            Text(key.name),
            f"{key.prefix}…",
            " ".join(key.scopes),
            Text(" ".join(key.clusters) or "all"),
            instant(key.created_at),
            instant(key.revoked_at) if key.revoked_at else "",
        )
    return table
