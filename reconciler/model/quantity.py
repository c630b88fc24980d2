"""Kubernetes quantities: read any, write the canonical one.

Grammar and canonical form: ``k8s.io/apimachinery/pkg/api/resource/quantity.go``. What is not canonical leaves
Argo CD OutOfSync for ever (argo-cd #1615), so everything that Trimtab writes goes through the ``format_*`` functions.
"""

import math
import re
from decimal import Context, Decimal
from functools import lru_cache

MIB = 1024**2
GIB = 1024**3

LARGEST = 2**63 - 1
"""What does not fit an int64 counts as this, as in Kubernetes."""

_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_LARGEST_FIRST = tuple(sorted(_DECIMAL.items(), key=lambda item: -item[1]))
_QUANTITY = re.compile(
    r"([+-]?(?:[0-9]{1,60}\.?[0-9]{0,60}|\.[0-9]{1,60}))(?:([eE][+-]?[0-9]{1,3})|([KMGTPE]i)|([numkMGTPE]))?"
)
_EXACT = Context(prec=2500)
"""More digits than any quantity of :data:`_QUANTITY` has."""


def parse_quantity(text: str | int | float) -> Decimal:
    """The exact number that a quantity stands for (``"500m"`` → ``0.5``, ``"1Ki"`` → ``1024``).

    :raises ValueError: when ``text`` is no quantity.
    """
    if isinstance(text, bool):
        raise ValueError(f"{text!r} is not a quantity")
    return _parse(str(text))


@lru_cache(maxsize=1 << 14)
def _parse(text: str) -> Decimal:
    match = _QUANTITY.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not a quantity such as 250m, 2 or 512Mi")
    number, exponent, binary, suffix = match.groups()
    value = Decimal(number)
    if exponent:
        return value.scaleb(int(exponent[1:]), context=_EXACT)
    if binary:
        return _EXACT.multiply(value, Decimal(1024 ** _BINARY[binary]))
    return value.scaleb(_DECIMAL[suffix or ""], context=_EXACT)


def parse_cpu(text: str | int | float) -> int:
    """Millicores, rounded up; at most :data:`LARGEST`."""
    return min(math.ceil(parse_quantity(text).scaleb(3, context=_EXACT)), LARGEST)


def parse_memory(text: str | int | float) -> int:
    """Bytes, rounded up; at most :data:`LARGEST`."""
    return min(math.ceil(parse_quantity(text)), LARGEST)


def format_cpu(millicores: int) -> str:
    """Canonical CPU: ``1500`` → ``1500m``, ``2000`` → ``2``."""
    if millicores % 1000:  # nearly every size is spelled here, a hundred thousand of them in a pass
        return f"{millicores}m"
    return _decimal(Decimal(millicores).scaleb(-3, context=_EXACT))


def format_memory(size: int) -> str:
    """Canonical bytes: the largest unit of Ki…Ei that divides without a rest; a plain number where none does
    (of which thousands are then written ``5k``, as Kubernetes does)."""
    if size == 0 or size % 1024:
        return _decimal(Decimal(size))
    unit = ""
    for suffix in _BINARY:
        if size % 1024:
            break
        size //= 1024
        unit = suffix
    return f"{size}{unit}"


def canonical(text: str | int | float) -> str:
    """The canonical spelling of a quantity, in its own family (binary, decimal, or with an exponent).

    Finer than 1n is rounded away from zero, as are fractions of a byte in the binary family from 1Ki on.

    :raises ValueError: when ``text`` is no quantity.
    """
    value = parse_quantity(text)
    spelled = str(text)
    if spelled.endswith("i") and abs(value) >= 1024:
        whole = _away_from_zero(value)
        return format_memory(whole)
    if re.search(r"[eE][+-]?[0-9]", spelled):
        return _decimal(value, exponents=True)
    return _decimal(value)


def _decimal(value: Decimal, *, exponents: bool = False) -> str:
    """The largest unit that leaves a whole number."""
    nano = _away_from_zero(value.scaleb(9, context=_EXACT))
    for suffix, exponent in _LARGEST_FIRST:
        scaled, rest = divmod(abs(nano), 10 ** (exponent + 9))
        if nano and not rest:
            unit = (f"e{exponent}" if exponent else "") if exponents else suffix
            return f"{'-' if nano < 0 else ''}{scaled}{unit}"
    return "0"


def _away_from_zero(value: Decimal) -> int:
    return math.ceil(value) if value >= 0 else math.floor(value)


def round_up(value: int, step: int) -> int:
    """``value`` raised to the next multiple of ``step``."""
    return -(-value // step) * step
