"""Schedules, send times and active hours on the days on which a clock is put forward or back."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest

from rules.local_time import find_gap_end
from rules.schedule import ActiveHours, find_next_opening, find_next_tick, find_zone, is_open, parse_send_time

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
BEIRUT, ASUNCION, APIA = "Asia/Beirut", "America/Asuncion", "Pacific/Apia"
#: A local time that occurs twice: the second one bears this mark.
SECOND = "*"


def to_moment(text: str, zone: str) -> datetime:
    local = datetime.fromisoformat(text.rstrip(SECOND))
    return local.replace(tzinfo=find_zone(zone), fold=int(text.endswith(SECOND))).astimezone(UTC)


def format_local(moment: datetime, zone: str) -> str:
    local = moment.astimezone(find_zone(zone))
    return f"{local:%d %H:%M}" + SECOND * local.fold


def list_ticks(cron: str, zone: str, day: str, hours: int) -> list[str]:
    """List the ticks of so many hours from the local midnight of a day on, in local time."""
    at = datetime.fromisoformat(day).replace(tzinfo=find_zone(zone)).astimezone(UTC) - timedelta(seconds=1)
    until, ticks = at + timedelta(hours=hours), []
    while (at := find_next_tick(cron, zone, at)) <= until:
        ticks.append(format_local(at, zone))
    return ticks


@pytest.mark.parametrize(
    ("cron", "zone", "day", "ticks"),
    [
        ("30 2 * * *", BERLIN, "2026-03-29", ["29 03:00", "30 02:30"]),
        ("*/15 2 * * *", BERLIN, "2026-03-29", ["29 03:00", "30 02:00", "30 02:15", "30 02:30", "30 02:45"]),
        ("0 */2 * * *", BERLIN, "2026-03-29", ["29 00:00", "29 03:00", *(f"29 {h:02}:00" for h in range(4, 24, 2)),
                                               "30 00:00", "30 02:00", "30 04:00"]),
        ("30 2 * * *", NEW_YORK, "2026-03-08", ["08 03:00", "09 02:30"]),
        ("0 2,3 * * *", NEW_YORK, "2026-03-08", ["08 03:00", "09 02:00", "09 03:00"]),
        ("15 2 * * *", LORD_HOWE, "2026-10-04", ["04 02:30", "05 02:15"]),
        ("*/15 2 * * *", LORD_HOWE, "2026-10-04", ["04 02:30", "04 02:45",
                                                   *(f"05 02:{m:02}" for m in range(0, 60, 15))]),
        ("0 0 * * *", BEIRUT, "2026-03-29", ["29 01:00", "30 00:00"]),
        ("30 0 * * *", ASUNCION, "2023-10-01", ["01 01:00", "02 00:30"]),
        ("0 9 * * *", APIA, "2011-12-29", ["29 09:00", "31 00:00", "31 09:00"]),
        ("0 9 * * fri", APIA, "2011-12-29", ["31 00:00"]),
    ],
)  # fmt: skip
def test_all_ticks_in_a_gap_are_one_tick_at_its_end(cron: str, zone: str, day: str, ticks: list[str]) -> None:
    assert list_ticks(cron, zone, day, hours=28 if zone != APIA else 40) == ticks


@pytest.mark.parametrize(
    ("cron", "zone", "day", "ticks"),
    [
        ("30 2 * * *", BERLIN, "2026-10-25", ["25 02:30"]),
        ("*/15 2 * * *", BERLIN, "2026-10-25", ["25 02:00", "25 02:15", "25 02:30", "25 02:45"]),
        ("0,30 1-3 * * *", BERLIN, "2026-10-25", [f"25 0{h}:{m}" for h in (1, 2, 3) for m in ("00", "30")]),
        ("30 */2 * * *", BERLIN, "2026-10-25", ["25 00:30", "25 02:30", "25 02:30*", "25 04:30"]),
        ("30 2-3/2 * * *", BERLIN, "2026-10-25", ["25 02:30", "25 02:30*"]),
        ("30 * * * *", NEW_YORK, "2026-11-01",
         ["01 00:30", "01 01:30", "01 01:30*", "01 02:30", "01 03:30", "01 04:30"]),
        ("30 1 * * *", NEW_YORK, "2026-11-01", ["01 01:30"]),
        ("45 1 * * *", LORD_HOWE, "2026-04-05", ["05 01:45"]),
        ("*/15 1-2/2 * * *", LORD_HOWE, "2026-04-05",
         ["05 01:00", "05 01:15", "05 01:30", "05 01:45", "05 01:30*", "05 01:45*"]),
        ("0 0 * * *", BEIRUT, "2026-10-24", ["24 00:00", "25 00:00"]),
        ("30 23 * * *", BEIRUT, "2026-10-24", ["24 23:30"]),
    ],
)  # fmt: skip
def test_a_fixed_hour_ticks_once_where_it_occurs_twice_and_any_hour_both_times(
    cron: str, zone: str, day: str, ticks: list[str]
) -> None:
    assert list_ticks(cron, zone, day, hours=6 if zone != BEIRUT else 26) == ticks


@pytest.mark.parametrize("second", ["02:00", "02:10", "02:30", "02:59"])
def test_a_fixed_hour_does_not_tick_again_after_a_start_within_its_second_occurrence(second: str) -> None:
    after = to_moment(f"2026-10-25T{second}{SECOND}", BERLIN)
    assert format_local(find_next_tick("30 2 * * *", BERLIN, after), BERLIN) == "26 02:30"


@pytest.mark.parametrize("cron", ["*/15 2 * * *", "*/20 * * * *", "30 */3 * * *", "5 0-4/2 * * *", "0 2 29 3 *"])
@pytest.mark.parametrize(
    ("zone", "day"),
    [(BERLIN, "2026-03-29"), (BERLIN, "2026-10-25"), (LORD_HOWE, "2026-04-05"), (LORD_HOWE, "2026-10-04"),
     (BEIRUT, "2026-03-29"), (BEIRUT, "2026-10-24"), (ASUNCION, "2023-10-01"), (APIA, "2011-12-29")],
)  # fmt: skip
def test_the_next_tick_is_the_same_from_every_minute_before_it(cron: str, zone: str, day: str) -> None:
    begin = to_moment(f"{day}T00:00", zone)
    minutes = [begin + timedelta(minutes=n) for n in range(0, 30 * 60, 7)]
    ticks = [find_next_tick(cron, zone, minute) for minute in minutes]
    for minute, tick, following in zip(minutes, ticks, ticks[1:], strict=False):
        assert minute < tick <= following
        assert following == tick or tick <= minute + timedelta(minutes=7)


@pytest.mark.parametrize(
    ("zone", "now", "text", "at"),
    [
        (BERLIN, "2026-03-28T20:00", "02:30", "2026-03-29T03:30"),
        (BERLIN, "2026-03-28T20:00", "2026-03-29T02:30:00", "2026-03-29T03:30"),
        (BERLIN, "2026-10-24T20:00", "02:30", "2026-10-25T02:30"),
        (BERLIN, "2026-10-24T20:00", "2026-10-25T02:30", "2026-10-25T02:30"),
        (BERLIN, "2026-10-24T20:00", "2026-10-25T02:30:00+01:00", "2026-10-25T02:30*"),
        (BERLIN, "2026-10-25T02:10*", "02:30", "2026-10-26T02:30"),
        (NEW_YORK, "2026-03-07T20:00", "02:30", "2026-03-08T03:30"),
        (NEW_YORK, "2026-10-31T20:00", "01:30", "2026-11-01T01:30"),
        (LORD_HOWE, "2026-10-03T20:00", "02:15", "2026-10-04T02:45"),
        (LORD_HOWE, "2026-04-04T20:00", "01:45", "2026-04-05T01:45"),
        (BEIRUT, "2026-03-28T20:00", "00:00", "2026-03-29T01:00"),
        (ASUNCION, "2023-09-30T20:00", "00:30", "2023-10-01T01:30"),
        (APIA, "2011-12-29T10:00", "09:00", "2011-12-31T09:00"),
    ],
)
def test_a_send_time_in_a_gap_is_read_with_the_offset_before_it_and_is_the_first_of_two(
    zone: str, now: str, text: str, at: str
) -> None:
    assert parse_send_time(text, zone, to_moment(now, zone)) == to_moment(at, zone)


@pytest.mark.parametrize(
    ("zone", "start", "now", "opens_at"),
    [
        (BERLIN, "02:30", "2026-03-29T01:00", "2026-03-29T03:30"),
        (BERLIN, "02:30", "2026-10-25T01:00", "2026-10-25T02:30"),
        (NEW_YORK, "02:00", "2026-03-08T01:00", "2026-03-08T03:00"),
        (LORD_HOWE, "02:15", "2026-10-04T01:00", "2026-10-04T02:45"),
        (BEIRUT, "00:30", "2026-03-28T20:00", "2026-03-29T01:30"),
        (ASUNCION, "00:00", "2023-09-30T20:00", "2023-10-01T01:00"),
    ],
)
def test_active_hours_whose_start_is_in_a_gap_open_as_a_send_time_there_does(
    zone: str, start: str, now: str, opens_at: str
) -> None:
    hours = ActiveHours(time.fromisoformat(start), time(5), frozenset(range(7)))
    assert find_next_opening(hours, zone, to_moment(now, zone)) == to_moment(opens_at, zone)


def test_active_hours_are_read_off_the_clock_in_both_hours() -> None:
    hours = ActiveHours(time(2), time(2, 30), frozenset(range(7)))
    minutes = [f"2026-10-25T02:{minute}{mark}" for mark in ("", SECOND) for minute in ("10", "40")]
    assert [is_open(hours, BERLIN, to_moment(minute, BERLIN)) for minute in minutes] == [True, False, True, False]


def test_a_clock_that_is_put_back_into_the_window_opens_it_again() -> None:
    hours = ActiveHours(time(1), time(2, 30), frozenset(range(7)))
    now = to_moment("2026-10-25T02:40", BERLIN)
    assert find_next_opening(hours, BERLIN, now) == to_moment(f"2026-10-25T02:00{SECOND}", BERLIN)


def test_only_a_local_time_in_a_gap_has_its_end() -> None:
    begin, end = (datetime.fromisoformat(f"2026-03-29T{hour}:00") for hour in ("02", "03"))
    assert find_gap_end(begin, find_zone(BERLIN)) == to_moment("2026-03-29T03:00", BERLIN)
    with pytest.raises(ValueError, match="no gap"):
        find_gap_end(end, find_zone(BERLIN))
