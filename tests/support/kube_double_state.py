"""What an API server holds, and its verbs: create, update, patch, apply, delete, list, with field ownership."""

import base64
import copy
import itertools
import json
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from reconciler.clock import Clock
from support.kube_double_fields import Conflicting, Manager, Owners, applied, entries, updated
from support.kube_double_kinds import Json, Resource, Wrong, empty, faults, fill
from support.kube_double_patch import merge_patched, strategic_patched
from support.kube_double_refusals import EXPIRED, Refused, about, conflict, invalid, not_found, precondition
from support.kube_double_types import Unfit, check, settled


class Name(NamedTuple):
    """An object of one resource; the namespace is empty for cluster-scoped ones."""

    namespace: str
    name: str


@dataclass(frozen=True)
class Writing:
    """Who writes, and how: ``subresource`` "" | "status" | "scale" | "everything" (a test's own hand)."""

    manager: str
    dry_run: bool = False
    force: bool = False
    subresource: str = ""
    replaces: bool = False  # a PUT: a uid in it is a precondition


@dataclass
class _Held:
    obj: Json
    owners: Owners


@dataclass
class State:
    """All objects, behind one lock."""

    clock: Clock
    resources: dict[tuple[str, str], Resource] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    changes: list[tuple[int, Resource, str, Json]] = field(default_factory=list)  # version, kind, ADDED…, object
    forgotten: int = 0  # changes up to that version are not kept
    _held: dict[Resource, dict[Name, _Held]] = field(default_factory=dict)
    _versions: Any = field(default_factory=lambda: itertools.count(1))
    version: int = 0
    _pages: dict[str, list[Json]] = field(default_factory=dict)
    changed: threading.Condition = field(init=False)

    def __post_init__(self) -> None:
        self.changed = threading.Condition(self.lock)

    # -- Reading ---------------------------------------------------------------------------------------------------

    def get(self, resource: Resource, name: Name) -> Json:
        with self.lock:
            held = self._held.get(resource, {}).get(name)
            if held is None:
                raise not_found(resource, name.name)
            return held.obj

    def page(self, resource: Resource, namespace: str, *, limit: int, token: str) -> Json:
        """One page. What a token continues is the list as it was when it began."""
        with self.lock:
            meta: Json = {"resourceVersion": str(self.version)}
            if token:
                if token not in self._pages:
                    raise Refused(410, EXPIRED)
                rest = self._pages.pop(token)
            else:
                of = self._held.get(resource, {})
                rest = [of[name].obj for name in sorted(of) if namespace in ("", name.namespace)]
            page, rest = (rest[:limit], rest[limit:]) if limit else (rest, [])
            if rest:
                following = base64.urlsafe_b64encode(json.dumps(str(uuid.uuid4())).encode()).decode()
                self._pages[following] = rest
                meta |= {"continue": following, "remainingItemCount": len(rest)}
        return {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": meta, "items": page}

    def expire(self) -> None:
        """Forget what lists continue and what watches begin with."""
        with self.lock:
            self._pages.clear()
            self.changes.clear()
            self.forgotten = self.version

    # -- Writing ---------------------------------------------------------------------------------------------------

    def create(self, resource: Resource, namespace: str, body: Json, writing: Writing) -> tuple[Json, list[str]]:
        meta = body.get("metadata") or {}
        name = Name(namespace if resource.namespaced else "", str(meta.get("name", "")))
        if not name.name:
            raise invalid(resource, "", [Wrong("metadata.name", "FieldValueRequired", "Required value: name or generateName is required")])  # fmt: skip
        with self.lock:
            if name in self._held.get(resource, {}):
                said = f'{resource.resource_name} "{name.name}" already exists'
                raise Refused(409, said, reason="AlreadyExists", details=about(resource, name.name))
            return self._update(resource, name, None, body, writing)

    def update(self, resource: Resource, name: Name, body: Json, writing: Writing) -> tuple[Json, list[str]]:
        with self.lock:
            self.get(resource, name)
            return self._update(resource, name, self._held[resource][name], body, writing)

    def patch(
        self, resource: Resource, name: Name, body: Json, writing: Writing, *, strategic: bool
    ) -> tuple[Json, list[str]]:
        if strategic and resource.custom:
            said = "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"  # fmt: skip
            raise Refused(415, said, reason="UnsupportedMediaType")
        with self.lock:
            live = self.get(resource, name)
            if writing.subresource == "scale":
                body = {"spec": {"replicas": (body.get("spec") or {}).get("replicas")}}
            before = _without_managers(live)
            patched = strategic_patched(before, body, resource.shape) if strategic else merge_patched(before, body)
            return self._update(resource, name, self._held[resource][name], patched, writing)

    def _update(
        self, resource: Resource, name: Name, held: _Held | None, body: Json, writing: Writing
    ) -> tuple[Json, list[str]]:
        before = _without_managers(held.obj) if held else empty(resource)
        new, unknown = self._settled(resource, name, held, body, writing)
        by = Manager(writing.manager, "Update", resource.api_version, writing.subresource)
        owners = held.owners if held else {}
        if writing.manager and (owners or not held or writing.subresource == "everything"):
            owners = updated(
                before, new, resource.shape, owners, by,
                api_version=resource.api_version, now=self._now(), ignored=_ignored(resource, writing),
            )  # fmt: skip
        return self._kept(resource, name, held, new, owners, writing), unknown

    def apply(self, resource: Resource, name: Name, body: Json, writing: Writing) -> tuple[Json, bool]:
        """The object, and whether it is new."""
        meta = body.get("metadata") or {}
        if meta.get("managedFields") is not None:
            raise Refused(400, "metadata.managedFields must be nil")
        spoken = f"{body.get('apiVersion')}"
        if spoken != resource.api_version:
            said = f"Incorrect version specified in apply patch. Specified patch version: {spoken}, expected: {resource.api_version}"
            raise Refused(400, said)
        with self.lock:
            held = self._held.get(resource, {}).get(name)
            if held is None and meta.get("uid"):
                said = (
                    f"uid mismatch: the provided object specified uid {meta['uid']}, and no existing object was found"
                )
                raise Refused(409, f'Operation cannot be fulfilled on {resource.resource_name} "{name.name}": {said}', details=about(resource, name.name))  # fmt: skip
            if held is None:
                self._check_namespace(resource, name)
            merged, owners = self._merged(resource, name, held, body, writing)
            new, _ = self._settled(resource, name, held, merged, writing)
            return self._kept(resource, name, held, new, owners, writing), held is None

    def _merged(
        self, resource: Resource, name: Name, held: _Held | None, body: Json, writing: Writing
    ) -> tuple[Json, Owners]:
        try:
            check(body, resource.shape)
        except Unfit as unfit:
            kind = f"{resource.group}/{resource.api_version.rpartition('/')[2]}, Kind={resource.kind}"
            said = (
                f"failed to create typed patch object ({name.namespace}/{name.name}; {kind}): {unfit.path}: {unfit.why}"
            )
            raise Refused(500, said, reason="") from None
        by = Manager(writing.manager, "Apply", "", writing.subresource)
        try:
            return applied(
                _without_managers(held.obj) if held else {}, body, resource.shape, self._owners(resource, held), by,
                api_version=resource.api_version, now=self._now(),
                ignored=_ignored(resource, writing), force=writing.force,
            )  # fmt: skip
        except Conflicting as conflicting:
            raise conflict(conflicting) from None

    def _owners(self, resource: Resource, held: _Held | None) -> Owners:
        """Who owns what before an apply: of an object that nobody was noted for, ``before-first-apply`` has all
        (``managedfields/internal/skipnonapplied.go``)."""
        if held is None or held.owners:
            return held.owners if held else {}
        return updated(
            empty(resource), _without_managers(held.obj), resource.shape, {},
            Manager("before-first-apply", "Update", resource.api_version),
            api_version=resource.api_version, now=self._now(), ignored=_ignored(resource, Writing("")),
        )  # fmt: skip

    def delete(self, resource: Resource, name: Name, options: Mapping[str, Any], *, dry_run: bool) -> Json:
        with self.lock:
            obj = self.get(resource, name)
            wanted = (options.get("preconditions") or {}).get("uid")
            if wanted is not None and wanted != obj["metadata"]["uid"]:
                raise precondition(resource, name.name, wanted, obj["metadata"]["uid"])
            if not dry_run:
                self._drop(resource, name)
                if resource.kind == "Namespace":
                    self._empty(name.name)
            return obj

    def _empty(self, namespace: str) -> None:
        for resource, of in self._held.items():
            for name in [each for each in of if resource.namespaced and each.namespace == namespace]:
                self._drop(resource, name)

    def _drop(self, resource: Resource, name: Name) -> None:
        held = self._held[resource].pop(name)
        self._note(resource, "DELETED", held.obj)

    # -- On the way in ---------------------------------------------------------------------------------------------

    def _check_namespace(self, resource: Resource, name: Name) -> None:
        namespaces = self._held.get(self.resources["v1", "Namespace"], {})
        if resource.namespaced and Name("", name.namespace) not in namespaces:
            details = {"name": name.namespace, "kind": "namespaces"}
            raise Refused(404, f'namespaces "{name.namespace}" not found', details=details)

    def _settled(
        self, resource: Resource, name: Name, held: _Held | None, body: Json, writing: Writing
    ) -> tuple[Json, list[str]]:
        """The object as it would be stored, and the fields that were dropped."""
        if held is None:
            self._check_namespace(resource, name)
        self._check_meta(resource, name, held, body, writing)
        unknown: list[str] = []
        try:
            new: Json = settled(body, resource.shape, unknown)
        except Unfit as unfit:
            version = resource.api_version.rpartition("/")[2]
            said = f'{resource.kind} in version "{version}" cannot be handled as a {resource.kind}: {unfit}'
            raise Refused(400, said) from None
        new |= {"apiVersion": resource.api_version, "kind": resource.kind}
        self._keep_apart(resource, held, new, writing)
        if not resource.custom:
            fill(resource, new)
        if wrong := faults(resource, new, held.obj if held else None):
            raise invalid(resource, name.name, wrong)
        self._stamp(resource, name, held, new)
        return new, unknown

    def _check_meta(self, resource: Resource, name: Name, held: _Held | None, body: Json, writing: Writing) -> None:
        meta = body.get("metadata") or {}
        for given, meant in ((meta.get("namespace"), name.namespace), (meta.get("name"), name.name)):
            if given and given != meant:
                which = "namespace" if given is meta.get("namespace") else "name"
                raise Refused(400, f"the {which} of the provided object does not match the {which} sent on the request")
        if held is None:
            return
        uid = held.obj["metadata"]["uid"]
        if meta.get("uid", uid) != uid:
            if writing.replaces:
                raise precondition(resource, name.name, meta["uid"], uid)
            said = f'Invalid value: "{meta["uid"]}": field is immutable'
            raise invalid(resource, name.name, [Wrong("metadata.uid", "FieldValueInvalid", said)])
        if (given := meta.get("resourceVersion")) and given != held.obj["metadata"]["resourceVersion"]:
            said = "the object has been modified; please apply your changes to the latest version and try again"
            raise Refused(409, f'Operation cannot be fulfilled on {resource.resource_name} "{name.name}": {said}', details=about(resource, name.name))  # fmt: skip

    def _keep_apart(self, resource: Resource, held: _Held | None, new: Json, writing: Writing) -> None:
        """The main resource cannot write status, and the status subresource nothing else."""
        live = held.obj if held else {}
        if writing.subresource == "status":
            status = new.get("status")
            new.clear()
            new.update(copy.deepcopy(_without_managers(live)))
            new["status"] = status
        elif resource.status and writing.subresource != "everything":
            new.pop("status", None)
            if "status" in live:
                new["status"] = live["status"]

    def _stamp(self, resource: Resource, name: Name, held: _Held | None, new: Json) -> None:
        meta = new.setdefault("metadata", {})
        meta["name"] = name.name
        if resource.namespaced:
            meta["namespace"] = name.namespace
        for label, value in list(meta.items()):
            if value in ({}, []):
                del meta[label]
        old = held.obj["metadata"] if held else {}
        meta["uid"] = old.get("uid") or meta.get("uid") or str(uuid.uuid4())
        meta["creationTimestamp"] = old.get("creationTimestamp") or meta.get("creationTimestamp") or self._now()
        if held:
            meta["resourceVersion"] = old["resourceVersion"]
        if resource.generation or resource.custom:
            moved = held is not None and _desired(held.obj) != _desired(new)
            if held is not None and resource.kind == "Deployment":  # pkg/registry/apps/deployment/strategy.go
                moved = moved or old.get("annotations") != meta.get("annotations")
            meta["generation"] = old.get("generation", 0) + 1 if moved or not held else old["generation"]

    def _kept(
        self, resource: Resource, name: Name, held: _Held | None, new: Json, owners: Owners, writing: Writing
    ) -> Json:
        new["metadata"].pop("managedFields", None)
        if owners:
            new["metadata"]["managedFields"] = entries(owners)
        if (held is not None and _untimed(held.obj) == _untimed(new)) or writing.dry_run:
            return held.obj if held is not None and not writing.dry_run else new
        self.version = next(self._versions)
        new["metadata"]["resourceVersion"] = str(self.version)
        self._held.setdefault(resource, {})[name] = _Held(new, owners)
        self._note(resource, "MODIFIED" if held else "ADDED", new)
        return new

    def _note(self, resource: Resource, what: str, obj: Json) -> None:
        if what == "DELETED":
            self.version = next(self._versions)
        self.changes.append((self.version, resource, what, obj))
        self.changed.notify_all()

    def _now(self) -> str:
        return self.clock().strftime("%Y-%m-%dT%H:%M:%SZ")


def _ignored(resource: Resource, writing: Writing) -> tuple[str, ...]:
    """What a write does not own because it cannot write it."""
    if writing.subresource in ("status", "everything") or not resource.status:
        return ("f:spec",) if writing.subresource == "status" else ("never",)
    return ("f:status",)


def _without_managers(obj: Json) -> Json:
    return {**obj, "metadata": {name: value for name, value in obj["metadata"].items() if name != "managedFields"}}


def _desired(obj: Json) -> Json:
    return {name: value for name, value in obj.items() if name not in ("metadata", "status")}


def _untimed(obj: Json) -> Json:
    managed = [{**each, "time": ""} for each in obj["metadata"].get("managedFields", [])]
    meta = {**obj["metadata"], "managedFields": managed}
    meta.pop("resourceVersion", None)
    return {**obj, "metadata": meta}
