"""How many containers a group should run by what its running ones use: the HPA's algorithm (DESIGN §6, FACTS §HPA).

Arithmetic is exact (fractions), so that a ratio of 1.1 is within a tolerance of 0.1 and not a hair above it.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from reconciler.evaluate.scaling_forecast import TOLERANCE
from reconciler.model.observation import GroupContainer
from reconciler.model.policy import ScalingPolicySpec


class Reading(NamedTuple):
    """One metric over the running containers, in percent; ``replicas``: how many would bring it to its threshold."""

    metric: str
    percent: Fraction
    threshold: Fraction
    replicas: int


def readings(spec: ScalingPolicySpec, running: Sequence[GroupContainer]) -> tuple[list[Reading], bool]:
    """The metrics that have a target and could be computed, and whether one could not.

    CPU is the mean of what containers use. Memory is the mean of the shares of their limits, over those that have a limit.
    """
    used = {
        "cpu_percent": [Fraction(c.cpu_percent) for c in running],
        "memory_percent": [
            100 * Fraction(c.memory_mb) / Fraction(c.memory_limit_mb) for c in running if c.memory_limit_mb
        ],
    }
    targets = {"cpu_percent": spec.cpu_target_percent, "memory_percent": spec.memory_target_percent}
    asked = {metric: Fraction(str(percent)) for metric, percent in targets.items() if percent is not None}
    found = [
        _reading(metric, threshold, used[metric], len(running)) for metric, threshold in asked.items() if used[metric]
    ]
    return found, len(found) < len(asked)


def _reading(metric: str, threshold: Fraction, shares: Sequence[Fraction], running: int) -> Reading:
    percent = sum(shares, Fraction(0)) / len(shares)
    ratio = percent / threshold
    replicas = running if abs(1 - ratio) <= TOLERANCE else math.ceil(ratio * running)
    return Reading(metric, percent, threshold, replicas)


def wanted(found: Sequence[Reading], running: int, *, failed: bool) -> int:
    """The largest that any metric asks for; one that failed forbids going down, and without any all stays as it is."""
    asked = max((reading.replicas for reading in found), default=running)
    return max(asked, running) if failed else asked
