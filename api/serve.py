"""From settings to a running server: stores, one steward for each fleet repo, tokens."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from tempfile import NamedTemporaryFile

import jwt
import structlog

from api.actions.passes import jobs
from api.claims import Claims
from api.history import Keeping
from api.metrics import Stored
from api.schedule import Schedule
from api.server import Server, keeper_of_node
from api.tokens import Tokens
from reconciler.actuate.proxmox import Proxmox
from reconciler.bootstrap import open_house, open_proxmox, open_stores, state_dir
from reconciler.clock import Clock, stopwatch, system_clock
from reconciler.commit.credentials import scrub
from reconciler.errors import Stalled
from reconciler.model.fleet import Fleet
from reconciler.report.metrics import Metrics, Outcome
from reconciler.settings import Settings
from reconciler.steps.house import House, Stores
from reconciler.steward import Heard, Steward

_JWKS_TIMEOUT_SECONDS = 5
_LEAST_JOIN_SECONDS = 0.1
STOP_SECONDS = 20.0
"""How long the stewards get to finish their commits. One that takes longer is lost nothing by ending: the next start sees
whether its push has landed."""

log = structlog.get_logger(__name__)


@contextmanager
def open_server(
    settings: Settings,
    *,
    interval: float = 30.0,
    passes: bool = True,
    schedule: bool | None = None,
    clock: Clock = system_clock,
    step: Callable[[str], None] = lambda _name: None,
) -> Iterator[Server]:
    """A server whose stewards run until the block ends; then each finishes the commit in hand.

    ``schedule``: run the Actions API's jobs by the clock; as ``passes`` when not given. Where another process makes the
    passes, its actions are completed here all the same, and heartbeats written. ``step`` is told each step of every pass, as :class:`~reconciler.steps.house.House` says.
    """
    stores, metrics = open_stores(settings), Metrics()
    urls = tuple(dict.fromkeys(settings.fleets))
    stewards: list[Steward] = []
    claims = Claims([scrub(url) for url in urls], stores.marks, lost=lambda place: stewards[place].wake())
    for place, url in enumerate(urls):
        keeper = Steward(
            url,
            _opening(
                settings, url, stores, clock, _both(metrics.steps(), step), _keeping_nodes(stewards, place), metrics
            ),
            interval=interval,
            clock=clock,
            passes=passes,
            tell=partial(_heard, metrics),
            admit=partial(claims.admit, place),
        )
        stewards.append(keeper)
    server = Server(
        settings, stores, tuple(stewards), clock, _tokens(settings), metrics=metrics, proxmox=_proxmox(settings, clock)
    )
    history = Keeping(server) if settings.prometheus_url else None
    metrics.registry.register(Stored(stores, clock))
    for steward in stewards:
        steward.start()
    if history is not None:
        history.start()
    if passes if schedule is None else schedule:
        actions = Schedule(jobs(server), clock)
        server.on_stop.append(actions.stop)
        actions.start()
    try:
        yield server
    finally:
        close(server)


def close(server: Server) -> None:
    """Flush what is buffered, let the stewards finish, and let go of the database."""
    for steward in server.stewards:
        steward.wind_down()
    for flush in server.on_stop:
        try:
            flush()
        except Exception:  # the others are to be flushed all the same
            log.exception("flush", of=getattr(flush, "__qualname__", ""))
    elapsed = stopwatch()
    for steward in server.stewards:
        if not steward.stop(max(_LEAST_JOIN_SECONDS, STOP_SECONDS - elapsed())):
            log.warning("a fleet repo is still busy: it is left as it is", fleet=steward.watch.url)
    if isinstance(server.proxmox, Proxmox):
        server.proxmox.close()
    server.stores.engine.dispose()


def _opening(
    settings: Settings,
    url: str,
    stores: Stores,
    clock: Clock,
    step: Callable[[str], None],
    keeps_lxc_node: Callable[[Fleet, str], bool],
    metrics: Metrics,
) -> Callable[[], AbstractContextManager[House]]:
    mine = settings.model_copy(update={"fleet": url})

    @contextmanager
    def opening() -> Iterator[House]:
        with open_house(mine, clock=clock, stores=stores, step=step) as house:
            house.keeps_lxc_node = keeps_lxc_node
            house.scaled = metrics.lxc_scaled
            yield house

    return opening


def _keeping_nodes(stewards: Sequence[Steward], place: int) -> Callable[[Fleet, str], bool]:
    """Whether a Proxmox VE node is looked after by the fleet repo at ``place``; ``stewards`` is filled by the time it is asked."""
    return lambda fleet, node: keeper_of_node(stewards, fleet.name, node) is stewards[place]


def _both(first: Callable[[str], None], second: Callable[[str], None]) -> Callable[[str], None]:
    def step(name: str) -> None:
        first(name)
        second(name)

    return step


def _heard(metrics: Metrics, heard: Heard) -> None:
    """Count a pass, and write one line of log about one that changed something."""
    metrics.passed(_outcome(heard), heard.seconds)
    if heard.found is not None:
        ready, held = heard.found.ready, len(heard.found.held)
        head = ready[-1].commit if ready else heard.found.head
        say = log.info if ready else log.debug
        say("pass", fleet=heard.url, head=head[:10], commits=len(ready), held=held)


def _outcome(heard: Heard) -> Outcome:
    if heard.found is None:
        return "failed"
    if heard.found.ready:
        return "committed"
    return "nothing" if "evaluate" in heard.seconds else "rested"


def _proxmox(settings: Settings, clock: Clock) -> Proxmox | Stalled | None:
    """What cannot be used is told to whoever asks for it, and holds nothing else up."""
    try:
        return open_proxmox(settings, clock)
    except Stalled as error:
        log.warning("Proxmox VE cannot be used", error=error.message, hint=error.hint)
        return error


def _tokens(settings: Settings) -> Tokens:
    jwks = jwt.PyJWKClient(settings.jwks_url, timeout=_JWKS_TIMEOUT_SECONDS) if settings.jwks_url else None
    return Tokens(secret_key(settings), user_secret=settings.jwt_secret.get_secret_value(), jwks=jwks)


def secret_key(settings: Settings) -> str:
    """``TRIMTAB_SECRET_KEY``, else the one kept in the state directory, which is made when it is not there."""
    if given := settings.secret_key.get_secret_value():
        return given
    file = state_dir(settings) / "secret.key"
    if not file.exists():
        # Whole or not at all, and readable by nobody else from the start; of two that start at once, one wins.
        with NamedTemporaryFile("w", dir=file.parent) as handle:
            handle.write(secrets.token_hex(32))
            handle.flush()
            with suppress(FileExistsError):
                file.hardlink_to(handle.name)
    return file.read_text()
