"""What an agent is to apply: the objects and fields of a cluster that Trimtab owns, out of what its roots build to.

Pure. The build is the truth: identities are those of the built objects, and a value of ours that something else in the
root sets again is left out, as it is not ours then.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from reconciler.model.fleet import Root
from reconciler.model.machine_file import MachineFile
from reconciler.model.quantity import parse_quantity
from reconciler.model.workload import BUILT_IN_KINDS, ObjectRef

Object = dict[str, Any]
"""A Kubernetes object as JSON."""

Built = Mapping[str, Any]
"""One object of a build."""

OWNS = "trimtab.dev/owns"
"""The annotation that says whether an entry is a whole ``object`` of Trimtab's, or just ``fields`` of a person's one."""

POLICY = "trimtab.dev/policy"

CLUSTER_SCOPED = frozenset({"NodePool"})
_SIZES = frozenset({"requests", "limits", "hard"})
"""Mappings whose values are quantities, which are text in JSON."""


class OwnedField(NamedTuple):
    """A value that a file of ours sets in an object of a person's: keys from the top, list items by their ``name``."""

    target: ObjectRef
    path: tuple[str, ...]
    value: str


class LiveKey(NamedTuple):
    """An object as the cluster knows it; ``namespace`` is empty where its kind has none."""

    kind: str
    namespace: str
    name: str


Uids = Mapping[LiveKey, str]


@dataclass(frozen=True)
class Desired:
    """The desired state of a cluster at one commit, without the uids of what runs.

    ``revision``: the commit. ``tree``: stands for everything that the manifests depend on: the same tree, the same ones.
    ``repository``: the fleet repo's URL without credentials. ``roots``: those of the cluster, by which an agent finds the
    Argo CD or Flux object that brings each about.
    """

    revision: str
    cluster: str
    tree: str
    manifests: tuple[Object, ...] = ()
    repository: str = ""
    roots: tuple[Root, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What is sent, and the entity tag (with its quotes) that stands for it."""

    revision: str
    etag: str
    body: bytes


def owned(
    built: Iterable[Built], files: Mapping[str, MachineFile], fields: Iterable[OwnedField], namespace: str
) -> tuple[Object, ...]:
    """The entries of one root: its HPAs whole, and one partial object for each object of a person's that we touch.

    ``built``: the objects that the root builds to, our component included. ``files``: our files in it, of which the
    HPAs are taken; ``fields``: what the other ones set. ``namespace``: what objects without one get in the cluster.
    """
    objects = {_identity(one): one for one in built}
    found = [_whole(objects, file, namespace) for file in files.values() if file.form == "hpa"]
    ours: dict[tuple[str, str, str, str], list[OwnedField]] = {}
    for field in fields:
        ours.setdefault(_identity_of(field.target), []).append(field)
    found += [_partial(objects[at], wanted, namespace) for at, wanted in ours.items() if at in objects]
    return merged([one for one in found if one is not None])


def merged(entries: Iterable[Object]) -> tuple[Object, ...]:
    """Entries in the order of their identities, one for each object: two would undo each other, so that the first counts."""
    first: dict[tuple[str, LiveKey], Object] = {}
    for entry in entries:
        first.setdefault((entry["apiVersion"], live_key(entry)), entry)
    return tuple(first[key] for key in sorted(first))


def live_key(entry: Built) -> LiveKey:
    """The identity of an entry in the cluster."""
    metadata = entry["metadata"]
    return LiveKey(entry["kind"], metadata.get("namespace", ""), metadata["name"])


def answer(desired: Desired, uids: Uids) -> Answer:
    """The bytes to send: the same state and uids give the same bytes.

    Partial objects carry the uid of the object that was observed, so that the agent never makes one out of them.
    """
    known = {key: uid for one in desired.manifests if (key := live_key(one)) and (uid := _uid(one, uids))}
    manifests = [_with_uid(one, known.get(live_key(one), "")) for one in desired.manifests]
    body = {
        "revision": desired.revision,
        "cluster": desired.cluster,
        "repository": desired.repository,
        "roots": [{"path": root.path, "namespace": root.namespace, "sync": root.sync} for root in desired.roots],
        "manifests": manifests,
    }
    tag = f"{desired.tree}-{_digest(sorted(known.items()))[:12]}" if known else desired.tree
    return Answer(desired.revision, f'"{tag}"', json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode())


def _uid(entry: Object, uids: Uids) -> str:
    return uids.get(live_key(entry), "") if entry["metadata"]["annotations"][OWNS] == "fields" else ""


def _with_uid(entry: Object, uid: str) -> Object:
    return {**entry, "metadata": {**entry["metadata"], "uid": uid}} if uid else entry


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


# --- whole objects --------------------------------------------------------------------------------------------------


def _whole(objects: Mapping[tuple[str, str, str, str], Built], file: MachineFile, namespace: str) -> Object | None:
    """The HPA of a file of ours as it is built; None when what is built under its name is another's, or went astray."""
    target = file.target
    one = objects.get(("autoscaling", "HorizontalPodAutoscaler", target.namespace or "", target.name))
    if one is None or _get(one, ("spec", "scaleTargetRef", "name")) != target.name:
        return None
    policy = file.values.get("policy")
    if policy and _get(one, ("metadata", "annotations", POLICY)) != policy:
        return None
    metadata = one["metadata"]
    annotations = {**(metadata.get("annotations") or {}), OWNS: "object"}
    live = {**metadata, "namespace": metadata.get("namespace") or namespace, "annotations": annotations}
    whole: Object = _sorted({**one, "metadata": live})
    return whole


# --- fields of people's objects -------------------------------------------------------------------------------------


def _partial(one: Built, fields: Sequence[OwnedField], namespace: str) -> Object | None:
    """Our fields of an object, with the values that are built; None when none of them is ours."""
    tree: dict[str, Any] = {}
    for field in fields:
        if _is_ours(one, field):
            branch = tree
            for key in field.path:
                branch = branch.setdefault(key, {})
    if not tree:
        return None
    metadata = {"name": one["metadata"]["name"], "annotations": {OWNS: "fields"}}
    if one["kind"] not in CLUSTER_SCOPED:
        metadata["namespace"] = one["metadata"].get("namespace") or namespace
    identity = {"apiVersion": one["apiVersion"], "kind": one["kind"], "metadata": metadata}
    partial: Object = _sorted({**identity, **_picked(one, tree, ())})
    return partial


def _is_ours(one: Built, field: OwnedField) -> bool:
    """Whether the build has the value of our file there, and a partial object can say so.

    A list can be applied in part only where its schema merges it by name: a Rollout of one container with nothing but
    its requests would lose the image.
    """
    value: Any = one
    for key in field.path:
        if isinstance(value, list) and not _merges_lists(one):
            return False
        value = _step(value, key)
    return _same(value, field.value)


def _merges_lists(one: Built) -> bool:
    return BUILT_IN_KINDS.get(str(one.get("kind"))) == one.get("apiVersion")


def _picked(value: Any, tree: Mapping[str, Any], at: tuple[str, ...]) -> Any:
    """The part of ``value`` that ``tree`` names. Containers stay in the order of the build: that of init containers counts."""
    if not tree:
        return str(value) if len(at) > 1 and at[-2] in _SIZES else value
    if isinstance(value, list):
        names = [item["name"] for item in value if isinstance(item, Mapping) and item.get("name") in tree]
        return [{"name": name, **_picked(_step(value, name), tree[name], (*at, name))} for name in names]
    return {key: _picked(value[key], branch, (*at, key)) for key, branch in tree.items()}


def _step(value: Any, key: str) -> Any:
    """An item of a mapping, or of a list by its name; None when it is not there."""
    if isinstance(value, Mapping):
        return value.get(key)
    if isinstance(value, list):
        return next((item for item in value if isinstance(item, Mapping) and item.get("name") == key), None)
    return None


def _get(value: Any, path: Iterable[str]) -> Any:
    for key in path:
        value = _step(value, key)
    return value


def _same(built: Any, ours: str) -> bool:
    """Whether both say the same: as text, or as a quantity (``1`` and ``1000m``)."""
    if built is None:
        return False
    text = str(built).lower() if isinstance(built, bool) else str(built)
    if text == ours:
        return True
    try:
        return parse_quantity(text) == parse_quantity(ours)
    except ValueError:
        return False


def _sorted(value: Any) -> Any:
    """The same with every mapping in the order of its keys, so that the same objects have the same bytes."""
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _identity(one: Built) -> tuple[str, str, str, str]:
    """Group, kind, namespace and name. The version is left out: an object has one."""
    metadata = one.get("metadata") or {}
    group = str(one.get("apiVersion", "")).rpartition("/")[0]
    return group, str(one.get("kind", "")), _namespace(one), str(metadata.get("name", ""))


def _namespace(one: Built) -> str:
    """Whatever namespace kustomize gave to an object of a cluster-scoped kind, it has none."""
    return "" if one.get("kind") in CLUSTER_SCOPED else str((one.get("metadata") or {}).get("namespace") or "")


def _identity_of(target: ObjectRef) -> tuple[str, str, str, str]:
    return target.group, target.kind, target.namespace or "", target.name
