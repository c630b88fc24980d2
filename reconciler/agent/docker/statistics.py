"""What each container of the engine uses, as ``docker stats`` counts it.

CPU is a difference of two readings (formula: docker/cli, ``stats_helpers.go``). The engine can take both itself, a second
apart for every container; here the last reading is kept, so that one quick look a push is enough.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from reconciler.agent.docker.cloning import SHORT_ID
from reconciler.agent.docker.engine import Engine, EngineRefused, NoContainer
from reconciler.agent.docker.members import GROUP, HOST_POOL, RUNNING, name_of
from reconciler.model.observation import GroupContainer

AT_ONCE: Final = 128
"""An engine before Docker 26 answers with the next tick of its own clock, up to a second later: better to wait together."""

FIRST_SECONDS: Final = 1.0
"""Between the two readings of a container that was not seen before."""

_MEBIBYTE: Final = 2**20

Json = dict[str, Any]


@dataclass(frozen=True)
class Reading:
    """Counters at one instant: nanoseconds of CPU that the container and the whole machine have used; periods of its quota."""

    used: int
    machine: int
    cores: int
    periods: int
    throttled: int


class Statistics:
    """Keeps the last reading of each container between calls. For one thread."""

    def __init__(self, engine: Engine, *, pause: Callable[[float], object]) -> None:
        """``pause(seconds)`` waits."""
        self._engine, self._pause = engine, pause
        self._last: dict[str, Reading] = {}

    def containers(self) -> list[Json]:
        """All containers in the words of the push body; one that vanishes in between is left out.

        :raises EngineAway: :raises Stalled: no permission.
        """
        listed = self._engine.containers()
        running = [one["Id"] for one in listed if one["State"] == RUNNING]
        with ThreadPoolExecutor(min(AT_ONCE, len(running) or 1), "statistics") as pool:
            seen = dict(zip(running, pool.map(self._statistics, running), strict=True))
            if new := [one for one in running if not self._comparable(one, seen[one])]:
                self._last |= {one: reading for one in new if (reading := _reading(seen[one])) is not None}
                self._pause(FIRST_SECONDS)
                seen |= dict(zip(new, pool.map(self._statistics, new), strict=True))
            restarts = list(pool.map(self._restarts, [one["Id"] for one in listed]))
        told = [self._told(one, seen.get(one["Id"]), count) for one, count in zip(listed, restarts, strict=True)]
        self._last = {one: reading for one in running if (reading := _reading(seen[one])) is not None}
        return [one for one in told if one is not None]

    def _statistics(self, container: str) -> Json | None:
        with suppress(NoContainer, EngineRefused):
            return self._engine.statistics(container)
        return None

    def _restarts(self, container: str) -> int | None:
        with suppress(NoContainer):
            return int(self._engine.inspect(container).get("RestartCount", 0))
        return None

    def _comparable(self, container: str, statistics: Json | None) -> bool:
        """Whether there is an older reading of the same run: the counters begin anew when a container is started again."""
        last, now = self._last.get(container), _reading(statistics)
        return now is None or (last is not None and last.used <= now.used and last.machine < now.machine)

    def _told(self, listed: Json, statistics: Json | None, restarts: int | None) -> Json | None:
        if restarts is None or (listed["State"] == RUNNING and statistics is None):
            return None
        told = {
            "id": listed["Id"][:SHORT_ID],
            "name": name_of(listed),
            "image": listed["Image"],
            "status": listed["State"],
            "cpuPercent": 0.0,
            "memoryMB": 0.0,
            "restartCount": restarts,
        }
        now = _reading(statistics)
        if statistics is not None and now is not None:
            told |= _usage(statistics, self._last.get(listed["Id"]), now)
        return _labelled(told, listed.get("Labels") or {}) | _health(listed)


def cpu_percent(last: Reading | None, now: Reading) -> float:
    """Of one core, so that two busy cores are 200."""
    if last is None or now.machine <= last.machine or now.used < last.used:
        return 0.0
    return (now.used - last.used) / (now.machine - last.machine) * now.cores * 100


def memory_bytes(statistics: Json) -> int:
    """What is used without the page cache that is not in use: cgroup v1 says ``total_inactive_file``, v2 ``inactive_file``."""
    memory = statistics.get("memory_stats") or {}
    usage, details = int(memory.get("usage", 0)), memory.get("stats") or {}
    cache = int(details.get("total_inactive_file", details.get("inactive_file", 0)))
    return usage - cache if cache < usage else usage


def throttled_percent(last: Reading | None, now: Reading) -> float | None:
    """The share of its quota's periods in which it was held back; None without a quota, or when no period went by."""
    if last is None or now.periods <= last.periods or now.throttled < last.throttled:
        return None
    return (now.throttled - last.throttled) / (now.periods - last.periods) * 100


def _reading(statistics: Json | None) -> Reading | None:
    """None when it has ended: there is nothing to count then."""
    cpu = (statistics or {}).get("cpu_stats") or {}
    usage = cpu.get("cpu_usage") or {}
    if not cpu.get("system_cpu_usage"):
        return None
    quota = cpu.get("throttling_data") or {}
    return Reading(
        used=int(usage.get("total_usage", 0)),
        machine=int(cpu["system_cpu_usage"]),
        cores=int(cpu.get("online_cpus") or len(usage.get("percpu_usage") or ()) or 1),
        periods=int(quota.get("periods", 0)),
        throttled=int(quota.get("throttled_periods", 0)),
    )


def _usage(statistics: Json, last: Reading | None, now: Reading) -> Json:
    limit = int((statistics.get("memory_stats") or {}).get("limit", 0))
    networks = (statistics.get("networks") or {}).values()
    told: Json = {
        "cpuPercent": round(cpu_percent(last, now), 3),
        "memoryMB": round(memory_bytes(statistics) / _MEBIBYTE, 3),
        "networkRxBytes": sum(int(one.get("rx_bytes", 0)) for one in networks),
        "networkTxBytes": sum(int(one.get("tx_bytes", 0)) for one in networks),
    }
    if limit:
        told["memoryLimitMB"] = round(limit / _MEBIBYTE, 3)
    throttled = throttled_percent(last, now)
    return told if throttled is None else {**told, "throttledPercent": round(throttled, 1)}


def _labelled(told: Json, labels: dict[str, str]) -> Json:
    """With group and host pool where it is labelled so; a label that the server would not take costs the group, not the push."""
    if GROUP not in labels:
        return told
    full = {**told, "group": labels[GROUP], **({"hostPool": labels[HOST_POOL]} if labels.get(HOST_POOL) else {})}
    try:
        GroupContainer.model_validate(full)
    except ValidationError:
        return told
    return full


def _health(listed: Json) -> Json:
    """What its own check says, as the engine's status text has it: ``Up 2 minutes (unhealthy)``."""
    status = str(listed.get("Status", ""))
    words = {"(healthy)": "healthy", "(unhealthy)": "unhealthy", "(health: starting)": "starting"}
    return next(({"health": word} for mark, word in words.items() if mark in status), {})
