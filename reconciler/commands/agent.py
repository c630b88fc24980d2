"""`trimtab agent`: beside a Kubernetes cluster, or on a Docker host."""

import os
import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from reconciler.agent.link import Key, Link, Registration
from reconciler.agent.options import NAMESPACE, BalancerKind, DockerOptions, KubernetesOptions, Options
from reconciler.agent.running import run_agent
from reconciler.clock import system_clock
from reconciler.commands.options import settings_from
from reconciler.errors import InputError, Stalled

Platform = Literal["kubernetes", "docker"]

_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_KUBERNETES, _DOCKER = "Kubernetes", "Docker"


def agent(
    server: Annotated[
        str, typer.Option("--server", metavar="URL", envvar="TRIMTAB_SERVER", help="The server's address.")
    ] = "",
    key: Annotated[
        str,
        typer.Option(
            "--key",
            metavar="KEY",
            envvar="TRIMTAB_KEY",
            help="API key with the scope agents:register. A key on the command line shows in the list of processes: "
            "better set TRIMTAB_KEY, or give a file.",
        ),
    ] = "",
    key_file: Annotated[
        str,
        typer.Option(
            "--key-file",
            metavar="FILE",
            envvar="TRIMTAB_KEY_FILE",
            help="File that holds the key, as a mounted secret does; read again at every registration.",
        ),
    ] = "",
    platform: Annotated[
        Platform | None,
        typer.Option("--platform", envvar="TRIMTAB_PLATFORM", help="What it runs beside."),
    ] = None,
    name: Annotated[
        str,
        typer.Option(
            "--name",
            metavar="NAME",
            envvar="TRIMTAB_NAME",
            help="What the agent is called.  [default: the cluster, or the host pool]",
        ),
    ] = "",
    hostname: Annotated[
        str,
        typer.Option(
            "--hostname",
            metavar="HOST",
            envvar="TRIMTAB_HOSTNAME",
            help="Where it runs: name and host are one agent.  [default: the machine's; in a pod, the agent's name]",
        ),
    ] = "",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Change nothing. Kubernetes: the API server dry-runs everything. Docker: no command is taken.",
        ),
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Make one round and end; exit with 1 when it went wrong.")
    ] = False,
    health_port: Annotated[
        int | None,
        typer.Option(
            "--health-port",
            metavar="PORT",
            min=0,
            max=65535,
            envvar="TRIMTAB_HEALTH_PORT",
            help="Answer /healthz (alive) and /readyz (registered) on this port.",
        ),
    ] = None,
    health_address: Annotated[
        str, typer.Option("--health-address", metavar="ADDRESS", help="On this address only.  [default: all]")
    ] = "",
    cluster: Annotated[
        str,
        typer.Option(
            "--cluster",
            metavar="NAME",
            envvar="TRIMTAB_CLUSTER",
            help="The cluster's name or id in trimtab.yaml.",
            rich_help_panel=_KUBERNETES,
        ),
    ] = "",
    kubeconfig: Annotated[
        str,
        typer.Option(
            "--kubeconfig",
            metavar="FILE",
            help="Reach the cluster by this file.  [default: the service account in a cluster, else kubectl's own]",
            rich_help_panel=_KUBERNETES,
        ),
    ] = "",
    context: Annotated[
        str, typer.Option("--context", metavar="NAME", help="Context of the kubeconfig.", rich_help_panel=_KUBERNETES)
    ] = "",
    namespace: Annotated[
        str,
        typer.Option(
            "--namespace",
            metavar="NS",
            envvar="TRIMTAB_NAMESPACE",
            help=f"Where it keeps the list of what it applied.  [default: its own in a cluster, else {NAMESPACE}]",
            rich_help_panel=_KUBERNETES,
        ),
    ] = "",
    prometheus: Annotated[
        str,
        typer.Option(
            "--prometheus",
            metavar="URL",
            envvar="TRIMTAB_AGENT_PROMETHEUS_URL",
            help="Read usage from this Prometheus, where the cluster has no metrics.k8s.io.",
            rich_help_panel=_KUBERNETES,
        ),
    ] = "",
    host_pool: Annotated[
        str,
        typer.Option(
            "--host-pool",
            metavar="POOL",
            envvar="TRIMTAB_HOST_POOL",
            help="The host pool in trimtab.yaml that this host belongs to.",
            rich_help_panel=_DOCKER,
        ),
    ] = "",
    docker_host: Annotated[
        str,
        typer.Option(
            "--docker-host",
            metavar="ADDRESS",
            help="The engine.  [default: DOCKER_HOST, else unix:///var/run/docker.sock]",
            rich_help_panel=_DOCKER,
        ),
    ] = "",
    ledger: Annotated[
        str,
        typer.Option(
            "--ledger",
            metavar="DIR",
            envvar="TRIMTAB_LEDGER",
            help="Where the outcome of each command is kept.  [default: agent in the state directory]",
            rich_help_panel=_DOCKER,
        ),
    ] = "",
    lb: Annotated[
        list[str] | None,
        typer.Option(
            "--lb",
            metavar="REF=KIND:FILE",
            help="Write the healthy containers of groups with this lbPoolRef into FILE, as KIND has them: traefik, "
            "haproxy, nginx, or template:TEMPLATE. May be repeated.",
            rich_help_panel=_DOCKER,
        ),
    ] = None,
) -> None:
    """Run beside a Kubernetes cluster or a Docker host: push what is measured, bring about what Git says.

    It only dials out, and goes on when the server is away. Stops cleanly on SIGTERM and Ctrl-C. The log goes to standard
    error (TRIMTAB_LOG_FORMAT=json, TRIMTAB_LOG_LEVEL=debug). `trimtab key create --scope agents:register` makes its key.

    Examples:

    ```
    trimtab agent --server https://trimtab.example.com --platform kubernetes --cluster prod
    trimtab agent --server https://trimtab.example.com --platform docker --host-pool web-pool
    trimtab agent --platform kubernetes --cluster dev --context kind-dev --dry-run --once
    trimtab agent --platform docker --host-pool web-pool --lb web=traefik:/etc/traefik/web.yml
    ```
    """
    settings = settings_from()
    options: Options
    if platform == "kubernetes":
        _refuse_others({"--host-pool": host_pool, "--docker-host": docker_host, "--lb": lb}, "docker")
        options = KubernetesOptions(
            cluster=_named(cluster, "--cluster", "the cluster's name in trimtab.yaml"),
            kubeconfig=kubeconfig,
            context=context,
            namespace=namespace or _own_namespace(),
            dry_run=dry_run,
            prometheus=prometheus,
            prometheus_token=settings.prometheus_token.get_secret_value(),
        )
    elif platform == "docker":
        others = {"--cluster": cluster, "--kubeconfig": kubeconfig, "--context": context, "--namespace": namespace}
        _refuse_others({**others, "--prometheus": prometheus}, "kubernetes")
        options = DockerOptions(
            host_pool=_named(host_pool, "--host-pool", "the host pool's name in trimtab.yaml"),
            ledger=Path(ledger).expanduser() if ledger else settings.state_dir / "agent",
            host=docker_host,
            balancers=tuple(_balancer(text) for text in lb or ()),
            dry_run=dry_run,
        )
    else:
        raise InputError("--platform is missing", hint="pass --platform kubernetes or --platform docker")
    name = name or cluster or host_pool
    who = Registration(
        name=name, hostname=hostname or _hostname(name), platform=platform, cluster=cluster, host_pool=host_pool
    )
    link = Link(_named(server, "--server", "the server's address"), _key(key, key_file), who, clock=system_clock)
    from reconciler.journal import configure

    configure(settings.log_format, settings.log_level)
    run_agent(link, options, clock=system_clock, once=once, health_port=health_port, health_address=health_address)


def _refuse_others(given: Mapping[str, object], platform: str) -> None:
    """:raises InputError: when an option of the other platform is there."""
    if wrong := next((option for option, value in given.items() if value), ""):
        raise InputError(f"{wrong} is for --platform {platform}", hint=f"leave {wrong} out, or take that platform")


def _named(value: str, option: str, what: str) -> str:
    if not value:
        raise InputError(f"{option} is missing", hint=f"pass {option} with {what}")
    return value


def _key(key: str, file: str) -> Key:
    """:raises InputError: without one."""
    if key:
        return key
    if not file:
        raise InputError(
            "there is no key",
            hint="make one with `trimtab key create --scope agents:register`, and set TRIMTAB_KEY or TRIMTAB_KEY_FILE",
        )
    read = _reader(Path(file).expanduser())
    read()
    return read


def _reader(path: Path) -> Callable[[], str]:
    def read() -> str:
        try:
            found = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise Stalled(f"the key cannot be read from {path}: {reason}", hint="check --key-file") from None
        if not found:
            raise Stalled(f"{path} is empty", hint="write the key into it")
        return found

    return read


def _own_namespace() -> str:
    try:
        return _OWN_NAMESPACE.read_text(encoding="utf-8").strip() or NAMESPACE
    except OSError:
        return NAMESPACE


def _hostname(known_as: str) -> str:
    """The machine's name. A pod's own name is another after each restart, and would be another agent each time."""
    return known_as if "KUBERNETES_SERVICE_HOST" in os.environ else socket.gethostname()


def _balancer(text: str) -> tuple[str, BalancerKind, Path]:
    found = re.fullmatch(r"([^=:]+)=(traefik|haproxy|nginx|template:[^:]+):(.+)", text)
    if found is None:
        raise InputError(
            f"--lb: {text!r} is not REF=KIND:FILE",
            hint="write it as web=traefik:/etc/traefik/dynamic/web.yml; KIND is traefik, haproxy, nginx or template:TEMPLATE",
        )
    return found[1], found[2], Path(found[3]).expanduser()
