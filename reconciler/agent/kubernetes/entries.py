"""The entries of a desired state: what is to be applied, and what it owns."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from reconciler.agent.kubernetes.cluster import ObjectKey
from reconciler.agent.kubernetes.owning import Path, paths_of
from reconciler.model.agent import Health, ObjectStatus

OWNS = "trimtab.dev/owns"
POLICY = "trimtab.dev/policy"

Owns = Literal["object", "fields"]


@dataclass(frozen=True)
class Entry:
    """One object of the desired state. ``owns``: the whole ``object``, or some ``fields`` of a person's.

    ``body``: what is sent; of a person's object nothing but our fields and its identity, without annotations and uid.
    """

    key: ObjectKey
    owns: Owns
    body: Mapping[str, Any]

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> "Entry":
        """Read one of the manifests that the server sent."""
        metadata = manifest.get("metadata") or {}
        if (metadata.get("annotations") or {}).get(OWNS) == "object":
            return cls(ObjectKey.of(manifest), "object", manifest)
        identity = {name: metadata[name] for name in ("name", "namespace") if metadata.get(name)}
        return cls(ObjectKey.of(manifest), "fields", {**manifest, "metadata": identity})

    @cached_property
    def digest(self) -> str:
        """Stands for what is sent: the same body, the same digest."""
        return hashlib.sha256(json.dumps(self.body, sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def paths(self) -> frozenset[Path]:
        """The fields that it sets."""
        return paths_of(self.body)

    def with_uid(self, uid: str) -> dict[str, Any]:
        """What is sent of a person's object: with the uid of the live one, so that none is ever created."""
        return {**self.body, "metadata": {**self.body["metadata"], "uid": uid}}


def status_of(
    key: ObjectKey, status: Literal["applied", "failed", "drifted"], message: str = "", health: Health = "unknown"
) -> ObjectStatus:
    """What is reported of one object."""
    return ObjectStatus(
        api_version=key.api_version,
        kind=key.kind,
        namespace=key.namespace,
        name=key.name,
        status=status,
        message=message,
        health=health,
    )


def shown(key: ObjectKey) -> str:
    """An object as people write it: ``Deployment shop/storefront``."""
    return f"{key.kind} {key.namespace}/{key.name}" if key.namespace else f"{key.kind} {key.name}"
