"""Which due tick of a schedule starts, and which are skipped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rules.due_ticks import MAX_COUNTED, DueTicks, SkippedTicks, parse_catch_up, sort_due_ticks

HOUR = 3600.0


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "first", "now", "catch_up", "start", "skipped"),
    [
        ("0 9 * * *", "2026-05-04T09:00", "2026-05-04T09:00:01", HOUR, "2026-05-04T09:00", None),
        ("0 9 * * *", "2026-05-04T09:00", "2026-05-04T10:00", HOUR, "2026-05-04T09:00", None),
        ("0 9 * * *", "2026-05-04T09:00", "2026-05-04T10:00:01", HOUR, None, (1, "2026-05-04T09:00")),
        ("0 9 * * *", "2026-05-04T09:00", "2026-05-06T09:30", HOUR, "2026-05-06T09:00", (2, "2026-05-05T09:00")),
        ("*/15 * * * *", "2026-05-04T09:00", "2026-05-04T09:50", HOUR, "2026-05-04T09:45", None),
        ("*/15 * * * *", "2026-05-04T09:00", "2026-05-04T11:07", HOUR, "2026-05-04T11:00", (5, "2026-05-04T10:00")),
        ("0 9 * * *", "2026-05-04T09:00", "2026-05-04T09:01", 0.0, "2026-05-04T09:00", None),
        ("0 9 * * *", "2026-05-04T09:00", "2026-05-04T09:01:01", 0.0, None, (1, "2026-05-04T09:00")),
        ("* * * * *", "2025-05-04T09:00", "2026-05-04T09:00:20", HOUR, "2026-05-04T09:00",
         (MAX_COUNTED, "2026-05-04T08:00")),
        ("0 18 28-31 * *", "2026-05-31T18:00", "2026-07-30T02:00", 7 * 24 * HOUR, "2026-07-29T18:00",
         (4, "2026-06-30T18:00")),
    ],
)  # fmt: skip
def test_the_last_tick_within_catch_up_starts_and_those_before_it_are_skipped(
    cron: str, first: str, now: str, catch_up: float, start: str | None, skipped: tuple[int, str] | None
) -> None:
    expected = SkippedTicks(skipped[0], at(first), at(skipped[1])) if skipped else None
    result = sort_due_ticks(cron, "UTC", at(first), at(now), catch_up)
    assert result == DueTicks(at(start) if start else None, expected)


def test_a_stored_time_that_is_no_tick_of_the_expression_counts_as_one() -> None:
    now = at("2026-05-04T12:00:30")
    result = sort_due_ticks("0 9 29 2 *", "UTC", now - timedelta(minutes=30), now, HOUR)
    assert result == DueTicks(now - timedelta(minutes=30), None)


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({}, HOUR),
        ({"catch_up": "2d"}, 172_800.0),
        ({"catch_up": 0}, 0),
        ({"catch_up": "0"}, 0),
        ({"catch_up": "0m"}, 0),
    ],
)
def test_catch_up_is_an_hour_unless_the_trigger_names_another(options: dict[str, object], seconds: float) -> None:
    assert parse_catch_up({"type": "schedule", "with": {"cron": "0 9 * * *", **options}}) == seconds
