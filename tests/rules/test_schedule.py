"""Durations, cron expressions and active hours, across the irregularities of local time."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.local_time import is_in_gap, resolve
from rules.schedule import (
    ActiveHours,
    find_next_opening,
    find_next_tick,
    find_zone,
    is_open,
    parse_duration,
    parse_send_time,
    to_local_day,
)

ROME = "Europe/Rome"
EVERY_DAY = frozenset(range(7))
WEEKDAYS = frozenset(range(5))


def to_utc(text: str, zone: str = ROME, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=find_zone(zone), fold=fold).astimezone(UTC)


def build_active_hours(start: str, end: str, days: frozenset[int] = EVERY_DAY) -> ActiveHours:
    return ActiveHours(time.fromisoformat(start), time.fromisoformat(end), days)


@pytest.mark.parametrize(
    ("text", "length"), [("45s", 45), ("10m", 600), ("2h", 7200), ("3d", 259_200), ("1w", 604_800)]
)
def test_a_duration_is_a_number_and_a_unit(text: str, length: float) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize("text", ["", "2", "h", "2 h", "-2h", "1h30m", "2H", "2.5h", "٢h", "9999999999s"])
def test_anything_else_is_not_a_duration(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


def test_the_next_tick_is_after_the_start_time() -> None:
    assert find_next_tick("0 9 * * *", "UTC", to_utc("2026-01-01T09:00", "UTC")) == to_utc("2026-01-02T09:00", "UTC")


def test_a_cron_expression_is_evaluated_in_its_zone() -> None:
    assert find_next_tick("0 9 * * mon-fri", ROME, to_utc("2026-05-02T12:00")) == to_utc("2026-05-04T09:00")


@pytest.mark.parametrize("cron", ["", "* * * *", "* * * * * *", "61 * * * *", "x * * * *", "0 0 31 2 *"])
def test_an_invalid_or_impossible_cron_expression_is_rejected(cron: str) -> None:
    with pytest.raises(ValueError):
        find_next_tick(cron, "UTC", to_utc("2026-01-01T00:00"))


@pytest.mark.parametrize("name", ["", "Europe", "Mars/Olympus", "../etc/passwd", "/etc/passwd", "x\0y"])
def test_an_unknown_zone_is_rejected(name: str) -> None:
    with pytest.raises(ValueError):
        find_zone(name)


def test_a_day_is_the_calendar_day_of_the_zone() -> None:
    assert to_local_day(datetime(2026, 5, 4, 23, 30, tzinfo=UTC), ROME) == date(2026, 5, 5)
    assert to_local_day(datetime(2026, 5, 4, 23, 30, tzinfo=UTC), "America/New_York") == date(2026, 5, 4)


def test_the_start_is_within_the_active_hours_and_the_end_is_not() -> None:
    window = build_active_hours("09:00", "21:00")
    assert find_next_opening(window, ROME, to_utc("2026-05-04T09:00")) is None
    assert find_next_opening(window, ROME, to_utc("2026-05-04T20:59:59")) is None
    assert find_next_opening(window, ROME, to_utc("2026-05-04T21:00")) == to_utc("2026-05-05T09:00")
    assert find_next_opening(window, ROME, to_utc("2026-05-04T08:59")) == to_utc("2026-05-04T09:00")


def test_after_friday_evening_comes_monday_morning() -> None:
    assert find_next_opening(
        build_active_hours("09:00", "18:00", WEEKDAYS), ROME, to_utc("2026-05-08T19:00")
    ) == to_utc("2026-05-11T09:00")


def test_an_end_before_the_start_crosses_midnight_and_belongs_to_the_day_it_began() -> None:
    friday_night = build_active_hours("22:00", "02:00", frozenset({4}))
    assert find_next_opening(friday_night, ROME, to_utc("2026-05-09T01:59")) is None
    assert find_next_opening(friday_night, ROME, to_utc("2026-05-08T01:00")) == to_utc("2026-05-08T22:00")
    assert find_next_opening(friday_night, ROME, to_utc("2026-05-09T02:00")) == to_utc("2026-05-15T22:00")


def test_equal_start_and_end_mean_24_hours() -> None:
    assert find_next_opening(build_active_hours("09:00", "09:00"), ROME, to_utc("2026-05-09T03:00")) is None


def test_a_window_that_falls_into_the_gap_opens_on_its_next_day() -> None:
    sunday = build_active_hours("02:10", "02:50", frozenset({6}))
    assert find_next_opening(sunday, ROME, to_utc("2026-03-28T12:00")) == to_utc("2026-04-05T02:10")


def test_a_start_that_occurs_twice_opens_at_the_first() -> None:
    hours = ActiveHours(time(2, 30), time(5), frozenset(range(7)), "contact")
    assert find_next_opening(hours, "Europe/Rome", datetime(2026, 10, 24, 22, 0, tzinfo=UTC)) == datetime(
        2026, 10, 25, 0, 30, tzinfo=UTC
    )


def test_a_local_time_that_occurs_twice_counts_both_times() -> None:
    window = build_active_hours("02:00", "02:30")
    assert find_next_opening(window, ROME, to_utc("2026-10-25T02:10")) is None
    assert find_next_opening(window, ROME, to_utc("2026-10-25T02:40")) == to_utc("2026-10-25T02:00", fold=1)
    assert find_next_opening(window, ROME, to_utc("2026-10-25T02:10", fold=1)) is None


@settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from([ROME, "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Beirut", "UTC"]),
    minutes=st.tuples(st.integers(0, 1439), st.integers(0, 1439)),
    days=st.frozensets(st.integers(0, 6), min_size=1),
    now=st.one_of(
        st.sampled_from(
            ["2026-03-28", "2026-10-24", "2026-03-07", "2026-10-31", "2026-04-04", "2018-11-03", "2026-10-03"]
        ),
        st.dates(date(2015, 1, 1), date(2030, 1, 1)).map(str),
    ),
    offset=st.integers(0, 2 * 1440),
)
def test_the_opening_is_the_first_open_minute(
    zone: str, minutes: tuple[int, int], days: frozenset[int], now: str, offset: int
) -> None:
    window = ActiveHours(time(*divmod(minutes[0], 60)), time(*divmod(minutes[1], 60)), days)
    moment = to_utc(f"{now}T00:00", zone) + timedelta(minutes=offset)
    expected = next(
        moment + timedelta(minutes=minute)
        for minute in range(15 * 1440)
        if is_open(window, zone, moment + timedelta(minutes=minute))
        and not (minute and starts_in_gap_before(window, zone, moment + timedelta(minutes=minute)))
    )
    assert (find_next_opening(window, zone, moment) or moment) == expected


def starts_in_gap_before(window: ActiveHours, zone: str, moment: datetime) -> bool:
    """Whether the window's start is in a gap of that day, and is read as a later time than this."""
    start = datetime.combine(moment.astimezone(find_zone(zone)).date(), window.start)
    return is_in_gap(start, find_zone(zone)) and moment < resolve(start, find_zone(zone))


def test_a_send_time_is_the_next_occurrence_of_a_time_of_day() -> None:
    assert parse_send_time("09:00", ROME, to_utc("2026-05-04T08:00")) == to_utc("2026-05-04T09:00")
    assert parse_send_time("09:00", ROME, to_utc("2026-05-04T10:00")) == to_utc("2026-05-05T09:00")


def test_a_send_time_is_in_the_zone_unless_it_has_its_own() -> None:
    now = to_utc("2026-05-04T08:00")
    assert parse_send_time("2026-05-06T10:00:00Z", ROME, now) == datetime(2026, 5, 6, 10, tzinfo=UTC)
    assert parse_send_time("2026-05-06T10:00:00", ROME, now) == to_utc("2026-05-06T10:00")


def test_any_other_send_time_is_rejected() -> None:
    with pytest.raises(ValueError):
        parse_send_time("tomorrow", ROME, to_utc("2026-05-04T08:00"))
