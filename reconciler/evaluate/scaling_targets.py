"""Which workload a policy means: ``namespace/name`` in its cluster, a Deployment before a StatefulSet before a Rollout."""

import difflib
from dataclasses import dataclass

from reconciler.evaluate.index import Index, Placed
from reconciler.model.fleet import Fleet
from reconciler.model.inventory import Problem
from reconciler.model.policy import ScalingPolicy
from reconciler.model.workload import SCALABLE_KINDS

_NEAR = 3
"""How many names to suggest: more is a list, not a hint."""


@dataclass(frozen=True, eq=False)
class Resolved:
    """The policy's target, or the problem that names the policy's file and field."""

    policy: ScalingPolicy
    target: Placed | None = None
    problem: Problem | None = None


def resolve(policy: ScalingPolicy, index: Index, fleet: Fleet) -> Resolved:
    """The workload of a kubernetes policy. ``cluster`` (name or id) may be left out where the fleet has just one."""
    cluster, problem = _cluster(policy, fleet)
    if problem is not None:
        return Resolved(policy, problem=problem)
    namespace, name = policy.spec.target_namespace, policy.spec.target_name
    for kind in SCALABLE_KINDS:
        found = index.workloads.get((cluster, namespace, kind, name))
        if not found:
            continue
        if len(found) > 1:
            return Resolved(policy, problem=_declared_twice(policy, kind, found))
        return Resolved(policy, target=found[0])
    return Resolved(policy, problem=_unknown_target(policy, cluster, index))


def _cluster(policy: ScalingPolicy, fleet: Fleet) -> tuple[str, Problem | None]:
    asked = policy.spec.cluster
    names = [cluster.name for cluster in fleet.clusters]
    if asked is None:
        if len(names) == 1:
            return names[0], None
        listed = f"the fleet has {', '.join(sorted(names))}" if names else "trimtab.yaml declares no cluster"
        return "", _problem(policy, "cluster", f"which cluster is meant? {listed}", "name one of them as `cluster`")
    for cluster in fleet.clusters:
        if asked in (cluster.name, cluster.id):
            return cluster.name, None
    near = difflib.get_close_matches(asked, names, n=_NEAR) or sorted(names)[:_NEAR]
    return "", _problem(policy, "cluster", f"the fleet has no cluster {asked!r}", _suggestion(near))


def _declared_twice(policy: ScalingPolicy, kind: str, found: list[Placed]) -> Problem:
    places = " and ".join(_place(placed) for placed in found)
    message = f"{kind} {policy.spec.target_ref} is declared more than once: {places}"
    return _problem(policy, "targetRef", message, "keep one of them")


def _place(placed: Placed) -> str:
    source = placed.workload.source
    return f"{source.path}:{source.line}" if source.line else source.path


def _unknown_target(policy: ScalingPolicy, cluster: str, index: Index) -> Problem:
    kinds = f"{', '.join(SCALABLE_KINDS[:-1])} or {SCALABLE_KINDS[-1]}"
    message = f"no {kinds} {policy.spec.target_ref} in cluster {cluster}; the policy does nothing until there is one"
    return _problem(policy, "targetRef", message, _suggestion(_near_targets(policy, cluster, index)))


def _near_targets(policy: ScalingPolicy, cluster: str, index: Index) -> list[str]:
    """The same name in other namespaces first, then like names in the same (or a like) namespace."""
    namespaces = index.scalable_names.get(cluster, {})
    namespace, name = policy.spec.target_namespace, policy.spec.target_name
    elsewhere = [f"{other}/{name}" for other, names in sorted(namespaces.items()) if name in names]
    here = (
        namespace if namespace in namespaces else next(iter(difflib.get_close_matches(namespace, namespaces, n=1)), "")
    )
    like = [f"{here}/{near}" for near in difflib.get_close_matches(name, namespaces.get(here, ()), n=_NEAR)]
    return list(dict.fromkeys([*elsewhere, *like]))[:_NEAR]


def _suggestion(near: list[str]) -> str:
    return f"did you mean {' or '.join(near)}?" if near else ""


def _problem(policy: ScalingPolicy, field: str, message: str, hint: str) -> Problem:
    return Problem(path=policy.path or f"policy {policy.spec.name}", field=f"spec.{field}", message=message, hint=hint)
