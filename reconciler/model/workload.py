"""What runs, as the fleet repo declares it."""

from typing import Literal

from reconciler.model.base import Model

Resource = Literal["cpu", "memory"]
RESOURCES: tuple[Resource, Resource] = ("cpu", "memory")

Bound = Literal["requests", "limits"]

Role = Literal["main", "init", "sidecar"]

BUILT_IN_KINDS: dict[str, str] = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "CronJob": "batch/v1",
    "Job": "batch/v1",
    "Pod": "v1",
}
"""Kinds whose pod template Trimtab can patch by strategic merge, and their API versions."""

WORKLOAD_KINDS = (*BUILT_IN_KINDS, "Rollout")
SCALABLE_KINDS = ("Deployment", "StatefulSet", "Rollout")
"""In the order in which a policy's ``namespace/name`` is looked up (DESIGN §6)."""


class WorkloadKey(Model):
    """A workload as the cluster knows it (after every transformer), and as usage is recorded."""

    cluster: str
    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.cluster}/{self.namespace}/{self.kind}/{self.name}"


class ObjectRef(Model):
    """An object where the Trimtab component runs: what a patch must name to find it.

    ``namespace`` is None when the object has none there (a transformer further out, Argo's destination or Flux's
    targetNamespace sets it, or it is cluster-scoped).
    """

    api_version: str
    kind: str
    name: str
    namespace: str | None = None

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        return self.api_version.rpartition("/")[2]

    @property
    def key(self) -> str:
        """``apps/v1|Deployment|shop|web``: one text for an identity; the namespace is empty where there is none."""
        return f"{self.api_version}|{self.kind}|{self.namespace or ''}|{self.name}"


class Source(Model):
    """Where an object is written. ``line`` counts from 1; ``document`` from 0 within the file."""

    path: str
    document: int = 0
    line: int = 0


class Resources(Model):
    """Requests and limits: CPU in millicores, memory in bytes, None where not set."""

    cpu_request: int | None = None
    memory_request: int | None = None
    cpu_limit: int | None = None
    memory_limit: int | None = None

    def request(self, resource: Resource) -> int | None:
        return self.cpu_request if resource == "cpu" else self.memory_request

    def limit(self, resource: Resource) -> int | None:
        return self.cpu_limit if resource == "cpu" else self.memory_limit


class Container(Model):
    """``role``: ``init`` runs before the others and ends; ``sidecar`` is a native one (init with restartPolicy Always).

    A request in ``resources`` that the manifest leaves out beside a limit is the limit, as the API server fills it in.
    ``written``: which of ``resources``, ``resources/requests``, ``resources/limits`` stand in the manifest as mappings
    (JSON 6902 can add only to what is there).
    """

    name: str
    role: Role = "main"
    resources: Resources = Resources()
    written: tuple[str, ...] = ()


class Workload(Model):
    """A workload in one root, with the values that people wrote (the tree without Trimtab's overlay).

    ``ref`` is its identity where the component runs, ``key`` its identity in the cluster. ``replicas`` is None when
    the manifest leaves it out; ``replicas_line`` is the line where it stands, 0 when that is not known. ``max_surge`` is ``spec.strategy.rollingUpdate.maxSurge`` as written, None when not set.
    """

    key: WorkloadKey
    ref: ObjectRef
    root: str
    source: Source
    containers: tuple[Container, ...] = ()
    replicas: int | None = None
    replicas_line: int = 0
    suspend: bool = False
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    pod_labels: dict[str, str] = {}
    node_selector: dict[str, str] = {}
    pod_cpu_request: int | None = None
    max_surge: str | None = None
    strategy: str = "RollingUpdate"

    def container(self, name: str) -> Container | None:
        return next((c for c in self.containers if c.name == name), None)
