"""What the contract suite needs of an API server, the double or a real one: a namespace of its own, and the writes
that the adapter itself never makes."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from reconciler.agent.kubernetes.cluster import Cluster, ObjectKey
from reconciler.agent.kubernetes.connection import Connection, load
from support.kube_double import kube_double

Json = dict[str, Any]
SERVERS = ["double", *(["KUBECONFIG"] if os.environ.get("KUBECONFIG") else [])]
"""A real API server is tried, too, where KUBECONFIG names one."""


@dataclass(frozen=True)
class Api:
    """One API server and the namespace that a suite has in it."""

    cluster: Cluster
    raw: Connection
    namespace: str
    current: bool  # 1.23 or later

    def key(self, kind: str, name: str, api_version: str = "apps/v1") -> ObjectKey:
        return ObjectKey(api_version, kind, self.namespace, name)

    def read(self, obj: Json) -> Json:
        """An object that is there."""
        found = self.cluster.get(ObjectKey.of(obj))
        assert found is not None
        return found

    def create(self, obj: Json, manager: str) -> Json:
        """As ``kubectl create`` does."""
        path = _PATHS[obj["kind"]].format(self.namespace)
        return self.raw.request("POST", path, {"fieldManager": manager}, body=obj).json()

    def replace(self, obj: Json, manager: str) -> Json:
        """As ``kubectl replace`` does."""
        path = f"{_PATHS[obj['kind']].format(self.namespace)}/{obj['metadata']['name']}"
        return self.raw.request("PUT", path, {"fieldManager": manager}, body=obj).json()

    def scale(self, obj: Json, replicas: int, manager: str) -> None:
        """As an autoscaler does."""
        path = f"{_PATHS[obj['kind']].format(self.namespace)}/{obj['metadata']['name']}/scale"
        merge = "application/merge-patch+json"
        body = {"spec": {"replicas": replicas}}
        self.raw.request("PATCH", path, {"fieldManager": manager}, body=body, content_type=merge)

    def deployment(self, name: str, **spec: Any) -> Json:
        """A whole Deployment of two containers. It is paused, so that no controller makes pods of it."""
        labels = {"app": name}
        containers = [
            {
                "name": "server",
                "image": "example.invalid/server:1",
                "env": [{"name": "COLOUR", "value": "blue"}, {"name": "SIZE", "value": "small"}],
                "ports": [{"containerPort": 8080}, {"containerPort": 8080, "protocol": "UDP"}],
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
            },
            {"name": "sidecar", "image": "example.invalid/sidecar:1"},
        ]
        template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
        meta = {"name": name, "namespace": self.namespace}
        wanted = {"paused": True, "selector": {"matchLabels": labels}, "template": template} | spec
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": wanted}

    def partial(self, name: str, spec: Json, **meta: str) -> Json:
        """A part of that Deployment."""
        named = {"name": name, "namespace": self.namespace, **meta}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": named, "spec": spec}

    def config(self, name: str, **data: str) -> Json:
        meta = {"name": name, "namespace": self.namespace}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}

    def quota(self, name: str, **hard: str) -> Json:
        meta = {"name": name, "namespace": self.namespace}
        amounts = {key.replace("_", "."): value for key, value in hard.items()}
        return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": {"hard": amounts}}


_PATHS = {
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "ResourceQuota": "/api/v1/namespaces/{}/resourcequotas",
}


def cpu_of(container: str, amount: str) -> Json:
    """A partial spec that sets one container's CPU request."""
    return {"template": {"spec": {"containers": [{"name": container, "resources": {"requests": {"cpu": amount}}}]}}}


def container_in(obj: Json, name: str) -> Json:
    containers = obj["spec"]["template"]["spec"]["containers"]
    return next(each for each in containers if each["name"] == name)


def managers_of(obj: Json, *path: str) -> set[str]:
    """Who owns a field; steps are names, or managedFields' own ``k:{"name":"server"}``."""
    found = set()
    for entry in obj["metadata"]["managedFields"]:
        node: Any = entry["fieldsV1"]
        for step in path:
            node = node.get(step if step.startswith("k:") else f"f:{step}") if node is not None else None
        if node is not None:
            found.add(entry["manager"])
    return found


@contextmanager
def api_server(which: str) -> Iterator[Api]:
    """The double, or the server that KUBECONFIG names, with a new namespace that is deleted at the end."""
    if which == "double":
        with kube_double() as double, _suite_in(str(double.kubeconfig)) as api:
            yield api
    else:
        with _suite_in(os.environ["KUBECONFIG"]) as api:
            yield api


@contextmanager
def _suite_in(kubeconfig: str) -> Iterator[Api]:
    name = f"trimtab-contract-{secrets.token_hex(4)}"
    cluster = Cluster.open(kubeconfig=kubeconfig)
    raw = Connection(lambda: load(kubeconfig, ""), sleep=time.sleep)
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    uid = raw.request("POST", "/api/v1/namespaces", body=made).json()["metadata"]["uid"]
    try:
        yield Api(cluster, raw, name, cluster.serves("autoscaling/v2", "HorizontalPodAutoscaler"))
    finally:
        cluster.delete(ObjectKey("v1", "Namespace", "", name), uid=uid)
        cluster.close()
        raw.close()
