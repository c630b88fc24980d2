"""The demo's usage: the same for the same seed, and with the shapes that the demo talks about."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from reconciler.model.workload import Container, ObjectRef, Resources, Source, Workload, WorkloadKey
from reconciler.observe.sample_usage import write_sample
from reconciler.observe.usage_import import read_usage

NOW = datetime(2026, 6, 16, 10, 3, tzinfo=UTC)
ROWS = 14 * 288


def workload(name: str, *, shape: str = "", cpu: int | None = 200, memory: int | None = 256 << 20) -> Workload:
    return Workload(
        key=WorkloadKey(cluster="prod", namespace="shop", kind="Deployment", name=name),
        ref=ObjectRef(api_version="apps/v1", kind="Deployment", name=name),
        root="clusters/prod",
        source=Source(path=f"clusters/prod/{name}.yaml"),
        annotations={"trimtab.dev/demo-shape": shape} if shape else {},
        containers=(
            Container(name="server", resources=Resources(cpu_request=cpu, memory_request=memory)),
            Container(name="migrate", role="init"),
        ),
    )


def usage_of(path: Path) -> dict[tuple[str, str], np.ndarray]:
    """Values by workload and resource."""
    series: dict[tuple[str, str], np.ndarray] = {}
    for batch in read_usage(path):
        for number, key in enumerate(batch.samples.series):
            series[key.workload.name, key.resource] = batch.samples.values[batch.samples.index == number]
    return series


def test_it_is_fourteen_days_that_the_import_takes(tmp_path: Path) -> None:
    path = tmp_path / "usage.csv"
    rows = write_sample(path, [workload(f"app-{i}") for i in range(10)], cluster="prod", now=NOW)
    (batch,) = read_usage(path)
    assert rows == batch.rows == 10 * ROWS
    assert batch.samples.seconds.max() == int(NOW.replace(minute=0).timestamp())
    assert batch.samples.seconds.max() - batch.samples.seconds.min() == (ROWS - 1) * 300
    assert {key.container for key in batch.samples.series} == {"server"}


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    texts = []
    for number, seed in enumerate((7, 7, 8)):
        path = tmp_path / f"{number}.csv"
        write_sample(path, [workload("a"), workload("b")], cluster="prod", now=NOW, days=2, seed=seed)
        texts.append(path.read_bytes())
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_usage_is_scaled_to_the_requests(tmp_path: Path) -> None:
    path = tmp_path / "usage.csv"
    shaped = [workload("big", shape="steady", cpu=2000), workload("none", shape="steady", cpu=None, memory=None)]
    write_sample(path, shaped, cluster="prod", now=NOW)
    usage = usage_of(path)
    assert 0.1 * 2 < np.median(usage["big", "cpu"]) < 0.6 * 2
    assert 0.1 * 0.1 < np.median(usage["none", "cpu"]) < 0.6 * 0.1
    assert 0.3 * (128 << 20) < np.median(usage["none", "memory"]) < 0.8 * (128 << 20)


@pytest.mark.parametrize("annotated", [False, True])
def test_one_workload_is_noisy_and_one_is_idle(tmp_path: Path, annotated: bool) -> None:
    path = tmp_path / "usage.csv"
    shapes = ["idle", "steady", "noisy"] if annotated else ["", "", ""]
    workloads = [workload(name, shape=shape) for name, shape in zip("abc", shapes, strict=True)]
    write_sample(path, workloads, cluster="prod", now=NOW)
    usage = usage_of(path)
    idle, noisy = ("a", "c") if annotated else ("c", "a")
    assert usage[idle, "cpu"].max() < 0.1 * 0.2
    spread = {name: np.std(usage[name, "cpu"]) / np.mean(usage[name, "cpu"]) for name in "abc"}
    assert spread[noisy] > 1.3 * spread["b"]


def test_days_and_weeks_have_a_shape(tmp_path: Path) -> None:
    path = tmp_path / "usage.csv"
    write_sample(path, [workload("a", shape="steady")], cluster="prod", now=datetime(2026, 6, 15, tzinfo=UTC))
    cpu = usage_of(path)["a", "cpu"].reshape(-1, 288).mean(axis=0)
    assert cpu[180] > 1.5 * cpu[36], "15:00 is busier than 03:00"
    days = usage_of(path)["a", "cpu"].reshape(-1, 288).mean(axis=1)
    assert np.sort(days)[:4].max() < np.sort(days)[4:].min(), "two weekends are quieter than every working day"


def test_a_spiky_workload_peaks_at_night(tmp_path: Path) -> None:
    path = tmp_path / "usage.csv"
    write_sample(path, [workload("a", shape="spiky")], cluster="prod", now=datetime(2026, 6, 15, tzinfo=UTC))
    days = usage_of(path)["a", "cpu"][: 288 * 13].reshape(-1, 288)
    assert set(days.argmax(axis=1)) <= set(range(22, 31))
