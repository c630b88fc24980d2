"""What an agent was told on its command line, checked. The platform's ``run`` takes one of these, and nothing else of it.

Each platform has ``run(link, options, *, stop, clock, say, once)`` in its ``running.py``: it goes on until ``stop`` is set,
or makes one round (push, then bring about what is asked) where ``once``, and then raises what went wrong.
"""

from dataclasses import dataclass, field
from pathlib import Path

from structlog.typing import FilteringBoundLogger

Say = FilteringBoundLogger
"""Where an agent says what happens: structlog's logger, ``say.info("pushed", pods=12)``."""

BalancerKind = str
"""``traefik``, ``haproxy``, ``nginx``, or ``template:FILE`` for a Jinja2 template of one's own."""

NAMESPACE = "trimtab-system"


@dataclass(frozen=True)
class KubernetesOptions:
    """``kubeconfig`` and ``context``: empty means the service account in a cluster, else kubectl's own defaults.

    ``namespace``: where the agent keeps its inventory; never empty. ``prometheus``: URL to read usage from where there is no
    metrics.k8s.io; empty for none. ``prometheus_token``: sent to it as a bearer token. ``dry_run``: the API server is asked
    to dry-run everything.
    """

    cluster: str
    kubeconfig: str = ""
    context: str = ""
    namespace: str = NAMESPACE
    dry_run: bool = False
    prometheus: str = ""
    prometheus_token: str = field(default="", repr=False)


@dataclass(frozen=True)
class DockerOptions:
    """``host``: the engine's address, such as ``unix:///var/run/docker.sock``; empty means DOCKER_HOST, else that socket.

    ``ledger``: folder where the outcome of each command is kept. ``balancers``: for each ``lbPoolRef`` the kind and the file
    that is rewritten. ``healthy_seconds``: how long a new container may take to be running and healthy before the group is
    put back. ``grace_seconds``: how long a container may drain when it is stopped, where it says no ``StopTimeout`` itself.
    ``dry_run``: what runs is pushed, and no command is taken.
    """

    host_pool: str
    ledger: Path
    host: str = ""
    balancers: tuple[tuple[str, BalancerKind, Path], ...] = ()
    healthy_seconds: float = 90.0
    grace_seconds: float = 10.0
    dry_run: bool = False


Options = KubernetesOptions | DockerOptions
