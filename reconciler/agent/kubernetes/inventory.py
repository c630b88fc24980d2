"""What the agent has applied, kept in a ConfigMap of the cluster, so that it is known after a restart.

It is written before an object is applied for the first time, and after: what was applied and is not in the inventory could
never be taken away again.
"""

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from reconciler.agent.kubernetes.cluster import Cluster, ObjectKey
from reconciler.agent.kubernetes.entries import Owns
from reconciler.agent.kubernetes.owning import Path
from reconciler.errors import RetryLater, Stalled, TrimtabError

MANAGER: Final = "trimtab-agent"
PLAIN_BYTES: Final = 500_000
"""What is larger is kept compressed: the API server takes 1 MiB of a ConfigMap at most."""

_DATA: Final = "inventory.json"
_PACKED: Final = "inventory.json.gz"
_LONGEST: Final = 200


@dataclass(frozen=True)
class Record:
    """One object that was applied, or is about to be.

    ``uid`` is empty and ``applied`` False until the API server has taken it. ``paths``: the fields of a person's object that
    were applied. ``digest``: of what was applied. ``adopted``: it was there before, made by somebody else, so that it is never
    deleted. ``before``: what ``spec.replicas`` was when it was taken. ``drift``: who had changed it, until that was reported.
    """

    key: ObjectKey
    owns: Owns
    uid: str = ""
    paths: frozenset[Path] = frozenset()
    digest: str = ""
    applied: bool = False
    adopted: bool = False
    before: int | None = None
    drift: str = ""


@dataclass(frozen=True)
class Inventory:
    """``roots``: who brought about each root (``agent``, ``argocd``, ``flux``) when this was written."""

    records: Mapping[ObjectKey, Record] = field(default_factory=dict)
    roots: Mapping[str, str] = field(default_factory=dict)

    def having(self, *records: Record) -> "Inventory":
        """With these records in place of what it says of their objects."""
        return replace(self, records={**self.records, **{one.key: one for one in records}})

    def without(self, keys: Iterable[ObjectKey]) -> "Inventory":
        """Without these objects."""
        gone = set(keys)
        return replace(self, records={key: one for key, one in self.records.items() if key not in gone})


class Store:
    """The inventory, and the ConfigMap ``trimtab-inventory-<name>`` in ``namespace`` that it is kept in.

    ``dry_run``: it is read, and never written.
    """

    def __init__(self, cluster: Cluster, namespace: str, name: str, *, dry_run: bool = False) -> None:
        self._cluster, self._dry_run = cluster, dry_run
        self.key = ObjectKey("v1", "ConfigMap", namespace, config_map_name(name))
        self.inventory = Inventory()
        self._written: bytes | None = None
        self._saved: Inventory | None = None

    def open(self) -> None:
        """Read what was written last, once.

        :raises Stalled: when the ConfigMap holds something else
        """
        if self._written is not None:
            return
        found = self._cluster.get(self.key)
        if found is not None:
            try:
                self.inventory = _decoded(_text_of(found))
            except (ValueError, KeyError, TypeError, EOFError, OSError, zlib.error) as error:
                raise Stalled(
                    f"the ConfigMap {self.key.namespace}/{self.key.name} cannot be read as an inventory: {error}",
                    hint="put back what it said, or delete it: then what was applied before is not taken away any more",
                ) from error
        self._written = _encoded(self.inventory) if self.inventory.records else b""

    def keep(self, *records: Record) -> None:
        """Put records in place of what is known of their objects; :meth:`save` writes it."""
        self.inventory = self.inventory.having(*records)

    def drop(self, *keys: ObjectKey) -> None:
        """Forget objects."""
        self.inventory = self.inventory.without(keys)

    def save(self) -> None:
        """Write the ConfigMap, when something has changed. Where nothing was ever applied there is none.

        :raises Stalled: when it cannot be written, so that nothing may be applied
        """
        if self._dry_run or self.inventory == self._saved:
            return
        text = _encoded(self.inventory)
        if text == self._written or not (self._written or self.inventory.records):
            self._saved = self.inventory
            return
        try:
            self._cluster.apply(self._manifest(text), manager=MANAGER, force=True)
        except RetryLater:
            raise
        except TrimtabError as error:
            raise Stalled(
                f"the inventory {self.key.namespace}/{self.key.name} cannot be written, so nothing is applied: {error.message}",
                hint=f"let the agent get, create and patch ConfigMaps in the namespace {self.key.namespace}, and see that "
                "the namespace is there; another one can be given by --namespace",
            ) from error
        self._written, self._saved = text, self.inventory

    def _manifest(self, text: bytes) -> dict[str, Any]:
        labels = {"app.kubernetes.io/managed-by": "trimtab"}
        metadata = {"namespace": self.key.namespace, "name": self.key.name, "labels": labels}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **_content(text)}


def config_map_name(name: str) -> str:
    """``trimtab-inventory-<name>``, made into a name of Kubernetes; a changed one is told apart by a checksum."""
    plain = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:_LONGEST].rstrip("-")
    suffix = plain if plain == name else f"{plain}-{zlib.crc32(name.encode()):08x}".lstrip("-")
    return f"trimtab-inventory-{suffix}"


def _content(text: bytes) -> dict[str, Any]:
    if len(text) <= PLAIN_BYTES:
        return {"data": {_DATA: text.decode()}}
    return {"binaryData": {_PACKED: base64.b64encode(gzip.compress(text, mtime=0)).decode()}}


def _text_of(config_map: Mapping[str, Any]) -> bytes:
    packed = (config_map.get("binaryData") or {}).get(_PACKED)
    if packed is not None:
        return gzip.decompress(base64.b64decode(packed))
    return str(config_map["data"][_DATA]).encode()


def _encoded(inventory: Inventory) -> bytes:
    records = [_row(inventory.records[key]) for key in sorted(inventory.records)]
    body = {"version": 1, "roots": dict(sorted(inventory.roots.items())), "objects": records}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _row(record: Record) -> dict[str, Any]:
    api_version, kind, namespace, name = record.key
    row: dict[str, Any] = {"apiVersion": api_version, "kind": kind, "namespace": namespace, "name": name}
    row |= {"uid": record.uid, "owns": record.owns, "paths": sorted(map(list, record.paths)), "digest": record.digest}
    row |= {"applied": record.applied, "adopted": record.adopted, "before": record.before, "drift": record.drift}
    return {name: value for name, value in row.items() if value not in ("", [], False, None)}


def _decoded(text: bytes) -> Inventory:
    body = json.loads(text)
    records = (_record(row) for row in body["objects"])
    return Inventory({one.key: one for one in records}, dict(body.get("roots") or {}))


def _record(row: Mapping[str, Any]) -> Record:
    return Record(
        key=ObjectKey(row["apiVersion"], row["kind"], row.get("namespace", ""), row["name"]),
        owns="object" if row["owns"] == "object" else "fields",
        uid=row.get("uid", ""),
        paths=frozenset(tuple(path) for path in row.get("paths", ())),
        digest=row.get("digest", ""),
        applied=bool(row.get("applied")),
        adopted=bool(row.get("adopted")),
        before=row.get("before"),
        drift=row.get("drift", ""),
    )
