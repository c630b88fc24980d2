"""Objects as an API server has them, as large as those of a busy cluster: with managed fields, probes and environment."""

from typing import Any

Json = dict[str, Any]

_MANAGED = {
    "f:metadata": {"f:labels": {f"f:app.kubernetes.io/label-{n}": {} for n in range(6)}},
    "f:spec": {"f:containers": {'k:{"name":"server"}': {f"f:field{n}": {"f:value": {}} for n in range(20)}}},
}


def metadata(name: str, namespace: str = "", uid: str = "", **more: Any) -> Json:
    placed = {"namespace": namespace} if namespace else {}
    return {
        "name": name,
        **placed,
        "uid": uid or f"uid-of-{namespace}-{name}",
        "resourceVersion": "4711",
        "creationTimestamp": "2026-06-01T08:00:00Z",
        "managedFields": [
            {
                "manager": "kube-controller-manager",
                "operation": "Update",
                "apiVersion": "v1",
                "time": "2026-06-01T08:00:00Z",
                "fieldsType": "FieldsV1",
                "fieldsV1": _MANAGED,
            }
        ],
        **more,
    }


def resources(requests: Json | None = None, limits: Json | None = None) -> Json:
    return {"requests": requests or {"cpu": "250m", "memory": "256Mi"}, "limits": limits or {"memory": "512Mi"}}


def container(name: str = "server", **more: Any) -> Json:
    return {
        "name": name,
        "image": f"registry.example.com/shop/{name}:1.42.0",
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": f"SETTING_{n}", "value": f"https://service-{n}.shop.svc.cluster.local"} for n in range(15)],
        "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}],
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"}, "periodSeconds": 10},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http", "scheme": "HTTP"}, "periodSeconds": 10},
        "volumeMounts": [{"mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "name": "token"}],
        "resources": resources(),
        **more,
    }


def status_of(name: str = "server", **more: Any) -> Json:
    """An item of a pod's ``containerStatuses``."""
    return {
        "name": name,
        "containerID": f"containerd://{name}-0",
        "image": f"registry.example.com/shop/{name}:1.42.0",
        "imageID": f"registry.example.com/shop/{name}@sha256:{'0' * 64}",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "lastState": {},
        "state": {"running": {"startedAt": "2026-06-01T08:00:05Z"}},
        **more,
    }


def killed(run: str, reason: str = "OOMKilled") -> Json:
    """A state that says how the run of a container ended."""
    return {"terminated": {"containerID": f"containerd://{run}", "reason": reason, "exitCode": 137}}


def pod(
    name: str,
    *,
    namespace: str = "shop",
    node: str = "node-0",
    containers: list[Json] | None = None,
    statuses: list[Json] | None = None,
    phase: str = "Running",
    ready: bool = True,
    owner: tuple[str, str] | None = None,
    labels: Json | None = None,
    spec: Json | None = None,
    status: Json | None = None,
    **more: Any,
) -> Json:
    owners = [{"kind": owner[0], "name": owner[1], "uid": f"uid-of-{owner[1]}", "controller": True}] if owner else []
    return {
        "metadata": metadata(name, namespace, labels=labels or {"app": name}, ownerReferences=owners, **more),
        "spec": {
            **({"nodeName": node} if node else {}),
            "containers": containers if containers is not None else [container()],
            "volumes": [{"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 300}],
            **(spec or {}),
        },
        "status": {
            "phase": phase,
            "conditions": [
                {"type": kind, "status": str(ready), "lastTransitionTime": "2026-06-01T08:00:05Z"}
                for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
            ],
            "containerStatuses": statuses if statuses is not None else [status_of()],
            **(status or {}),
        },
    }


def workload(kind: str, name: str, *, namespace: str = "shop", replicas: int = 2, **more: Any) -> Json:
    """A Deployment, StatefulSet or Rollout whose rollout is complete."""
    counts = ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas")
    return {
        "metadata": metadata(name, namespace, generation=3),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container()]}},
            **more.pop("spec", {}),
        },
        "status": {"observedGeneration": 3, **dict.fromkeys(counts, replicas), **more.pop("status", {})},
        **more,
    }


def node(name: str, *, cpu: str = "4", memory: str = "16Gi", labels: Json | None = None, ready: bool = True) -> Json:
    return {
        "metadata": metadata(name, labels={"kubernetes.io/hostname": name, **(labels or {})}),
        "spec": {"providerID": f"aws:///eu-west-1a/{name}"},
        "status": {
            "capacity": {"cpu": cpu, "memory": memory, "pods": "110"},
            "allocatable": {"cpu": cpu, "memory": memory, "pods": "110"},
            "conditions": [{"type": "Ready", "status": str(ready), "reason": "KubeletReady"}],
            "images": [
                {"names": [f"registry.example.com/shop/image-{n}@sha256:{n:064d}"], "sizeBytes": 123456789}
                for n in range(40)
            ],
        },
    }


def pod_metrics(name: str, *, namespace: str = "shop", cpu: str = "120500000n", memory: str = "131072Ki") -> Json:
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "timestamp": "2026-06-16T10:00:00Z",
        "window": "15s",
        "containers": [{"name": "server", "usage": {"cpu": cpu, "memory": memory}}],
    }


def node_metrics(name: str, *, cpu: str = "1200m", memory: str = "4Gi") -> Json:
    return {"metadata": {"name": name}, "window": "15s", "usage": {"cpu": cpu, "memory": memory}}
