"""The kinds that an API server serves, what it fills in by itself, and what it refuses of them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.model.quantity import parse_quantity
from support.kube_double_types import Shape, custom_shape, shape_of

Json = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """One kind, as discovery names it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool
    generation: bool = False
    custom: bool = False
    schema: Mapping[str, Any] | None = field(default=None, compare=False)
    shape: Shape = field(init=False, compare=False)

    def __post_init__(self) -> None:
        shape = custom_shape(self.schema) if self.custom else shape_of(self.api_version, self.kind)
        object.__setattr__(self, "shape", shape)

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def status(self) -> bool:
        """Whether status is a subresource, which the main one cannot write."""
        return self.custom or self.shape.names("status")

    @property
    def resource_name(self) -> str:
        """As messages call it: ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def kind_name(self) -> str:
        return f"{self.kind}.{self.group}" if self.group else self.kind


def _built_in() -> list[Resource]:
    core = ["ConfigMap", "Secret", "Service", "ServiceAccount", "LimitRange", "PersistentVolumeClaim", "Pod", "Event"]
    found = [Resource("v1", kind, f"{kind.lower()}s", True) for kind in [*core, "ResourceQuota"]]
    found += [Resource("v1", kind, f"{kind.lower()}s", False) for kind in ("Namespace", "Node")]
    for version, kinds in (
        ("apps/v1", ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")),
        ("batch/v1", ("Job", "CronJob")),
        ("policy/v1", ("PodDisruptionBudget",)),
    ):
        found += [Resource(version, kind, f"{kind.lower()}s", True, generation=True) for kind in kinds]
    found.append(Resource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", True))
    found.append(Resource("coordination.k8s.io/v1", "Lease", "leases", True))
    found.append(Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", True, generation=True))
    rbac = "rbac.authorization.k8s.io/v1"
    found += [Resource(rbac, kind, f"{kind.lower()}s", True) for kind in ("Role", "RoleBinding")]
    found += [Resource(rbac, kind, f"{kind.lower()}s", False) for kind in ("ClusterRole", "ClusterRoleBinding")]
    return found


BUILT_IN: Final = _built_in()
METRICS: Final = [
    Resource("metrics.k8s.io/v1beta1", "PodMetrics", "pods", True, custom=True),
    Resource("metrics.k8s.io/v1beta1", "NodeMetrics", "nodes", False, custom=True),
]


# -- What an object of a kind is before anything is in it: structs and lists that Go always writes ------------------------

_POD_TEMPLATE: Final[Json] = {"metadata": {}, "spec": {"containers": None}}
_EMPTY: Final[dict[str, Json]] = {
    "Deployment": {"selector": None, "template": _POD_TEMPLATE, "strategy": {}},
    "StatefulSet": {"selector": None, "template": _POD_TEMPLATE, "serviceName": "", "updateStrategy": {}},
    "DaemonSet": {"selector": None, "template": _POD_TEMPLATE, "updateStrategy": {}},
    "ReplicaSet": {"selector": None, "template": _POD_TEMPLATE},
    "Job": {"template": _POD_TEMPLATE},
    "CronJob": {"schedule": "", "jobTemplate": {"metadata": {}, "spec": {"template": _POD_TEMPLATE}}},
    "HorizontalPodAutoscaler": {"scaleTargetRef": {"kind": "", "name": ""}, "maxReplicas": 0},
    "Pod": {"containers": None},
    "LimitRange": {"limits": None},
    **{kind: {} for kind in ("ResourceQuota", "PodDisruptionBudget", "Service", "Namespace", "Node", "NetworkPolicy")},
}


def empty(resource: Resource) -> Json:
    """What a create is compared with to see which fields it set."""
    return {} if resource.custom or resource.kind not in _EMPTY else {"metadata": {}, "spec": _EMPTY[resource.kind]}


# -- What the API server fills in (k8s.io/kubernetes/pkg/apis/*/v1/defaults.go) ------------------------------------------


def fill(resource: Resource, obj: Json) -> None:
    """Set the defaults of what is not there, in place."""
    if filler := _FILL.get(resource.kind):
        filler(obj.setdefault("spec", {}))


def _put(into: Json, **values: Any) -> Json:
    for name, value in values.items():
        into.setdefault(name, value)
    return into


def _pod(spec: Json, restart: str = "Always") -> None:
    _put(spec, restartPolicy=restart, dnsPolicy="ClusterFirst", schedulerName="default-scheduler")
    _put(spec, terminationGracePeriodSeconds=30, securityContext={})
    for volume in spec.get("volumes", []):
        for source, values in _VOLUMES.items():
            if source in volume:
                _put(volume[source], **values)
    for container in [*spec.get("initContainers", []), *spec.get("containers", [])]:
        image = str(container.get("image", ""))
        latest = image.endswith(":latest") or ":" not in image.rpartition("/")[2]
        _put(container, imagePullPolicy="Always" if latest else "IfNotPresent", resources={})
        _put(container, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")
        for port in container.get("ports", []):
            _put(port, protocol="TCP")


_VOLUMES: Final[dict[str, Json]] = {
    "hostPath": {"type": ""},
    "configMap": {"defaultMode": 420},
    "secret": {"defaultMode": 420},
    "projected": {"defaultMode": 420},
}


def _bare_pod(spec: Json) -> None:
    _pod(spec)
    for container in spec.get("containers", []):  # of pods only: a template keeps what it says
        if limits := container["resources"].get("limits"):
            container["resources"]["requests"] = {**limits, **container["resources"].get("requests", {})}


def _template(spec: Json, restart: str = "Always") -> None:
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    _pod(template.setdefault("spec", {}), restart)


def _deployment(spec: Json) -> None:
    _put(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600, strategy={})
    if _put(spec["strategy"], type="RollingUpdate")["type"] == "RollingUpdate":
        _put(spec["strategy"].setdefault("rollingUpdate", {}), maxUnavailable="25%", maxSurge="25%")
    _template(spec)


def _stateful_set(spec: Json) -> None:
    _put(spec, replicas=1, revisionHistoryLimit=10, podManagementPolicy="OrderedReady", updateStrategy={})
    if _put(spec["updateStrategy"], type="RollingUpdate")["type"] == "RollingUpdate":
        _put(spec["updateStrategy"].setdefault("rollingUpdate", {}), partition=0)
    _put(spec, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"})
    _template(spec)


def _daemon_set(spec: Json) -> None:
    _put(spec, revisionHistoryLimit=10, updateStrategy={})
    if _put(spec["updateStrategy"], type="RollingUpdate")["type"] == "RollingUpdate":
        _put(spec["updateStrategy"].setdefault("rollingUpdate", {}), maxUnavailable=1, maxSurge=0)
    _template(spec)


def _replica_set(spec: Json) -> None:
    _put(spec, replicas=1)
    _template(spec)


def _job(spec: Json) -> None:
    _put(spec, parallelism=1, completions=1, backoffLimit=6, completionMode="NonIndexed", suspend=False)
    _template(spec)


def _cron_job(spec: Json) -> None:
    _put(spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    template = _put(spec.setdefault("jobTemplate", {}), metadata={}, spec={})
    _template(template["spec"])


def _hpa(spec: Json) -> None:
    _put(spec, minReplicas=1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    if "behavior" in spec:
        up = [{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}]
        _put(spec["behavior"].setdefault("scaleUp", {}), stabilizationWindowSeconds=0, selectPolicy="Max", policies=up)
        down = [{"type": "Percent", "value": 100, "periodSeconds": 15}]
        _put(spec["behavior"].setdefault("scaleDown", {}), selectPolicy="Max", policies=down)


def _limit_range(spec: Json) -> None:
    for limit in spec.get("limits", []):
        if limit.get("type") == "Container" and limit.get("max"):
            limit["default"] = {**limit["max"], **limit.get("default", {})}
        if limit.get("default"):
            limit["defaultRequest"] = {**limit["default"], **limit.get("min", {}), **limit.get("defaultRequest", {})}


_FILL: Final[dict[str, Callable[[Json], None]]] = {
    "Pod": _bare_pod,
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
    "ReplicaSet": _replica_set,
    "Job": _job,
    "CronJob": _cron_job,
    "HorizontalPodAutoscaler": _hpa,
    "LimitRange": _limit_range,
}


# -- What it refuses (pkg/apis/*/validation) -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Wrong:
    """One fault: ``reason`` as in ``FieldValueRequired``."""

    field: str
    reason: str
    message: str


def _required(at: str, detail: str = "") -> Wrong:
    return Wrong(at, "FieldValueRequired", f"Required value{': ' + detail if detail else ''}")


def _invalid(at: str, value: Any, detail: str) -> Wrong:
    shown = json.dumps(value, separators=(",", ":"))
    return Wrong(at, "FieldValueInvalid", f"Invalid value: {shown}: {detail}")


def faults(resource: Resource, obj: Json, live: Json | None) -> list[Wrong]:
    """What validation finds in an object whose defaults are set."""
    judge = _JUDGE.get(resource.kind)
    if resource.custom or judge is None:
        return []
    found = judge(obj.get("spec") or {})
    if live is not None and resource.kind in _SELECTING:
        before, after = (live.get("spec") or {}).get("selector"), (obj.get("spec") or {}).get("selector")
        if before != after:
            found.append(_invalid("spec.selector", after, "field is immutable"))
    return found


def _containers(spec: Json, at: str) -> list[Wrong]:
    if not spec.get("containers"):
        return [_required(f"{at}.containers")]
    found = []
    for number, container in enumerate(spec["containers"]):
        where = f"{at}.containers[{number}]"
        found += [_required(f"{where}.{name}") for name in ("name", "image") if not container.get(name)]
        found += _amounts(container.get("resources") or {}, f"{where}.resources")
    return found


def _amounts(resources: Json, at: str) -> list[Wrong]:
    found = []
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for which, amounts in (("requests", requests), ("limits", limits)):
        for name, amount in amounts.items():
            if parse_quantity(amount) < 0:
                found.append(_invalid(f"{at}.{which}[{name}]", amount, "must be greater than or equal to 0"))
    for name, amount in requests.items():
        if name in limits and parse_quantity(amount) > parse_quantity(limits[name]):
            said = f"must be less than or equal to {name} limit of {limits[name]}"
            found.append(_invalid(f"{at}.requests", amount, said))
    return found


def _judge_workload(spec: Json) -> list[Wrong]:
    found = []
    if spec.get("replicas", 0) < 0:
        found.append(_invalid("spec.replicas", spec["replicas"], "must be greater than or equal to 0"))
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    selector = spec.get("selector")
    wanted = (selector or {}).get("matchLabels") or {}
    if selector is None:
        found.append(_required("spec.selector"))
    elif not wanted and not selector.get("matchExpressions"):
        found.append(_invalid("spec.selector", selector, "empty selector is invalid for deployment"))
    if selector is None or any(labels.get(name) != value for name, value in wanted.items()):
        found.append(_invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"))
    found += _containers(spec["template"]["spec"], "spec.template.spec")
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate" and strategy.get("rollingUpdate"):
        said = "Forbidden: may not be specified when strategy `type` is 'Recreate'"
        found.append(Wrong("spec.strategy.rollingUpdate", "FieldValueForbidden", said))
    return found


def _judge_cron_job(spec: Json) -> list[Wrong]:
    found = [] if spec.get("schedule") else [_required("spec.schedule")]
    return found + _containers(spec["jobTemplate"]["spec"]["template"]["spec"], "spec.jobTemplate.spec.template.spec")


def _judge_hpa(spec: Json) -> list[Wrong]:
    found = []
    target = spec.get("scaleTargetRef") or {}
    found += [_required(f"spec.scaleTargetRef.{name}") for name in ("kind", "name") if not target.get(name)]
    least, most = spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
    if least < 1:
        found.append(_invalid("spec.minReplicas", least, "must be greater than or equal to 1"))
    if most < 1:
        found.append(_invalid("spec.maxReplicas", most, "must be greater than 0"))
    elif most < least:
        found.append(_invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    return found


_SELECTING: Final = {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"}
_JUDGE: Final[dict[str, Callable[[Json], list[Wrong]]]] = {
    **dict.fromkeys(_SELECTING, _judge_workload),
    "Pod": lambda spec: _containers(spec, "spec"),
    "Job": lambda spec: _containers(spec["template"]["spec"], "spec.template.spec"),
    "CronJob": _judge_cron_job,
    "HorizontalPodAutoscaler": _judge_hpa,
}
