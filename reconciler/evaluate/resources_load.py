"""What an LXC container should have by what it uses: the HPA's ratio and tolerance, on cores and on memory (DESIGN §6).

Proxmox VE tells of 100 % CPU where there is none: for a container that has just started, or for one interval. So two readings
at least ten seconds apart must agree, and none of a container's first minute counts. Used memory is without the page cache.
"""

import math
from collections.abc import Sequence
from datetime import timedelta
from fractions import Fraction
from typing import NamedTuple

from reconciler.evaluate.scaling_forecast import TOLERANCE
from reconciler.model.lxc_container import LXCState
from reconciler.model.policy import ScalingPolicySpec

MEMORY_STEP_MB = 512
"""MiB for each ``stepSize``."""
MEMORY_GRAIN_MB = 64
"""Memory is rounded up to whole multiples of so many MiB."""
HEADROOM = Fraction(11, 10)
"""Memory never goes below so many times of what is used."""

APART = timedelta(seconds=10)
"""Proxmox VE measures once in ten seconds: what is closer together is one measurement."""
TOGETHER = timedelta(seconds=120)
"""Readings further apart than this say nothing about each other."""
STARTING_SECONDS = 60


class Measured(NamedTuple):
    """One metric of the newest reading, in percent."""

    metric: str
    percent: Fraction
    threshold: Fraction


def exact(used: float) -> Fraction:
    """A measured figure without the noise of its arithmetic: 55 % of 4 cores is 2.2, and not a hair above it."""
    return Fraction(str(round(used, 6)))


def cores_of(reading: LXCState, cpus: int) -> int:
    """How many cores a container may use; one that has no limit has all of its node's."""
    return reading.cores or max(cpus, 1)


def confirmed(readings: Sequence[LXCState]) -> tuple[LXCState, ...]:
    """The newest reading and those back to one that confirms it, oldest first; none while nothing does.

    ``readings``: oldest first.
    """
    if not readings:
        return ()
    newest = readings[-1]
    found: list[LXCState] = []
    for reading in reversed(readings):
        if reading.status != "running" or reading.uptime_seconds < STARTING_SECONDS:
            return ()
        if newest.at - reading.at > TOGETHER:
            return ()
        found.append(reading)
        if newest.at - reading.at >= APART:
            return tuple(reversed(found))
    return ()


def measured(spec: ScalingPolicySpec, reading: LXCState, cpus: int) -> list[Measured]:
    """The metrics that have a target."""
    found = []
    if spec.cpu_target_percent is not None:
        share = 100 * exact(reading.cpu_cores) / cores_of(reading, cpus)
        found.append(Measured("cpu_percent", share, Fraction(str(spec.cpu_target_percent))))
    if spec.memory_target_percent is not None and reading.memory_mb:
        share = 100 * exact(reading.used_memory_mb) / reading.memory_mb
        found.append(Measured("memory_percent", share, Fraction(str(spec.memory_target_percent))))
    return found


def wanted_cores(target_percent: float, window: Sequence[LXCState], cpus: int, base: int) -> int:
    """The cores that bring ``window`` to its target; ``base`` (what the file says) unless all of its readings agree."""
    has = [cores_of(reading, cpus) for reading in window]
    used = [exact(reading.cpu_cores) for reading in window]
    return _agreed([_cores(u, h, _share(target_percent)) for u, h in zip(used, has, strict=True)], has[-1], base)


def _cores(used: Fraction, has: int, share: Fraction) -> int:
    return has if abs(1 - used / has / share) <= TOLERANCE else max(1, math.ceil(used / share))


def wanted_memory(target_percent: float, window: Sequence[LXCState], base: int) -> int:
    """The same for memory, MiB, rounded up."""
    share = _share(target_percent)
    found = [_memory(exact(r.used_memory_mb), r.memory_mb, share) for r in window if r.memory_mb]
    return _agreed(found, window[-1].memory_mb, base) if found else base


def _memory(used: Fraction, has: int, share: Fraction) -> int:
    return has if abs(1 - used / has / share) <= TOLERANCE else rounded_up(used / share)


def rounded_up(memory_mb: Fraction) -> int:
    """To a whole multiple of 64 MiB, at least one."""
    return max(1, math.ceil(memory_mb / MEMORY_GRAIN_MB)) * MEMORY_GRAIN_MB


def memory_floor(window: Sequence[LXCState]) -> int:
    """Below this, a container would be short of memory at once."""
    return rounded_up(max(exact(reading.used_memory_mb) for reading in window) * HEADROOM)


def _share(percent: float) -> Fraction:
    return Fraction(str(percent)) / 100


def _agreed(wanted: Sequence[int], has: int, base: int) -> int:
    """The least that all readings ask for beyond ``base``, or the most that all leave below it.

    While the container does not have what its file says yet, only what goes beyond both is a reason to change the file.
    """
    low, high = min(wanted), max(wanted)
    if low > max(has, base):
        return low
    return high if high < min(has, base) else base
