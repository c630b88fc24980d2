"""The bodies of the LXC API, spelled as its document spells them."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from api.instants import Instant

MOST_VMID = 999_999
_SNAPSHOT = re.compile(r"[A-Za-z0-9_-]+")
_PROXMOX_SNAPSHOT = re.compile(r"[A-Za-z][A-Za-z0-9_-]+")
_LONGEST_SNAPSHOT = 40
_RESERVED_SNAPSHOTS = frozenset({"current", "vzdump", "pending"})
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_NAME = 63
_NODE = re.compile(r"[A-Za-z0-9_-]{1,50}")


def _between(low: int, high: int) -> AfterValidator:
    def check(value: int) -> int:
        if not low <= value <= high:
            raise ValueError(f"must be between {low} and {high}")
        return value

    return AfterValidator(check)


def _positive(value: int) -> int:
    if value < 1:
        raise ValueError("must be a positive integer")
    if value > _MOST_DISK_GB:
        raise ValueError(f"must be at most {_MOST_DISK_GB}")
    return value


def _digits(value: object) -> object:
    """A number of a query, as digits and nothing else."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("must be a valid integer")
    return value


def _snapshot_name(value: str) -> str:
    """What the document allows, less what Proxmox VE refuses (its pve-configid, and 40 characters at most)."""
    if not _SNAPSHOT.fullmatch(value):
        raise ValueError("must be letters, digits, '_' and '-'")
    if len(value) > _LONGEST_SNAPSHOT:
        raise ValueError(f"must be at most {_LONGEST_SNAPSHOT} characters long: Proxmox VE takes no longer ones")
    if not _PROXMOX_SNAPSHOT.fullmatch(value):
        raise ValueError("must begin with a letter and have two characters or more: Proxmox VE takes no other")
    if value.lower() in _RESERVED_SNAPSHOTS:
        raise ValueError("must not be current, pending or vzdump: Proxmox VE keeps these names for itself")
    return value


def _vm_name(value: str) -> str:
    """What the document allows, less what can be made no host name of."""
    if not _NAME.fullmatch(value):
        raise ValueError("must be letters, digits, '_' and '-'")
    if len(value) > _LONGEST_NAME:
        raise ValueError(f"must be at most {_LONGEST_NAME} characters long: it becomes a host name")
    if not hostname_of(value):
        raise ValueError("must have a letter or a digit: it becomes a host name")
    return value


def hostname_of(name: str) -> str:
    """The host name of a container of that name: a host's has no ``_``, and ends and begins with a letter or digit."""
    return name.replace("_", "-").strip("-")


def _node_name(value: str) -> str:
    if not _NODE.fullmatch(value):
        raise ValueError("must be 1 to 50 letters, digits, '-' and '_'")
    return value


_MOST_DISK_GB = 1_000_000

Vmid = Annotated[
    int,
    _between(100, MOST_VMID),
    Field(strict=True, description="Proxmox VE's id of the container.", json_schema_extra={"minimum": 100, "maximum": MOST_VMID}),
]  # fmt: skip
AskedVmid = Annotated[
    int,
    BeforeValidator(_digits),
    _between(100, MOST_VMID),
    Field(description="Proxmox VE's id of the container.", json_schema_extra={"minimum": 100, "maximum": MOST_VMID}),
]
SnapshotName = Annotated[
    str,
    AfterValidator(_snapshot_name),
    Field(
        description="Letters, digits, `_` and `-`, a letter first; at most 40 characters, as Proxmox VE takes no longer ones.",
        json_schema_extra={"minLength": 2, "maxLength": _LONGEST_SNAPSHOT, "pattern": "^[A-Za-z][A-Za-z0-9_-]+$"},
    ),
]
NodeName = Annotated[
    str,
    AfterValidator(_node_name),
    Field(
        description="Letters, digits, `-` and `_`; at most 50 characters.",
        json_schema_extra={"minLength": 1, "maxLength": 50, "pattern": "^[A-Za-z0-9_-]+$"},
    ),
]


def _like(**example: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


class SetCores(BaseModel):
    """How many CPU cores a container is to have."""

    model_config = _like(vm_id=104, cores=4)

    vm_id: Vmid
    cores: Annotated[int, _between(1, 128), Field(strict=True, json_schema_extra={"minimum": 1, "maximum": 128})]


class SetRam(BaseModel):
    """How much memory a container is to have."""

    model_config = _like(vm_id=104, memory=4096)

    vm_id: Vmid
    memory: Annotated[
        int,
        _between(64, 1_048_576),
        Field(strict=True, description="MB.", json_schema_extra={"minimum": 64, "maximum": 1_048_576}),
    ]


class IncreaseStorage(BaseModel):
    """By how much a container's root disk is to grow. It cannot be made smaller."""

    model_config = _like(vm_id=104, disk_size=5)

    vm_id: Vmid
    disk_size: Annotated[
        int,
        AfterValidator(_positive),
        Field(strict=True, description="GB more.", json_schema_extra={"minimum": 1, "maximum": _MOST_DISK_GB}),
    ]


class OfSnapshot(BaseModel):
    """A container's snapshot, by its name."""

    model_config = _like(vm_id=104, snapshot_name="backup_20241224")

    vm_id: Vmid
    snapshot_name: SnapshotName


class MakeClone(BaseModel):
    """Of what container to make which."""

    model_config = _like(vm_id=104, new_vm_id=105, new_vm_name="test_clone")

    vm_id: Vmid
    new_vm_id: Vmid
    new_vm_name: Annotated[
        str,
        AfterValidator(_vm_name),
        Field(
            description="Letters, digits, `_` and `-`. It becomes the host name, in which `_` is written `-`.",
            json_schema_extra={"minLength": 1, "maxLength": _LONGEST_NAME, "pattern": "^[A-Za-z0-9_-]*[A-Za-z0-9][A-Za-z0-9_-]*$"},
        ),
    ]  # fmt: skip


class DeleteContainer(BaseModel):
    """The container to delete for good."""

    model_config = _like(vm_id=105)

    vm_id: Vmid


class Done(BaseModel):
    """It is done."""

    model_config = _like(status="success", message="CPU cores set to 4 for VM 104")

    status: Literal["success"] = "success"
    message: str


class SnapshotView(BaseModel):
    """One snapshot. ``timestamp`` is absent where Proxmox VE does not know when it was made."""

    name: str
    timestamp: Instant | None = None
    description: str


class Snapshots(BaseModel):
    """A container's snapshots, the oldest first."""

    model_config = _like(
        status="success",
        data=[{"name": "backup_20241224", "timestamp": "2024-12-24T06:00:00Z", "description": ""}],
    )

    status: Literal["success"] = "success"
    data: list[SnapshotView]


class VmStatusData(BaseModel):
    """What a container has: ``cpu`` cores, ``memory`` MB, ``disk`` GB of its root disk. ``uptime`` in seconds."""

    vm_id: str
    status: Literal["running", "stopped", "unknown"]
    cpu: int
    memory: int
    disk: int | float
    uptime: int


class VmStatus(BaseModel):
    """A container as it is."""

    model_config = _like(
        status="success",
        data={"vm_id": "104", "status": "running", "cpu": 4, "memory": 8192, "disk": 20, "uptime": 86400},
    )

    status: Literal["success"] = "success"
    data: VmStatusData


class VmConfigData(BaseModel):
    """What a container may use at most."""

    vm_id: str
    cores: int
    memory_mb: int


class VmConfig(BaseModel):
    """A container's limits."""

    model_config = _like(
        status="success",
        data={"vm_id": "104", "cores": 4, "memory_mb": 8192},
        message="Successfully retrieved configuration for VM 104",
    )

    status: Literal["success"] = "success"
    data: VmConfigData
    message: str


class NodeStatusData(BaseModel):
    """How much of a node is used: percent, MB, seconds."""

    node: str
    cpu_usage: float
    memory_usage: float
    memory_total: int
    memory_used: int
    uptime: int


class NodeStatus(BaseModel):
    """A node as it is."""

    model_config = _like(
        status="success",
        data={
            "node": "proxmox",
            "cpu_usage": 45.2,
            "memory_usage": 78.5,
            "memory_total": 65536,
            "memory_used": 51200,
            "uptime": 864000,
        },
    )

    status: Literal["success"] = "success"
    data: NodeStatusData


class Health(BaseModel):
    """The API answers."""

    model_config = _like(status="healthy", timestamp="2024-12-24T12:00:00Z")

    status: Literal["healthy"] = "healthy"
    timestamp: Instant


class RouteView(BaseModel):
    """One path and its methods."""

    endpoint: str
    methods: list[str]


class Routes(BaseModel):
    """All there are."""

    model_config = _like(status="success", routes=[{"endpoint": "/health/check", "methods": ["GET"]}])

    status: Literal["success"] = "success"
    routes: list[RouteView]


def moment(at: datetime | None) -> dict[str, Any]:
    """The field ``timestamp``, where there is one."""
    return {"timestamp": at} if at is not None else {}
