"""The objects that people declare in a root: worked out file by file, or built where only kustomize knows."""

import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.errors import InputError
from reconciler.manifests.kustomization import COMPONENT, NAMES, Kustomization, is_remote, root_refusal
from reconciler.manifests.objects_declared import NodePoolSpec
from reconciler.manifests.objects_placed import Placed, twins
from reconciler.manifests.objects_references import follow_references, strays
from reconciler.manifests.objects_walk import Walk, is_inside
from reconciler.model.inventory import Problem
from reconciler.observe.built_objects import place_built
from reconciler.observe.root_files import files_below

Build = Callable[[str], bytes]
"""A directory of the tree → what kustomize builds from it. :raises InputError: with kustomize's own words."""


@dataclass
class RootReading:
    """One reading of one root. ``directory`` is the root's; :meth:`read` fills the rest."""

    walk: Walk
    directory: str
    build: Build | None
    objects: list[Placed] = field(default_factory=list)
    wired: bool = False

    @property
    def problems(self) -> list[Problem]:
        return self.walk.problems

    @property
    def component(self) -> str:
        return posixpath.join(self.directory, COMPONENT)

    def read(self) -> "RootReading":
        ours = self.component + "/"
        self.walk.expect(p for p in files_below(self.walk.tree, self.directory) if not p.startswith(ours))
        kustomization = self.walk.usable(self.directory)
        if kustomization is not None:
            self._check_component(kustomization)
            self.objects = self._kustomized(kustomization)
        elif not self.walk.problems:
            self.objects = self._plain_directory()
        self._check_references()
        return self

    def twins(self) -> dict[str, str]:
        """As in :attr:`~reconciler.model.inventory.Inventory.twins`."""
        return {_key(placed): selector for placed, selector in twins(self.objects) if placed.declared.spec}

    def strays(self) -> dict[str, str]:
        """As in :attr:`~reconciler.model.inventory.Inventory.strays`."""
        return {_key(placed): name for placed, name in strays(self.objects)}

    def _check_component(self, kustomization: Kustomization) -> None:
        if not kustomization.lists_component:
            return
        refusal = root_refusal(kustomization)
        if refusal:
            self._problem(kustomization.path, refusal, blocks=True)
        listed = [entry for entry in kustomization.components if posixpath.normpath(entry) == COMPONENT]
        if len(listed) > 1:
            self._problem(kustomization.path, "lists Trimtab's component twice; kustomize refuses that", blocks=True)
        if not any(posixpath.join(self.component, name) in self.walk.tree.blobs for name in NAMES):
            hint = "run trimtab init, or take trimtab out of components"
            self._problem(kustomization.path, f"{self.component}/kustomization.yaml is missing", hint=hint, blocks=True)
        self.wired = not refusal and len(listed) == 1

    def _kustomized(self, kustomization: Kustomization) -> list[Placed]:
        found: list[Placed] = []
        for entry in kustomization.resources:
            found += self._entry(kustomization, entry)
        if kustomization.unfollowed and not kustomization.lists_component:
            return self._built(self.directory, found, kustomization.path, f"it has {_some(kustomization.unfollowed)}")
        return self.walk.transformed(found, kustomization)

    def _entry(self, kustomization: Kustomization, entry: str) -> list[Placed]:
        """The objects of one entry of the root. It is built alone, so that our component has no part in them."""
        if is_remote(entry):
            hint = "copy it into the fleet repo for Trimtab to see what is in it"
            self._problem(kustomization.path, f"{entry} is not read: it is not in the fleet repo", hint=hint)
            return []
        before = len(self.walk.unfollowed)
        found = self.walk.entry(kustomization, entry, (self.directory,))
        unfollowed = self.walk.unfollowed[before:]
        whole = kustomization.unfollowed and not kustomization.lists_component
        if not unfollowed or whole:
            return found
        where, what = unfollowed[0]
        path = posixpath.normpath(posixpath.join(self.directory, entry))
        return self._built(path, found, where, f"it has {what}")

    def _built(self, path: str, written: list[Placed], where: str, why: str) -> list[Placed]:
        """What kustomize builds from ``path``; nothing, with a problem that blocks the root, when it cannot."""
        if any(problem.blocks_root for problem in self.problems):
            return written
        if self.build is None:
            message = f"kustomize is needed to read this: {why}"
            hint = "install kustomize or kubectl; Trimtab finds either on PATH"
            self._problem(where, message, hint=hint, blocks=True)
            return []
        try:
            output = self.build(path)
        except InputError as error:
            self._problem(where, error.message, hint=error.hint, blocks=True)
            return []
        found, problems = place_built(output, written, path=where)
        known = {(problem.field, problem.message) for problem in self.problems}
        self.problems.extend(problem for problem in problems if (problem.field, problem.message) not in known)
        return found

    def _plain_directory(self) -> list[Placed]:
        """Without a kustomization every manifest below the root counts, as Argo CD and Flux take such a path."""
        found: list[Placed] = []
        paths = files_below(self.walk.tree, self.directory)
        if not paths:
            message, hint = "there is no such directory in the fleet repo", "correct the cluster's path in trimtab.yaml"
            self._problem(self.directory or ".", message, hint=hint, blocks=True)
        for path in paths:
            name = posixpath.basename(path)
            if path.startswith(self.component + "/") or name in NAMES or not name.endswith((".yaml", ".yml", ".json")):
                continue
            objects = self.walk.objects(path)
            self.problems.extend(objects.problems)
            found += [Placed(declared) for declared in objects.objects]
        for path, what in self.walk.tree.oddities.items():
            if is_inside(path, self.directory):
                self._problem(path, f"is not read: it is a {what}")
        return found

    def _check_references(self) -> None:
        for hpa in follow_references(self.objects):
            source = hpa.declared.source
            message = f"kustomize finds several workloads that this HPA may mean by {hpa.target_name}, and gives up"
            self._problem(source.path, message, line=source.line, at="spec.scaleTargetRef.name", blocks=True)

    def _problem(
        self, path: str, message: str, *, line: int = 0, at: str = "", hint: str = "", blocks: bool = False
    ) -> None:
        self.problems.append(Problem(path=path, line=line, field=at, message=message, hint=hint, blocks_root=blocks))


def _key(placed: Placed) -> str:
    """As of the object's reference in the inventory; that of a NodePool has no namespace, whatever kustomize gave it."""
    ref = placed.declared.ref
    namespace = None if isinstance(placed.declared.spec, NodePoolSpec) else placed.namespace
    return ref.model_copy(update={"name": placed.name, "namespace": namespace}).key


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(dict.fromkeys(names))
