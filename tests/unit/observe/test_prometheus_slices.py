"""Since when a container runs, read from how often it was scraped in each slice of the window."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.observe.prometheus import Point
from reconciler.observe.prometheus_bulk import by_place
from reconciler.observe.prometheus_slices import SLICES, lives, slices
from reconciler.observe.prometheus_usage import Place

NOW = datetime(2026, 6, 17, 10, 0, tzinfo=UTC)
WEB = Place("shop", "web-1", "server")
DAY = 86400


def counts(seconds: int, every: int, first: int, last: int) -> list[dict[Place, float]]:
    """What each slice counts of a container that is scraped at every multiple of ``every`` between two seconds before now."""
    end = int(NOW.timestamp())
    scrapes = [s for s in range(end - seconds, end + 1) if s % every == 0 and end - first <= s <= end - last]
    found = []
    for cut in slices(NOW, seconds):
        to = int(cut.end.timestamp())
        count = sum(to - cut.seconds < scrape <= to for scrape in scrapes)
        found.append({WEB: float(count)} if count else {})
    return found


@given(seconds=st.integers(14, 40 * DAY))
def test_slices_are_the_window_without_gaps(seconds: int) -> None:
    cuts = slices(NOW, seconds)
    assert 0 <= seconds - sum(cut.seconds for cut in cuts) < SLICES, "of the start"
    assert len({cut.seconds for cut in cuts}) == 1, "one range query has one step"
    assert cuts[-1].end == NOW
    assert all(early.end == late.start for early, late in pairwise(cuts))
    assert len(cuts) == SLICES


@settings(max_examples=40)
@given(first=st.integers(1, 14 * 96), length=st.integers(0, 14 * 96))
def test_a_life_is_known_to_a_scrape_or_to_a_slice_where_it_is_shorter_than_that(first: int, length: int) -> None:
    seconds, every = 14 * DAY, 900
    begins, ends = first * every, max(0, first - length) * every
    seen = counts(seconds, every, begins, ends)
    life = lives(slices(NOW, seconds), seen, float(every)).get(WEB)
    assert life is not None or not any(seen)
    if life is None:
        return
    wrong = DAY if length * every < DAY else every
    assert abs(life.first - (NOW - timedelta(seconds=begins))) <= timedelta(seconds=wrong)
    assert abs(life.last - (NOW - timedelta(seconds=ends))) <= timedelta(seconds=wrong)
    assert life.scrapes == sum(by.get(WEB, 0) for by in seen)


def test_how_often_it_is_scraped_is_seen_where_nobody_says() -> None:
    life = lives(slices(NOW, 14 * DAY), counts(14 * DAY, 1800, 10 * DAY, 2 * DAY), 0.0)[WEB]
    assert life.every == 1800
    assert life.first == NOW - timedelta(days=10)
    assert life.last == NOW - timedelta(days=2)


@pytest.mark.parametrize("value", [float("nan"), -1.0, float("inf"), 101.0])
def test_values_that_no_container_has_are_left_out(value: float) -> None:
    labels = {"namespace": "shop", "pod": "web-1", "container": "server"}
    assert by_place([Point(labels, value)], 100.0) == {}
    assert by_place([Point(labels, value), Point(labels, 2.0), Point(labels, 1.0)], 100.0) == {WEB: 2.0}
