"""Quantities of the API server as the figures that are pushed: millicores and mebibytes.

A thousand pods have ten thousand quantities in each round, most of them never seen before (``1834729n``): the spellings that
the kubelet and metrics-server use are read by hand, all others by :mod:`reconciler.model.quantity`.
"""

from collections.abc import Mapping
from typing import Any

from reconciler.model.quantity import MIB, parse_quantity

_PER_MILLICORE = {"n": 1e6, "u": 1e3, "m": 1.0}
_MEBIBYTES = {"Ki": 1 / 1024, "Mi": 1.0, "Gi": 1024.0}


def millicores(text: str | int | float) -> float:
    """CPU in millicores, to three decimals. :raises ValueError: when ``text`` is no quantity."""
    if isinstance(text, str):
        number, unit = text[:-1], text[-1:]
        if unit in _PER_MILLICORE and number.isdecimal():
            return round(int(number) / _PER_MILLICORE[unit], 3)
        if text.isdecimal():
            return int(text) * 1000.0
    return round(float(parse_quantity(text)) * 1000, 3)


def mebibytes(text: str | int | float) -> float:
    """Memory in MiB, to three decimals. :raises ValueError: when ``text`` is no quantity."""
    if isinstance(text, str):
        number, unit = text[:-2], text[-2:]
        if unit in _MEBIBYTES and number.isdecimal():
            return round(int(number) * _MEBIBYTES[unit], 3)
    return round(float(parse_quantity(text)) / MIB, 3)


def sized(resources: Mapping[str, Any] | None, bound: str) -> tuple[float | None, float | None]:
    """(millicores, MiB) of ``requests`` or ``limits`` of a container's resources; None where it says nothing."""
    given = (resources or {}).get(bound) or {}
    cpu, memory = given.get("cpu"), given.get("memory")
    return (
        millicores(cpu) if cpu is not None else None,
        mebibytes(memory) if memory is not None else None,
    )


def plus(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return one[0] + other[0], one[1] + other[1]


def largest(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return max(one[0], other[0]), max(one[1], other[1])
