"""What an HPA's ``scaleTargetRef`` points at once kustomize is done: its name references, worked out as it does.

At the end of a build kustomize looks, for each HPA, at the Deployments, StatefulSets, ReplicaSets and
ReplicationControllers in the HPA's namespace that had the name before (whatever kind the HPA itself asks for, and
although another object may have that very name now), prefers those with the HPA's own prefixes and suffixes, and writes
the new name into the HPA. An object that was never renamed or moved is not looked at, so an HPA for ``web`` beside a
``canary-web`` that was made from ``web`` ends up at ``canary-web``. Seen in kustomize 5.5 and 5.8
(``api/filters/nameref``); KEDA's ScaledObjects are left alone by it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from reconciler.manifests.objects_declared import HpaSpec, WorkloadSpec
from reconciler.manifests.objects_placed import Placed

_REFERRED = ("Deployment", "ReplicaSet", "ReplicationController", "StatefulSet")


class References:
    """The objects of a whole build that an HPA can refer to, by the names that they had."""

    def __init__(self, objects: Iterable[Placed]) -> None:
        self._before: dict[tuple[str, str, str], list[Placed]] = defaultdict(list)
        for placed in objects:
            if placed.declared.ref.kind in _REFERRED:
                for name in {name for name, _ in placed.history}:
                    self._before[placed.declared.ref.kind, placed.effective_namespace, name].append(placed)

    def follow(
        self, name: str, namespace: str, prefixes: Sequence[str] = (), suffixes: Sequence[str] = ()
    ) -> str | None:
        """The name that a reference to ``name`` has in the end; None when kustomize finds several and gives up.

        ``namespace`` is the effective one; ``prefixes`` and ``suffixes`` are those of the object that refers.
        """
        if not self._before:
            return name
        for kind in _REFERRED:
            candidates = self._before.get((kind, namespace, name), [])
            for strict in (False, True):
                if len(candidates) > 1 or not strict:
                    candidates = [c for c in candidates if _alike(c, prefixes, suffixes, strict)]
            names = {candidate.name for candidate in candidates}
            if len(names) > 1:
                return None
            name = next(iter(names), name)
        return name


def _alike(candidate: Placed, prefixes: Sequence[str], suffixes: Sequence[str], strict: bool) -> bool:
    return all(
        (not strict and not (mine and theirs)) or _same_end(mine, theirs)
        for mine, theirs in ((prefixes, candidate.prefixes), (suffixes, candidate.suffixes))
    )


def _same_end(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether the shorter of the two is the end of the longer; an empty one is the end of an empty one only."""
    size = min(len(one), len(other))
    return list(one[-size:]) == list(other[-size:]) if size else len(one) == len(other)


def follow_references(objects: Sequence[Placed]) -> list[Placed]:
    """Set each HPA's ``target_name`` to what it is in the end; returns those for which kustomize gives up."""
    references = References(objects)
    lost = []
    for placed in objects:
        if isinstance(placed.declared.spec, HpaSpec) and placed.declared.ref.kind == "HorizontalPodAutoscaler":
            name = references.follow(placed.target_name, placed.effective_namespace, placed.prefixes, placed.suffixes)
            if name is None:
                lost.append(placed)
            else:
                placed.target_name = name
    return lost


def strays(objects: Sequence[Placed]) -> list[tuple[Placed, str]]:
    """Workloads that Trimtab cannot give an HPA: kustomize would point it at another one, whose name is given."""
    references = References(objects)
    found = []
    for placed in objects:
        if isinstance(placed.declared.spec, WorkloadSpec):
            name = references.follow(placed.name, placed.effective_namespace)
            if name != placed.name:
                found.append((placed, name or "several workloads"))
    return found
