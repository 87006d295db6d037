"""The shapes of the overview's chart, computed without a page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from dashboard.pages.changes import Change
from dashboard.pages.overview_chart import (
    LEFT,
    RIGHT,
    WINDOWS,
    Chart,
    Series,
    build_chart,
    find_start,
    list_intervals,
)

NOW = datetime(2026, 11, 24, 10, 42, tzinfo=UTC)
ROME = ZoneInfo("Europe/Rome")


def build(window: str = "day", **fields: object) -> Chart:
    since = find_start(WINDOWS[window], NOW)
    values = {"sent": {}, "failed": {}, "held": 0, "samples": [], "late_now": 0, "changes": [], **fields}
    return build_chart(WINDOWS[window], Series(since, NOW, **values), ROME, 800)  # type: ignore[arg-type]


@pytest.mark.parametrize(("window", "count"), [("hour", 30), ("day", 48), ("week", 84)])
def test_a_window_is_a_number_of_whole_intervals_and_the_current_one(window: str, count: int) -> None:
    starts = list_intervals(WINDOWS[window], find_start(WINDOWS[window], NOW), NOW)
    assert len(starts) == count
    assert starts[-1] <= NOW < starts[-1] + WINDOWS[window].step
    assert all(start.timestamp() % WINDOWS[window].step.total_seconds() == 0 for start in starts)


def test_sent_and_failed_have_one_scale_and_a_single_failure_is_visible() -> None:
    at = find_start(WINDOWS["day"], NOW)
    chart = build(sent={at: 300, at + timedelta(hours=1): 30}, failed={at: 30, at + timedelta(hours=1): 1})
    high, failed, low, single = chart.bars
    assert [bar.kind for bar in chart.bars] == ["sent", "failed", "sent", "failed"]
    assert low.height == pytest.approx(high.height / 10, abs=0.1)
    assert failed.height == pytest.approx(low.height, abs=0.1)
    assert single.height == 3
    assert high.y + high.height == pytest.approx(Chart.ZERO)
    assert failed.y > Chart.ZERO


def test_many_failures_shrink_the_bars_and_stay_in_their_room() -> None:
    at = find_start(WINDOWS["day"], NOW)
    chart = build(sent={at: 10}, failed={at: 1_000})
    assert max(bar.y + bar.height for bar in chart.bars) <= Chart.BELOW + 3


def test_what_waits_is_hatched_above_the_current_interval() -> None:
    newest = list_intervals(WINDOWS["day"], find_start(WINDOWS["day"], NOW), NOW)[-1]
    *_, held = build(sent={newest: 40}, held=38).bars
    assert (held.kind, held.x + held.width) == ("held", 800 - RIGHT)
    assert held.y >= Chart.TOP


def test_lateness_is_zero_without_a_sample_and_ends_at_the_delay_of_now() -> None:
    samples = [{"at": NOW - timedelta(hours=5), "oldest_seconds": 300}]
    chart = build(samples=samples, late_now=660)
    heights = [float(point.split(",")[1]) for point in chart.line.split()]
    assert heights.count(Chart.LATE_ZERO) == len(heights) - 2
    assert chart.now_late is not None
    assert (chart.now_late[2], chart.now_late[1]) == (11, min(heights))
    assert Chart.LATE_TOP < chart.alert_y < Chart.LATE_ZERO
    assert build(late_now=119).now_late is None


def test_icons_of_changes_do_not_overlap_and_stay_in_the_chart() -> None:
    changes = [
        Change(icon, "good", icon, "", NOW - timedelta(minutes=minutes))
        for minutes, icon in enumerate(["tag", "toggle", "pause", "tag", "tag"])
    ]
    marks = build(changes=[*changes, Change("tag", "good", "old", "", NOW - timedelta(days=3))]).marks
    assert [mark.change.icon for mark in marks] == ["tag", "toggle", "pause", "tag"]
    places = [mark.icon_x for mark in marks]
    assert all(left + 18 <= right for right, left in pairwise(places))
    assert all(LEFT < mark.x <= 800 - RIGHT for mark in marks)


def test_times_are_in_the_workspaces_zone_and_do_not_overlap() -> None:
    texts = [tick.text for tick in build().times]
    assert texts[-1] == "now 11:42"
    assert "Tue 00:00" in texts
    places = [tick.at for tick in build("week").times]
    assert all(after - before >= 50 for before, after in pairwise(places))
