"""YAML documents → typed objects, before any transformer: workloads, and whatever bears on how they are sized.

Requests that a manifest leaves out where it sets a limit are given as the limit, as the API server fills them in. A
namespace that is not written is None. Objects of other kinds are kept by name only (kustomize refuses duplicates of any).
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from reconciler.errors import InputError
from reconciler.manifests.objects_capacity import read_hpa, read_limit_range, read_node_pool, read_quota, read_scaled
from reconciler.manifests.objects_declared import (
    Declared,
    HpaSpec,
    KeyPath,
    LimitRangeSpec,
    NodePoolSpec,
    Notebook,
    QuotaSpec,
    Spec,
    WorkloadSpec,
    texts,
)
from reconciler.manifests.objects_pods import read_workload
from reconciler.manifests.yaml_reader import load_all, load_configs
from reconciler.model.inventory import Problem
from reconciler.model.workload import WORKLOAD_KINDS, ObjectRef, Source

LOCAL_CONFIG = "config.kubernetes.io/local-config"
"""Objects with this annotation (any value but "false") are for tools; kustomize leaves them out of what it builds."""


class ReadDocument(Protocol):
    """A document as :func:`~reconciler.manifests.yaml_reader.load_all` gives it: ``index`` from 0, ``line`` from 1."""

    @property
    def index(self) -> int: ...

    @property
    def line(self) -> int: ...

    @property
    def value(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Objects:
    """What one file declares, in its order, and what could not be read.

    ``broken``: something in the file is no Kubernetes object at all, so that kustomize would refuse the whole file.
    """

    objects: tuple[Declared, ...] = ()
    problems: tuple[Problem, ...] = ()
    broken: bool = False

    @property
    def workloads(self) -> tuple[Declared, ...]:
        return self._of(WorkloadSpec)

    @property
    def hpas(self) -> tuple[Declared, ...]:
        """HorizontalPodAutoscalers and ScaledObjects."""
        return self._of(HpaSpec)

    @property
    def node_pools(self) -> tuple[Declared, ...]:
        return self._of(NodePoolSpec)

    @property
    def quotas(self) -> tuple[Declared, ...]:
        return self._of(QuotaSpec)

    @property
    def limit_ranges(self) -> tuple[Declared, ...]:
        return self._of(LimitRangeSpec)

    @property
    def namespaces(self) -> tuple[Declared, ...]:
        return tuple(o for o in self.objects if o.ref.kind == "Namespace" and o.ref.api_version == "v1")

    def _of(self, kind: type[Spec]) -> tuple[Declared, ...]:
        return tuple(o for o in self.objects if isinstance(o.spec, kind))


def read_objects(text: bytes, *, path: str) -> Objects:
    """The objects of a file's bytes; a file that is no YAML gives one problem, with its line, and ``broken``."""
    try:
        documents = load_all(text, path=path)
    except InputError as error:
        return Objects(problems=(_unreadable(error, text, path),), broken=True)
    objects, noted, broken = _parse(documents, path)
    return Objects(_with_replicas_lines(objects, text), _with_lines(noted, text, path), broken)


def parse_objects(documents: Iterable[ReadDocument], *, path: str) -> Objects:
    """As :func:`read_objects`, of documents that are read already. Problems carry the line where their document starts;
    the lines of ``spec.replicas`` are not known."""
    objects, noted, broken = _parse(documents, path)
    return Objects(objects, tuple(problem for problem, _, _ in noted), broken)


Noted = list[tuple[Problem, int, KeyPath]]


def _parse(documents: Iterable[ReadDocument], path: str) -> tuple[tuple[Declared, ...], Noted, bool]:
    objects: list[Declared] = []
    noted: Noted = []
    broken = False
    for document in documents:
        for value, prefix in _expanded(document.value, ()):
            notes = Notebook(path, document.index, document.line, prefix)
            declared = _declared(value, notes)
            broken |= declared is None
            if declared is not None and declared.annotations.get(LOCAL_CONFIG, "false") == "false":
                objects.append(declared)
                noted += notes.problems
            elif declared is None:
                noted += notes.problems
    return tuple(objects), noted, broken


def _expanded(value: Any, prefix: KeyPath) -> Iterator[tuple[Any, KeyPath]]:
    """The objects in a document: itself, or the items of a List (of any ``…List`` kind, as kustomize does)."""
    if isinstance(value, dict) and str(value.get("kind", "")).endswith("List") and isinstance(value.get("items"), list):
        for index, item in enumerate(value["items"]):
            yield from _expanded(item, (*prefix, "items", index))
    else:
        yield value, prefix


def _declared(value: Any, notes: Notebook) -> Declared | None:
    """One object; None, with a problem, when kustomize would refuse it too."""
    metadata = value.get("metadata") if isinstance(value, dict) else None
    if not isinstance(metadata, dict):
        notes.problem((), "is no Kubernetes object: it has no metadata", hint=_no_object_hint(value))
        return None
    kind, name = value.get("kind"), metadata.get("name")
    if not isinstance(kind, str) or not kind:
        notes.problem(("kind",), "is missing")
        return None
    if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
        hint = "kustomize cannot build an object that has a generateName only" if "generateName" in metadata else ""
        notes.problem(("metadata", "name"), "is missing", hint=hint)
        return None
    api_version = value.get("apiVersion")
    namespace = metadata.get("namespace")
    ref = ObjectRef(
        api_version=api_version if isinstance(api_version, str) else "",
        kind=kind,
        name=str(name),
        namespace=namespace if isinstance(namespace, str) and namespace else None,
    )
    return Declared(
        ref,
        Source(path=notes.path, document=notes.document, line=notes.line),
        texts(metadata.get("labels")),
        texts(metadata.get("annotations")),
        _spec(ref, value, notes),
    )


def _no_object_hint(value: Any) -> str:
    if isinstance(value, dict) and value.get("resources") is not None and "metadata" not in value:
        return "this looks like a kustomization: list its directory, not the file"
    return "list only manifests under resources"


_READERS: dict[tuple[str, str], Callable[[dict[str, Any], Notebook], Spec | None]] = {
    ("autoscaling", "HorizontalPodAutoscaler"): read_hpa,
    ("keda.sh", "ScaledObject"): read_scaled,
    ("karpenter.sh", "NodePool"): read_node_pool,
    ("", "ResourceQuota"): read_quota,
    ("", "LimitRange"): read_limit_range,
}

_WORKLOAD_GROUPS = {
    **dict.fromkeys(WORKLOAD_KINDS, "apps"),
    "CronJob": "batch",
    "Job": "batch",
    "Pod": "",
    "Rollout": "argoproj.io",
}


def _spec(ref: ObjectRef, value: dict[str, Any], notes: Notebook) -> Spec | None:
    if _WORKLOAD_GROUPS.get(ref.kind) == ref.group:
        return read_workload(ref, value, notes)
    reader = _READERS.get((ref.group, ref.kind))
    return reader(value, notes) if reader else None


# --- places of replicas --------------------------------------------------------------------------------------------

_REPLICAS = re.compile(rb"^[ \t]+replicas[ \t]*:[ \t]+(\d+)[ \t]*(?:#.*)?\r?$", re.MULTILINE)
_NEXT = re.compile(rb"^---(?:[ \t\r].*)?$", re.MULTILINE)


def _with_replicas_lines(objects: tuple[Declared, ...], text: bytes) -> tuple[Declared, ...]:
    """The objects with the lines of ``spec.replicas``, where each is the only line of its document that can be it.

    Found in the text alone: reading every manifest with positions would take ten times as long.
    """
    found = list(_REPLICAS.finditer(text))
    if not found:
        return objects
    lines = [(text.count(b"\n", 0, match.start()) + 1, int(match[1])) for match in found]
    ends = [text.count(b"\n", 0, match.start()) + 1 for match in _NEXT.finditer(text)]
    return tuple(_with_replicas_line(declared, lines, ends) for declared in objects)


def _with_replicas_line(declared: Declared, lines: list[tuple[int, int]], ends: list[int]) -> Declared:
    spec, start = declared.spec, declared.source.line
    if not isinstance(spec, WorkloadSpec) or spec.replicas is None:
        return declared
    end = next((line for line in ends if line > start), None)
    here = [(line, number) for line, number in lines if line > start and (end is None or line < end)]
    if len(here) != 1 or here[0][1] != spec.replicas:
        return declared
    return replace(declared, spec=replace(spec, replicas_line=here[0][0]))


# --- places of problems -------------------------------------------------------------------------------------------


def _unreadable(error: InputError, text: bytes, path: str) -> Problem:
    where = error.where
    hint = error.hint
    if b"{{" in text:
        hint = "this looks like a Helm template; Trimtab and kustomize read rendered manifests (helm template)"
    return Problem(
        path=where.path if where else path,
        line=where.line if where else 0,
        message=error.message,
        hint=hint,
    )


def _with_lines(noted: Noted, text: bytes, path: str) -> tuple[Problem, ...]:
    """The problems, each with the line of its own field; the slow reader runs only where there is one."""
    if not noted:
        return ()
    try:
        located = {document.index: document for document in load_configs(text, path=path)}
    except InputError:
        located = {}
    return tuple(
        problem.model_copy(update={"line": located[index].where(at).line or problem.line})
        if index in located
        else problem
        for problem, index, at in noted
    )
