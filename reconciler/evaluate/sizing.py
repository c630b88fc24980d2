"""Right-sizing: a recommendation per container, with the figures behind it in words (DESIGN §7).

One resource of one container goes through: left alone? → enough history? → what usage asks for (``sizing_base``) → what
the cluster allows (``sizing_clamps``) → is the change worth it, and not refused (``sizing_decision``)? Every step that
moves or stops a value says so in ``why``. ``docs/rightsizing.md`` has the formulas with their sources.
"""

from collections.abc import Collection, Iterator, Mapping

from reconciler.evaluate.sizing_base import algorithm_text, base_value, demand
from reconciler.evaluate.sizing_bounds import Bounds
from reconciler.evaluate.sizing_clamps import Allowed, fit
from reconciler.evaluate.sizing_context import SizingContext
from reconciler.evaluate.sizing_cover import Covering, pick_action, subject_of
from reconciler.evaluate.sizing_current import Current, current_of
from reconciler.evaluate.sizing_decision import Case, Outcome, above_pod_request, decided, quota_note
from reconciler.evaluate.sizing_hpa import left_alone
from reconciler.evaluate.sizing_pricing import replicas_of, risk_of, saving
from reconciler.evaluate.sizing_proposals import proposals, sized_cpu
from reconciler.evaluate.sizing_units import days_text
from reconciler.model.observation import UsageSummary
from reconciler.model.recommendation import ContainerRecommendation
from reconciler.model.workload import RESOURCES, Container, Resource, Resources, Workload

__all__ = ["Covering", "SizingContext", "pick_action", "proposals", "recommend", "sized_cpu", "subject_of"]

STALE_DAYS = 1
"""Usage whose newest sample is older than this is still used, and its age is said."""


def recommend(
    workload: Workload, context: SizingContext, *, containers: Collection[str] | None = None
) -> tuple[ContainerRecommendation, ...]:
    """One recommendation per container, init containers and native sidecars too, in the order of the manifest.

    ``containers``: names of those that the context's action covers; None = all. The same values give the same result.
    """
    alone = {resource: left_alone(workload, resource, context) for resource in RESOURCES}
    sized = [
        (one, {case.resource: _outcome(case, alone[case.resource]) for case in _cases(workload, one, context)})
        for one in workload.containers
        if containers is None or one.name in containers
    ]
    above = above_pod_request(workload, {one.name: by["cpu"] for one, by in sized})
    if above:
        sized = [(one, {**by, "cpu": by["cpu"].held(above)}) for one, by in sized]
    notes = _quota_notes(workload, [(one.role, by) for one, by in sized], context)
    return tuple(_recommendation(workload, one, by, notes, context) for one, by in sized)


def _cases(workload: Workload, container: Container, context: SizingContext) -> Iterator[Case]:
    file = context.requests_files.get(workload.key) if context.requests_files else None
    for resource in RESOURCES:
        current = current_of(container, resource, file, context.bounds(workload, resource))
        yield Case(workload, container, resource, current, context)


def _outcome(case: Case, alone: str) -> Outcome:
    """One resource of one container, through every step."""
    context, resource, current = case.context, case.resource, case.current
    summary = context.summary(case.workload, case.container, resource)
    reason = alone or _lacking(summary, context.params.min_samples)
    if reason or summary is None:
        return Outcome.unchanged(current, reason, summary)
    rules = context.rules(resource)
    base = base_value(summary, rules)
    if base is None:
        return Outcome.unchanged(current, f"the history has no {algorithm_text(rules)}", summary)
    bounds = context.bounds(case.workload, resource)
    oom = context.oom(case.workload, case.container) if resource == "memory" else None
    wanted = demand(summary, base, rules, resource, oom=oom, limit=_killing_limit(current, bounds))
    allowed = Allowed(bounds, context.node(resource), context.params.keep_limit_ratio)
    fitted = fit(wanted, current, allowed, resource)
    beside = (*fitted.notes, *_age(summary, context))
    outcome = decided(case, wanted, fitted, "; ".join((wanted.why, *beside)), summary=summary)
    notes = (*wanted.notes, *beside)
    return outcome._replace(notes=notes) if notes and outcome.changed else outcome


def _lacking(summary: UsageSummary | None, least: int) -> str:
    if summary is None or summary.samples == 0:
        return "no usage seen"
    return f"only {summary.samples} samples of {least}" if summary.samples < least else ""


def _killing_limit(current: Current, bounds: Bounds) -> int | None:
    """The limit at which a container is killed: its own, else the one that a LimitRange gives it."""
    return current.limit if current.limit is not None else bounds.default_limit


def _age(summary: UsageSummary, context: SizingContext) -> list[str]:
    days = (context.now - summary.last).total_seconds() / 86400
    return [f"the newest sample is {days_text(days)} old"] if days > STALE_DAYS else []


def _quota_notes(
    workload: Workload, sized: list[tuple[str, dict[Resource, Outcome]]], context: SizingContext
) -> dict[Resource, str]:
    quotas = context.quotas_of(workload.key.namespace)
    if not quotas:
        return {}
    replicas = replicas_of(workload, context.observed_replicas(workload))
    return {
        resource: quota_note(resource, [(role, by[resource]) for role, by in sized], replicas, quotas)
        for resource in RESOURCES
    }


def _recommendation(
    workload: Workload,
    container: Container,
    by: Mapping[Resource, Outcome],
    notes: Mapping[Resource, str],
    context: SizingContext,
) -> ContainerRecommendation:
    cpu, memory = by["cpu"], by["memory"]
    changed = {resource: one for resource, one in by.items() if one.changed}
    usage = {resource: one.summary for resource, one in by.items() if one.summary is not None}
    behind = [usage[resource] for resource in changed] or list(usage.values())
    # A pod-level CPU request is what the pod costs, whatever its containers ask for.
    paid = {name: one for name, one in changed.items() if name != "cpu" or workload.pod_cpu_request is None}
    moves = [(resource, one.old or 0, one.new or 0) for resource, one in paid.items()]
    oom = context.oom(workload, container)
    replicas = replicas_of(workload, context.observed_replicas(workload))
    return ContainerRecommendation.unchecked(
        workload=workload,
        container=container.name,
        current=_resources(cpu.old, memory.old, cpu.old_limit, memory.old_limit),
        recommended=_resources(cpu.new, memory.new, cpu.new_limit, memory.new_limit),
        changes=tuple(changed),
        saving_monthly=saving(container, moves, replicas, context.pricing),
        risk=risk_of(behind, memory_falls=memory.falls, oom=oom),
        samples=min((one.samples for one in usage.values()), default=0),
        usage=usage,
        why={resource: _joined(one, notes.get(resource, "")) for resource, one in by.items()},
        notes={resource: found for resource, one in changed.items() if (found := _noted(one, notes.get(resource, "")))},
        refused={resource: one.refused for resource, one in by.items() if one.refused},
        replicas=replicas,
        oom_kills=oom.oom_kills if oom is not None else 0,
        restarts=oom.restarts if oom is not None else 0,
        action=context.action,
        action_id=context.subject,
    )


def _resources(cpu: int | None, memory: int | None, cpu_limit: int | None, memory_limit: int | None) -> Resources:
    return Resources.unchecked(cpu_request=cpu, memory_request=memory, cpu_limit=cpu_limit, memory_limit=memory_limit)


def _noted(outcome: Outcome, note: str) -> tuple[str, ...]:
    return (*outcome.notes, note) if note else outcome.notes


def _joined(outcome: Outcome, note: str) -> str:
    return f"{outcome.why}; {note}" if note and outcome.changed else outcome.why
