"""One Kubernetes object as a file declares it, before any transformer; and the reader's notebook of problems."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.model.inventory import LimitRangeItem, Problem
from reconciler.model.workload import Container, ObjectRef, Source

KeyPath = tuple[str | int, ...]

_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def is_name(text: str) -> bool:
    """Whether Kubernetes takes ``text`` as an object's name (a DNS subdomain, RFC 1123)."""
    return _NAME.fullmatch(text) is not None


def is_label(text: str) -> bool:
    """Whether Kubernetes takes ``text`` as a namespace's or container's name (a DNS label, RFC 1123)."""
    return _LABEL.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class WorkloadSpec:
    """The sizes of a workload, as in :class:`~reconciler.model.workload.Workload`."""

    containers: tuple[Container, ...] = ()
    replicas: int | None = None
    replicas_line: int = field(default=0, compare=False)
    suspend: bool = False
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    pod_cpu_request: int | None = None
    max_surge: str | None = None
    strategy: str = "RollingUpdate"


@dataclass(frozen=True, slots=True)
class HpaSpec:
    """A HorizontalPodAutoscaler or a KEDA ScaledObject. ``metrics``: names of the resources it scales on, sorted."""

    target_kind: str
    target_name: str
    max_replicas: int | None = None
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodePoolSpec:
    """Millicores and bytes of ``spec.limits``; None where not limited."""

    cpu_limit: int | None = None
    memory_limit: int | None = None
    template_labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QuotaSpec:
    """``spec.hard`` as canonical quantities."""

    hard: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LimitRangeSpec:
    """The items of type Container and Pod; their name and namespace are empty until the object's own are known."""

    items: tuple[LimitRangeItem, ...]


Spec = WorkloadSpec | HpaSpec | NodePoolSpec | QuotaSpec | LimitRangeSpec


@dataclass(frozen=True, slots=True)
class Declared:
    """An object as written. ``spec`` is None for kinds that Trimtab only needs to know the name of."""

    ref: ObjectRef
    source: Source
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: Spec | None = None


@dataclass(slots=True)
class Notebook:
    """Collects the problems of one document. ``prefix`` leads from the document to the object (items of a List)."""

    path: str
    document: int
    line: int
    prefix: KeyPath = ()
    problems: list[tuple[Problem, int, KeyPath]] = field(default_factory=list)

    def problem(self, at: KeyPath, message: str, *, shown: str = "", hint: str = "", blocks_root: bool = False) -> None:
        """Note a problem of the field ``at`` (``shown``: the field as a person knows it)."""
        found = Problem(
            path=self.path,
            line=self.line,
            field=shown or shown_field(at),
            message=message,
            hint=hint,
            blocks_root=blocks_root,
        )
        self.problems.append((found, self.document, (*self.prefix, *at)))


def shown_field(at: KeyPath) -> str:
    """``("spec", "hard", "requests.cpu")`` → ``spec.hard[requests.cpu]``."""
    text = ""
    for step in at:
        text += f"[{step}]" if isinstance(step, int) or "." in step or "/" in step else f".{step}"
    return text.removeprefix(".")


def mapping(value: Any) -> dict[str, Any]:
    """``value`` if it is a mapping, else an empty one: for optional parts whose absence and emptiness mean the same."""
    return value if isinstance(value, dict) else {}


def texts(value: Any) -> dict[str, str]:
    """A map of labels or annotations; what is no text in it (YAML's ``yes``, ``1``) is spelled as JSON would."""
    if not isinstance(value, dict):
        return {}
    return {str(key): item if isinstance(item, str) else _json_text(item) for key, item in value.items()}


def _json_text(value: Any) -> str:
    if value is None or isinstance(value, dict | list):
        return ""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
