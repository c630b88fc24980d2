"""What kustomize built → objects that know, as far as it can be told, where a person wrote them."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from reconciler.manifests.objects_declared import Declared, Spec, WorkloadSpec
from reconciler.manifests.objects_placed import Placed
from reconciler.manifests.workloads import Objects, read_objects
from reconciler.model.inventory import Problem
from reconciler.model.workload import Source

_CHUNK = 4 * 1024 * 1024
"""Below the YAML reader's limit for one file; a build may be longer than any file."""


def place_built(output: bytes, written: Iterable[Placed], *, path: str) -> tuple[list[Placed], tuple[Problem, ...]]:
    """The objects in a build's ``output``, each with the source of the object of ``written`` that it was made of.

    ``written`` are the objects of the same directory as they were found in its files. ``path`` (the kustomization) is
    the source of what cannot be found there, and of problems.
    """
    found: list[Placed] = []
    problems: list[Problem] = []
    origins = _Origins(written)
    for objects in _read(output, path):
        problems += [problem.model_copy(update={"line": 0}) for problem in objects.problems]
        for declared in objects.objects:
            found.append(origins.placed(declared, path))
    return found, tuple(problems)


def _read(output: bytes, path: str) -> Iterator[Objects]:
    """The output part by part: kustomize writes ``---`` alone on a line between documents, and nowhere else."""
    part: list[bytes] = []
    size = 0
    for document in output.split(b"\n---\n"):
        if size + len(document) > _CHUNK and part:
            yield read_objects(b"\n---\n".join(part), path=path)
            part, size = [], 0
        part.append(document)
        size += len(document)
    yield read_objects(b"\n---\n".join(part), path=path)


class _Origins:
    """Written objects by kind and name, to find again what became of them."""

    def __init__(self, written: Iterable[Placed]) -> None:
        self._exact: dict[tuple[str, str, str], Placed] = {}
        self._by_kind: dict[str, list[Placed]] = {}
        for placed in written:
            kind = placed.declared.ref.kind
            self._exact.setdefault((kind, placed.effective_namespace, placed.name), placed)
            self._by_kind.setdefault(kind, []).append(placed)

    def placed(self, declared: Declared, path: str) -> Placed:
        origin = self._find(Placed(declared))
        source = origin.declared.source if origin else Source(path=path)
        placed = Placed(replace(declared, source=source, spec=_with_written_line(declared.spec, origin)))
        if origin and origin.name == placed.name:
            placed.history, placed.prefixes, placed.suffixes = origin.history, origin.prefixes, origin.suffixes
        return placed

    def _find(self, built: Placed) -> Placed | None:
        """The same identity, else the same name, else the longest original name that the built one still holds."""
        kind = built.declared.ref.kind
        exact = self._exact.get((kind, built.effective_namespace, built.name))
        if exact:
            return exact
        candidates = [p for p in self._by_kind.get(kind, ()) if p.declared.ref.name in built.name]
        return max(candidates, key=lambda p: (p.name == built.name, len(p.declared.ref.name)), default=None)


def _with_written_line(built: Spec | None, origin: Placed | None) -> Spec | None:
    """``spec.replicas`` stands where a person wrote it, if it is still that number; the build's own lines say nothing."""
    if not isinstance(built, WorkloadSpec):
        return built
    written = origin.declared.spec if origin else None
    if isinstance(written, WorkloadSpec) and written.replicas == built.replicas:
        return replace(built, replicas_line=written.replicas_line)
    return replace(built, replicas_line=0)
