"""Pages of recommendations: whatever the savings and the page size, everything once and in order; nobody makes a cursor."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.errors import BadRequest, Gone
from api.recommendations.cursor import decode, encode
from api.tokens import Tokens
from support.recommended import recommendation
from support.replay import NOW
from support.served import Served, serving

SAVINGS = st.one_of(
    st.sampled_from(["0", "0.1", "0.10004", "0.10005", "0.10006", "-0.00004"]),
    st.decimals(min_value=-10, max_value=10, places=5).map(str),
)
TOKENS = Tokens("a secret that is long enough to sign with")


def sign(text: str) -> bytes:
    return TOKENS.signature("recommendations", text)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("pages")) as running:
        yield running


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(savings=st.lists(SAVINGS, max_size=12), limit=st.integers(1, 6), total=st.booleans())
def test_pages_lose_nothing_and_repeat_nothing(served: Served, savings: list[str], limit: int, total: bool) -> None:
    served.clock.forward(seconds=60)
    organization = f"org-{served.clock().timestamp()}"
    rows = [recommendation(f"w{n}", saving, organization=organization) for n, saving in enumerate(savings)]
    served.server.stores.recommendations.save(rows)
    key = served.key("recommendations:read", organization=organization)
    seen: list[tuple[Decimal, str]] = []
    cursor = None
    for turn in range(len(rows) + 1):
        query = {"limit": limit, "include_total": str(total).lower()} | ({"cursor": cursor} if cursor else {})
        body = served.client.get("/v1/recommendations", headers=key, params=query).json()
        page, pagination = body["data"], body["meta"]["pagination"]
        seen += [(-Decimal(one["savings"]["estimated_hourly"]["amount"]), one["id"]) for one in page]
        assert pagination.get("total_count") == (len(rows) if total else None)
        assert pagination["has_more"] == (len(seen) < len(rows)) == (pagination["next_cursor"] is not None)
        assert len(page) == min(limit, len(rows) - turn * limit)
        cursor = pagination["next_cursor"]
        if cursor is None:
            break
    assert seen == sorted(seen)
    assert {rec_id for _, rec_id in seen} == {row.id for row in rows} and len(seen) == len(rows)


@given(after=st.tuples(st.decimals(-9999, 9999, places=4), st.uuids().map(str)), hours=st.integers(0, 100))
def test_a_cursor_says_what_was_put_into_it_for_a_day(after: tuple[Decimal, str], hours: int) -> None:
    cursor, later = encode(after, "this query", NOW, sign), NOW + timedelta(hours=hours)
    if hours <= 24:
        assert decode(cursor, "this query", later, sign) == after
        with pytest.raises(Gone, match="another query"):
            decode(cursor, "that query", later, sign)
    else:
        with pytest.raises(Gone, match="24 hours"):
            decode(cursor, "this query", later, sign)


@given(place=st.integers(0, 300), instead=st.characters(codec="utf-8"))
def test_a_cursor_with_any_other_character_is_refused(place: int, instead: str) -> None:
    cursor = encode((Decimal("0.1"), "an id"), "this query", NOW, sign)
    at = place % len(cursor)
    if (changed := cursor[:at] + instead + cursor[at + 1 :]) != cursor:
        with pytest.raises(BadRequest):
            decode(changed, "this query", NOW, sign)


@given(text=st.text())
def test_no_text_is_a_cursor(text: str) -> None:
    with pytest.raises(BadRequest):
        decode(text, "this query", NOW, sign)
