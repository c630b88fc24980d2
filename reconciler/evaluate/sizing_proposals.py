"""Recommendations → proposals: one per workload, with the edits of its requests and, under our HPA, of its CPU metric."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby

from reconciler.evaluate.index import patch_problem
from reconciler.evaluate.sizing_address import IMMUTABLE, Address, address_of
from reconciler.evaluate.sizing_context import SizingContext
from reconciler.evaluate.sizing_hpa import annotation_edit, metric_edit
from reconciler.evaluate.sizing_pricing import monthly_price
from reconciler.evaluate.sizing_units import LABEL, spell
from reconciler.model.change import Proposal, Subject, ValueEdit
from reconciler.model.fleet import Pricing, Root
from reconciler.model.inventory import RootState
from reconciler.model.machine_file import MachineFile
from reconciler.model.recommendation import ContainerRecommendation
from reconciler.model.workload import Bound, Container, Resource, Workload, WorkloadKey

SHOWN = 2
"""How many changes a proposal's reason names; the others are counted."""


def proposals(
    recommendations: Iterable[ContainerRecommendation],
    *,
    subject: Subject,
    root_state: RootState,
    root: Root,
    context: SizingContext,
) -> tuple[Proposal, ...]:
    """One proposal per workload that has changes, in the order of the recommendations (a workload's are side by side).

    Jobs and bare Pods get none (``why`` says so). A root whose values cannot be written gets proposals that are
    ``blocked``, with the reason.
    """
    worth = [one for one in recommendations if one.changes and one.workload.key.kind not in IMMUTABLE]
    made = []
    for _, group in groupby(worth, key=lambda one: (one.workload.root, str(one.workload.key))):
        proposal = _proposal(list(group), subject, root_state, root, context)
        if proposal is not None:
            made.append(proposal)
    return tuple(made)


def sized_cpu(recommendations: Iterable[ContainerRecommendation]) -> frozenset[WorkloadKey]:
    """Workloads whose CPU request is about to change: their new HPAs take an absolute target from the start."""
    return frozenset(
        one.workload.key for one in recommendations if "cpu" in one.changes and one.workload.key.kind not in IMMUTABLE
    )


def _proposal(
    group: Sequence[ContainerRecommendation],
    subject: Subject,
    root_state: RootState,
    root: Root,
    context: SizingContext,
) -> Proposal | None:
    workload = group[0].workload
    blocked = _blocked(root_state, root, workload)
    edits = () if root.write == "helmValues" else _edits(group, workload, root_state, root, context)
    if not edits and not blocked:
        return None
    return Proposal.unchecked(
        kind="requests",
        subject=subject,
        cluster=workload.key.cluster,
        root=root.path,
        namespace=workload.key.namespace,
        workload=workload.key.name,
        edits=edits,
        reason=_reason(group, context.pricing),
        saving_monthly=sum((one.saving_monthly for one in group), start=Decimal(0)),
        takes_capacity=any(_takes(one) for one in group),
        ignores_windows=False,
        ignores_budget=False,
        approval_required=False,
        approved_by="",
        blocked=blocked,
        reverts="",
        policy_snapshot={},
    )


def _blocked(root_state: RootState, root: Root, workload: Workload) -> str:
    if root.write == "helmValues":
        return f"{root.path} writes Helm values, and requests in them cannot be edited"
    if root.write != "overlay":
        return ""
    if not root_state.inventory.wired:
        return f"{root.path} does not list the component {root.overlay_path}: run trimtab init"
    return patch_problem(root_state, workload.ref)


def _edits(
    group: Sequence[ContainerRecommendation],
    workload: Workload,
    root_state: RootState,
    root: Root,
    context: SizingContext,
) -> tuple[ValueEdit, ...]:
    address = address_of(workload, root)
    place = Place(workload, address, root_state.overlay.get(address.path) if address.form == "requests" else None)
    edits: list[ValueEdit] = []
    for one in group:
        for resource in one.changes:
            edits += _resource_edits(one, resource, place)
    if edits and any("cpu" in one.changes for one in group):
        beside = [metric_edit(workload, context, root)]
        if root.write == "inPlace":
            beside.append(annotation_edit(workload, context))
        edits += [edit for edit in beside if edit is not None]
    return tuple(edits)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a workload's values are written, and our file that is there now."""

    workload: Workload
    address: Address
    file: MachineFile | None


def _resource_edits(one: ContainerRecommendation, resource: Resource, place: Place) -> list[ValueEdit]:
    """The request, and the limit where there is one; only what differs from what is written."""
    container = place.workload.container(one.container)
    assert container is not None
    values: tuple[tuple[Bound, int | None], ...] = (
        ("requests", one.recommended.request(resource)),
        ("limits", one.recommended.limit(resource)),
    )
    found = []
    for bound, value in values:
        field = place.address.field(container, bound, resource)
        if place.address.form == "source":
            old = _written(container, bound, resource)
        else:
            old = place.file.values.get(field) if place.file is not None else None
        new = None if value is None else spell(resource, value)
        if new != old:
            found.append(_edit(place, field, old, new, was=_written(container, bound, resource)))
    return found


def _edit(place: Place, field: str, old: str | None, new: str | None, *, was: str | None) -> ValueEdit:
    address, target = place.address, place.workload.ref
    return ValueEdit.unchecked(
        path=address.path, form=address.form, target=target, field=field, old=old, new=new, was=was
    )


def _written(container: Container, bound: Bound, resource: Resource) -> str | None:
    resources = container.resources
    value = resources.request(resource) if bound == "requests" else resources.limit(resource)
    return None if value is None else spell(resource, value)


def _takes(one: ContainerRecommendation) -> bool:
    """Whether a request or a limit of the container falls. A limit that is added or goes away is not a fall."""
    current, new = one.current, one.recommended
    pairs = [(current.request(name), new.request(name)) for name in one.changes]
    pairs += [(current.limit(name), new.limit(name)) for name in one.changes]
    return any(old is not None and value is not None and value < old for old, value in pairs)


def _reason(group: Sequence[ContainerRecommendation], pricing: Pricing) -> str:
    """``Deployment shop/web: server CPU 500m → 280m, server memory 512Mi → 327Mi, 2 more``, the dearest first."""
    moves = sorted(
        ((_weight(one, resource, pricing), one, resource) for one in group for resource in one.changes),
        key=lambda move: -move[0],
    )
    shown = [_move(one, resource) for _, one, resource in moves[:SHOWN]]
    if len(moves) > SHOWN:
        shown.append(f"{len(moves) - SHOWN} more")
    key = group[0].workload.key
    return f"{key.kind} {key.namespace}/{key.name}: {', '.join(shown)}"


def _move(one: ContainerRecommendation, resource: Resource) -> str:
    old, new = spell(resource, one.current.request(resource)), spell(resource, one.recommended.request(resource))
    return f"{one.container} {LABEL[resource]} {old} → {new}"


def _weight(one: ContainerRecommendation, resource: Resource, pricing: Pricing) -> Decimal:
    old, new = one.current.request(resource) or 0, one.recommended.request(resource) or 0
    return abs(monthly_price(resource, new - old, pricing))
