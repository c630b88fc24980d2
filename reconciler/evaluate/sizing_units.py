"""One resource's unit and spelling: CPU in steps of 1m, memory in steps of 1 MiB."""

import math
from functools import lru_cache

from reconciler.model.quantity import MIB, canonical, format_cpu, format_memory
from reconciler.model.workload import Resource

STEP: dict[Resource, int] = {"cpu": 1, "memory": MIB}
"""What a value is rounded to: millicores, bytes (FACTS §Right-sizing: KRR rounds up to 1m and 1 MiB)."""

LABEL: dict[Resource, str] = {"cpu": "CPU", "memory": "memory"}


@lru_cache(maxsize=16_384)
def spell(resource: Resource, value: int | None) -> str:
    """The canonical quantity (``250m``, ``512Mi``); ``none`` where there is no value."""
    if value is None:
        return "none"
    if resource == "cpu":
        return format_cpu(value)
    # A person's 1G is no whole number of Ki: it is spelled in the decimal family, as the API server would.
    return format_memory(value) if value % 1024 == 0 else canonical(str(value))


def spell_use(resource: Resource, value: float) -> str:
    """A measured figure for a person: ``0.182 cores``, ``212.4 MiB``."""
    if resource == "memory":
        return f"{value / MIB:.1f} MiB"
    return f"{value:.3g} cores" if value >= 0.001 or value == 0 else f"{value * 1000:.2g} millicores"


def steps_up(quotient: float) -> int:
    """``quotient`` rounded up to a whole number, but not for the noise of binary fractions.

    0.1 cores ÷ 0.5 is 200.00000000000003m on some inputs and would become 201m. Nine significant digits are more
    than any meter gives (a sketch is within 1 %), so what differs after the ninth is noise.
    """
    return math.ceil(float(f"{quotient:.9g}"))


def up(resource: Resource, value: int) -> int:
    """Raised to the next whole step."""
    step = STEP[resource]
    return -(-value // step) * step


def down(resource: Resource, value: int) -> int:
    """Lowered to a whole step, but not to nothing."""
    step = STEP[resource]
    return value // step * step or value


@lru_cache(maxsize=1_024)
def days_text(days: float) -> str:
    """``14 d`` or, under two days, ``36 h``."""
    return f"{days:.0f} d" if days >= 2 else f"{days * 24:.0f} h"
