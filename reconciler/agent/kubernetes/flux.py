"""What Flux says of a root. Pure.

Fields: fluxcd ``kustomize-controller/docs/spec/v1/kustomizations.md``: ``lastAppliedRevision`` is ``main@sha1:<commit>``,
before Flux 2.0 ``main/<commit>``; ``Ready`` counts for the generation that it was observed at.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from reconciler.agent.kubernetes.argo import normal
from reconciler.model.agent import Health, RootStatus

KIND: Final = "Kustomization"
VERSIONS: Final = ("kustomize.toolkit.fluxcd.io/v1", "kustomize.toolkit.fluxcd.io/v1beta2")

Json = Mapping[str, Any]


class Summary(NamedTuple):
    """What counts of one Kustomization."""

    name: str
    path: str
    revision: str
    synced: bool
    health: Health
    message: str


def summary(kustomization: Json) -> Summary:
    """Read one Kustomization."""
    spec, status, metadata = (
        kustomization.get("spec") or {},
        kustomization.get("status") or {},
        kustomization["metadata"],
    )
    ready: Json = next((one for one in status.get("conditions") or () if one.get("type") == "Ready"), {})
    seen = _observed(ready, status) >= int(metadata.get("generation") or 0)
    applied, attempted = status.get("lastAppliedRevision"), status.get("lastAttemptedRevision")
    return Summary(
        name=f"Kustomization {metadata.get('namespace', '')}/{metadata['name']}",
        path=normal(str(spec.get("path") or ".")),
        revision=commit_of(str(applied or "")),
        synced=bool(applied) and ready.get("status") == "True" and seen and attempted in (None, "", applied),
        health=_health(ready, seen=seen),
        message="" if ready.get("status") == "True" and seen else _why(spec, ready),
    )


def proof(path: str, kustomizations: Sequence[Summary]) -> RootStatus:
    """What is known of the root at ``path``. Among several, the first by name counts."""
    matching = [one for one in kustomizations if one.path == normal(path)]
    if not matching:
        message = f"no Kustomization ({VERSIONS[0]}) has spec.path ./{normal(path)}; make one, or say sync: agent"
        return RootStatus(path=path, sync="flux", health="missing", message=message)
    one = min(matching)
    return RootStatus(
        path=path,
        sync="flux",
        source=one.name,
        revision=one.revision,
        synced=one.synced,
        health=one.health,
        message=one.message,
    )


def commit_of(revision: str) -> str:
    """The commit of ``main@sha1:<commit>``, ``sha1:<commit>`` or ``main/<commit>``."""
    return revision.rpartition(":")[2] if ":" in revision else revision.rpartition("/")[2]


def _observed(ready: Json, status: Json) -> int:
    return int(ready.get("observedGeneration") or status.get("observedGeneration") or 0)


def _health(ready: Json, *, seen: bool) -> Health:
    if not ready or not seen or ready.get("status") == "Unknown":
        return "progressing"
    return "healthy" if ready.get("status") == "True" else "degraded"


def _why(spec: Json, ready: Json) -> str:
    if spec.get("suspend"):
        return "it is suspended, so that Flux applies nothing; resume it by: flux resume kustomization"
    return str(ready.get("message") or "Flux has not looked at it yet")[:1000]
