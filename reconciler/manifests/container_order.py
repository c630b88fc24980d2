"""In which order a ``requests`` file of a built-in kind lists its containers, so that the build keeps the manifest's.

A strategic merge patch puts the containers that it names first, in its own order, and the others after them (tried with
kustomize 5.5 and 5.8; ``$setElementOrder`` is dropped without a word). So such a file lists containers as the manifest does,
up to the last one that it sizes; those in between that it does not size have a name and nothing else.

Entries are ``<role>/<container>``, as the fields of the file begin.
"""

from collections.abc import Iterable, Sequence

from reconciler.model.machine_file import MachineFile
from reconciler.model.workload import Workload

Order = tuple[str, ...]

_ROLES = ("initContainers", "containers")
"""In the order in which a file has them."""


def entries(values: Iterable[str], standing: Sequence[str] = ()) -> Order:
    """What a file with the fields ``values`` lists, when the manifest has its containers in the order ``standing``.

    Sized containers that are not in ``standing`` come last, by name.
    """
    sized = {field.rsplit("/", 2)[0] for field in values if "/" in field}
    found: list[str] = []
    for role in _ROLES:
        known = _of(role, standing)
        last = max((place for place, entry in enumerate(known, 1) if entry in sized), default=0)
        found += known[:last]
        found += sorted(set(_of(role, sized)).difference(known))
    return tuple(found)


def order_of(values: Iterable[str], standing: Sequence[str]) -> Order:
    """:func:`entries` as :attr:`~reconciler.model.machine_file.MachineFile.order` has it: empty where names say it all."""
    fields = tuple(values)
    return said_by_names(entries(fields, standing), fields)


def said_by_names(listed: Sequence[str], values: Iterable[str]) -> Order:
    """What a file lists, by role; empty where it is only what it sizes, by name."""
    order = tuple(entry for role in _ROLES for entry in _of(role, listed))
    return () if order == entries(values) else order


def standing_of(workload: Workload) -> Order:
    """A workload's containers in the order of its manifest."""
    return tuple(f"{'containers' if c.role == 'main' else 'initContainers'}/{c.name}" for c in workload.containers)


def is_out_of_order(file: MachineFile, standing: Sequence[str]) -> bool:
    """Whether the build would have the containers in another order than the manifest, or one that is not in it.

    A sized container that is gone is no matter of order: its values are dropped, and the file is written anew with that.
    """
    mine = file.order or entries(file.values)
    if not set(entries(file.values)).issubset(standing):
        return False
    return any(_of(role, mine) != _of(role, standing)[: len(_of(role, mine))] for role in _ROLES)


def _of(role: str, listed: Iterable[str]) -> list[str]:
    return [entry for entry in listed if entry.startswith(f"{role}/")]
