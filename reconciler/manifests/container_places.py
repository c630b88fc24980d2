"""Where containers stand in a manifest, for kinds that are patched by JSON 6902: by index, and only into maps that are there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from reconciler.manifests.objects_declared import mapping
from reconciler.manifests.yaml_reader import load_all
from reconciler.model.machine_file import MachineFile
from reconciler.model.workload import Workload

MAPS: Final = frozenset({"resources", "resources/requests", "resources/limits"})

_PATH = re.compile(r"/(?:[A-Za-z]+/)*(containers|initContainers)/(\d+)/(.+)")


@dataclass(frozen=True)
class ContainerPlace:
    """Where a container stands in its list, and which of ``resources``, ``resources/requests`` and ``resources/limits``
    are in people's own manifest: JSON 6902 can add only to what is there."""

    index: int
    present: frozenset[str] = MAPS


ContainerPlaces = Mapping[str, ContainerPlace]
"""By ``<role>/<container>``, as the fields of a ``requests`` file begin."""


def places_of(workload: Workload) -> dict[str, ContainerPlace]:
    """The places of a workload's containers, as its manifest has them.

    What is there is told by :attr:`~reconciler.model.workload.Container.written`, and not by the sizes: a request may be
    the limit, filled in.
    """
    places: dict[str, ContainerPlace] = {}
    counts = {"containers": 0, "initContainers": 0}
    for container in workload.containers:
        role = "containers" if container.role == "main" else "initContainers"
        places[f"{role}/{container.name}"] = ContainerPlace(counts[role], frozenset(container.written))
        counts[role] += 1
    return places


def places_in(text: bytes, *, path: str) -> dict[str, ContainerPlace]:
    """The places that a JSON 6902 patch of ours was written for: maps that it does not add itself were there.

    :raises InputError: when it cannot be read.
    """
    names: dict[tuple[str, str], str] = {}
    added: dict[tuple[str, str], set[str]] = {}
    documents = load_all(text, path=path)
    operations = documents[0].value if documents else None
    for operation in operations if isinstance(operations, list) else ():
        match = _PATH.fullmatch(str(mapping(operation).get("path", "")))
        if match is None:
            continue
        if match[3] == "name":
            names[match[1], match[2]] = str(operation.get("value"))
        elif match[3] in MAPS:
            added.setdefault((match[1], match[2]), set()).add(match[3])
    return {
        f"{role}/{name}": ContainerPlace(int(index), MAPS - added.get((role, index), set()))
        for (role, index), name in names.items()
    }


def is_misplaced(file: MachineFile, found: ContainerPlaces, wanted: ContainerPlaces) -> bool:
    """Whether a patch that was written for the places ``found`` would miss, now that they are ``wanted``.

    Containers that are gone are no matter of places.
    """
    needed: dict[str, set[str]] = {}
    for field in file.values:
        name, bound, _ = field.rsplit("/", 2)
        needed.setdefault(name, {"resources"}).add(f"resources/{bound}")
    return any(
        (place := found.get(name)) is None
        or place.index != wanted[name].index
        or maps - place.present != maps - wanted[name].present
        for name, maps in needed.items()
        if name in wanted
    )
