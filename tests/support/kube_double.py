"""A Kubernetes API server that a test can hold in its hand: stateful, over real HTTP on loopback, in a thread.

Server-side apply, field ownership, validation and messages are upstream's; the contract suite runs on it and on a real
API server alike. It has no controllers: nothing happens in it but what clients and the test do.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from reconciler.clock import Clock, system_clock
from support.kube_double_http import Asked, Failing, Served
from support.kube_double_kinds import BUILT_IN, METRICS, Json, Resource
from support.kube_double_refusals import Refused
from support.kube_double_state import Name, State, Writing


@dataclass
class KubeDouble:
    """The server, and what a test does to it behind the API's back."""

    state: State
    served: Served
    kubeconfig: Path
    token: str = "double"
    failing: list[Failing] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.served.url

    @property
    def requests(self) -> list[Asked]:
        """What was asked so far, oldest first; clear it at will."""
        return self.served.requests

    def asked(self, verb: str = "", kind: str = "") -> list[Asked]:
        """The requests of a verb (get, list, watch, create, update, patch, apply, delete) and kind."""
        return [each for each in self.requests if verb in ("", each.verb) and kind in ("", each.kind)]

    # -- State -----------------------------------------------------------------------------------------------------

    def put(self, obj: Mapping[str, Any], *, manager: str = "") -> Json:
        """Create or replace an object, status and all, with its namespace; gives it as stored.

        :param manager: who then owns its fields by Update; when empty nobody does, and the first apply finds
            that ``before-first-apply`` has them
        :raises Refused: when the API server would not take it
        """
        body = json.loads(json.dumps(obj))
        resource = self.resource(body["apiVersion"], body["kind"])
        name = self._name(resource, body["metadata"].get("namespace", ""), body["metadata"]["name"])
        self._have_namespace(resource, name.namespace)
        writing = Writing(manager, subresource="everything")
        with self.state.lock:
            try:
                live = self.state.get(resource, name)
            except Refused:
                return self.state.create(resource, name.namespace, body, writing)[0]
            for given in ("uid", "resourceVersion", "managedFields"):
                body["metadata"].pop(given, None)
            body["metadata"]["creationTimestamp"] = live["metadata"]["creationTimestamp"]
            return self.state.update(resource, name, body, writing)[0]

    def apply(self, obj: Mapping[str, Any], *, manager: str, force: bool = False) -> Json:
        """A server-side apply by someone else, such as ``argocd-controller``.

        :raises Refused: as the API server would
        """
        body = json.loads(json.dumps(obj))
        resource = self.resource(body["apiVersion"], body["kind"])
        name = self._name(resource, body["metadata"].get("namespace", ""), body["metadata"]["name"])
        self._have_namespace(resource, name.namespace)
        return self.state.apply(resource, name, body, Writing(manager, force=force))[0]

    def edit(
        self, kind: str, namespace: str, name: str, patch: Mapping[str, Any], *, manager: str, subresource: str = ""
    ) -> Json:
        """A merge patch by someone else; subresource "status" for status, "scale" for an autoscaler.

        :raises Refused: as the API server would
        """
        resource = self._of_kind(kind)
        at = self._name(resource, namespace, name)
        writing = Writing(manager, subresource=subresource)
        return self.state.patch(resource, at, dict(patch), writing, strategic=False)[0]

    def get(self, kind: str, namespace: str, name: str) -> Json | None:
        """An object as stored, or None."""
        resource = self._of_kind(kind)
        try:
            return self.state.get(resource, self._name(resource, namespace, name))
        except Refused:
            return None

    def all(self, kind: str) -> list[Json]:
        """Every object of a kind."""
        items: list[Json] = self.state.page(self._of_kind(kind), "", limit=0, token="")["items"]
        return items

    def drop(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object that is there."""
        resource = self._of_kind(kind)
        self.state.delete(resource, self._name(resource, namespace, name), {}, dry_run=False)

    def owners(self, kind: str, namespace: str, name: str, *path: str) -> set[str]:
        """The managers of a field: ``double.owners("Deployment", "shop", "web", "spec", "replicas")``."""
        obj = self.get(kind, namespace, name)
        assert obj is not None
        found = set()
        for entry in obj["metadata"].get("managedFields", []):
            node: Any = entry["fieldsV1"]
            for step in path:
                key = step if step[1:2] == ":" else f"f:{step}"
                node = node.get(key) if node is not None else None
            if node is not None:
                found.add(entry["manager"])
        return found

    # -- Kinds -----------------------------------------------------------------------------------------------------

    def install(
        self,
        api_version: str,
        kind: str,
        plural: str,
        *,
        namespaced: bool = True,
        schema: Mapping[str, Any] | None = None,
    ) -> None:
        """Serve a custom kind; without a schema (OpenAPI v3, structural) its lists are atomic."""
        resource = Resource(api_version, kind, plural, namespaced, custom=True, schema=schema)
        self.state.resources[api_version, kind] = resource

    def uninstall(self, api_version: str, kind: str) -> None:
        """Stop to serve a kind."""
        del self.state.resources[api_version, kind]

    def resource(self, api_version: str, kind: str) -> Resource:
        return self.state.resources[api_version, kind]

    def _of_kind(self, kind: str) -> Resource:
        return next(each for each in self.state.resources.values() if each.kind == kind)

    def _name(self, resource: Resource, namespace: str, name: str) -> Name:
        return Name(namespace if resource.namespaced else "", name)

    def _have_namespace(self, resource: Resource, namespace: str) -> None:
        if resource.namespaced and self.get("Namespace", "", namespace) is None:
            self.put(_namespace(namespace))

    # -- Trouble ---------------------------------------------------------------------------------------------------

    def fail(
        self,
        verb: str,
        kind: str = "*",
        status: int = 500,
        *,
        times: int | None = 1,
        retry_after: int | None = None,
        message: str = "",
        name: str = "",
        reason: str | None = None,
    ) -> None:
        """Answer the next requests with a status.

        :param verb: get | list | watch | create | update | patch (apply too) | apply | delete | discover | *
        :param status: 0 breaks the connection without an answer
        :param times: None for ever, until :meth:`heal`
        :param retry_after: seconds, as the header says
        :param name: only for the object of that name
        """  # fmt: skip
        self.failing.append(Failing(verb, kind, status, times, retry_after, message, name, reason))

    def heal(self) -> None:
        """End all trouble that was asked for."""
        self.failing.clear()

    def expire_lists(self) -> None:
        """Every list that is being continued, and every watch from before, is 410 from now on."""
        self.state.expire()

    def new_token(self, token: str, *, in_kubeconfig: bool = True) -> None:
        """From now on only that bearer token is known; the kubeconfig says so, or not."""
        self.token = token
        if in_kubeconfig:
            self.kubeconfig.write_text(_kubeconfig(self.url, token))

    def down(self) -> None:
        """Go away: connections end, new ones are refused."""
        self.served.stop()

    def up(self) -> None:
        """Come back at the same address, with all that was stored."""
        self.served.start()


def _namespace(name: str) -> Json:
    spec = {"finalizers": ["kubernetes"]}
    labels = {"kubernetes.io/metadata.name": name}
    meta = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta, "spec": spec, "status": {"phase": "Active"}}


def _kubeconfig(url: str, token: str) -> str:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "double",
        "clusters": [{"name": "double", "cluster": {"server": url}}],
        "users": [{"name": "agent", "user": {"token": token}}],
        "contexts": [{"name": "double", "context": {"cluster": "double", "user": "agent"}}],
    }
    return json.dumps(config)  # JSON is YAML


@contextmanager
def kube_double(*, metrics: bool = True, clock: Clock = system_clock) -> Iterator[KubeDouble]:
    """A running server with the namespaces default and kube-system.

    :param metrics: whether metrics.k8s.io is served (fill it with ``put``)
    """
    state = State(clock)
    for resource in [*BUILT_IN, *(METRICS if metrics else [])]:
        state.resources[resource.api_version, resource.kind] = resource
    with TemporaryDirectory(prefix="kube-double-") as home:
        served = Served(state)
        double = KubeDouble(state, served, Path(home) / "kubeconfig")
        served.trouble = double.failing
        served.known = lambda: double.token
        served.start()
        double.new_token(double.token)
        for name in ("default", "kube-system"):
            double.put(_namespace(name))
        try:
            yield double
        finally:
            served.stop()


__all__ = ["KubeDouble", "Refused", "kube_double"]
