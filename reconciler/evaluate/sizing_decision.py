"""Whether a size is worth a change, and not refused: what becomes of one resource of one container."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from reconciler.evaluate.refusals import is_refused, refusal_text
from reconciler.evaluate.sizing_address import IMMUTABLE, address_of
from reconciler.evaluate.sizing_base import Demand
from reconciler.evaluate.sizing_clamps import Fitted
from reconciler.evaluate.sizing_context import SizingContext
from reconciler.evaluate.sizing_current import Current
from reconciler.evaluate.sizing_units import spell
from reconciler.model.inventory import Quota
from reconciler.model.observation import UsageSummary
from reconciler.model.quantity import parse_cpu, parse_memory
from reconciler.model.workload import Bound, Container, Resource, Workload

NOT_SET = "not set"


class Case(NamedTuple):
    """One resource of one container, as it is."""

    workload: Workload
    container: Container
    resource: Resource
    current: Current
    context: SizingContext


class Outcome(NamedTuple):
    """Millicores or bytes, old and new. ``changed``: the new ones are to be written; a difference under the minimum
    change is only shown. ``summary``: the history that was looked at. ``notes``: those parts of ``why`` that are about what
    is written, and not made of usage. ``refused``: what stands against writing it."""

    old: int | None
    old_limit: int | None
    new: int | None
    new_limit: int | None
    changed: bool
    why: str
    summary: UsageSummary | None
    notes: tuple[str, ...] = ()
    refused: str = ""

    @staticmethod
    def unchanged(current: Current, why: str, summary: UsageSummary | None) -> "Outcome":
        return Outcome(current.request, current.limit, current.request, current.limit, False, why, summary)

    def held(self, why: str) -> "Outcome":
        """The same as it is today, for the reason ``why``."""
        return self._replace(new=self.old, new_limit=self.old_limit, changed=False, why=why, notes=(), refused="")

    @property
    def falls(self) -> bool:
        return self.old is not None and self.new is not None and self.new < self.old


def decided(case: Case, wanted: Demand, fitted: Fitted, why: str, *, summary: UsageSummary) -> Outcome:
    """The outcome for the fitted values; ``why`` says how they came about and is completed here."""
    current = case.current
    move = f"{spell(case.resource, current.request)} → {spell(case.resource, fitted.request)}"
    forced = _forced(current, wanted, fitted)
    if not forced:
        small = _too_small(case, fitted, move)
        if small and fitted.request == current.request:
            return Outcome.unchanged(current, f"{why}; {small}", summary)
        if small:
            # What was computed is shown; that it is not worth a change is said, and nothing is written.
            return Outcome(
                current.request, current.limit, fitted.request, fitted.limit, False, f"{why}; {small}", summary
            )
    refused = _refused(case, fitted)
    if refused:
        return Outcome.unchanged(current, f"{why}; {move}, {refused}", summary)._replace(refused=refused)
    changed = f"{why}; {move}" + (f" ({forced})" if forced and forced != NOT_SET else "")
    if case.workload.key.kind in IMMUTABLE:
        changed += f"; {IMMUTABLE[case.workload.key.kind]}"
    return Outcome(current.request, current.limit, fitted.request, fitted.limit, True, changed, summary)


def quota_note(resource: Resource, sized: Iterable[tuple[str, Outcome]], replicas: int, quotas: Sequence[Quota]) -> str:
    """Said where the workload alone asks for more than the namespace's ResourceQuota has; nothing is clamped to it.

    ``sized``: role and outcome of each container. Init containers do not add to the sum of a pod.
    """
    asked = sum(one.new or 0 for role, one in sized if role != "init") * replicas
    for quota in quotas:
        found = quota_amount(quota, "requests", resource)
        if found is not None and asked > found[1]:
            key, hard = found
            pods = f"{replicas} replica{'s' if replicas != 1 else ''}"
            have = spell(resource, hard)
            return f"{spell(resource, asked)} for {pods} is above {key} {have} of ResourceQuota {quota.name}"
    return ""


def quota_amount(quota: Quota, bound: Bound, resource: Resource) -> tuple[str, int] | None:
    """What a ResourceQuota has of requests or limits, in millicores or bytes, and the key that says so; None = it does not.

    ``cpu`` and ``memory`` are other spellings of ``requests.cpu`` and ``requests.memory``.
    """
    names = (f"{bound}.{resource}", *([resource] if bound == "requests" else []))
    key = next((key for key in names if key in quota.hard), None)
    hard = _amount(quota.hard[key], resource) if key is not None else None
    return None if key is None or hard is None else (key, hard)


def above_pod_request(workload: Workload, cpu: Mapping[str, Outcome]) -> str:
    """Why no container's CPU may change: together they would pass the pod-level request, which the API server refuses.

    ``cpu``: outcomes by container; containers that are not in it stay as written. Empty when they fit.
    """
    most = workload.pod_cpu_request
    if most is None or not any(one.changed for one in cpu.values()):
        return ""
    beside = [one for one in workload.containers if one.role != "init"]
    asked = sum((cpu[one.name].new if one.name in cpu else one.resources.cpu_request) or 0 for one in beside)
    if asked <= most:
        return ""
    return f"left alone: the containers would request {spell('cpu', asked)}, above the pod's own request of {spell('cpu', most)}"


def _forced(current: Current, wanted: Demand, fitted: Fitted) -> str:
    """Why the change is made whatever its percentage; empty when the percentage decides."""
    if current.missing or current.request is None:
        return NOT_SET
    if wanted.oom_demand > current.request and fitted.request > current.request:
        return "whatever the minimum change, after an OOM kill"
    if current.stray_limit:
        return "the manifest has no limit any more"
    if current.limit is not None and current.limit < current.request:
        return "the limit is below the request"
    return ""


def _too_small(case: Case, fitted: Fitted, move: str) -> str:
    """That the request stays as it is because it would hardly change; empty when it is worth a change."""
    request = case.current.request
    percent = case.context.params.min_change_percent
    if request == fitted.request:
        return "as it is"
    if request is not None and abs(fitted.request - request) * 100 < percent * request:
        return f"{move} is under the minimum change of {percent:g} %"
    return ""


def _refused(case: Case, fitted: Fitted) -> str:
    """The refusal that stands against the request or its limit, for a person: the two stay or go together."""
    context, workload = case.context, case.workload
    if not context.refusals or workload.key.kind in IMMUTABLE:
        return ""
    address = address_of(workload, context.root_of(workload))
    values: list[tuple[Bound, int | None]] = [("requests", fitted.request)]
    if fitted.limit != case.current.limit:
        values.append(("limits", fitted.limit))
    for bound, value in values:
        field = address.field(case.container, bound, case.resource)
        text = None if value is None else spell(case.resource, value)
        standing = context.refusals_at(address.path, field)
        refusal = is_refused(standing, context.subject_id, address.path, field, text)
        if refusal is not None:
            return ("limit " if bound == "limits" else "") + refusal_text(refusal)
    return ""


def _amount(text: str, resource: Resource) -> int | None:
    try:
        return parse_cpu(text) if resource == "cpu" else parse_memory(text)
    except ValueError:
        return None
