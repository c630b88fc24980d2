"""Put a house together from settings: database, clone, kustomize, templates, clock."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from reconciler.actuate.proxmox import Proxmox
from reconciler.clock import Clock, system_clock
from reconciler.commit.credentials import Credentials
from reconciler.commit.remote_head import default_branch
from reconciler.commit.repository import Repository
from reconciler.errors import Stalled
from reconciler.gate.windows import check_window
from reconciler.observe.git_state import read_fleet
from reconciler.observe.kustomize import Builder, find_kustomize
from reconciler.settings import Settings
from reconciler.steps.house import BRANCH, House, Stores
from reconciler.store.action_configs import ActionConfigStore
from reconciler.store.agents import AgentStore
from reconciler.store.cache import CacheStore
from reconciler.store.changes import ChangeStore, DecisionLog
from reconciler.store.commands import CommandStore
from reconciler.store.database import open_database
from reconciler.store.heartbeats import HeartbeatStore
from reconciler.store.keys import KeyStore
from reconciler.store.leases import LeaseStore, process_owner
from reconciler.store.marks import MarkStore
from reconciler.store.observations import ObservationStore
from reconciler.store.policies import PolicyStore
from reconciler.store.recommendations import RecommendationStore
from reconciler.store.refusals import RefusalStore
from reconciler.store.reports import ReportStore
from reconciler.store.runs import RunStore
from reconciler.store.usage import UsageStore
from reconciler.store.verdicts import VerdictStore
from reconciler.store.watched import WatchedStore


def share(name: str) -> Path:
    """A folder that ships with Trimtab (``templates``, ``example-repo``): in the wheel, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "_share" / name
    return installed if installed.is_dir() else package.parent / name


def builtin_templates() -> Mapping[str, str]:
    """Trimtab's own templates by file name."""
    return {file.name: file.read_text() for file in sorted(share("templates").glob("*.j2"))}


def state_dir(settings: Settings) -> Path:
    """The state directory, made when it is not there, readable by its owner only.

    :raises Stalled: when it cannot be made.
    """
    try:
        settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise Stalled(
            f"cannot use the state directory {settings.state_dir}: {error.strerror}",
            hint="set TRIMTAB_STATE_DIR to a directory that can be written",
        ) from None
    return settings.state_dir


def open_stores(settings: Settings) -> Stores:
    """The database, migrated, and its aggregates."""
    state_dir(settings)
    engine = open_database(settings.database)
    return Stores(
        usage=UsageStore(engine),
        observations=ObservationStore(engine),
        changes=ChangeStore(engine),
        log=DecisionLog(engine),
        refusals=RefusalStore(engine),
        leases=LeaseStore(engine),
        cache=CacheStore(engine),
        marks=MarkStore(engine),
        keys=KeyStore(engine),
        agents=AgentStore(engine),
        policies=PolicyStore(engine),
        commands=CommandStore(engine),
        reports=ReportStore(engine),
        verdicts=VerdictStore(engine),
        action_configs=ActionConfigStore(engine),
        runs=RunStore(engine),
        heartbeats=HeartbeatStore(engine),
        recommendations=RecommendationStore(engine),
        watched=WatchedStore(engine),
        engine=engine,
    )


def default_fleet(settings: Settings) -> str:
    """The fleet to use: the one set, else the folder one stands in when it is a fleet repo.

    :raises Stalled: when there is neither.
    """
    if settings.fleets:
        return settings.fleets[0]
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "trimtab.yaml").is_file() and (folder / ".git").exists():
            return str(folder)
    raise Stalled(
        "no fleet repo given",
        hint="pass --fleet PATH_OR_URL, set TRIMTAB_FLEET, or stand in a fleet repo (trimtab init makes one)",
    )


@contextmanager
def open_house(
    settings: Settings,
    *,
    clock: Clock = system_clock,
    step: Callable[[str], None] = lambda _name: None,
    stores: Stores | None = None,
) -> Iterator[House]:
    """One fleet repo, ready for passes; child processes end with the context.

    Settings of Proxmox VE that cannot be used are a note: what is no container of its goes on.
    """
    url = default_fleet(settings)
    folder = state_dir(settings)
    opened = stores or open_stores(settings)
    repository = open_repository(url, settings, opened.marks)
    command = find_kustomize()
    builder = Builder(folder / "builds" / repository.git_dir.name, command=command) if command else None
    house = House(
        name=repository.remote.url,
        repository=repository,
        stores=opened,
        templates=builtin_templates(),
        builder=builder,
        clock=clock,
        owner=process_owner(),
        given=url,
        step=step,
        notes=_notes(repository, builder),
    )
    try:
        house.proxmox = open_proxmox(settings, clock)
    except Stalled as error:
        house.notes = (*house.notes, f"LXC containers are not looked after: {error.message} ({error.hint})")
    try:
        yield house
    finally:
        house.close()
        if stores is None:
            opened.engine.dispose()


def open_proxmox(settings: Settings, clock: Clock) -> Proxmox | None:
    """What ``TRIMTAB_PROXMOX_URL`` names; None when it is not set. Nothing is asked of it yet.

    :raises Stalled: when the URL, the token or the CA file cannot be used as it is.
    """
    if not settings.proxmox_url:
        return None
    token = settings.proxmox_token.get_secret_value()
    return Proxmox.open(settings.proxmox_url, token, settings.proxmox_verify, clock=clock)


def open_repository(url: str, settings: Settings, marks: MarkStore) -> Repository:
    """The clone, on the branch that trimtab.yaml names; the remote's own default branch says where to read that first."""
    folder, credentials = state_dir(settings), _credentials(settings)
    branch = marks.get(url, BRANCH)
    if branch:
        return Repository.open(url, state_dir=folder, branch=branch, credentials=credentials)
    branch = default_branch(url, credentials)
    repository = Repository.open(url, state_dir=folder, branch=branch, credentials=credentials)
    named = _named_branch(repository)
    marks.set(url, BRANCH, named)
    if named == branch:
        return repository
    repository.close()
    return Repository.open(url, state_dir=folder, branch=named, credentials=credentials)


def _credentials(settings: Settings) -> Credentials | None:
    secret = settings.git_password.get_secret_value()
    if not secret:
        return None
    return Credentials(secret=secret, username=settings.git_username) if settings.git_username else Credentials(secret)


def _named_branch(repository: Repository) -> str:
    """``delivery.branch``; the branch in hand where trimtab.yaml cannot be read (the pass will say what is wrong)."""
    try:
        tree = repository.tree(repository.fetch())
        return read_fleet(tree, check_window=check_window).fleet.delivery.branch
    except Stalled:
        return repository.branch


def _notes(repository: Repository, builder: Builder | None) -> tuple[str, ...]:
    notes = [repository.remote.note] if repository.remote.note else []
    if builder is None:
        notes.append(
            "neither kustomize nor kubectl is on PATH: roots are not built before a commit (install one of them)"
        )
    return tuple(notes)
