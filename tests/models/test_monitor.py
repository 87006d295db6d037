"""The monitor's snapshot: every contact at the stage where it stands, and numbers that equal the rows."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
import walks

import clock
from models import automation, database, tally
from models.audit import SYSTEM
from models.database import acting_as, changed, rows, transaction, value
from models.reports import monitor, monitor_past
from rules.stages import STAGES
from settings import load

HELLO = {
    "trigger": {"type": "contact.created"},
    "steps": [{"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "Hi"}}],
}


@pytest.fixture
def welcome(alices: str) -> str:
    """An automation of Alice's with three follow-ups."""
    made = automation.create(alices, name="Welcome", type="workflow", definition=HELLO, actor=SYSTEM, enabled=True)
    with acting_as(alices):
        changed("update workflow_versions set definition = definition || "
                """'{"rules": {"follow_ups": {"max": 3, "every": "24h"}}}'""")  # fmt: skip
    return made.automation_id


def snapshot(workspace_id: str, automation_id: str, **asked: Any) -> dict[str, Any]:
    found = monitor.snapshot(workspace_id, automation_id, **asked)
    assert found is not None
    return found


def counts(found: dict[str, Any]) -> dict[str, int]:
    return {one["stage"]: one["count"] for one in found["stages"] if one["count"]}


def test_an_automation_that_nobody_entered_shows_ten_empty_stages_in_order(alices: str, welcome: str) -> None:
    found = snapshot(alices, welcome)
    assert [one["stage"] for one in found["stages"]] == list(STAGES)
    assert counts(found) == {}
    assert {one["average_seconds"] for one in found["stages"]} == {None}
    assert found["contacts"] == []
    assert found["automation"]["name"] == "Welcome"
    assert found["totals"] == {
        "active": 0, "last24_hours": 0, "sent": 0, "skipped": 0, "failed": 0, "unknown": 0,
    }  # fmt: skip
    assert found["backlog"] == {"count": 0, "a_minute": 0.0, "measured_seconds": 600, "seconds": None}


@pytest.mark.parametrize("tallied", [False, True], ids=["from the history", "from tallies"])
def test_every_stage_counts_exactly_those_that_stand_there(alices: str, welcome: str, tallied: bool) -> None:
    for number, stage in enumerate(STAGES, 1):
        for _ in range(number):
            walks.walk(alices, welcome, stage, name=None, ago=600)
    if tallied:
        tally.run_once()
    found = snapshot(alices, welcome)
    assert counts(found) == {stage: number for number, stage in enumerate(STAGES, 1)}
    assert found["totals"] == {
        "active": 28, "last24_hours": 55, "sent": 15, "skipped": 10, "failed": 9, "unknown": 0,
    }  # fmt: skip
    listed = [one["stage"] for one in found["contacts"]]
    assert {stage: listed.count(stage) for stage in STAGES} == counts(found)


def test_a_snapshot_is_the_same_before_and_after_the_tally(alices: str, welcome: str) -> None:
    for number, stage in enumerate(STAGES * 3):
        walks.walk(alices, welcome, stage, name=None, ago=40 + 53 * number, each=0.25 * (number + 1))
    before = snapshot(alices, welcome)
    assert tally.run_once()["tallied"] > 0
    with transaction():
        assert value("select sum(moves) from stage_tallies") > 0
    after = snapshot(alices, welcome)
    assert after["totals"] == before["totals"]
    assert counts(after) == counts(before)
    assert after["skipped"] == before["skipped"]
    averages = [[one["average_seconds"] for one in found["stages"]] for found in (before, after)]
    assert averages[0] == pytest.approx(averages[1])


def test_a_second_tally_counts_nothing_twice_and_takes_in_what_was_recorded_late(alices: str, welcome: str) -> None:
    walks.walk(alices, welcome, "completed", name=None, ago=60)
    tally.run_once()
    walks.walk(alices, welcome, "completed", name=None, ago=61)
    tally.run_once()
    tally.run_once()
    found = snapshot(alices, welcome)
    assert (counts(found), found["totals"]["sent"]) == ({"completed": 2}, 2)


def test_a_tally_after_a_standstill_takes_in_the_whole_day_an_hour_at_a_time(alices: str, welcome: str) -> None:
    for hours in range(24):
        walks.walk(alices, welcome, "completed", name=None, ago=300 + 3600 * hours)
    tallied = tally.run_once()["tallied"]
    with transaction():
        newest, oldest = rows("select max(at) as newest, min(at) as oldest from stage_tallies")[0].values()
        assert value("select sum(moves) from stage_tallies") == 24 * 7
    assert (newest - oldest).total_seconds() > 22 * 3600
    assert tallied >= 24 * 7
    with transaction():
        assert clock.now() - value("select until from tallied") < timedelta(seconds=60)
    assert snapshot(alices, welcome)["totals"]["sent"] == 24


def test_the_average_is_of_those_that_left_the_stage_in_the_last_day(alices: str, welcome: str) -> None:
    walks.walk(alices, welcome, "sent", ago=5, each=2.0)
    walks.walk(alices, welcome, "sent", ago=5, each=4.0)
    walks.walk(alices, welcome, "sent", ago=86_500, each=100.0)
    averages = {one["stage"]: one["average_seconds"] for one in snapshot(alices, welcome)["stages"]}
    assert averages["generating"] == 3.0
    assert averages["sent"] is None


def test_what_came_to_rest_more_than_a_day_ago_is_not_shown_and_what_still_waits_is(alices: str, welcome: str) -> None:
    for stage in ("completed", "failed", "skipped"):
        walks.walk(alices, welcome, stage, ago=86_500)
    old = walks.walk(alices, welcome, "sent", ago=300_000, **walks.waiting(waiting_for="follow_up", due_in=600))
    found = snapshot(alices, welcome)
    assert counts(found) == {"sent": 1}
    assert [one["execution_id"] for one in found["contacts"]] == [old]
    assert found["totals"]["last24_hours"] == 1


def test_a_contact_is_told_with_all_that_the_page_needs(alices: str, welcome: str) -> None:
    one = walks.walk(
        alices, welcome, "ready_to_send", name="Jane Smith", ago=12,
        **walks.waiting(waiting_for="time", due_in=300), follow_up_count=1,
    )  # fmt: skip
    walks.write(alices, welcome, one, "Hi Jane, following up", generation_ms=1243)
    (contact,) = snapshot(alices, welcome)["contacts"]
    assert (contact["name"], contact["stage"], contact["message"]) == (
        "Jane Smith", "ready_to_send", "Hi Jane, following up",
    )  # fmt: skip
    assert contact["generation_ms"] == 1243
    assert abs((contact["scheduled_for"] - clock.now()).total_seconds() - 300) < 5
    assert abs((clock.now() - contact["stage_since"]).total_seconds() - 12) < 5
    assert (contact["follow_up_count"], contact["follow_up_max"]) == (1, 3)


def test_at_most_a_hundred_are_listed_those_in_motion_first_and_no_failure_is_crowded_out(
    alices: str, welcome: str
) -> None:
    for _ in range(110):
        walks.walk(alices, welcome, "queued", name=None)
    running = walks.walk(alices, welcome, "sending", name=None)
    failure = walks.walk(alices, welcome, "failed", name=None, ago=3000)
    for _ in range(3):
        walks.walk(alices, welcome, "completed", name=None)
    found = snapshot(alices, welcome)
    listed = [one["execution_id"] for one in found["contacts"]]
    assert len(listed) == 100
    assert listed[0] == running
    assert listed[-1] == failure
    assert counts(found) == {"queued": 110, "sending": 1, "failed": 1, "completed": 3}


def test_what_waits_goes_by_when_it_goes_on_and_what_rests_by_when_it_came_to_rest(alices: str, welcome: str) -> None:
    names = {
        walks.walk(alices, welcome, "skipped", ago=20): "skipped",
        walks.walk(alices, welcome, "completed", ago=10): "completed",
        walks.walk(alices, welcome, "sent", **walks.waiting(waiting_for="follow_up", due_in=900)): "tomorrow",
        walks.walk(alices, welcome, "ready_to_send", **walks.waiting(waiting_for="time", due_in=60)): "soon",
        walks.walk(alices, welcome, "generating"): "now",
    }
    listed = [names[one["execution_id"]] for one in snapshot(alices, welcome)["contacts"]]
    assert listed == ["now", "soon", "tomorrow", "completed", "skipped"]


def test_tests_are_shown_and_can_be_left_out(alices: str, welcome: str) -> None:
    walks.walk(alices, welcome, "completed", test=True)
    walks.walk(alices, welcome, "completed")
    walks.walk(alices, welcome, "failed", test=True)
    for tallied in (False, True):
        if tallied:
            tally.run_once()
        assert counts(snapshot(alices, welcome)) == {"completed": 2, "failed": 1}
        real = snapshot(alices, welcome, test=False)
        assert (counts(real), real["totals"]["sent"], len(real["contacts"])) == ({"completed": 1}, 1, 1)
        tests = snapshot(alices, welcome, test=True)
        assert [one["test"] for one in tests["contacts"]] == [True, True]


def test_skipped_are_grouped_by_the_rule_with_its_words(alices: str, welcome: str) -> None:
    for _ in range(3):
        walks.walk(alices, welcome, "skipped", name=None)
    limit = {"skipped_rule": "daily_limit", "skipped_detail": '{"words": "Daily limit: 200 of 200 sent today"}'}
    walks.walk(alices, welcome, "skipped", name=None, **limit)
    assert snapshot(alices, welcome)["skipped"] == [
        {"rule": "active_hours", "count": 3, "words": "Outside the active hours"},
        {"rule": "daily_limit", "count": 1, "words": "Daily limit: 200 of 200 sent today"},
    ]


def test_what_is_held_for_an_unknown_outcome_is_told_apart_from_what_failed(alices: str, welcome: str) -> None:
    walks.walk(alices, welcome, "failed", error_class="unknown_outcome")
    walks.walk(alices, welcome, "failed")
    totals = snapshot(alices, welcome)["totals"]
    assert (totals["failed"], totals["unknown"]) == (1, 1)


def test_the_backlog_is_estimated_from_the_pace_since_its_oldest_may_go_on(alices: str, welcome: str) -> None:
    for ago, count in ((400, 20), (5, 10)):
        for _ in range(count):
            walks.walk(alices, welcome, "sent", name=None, ago=ago)
    for number in range(5):
        walks.walk(alices, welcome, "queued", name=None, ago=20 - number)
    walks.walk(alices, welcome, "ready_to_send", name=None, ago=300, **walks.waiting(waiting_for="time", due_in=3600))
    with acting_as(alices):
        changed("update executions set status = 'waiting', waiting_for = 'follow_up', lease_until = null, "
                "due_at = beckon_now() + interval '1 day' where stage = 'sent'")  # fmt: skip
    found = snapshot(alices, welcome)["backlog"]
    assert (found["count"], found["measured_seconds"]) == (5, 20)
    assert found["a_minute"] == pytest.approx(30, rel=0.05)
    assert found["seconds"] == pytest.approx(10, rel=0.05)


def test_a_backlog_of_which_none_has_arrived_goes_by_the_pace_of_ten_minutes(alices: str, welcome: str) -> None:
    for _ in range(20):
        walks.walk(alices, welcome, "sent", name=None, ago=120)
    with acting_as(alices):
        changed("update executions set status = 'waiting', waiting_for = 'follow_up', lease_until = null, "
                "due_at = beckon_now() + interval '1 day' where stage = 'sent'")  # fmt: skip
    for _ in range(5):
        walks.walk(alices, welcome, "queued", name=None)
    assert snapshot(alices, welcome)["backlog"] == {
        "count": 5, "a_minute": 2.0, "measured_seconds": 600, "seconds": 150.0,
    }  # fmt: skip


def test_the_trend_has_the_newest_quarter_of_an_hour_last(alices: str, welcome: str) -> None:
    walks.walk(alices, welcome, "completed", ago=1)
    walks.walk(alices, welcome, "completed", ago=3 * 3600 + 60)
    trend = next(one["trend"] for one in snapshot(alices, welcome)["stages"] if one["stage"] == "completed")
    assert len(trend) == 24
    assert (trend[-1], trend[-13], sum(trend)) == (1, 1, 2)


def test_charlie_is_not_shown_what_alice_has_in_motion(
    alices: str, charlies: str, welcome: str, as_service: None
) -> None:
    walks.walk(alices, welcome, "generating", ago=60)
    walks.walk(alices, welcome, "completed", ago=60)
    tally.run_once()
    database.open_pool(load().database_app_url, "beckon_app", 2)
    assert monitor.snapshot(charlies, welcome) is None
    assert counts(snapshot(alices, welcome)) == {"generating": 1, "completed": 1}


@pytest.mark.parametrize("view", ["automation_contact_states", "active_automation_contacts", "automation_live_stats"])
def test_the_views_show_a_workspace_its_own_rows_and_the_columns_of_the_document(
    alices: str, charlies: str, welcome: str, as_service: None, view: str
) -> None:
    walks.walk(alices, welcome, "generating", ago=60)
    database.open_pool(load().database_app_url, "beckon_app", 2)
    with acting_as(charlies):
        assert rows(f"select * from {view}") == []
    with acting_as(alices):
        (found,) = rows(f"select * from {view}")
    assert (found["rule_id"], found["current_stage"]) == (welcome, "generating")
    if view != "automation_live_stats":
        assert {
            "contact_id", "stage_entered_at", "updated_at", "generated_message", "generation_ms", "error",
            "follow_up_count", "next_check_at", "scheduled_for", "workspace_id",
        } <= set(found)  # fmt: skip


def test_tallies_older_than_anybody_asks_for_are_removed(alices: str, welcome: str) -> None:
    walks.walk(alices, welcome, "completed", ago=60)
    tally.run_once()
    with transaction():
        changed("update stage_tallies set at = %s", (clock.now() - timedelta(hours=40),))
    assert tally.run_once()["removed"] > 0


def past(workspace_id: str, automation_id: str, seconds: float) -> dict[str, Any]:
    found = monitor_past.snapshot(workspace_id, automation_id, clock.now() - timedelta(seconds=seconds))
    assert found is not None
    return found


@pytest.mark.parametrize("tallied", [False, True], ids=["from the history", "from tallies"])
def test_at_a_past_moment_everybody_stands_where_they_stood_then(alices: str, welcome: str, tallied: bool) -> None:
    walks.walk(alices, welcome, "completed", name="Ada", ago=3000, each=600)
    walks.walk(alices, welcome, "failed", name="Bob", ago=3000, each=600)
    walks.walk(alices, welcome, "skipped", name="Eve", ago=5000, each=600)
    walks.walk(alices, welcome, "sent", name="Tom", ago=9000, each=600,
               **walks.waiting(waiting_for="follow_up", due_in=600))  # fmt: skip
    walks.walk(alices, welcome, "queued", name="Zoe", ago=100)
    if tallied:
        tally.run_once()
    for seconds, stand in (
        (4500, {"Ada": "ready_to_send", "Bob": "generating", "Eve": "skipped", "Tom": "sent"}),
        (5100, {"Ada": "generating", "Bob": "eligible", "Eve": "checking", "Tom": "sent"}),
        (6900, {"Ada": "queued", "Tom": "sent"}),
        (50, {"Ada": "completed", "Bob": "failed", "Eve": "skipped", "Tom": "sent", "Zoe": "queued"}),
    ):
        found = past(alices, welcome, seconds)
        assert {one["name"]: one["stage"] for one in found["contacts"]} == stand
        assert counts(found) == Counter(stand.values())
    assert past(alices, welcome, 4500)["totals"]["active"] == 3


def test_a_past_moment_tells_since_when_and_only_what_was_known_then(alices: str, welcome: str) -> None:
    one = walks.walk(alices, welcome, "ready_to_send", name="Ada", ago=100, each=600)
    walks.write(alices, welcome, one, "Hi Ada", created_at=clock.now() - timedelta(seconds=100))
    (contact,) = past(alices, welcome, 400)["contacts"]
    assert (contact["stage"], contact["message"]) == ("generating", None)
    assert abs((clock.now() - contact["stage_since"]).total_seconds() - 700) < 5
    (contact,) = past(alices, welcome, 50)["contacts"]
    assert (contact["stage"], contact["message"]) == ("ready_to_send", "Hi Ada")
