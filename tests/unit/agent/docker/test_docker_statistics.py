"""What a container uses, by the engine's own figures."""

from typing import Any

import pytest

from reconciler.agent.docker.engine import NoContainer
from reconciler.agent.docker.statistics import Statistics, memory_bytes

SECOND = 10**9


def counted(used: float, machine: float, *, cores: int = 4, **quota: int) -> dict[str, Any]:
    """Seconds of CPU."""
    return {
        "cpu_stats": {
            "cpu_usage": {"total_usage": int(used * SECOND)},
            "system_cpu_usage": int(machine * SECOND),
            "online_cpus": cores,
            "throttling_data": quota,
        },
        "memory_stats": {"usage": 300 * 2**20, "limit": 512 * 2**20, "stats": {"inactive_file": 100 * 2**20}},
        "networks": {"eth0": {"rx_bytes": 10, "tx_bytes": 3}, "eth1": {"rx_bytes": 5, "tx_bytes": 4}},
    }


class FakeEngine:
    """``readings``: what each look at a container gives, the last one again and again; None = it is gone."""

    def __init__(self, **readings: list[dict[str, Any] | None]) -> None:
        self.readings = readings
        self.labels: dict[str, str] = {}
        self.state = "running"

    def containers(self) -> list[dict[str, Any]]:
        return [
            {
                "Id": f"{name}-0123456789abcdef",
                "Names": [f"/{name}"],
                "Image": "shop/web:1",
                "State": self.state,
                "Status": "Up 5 minutes (unhealthy)",
                "Labels": self.labels,
            }
            for name in self.readings
        ]

    def statistics(self, container: str) -> dict[str, Any]:
        readings = self.readings[container.partition("-")[0]]
        found = readings.pop(0) if len(readings) > 1 else readings[0]
        if found is None:
            raise NoContainer("No such container")
        return found

    def inspect(self, container: str) -> dict[str, Any]:
        return {"Id": container, "RestartCount": 2}


def statistics(engine: FakeEngine) -> tuple[Statistics, list[float]]:
    waits: list[float] = []
    return Statistics(engine, pause=waits.append), waits  # type: ignore[arg-type]


def test_two_busy_cores_of_four_are_200_percent() -> None:
    taken, waits = statistics(FakeEngine(web=[counted(10, 100), counted(12, 104), counted(42, 164)]))
    (first,) = taken.containers()
    assert (first["cpuPercent"], waits) == (200.0, [1.0]), "a container that is new is looked at twice"
    (second,) = taken.containers()
    assert (second["cpuPercent"], waits) == (200.0, [1.0]), "and after that once a push"
    assert second == {
        "id": "web-01234567",
        "name": "web",
        "image": "shop/web:1",
        "status": "running",
        "cpuPercent": 200.0,
        "memoryMB": 200.0,
        "memoryLimitMB": 512.0,
        "networkRxBytes": 15,
        "networkTxBytes": 7,
        "restartCount": 2,
        "health": "unhealthy",
    }


def test_a_container_that_was_started_again_is_counted_anew() -> None:
    taken, waits = statistics(FakeEngine(web=[counted(10, 100), counted(10, 104), counted(1, 164), counted(3, 172)]))
    taken.containers()
    assert [one["cpuPercent"] for one in taken.containers()] == [100.0]
    assert waits == [1.0, 1.0]


def test_what_vanishes_in_between_is_left_out() -> None:
    taken, _ = statistics(FakeEngine(web=[counted(1, 1), counted(2, 2)], gone=[None], going=[counted(1, 1), None]))
    assert [one["name"] for one in taken.containers()] == ["web"]


def test_a_stopped_one_is_told_with_its_state() -> None:
    engine = FakeEngine(web=[None])
    engine.state = "exited"
    taken, waits = statistics(engine)
    (one,) = taken.containers()
    assert (one["status"], one["cpuPercent"], one["restartCount"], waits) == ("exited", 0.0, 2, [])


def test_throttling_is_told_where_there_is_a_quota() -> None:
    first, then = counted(1, 4, periods=10, throttled_periods=1), counted(2, 8, periods=20, throttled_periods=6)
    taken, _ = statistics(FakeEngine(web=[first, then]))
    assert taken.containers()[0]["throttledPercent"] == 50.0


@pytest.mark.parametrize(("group", "told"), [("web", "web"), ("a/b", None), ("x" * 300, None)])
def test_a_label_that_the_server_would_refuse_costs_the_group_and_not_the_push(group: str, told: str | None) -> None:
    engine = FakeEngine(web=[counted(1, 1), counted(2, 2)])
    engine.labels = {"trimtab.group": group, "trimtab.host-pool": "web-pool"}
    taken, _ = statistics(engine)
    (one,) = taken.containers()
    assert (one.get("group"), one.get("hostPool")) == (told, "web-pool" if told else None)


@pytest.mark.parametrize(
    ("memory", "used"),
    [
        ({"usage": 100, "stats": {"total_inactive_file": 30, "inactive_file": 10}}, 70),
        ({"usage": 100, "stats": {"inactive_file": 10}}, 90),
        ({"usage": 100, "stats": {"inactive_file": 200}}, 100),
        ({"usage": 100}, 100),
        ({}, 0),
    ],
)
def test_the_page_cache_is_not_memory_in_use(memory: dict[str, Any], used: int) -> None:
    assert memory_bytes({"memory_stats": memory}) == used
