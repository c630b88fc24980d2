"""LXCContainer files, ``lxc/<node>/<vmid>.yaml``: read strictly, and edited one value at a time."""

import re
from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError

from reconciler.errors import InputError, Where
from reconciler.manifests import splice, strict_file
from reconciler.manifests.strict_file import POLICY_FIELD
from reconciler.manifests.yaml_reader import Located, load_config
from reconciler.model.lxc_container import API_VERSION, KIND, ContainerKey, LXCContainer

FOLDER: Final = "lxc"
NODE: Final = "spec/node"
CORES: Final = "spec/cores"
MEMORY: Final = "spec/memoryMB"
ROOTFS: Final = "spec/rootfsGB"
HOSTNAME: Final = "spec/hostname"

MOST_CORES = 8192
LEAST_MEMORY_MB = 16
_MOST = 2**31 - 1

_NODE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_VMID = re.compile(r"[1-9][0-9]{2,8}")
_RESERVED = frozenset({"trimtab", "kustomization"})
"""``trimtab/`` is the folder of a component."""


def is_node_name(text: str) -> bool:
    """Whether a node may be called so: a host's name, which a path can hold."""
    return _NODE.fullmatch(text) is not None and ".." not in text and text not in _RESERVED


def path_for(key: ContainerKey) -> str:
    """:raises InputError: when the node or the vmid could not be part of a path."""
    node, vmid = key
    if not is_node_name(node) or not _VMID.fullmatch(str(vmid)):
        raise InputError(
            f"{node}/{vmid} is no container: a node's name (letters, digits, '-', '_' and '.'), and a vmid from 100"
        )
    return f"{FOLDER}/{node}/{vmid}.yaml"


def key_of(path: str) -> ContainerKey | None:
    """The node and vmid whose file a path is; None for any other path."""
    parts = path.split("/")
    if len(parts) != 3 or parts[0] != FOLDER or not parts[2].endswith(".yaml"):
        return None
    node, vmid = parts[1], parts[2].removesuffix(".yaml")
    return (node, int(vmid)) if is_node_name(node) and _VMID.fullmatch(vmid) else None


def parse(text: bytes, *, path: str) -> LXCContainer:
    """Read one file; its node and vmid must be those of its path.

    :raises InputError: with line and field, at the first thing that is not as it should be.
    """
    key = key_of(path)
    if key is None:
        raise InputError("not the path of an LXC container", where=Where(path), hint=f"{FOLDER}/<node>/<vmid>.yaml")
    located = load_config(text, path=path)
    strict_file.kind_of(located, API_VERSION, KIND)
    metadata = strict_file.mapping(located, ("metadata",), ("name", "labels", "annotations"))
    spec = strict_file.mapping(located, ("spec",), ("node", "cores", "memoryMB", "rootfsGB", "hostname"))
    strict_file.same(located, ("metadata", "name"), metadata.get("name"), str(key[1]), "the file's name")
    strict_file.same(located, ("spec", "node"), spec.get("node"), key[0], "the folder's name")
    return LXCContainer(
        node=key[0],
        vmid=key[1],
        cores=_number(located, "cores", spec.get("cores"), most=MOST_CORES, of="cores"),
        memory_mb=_number(located, "memoryMB", spec.get("memoryMB"), least=LEAST_MEMORY_MB, of="MiB"),
        rootfs_gb=_number(located, "rootfsGB", spec.get("rootfsGB"), of="GiB"),
        hostname=strict_file.text(located, ("spec", "hostname"), spec.get("hostname")),
        policy=strict_file.policy_of(located, metadata),
    )


def _number(located: Located, field: str, value: object, *, of: str, least: int = 1, most: int = _MOST) -> int | None:
    if value is None:
        return None
    return strict_file.whole_number(located, ("spec", field), value, least=least, most=most, of=of)


def fields_of(container: LXCContainer) -> dict[str, str]:
    """A container's values by field, as they stand in its file."""
    values = {
        POLICY_FIELD: container.policy,
        NODE: container.node,
        CORES: str(container.cores or ""),
        MEMORY: str(container.memory_mb or ""),
        ROOTFS: str(container.rootfs_gb or ""),
        HOSTNAME: container.hostname,
    }
    return {field: value for field, value in values.items() if value}


def container_from(key: ContainerKey, values: Mapping[str, str]) -> LXCContainer:
    """The inverse of :func:`fields_of`.

    :raises InputError: when a value is none that a container has.
    """
    where = Where(f"{key[0]}/{key[1]}")
    for text in (values.get(HOSTNAME, ""), values.get(POLICY_FIELD, "")):
        if not strict_file.is_plain(text):
            raise InputError(f"{text!r} is no name", where=where)
    try:
        numbers = {field: int(values[field]) for field in (CORES, MEMORY, ROOTFS) if values.get(field)}
        return LXCContainer(
            node=key[0],
            vmid=key[1],
            cores=numbers.get(CORES),
            memory_mb=numbers.get(MEMORY),
            rootfs_gb=numbers.get(ROOTFS),
            hostname=values.get(HOSTNAME, ""),
            policy=values.get(POLICY_FIELD, ""),
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{first['loc'][0]}: {first['msg']}", where=where) from None
    except ValueError as error:
        raise InputError(f"not the values of a container: {error}", where=where) from None


def with_values(text: bytes, values: Mapping[str, str], *, path: str) -> bytes:
    """The file with other values in fields that it has; every other byte stays.

    :raises InputError: when it cannot be read, or a field has no place in it.
    """
    index = load_config(text, path=path).index
    return splice.set_scalars(text, index, {tuple(f.split("/")): value for f, value in values.items()}, path=path)
