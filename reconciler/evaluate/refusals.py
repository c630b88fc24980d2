"""Whether a value was refused before, by a rollback or a person's revert, and is still too close to the refused one.

DESIGN §4: a refused value is not written again until it would differ by 20 %.
"""

import re
from collections.abc import Iterable
from decimal import Decimal

from reconciler.model.change import Refusal
from reconciler.model.quantity import parse_quantity

REFUSED_WITHIN = Decimal("0.20")
"""Share of the refused value by which a new one must differ (DESIGN §4)."""

_SHORT_COMMIT = 7
_PERCENT = re.compile(r"^\s*([0-9.]+)\s*%\s*$")


def is_refused(
    refusals: Iterable[Refusal], subject: str, path: str, field: str, new_value: str | None
) -> Refusal | None:
    """The refusal that stands against writing ``new_value``, None when nothing does.

    ``subject`` is the id of the policy or action. Numbers (quantities, percentages, counts) are compared as numbers and
    a percentage only with a percentage; any other text, and a removal (None), is refused only when it is the same.
    """
    for refusal in refusals:
        if (refusal.subject, refusal.path, refusal.field) != (subject, path, field):
            continue
        if too_close(refusal.value, new_value):
            return refusal
    return None


def too_close(refused: str | None, new_value: str | None) -> bool:
    """Whether ``new_value`` differs from ``refused`` by less than 20 % of ``refused``."""
    if refused == new_value:
        return True
    if refused is None or new_value is None:
        return False
    old, new = _number(refused), _number(new_value)
    if old is None or new is None or old[0] != new[0]:
        return False
    if old[1] == new[1]:
        return True
    return abs(new[1] - old[1]) < abs(old[1]) * REFUSED_WITHIN


def refusal_text(refusal: Refusal) -> str:
    """One clause for a person: who refused it, where, and what lifts it."""
    where = f" in commit {refusal.commit[:_SHORT_COMMIT]}" if refusal.commit else ""
    by = f" by {refusal.by}" if refusal.by else ""
    return f"refused{by}{where} on {refusal.at:%Y-%m-%d}; proposed again when it differs by 20 %"


def _number(text: str) -> tuple[str, Decimal] | None:
    """The unit (``%`` or none) and the number, None when the text is no number."""
    percent = _PERCENT.match(text)
    try:
        return ("%", parse_quantity(percent[1])) if percent else ("", parse_quantity(text))
    except ValueError:
        return None
