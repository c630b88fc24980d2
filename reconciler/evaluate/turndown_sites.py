"""Where a turndown may happen: a namespace in a root, what runs there, and the turndown file if it is down."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from reconciler.evaluate.action_scope import NO_LABELS, Scope
from reconciler.evaluate.index import Index, NamespaceKey, Placed, handover_path, identity, overlay_of, patch_problem
from reconciler.manifests.machine_files import path_for
from reconciler.model.inventory import RootState
from reconciler.model.machine_file import MachineFile
from reconciler.model.workload import SCALABLE_KINDS, ObjectRef, WorkloadKey

OWN_NAMESPACE = "trimtab-system"

ACTION_FIELD = "action"
"""The field of a turndown file that says which action turned the namespace down."""


@dataclass(frozen=True, eq=False)
class Site:
    """One namespace in one root. ``found`` is the turndown file at head, None while the namespace is up."""

    state: RootState
    namespace: str
    workloads: Sequence[Placed]
    path: str
    found: MachineFile | None

    @property
    def key(self) -> NamespaceKey:
        return self.state.inventory.cluster, self.namespace

    @property
    def target(self) -> ObjectRef:
        return ObjectRef(api_version="v1", kind="Namespace", name=self.namespace)

    @property
    def owner(self) -> str | None:
        """The id of the action that turned it down, None while it is up."""
        return self.found.values.get(ACTION_FIELD, "") if self.found is not None else None


@dataclass(frozen=True)
class Rest:
    """``values`` of the turndown file while its namespace is down; ``left_up``: what is not turned down, for a person."""

    values: Mapping[str, str]
    left_up: tuple[str, ...]


def sites(index: Index) -> list[Site]:
    """Every namespace that has workloads, or is down, in every root; by cluster, namespace and root."""
    workloads: dict[tuple[int, str], list[Placed]] = {}
    for placed in (one for found in index.by_namespace.values() for one in found):
        workloads.setdefault((id(placed.state), placed.workload.key.namespace), []).append(placed)
    states = {id(state): state for state in index.roots}
    down = {(id(f.state), f.file.target.name): f for f in index.overlay_files("turndown") if f.file.values}
    found = []
    for at, namespace in {**workloads, **down}:
        file = down.get((at, namespace))
        path = file.path if file is not None else _path(states[at], namespace)
        here = workloads.get((at, namespace), [])
        found.append(Site(states[at], namespace, here, path, file.file if file is not None else None))
    return sorted(found, key=lambda site: (*site.key, site.state.inventory.root))


def covered(scope: Scope, index: Index) -> list[Site]:
    """The sites of an action. One that names neither namespaces nor a filter covers nothing: nobody means a whole fleet."""
    if not scope.action.namespaces and not scope.action.filter.strip():
        return []
    return [site for site in sites(index) if covers(scope, site, index)]


def covers(scope: Scope, site: Site, index: Index) -> bool:
    return scope.covers(*site.key, index.namespace_labels.get(site.key, NO_LABELS))


def refused_namespace(namespace: str, own_namespace: str = OWN_NAMESPACE) -> str:
    """Why a namespace is never turned down (DESIGN §7); empty when it may be."""
    if namespace.startswith("kube-") or namespace == "default":
        return "the cluster needs it"
    return "Trimtab itself runs there" if namespace == own_namespace else ""


def at_rest(site: Site, index: Index, ignored_replicas: Collection[WorkloadKey]) -> Rest:
    """What a site looks like while it is down. What is at 0 or suspended already is not patched: it shall not wake later."""
    values: dict[str, str] = {}
    left: list[str] = []
    for placed in site.workloads:
        workload = placed.workload
        setting, why = _setting(placed, index, ignored_replicas)
        if why:
            left.append(f"{workload.key.kind} {workload.key.name} ({why})")
        elif setting:
            ref = workload.ref
            values[f"{ref.api_version}|{ref.kind}|{ref.namespace or ''}|{ref.name}"] = setting
    return Rest(values, tuple(sorted(left)))


def _setting(placed: Placed, index: Index, ignored_replicas: Collection[WorkloadKey]) -> tuple[str, str]:
    """The value that puts a workload to rest ("" = it rests already), or why it stays up."""
    workload = placed.workload
    kind = workload.key.kind
    if kind != "CronJob" and kind not in SCALABLE_KINDS:
        return "", "has no replicas"
    if placed.state.inventory.wired and (problem := patch_problem(placed.state, workload.ref)):
        return "", problem
    if kind == "CronJob":
        return ("" if workload.suspend else "suspend=true"), ""
    if any(hpa.kind == "ScaledObject" for hpa in index.person_hpas.get(identity(workload), ())):
        return "", "KEDA scales it"
    if workload.key in ignored_replicas:
        return "", "Argo CD is told to ignore its replicas"
    # A 0 that was handed over to an HPA does not apply any more.
    rests = workload.replicas == 0 and handover_path(placed) not in placed.state.overlay
    return ("" if rests else "replicas=0"), ""


def _path(state: RootState, namespace: str) -> str:
    target = ObjectRef(api_version="v1", kind="Namespace", name=namespace)
    return path_for(overlay_of(state), "turndown", target, namespace)
