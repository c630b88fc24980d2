"""The roots of a fleet, looked up by what a policy or an action names. Built once a pass, linear in workloads."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from reconciler.manifests.machine_files import path_for
from reconciler.model.fleet import Root
from reconciler.model.inventory import NodePool, PersonHpa, RootState
from reconciler.model.machine_file import FileForm, MachineFile
from reconciler.model.workload import SCALABLE_KINDS, ObjectRef, Workload

Identity = tuple[str, str, str, str]
"""(cluster, namespace, kind, name): a workload as the cluster knows it. A plain tuple, because it is hashed very often."""

RefKey = tuple[str, str, str, str | None, str]
"""(cluster, root, kind, namespace or None, name)."""

NamespaceKey = tuple[str, str]
"""(cluster, namespace)."""


@dataclass(frozen=True, eq=False, slots=True)
class Placed:
    """A workload and the root that declares it."""

    state: RootState
    workload: Workload


@dataclass(frozen=True, eq=False, slots=True)
class OverlayFile:
    """A machine-owned file and the root whose overlay it is in."""

    state: RootState
    path: str
    file: MachineFile


@dataclass(frozen=True, eq=False)
class Index:
    """Lookups over ``roots``; each is made on its first use and kept."""

    roots: tuple[RootState, ...]

    @staticmethod
    def of(roots: "Sequence[RootState] | Index") -> "Index":
        """``roots`` as an index; one that is an index already is given back as it is."""
        return roots if isinstance(roots, Index) else Index(tuple(roots))

    @cached_property
    def workloads(self) -> Mapping[Identity, list[Placed]]:
        """By identity in the cluster. More than one: declared twice, in one root or in several."""
        found: dict[Identity, list[Placed]] = defaultdict(list)
        for placed in self._placed():
            found[identity(placed.workload)].append(placed)
        return dict(found)

    @cached_property
    def by_ref(self) -> Mapping[RefKey, Workload]:
        """By the identity that a machine-owned file names, which is the one where the component runs."""
        return {
            (s.inventory.cluster, s.inventory.root, w.ref.kind, w.ref.namespace, w.ref.name): w
            for s in self.roots
            for w in s.inventory.workloads
        }

    def target_of(self, found: OverlayFile) -> Workload | None:
        """The workload that a machine-owned file is about, None when it is gone."""
        inventory, target = found.state.inventory, found.file.target
        return self.by_ref.get((inventory.cluster, inventory.root, target.kind, target.namespace, target.name))

    @cached_property
    def by_namespace(self) -> Mapping[NamespaceKey, list[Placed]]:
        found: dict[NamespaceKey, list[Placed]] = defaultdict(list)
        for placed in self._placed():
            found[placed.workload.key.cluster, placed.workload.key.namespace].append(placed)
        return dict(found)

    @cached_property
    def person_hpas(self) -> Mapping[Identity, list[PersonHpa]]:
        """HPAs and ScaledObjects of people, by the identity of what they scale, from all roots of the cluster."""
        found: dict[Identity, list[PersonHpa]] = defaultdict(list)
        for state in self.roots:
            for hpa in state.inventory.hpas:
                found[state.inventory.cluster, hpa.namespace, hpa.target_kind, hpa.target_name].append(hpa)
        return dict(found)

    @cached_property
    def namespace_labels(self) -> Mapping[NamespaceKey, Mapping[str, str]]:
        """Labels of the Namespace objects in Git; they may stand in another root than the workloads."""
        found: dict[NamespaceKey, dict[str, str]] = defaultdict(dict)
        for state in self.roots:
            for namespace, labels in state.inventory.namespaces.items():
                found[state.inventory.cluster, namespace].update(labels)
        return dict(found)

    @cached_property
    def node_pools(self) -> Mapping[tuple[str, str], tuple[RootState, NodePool]]:
        """By (cluster, name); the first root that declares one counts."""
        found: dict[tuple[str, str], tuple[RootState, NodePool]] = {}
        for state in self.roots:
            for pool in state.inventory.node_pools:
                found.setdefault((state.inventory.cluster, pool.name), (state, pool))
        return found

    @cached_property
    def scalable_names(self) -> Mapping[str, Mapping[str, list[str]]]:
        """Names of what a policy may scale: cluster → namespace → names."""
        found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for cluster, namespace, kind, name in self.workloads:
            if kind in SCALABLE_KINDS:
                found[cluster][namespace].append(name)
        return found

    def overlay_files(self, form: FileForm) -> Iterator[OverlayFile]:
        for state in self.roots:
            for path, file in state.overlay.items():
                if file.form == form:
                    yield OverlayFile(state, path, file)

    def _placed(self) -> Iterable[Placed]:
        return (Placed(state, workload) for state in self.roots for workload in state.inventory.workloads)


def identity(workload: Workload) -> Identity:
    key = workload.key
    return key.cluster, key.namespace, key.kind, key.name


def overlay_of(state: RootState) -> str:
    """The path of a root's machine-owned component."""
    return Root(path=state.inventory.root).overlay_path


def handover_path(placed: Placed) -> str:
    """Where the ``replicas: null`` of a workload goes that is handed over to its HPA."""
    return path_for(overlay_of(placed.state), "replicas", placed.workload.ref, placed.workload.key.namespace)


def unwired(state: RootState) -> str:
    """Why nothing of ours has an effect in a root, for a person; empty when it has."""
    return "" if state.inventory.wired else f"{state.inventory.root} does not list the component: run trimtab init"


def patch_problem(state: RootState, ref: ObjectRef) -> str:
    """Why no patch of ours can be meant for one object of the root, and for that alone; empty when one can.

    Kustomize also goes by the names from before namePrefix, nameSuffix and namespace, and nothing may tell the object
    from another one (:attr:`~reconciler.model.inventory.Inventory.twins`).
    """
    if not state.inventory.wired or state.inventory.twins.get(ref.key) != "":
        return unwired(state)
    return (
        f"kustomize cannot tell {ref.kind} {ref.name} from another one in {state.inventory.root} that has, or had, this "
        "name: a patch would change both; give one of them another name in its own manifest, or move it to another root"
    )
