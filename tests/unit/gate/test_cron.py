"""Five-field cron: what it matches, and what it refuses by naming the field."""

from datetime import datetime

import pytest

from reconciler.gate.cron import CronError, parse


def matches(cron: str, local: str) -> bool:
    return parse(cron).matches(datetime.fromisoformat(local))


@pytest.mark.parametrize(
    ("cron", "inside", "outside"),
    [
        ("* 23 * * *", "2026-06-16T23:59", "2026-06-16T22:59"),
        ("* 22-23 * * 1-5", "2026-06-19T22:00", "2026-06-20T22:00"),
        ("* 23-23 * * *", "2026-06-16T23:30", "2026-06-16T00:30"),
        ("*/15 * * * *", "2026-06-16T10:45", "2026-06-16T10:46"),
        ("5/20 * * * *", "2026-06-16T10:45", "2026-06-16T10:40"),
        ("10-20/5 * * * *", "2026-06-16T10:15", "2026-06-16T10:25"),
        ("0,30 1,13 * * *", "2026-06-16T13:30", "2026-06-16T12:30"),
        ("0 0 * JAN,dec Mon-Fri", "2026-12-14T00:00", "2026-11-16T00:00"),
        ("00 07 * * *", "2026-06-16T07:00", "2026-06-16T08:00"),
        ("  0\t0  1 1 *  ", "2026-01-01T00:00", "2026-01-02T00:00"),
        ("* * 29 2 *", "2028-02-29T12:00", "2027-03-01T12:00"),
    ],
)
def test_matches_by_the_wall_clock(cron: str, inside: str, outside: str) -> None:
    assert matches(cron, inside)
    assert not matches(cron, outside)


@pytest.mark.parametrize("sunday", ["0", "7", "sun", "SUN", "5-7", "0-0", "*/6"])
def test_sunday_is_0_and_7_and_a_name(sunday: str) -> None:
    assert matches(f"* * * * {sunday}", "2026-06-21T12:00")


def test_a_step_over_all_weekdays_does_not_reach_sunday_twice() -> None:
    assert parse("0 0 * * */2").weekdays == {0, 2, 4, 6}
    assert parse("0 0 * * 1/2").weekdays == {1, 3, 5}


def test_either_day_field_is_enough_when_both_are_restricted() -> None:
    assert matches("0 0 13 * 5", "2026-06-13T00:00")  # the 13th, a Saturday
    assert matches("0 0 13 * 5", "2026-06-19T00:00")  # a Friday, the 19th
    assert not matches("0 0 13 * 5", "2026-06-18T00:00")


@pytest.mark.parametrize("everything", ["*", "*/1"])
def test_a_star_does_not_restrict_the_day(everything: str) -> None:
    assert not matches(f"0 0 {everything} * 5", "2026-06-13T00:00")
    assert not matches(f"0 0 13 * {everything}", "2026-06-19T00:00")


@pytest.mark.parametrize(
    ("cron", "field", "says"),
    [
        ("60 * * * *", "minute", "60 is out of range"),
        ("* 24 * * *", "hour", "0-23"),
        ("* * 0 * *", "day of month", "1-31"),
        ("* * * 13 *", "month", "jan-dec"),
        ("* * * * 8", "day of week", "sun-sat"),
        ("* * * monday *", "month", "cannot read 'monday'"),
        ("* * * mon *", "month", "'mon' is no name here"),
        ("* 22-6 * * *", "hour", "write `22-23,0-6`"),
        ("* * * * 5-1", "day of week", "write `5-6,0-1`"),
        ("* * * * fri-sun", "day of week", "write `5-6,0`"),
        ("*/0 * * * *", "minute", "a step of 0"),
        ("* */24 * * *", "hour", "a step of 24"),
        ("1,,2 * * * *", "minute", "empty item"),
        (", * * * *", "minute", "empty item"),
        ("-5 * * * *", "minute", "cannot read '-5'"),
        ("5- * * * *", "minute", "cannot read '5-'"),
        ("1.5 * * * *", "minute", "cannot read '1.5'"),
        ("*/x * * * *", "minute", "cannot read '*/x'"),
        ("٣ * * * *", "minute", "cannot read"),
        ("99999999 * * * *", "minute", "cannot read"),
        ("0 0 L * *", "day of month", "cannot read 'L'"),
        ("0 0 15W * *", "day of month", "cannot read '15W'"),
        ("0 0 * * 5#3", "day of week", "cannot read '5#3'"),
        ("0 0 ? * 1", "day of month", "cannot read '?'"),
        ("H * * * *", "minute", "cannot read 'H'"),
        ("R * * * *", "minute", "cannot read 'R'"),
        ("0 0 31 2 *", "day of month", "never matches"),
        ("0 0 30,31 feb *", "day of month", "never matches"),
        ("0 0 31 4,6,9,11 *", "day of month", "never matches"),
    ],
)
def test_refuses_by_naming_the_field(cron: str, field: str, says: str) -> None:
    with pytest.raises(CronError) as caught:
        parse(cron)
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        ("", "0 fields"),
        ("0 2 * *", "4 fields"),
        ("0 0 2 * * *", "seconds and years are not read"),
        ("0 0 2 * * * 2026", "seconds and years are not read"),
        ("@daily", "`0 0 * * *`"),
        ("@Weekly", "`0 0 * * 0`"),
        ("@reboot", "write the five fields"),
        ("0 0 * * " + "1," * 600 + "1", "at most 1024"),
    ],
)
def test_refuses_what_is_not_five_fields(cron: str, says: str) -> None:
    with pytest.raises(CronError) as caught:
        parse(cron)
    assert caught.value.field == ""
    assert says in str(caught.value)


def test_a_date_that_never_comes_is_fine_beside_a_weekday() -> None:
    assert matches("0 0 31 2 1", "2026-02-02T00:00")
