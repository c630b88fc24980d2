"""`trimtab where`: which file, line and field hold a container's values."""

from dataclasses import dataclass, replace
from typing import Annotated

import typer
from rich.text import Text

from reconciler.bootstrap import open_house
from reconciler.commands.options import DatabaseOption, FleetOption, JsonOption, out, print_json, settings_from
from reconciler.errors import InputError
from reconciler.manifests.splice import find_scalar
from reconciler.model.inventory import RootState
from reconciler.model.machine_file import MachineFile
from reconciler.model.workload import RESOURCES, Container, Workload
from reconciler.steps.house import House
from reconciler.steps.scene import Scene, read_scene
from reconciler.steps.view import View

_ROLE = {"main": "containers", "init": "initContainers", "sidecar": "initContainers"}
_TEMPLATE = {"CronJob": ("spec", "jobTemplate", "spec", "template", "spec"), "Pod": ("spec",)}


@dataclass(frozen=True)
class Place:
    """One value and where it is written. ``by``: ``people`` or ``trimtab``. ``inForce``: no later one overrides it."""

    cluster: str
    workload: str
    field: str
    value: str
    path: str
    line: int
    key: str
    by: str
    inForce: bool = True  # noqa: N815 - as it is spelt in JSON


def where(
    workload: Annotated[str, typer.Argument(metavar="WORKLOAD", help="namespace/name, as the cluster knows it.")],
    container: Annotated[
        str, typer.Argument(metavar="CONTAINER", help="Its name in the pod; init containers and sidecars too.")
    ],
    fleet: FleetOption = None,
    database_url: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which file, line and field hold a container's requests and limits, and which of them is in force.

    Example:

    ```
    trimtab where shop/storefront server
    ```
    """
    namespace, slash, name = workload.partition("/")
    if not (namespace and slash and name):
        raise InputError(f"{workload!r} is not namespace/name", hint="for example shop/storefront")
    with open_house(settings_from(fleet, database_url)) as house:
        scene = read_scene(house, View(house.repository.tree(house.repository.fetch())), house.now())
        places = _places(house, scene, namespace, name, container)
    if as_json:
        print_json([place.__dict__ for place in places])
        return
    _print(places)


def _print(places: list[Place]) -> None:
    """Two lines a place; a path is never broken, so that a terminal can open it."""
    several = len({(place.cluster, place.workload) for place in places}) > 1
    for place in places:
        told = place.by if place.inForce else f"{place.by}, overridden"
        whose = f"{place.cluster} {place.workload}  " if several else ""
        at = f"{place.path}:{place.line}" if place.line else place.path
        out.print(
            Text.assemble(whose, (place.field, "bold"), f"  {place.value}  ({told})"),
            style="" if place.inForce else "dim",
            soft_wrap=True,
        )
        out.print(Text.assemble(f"  {at}  ", (place.key, "dim")), soft_wrap=True)


def _places(house: House, scene: Scene, namespace: str, name: str, container: str) -> list[Place]:
    found: list[tuple[RootState, Workload]] = [
        (state, w)
        for state in scene.root_states
        for w in state.inventory.workloads
        if (w.key.namespace, w.key.name) == (namespace, name)
    ]
    if not found:
        near = sorted({f"{w.key.namespace}/{w.key.name}" for s in scene.root_states for w in s.inventory.workloads})
        listed = ", ".join(near[:8])
        raise InputError(f"no workload {namespace}/{name} in the fleet repo", hint=f"there are: {listed}")
    places: list[Place] = []
    names: set[str] = set()
    for state, workload in found:
        names |= {c.name for c in workload.containers}
        if one := workload.container(container):
            places += _in_force([*_of_people(house, workload, one), *_of_overlay(house, state, workload, one)])
    if container not in names:
        raise InputError(
            f"{namespace}/{name} has no container {container!r}", hint=f"it has: {', '.join(sorted(names))}"
        )
    if not places:
        raise InputError(f"no request or limit is written for {container} of {namespace}/{name}")
    return places


def _in_force(places: list[Place]) -> list[Place]:
    """The places of one container: by field, the last one wins."""
    last = {place.field: place for place in places}
    order = list(last)
    marked = [replace(place, inForce=place is last[place.field]) for place in places]
    return sorted(marked, key=lambda place: (order.index(place.field), not place.inForce))


def _of_people(house: House, workload: Workload, container: Container) -> list[Place]:
    source = workload.source
    tree = house.repository.tree(house.repository.head)
    if source.path not in tree.blobs:
        return []
    base = (*_TEMPLATE.get(workload.key.kind, ("spec", "template", "spec")), _ROLE[container.role], container.name)
    places = []
    for bound in ("requests", "limits"):
        for resource in RESOURCES:
            key = (*base, "resources", bound, resource)
            value = find_scalar(tree.read(source.path), source.document, key, path=source.path)
            if value is not None:
                places.append(
                    Place(
                        cluster=workload.key.cluster,
                        workload=_name(workload),
                        field=f"{bound}.{resource}",
                        value=value.value,
                        path=source.path,
                        line=value.line,
                        key=".".join(key),
                        by="people",
                    )
                )
    return places


def _of_overlay(house: House, state: RootState, workload: Workload, container: Container) -> list[Place]:
    tree = house.repository.tree(house.repository.head)
    places = []
    for path, file in state.overlay.items():
        if file.form != "requests" or not _about(file, workload):
            continue
        lines = tree.read(path).decode("utf-8", "replace").splitlines()
        for field, value in file.values.items():
            role, name, bound, resource = field.split("/")
            if (role, name) == (_ROLE[container.role], container.name):
                line = _line_of(lines, name, bound, resource)
                places.append(
                    Place(
                        cluster=workload.key.cluster,
                        workload=_name(workload),
                        field=f"{bound}.{resource}",
                        value=value,
                        path=path,
                        line=line,
                        key=field.replace("/", "."),
                        by="trimtab",
                    )
                )
    return places


def _name(workload: Workload) -> str:
    return f"{workload.key.kind} {workload.key.namespace}/{workload.key.name}"


def _about(file: MachineFile, workload: Workload) -> bool:
    mine, ref = file.target, workload.ref
    return (mine.kind, mine.name, mine.namespace) == (ref.kind, ref.name, ref.namespace)


def _line_of(lines: list[str], container: str, bound: str, resource: str) -> int:
    """The line of a value in a generated patch: below the container's name, below its bound. 0 = not found."""
    at = 0
    for wanted in (f"name: {container}", f"{bound}:", f"{resource}:"):
        at = next((n for n in range(at, len(lines)) if wanted in lines[n]), -1)
        if at < 0:
            return 0
    return at + 1
