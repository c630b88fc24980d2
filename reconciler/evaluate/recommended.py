"""Recommendations per container → one per workload: sizes, cost, saving, risk and priority (DESIGN §9, Recommendations)."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal

from reconciler.evaluate.refusals import too_close
from reconciler.evaluate.sizing_address import IMMUTABLE, address_of
from reconciler.evaluate.sizing_pricing import FOUR_PLACES
from reconciler.evaluate.sizing_units import spell
from reconciler.model.change import Refusal, ValueEdit
from reconciler.model.fleet import Pricing, Root
from reconciler.model.quantity import GIB, parse_cpu, parse_memory
from reconciler.model.recommendation import HOURS_A_MONTH, ContainerRecommendation, ContainerSizes, Priority, Risk
from reconciler.model.workload import RESOURCES, Bound, ObjectRef, Resource, Resources, Role, Workload

Place = tuple[str, str, str, str]
"""Cluster, namespace, kind and name of a workload."""

Group = Sequence[ContainerRecommendation]
"""All containers of one workload, in the order of the manifest."""

BOUNDS: tuple[Bound, Bound] = ("requests", "limits")

_RISKS: tuple[Risk, ...] = ("low", "medium", "high")
_HIGH, _MEDIUM = Decimal(50), Decimal(10)
"""Of the currency a month (Recommendations API, ``priority``)."""


def by_workload(recommendations: Iterable[ContainerRecommendation]) -> dict[Place, Group]:
    """The containers of each workload together; of a workload that several roots declare, those of the first."""
    found: dict[Place, list[ContainerRecommendation]] = {}
    group: list[ContainerRecommendation] = []
    for one in recommendations:
        # Those of one workload are nearly always side by side.
        if not group or group[0].workload is not one.workload:
            key = one.workload.key
            group = found.setdefault((key.cluster, key.namespace, key.kind, key.name), [])
        if not group or group[0].workload.root == one.workload.root:
            group.append(one)
    return {place: group if len(group) == 1 else _in_order(group) for place, group in found.items()}


def _in_order(group: Group) -> Group:
    place = {container.name: number for number, container in enumerate(group[0].workload.containers)}
    return sorted(group, key=lambda one: place.get(one.container, len(place)))


def is_worth_it(group: Group) -> bool:
    """Whether any container of the workload has a change that is worth proposing."""
    for one in group:  # noqa: SIM110 - asked of every workload in every pass
        if one.changes:
            return True
    return False


def current_sizes(group: Group) -> tuple[ContainerSizes, ...]:
    return tuple(_sizes(one, one.current) for one in group)


def recommended_sizes(group: Group) -> tuple[ContainerSizes, ...]:
    """What to set; a resource whose change is not worth it stays as it is."""
    return tuple(_sizes(one, _recommended(one)) for one in group)


def _sizes(one: ContainerRecommendation, resources: Resources) -> ContainerSizes:
    container = one.workload.container(one.container)
    role: Role = container.role if container is not None else "main"
    return ContainerSizes(name=one.container, resources=resources, role=role)


def _recommended(one: ContainerRecommendation) -> Resources:
    if len(one.changes) == len(RESOURCES):
        return one.recommended
    cpu = one.recommended if "cpu" in one.changes else one.current
    memory = one.recommended if "memory" in one.changes else one.current
    return Resources(
        cpu_request=cpu.cpu_request,
        cpu_limit=cpu.cpu_limit,
        memory_request=memory.memory_request,
        memory_limit=memory.memory_limit,
    )


def hourly_cost(group: Group, pricing: Pricing) -> Decimal:
    """Σ requests × replicas × price of one hour, to four places, half to even.

    As with savings, init containers add nothing, and a pod-level CPU request is what the pod costs.
    """
    workload = group[0].workload
    steady = [one for one in group if (c := workload.container(one.container)) is None or c.role != "init"]
    cpu = workload.pod_cpu_request
    if cpu is None:
        cpu = sum(one.current.cpu_request or 0 for one in steady)
    memory = sum(one.current.memory_request or 0 for one in steady)
    each = cpu * pricing.cpu_core_hour / 1000 + memory * pricing.ram_gib_hour / GIB
    return (each * group[0].replicas).quantize(FOUR_PLACES, ROUND_HALF_EVEN)


def monthly_saving(group: Group) -> Decimal:
    """For all replicas, in a month of 730 hours; negative when it costs more."""
    return sum((one.saving_monthly for one in group), start=Decimal(0))


def hourly_saving(group: Group) -> Decimal:
    """The monthly saving ÷ 730, to four places, half to even."""
    return (monthly_saving(group) / HOURS_A_MONTH).quantize(FOUR_PLACES, ROUND_HALF_EVEN)


def priority_of(saving_hourly: Decimal) -> Priority:
    """By what the shown saving makes in a month: high from 50, medium from 10, else low."""
    monthly = saving_hourly * HOURS_A_MONTH
    if monthly >= _HIGH:
        return "high"
    return "medium" if monthly >= _MEDIUM else "low"


def worst_risk(group: Group) -> Risk:
    """The highest risk among the containers that would change."""
    return max((one.risk for one in group if one.changes), key=_RISKS.index, default="low")


def samples_of(group: Group) -> int:
    """Data points behind the containers that would change; the most of any, as they were measured side by side."""
    return max((one.samples for one in group if one.changes), default=0)


def digest_of(group: Group, *beside: object) -> str:
    """The same as long as the same would be recommended. ``beside``: what else is shown, and what a saving is made of (prices).

    Usage itself is left out: it moves with every sample.
    """
    parts: list[object] = [*beside, group[0].replicas]
    for one in group:
        now, then = one.current, one.recommended
        parts += (one.container, now.cpu_request, now.memory_request, now.cpu_limit, now.memory_limit)
        parts += (then.cpu_request, then.memory_request, then.cpu_limit, then.memory_limit)
        parts += (one.changes, one.risk, one.oom_kills, one.restarts, one.action_id, one.notes or "")
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()


def written_sizes(
    ref: ObjectRef, edits: Iterable[ValueEdit], sizes: Sequence[ContainerSizes]
) -> tuple[ContainerSizes, ...]:
    """What edits have written of a workload: of each container that they touch, the resources that they touch.

    ``sizes`` fill in what needed no edit (a limit that was right already).
    """
    touched: dict[str, dict[tuple[Bound, Resource], str | None]] = {}
    for edit in edits:
        if edit.target == ref and (place := _place_of(edit)):
            container, bound, resource = place
            touched.setdefault(container, {})[bound, resource] = edit.new
    return tuple(
        one.model_copy(update={"resources": _written(one.resources, touched[one.name])})
        for one in sizes
        if one.name in touched
    )


def _place_of(edit: ValueEdit) -> tuple[str, Bound, Resource] | None:
    """``containers/server/requests/cpu``, or ``…/containers/server/resources/requests/cpu`` in a person's manifest."""
    if edit.form not in ("requests", "source"):
        return None
    parts = [part for part in edit.field.split("/") if part != "resources"]
    if len(parts) < 4 or parts[-4] not in ("containers", "initContainers"):
        return None
    bound = next((b for b in BOUNDS if b == parts[-2]), None)
    resource = next((r for r in RESOURCES if r == parts[-1]), None)
    return (parts[-3], bound, resource) if bound and resource else None


def _written(proposed: Resources, edited: Mapping[tuple[Bound, Resource], str | None]) -> Resources:
    resources = {resource for _, resource in edited}
    values: dict[str, int | None] = {}
    for resource in RESOURCES:
        for bound in BOUNDS:
            known = proposed.request(resource) if bound == "requests" else proposed.limit(resource)
            if (bound, resource) in edited:
                known = _amount(edited[bound, resource], resource)
            values[f"{resource}_{bound.removesuffix('s')}"] = known if resource in resources else None
    return Resources.model_validate(values)


def _amount(text: str | None, resource: Resource) -> int | None:
    if text is None:
        return None
    return parse_cpu(text) if resource == "cpu" else parse_memory(text)


def moved_sizes(current: Sequence[ContainerSizes], wanted: Sequence[ContainerSizes]) -> tuple[ContainerSizes, ...]:
    """Of what is wanted, the resources that are not so already; the others are left out."""
    before = {one.name: one.resources for one in current}
    found = []
    for one in wanted:
        moved = [r for r in RESOURCES if _pair(one.resources, r) != _pair(before.get(one.name), r)]
        if moved:
            found.append(one.model_copy(update={"resources": _only(one.resources, moved)}))
    return tuple(found)


def is_in_force(group: Group, sizes: Sequence[ContainerSizes]) -> bool:
    """Whether a workload has all of these sizes now; no sizes are in force nowhere."""
    now = {one.container: one.current for one in group}
    return bool(sizes) and all(
        _pair(now.get(one.name), r) == _pair(one.resources, r)
        for one in sizes
        for r in RESOURCES
        if _pair(one.resources, r) != (None, None)
    )


def _pair(resources: Resources | None, resource: Resource) -> tuple[int | None, int | None]:
    return (resources.request(resource), resources.limit(resource)) if resources else (None, None)


def _only(resources: Resources, kept: Sequence[Resource]) -> Resources:
    left_out = [r for r in RESOURCES if r not in kept]
    return resources.model_copy(update={f"{r}_{bound}": None for r in left_out for bound in ("request", "limit")})


Refused = Mapping[tuple[str, str, str], Sequence[Refusal]]
"""Refusals by subject, path and field."""


def refusals_by_field(refusals: Iterable[Refusal]) -> Refused:
    found: dict[tuple[str, str, str], list[Refusal]] = {}
    for refusal in refusals:
        found.setdefault((refusal.subject, refusal.path, refusal.field), []).append(refusal)
    return found


def is_refused(group: Group, root: Root, refused: Refused, wanted: Sequence[ContainerSizes] | None = None) -> bool:
    """Whether a refusal stands against any value of a workload; with ``wanted``, against one that is close to it."""
    workload = group[0].workload
    if not refused or workload.key.kind in IMMUTABLE:
        return False
    asked = {one.name: one.resources for one in wanted} if wanted is not None else None
    return any(
        asked is None or (one.container in asked and _close(refusal, asked[one.container], bound, resource))
        for one in group
        for field, bound, resource in _fields(workload, one.container, root)
        for refusal in refused.get((one.action_id, *field), ())
    )


def _fields(workload: Workload, name: str, root: Root) -> Iterable[tuple[tuple[str, str], Bound, Resource]]:
    container = workload.container(name)
    address = address_of(workload, root)
    if container is not None:
        for resource in RESOURCES:
            for bound in BOUNDS:
                yield (address.path, address.field(container, bound, resource)), bound, resource


def _close(refusal: Refusal, asked: Resources, bound: Bound, resource: Resource) -> bool:
    value = asked.request(resource) if bound == "requests" else asked.limit(resource)
    return value is not None and too_close(refusal.value, spell(resource, value))
