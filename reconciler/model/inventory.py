"""What one root of the fleet repo declares at one commit, and what Trimtab's own files beside it hold."""

from reconciler.errors import TrimtabError, Where
from reconciler.model.base import Model
from reconciler.model.machine_file import MachineFile
from reconciler.model.workload import ObjectRef, Source, Workload


class Problem(Model):
    """Something that could not be read or used; reported by name, never skipped in silence.

    ``blocks_root`` is true when nothing may be committed to the root until it is gone.
    """

    path: str
    message: str
    line: int = 0
    column: int = 0
    field: str = ""
    hint: str = ""
    blocks_root: bool = False

    @classmethod
    def of(cls, path: str, error: TrimtabError) -> "Problem":
        """What an error says of a file."""
        where = error.where or Where(path)
        return cls(
            path=path, line=where.line, column=where.column, field=where.field, message=error.message, hint=error.hint
        )

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        place += f":{self.column}" if self.column else ""
        return f"{place}: {self.field + ': ' if self.field else ''}{self.message}"


class PersonHpa(Model):
    """A HorizontalPodAutoscaler (or KEDA ScaledObject) that a person keeps in Git. ``metrics``: resource names it scales on."""

    kind: str
    namespace: str
    name: str
    target_kind: str
    target_name: str
    max_replicas: int | None = None
    metrics: tuple[str, ...] = ()
    source: Source


class NodePool(Model):
    """A Karpenter NodePool. ``cpu_limit`` millicores and ``memory_limit`` bytes of ``spec.limits``, None when unlimited."""

    name: str
    ref: ObjectRef
    cpu_limit: int | None = None
    memory_limit: int | None = None
    template_labels: dict[str, str] = {}
    source: Source


class Quota(Model):
    """A ResourceQuota: ``hard`` as canonical quantities by key (``requests.cpu``, ``limits.memory``, …)."""

    namespace: str
    name: str
    ref: ObjectRef
    hard: dict[str, str] = {}
    source: Source


class LimitRangeItem(Model):
    """One item of a LimitRange of type Container (or Pod): millicores and bytes, None where not set."""

    namespace: str
    name: str
    type: str = "Container"
    min_cpu: int | None = None
    max_cpu: int | None = None
    min_memory: int | None = None
    max_memory: int | None = None
    default_cpu: int | None = None
    default_memory: int | None = None
    default_request_cpu: int | None = None
    default_request_memory: int | None = None
    ratio_cpu: float | None = None
    ratio_memory: float | None = None


class Inventory(Model):
    """One root: what people declare in it. Everything has the identity it has where the component runs, and in the cluster.

    ``namespaces``: labels by namespace name. ``wired``: the root lists the Trimtab component and can carry an overlay.

    Two fields are about objects that kustomize takes for one another, as it also goes by the names from before
    namePrefix, nameSuffix and namespace; their keys are :attr:`~reconciler.model.workload.ObjectRef.key`.
    ``twins``: an object whose patch ``target`` would hit another one too → the ``annotationSelector`` that tells it
    apart ("" when nothing does: it cannot be patched). ``strays``: a workload → the name of the other workload at which
    kustomize would point an HPA that names it.
    """

    cluster: str
    root: str
    wired: bool = False
    workloads: tuple[Workload, ...] = ()
    hpas: tuple[PersonHpa, ...] = ()
    node_pools: tuple[NodePool, ...] = ()
    quotas: tuple[Quota, ...] = ()
    limit_ranges: tuple[LimitRangeItem, ...] = ()
    namespaces: dict[str, dict[str, str]] = {}
    problems: tuple[Problem, ...] = ()
    twins: dict[str, str] = {}
    strays: dict[str, str] = {}


class RootState(Model):
    """A root at a commit: people's declarations, and the machine-owned files by path.

    ``mistargeted``: files of ours that would hit another object as well, or none, or another container, since people have
    added or taken away a twin of theirs or have moved a container; what they are aimed at is to be written anew.
    """

    inventory: Inventory
    overlay: dict[str, MachineFile] = {}
    mistargeted: tuple[str, ...] = ()
