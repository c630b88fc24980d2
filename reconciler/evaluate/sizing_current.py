"""What a container has today: people's values with Trimtab's overlay on top, and what the API server fills in."""

from functools import lru_cache
from typing import NamedTuple

from reconciler.evaluate.sizing_bounds import Bounds
from reconciler.model.machine_file import MachineFile
from reconciler.model.quantity import parse_cpu, parse_memory
from reconciler.model.workload import Bound, Container, Resource


class Current(NamedTuple):
    """Millicores or bytes. ``request`` and ``limit``: what a new pod gets (a limit that only a LimitRange gives is left out).

    ``own_request`` and ``own_limit`` are what people wrote: their ratio is kept. ``missing``: no one wrote a request
    or a limit. ``stray_limit``: the overlay has a limit where people have none any more.
    """

    request: int | None
    limit: int | None
    own_request: int | None
    own_limit: int | None
    missing: bool
    stray_limit: bool


def machine_field(container: Container, bound: Bound, resource: Resource) -> str:
    """The field of a ``requests`` file: ``containers/server/requests/cpu``."""
    return f"{'containers' if container.role == 'main' else 'initContainers'}/{container.name}/{bound}/{resource}"


def current_of(container: Container, resource: Resource, file: MachineFile | None, bounds: Bounds) -> Current:
    """People's values, with what stands in the overlay's ``file`` on top."""
    own_request, own_limit = container.resources.request(resource), container.resources.limit(resource)
    patched_request = patched_limit = None
    if file is not None:
        patched_request = _patched(file, container, "requests", resource)
        patched_limit = _patched(file, container, "limits", resource)
    limit = own_limit if patched_limit is None else patched_limit
    written = own_request if patched_request is None else patched_request
    # The API server gives a container that has only a limit that limit as its request; a LimitRange comes after it.
    filled = limit if written is None else written
    return Current(
        request=bounds.default_request if filled is None else filled,
        limit=limit,
        own_request=own_limit if own_request is None else own_request,
        own_limit=own_limit,
        missing=filled is None,
        stray_limit=own_limit is None and patched_limit is not None,
    )


def _patched(file: MachineFile, container: Container, bound: Bound, resource: Resource) -> int | None:
    text = file.values.get(machine_field(container, bound, resource))
    return None if text is None else _amount(text, resource)


@lru_cache(maxsize=4096)
def _amount(text: str, resource: Resource) -> int | None:
    """None for text that is no quantity: then people's value counts, and the next change writes a good one over it."""
    try:
        return parse_cpu(text) if resource == "cpu" else parse_memory(text)
    except ValueError:
        return None
