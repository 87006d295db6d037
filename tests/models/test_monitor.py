"""The monitor's snapshot: every contact at its stage, and counts that equal the rows."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

import clock
from models import automation, database
from models.audit import SYSTEM
from models.checks import rollups
from models.database import acting_as, transaction
from models.queries import execute, fetch_value
from models.reports import monitor, monitor_history
from models.reports.monitor_snapshot import (
    AutomationState,
    Backlog,
    ContactRow,
    SkippedRow,
    Snapshot,
    StageSummary,
    Totals,
)
from rules.stages import STAGES
from settings import load
from tests.support import histories
from tests.support.rows import fetch_rows

HELLO = {
    "trigger": {"type": "contact.created"},
    "steps": [{"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "Hi"}}],
}


@pytest.fixture
def welcome(alices: str) -> str:
    """Alice's automation with three follow-ups."""
    publication = automation.create(
        alices, name="Welcome", type="workflow", definition=HELLO, actor=SYSTEM, enabled=True
    )
    with acting_as(alices):
        execute("update workflow_versions set definition = definition || "
                """'{"rules": {"follow_ups": {"max": 3, "every": "24h"}}}'""")  # fmt: skip
    return publication.automation_id


def load_snapshot(workspace_id: str, automation_id: str, **filters: Any) -> Snapshot:
    snapshot = monitor.fetch_snapshot(workspace_id, automation_id, **filters)
    assert snapshot is not None
    return snapshot


def count_by_stage(snapshot: Snapshot) -> dict[str, int]:
    return {stage["stage"]: stage["count"] for stage in snapshot["stages"] if stage["count"]}


def test_an_automation_without_contacts_shows_ten_empty_stages_in_order(alices: str, welcome: str) -> None:
    snapshot = load_snapshot(alices, welcome)
    assert [stage["stage"] for stage in snapshot["stages"]] == list(STAGES)
    assert count_by_stage(snapshot) == {}
    assert {stage["average_seconds"] for stage in snapshot["stages"]} == {None}
    assert snapshot["contacts"] == []
    assert snapshot["automation"]["name"] == "Welcome"
    assert snapshot["totals"] == {
        "active": 0, "last24_hours": 0, "sent": 0, "skipped": 0, "failed": 0, "unknown": 0,
    }  # fmt: skip
    assert snapshot["backlog"] == {"count": 0, "a_minute": 0.0, "measured_seconds": 600, "seconds": None}


@pytest.mark.parametrize("tallied", [False, True], ids=["from the history", "from tallies"])
def test_every_stage_counts_exactly_its_contacts(alices: str, welcome: str, tallied: bool) -> None:
    for number, stage in enumerate(STAGES, 1):
        for _ in range(number):
            histories.insert_execution(alices, welcome, stage, name=None, ago=600)
    if tallied:
        rollups.run_once()
    snapshot = load_snapshot(alices, welcome)
    assert count_by_stage(snapshot) == {stage: number for number, stage in enumerate(STAGES, 1)}
    assert snapshot["totals"] == {
        "active": 28, "last24_hours": 55, "sent": 15, "skipped": 10, "failed": 9, "unknown": 0,
    }  # fmt: skip
    listed = [contact["stage"] for contact in snapshot["contacts"]]
    assert {stage: listed.count(stage) for stage in STAGES} == count_by_stage(snapshot)


def test_a_snapshot_is_the_same_before_and_after_the_tally(alices: str, welcome: str) -> None:
    for number, stage in enumerate(STAGES * 3):
        histories.insert_execution(alices, welcome, stage, name=None, ago=40 + 53 * number, each=0.25 * (number + 1))
    before = load_snapshot(alices, welcome)
    assert rollups.run_once()["tallied"] > 0
    with transaction():
        assert fetch_value("select sum(moves) from stage_tallies") > 0
    after = load_snapshot(alices, welcome)
    assert after["totals"] == before["totals"]
    assert count_by_stage(after) == count_by_stage(before)
    assert after["skipped"] == before["skipped"]
    averages = [[stage["average_seconds"] for stage in snapshot["stages"]] for snapshot in (before, after)]
    assert averages[0] == pytest.approx(averages[1])


def test_a_second_tally_counts_nothing_twice_and_adds_late_records(alices: str, welcome: str) -> None:
    histories.insert_execution(alices, welcome, "completed", name=None, ago=60)
    rollups.run_once()
    histories.insert_execution(alices, welcome, "completed", name=None, ago=61)
    rollups.run_once()
    rollups.run_once()
    snapshot = load_snapshot(alices, welcome)
    assert (count_by_stage(snapshot), snapshot["totals"]["sent"]) == ({"completed": 2}, 2)


def test_a_tally_after_an_outage_covers_the_day_hour_by_hour(alices: str, welcome: str) -> None:
    for hours in range(24):
        histories.insert_execution(alices, welcome, "completed", name=None, ago=300 + 3600 * hours)
    tallied = rollups.run_once()["tallied"]
    with transaction():
        newest, oldest = fetch_rows("select max(at) as newest, min(at) as oldest from stage_tallies")[0].values()
        assert fetch_value("select sum(moves) from stage_tallies") == 24 * 7
    assert (newest - oldest).total_seconds() > 22 * 3600
    assert tallied >= 24 * 7
    with transaction():
        assert fetch_value("select until from tallied") >= newest
    assert load_snapshot(alices, welcome)["totals"]["sent"] == 24


def test_the_average_covers_moves_out_of_the_stage_in_the_last_day(alices: str, welcome: str) -> None:
    histories.insert_execution(alices, welcome, "sent", ago=5, each=2.0)
    histories.insert_execution(alices, welcome, "sent", ago=5, each=4.0)
    histories.insert_execution(alices, welcome, "sent", ago=86_500, each=100.0)
    averages = {stage["stage"]: stage["average_seconds"] for stage in load_snapshot(alices, welcome)["stages"]}
    assert averages["generating"] == 3.0
    assert averages["sent"] is None


def test_executions_finished_over_a_day_ago_are_hidden_and_waiting_ones_shown(alices: str, welcome: str) -> None:
    for stage in ("completed", "failed", "skipped"):
        histories.insert_execution(alices, welcome, stage, ago=86_500)
    old = histories.insert_execution(
        alices, welcome, "sent", ago=300_000, **histories.build_waiting_columns(waiting_for="follow_up", due_in=600)
    )
    snapshot = load_snapshot(alices, welcome)
    assert count_by_stage(snapshot) == {"sent": 1}
    assert [contact["execution_id"] for contact in snapshot["contacts"]] == [old]
    assert snapshot["totals"]["last24_hours"] == 1


def test_a_contact_has_every_field_of_the_page(alices: str, welcome: str) -> None:
    execution_id = histories.insert_execution(
        alices, welcome, "ready_to_send", name="Jane Smith", ago=12,
        **histories.build_waiting_columns(waiting_for="time", due_in=300), follow_up_count=1,
    )  # fmt: skip
    histories.insert_message(alices, welcome, execution_id, "Hi Jane, following up", generation_ms=1243)
    (contact,) = load_snapshot(alices, welcome)["contacts"]
    assert (contact["name"], contact["stage"], contact["message"]) == (
        "Jane Smith", "ready_to_send", "Hi Jane, following up",
    )  # fmt: skip
    assert contact["generation_ms"] == 1243
    with acting_as(alices):
        columns = fetch_rows("select due_at, stage_since from executions where id = %s", (execution_id,))
    assert columns == [{"due_at": contact["scheduled_for"], "stage_since": contact["stage_since"]}]
    assert (contact["follow_up_count"], contact["follow_up_max"]) == (1, 3)


def test_at_most_a_hundred_are_listed_active_first_with_room_for_failures(alices: str, welcome: str) -> None:
    for _ in range(110):
        histories.insert_execution(alices, welcome, "queued", name=None)
    running = histories.insert_execution(alices, welcome, "sending", name=None)
    failure = histories.insert_execution(alices, welcome, "failed", name=None, ago=3000)
    for _ in range(3):
        histories.insert_execution(alices, welcome, "completed", name=None)
    snapshot = load_snapshot(alices, welcome)
    listed = [contact["execution_id"] for contact in snapshot["contacts"]]
    assert len(listed) == 100
    assert listed[0] == running
    assert listed[-1] == failure
    assert count_by_stage(snapshot) == {"queued": 110, "sending": 1, "failed": 1, "completed": 3}


def test_waiting_contacts_sort_by_due_time_and_finished_ones_by_finish_time(alices: str, welcome: str) -> None:
    names = {
        histories.insert_execution(alices, welcome, "skipped", ago=20): "skipped",
        histories.insert_execution(alices, welcome, "completed", ago=10): "completed",
        histories.insert_execution(
            alices, welcome, "sent", **histories.build_waiting_columns(waiting_for="follow_up", due_in=900)
        ): "tomorrow",
        histories.insert_execution(
            alices, welcome, "ready_to_send", **histories.build_waiting_columns(waiting_for="time", due_in=60)
        ): "soon",
        histories.insert_execution(alices, welcome, "generating"): "now",
    }
    listed = [names[contact["execution_id"]] for contact in load_snapshot(alices, welcome)["contacts"]]
    assert listed == ["now", "soon", "tomorrow", "completed", "skipped"]


def test_tests_are_included_and_can_be_excluded(alices: str, welcome: str) -> None:
    histories.insert_execution(alices, welcome, "completed", test=True)
    histories.insert_execution(alices, welcome, "completed")
    histories.insert_execution(alices, welcome, "failed", test=True)
    for tallied in (False, True):
        if tallied:
            rollups.run_once()
        assert count_by_stage(load_snapshot(alices, welcome)) == {"completed": 2, "failed": 1}
        real = load_snapshot(alices, welcome, test=False)
        assert (count_by_stage(real), real["totals"]["sent"], len(real["contacts"])) == ({"completed": 1}, 1, 1)
        tests = load_snapshot(alices, welcome, test=True)
        assert [contact["test"] for contact in tests["contacts"]] == [True, True]


def test_skipped_contacts_are_grouped_by_rule_with_its_text(alices: str, welcome: str) -> None:
    for _ in range(3):
        histories.insert_execution(alices, welcome, "skipped", name=None)
    limit = {"skipped_rule": "daily_limit", "skipped_detail": '{"words": "Daily limit: 200 of 200 sent today"}'}
    histories.insert_execution(alices, welcome, "skipped", name=None, **limit)
    assert load_snapshot(alices, welcome)["skipped"] == [
        {"rule": "active_hours", "count": 3, "words": "Outside the active hours"},
        {"rule": "daily_limit", "count": 1, "words": "Daily limit: 200 of 200 sent today"},
    ]


def test_unknown_outcomes_are_counted_apart_from_failures(alices: str, welcome: str) -> None:
    histories.insert_execution(alices, welcome, "failed", error_class="unknown_outcome")
    histories.insert_execution(alices, welcome, "failed")
    totals = load_snapshot(alices, welcome)["totals"]
    assert (totals["failed"], totals["unknown"]) == (1, 1)


def test_the_backlog_is_estimated_from_the_rate_since_its_oldest_became_due(alices: str, welcome: str) -> None:
    for ago, count in ((400, 20), (5, 10)):
        for _ in range(count):
            histories.insert_execution(alices, welcome, "sent", name=None, ago=ago)
    for number in range(5):
        histories.insert_execution(alices, welcome, "queued", name=None, ago=20 - number)
    histories.insert_execution(
        alices,
        welcome,
        "ready_to_send",
        name=None,
        ago=300,
        **histories.build_waiting_columns(waiting_for="time", due_in=3600),
    )
    with acting_as(alices):
        execute("update executions set status = 'waiting', waiting_for = 'follow_up', lease_until = null, "
                "due_at = beckon_now() + interval '1 day' where stage = 'sent'")  # fmt: skip
    backlog = load_snapshot(alices, welcome)["backlog"]
    assert (backlog["count"], backlog["measured_seconds"]) == (5, 20)
    assert backlog["a_minute"] == pytest.approx(30, rel=0.05)
    assert backlog["seconds"] == pytest.approx(10, rel=0.05)


def test_a_backlog_without_recent_moves_uses_the_rate_of_ten_minutes(alices: str, welcome: str) -> None:
    for _ in range(20):
        histories.insert_execution(alices, welcome, "sent", name=None, ago=120)
    with acting_as(alices):
        execute("update executions set status = 'waiting', waiting_for = 'follow_up', lease_until = null, "
                "due_at = beckon_now() + interval '1 day' where stage = 'sent'")  # fmt: skip
    for _ in range(5):
        histories.insert_execution(alices, welcome, "queued", name=None)
    assert load_snapshot(alices, welcome)["backlog"] == {
        "count": 5, "a_minute": 2.0, "measured_seconds": 600, "seconds": 150.0,
    }  # fmt: skip


def test_the_trend_ends_with_the_newest_quarter_of_an_hour(alices: str, welcome: str) -> None:
    histories.insert_execution(alices, welcome, "completed", ago=1)
    histories.insert_execution(alices, welcome, "completed", ago=3 * 3600 + 60)
    trend = next(stage["trend"] for stage in load_snapshot(alices, welcome)["stages"] if stage["stage"] == "completed")
    assert len(trend) == 24
    assert (trend[-1], trend[-13], sum(trend)) == (1, 1, 2)


def test_charlie_cannot_see_alice_s_active_contacts(alices: str, charlies: str, welcome: str, as_service: None) -> None:
    histories.insert_execution(alices, welcome, "generating", ago=60)
    histories.insert_execution(alices, welcome, "completed", ago=60)
    rollups.run_once()
    database.open_pool(load().database_app_url, "beckon_app", 2)
    assert monitor.fetch_snapshot(charlies, welcome) is None
    assert count_by_stage(load_snapshot(alices, welcome)) == {"generating": 1, "completed": 1}


@pytest.mark.parametrize("view", ["automation_contact_states", "active_automation_contacts", "automation_live_stats"])
def test_the_views_show_a_workspace_only_its_rows_and_the_documented_columns(
    alices: str, charlies: str, welcome: str, as_service: None, view: str
) -> None:
    histories.insert_execution(alices, welcome, "generating", ago=60)
    database.open_pool(load().database_app_url, "beckon_app", 2)
    with acting_as(charlies):
        assert fetch_rows(f"select * from {view}") == []
    with acting_as(alices):
        (row,) = fetch_rows(f"select * from {view}")
    assert (row["rule_id"], row["current_stage"]) == (welcome, "generating")
    if view != "automation_live_stats":
        assert {
            "contact_id", "stage_entered_at", "updated_at", "generated_message", "generation_ms", "error",
            "follow_up_count", "next_check_at", "scheduled_for", "workspace_id",
        } <= set(row)  # fmt: skip


def test_expired_tallies_are_removed(alices: str, welcome: str) -> None:
    histories.insert_execution(alices, welcome, "completed", ago=60)
    rollups.run_once()
    with transaction():
        execute("update stage_tallies set at = %s", (clock.now() - timedelta(hours=40),))
    assert rollups.run_once()["removed"] > 0


def load_past_snapshot(workspace_id: str, automation_id: str, seconds: float) -> Snapshot:
    snapshot = monitor_history.fetch_snapshot(workspace_id, automation_id, clock.now() - timedelta(seconds=seconds))
    assert snapshot is not None
    return snapshot


def test_every_part_of_a_snapshot_has_the_fields_of_its_type(alices: str, welcome: str) -> None:
    histories.insert_execution(alices, welcome, "skipped", name="Ada", ago=60)
    for snapshot in (load_snapshot(alices, welcome), load_past_snapshot(alices, welcome, 30)):
        parts = {
            Snapshot: snapshot, AutomationState: snapshot["automation"], StageSummary: snapshot["stages"][0],
            ContactRow: snapshot["contacts"][0], Totals: snapshot["totals"], SkippedRow: snapshot["skipped"][0],
            Backlog: snapshot["backlog"],
        }  # fmt: skip
        for part_type, part in parts.items():
            assert set(part) == set(part_type.__annotations__)


@pytest.mark.parametrize("tallied", [False, True], ids=["from the history", "from tallies"])
def test_a_past_moment_shows_every_contact_at_its_stage_of_that_moment(
    alices: str, welcome: str, tallied: bool
) -> None:
    histories.insert_execution(alices, welcome, "completed", name="Ada", ago=3000, each=600)
    histories.insert_execution(alices, welcome, "failed", name="Bob", ago=3000, each=600)
    histories.insert_execution(alices, welcome, "skipped", name="Eve", ago=5000, each=600)
    histories.insert_execution(alices, welcome, "sent", name="Tom", ago=9000, each=600,
               **histories.build_waiting_columns(waiting_for="follow_up", due_in=600))  # fmt: skip
    histories.insert_execution(alices, welcome, "queued", name="Zoe", ago=100)
    if tallied:
        rollups.run_once()
    for seconds, expected in (
        (4500, {"Ada": "ready_to_send", "Bob": "generating", "Eve": "skipped", "Tom": "sent"}),
        (5100, {"Ada": "generating", "Bob": "eligible", "Eve": "checking", "Tom": "sent"}),
        (6900, {"Ada": "queued", "Tom": "sent"}),
        (50, {"Ada": "completed", "Bob": "failed", "Eve": "skipped", "Tom": "sent", "Zoe": "queued"}),
    ):
        snapshot = load_past_snapshot(alices, welcome, seconds)
        assert {contact["name"]: contact["stage"] for contact in snapshot["contacts"]} == expected
        assert count_by_stage(snapshot) == Counter(expected.values())
    assert load_past_snapshot(alices, welcome, 4500)["totals"]["active"] == 3


def test_a_past_moment_shows_times_and_only_data_recorded_by_then(alices: str, welcome: str) -> None:
    execution_id = histories.insert_execution(alices, welcome, "ready_to_send", name="Ada", ago=100, each=600)
    histories.insert_message(alices, welcome, execution_id, "Hi Ada", created_at=clock.now() - timedelta(seconds=100))
    (contact,) = load_past_snapshot(alices, welcome, 400)["contacts"]
    assert (contact["stage"], contact["message"]) == ("generating", None)
    with acting_as(alices):
        entered_at = fetch_value(
            "select entered_at from stage_history where execution_id = %s and stage = 'generating'", (execution_id,)
        )
    assert contact["stage_since"] == entered_at
    (contact,) = load_past_snapshot(alices, welcome, 50)["contacts"]
    assert (contact["stage"], contact["message"]) == ("ready_to_send", "Hi Ada")
