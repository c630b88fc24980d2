"""One more container like another: what the engine says of the template, turned into what it takes to make the next.

Pure. What is a container's alone stays behind: its name, host name, addresses, and the volumes that have no name.
"""

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

from reconciler.agent.docker.members import COMMAND, GROUP, HOST_POOL, POLICY, TEMPLATE
from reconciler.errors import InputError

Json = dict[str, Any]

SHORT_ID: Final = 12
_COMPOSE_NUMBER: Final = "com.docker.compose.container-number"
_WITHOUT_ALIASES: Final = ("default", "bridge", "host", "none")


@dataclass(frozen=True)
class Clone:
    """``config`` is the body to create it with; ``networks`` are those that it joins after that, by name."""

    config: Json
    networks: tuple[tuple[str, Json], ...]


@dataclass(frozen=True)
class Origin:
    """On whose behalf a clone is made: what goes into its labels."""

    host_pool: str
    group: str
    command_id: str
    policy_id: str


def clone_of(template: Json, image: str, origin: Origin, number: int) -> Clone:
    """A clone of what ``inspect`` says of the template, made from ``image``.

    :raises InputError: when there cannot be two of it on one host, because it has a port of the host for itself.
    """
    host = _host_config(template)
    mode = str(host.get("NetworkMode", "default"))
    config = _config(template, mode, origin, number)
    main, others = _networks(template, mode)
    body: Json = {**config, "Image": image, "HostConfig": host}
    if main:
        body["NetworkingConfig"] = {"EndpointsConfig": main}
    return Clone(body, others)


def names(group: str, host_pool: str, taken: Collection[str], others: Collection[str]) -> Iterator[tuple[str, int]]:
    """Names for clones, in order: ``web-1``, ``web-2`` …; with the pool in front where a container of nobody's has that name.

    ``taken``: names of the group's own containers, whose numbers are not given again; ``others``: all other names.
    """
    for number in itertools.count(1):
        plain, prefixed = f"{group}-{number}", f"{host_pool}-{group}-{number}"
        if plain in taken or prefixed in taken:
            continue
        name = next((one for one in (plain, prefixed) if one not in others), None)
        if name is not None:
            yield name, number


def image_of(template: Json, tagged: str) -> str:
    """What to make clones from: the name that the template was made from if it still is that image (``tagged``), else the id."""
    name, running = str(template["Config"]["Image"]), str(template["Image"])
    return name if tagged == running else running


def _config(template: Json, mode: str, origin: Origin, number: int) -> Json:
    config = dict(template["Config"])
    config.pop("MacAddress", None)
    shared = mode == "host" or mode.startswith("container:")
    if shared or config.get("Hostname") == template["Id"][:SHORT_ID]:
        config.pop("Hostname", None)
    if mode.startswith("container:"):
        config.pop("ExposedPorts", None)  # the engine refuses them with another container's network
    labels = {**(config.get("Labels") or {})}
    labels.pop(TEMPLATE, None)
    if _COMPOSE_NUMBER in labels:
        labels[_COMPOSE_NUMBER] = str(number)
    labels |= {GROUP: origin.group, HOST_POOL: origin.host_pool, COMMAND: origin.command_id, POLICY: origin.policy_id}
    return {**config, "Labels": labels}


def _host_config(template: Json) -> Json:
    host = dict(template["HostConfig"])
    name = template["Name"].removeprefix("/")
    for port, bindings in (host.get("PortBindings") or {}).items():
        for binding in bindings or ():
            if _fixed(str(binding.get("HostPort") or "")):
                raise InputError(
                    f"{name} has port {binding['HostPort']} of the host for itself (container port {port}), so that there cannot be a second one here",
                    hint=f"run it with -p {port.split('/')[0]} alone, or with a range of host ports, and let a load balancer (--lb) find the containers",
                )
    host.pop("ContainerIDFile", None)
    host["AutoRemove"] = False  # else the log of one that fails would go with it
    if host.get("Links"):
        host["Links"] = [_link(link) for link in host["Links"]]
    return host


def _fixed(port: str) -> bool:
    """Whether it is one certain port: not any (empty or 0), and not a range of several."""
    first, _, last = port.partition("-")
    return first not in ("", "0") and last in ("", first)


def _link(link: str) -> str:
    """``/db:/web/database``, as it is shown, to ``db:database``, as it is given."""
    source, _, alias = link.partition(":")
    return f"{source.removeprefix('/')}:{alias.rsplit('/', 1)[-1]}"


def _networks(template: Json, mode: str) -> tuple[Json, tuple[tuple[str, Json], ...]]:
    """The endpoint to create it with, and those of the networks that it joins afterwards."""
    name, short = template["Name"].removeprefix("/"), template["Id"][:SHORT_ID]
    if mode.startswith("container:"):
        return {}, ()
    found: dict[str, Json] = {}
    first = mode if mode != "default" else "bridge"
    for network, joined in (template["NetworkSettings"].get("Networks") or {}).items():
        aliases = [alias for alias in joined.get("Aliases") or () if alias not in (name, short)]
        endpoint = {"Aliases": aliases, "Links": joined.get("Links"), "DriverOpts": joined.get("DriverOpts")}
        found[network] = {key: value for key, value in endpoint.items() if value}
        if joined.get("NetworkID") == mode:  # it may have been given by its id
            first = network
    main = {} if mode in _WITHOUT_ALIASES else {mode: found.get(first, {})}
    others = () if mode in ("host", "none") else tuple((n, e) for n, e in sorted(found.items()) if n != first)
    return main, others
