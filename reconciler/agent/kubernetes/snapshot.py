"""What of a cluster's objects is kept between a listing and the next: what Trimtab can own, and what tells a rollout's health.

An object as the API server sends it has some ten kilobytes, most of it managed fields and pod templates; what is kept of it
is a twentieth of that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.agent.kubernetes.cluster import ObjectKey

Json = Mapping[str, Any]
"""An object as the API server has it, or a part of one: what ``json.loads`` makes."""

OURS = "trimtab.dev/"
"""How the annotations begin that are kept."""

_CONTAINER_LISTS = ("containers", "initContainers")


@dataclass(frozen=True)
class Snapshot:
    """``objects``: trimmed ones (:func:`trimmed`) by key. ``kinds``: (apiVersion, kind) of those listed to the end, so that what
    is of such a kind and not in ``objects`` is not in the cluster; of another kind nothing is known.

    ``revision`` of the listing does not matter: what is written is checked by the API server, by uid and field owner.
    """

    objects: Mapping[ObjectKey, Json] = field(default_factory=dict)
    kinds: frozenset[tuple[str, str]] = frozenset()


def key_of(api_version: str, kind: str, item: Json) -> ObjectKey:
    """The key of an object of a list; what it says of its own kind may be left out there."""
    metadata = item["metadata"]
    return ObjectKey(api_version, kind, metadata.get("namespace", ""), metadata["name"])


def trimmed(api_version: str, kind: str, item: Json) -> Json:
    """What is kept of an object: identity, generation, our annotations, the fields of ``spec`` that Trimtab can own, ``status``
    as far as it tells health.

    Shapes are as in the object: ``spec.replicas``, ``spec.suspend``, ``spec.template.spec.containers[].{name,resources}``
    (init containers and a CronJob's ``jobTemplate`` likewise), ``spec.hard``, ``spec.limits``; of an HPA the whole spec.
    """
    found: dict[str, Any] = {"apiVersion": api_version, "kind": kind, "metadata": _metadata(item["metadata"])}
    spec = _spec(kind, item.get("spec") or {})
    if spec:
        found["spec"] = spec
    status = _status(item.get("status") or {})
    if status:
        found["status"] = status
    return found


def _metadata(metadata: Json) -> Json:
    kept = ("name", "namespace", "uid", "resourceVersion", "generation", "deletionTimestamp")
    found = {name: metadata[name] for name in kept if name in metadata}
    annotations = metadata.get("annotations") or {}
    ours = {name: value for name, value in annotations.items() if name.startswith(OURS)}
    return {**found, "annotations": ours} if ours else found


def _spec(kind: str, spec: Json) -> dict[str, Any]:
    if kind == "HorizontalPodAutoscaler":
        return dict(spec)
    found = {name: spec[name] for name in ("replicas", "suspend", "hard", "limits", "paused") if name in spec}
    template = _template(spec)
    if template:
        found["template"] = template
    job = _template((spec.get("jobTemplate") or {}).get("spec") or {})
    if job:
        found["jobTemplate"] = {"spec": {"template": job}}
    return found


def _template(spec: Json) -> Json:
    pod = (spec.get("template") or {}).get("spec") or {}
    lists = {
        role: [{"name": one["name"], "resources": one.get("resources") or {}} for one in pod[role]]
        for role in _CONTAINER_LISTS
        if pod.get(role)
    }
    return {"spec": lists} if lists else {}


_NUMBERS = (
    "observedGeneration",
    "replicas",
    "readyReplicas",
    "updatedReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "currentReplicas",
    "desiredReplicas",
    "currentRevision",
    "updateRevision",
    "desiredNumberScheduled",
    "currentNumberScheduled",
    "updatedNumberScheduled",
    "numberReady",
    "numberAvailable",
    "phase",
    "hard",
    "used",
)
_CONDITION = ("type", "status", "reason", "message", "observedGeneration")


def _status(status: Json) -> Json:
    found = {name: status[name] for name in _NUMBERS if name in status}
    conditions = [
        {name: one[name] for name in _CONDITION if name in one} for one in status.get("conditions") or () if one
    ]
    return {**found, "conditions": conditions} if conditions else found
