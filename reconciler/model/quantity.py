"""Kubernetes quantities: read any, write the canonical one.

Grammar and canonical form: ``k8s.io/apimachinery/pkg/api/resource/quantity.go``. What is not canonical leaves
Argo CD OutOfSync for ever (argo-cd #1615), so everything that Trimtab writes goes through the ``format_*`` functions.
"""

import math
import re
from decimal import Decimal

MIB = 1024**2
GIB = 1024**3

_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_QUANTITY = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d{1,3})|([KMGTPE]i)|([numkMGTPE]))?$")


def parse_quantity(text: str | int | float) -> Decimal:
    """The exact number that a quantity stands for (``"500m"`` → ``0.5``, ``"1Ki"`` → ``1024``).

    :raises ValueError: when ``text`` is no quantity.
    """
    if isinstance(text, bool):
        raise ValueError(f"{text!r} is not a quantity")
    match = _QUANTITY.match(str(text).strip())
    if not match:
        raise ValueError(f"{str(text)!r} is not a quantity such as 250m, 2 or 512Mi")
    number, exponent, binary, suffix = match.groups()
    value = Decimal(number)
    if exponent:
        return value.scaleb(int(exponent[1:]))
    if binary:
        return value * Decimal(1024 ** _BINARY[binary])
    return value.scaleb(_DECIMAL[suffix or ""])


def parse_cpu(text: str | int | float) -> int:
    """Millicores, rounded up."""
    return math.ceil(parse_quantity(text) * 1000)


def parse_memory(text: str | int | float) -> int:
    """Bytes, rounded up."""
    return math.ceil(parse_quantity(text))


def format_cpu(millicores: int) -> str:
    """Canonical CPU: ``1500`` → ``1500m``, ``2000`` → ``2``."""
    return str(millicores // 1000) if millicores % 1000 == 0 else f"{millicores}m"


def format_memory(size: int) -> str:
    """Canonical binary bytes: the largest unit of Ki…Ei that divides without a rest."""
    if size == 0:
        return "0"
    unit = ""
    for suffix in _BINARY:
        if size % 1024:
            break
        size //= 1024
        unit = suffix
    return f"{size}{unit}"


def canonical(text: str | int | float) -> str:
    """The canonical spelling of a quantity, in its own family (binary or decimal).

    :raises ValueError: when ``text`` is no quantity.
    """
    value = parse_quantity(text)
    if value == 0:
        return "0"
    if re.search(r"i$", str(text).strip()) and value == value.to_integral_value():
        return format_memory(int(value))
    for suffix, exponent in sorted(_DECIMAL.items(), key=lambda item: -item[1]):
        scaled = value.scaleb(-exponent)
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{suffix}"
    return f"{math.ceil(value.scaleb(9))}n"


def round_up(value: int, step: int) -> int:
    """``value`` raised to the next multiple of ``step``."""
    return -(-value // step) * step
