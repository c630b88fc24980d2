"""A refused value is not written again until it would differ by 20 %."""

from datetime import UTC, datetime

import pytest

from reconciler.evaluate.refusals import is_refused, refusal_text
from reconciler.model.change import Refusal

AT = datetime(2026, 6, 16, 10, tzinfo=UTC)


def refused(value: str | None, *, field: str = "f", commit: str = "0123456789abcdef", by: str = "ann") -> Refusal:
    return Refusal(subject="s", path="p", field=field, value=value, at=AT, by=by, commit=commit)


@pytest.mark.parametrize(
    ("value", "new", "stands"),
    [
        ("250m", "250m", True),
        ("250m", "0.25", True),
        ("250m", "299m", True),
        ("250m", "300m", False),
        ("250m", "201m", True),
        ("250m", "200m", False),
        ("1Gi", "1024Mi", True),
        ("1Gi", "1300Mi", False),
        ("70%", "60%", True),
        ("70%", "50%", False),
        ("70%", "350m", False),
        ("70", "70%", False),
        ("5", "5", True),
        ("10", "12", False),
        ("0", "0m", True),
        ("0", "1m", False),
        ("replicas=0", "replicas=0", True),
        ("replicas=0", "replicas=1", False),
        (None, None, True),
        (None, "1", False),
        ("1", None, False),
    ],
)
def test_how_close_is_too_close(value: str | None, new: str | None, stands: bool) -> None:
    one = refused(value)
    assert is_refused([one], "s", "p", "f", new) == (one if stands else None)


@pytest.mark.parametrize("place", [("t", "p", "f"), ("s", "q", "f"), ("s", "p", "g")])
def test_only_the_same_field_of_the_same_file_for_the_same_subject(place: tuple[str, str, str]) -> None:
    assert is_refused([refused("1")], *place, "1") is None


def test_one_of_several_refusals_is_enough() -> None:
    far, near = refused("1"), refused("280m")
    assert is_refused([far, near], "s", "p", "f", "270m") == near


def test_the_words_for_a_person() -> None:
    assert refusal_text(refused("1")) == (
        "refused by ann in commit 0123456 on 2026-06-16; proposed again when it differs by 20 %"
    )
    assert refusal_text(refused("1", commit="", by="")) == (
        "refused on 2026-06-16; proposed again when it differs by 20 %"
    )
