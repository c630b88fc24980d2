"""What people may write for the window of the Actions API, and the stretch of time that it is."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from reconciler.errors import InputError
from reconciler.gate.period import parse_rfc3339, parse_window

NOW = datetime(2026, 6, 17, 10, 20, 30, 5, tzinfo=UTC)
"""A Wednesday."""


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "start", "end"),
    [
        ("today", at("2026-06-17"), at("2026-06-18")),
        ("yesterday", at("2026-06-16"), at("2026-06-17")),
        ("week", at("2026-06-14"), NOW),
        ("month", at("2026-06-01"), NOW),
        ("lastweek", at("2026-06-07"), at("2026-06-14")),
        ("lastmonth", at("2026-05-01"), at("2026-06-01")),
        ("45m", at("2026-06-17T09:36"), at("2026-06-17T10:21")),
        ("12h", at("2026-06-16T23:00"), at("2026-06-17T11:00")),
        ("1d", at("2026-06-17"), at("2026-06-18")),
        ("7d", at("2026-06-11"), at("2026-06-18")),
        ("1w", at("2026-06-11"), at("2026-06-18")),
        ("2w", at("2026-06-04"), at("2026-06-18")),
        (" 7d ", at("2026-06-11"), at("2026-06-18")),
        ("1h offset 2d", NOW - timedelta(days=2, hours=1), NOW - timedelta(days=2)),
        ("7d offset 1w", NOW - timedelta(days=14), NOW - timedelta(days=7)),
        ("30m offset 0m", NOW - timedelta(minutes=30), NOW),
        ("1586822400,1586908800", at("2020-04-14"), at("2020-04-15")),
        ("2020-04-01T00:00:00Z,2020-04-03T00:00:00Z", at("2020-04-01"), at("2020-04-03")),
        ("2020-04-01T02:00:00+02:00,2020-04-03T00:00:00Z", at("2020-04-01"), at("2020-04-03")),
        ("2020-04-01T02:00:00 02:00, 2020-04-02T22:30:00-01:30", at("2020-04-01"), at("2020-04-03")),
        ("2020-04-01T00:00:00.5Z,2020-04-03t00:00:00.123456789z", at("2020-04-01T00:00:00.5"), at("2020-04-03T00:00:00.123456")),
    ],
)  # fmt: skip
def test_what_can_be_written_and_what_it_means(window: str, start: datetime, end: datetime) -> None:
    assert parse_window(window, NOW) == (start, end)
    assert parse_window(window, NOW.astimezone(timezone(timedelta(hours=-7)))) == (start, end), "always in UTC"


@pytest.mark.parametrize(
    ("now", "window", "start", "end"),
    [
        # Sunday begins the week; on a boundary, the last unit is the one that begins now.
        ("2026-06-14T00:00", "lastweek", "2026-06-07", "2026-06-14"),
        ("2026-06-14T08:00", "week", "2026-06-14", "2026-06-14T08:00"),
        ("2026-06-20T08:00", "week", "2026-06-14", "2026-06-20T08:00"),
        ("2026-06-17T10:00", "1h", "2026-06-17T10:00", "2026-06-17T11:00"),
        ("2026-06-17T00:00", "7d", "2026-06-11", "2026-06-18"),
        ("2026-01-31T12:00", "lastmonth", "2025-12-01", "2026-01-01"),
        ("2024-03-31T12:00", "lastmonth", "2024-02-01", "2024-03-01"),
    ],
)
def test_at_the_edges_of_hours_weeks_and_months(now: str, window: str, start: str, end: str) -> None:
    assert parse_window(window, at(now)) == (at(start), at(end))


@pytest.mark.parametrize(
    "window",
    [
        "",
        "7",
        "d",
        "7D",
        "7s",
        "-7d",
        "1.5d",
        "7 d",
        "tomorrow",
        "Today",
        "all",
        "٧d",
        "7d offset",
        "7d offset 1y",
        "7d  offset 1d",
        "999999999w",
        "9" * 5000 + "d",
        "1586822400",
        "1586822400-1586908800",
        "1586822400,now",
        "1586822400,2020-04-03T00:00:00Z",
        "1,2,3",
        "999999999999,9999999999999",
        "2020-04-01,2020-04-03",
        "2020-04-01T00:00:00,2020-04-03T00:00:00",
        "2020-04-31T00:00:00Z,2020-05-03T00:00:00Z",
        "0001-01-01T00:00:00+02:00,2020-05-03T00:00:00Z",
        "\ud800",
    ],
)
def test_whatever_else_is_refused_with_what_to_write(window: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_window(window, NOW)
    assert refused.value.message.startswith("window: ") and "not a stretch of time" in refused.value.message
    assert len(refused.value.message) < 200 and "7d" in refused.value.hint


@pytest.mark.parametrize("window", ["0d", "1586908800,1586822400", "1586822400,1586822400"])
def test_a_window_that_holds_nothing_is_refused(window: str) -> None:
    with pytest.raises(InputError, match="window: .* is empty"):
        parse_window(window, NOW)


def test_a_week_and_a_month_that_have_just_begun_hold_nothing_yet() -> None:
    sunday = at("2026-03-01")
    assert parse_window("week", sunday) == parse_window("month", sunday) == (sunday, sunday)


def test_an_instant_keeps_what_it_says_in_utc() -> None:
    assert parse_rfc3339("2026-06-17T10:00:00+05:30") == at("2026-06-17T04:30:00")
    for wrong in ("2026-06-17", "2026-06-17T10:00Z", "20260617T100000Z", "2026-06-17T10:00:00", "2026-W25-3T10:00:00Z"):
        with pytest.raises(ValueError, match="RFC 3339"):
            parse_rfc3339(wrong)
