"""From what a request asks for to a policy: what needs more than one field, or the organization's fleets, to be judged."""

from collections.abc import Iterable, Mapping
from typing import Any

from api.auth import Principal
from api.errors import BadRequest, Conflict, Forbidden, Unavailable
from api.scaling.schemas import PolicyChange, PolicyCreate
from api.server import Server
from reconciler.model.fleet import Cluster
from reconciler.model.policy import STRATEGY_OF, TARGET_FORMS, Runtime, ScalingPolicy, ScalingPolicySpec


def asked_for(body: PolicyCreate, server: Server, principal: Principal) -> ScalingPolicySpec:
    """A new policy's fields.

    :raises BadRequest: naming the field.  :raises Forbidden: when its cluster is out of the key's reach.
    """
    _same_strategy(body, body.runtime)
    values = body.asked()
    _check(values, values)
    values["cluster"] = _cluster(values, server, principal)
    return ScalingPolicySpec.model_validate(values)


def changed(spec: ScalingPolicySpec, body: PolicyChange, server: Server, principal: Principal) -> ScalingPolicySpec:
    """``spec`` with the fields that were sent. Raises what :func:`asked_for` does."""
    sent = body.asked()
    if sent.get("runtime", spec.runtime) != spec.runtime:
        raise _bad("runtime", f"it is {spec.runtime}, and cannot be changed: make another policy")
    _same_strategy(body, spec.runtime)
    values = {**spec.model_dump(), **sent}
    _check(values, sent)
    if "cluster" in sent or (spec.runtime == "kubernetes" and spec.cluster is None):
        values["cluster"] = _cluster(values, server, principal)
    return ScalingPolicySpec.model_validate(values)


def _bad(field: str, message: str) -> BadRequest:
    return BadRequest(f"{field}: {message}", field=field)


def _same_strategy(body: PolicyChange, runtime: Runtime) -> None:
    if "strategy" in body.model_fields_set and body.strategy != STRATEGY_OF[runtime]:
        raise _bad("strategy", f"it follows from the runtime: for {runtime} it is {STRATEGY_OF[runtime]}; leave it out")


def _check(values: Mapping[str, Any], sent: Mapping[str, Any]) -> None:
    """The fields of one policy together. Where two disagree, the one that was sent is named."""
    runtime: Runtime = values["runtime"]
    form, words = TARGET_FORMS[runtime]
    if not form.fullmatch(values["target_ref"]) or ".." in values["target_ref"]:
        raise _bad("targetRef", f"for {runtime} write {words}")
    if values.get("cpu_target_percent") is None and values.get("memory_target_percent") is None:
        field = "memoryTargetPercent" if "memory_target_percent" in sent else "cpuTargetPercent"
        raise _bad(field, "at least one of cpuTargetPercent and memoryTargetPercent is required")
    _ordered(values, sent, ("min_replicas", "minReplicas"), ("max_replicas", "maxReplicas"))
    _ordered(values, sent, ("min_memory_mb", "minMemoryMB"), ("max_memory_mb", "maxMemoryMB"))


def _ordered(values: Mapping[str, Any], sent: Mapping[str, Any], low: tuple[str, str], high: tuple[str, str]) -> None:
    defaults = ScalingPolicySpec.model_fields
    least, most = (values.get(name, defaults[name].default) for name, _ in (low, high))
    if least is None or most is None or least <= most:
        return
    if low[0] in sent:
        raise _bad(low[1], f"{least} is above {high[1]}, which is {most}")
    raise _bad(high[1], f"{most} is below {low[1]}, which is {least}")


def _cluster(values: Mapping[str, Any], server: Server, principal: Principal) -> str | None:
    """The name of the cluster that is meant; None where a policy is in none, or no fleet repo is served yet."""
    asked, runtime = values.get("cluster"), values["runtime"]
    if runtime != "kubernetes":
        if asked is not None:
            raise _bad("cluster", f"a {runtime} policy is in no cluster: leave it out")
        allow(principal, None)
        return None
    known = server.clusters(principal.organization)
    if not known and any(steward.watch.fleet is None for steward in server.stewards):
        raise Unavailable("a fleet repo could not be read yet: try again soon", headers={"Retry-After": "5"})
    found = _named(asked, known) if asked is not None else _only(known)
    listed = ", ".join(sorted(c.name for c in known if principal.sees(c.name, c.id))) or "none"
    if found is None and asked is not None:
        raise _bad("cluster", f"there is no cluster {asked!r}; there are: {listed}")
    if found is None and known:
        raise _bad("cluster", f"say which one, as there are several: {listed}")
    allow(principal, found)
    return found.name if found else None


def _named(asked: str, known: tuple[Cluster, ...]) -> Cluster | None:
    return next((c for c in known if asked in (c.name, c.id)), None)


def _only(known: tuple[Cluster, ...]) -> Cluster | None:
    return known[0] if len(known) == 1 else None


def cluster_of(server: Server, organization: str, spec: ScalingPolicySpec) -> Cluster | None:
    """The cluster of a policy: the one it names, else the only one."""
    if spec.runtime != "kubernetes":
        return None
    known = server.clusters(organization)
    return _named(spec.cluster, known) if spec.cluster is not None else _only(known)


def allow(principal: Principal, cluster: Cluster | None, name: str | None = None) -> None:
    """:raises Forbidden: when the key is limited to other clusters. ``name``: where the cluster is in no fleet any more."""
    if not principal.sees(cluster.name if cluster else name, cluster.id if cluster else ""):
        raise Forbidden(f"this key is limited to the clusters {', '.join(sorted(principal.clusters))}")


def refuse_second(spec: ScalingPolicySpec, others: Iterable[ScalingPolicy], server: Server, organization: str) -> None:
    """:raises Conflict: when one of ``others`` has the target already."""
    for other in others:
        if (other.spec.runtime, other.spec.target_ref) != (spec.runtime, spec.target_ref):
            continue
        if cluster_of(server, organization, other.spec) == cluster_of(server, organization, spec):
            place = f"declared in {other.path}" if other.path else other.id
            raise taken(f"{spec.target_ref} already has the policy {other.spec.name} ({place})")


def taken(message: str) -> Conflict:
    return Conflict(f"targetRef: {message}; one workload has one policy", field="targetRef")
