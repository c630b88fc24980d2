"""The recorded usage of shared/real, laid on the containers of Online Boutique as its replay.yaml says."""

import csv
import functools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

REAL = Path(__file__).resolve().parents[2] / "../shared/real"
NOW = datetime(2026, 6, 17, 10, 0, tzinfo=UTC)
STEP = timedelta(seconds=300)
SAMPLES = 14 * 24 * 12

REPLAY = yaml.safe_load((REAL / "replay.yaml").read_text())
CLUSTER: str = REPLAY["cluster"]


@functools.cache
def _column(file: str, column: str) -> NDArray[np.float64]:
    with (REAL / file).open() as handle:
        return np.array([float(row[column]) for row in csv.DictReader(handle)])


def series(workload: str, resource: str) -> NDArray[np.float64]:
    """The last 14 days of a workload's container, oldest first, in cores or bytes; short series wrap."""
    source = REPLAY["workloads"][workload][resource]
    values = _column(source["file"], source["column"])
    back = np.arange(SAMPLES - 1, -1, -1)
    return values[(len(values) - 1 - back) % len(values)] * source["scale"]


def write_csv(
    path: Path, *, namespace: str = "default", prefix: str = "", cluster: str = CLUSTER, now: datetime = NOW
) -> Path:
    """The whole replay as a usage CSV; names get ``prefix``, as a namePrefix would give them."""
    stamps = [(now - STEP * k).strftime("%Y-%m-%dT%H:%M:%SZ") for k in range(SAMPLES - 1, -1, -1)]
    with path.open("w", newline="") as handle:
        out = csv.writer(handle)
        out.writerow(["timestamp", "cluster", "namespace", "kind", "name", "container", "cpu_cores", "memory_bytes"])
        for name, entry in REPLAY["workloads"].items():
            cpu, memory = series(name, "cpu"), series(name, "memory")
            for stamp, cores, size in zip(stamps, cpu, memory, strict=True):
                out.writerow(
                    [
                        stamp,
                        cluster,
                        namespace,
                        "Deployment",
                        prefix + name,
                        entry["container"],
                        repr(float(cores)),
                        repr(float(size)),
                    ]
                )
    return path


def quantile(values: NDArray[np.float64], q: float) -> float:
    """The reference: numpy's inverted_cdf over the raw series."""
    return float(np.quantile(values, q, method="inverted_cdf"))
