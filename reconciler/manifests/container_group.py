"""ContainerGroup files, ``docker/<host-pool>/<group>.yaml``: read strictly, and edited one value at a time."""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from reconciler.errors import InputError, Where
from reconciler.manifests import splice
from reconciler.manifests.machine_forms import POLICY_ANNOTATION
from reconciler.manifests.yaml_reader import KeyPath, Located, load_config
from reconciler.model.container_group import API_VERSION, KIND, MOST_REPLICAS, ContainerGroup, GroupKey

FOLDER: Final = "docker"
REPLICAS: Final = "spec/replicas"
"""The field that decisions change."""

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_RESERVED = frozenset({"trimtab", "kustomization"})
"""``trimtab/`` is the folder of a component, and ``kustomization.yaml`` means something to kustomize."""

_SPEC: Final = ("hostPool", "replicas", "maxReplicasPerHost", "image", "lbPoolRef")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]")
_LONGEST_TEXT = 500


def is_group_name(text: str) -> bool:
    """Whether a host pool or a group may be called so: what Docker takes, and a path can hold."""
    return _NAME.fullmatch(text) is not None and ".." not in text and text not in _RESERVED


def path_for(key: GroupKey) -> str:
    """:raises InputError: when a name could not be part of a path."""
    for name in key:
        if not is_group_name(name):
            raise InputError(
                f"{name!r} is no name of a host pool or a group: letters, digits, '-', '_' and '.', at most 128 of them"
            )
    return f"{FOLDER}/{key[0]}/{key[1]}.yaml"


def key_of(path: str) -> GroupKey | None:
    """The host pool and group whose file a path is; None for any other path."""
    parts = path.split("/")
    if len(parts) != 3 or parts[0] != FOLDER or not parts[2].endswith(".yaml"):
        return None
    key = (parts[1], parts[2].removesuffix(".yaml"))
    return key if all(map(is_group_name, key)) else None


def parse(text: bytes, *, path: str) -> ContainerGroup:
    """Read one file; its names must be those of its path.

    :raises InputError: with line and field, at the first thing that is not as it should be.
    """
    key = key_of(path)
    if key is None:
        raise InputError(
            "not the path of a container group", where=Where(path), hint=f"{FOLDER}/<host-pool>/<group>.yaml"
        )
    located = load_config(text, path=path)
    top = _mapping(located, (), ("apiVersion", "kind", "metadata", "spec"))
    for field, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if top.get(field) != wanted:
            raise _odd(located, (field,), f"should be {wanted}")
    metadata = _mapping(located, ("metadata",), ("name", "labels", "annotations"))
    spec = _mapping(located, ("spec",), _SPEC)
    _same(located, ("metadata", "name"), metadata.get("name"), key[1], "the file's name")
    _same(located, ("spec", "hostPool"), spec.get("hostPool"), key[0], "the folder's name")
    return ContainerGroup(
        host_pool=key[0],
        name=key[1],
        replicas=_count(located, "replicas", spec.get("replicas"), least=0),
        max_replicas_per_host=_optional_count(located, "maxReplicasPerHost", spec.get("maxReplicasPerHost")),
        image=_text(located, ("spec", "image"), spec.get("image")),
        lb_pool_ref=_text(located, ("spec", "lbPoolRef"), spec.get("lbPoolRef")) or None,
        policy=_policy(located, metadata),
    )


def _policy(located: Located, metadata: Mapping[str, Any]) -> str:
    for field in ("labels", "annotations"):
        for name, value in _mapping(located, ("metadata", field), None).items() if metadata.get(field) else ():
            if not isinstance(value, str):
                raise _odd(located, ("metadata", field, name), "should be text", "put it in quotes")
    annotations = metadata.get("annotations") or {}
    return str(annotations.get(POLICY_ANNOTATION, ""))


def _mapping(located: Located, at: KeyPath, keys: Collection[str] | None) -> dict[str, Any]:
    """The mapping at ``at``, which has none but ``keys``."""
    value = located.value
    for step in at:
        value = value.get(step)
    if not isinstance(value, dict):
        raise _odd(located, at, "should be a mapping")
    for key in value:
        if keys is not None and key not in keys:
            raise _odd(located, (*at, key), "unknown field", f"there are {', '.join(keys)}")
    return value


def _same(located: Located, at: KeyPath, value: object, wanted: str, what: str) -> None:
    if value != wanted:
        raise _odd(
            located, at, f"should be {wanted}, as {what} is" if value is None else f"{value!r} is not {what}, {wanted}"
        )


def _count(located: Located, field: str, value: object, *, least: int) -> int:
    if type(value) is not int or not least <= value <= MOST_REPLICAS:
        given = "is missing" if value is None else f"{value!r} is not a number of containers"
        raise _odd(located, ("spec", field), given, f"a whole number from {least} to {MOST_REPLICAS}, without quotes")
    return value


def _optional_count(located: Located, field: str, value: object) -> int | None:
    return None if value is None else _count(located, field, value, least=1)


def _text(located: Located, at: KeyPath, value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or not value or len(value) > _LONGEST_TEXT or _UNPRINTABLE.search(value):
        raise _odd(located, at, f"{value!r} is no name", f"text without spaces, at most {_LONGEST_TEXT} characters")
    return value


def _odd(located: Located, at: KeyPath, message: str, hint: str = "") -> InputError:
    return InputError(message, where=located.where(at), hint=hint)


def fields_of(group: ContainerGroup) -> dict[str, str]:
    """A group's values by field, as they stand in its file."""
    values = {
        f"metadata/annotations/{POLICY_ANNOTATION.replace('/', '~1')}": group.policy,
        "spec/hostPool": group.host_pool,
        REPLICAS: str(group.replicas),
        "spec/maxReplicasPerHost": str(group.max_replicas_per_host or ""),
        "spec/image": group.image,
        "spec/lbPoolRef": group.lb_pool_ref or "",
    }
    return {field: value for field, value in values.items() if value}


def group_from(key: GroupKey, values: Mapping[str, str]) -> ContainerGroup:
    """The inverse of :func:`fields_of`.

    :raises InputError: when a value is none that a group has.
    """
    try:
        most = values.get("spec/maxReplicasPerHost")
        group = ContainerGroup(
            host_pool=key[0],
            name=key[1],
            replicas=int(values[REPLICAS]),
            max_replicas_per_host=int(most) if most else None,
            image=values.get("spec/image", ""),
            lb_pool_ref=values.get("spec/lbPoolRef"),
            policy=values.get(f"metadata/annotations/{POLICY_ANNOTATION.replace('/', '~1')}", ""),
        )
    except (KeyError, ValueError) as error:
        raise InputError(f"not the values of a container group: {error}", where=Where("/".join(key))) from None
    for text in (group.image, group.lb_pool_ref or "", group.policy):
        if len(text) > _LONGEST_TEXT or _UNPRINTABLE.search(text):
            raise InputError(f"{text!r} is no name", where=Where("/".join(key)))
    return group


def with_replicas(text: bytes, replicas: int, *, path: str) -> bytes:
    """The file with another number of replicas; every other byte stays.

    :raises InputError: when it cannot be read, or the value has no place that can be edited.
    """
    index = load_config(text, path=path).index
    return splice.set_scalars(text, index, {tuple(REPLICAS.split("/")): str(replicas)}, path=path)
