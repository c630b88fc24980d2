"""From settings to a running server: stores, one steward for each fleet repo, tokens."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import jwt

from api.server import Server
from api.tokens import Tokens
from reconciler.bootstrap import open_house, open_stores, state_dir
from reconciler.clock import Clock, system_clock
from reconciler.settings import Settings
from reconciler.steps.house import Stores
from reconciler.steward import Steward

_JWKS_TIMEOUT_SECONDS = 5


@contextmanager
def open_server(
    settings: Settings, *, interval: float = 30.0, passes: bool = True, clock: Clock = system_clock
) -> Iterator[Server]:
    """A server whose stewards run until the block ends; then each finishes the commit in hand."""
    stores = open_stores(settings)
    stewards = tuple(_steward(url, settings, stores, interval, passes, clock) for url in settings.fleets)
    server = Server(settings, stores, stewards, clock, _tokens(settings))
    for steward in stewards:
        steward.start()
    try:
        yield server
    finally:
        for steward in stewards:
            steward.stop()
        stores.engine.dispose()


def _steward(url: str, settings: Settings, stores: Stores, interval: float, passes: bool, clock: Clock) -> Steward:
    mine = settings.model_copy(update={"fleet": url})
    return Steward(
        url,
        lambda: open_house(mine, clock=clock, stores=stores),
        interval=interval,
        clock=clock,
        passes=passes,
    )


def _tokens(settings: Settings) -> Tokens:
    jwks = jwt.PyJWKClient(settings.jwks_url, timeout=_JWKS_TIMEOUT_SECONDS) if settings.jwks_url else None
    return Tokens(secret_key(settings), user_secret=settings.jwt_secret.get_secret_value(), jwks=jwks)


def secret_key(settings: Settings) -> str:
    """``TRIMTAB_SECRET_KEY``, else the one kept in the state directory, which is made when it is not there."""
    if given := settings.secret_key.get_secret_value():
        return given
    file = state_dir(settings) / "secret.key"
    try:
        with file.open("x") as handle:
            file.chmod(0o600)
            handle.write(secrets.token_hex(32))
    except FileExistsError:
        pass
    return file.read_text()
