"""Money for people: two places, the currency in front where it has a sign of its own."""

from decimal import ROUND_HALF_UP, Decimal

_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£"}


def money(amount: Decimal, currency: str) -> str:
    """``Decimal("-3.456"), "USD"`` → ``-$3.46``."""
    cents = amount.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    sign = "-" if cents < 0 else ""
    mark = _SIGNS.get(currency)
    return f"{sign}{mark}{abs(cents):,}" if mark else f"{sign}{abs(cents):,} {currency}"
