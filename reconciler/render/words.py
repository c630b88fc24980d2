"""What comes from outside, made safe to stand in a commit message or a pull request; and money in words."""

import re
from decimal import Decimal

_BREAKS = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")
_REVERTS = re.compile(r"(?i)\bthis(\s+)reverts\s+commit\b")
_TRAILER = re.compile(r"(?i)\b(trimtab-[a-z]+):")
_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}


def one_line(text: str, limit: int = 500) -> str:
    """``text`` without line breaks, control or direction-changing characters, and without what means something in a
    commit message: the words by which it reverts another, and trailers. Names and reasons must not be able to say that."""
    line = _BREAKS.sub(" ", text).strip()
    line = _REVERTS.sub("this undoes commit", line)
    return shortened(_TRAILER.sub(r"\1", line), limit)


def shortened(text: str, limit: int) -> str:
    """``text`` in at most ``limit`` characters, with an ellipsis where it was cut."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def code(text: str, limit: int = 100) -> str:
    """``text`` as a Markdown code span that also stands in a table: no mention, link or HTML comes alive in it."""
    plain = one_line(text, limit).replace("`", "'").replace("|", "\\|")
    return f"`{plain}`" if plain else ""


def prose(text: str) -> str:
    """``text`` as Markdown prose in one line: what would format, mention or link in it is escaped."""
    escaped = re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", one_line(text))
    return re.sub(r"(@|://)(?=\S)", "\\1\u200b", escaped)


def money(amount: Decimal, currency: str) -> str:
    """``$31.20``, ``31.20 CHF``."""
    figure = f"{abs(amount):,.2f}"
    sign = _SIGNS.get(currency)
    return f"{sign}{figure}" if sign else f"{figure} {one_line(currency, 8)}"


def count(number: int, one: str, many: str = "") -> str:
    """``1 workload``, ``12 workloads``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def named_or_counted(names: list[str], one: str, many: str = "") -> str:
    """The name, where it is one; else how many there are."""
    return names[0] if len(names) == 1 else count(len(names), one, many)
