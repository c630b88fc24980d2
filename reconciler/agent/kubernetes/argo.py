"""What Argo CD says of a root. Pure.

Fields: argo-cd ``docs/operator-manual/application.yaml`` and ``pkg/apis/application/v1alpha1/types.go``: an Application has
``spec.source``, or ``spec.sources`` with ``status.sync.revisions`` in the same order.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, get_args
from urllib.parse import urlsplit

from reconciler.model.agent import Health, RootStatus

KIND: Final = ("argoproj.io/v1alpha1", "Application")

Json = Mapping[str, Any]

_SCP = re.compile(r"(?:[^@/:]+@)?([^/:]+):(?!/)(.+)")


class Source(NamedTuple):
    """One source of an Application that is a path of a Git repository, and what its Application says."""

    name: str
    path: str
    repository: str
    revision: str
    synced: bool
    health: str
    message: str


def sources_of(application: Json) -> Iterable[Source]:
    """The sources of one Application that have a path."""
    spec, status = application.get("spec") or {}, application.get("status") or {}
    sync = status.get("sync") or {}
    several = spec.get("sources") or []
    sources = several or [spec.get("source") or {}]
    revisions = (sync.get("revisions") or []) if several else [sync.get("revision")]
    metadata = application["metadata"]
    for index, source in enumerate(sources):
        if source.get("path"):
            yield Source(
                name=f"Application {metadata.get('namespace', '')}/{metadata['name']}",
                path=normal(source["path"]),
                repository=str(source.get("repoURL") or ""),
                revision=str((revisions[index] if index < len(revisions) else "") or ""),
                synced=sync.get("status") == "Synced",
                health=str((status.get("health") or {}).get("status") or "").lower(),
                message=_message(status),
            )


def proof(path: str, repository: str, sources: Sequence[Source]) -> RootStatus:
    """What is known of the root at ``path`` of ``repository``. Among several sources, one of that very repository counts."""
    matching = [one for one in sources if one.path == normal(path)]
    ours = [one for one in matching if same_repository(one.repository, repository)] or matching
    if not ours:
        message = f"no Application (argoproj.io/v1alpha1) has spec.source.path {path}; make one, or say sync: agent"
        return RootStatus(path=path, sync="argocd", health="missing", message=message)
    one = min(ours, key=lambda each: each.name)
    return RootStatus(
        path=path,
        sync="argocd",
        source=one.name,
        revision=one.revision,
        synced=one.synced,
        health=_health(one.health),
        message=one.message,
    )


def normal(path: str) -> str:
    """A path in a repository without ``./``, doubled and trailing slashes; the repository's own is ``.``."""
    steps = [step for step in path.split("/") if step not in ("", ".")]
    return "/".join(steps) or "."


def same_repository(one: str, other: str) -> bool:
    """Whether two URLs mean the same repository: host and path, whatever the scheme, the user and a trailing ``.git``."""
    return bool(one) and bool(other) and _place(one) == _place(other)


def _place(url: str) -> tuple[str, str]:
    scp = _SCP.fullmatch(url.strip()) if "://" not in url else None
    if scp:
        host, path = scp.groups()
    else:
        parts = urlsplit(url.strip())
        host, path = parts.hostname or "", parts.path
    return host.lower(), path.strip("/").removesuffix(".git")


def _health(said: str) -> Health:
    if said == "suspended":
        return "progressing"
    return next((one for one in get_args(Health) if one == said), "unknown")


def _message(status: Json) -> str:
    """The errors that Argo CD reports, else why the health is what it is, else that it is out of sync."""
    conditions = [
        str(one.get("message") or "") for one in status.get("conditions") or () if "Error" in str(one.get("type"))
    ]
    health = status.get("health") or {}
    operation = status.get("operationState") or {}
    failed = str(operation.get("message") or "") if operation.get("phase") in ("Failed", "Error") else ""
    why = str(health.get("message") or "") if health.get("status") != "Healthy" else ""
    return "; ".join(text for text in (*conditions, failed, why) if text)[:1000]
