"""Windows: open, closed, since when and until when, over time-zone changes and far ahead."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.gate.cron import CronError
from reconciler.gate.intervals import complement, intersection, union
from reconciler.gate.schedule import WindowError
from reconciler.gate.windows import (
    check_window,
    combined_spans,
    describe,
    is_open,
    next_closing,
    next_opening,
    opening_of,
    spans,
    warn_short,
)
from reconciler.model.window import Window, Windows

FREEZE = Window(cron="0 0 20 12 *", duration=timedelta(days=14), timezone="Europe/Berlin", name="holiday freeze")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_without_duration_it_is_open_in_the_matching_minutes_to_the_second() -> None:
    window = Window(cron="0 2 * * 0")
    assert not is_open(window, at("2026-06-21T01:59:59.999999"))
    assert is_open(window, at("2026-06-21T02:00"))
    assert is_open(window, at("2026-06-21T02:00:59.999999"))
    assert not is_open(window, at("2026-06-21T02:01"))


def test_with_duration_it_is_open_from_each_firing() -> None:
    assert not is_open(FREEZE, at("2026-12-19T22:59:59"))
    assert is_open(FREEZE, at("2026-12-19T23:00"))
    assert is_open(FREEZE, at("2027-01-02T22:59:59"))
    assert not is_open(FREEZE, at("2027-01-02T23:00"))


def test_a_friday_night_lasts_into_saturday() -> None:
    night = Window(cron="0 22 * * 5", duration=timedelta(hours=8))
    assert is_open(night, at("2026-06-20T05:59"))
    assert not is_open(night, at("2026-06-20T06:00"))


def test_overlapping_firings_are_one_stretch() -> None:
    window = Window(cron="0 */2 * * 6", duration=timedelta(hours=3))
    assert spans(window, at("2026-06-16T00:00"), at("2026-06-23T00:00")) == [
        (at("2026-06-20T00:00"), at("2026-06-21T01:00"))
    ]


def test_a_duration_below_a_minute_closes_within_it() -> None:
    window = Window(cron="0-1 2 * * *", duration=timedelta(seconds=30))
    assert spans(window, at("2026-06-16T02:00:10"), at("2026-06-16T03:00")) == [
        (at("2026-06-16T02:00:10"), at("2026-06-16T02:00:30")),
        (at("2026-06-16T02:01:00"), at("2026-06-16T02:01:30")),
    ]
    assert not is_open(window, at("2026-06-16T02:00:45"))


def test_several_crons_joined_are_one_window() -> None:
    window = Window(cron="* 22 * * * || * 23 * * * || 30 4 * * *")
    assert spans(window, at("2026-06-16T12:00"), at("2026-06-17T12:00")) == [
        (at("2026-06-16T22:00"), at("2026-06-17T00:00")),
        (at("2026-06-17T04:30"), at("2026-06-17T04:31")),
    ]


def test_the_hour_that_spring_skips_is_never_open() -> None:
    window = Window(cron="* 2 * * *", timezone="Europe/Berlin")
    assert spans(window, at("2026-03-28T00:00"), at("2026-03-31T00:00")) == [
        (at("2026-03-28T01:00"), at("2026-03-28T02:00")),
        (at("2026-03-30T00:00"), at("2026-03-30T01:00")),
    ]


def test_the_hour_that_autumn_repeats_is_open_both_times() -> None:
    window = Window(cron="* 2 * * *", timezone="Europe/Berlin")
    assert spans(window, at("2026-10-25T00:00"), at("2026-10-26T00:00")) == [
        (at("2026-10-25T00:00"), at("2026-10-25T02:00"))
    ]
    minute = Window(cron="30 2 * * *", timezone="Europe/Berlin")
    assert spans(minute, at("2026-10-25T00:00"), at("2026-10-25T12:00")) == [
        (at("2026-10-25T00:30"), at("2026-10-25T00:31")),
        (at("2026-10-25T01:30"), at("2026-10-25T01:31")),
    ]


def test_a_duration_is_elapsed_time_also_when_the_clocks_change() -> None:
    night = Window(cron="0 22 * * *", duration=timedelta(hours=8), timezone="Europe/Berlin")
    assert next_closing(night, at("2026-03-28T22:00")) == at("2026-03-29T05:00")  # 07:00 on the wall
    assert next_closing(night, at("2026-10-24T22:00")) == at("2026-10-25T04:00")  # 05:00 on the wall


def test_next_opening_and_closing() -> None:
    window = Window(cron="* 22-23 * * 1-5")
    friday = at("2026-06-19T22:30")
    assert opening_of(window, friday) == at("2026-06-19T22:00")
    assert next_closing(window, friday) == at("2026-06-20T00:00")
    assert next_opening(window, friday) == at("2026-06-22T22:00")
    assert next_closing(window, at("2026-06-20T12:00")) == at("2026-06-23T00:00")
    assert opening_of(window, at("2026-06-20T12:00")) is None


def test_at_the_very_instant() -> None:
    window = Window(cron="* 22-23 * * *")
    assert opening_of(window, at("2026-06-19T22:00")) == at("2026-06-19T22:00")
    assert next_opening(window, at("2026-06-19T22:00")) == at("2026-06-20T22:00")
    assert next_closing(window, at("2026-06-20T00:00")) == at("2026-06-21T00:00")


@pytest.mark.parametrize(
    "window",
    [Window(cron="* * * * *", timezone="America/New_York"), Window(cron="0 0 * * *", duration=timedelta(days=2))],
)
def test_what_is_always_open_has_no_opening_and_no_closing(window: Window) -> None:
    now = at("2026-06-19T22:00")
    assert is_open(window, now)
    assert opening_of(window, now) is None
    assert next_opening(window, now) is None
    assert next_closing(window, now) is None
    assert spans(window, now, now + timedelta(days=400)) == [(now, now + timedelta(days=400))]


def test_a_stretch_of_months_is_found_from_its_end() -> None:
    window = Window(cron="0 0 1 1 *", duration=timedelta(days=200))
    assert opening_of(window, at("2026-07-19T12:00")) == at("2026-01-01T00:00")
    assert next_opening(window, at("2026-07-19T12:00")) == at("2027-01-01T00:00")


def test_a_leap_day_is_found_years_ahead() -> None:
    assert next_opening(Window(cron="* * 29 2 *"), at("2024-03-01T00:00")) == at("2028-02-29T00:00")


def test_no_opening_within_five_years_is_none() -> None:
    assert next_opening(Window(cron="* * 29 2 *"), at("2096-03-01T00:00")) is None


def test_the_end_of_the_calendar_is_no_crash() -> None:
    window = Window(cron="* 2 1 1 *", duration=timedelta(hours=2), timezone="Europe/Berlin")
    assert next_opening(window, at("9998-06-01T00:00")) is None
    assert not is_open(window, at("9998-06-01T00:00"))


def test_an_empty_range_has_no_spans() -> None:
    now = at("2026-06-19T22:00")
    assert spans(Window(cron="* * * * *"), now, now) == []
    assert spans(Window(cron="* * * * *"), now, now - timedelta(days=1)) == []


def test_an_instant_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        is_open(Window(cron="* * * * *"), datetime(2026, 6, 16))  # noqa: DTZ001 - that is the point


def test_instants_in_other_zones_mean_the_same() -> None:
    window = Window(cron="* 22 * * *")
    assert is_open(window, datetime.fromisoformat("2026-06-20T00:30:00+02:00"))


@pytest.mark.parametrize(
    ("window", "says"),
    [
        (Window(cron="* 25 * * *"), "hour: 25 is out of range"),
        (Window(cron="* 2 * * * ||"), "0 fields"),
        (Window(cron="* * * * *", timezone="Europe/Berln"), "unknown time zone 'Europe/Berln'"),
        (Window(cron="* * * * *", timezone="Europe"), "unknown time zone"),
        (Window(cron="* * * * *", timezone=""), "unknown time zone"),
        (Window(cron="* * * * *", timezone="../etc/passwd"), "unknown time zone"),
        (Window(cron="* * * * *", timezone="localtime"), "unknown time zone"),
        (Window(cron="* * * * *", timezone="Bad\0Zone"), "unknown time zone"),
        (Window(cron="* * * * *", duration=timedelta(0)), "duration"),
        (Window(cron="* * * * *", duration=timedelta(hours=-1)), "duration"),
        (Window(cron="* * * * *", duration=timedelta(seconds=1.5)), "duration"),
    ],
)
def test_what_cannot_be_read_is_told_and_raised(window: Window, says: str) -> None:
    problem = check_window(window)
    assert problem is not None
    assert says in problem
    with pytest.raises((CronError, WindowError)):
        is_open(window, at("2026-06-16T00:00"))


def test_a_good_window_has_no_problem() -> None:
    assert check_window(FREEZE) is None
    assert check_window(Window(cron="* 22-23 * * 1-5 || * * * * sat,sun")) is None


def test_a_window_shorter_than_the_interval_is_warned_about() -> None:
    warning = warn_short(Window(cron="0 2 * * 0", source="action nightly"), 600)
    assert warning is not None
    assert "`0 2 * * 0` (action nightly) is open for only 1m" in warning
    assert "10m between passes" in warning
    assert "`* 2 * * 0`" in warning


@pytest.mark.parametrize(
    ("window", "advice"),
    [
        (Window(cron="0 2 * * 0 || 30 4 * * *"), "`* 2 * * 0 || * 4 * * *`"),
        (Window(cron="*/5 * * * *"), "a duration of at least 10m"),
        (Window(cron="0 2 * * 0", duration=timedelta(minutes=5)), "a duration of at least 10m"),
    ],
)
def test_the_warning_says_what_to_write(window: Window, advice: str) -> None:
    warning = warn_short(window, 600)
    assert warning is not None
    assert advice in warning


@pytest.mark.parametrize(
    "window",
    [
        Window(cron="* 2 * * 0"),
        Window(cron="0 2 * * 0", duration=timedelta(minutes=10)),
        Window(cron="* * * * *"),
        Window(cron="* 23 31 12 * || * 0 1 1 *"),
        Window(cron="* * 29 2 *"),
        FREEZE,
    ],
)
def test_a_window_that_no_pass_can_miss_is_not_warned_about(window: Window) -> None:
    assert warn_short(window, 600) is None


def test_combined_spans_are_the_calendar_of_all_owners() -> None:
    fleet = Windows(maintenance=(Window(cron="* 22-23 * * *", source="fleet"),))
    policy = Windows(exclusion=(Window(cron="0 21 * * *", duration=timedelta(hours=2), source="policy web"),))
    found = combined_spans([fleet, policy], at("2026-06-16T00:00"), at("2026-06-17T00:00"))
    assert [(span.kind, span.window.source, span.start, span.end) for span in found] == [
        ("exclusion", "policy web", at("2026-06-16T21:00"), at("2026-06-16T23:00")),
        ("maintenance", "fleet", at("2026-06-16T22:00"), at("2026-06-17T00:00")),
    ]


def test_a_window_is_described_with_its_owner() -> None:
    assert describe(Window(cron="* 22 * * *")) == "`* 22 * * *`"
    assert describe(Window(cron="* 22 * * *", source="fleet")) == "`* 22 * * *` (fleet)"
    freeze = FREEZE.model_copy(update={"source": "fleet"})
    assert describe(freeze) == "holiday freeze (`0 0 20 12 *` for 14d Europe/Berlin, fleet)"


def test_sets_of_time() -> None:
    def of(*intervals: tuple[int, int]) -> "list[tuple[int, int]]":
        return list(intervals)

    assert list(union()) == []
    assert list(union(iter(of((1, 3), (3, 5))), iter(of((4, 6), (8, 9))))) == [(1, 6), (8, 9)]
    assert list(intersection(iter(of((1, 6), (8, 9))), iter(of((0, 2), (5, 9))))) == [(1, 2), (5, 6), (8, 9)]
    assert list(complement(iter(of((1, 6), (8, 9))), 0, 10)) == [(0, 1), (6, 8), (9, 10)]
    assert list(complement(iter(of((0, 10))), 0, 10)) == []
