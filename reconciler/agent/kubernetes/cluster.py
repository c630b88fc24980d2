"""A cluster as plain JSON objects: list, get, apply, patch, delete.

Kinds are found by discovery (``/api/v1``, ``/apis/<group>/<version>``), which is kept, and asked again as soon as
something is not found.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from reconciler.agent.kubernetes.answers import (
    Conflict,
    Denied,
    Expired,
    Invalid,
    Missing,
    NoSuchKind,
    Throttled,
    Unreachable,
    about_an_object,
    refusal,
)
from reconciler.agent.kubernetes.connection import Answer, Connection, load

__all__ = [
    "Cluster",
    "Conflict",
    "Denied",
    "Invalid",
    "Missing",
    "NoSuchKind",
    "ObjectKey",
    "Throttled",
    "Unreachable",
]

_APPLY: Final = "application/apply-patch+yaml"  # JSON is YAML
_STRATEGIC: Final = "application/strategic-merge-patch+json"
_MERGE: Final = "application/merge-patch+json"
_PAGED_PASSES: Final = 3  # a list that expires as often is then asked for in one piece, which cannot expire

_SINCE: Final = {
    ("autoscaling/v2", "HorizontalPodAutoscaler"): "1.23",
    ("batch/v1", "CronJob"): "1.21",
    ("policy/v1", "PodDisruptionBudget"): "1.21",
}
"""The release from which on a kind is served. Source: Kubernetes' deprecated API migration guide."""


class ObjectKey(NamedTuple):
    """What names one object in a cluster. ``namespace`` is empty for what belongs to the cluster as a whole."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> "ObjectKey":
        """The key of an object that holds apiVersion, kind and metadata."""
        meta = manifest.get("metadata") or {}
        return cls(
            str(manifest.get("apiVersion", "")),
            str(manifest.get("kind", "")),
            str(meta.get("namespace") or ""),
            str(meta.get("name") or ""),
        )


@dataclass(frozen=True)
class _Resource:
    plural: str
    namespaced: bool


class Cluster:
    """One API server. Safe for several threads.

    Every method raises the errors that this module exports; their messages are the API server's own.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._served: dict[str, dict[str, _Resource]] = {}

    @classmethod
    def open(cls, *, kubeconfig: str = "", context: str = "", sleep: Callable[[float], None] = time.sleep) -> "Cluster":
        """The cluster of a kubeconfig file, or of the service account that this process runs with. Connects later.

        :param kubeconfig: a file; without one the KUBECONFIG variable, the service account, or ``~/.kube/config``
        :param context: one of the file's contexts; its current one when empty
        :param sleep: how to wait for a Retry-After, in seconds
        :raises Stalled: when there is no configuration, or it cannot be read
        """
        return cls(Connection(lambda: load(kubeconfig, context), sleep=sleep))

    def close(self) -> None:
        """Give the connections back."""
        self._connection.close()

    def serves(self, api_version: str, kind: str) -> bool:
        """Whether the API server has that kind, now.

        :raises Unreachable: also when that group's own server is away (metrics.k8s.io)
        """
        return kind in self._served.get(api_version, {}) or kind in self._discover(api_version)

    def list(self, api_version: str, kind: str, *, limit: int = 250) -> Iterator[dict[str, Any]]:
        """Every object of a kind in all namespaces, a page at a time; each once, also when a pass had to start over.

        :param limit: objects a page
        :raises NoSuchKind: when the kind is not served
        """
        path = self._collection(api_version, kind, "")
        seen: set[tuple[str, str]] = set()
        for paged in range(_PAGED_PASSES, -1, -1):
            try:
                for item in self._pages(path, limit if paged else 0):
                    meta = item.get("metadata") or {}
                    name = (str(meta.get("namespace", "")), str(meta.get("name", "")))
                    if name not in seen:
                        seen.add(name)
                        yield {"apiVersion": api_version, "kind": kind} | item
            except Expired:
                continue
            except Missing:
                raise self._gone(api_version, kind) from None
            return

    def get(self, key: ObjectKey) -> dict[str, Any] | None:
        """One object, or None where there is none.

        :raises NoSuchKind: when the kind is not served
        """
        answer = self._connection.request("GET", self._path(key))
        if answer.status == 404:
            self._check_served(key, answer)
            return None
        return answer.json()

    def apply(self, manifest: Mapping[str, Any], *, manager: str, force: bool, dry_run: bool = False) -> dict[str, Any]:
        """Server-side apply, whole or partial; gives the object as it then is.

        :param manager: the field manager that owns what ``manifest`` lists, and gives up what it listed before
        :param force: take fields that others own with another value
        :raises Conflict: without force, when another manager owns a field with another value
        :raises Missing: when the namespace does not exist
        """
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        return self._patched(ObjectKey.of(manifest), dict(manifest), _APPLY, query, dry_run)

    def patch(
        self, key: ObjectKey, body: Mapping[str, Any], *, strategic: bool, manager: str, dry_run: bool = False
    ) -> dict[str, Any]:
        """A strategic merge patch (built-in kinds only) or a JSON merge patch; gives the object as it then is.

        :raises Missing: when there is no such object
        """
        kind_of_patch = _STRATEGIC if strategic else _MERGE
        return self._patched(key, dict(body), kind_of_patch, {"fieldManager": manager}, dry_run)

    def delete(self, key: ObjectKey, *, uid: str, dry_run: bool = False) -> None:
        """Delete that very object; what is gone already is fine.

        :raises Conflict: when the object of that name has another uid
        """
        options: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        if dry_run:
            options["dryRun"] = ["All"]
        self._connection.request("DELETE", self._path(key), body=options)

    def _patched(
        self, key: ObjectKey, body: dict[str, Any], content_type: str, query: dict[str, str], dry_run: bool
    ) -> dict[str, Any]:
        if dry_run:
            query["dryRun"] = "All"
        answer = self._connection.request("PATCH", self._path(key), query, body=body, content_type=content_type)
        if answer.status == 404:
            self._check_served(key, answer)
        if answer.status >= 300:
            raise refusal(answer.status, answer.body, retry_after=0)
        return answer.json()

    def _pages(self, path: str, limit: int) -> Iterator[dict[str, Any]]:
        query = {"limit": str(limit)} if limit else {}
        while True:
            answer = self._connection.request("GET", path, query)
            if answer.status >= 300:
                raise refusal(answer.status, answer.body, retry_after=0)
            page = answer.json()
            yield from page.get("items") or ()
            following = (page.get("metadata") or {}).get("continue")
            if not following:
                return
            query["continue"] = following

    def _path(self, key: ObjectKey) -> str:
        return f"{self._collection(key.api_version, key.kind, key.namespace)}/{quote(key.name, safe='')}"

    def _collection(self, api_version: str, kind: str, namespace: str) -> str:
        resource = self._resource(api_version, kind)
        inside = f"/namespaces/{quote(namespace, safe='')}" if resource.namespaced and namespace else ""
        return f"{_root(api_version)}{inside}/{resource.plural}"

    def _resource(self, api_version: str, kind: str) -> _Resource:
        known = self._served.get(api_version, {}).get(kind) or self._discover(api_version).get(kind)
        if known is None:
            raise NoSuchKind(f"the cluster does not serve {kind} of {api_version}", hint=_how_to_get(api_version, kind))
        return known

    def _discover(self, api_version: str) -> dict[str, _Resource]:
        answer = self._connection.request("GET", _root(api_version))
        resources = answer.json().get("resources", []) if answer.status == 200 else []
        self._served[api_version] = {
            str(each["kind"]): _Resource(str(each["name"]), bool(each.get("namespaced")))
            for each in resources
            if "/" not in each["name"]  # a subresource, such as deployments/scale
        }
        return self._served[api_version]

    def _check_served(self, key: ObjectKey, answer: Answer) -> None:
        """After a 404 that names no object: the kind may have gone since it was discovered."""
        if not about_an_object(answer.body):
            self._served.pop(key.api_version, None)
            self._resource(key.api_version, key.kind)

    def _gone(self, api_version: str, kind: str) -> Exception:
        self._served.pop(api_version, None)
        return NoSuchKind(f"the cluster does not serve {kind} of {api_version} any more")


def built_in(api_version: str) -> bool:
    """Whether a kind is one of Kubernetes' own, and none of a CustomResourceDefinition."""
    group = api_version.rpartition("/")[0]
    return "." not in group or group.endswith(".k8s.io")


def _how_to_get(api_version: str, kind: str) -> str:
    """What to do about a kind that is not served."""
    if not built_in(api_version):
        return "install its CustomResourceDefinition, or write the apiVersion that the cluster serves"
    since = _SINCE.get((api_version, kind))
    return (
        f"it came with Kubernetes {since}: upgrade the cluster"
        if since
        else "write an apiVersion that the cluster serves"
    )


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
