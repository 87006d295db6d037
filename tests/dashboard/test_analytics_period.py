"""The periods of the page of analytics, and the words for changes and rates."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from dashboard.pages.analytics_period import Range, Unit, build_period, describe_days
from dashboard.pages.analytics_texts import (
    Better,
    Change,
    compare_amounts,
    compare_rates,
    describe_counts,
    describe_times,
    format_rate,
)

ROME = ZoneInfo("Europe/Rome")
NOW = datetime(2026, 11, 30, 20, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "unit", "text", "buckets"),
    [
        ("7d", "day", "24–30 November 2026", 7),
        ("30d", "day", "1–30 November 2026", 30),
        ("90d", "day", "2 September – 30 November 2026", 90),
        ("7d", "hour", "24–30 November 2026", 168),
        ("24h", "day", "29 November 22:00 – 30 November 22:00", 24),
    ],
)
def test_a_range_ends_today_in_the_workspaces_zone(name: Range, unit: Unit, text: str, buckets: int) -> None:
    period = build_period(name, None, None, unit, ROME, NOW)
    assert period.describe() == text
    listed = period.list_buckets()
    assert len(listed) == buckets
    assert (listed[0].since, listed[-1].until) == (period.since, period.until)


def test_the_buckets_of_a_day_with_25_hours_touch_each_other() -> None:
    period = build_period("custom", date(2026, 10, 25), date(2026, 10, 25), "hour", ROME, NOW)
    buckets = period.list_buckets()
    assert len(buckets) == 25
    assert [bucket.until for bucket in buckets[:-1]] == [bucket.since for bucket in buckets[1:]]
    days = build_period("custom", date(2026, 10, 24), date(2026, 10, 26), "day", ROME, NOW).list_buckets()
    assert [day.until - day.since for day in days] == [timedelta(hours=hours) for hours in (24, 25, 24)]


def test_the_earlier_period_has_the_same_local_times() -> None:
    period = build_period("30d", None, None, "day", ROME, NOW)
    before = period.shift(period.days)
    assert before.describe() == "2–31 October 2026"
    assert before.until == period.since


@pytest.mark.parametrize(
    ("first", "last", "unit", "text"),
    [
        (date(2026, 11, 2), date(2026, 11, 1), "day", "1–2 November 2026"),
        (date(2025, 1, 1), date(2026, 10, 31), "day", "3 August – 31 October 2026"),
        (date(2026, 9, 1), date(2026, 11, 1), "hour", "1 September – 1 November 2026"),
        (None, date(2026, 10, 31), "day", "2–31 October 2026"),
        (None, None, "day", "1–30 November 2026"),
    ],
)
def test_a_custom_range_is_sorted_and_cut(first: date | None, last: date | None, unit: Unit, text: str) -> None:
    period = build_period("custom", first, last, unit, ROME, NOW)
    assert (period.describe(), period.unit) == (text, "day")


def test_days_of_two_years_name_both() -> None:
    assert describe_days(date(2026, 12, 30), date(2027, 1, 2)) == "30 December 2026 – 2 January 2027"
    assert describe_days(date(2026, 12, 30), date(2026, 12, 30)) == "30 December 2026"


@pytest.mark.parametrize(
    ("current", "before", "better", "change"),
    [
        (114, 100, "up", Change("▲", "14%", "up", "good")),
        (91, 100, "up", Change("▼", "9%", "down", "bad")),
        (91, 100, "down", Change("▼", "9%", "down", "good")),
        (120, 100, None, Change("▲", "20%", "up", "plain")),
        (1000, 1001, "up", Change("", "0%", "unchanged,", "plain")),
        (5, 0, "up", None),
        (None, 3, "up", None),
    ],
)
def test_a_change_is_good_where_its_direction_is(
    current: int | None, before: int, better: Better, change: Change | None
) -> None:
    assert compare_amounts(current, before, better) == change


def test_rates_change_by_points() -> None:
    assert compare_rates(0.985, 0.987) == Change("▼", "0.2 pt", "down", "bad")
    assert compare_rates(0.9, None) is None


def test_a_rate_is_never_rounded_to_all_or_nothing() -> None:
    assert [format_rate(rate) for rate in (1, 0.99996, 0.985, 0.0001, 0, None)] == [
        "100.0%", "> 99.9%", "98.5%", "< 0.1%", "0.0%", "–",
    ]  # fmt: skip


def test_a_chart_says_its_numbers() -> None:
    assert describe_counts(["Sat 21 Nov", "Sun 22 Nov"], [3, 1_200], "day") == (
        "1,203 executions in 2 days. Most on Sun 22 Nov: 1,200. Fewest on Sat 21 Nov: 3."
    )
    assert describe_counts(["Sat 21 Nov"], [0], "day") == "No executions in 1 day."
    assert describe_times(["Sat 21 Nov", "Sun 22 Nov"], [None, 4_800], 1_200, 4_800) == (
        "Half of the executions took at most 1.2 s, and 95% at most 4.8 s. Slowest on Sun 22 Nov: 4.8 s."
    )
