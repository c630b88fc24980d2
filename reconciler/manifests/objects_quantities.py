"""Quantities of people's manifests → millicores and bytes; what is no quantity becomes a problem and None."""

from collections.abc import Callable
from typing import Any, TypeVar

from reconciler.manifests.objects_declared import KeyPath, Notebook, mapping
from reconciler.model.quantity import canonical, parse_cpu, parse_memory, parse_quantity
from reconciler.model.workload import Resources

T = TypeVar("T")

_HINT = "write it as 250m, 2 or 512Mi"
_TEMPLATE_HINT = "Trimtab reads rendered manifests: render the Helm chart into the fleet repo, or set write: helmValues"


def read_quantity(
    value: Any, parse: Callable[[str | int | float], T], at: KeyPath, shown: str, notes: Notebook
) -> T | None:
    """``parse(value)``, or None with a problem when it is no quantity, negative, or missing after its key."""
    if value is None or isinstance(value, dict | list):
        notes.problem(at, "has no quantity", shown=shown, hint=_HINT)
        return None
    try:
        if parse_quantity(value) < 0:
            notes.problem(at, f"{value} is negative", shown=shown, hint=_HINT)
            return None
        return parse(value)
    except ValueError as error:
        hint = _TEMPLATE_HINT if "{{" in str(value) else _HINT
        notes.problem(at, str(error), shown=shown, hint=hint)
        return None


def read_sizes(value: Any, at: KeyPath, shown: str, notes: Notebook) -> tuple[int | None, int | None]:
    """``cpu`` in millicores and ``memory`` in bytes of a resource list; other resources are none of Trimtab's business."""
    if value is None:
        return None, None
    if not isinstance(value, dict):
        notes.problem(at, "should be a mapping of resources", shown=shown)
        return None, None
    cpu = read_quantity(value["cpu"], parse_cpu, (*at, "cpu"), f"{shown}.cpu", notes) if "cpu" in value else None
    memory = None
    if "memory" in value:
        memory = read_quantity(value["memory"], parse_memory, (*at, "memory"), f"{shown}.memory", notes)
    return cpu, memory


def read_resources(value: Any, at: KeyPath, shown: str, notes: Notebook) -> tuple[Resources, tuple[str, ...]]:
    """A container's ``resources``, and which of its maps are written.

    A request that is not written is the limit, where there is one: the API server fills it in
    (``SetDefaults_Pod``, kubernetes ``pkg/apis/core/v1/defaults.go``).
    """
    if value is None:
        return Resources(), ()
    if not isinstance(value, dict):
        notes.problem(at, "should be a mapping", shown=shown)
        return Resources(), ()
    written = ("resources", *(f"resources/{b}" for b in ("requests", "limits") if isinstance(value.get(b), dict)))
    cpu, memory = read_sizes(value.get("requests"), (*at, "requests"), f"{shown}.requests", notes)
    cpu_limit, memory_limit = read_sizes(value.get("limits"), (*at, "limits"), f"{shown}.limits", notes)
    requests = mapping(value.get("requests"))
    resources = Resources(
        cpu_request=cpu if "cpu" in requests else cpu_limit,
        memory_request=memory if "memory" in requests else memory_limit,
        cpu_limit=cpu_limit,
        memory_limit=memory_limit,
    )
    return resources, written


def read_hard(value: Any, at: KeyPath, notes: Notebook) -> dict[str, str]:
    """A map of quantities in canonical spelling; entries that are none are left out, each with a problem."""
    hard: dict[str, str] = {}
    for key, quantity in mapping(value).items():
        shown = ".".join(str(step) for step in at) + f"[{key}]"
        text = read_quantity(quantity, canonical, (*at, key), shown, notes)
        if text is not None:
            hard[key] = text
    return hard
