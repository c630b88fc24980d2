"""ContainerGroup files, ``docker/<host-pool>/<group>.yaml``: read strictly, and edited one value at a time."""

import re
from collections.abc import Mapping
from typing import Final

from reconciler.errors import InputError, Where
from reconciler.manifests import splice, strict_file
from reconciler.manifests.strict_file import POLICY_FIELD
from reconciler.manifests.yaml_reader import Located, load_config
from reconciler.model.container_group import API_VERSION, KIND, MOST_REPLICAS, ContainerGroup, GroupKey

FOLDER: Final = "docker"
REPLICAS: Final = "spec/replicas"
"""The field that decisions change."""

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_RESERVED = frozenset({"trimtab", "kustomization"})
"""``trimtab/`` is the folder of a component, and ``kustomization.yaml`` means something to kustomize."""

_SPEC: Final = ("hostPool", "replicas", "maxReplicasPerHost", "image", "lbPoolRef")


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
    strict_file.kind_of(located, API_VERSION, KIND)
    metadata = strict_file.mapping(located, ("metadata",), ("name", "labels", "annotations"))
    spec = strict_file.mapping(located, ("spec",), _SPEC)
    strict_file.same(located, ("metadata", "name"), metadata.get("name"), key[1], "the file's name")
    strict_file.same(located, ("spec", "hostPool"), spec.get("hostPool"), key[0], "the folder's name")
    return ContainerGroup(
        host_pool=key[0],
        name=key[1],
        replicas=_count(located, "replicas", spec.get("replicas"), least=0),
        max_replicas_per_host=_optional_count(located, "maxReplicasPerHost", spec.get("maxReplicasPerHost")),
        image=strict_file.text(located, ("spec", "image"), spec.get("image")),
        lb_pool_ref=strict_file.text(located, ("spec", "lbPoolRef"), spec.get("lbPoolRef")) or None,
        policy=strict_file.policy_of(located, metadata),
    )


def _count(located: Located, field: str, value: object, *, least: int) -> int:
    return strict_file.whole_number(located, ("spec", field), value, least=least, most=MOST_REPLICAS, of="containers")


def _optional_count(located: Located, field: str, value: object) -> int | None:
    return None if value is None else _count(located, field, value, least=1)


def fields_of(group: ContainerGroup) -> dict[str, str]:
    """A group's values by field, as they stand in its file."""
    values = {
        POLICY_FIELD: group.policy,
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
            policy=values.get(POLICY_FIELD, ""),
        )
    except (KeyError, ValueError) as error:
        raise InputError(f"not the values of a container group: {error}", where=Where("/".join(key))) from None
    for text in (group.image, group.lb_pool_ref or "", group.policy):
        if not strict_file.is_plain(text):
            raise InputError(f"{text!r} is no name", where=Where("/".join(key)))
    return group


def with_replicas(text: bytes, replicas: int, *, path: str) -> bytes:
    """The file with another number of replicas; every other byte stays.

    :raises InputError: when it cannot be read, or the value has no place that can be edited.
    """
    index = load_config(text, path=path).index
    return splice.set_scalars(text, index, {tuple(REPLICAS.split("/")): str(replicas)}, path=path)
