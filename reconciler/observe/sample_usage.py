"""The demo's usage: seeded, with the shape of a day and of a week, in the CSV that ``usage import`` reads."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reconciler.model.workload import Container, Workload

HEADER = "timestamp,cluster,namespace,kind,name,container,cpu_cores,memory_bytes"
SHAPE_ANNOTATION = "trimtab.dev/demo-shape"

DEFAULT_CORES = 0.1
DEFAULT_MEMORY_BYTES = 128 * 1024**2
"""What usage is scaled to where a container requests nothing."""

Column = NDArray[np.float64]


class Usage(NamedTuple):
    """Shares of the request, one per instant."""

    cpu: Column
    memory: Column


def write_sample(
    path: Path,
    workloads: Sequence[Workload],
    *,
    cluster: str,
    now: datetime,
    days: int = 14,
    interval: int = 300,
    seed: int = 7,
) -> int:
    """Write usage of every container that keeps running, up to ``now``; returns the number of rows.

    A workload's shape is its annotation ``trimtab.dev/demo-shape`` (``steady``, ``noisy``, ``idle``, ``spiky``); where
    none is annotated, the first by name is noisy and the last idle. ``interval`` is in seconds. The same arguments
    write the same bytes; each container has its own random numbers, so that adding a workload changes no other's.
    """
    last = int(now.timestamp()) // interval * interval
    instants = np.arange(last - days * 86400 + interval, last + 1, interval, dtype=np.int64)
    stamps = [datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for second in instants.tolist()]
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(HEADER + "\n")
        for workload, shape in _shaped(workloads):
            for container in workload.containers:
                if container.role != "init":
                    file.writelines(_rows(workload, container, shape, cluster, instants, stamps, seed))
                    rows += len(stamps)
    return rows


def _shaped(workloads: Sequence[Workload]) -> Iterator[tuple[Workload, str]]:
    ordered = sorted(workloads, key=lambda workload: str(workload.key))
    annotated = any(workload.annotations.get(SHAPE_ANNOTATION) in _SHAPES for workload in ordered)
    for place, workload in enumerate(ordered):
        by_order = "noisy" if place == 0 else "idle" if place == len(ordered) - 1 else "steady"
        shape = workload.annotations.get(SHAPE_ANNOTATION, "")
        yield workload, shape if shape in _SHAPES else "steady" if annotated else by_order


def _rows(
    workload: Workload,
    container: Container,
    shape: str,
    cluster: str,
    instants: NDArray[np.int64],
    stamps: Sequence[str],
    seed: int,
) -> Iterator[str]:
    key = workload.key
    names = f"{cluster},{key.namespace},{key.kind},{key.name},{container.name}"
    random = np.random.Generator(np.random.PCG64([seed, zlib.crc32(names.encode())]))
    usage = _SHAPES[shape](instants, random)
    cores = (container.resources.cpu_request or DEFAULT_CORES * 1000) / 1000
    memory = container.resources.memory_request or DEFAULT_MEMORY_BYTES
    cpu_used = np.maximum(usage.cpu, 0.001) * cores
    memory_used = np.maximum(usage.memory, 0.01) * memory
    for stamp, cpu, size in zip(stamps, cpu_used.tolist(), memory_used.tolist(), strict=True):
        yield f"{stamp},{names},{cpu:.5f},{size:.0f}\n"


def _load(instants: NDArray[np.int64]) -> Column:
    """How busy people are, 0 to 1: most at 15:00 UTC, least at 03:00, and half as busy on weekends."""
    hours = instants / 3600 % 24
    day_of_week = (instants // 86400 + 3) % 7  # 1970-01-01 was a Thursday; 0 is Monday
    weekend = np.where(day_of_week >= 5, 0.5, 1.0)
    busy: Column = (0.5 - 0.5 * np.cos((hours - 3) / 24 * 2 * np.pi)) * weekend
    return busy


def _steady(instants: NDArray[np.int64], random: np.random.Generator) -> Usage:
    size = len(instants)
    cpu = 0.15 + 0.3 * _load(instants) + random.normal(0, 0.02, size)
    memory = 0.45 + 0.1 * _load(instants) + random.normal(0, 0.005, size)
    return Usage(cpu, memory)


def _noisy(instants: NDArray[np.int64], random: np.random.Generator) -> Usage:
    size = len(instants)
    cpu = (0.3 + 0.5 * _load(instants)) * random.lognormal(0, 0.45, size)
    memory = 0.6 + 0.2 * _load(instants) + np.abs(random.normal(0, 0.06, size))
    return Usage(np.minimum(cpu, 1.6), memory)


def _idle(instants: NDArray[np.int64], random: np.random.Generator) -> Usage:
    size = len(instants)
    return Usage(0.01 + random.exponential(0.003, size), 0.12 + random.normal(0, 0.002, size))


def _spiky(instants: NDArray[np.int64], random: np.random.Generator) -> Usage:
    """A job at 02:00 UTC for half an hour, every night."""
    steady = _steady(instants, random)
    night = (instants % 86400 >= 7200) & (instants % 86400 < 9000)
    return Usage(np.where(night, 0.9, 0.3 * steady.cpu), np.where(night, 0.8, 0.8 * steady.memory))


_SHAPES: dict[str, Callable[[NDArray[np.int64], np.random.Generator], Usage]] = {
    "steady": _steady,
    "noisy": _noisy,
    "idle": _idle,
    "spiky": _spiky,
}
