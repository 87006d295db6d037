"""Tracked executions from the door to the record: nothing is lost, nothing is doubled, a bad one harms nobody."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dramatiq
import peewee
import pytest
import redis
from dramatiq import Worker

import clock
from ephemeral import tracking_notices
from models import tracking_intake
from models.checks import verification
from models.ids import new_id
from models.queries import execute, fetch_value
from models.reports import tracking_intake as tracking_intake_report
from rules.tracking import TrackedAction
from tasks.health import tracking
from tasks.health.facts import Facts
from tasks.health.parts import Part
from tasks.intake import tracked_executions, tracking_records
from tasks.intake.tracked_executions import Acceptance, accept
from tasks.intake.tracking_actor import record_tracked_executions
from tasks.periodic_jobs import record_overdue_tracking
from tasks.runtime.broker import read_queue_depths
from tests.support.concurrency import assert_consistent
from tests.support.factories import Alice, counters
from tests.support.rows import fetch_rows
from tests.support.tracking import build_entry, build_execution, store


@pytest.fixture
def alice(idle: Worker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Alice]:
    """Alice, while no worker records by itself."""
    monkeypatch.setattr(tracking_notices, "LINGER_SECONDS", 0)
    monkeypatch.setattr(tracking_notices, "_marked_until", 0)
    tracking_notices.clear()
    yield Alice()
    dramatiq.get_broker().flush("tracking")


@pytest.fixture
def offer(alice: Alice) -> str:
    return alice.automation()


def count_rows(table: str) -> int:
    return int(fetch_value(f"select count(*) from {table}"))


def test_an_accepted_execution_is_stored_and_then_recorded_as_it_was_sent(alice: Alice, offer: str) -> None:
    site_key_id = new_id()
    execution = build_execution(offer, "exec-1")
    assert accept(alice.workspace_id, site_key_id, [execution]) == [Acceptance("exec-1", duplicate=False)]
    assert count_rows("tracking_intake") == 1
    assert tracking_records.record_waiting(1) == (1, False)
    (row,) = fetch_rows("select * from workflow_executions")
    names = ("execution_id", "workflow_id", "user_id", "status", "execution_time_ms", "page_url", "session_id",
             "device_type", "trigger_name")  # fmt: skip
    assert {name: row[name] for name in names} == {name: getattr(execution, name) for name in names}
    assert (row["site_key_id"], row["action_count"], row["failed_actions"]) == (site_key_id, 1, 0)
    (event,) = fetch_rows("select name, element_selector, execution_time_ms, event_data, error from analytics_events")
    assert tuple(event.values()) == ("Replace Text", ".hero", 45, {"newText": "Hi"}, None)


def test_an_execution_without_optional_fields_is_recorded(alice: Alice, offer: str) -> None:
    fields = dict.fromkeys(("user_id", "execution_time_ms", "page_url", "session_id", "device_type", "trigger_name"))
    accept(alice.workspace_id, None, [build_execution(offer, **fields, actions=())])
    assert tracking_records.record_waiting(1) == (1, False)
    assert count_rows("analytics_events") == 0
    assert_consistent()


def test_duplicates_are_told_apart_within_and_across_requests(alice: Alice, offer: str) -> None:
    first = accept(alice.workspace_id, None, [build_execution(offer, name) for name in ("a", "b", "a")])
    again = accept(alice.workspace_id, None, [build_execution(offer, name) for name in ("b", "c")])
    assert [result.duplicate for result in first] == [False, False, True]
    assert [result.duplicate for result in again] == [True, False]
    assert tracking_records.record_waiting(1) == (3, False)


def test_no_executions_are_accepted_without_a_write(alice: Alice) -> None:
    assert accept(alice.workspace_id, None, []) == []


def test_values_that_only_the_standard_library_writes_are_stored(alice: Alice, offer: str) -> None:
    action = TrackedAction("Show", None, None, {"big": 10**30, "text": "\ud800 \x00 C:\\ud"}, None)
    accept(alice.workspace_id, None, [build_execution(offer, actions=(action,))])
    assert tracking_records.record_waiting(1) == (1, False)
    (event,) = fetch_rows("select event_data->>'big' as big, event_data->>'text' as text from analytics_events")
    assert event == {"big": str(10**30), "text": "?  C:\\ud"}


def test_concurrent_requests_of_two_workspaces_are_each_accepted_once(alice: Alice, offer: str) -> None:
    charlie = Alice(name="charlie")
    theirs = charlie.automation()
    requests = [
        (owner, automation_id, f"exec-{number % 50}")
        for number in range(100) for owner, automation_id in ((alice, offer), (charlie, theirs))
    ]  # fmt: skip

    def send(request: tuple[Alice, str, str]) -> bool:
        owner, automation_id, execution_id = request
        return accept(owner.workspace_id, None, [build_execution(automation_id, execution_id)])[0].duplicate

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(send, requests)) == 100
    tracking_records.record_waiting(5)
    assert (
        counters(alice.workspace_id, offer)["executions"] == counters(charlie.workspace_id, theirs)["executions"] == 50
    )
    assert all(finding.holds for finding in verification.verify())


def test_many_recorders_at_once_count_each_execution_once(alice: Alice, offer: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(tracking_records, "BATCH_SIZE", 7)
    automations = [offer, *(alice.automation(name=f"Offer {number}") for number in range(3))]
    entries = [
        build_entry(alice.workspace_id, automations[number % 4], status=("success", "error", "timeout")[number % 3])
        for number in range(400)
    ]
    store(*entries)
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda _: tracking_records.record_waiting(20), range(6)))
    tracking_records.record_waiting(20)
    assert sum(count for count, _ in done) <= 400
    assert count_rows("workflow_executions") == 400
    assert [counters(alice.workspace_id, automation_id)["executions"] for automation_id in automations] == [100] * 4
    assert_consistent()
    assert all(finding.holds for finding in verification.verify())


def test_an_entry_that_cannot_be_recorded_is_set_aside_and_its_neighbours_go_on(
    alice: Alice, offer: str, caplog: Any
) -> None:
    entries = [build_entry(alice.workspace_id, offer) for _ in range(20)]
    for bad, (field, value) in zip((3, 4, 17), (("execution_time_ms", "soon"), ("status", "late"), ("actions", 7)),
                                   strict=True):  # fmt: skip
        entries[bad]["body"][field] = value
    store(*entries)
    assert tracking_records.record_waiting(5) == (20, False)
    assert count_rows("workflow_executions") == 17
    kept = fetch_rows("select id, error from tracking_intake where failed_at is not null order by id")
    assert [row["id"] for row in kept] == [entries[bad]["id"] for bad in (3, 4, 17)]
    assert "soon" in kept[0]["error"]
    assert tracking_records.record_waiting(5) == (0, False)
    assert counters(alice.workspace_id, offer)["executions"] == 17


def test_health_and_metrics_say_what_waits_and_what_failed(alice: Alice, offer: str) -> None:
    charlie = Alice(name="charlie")
    bad = build_entry(alice.workspace_id, offer, status="late")
    waiting = [build_entry(alice.workspace_id, offer) for _ in range(2)]
    store(bad)
    tracking_records.record_waiting(1)
    store(*waiting)
    execute("update tracking_intake set received_at = received_at - interval '61 seconds'")

    facts = tracking_intake_report.fetch_facts()
    assert (facts["waiting"], 60 < facts["oldest_seconds"] < 80) == (2, True)
    own = tracking_intake_report.fetch_own(alice.workspace_id)
    problems = tracking.find_problems(own, clock.now())
    assert [problem.key for problem in problems] == ["tracking_late", "tracking_failed"]
    assert problems[0].meaning.startswith("2 accepted executions")
    assert problems[1].title == "1 execution of playbooks could not be recorded"
    part = Part(tracking.PART, "Tracking", "processor", "ready", "")
    (judged,) = tracking.add_tracking([part], Facts({"tracking": own}), clock.now())
    assert (judged.state, len(judged.problems)) == ("degraded", 2)

    theirs = tracking_intake_report.fetch_own(charlie.workspace_id)
    assert tracking.find_problems(theirs, clock.now()) == []
    tracking_records.record_waiting(1)
    execute("update tracking_intake set failed_at = failed_at - interval '25 hours'")
    own = tracking_intake_report.fetch_own(alice.workspace_id)
    assert tracking.add_tracking([part], Facts({"tracking": own}), clock.now()) == [part]
    assert tracking_intake_report.fetch_facts() == {"waiting": 0, "oldest_seconds": 0}


@pytest.mark.parametrize("body", ["[]", "7", '{"actions": [1]}', '{"workflow_id": "x"}', "{}"])
def test_no_content_of_a_body_stops_the_others(alice: Alice, offer: str, body: str) -> None:
    bad, good = (build_entry(alice.workspace_id, offer) for _ in range(2))
    store(bad, good)
    execute("update tracking_intake set body = %s where id = %s", (body, bad["id"]))
    assert tracking_records.record_waiting(5) == (2, False)
    assert count_rows("workflow_executions") == 1


def test_a_missing_right_sets_nothing_aside(alice: Alice, offer: str, settings: Any) -> None:
    from tests.support import servers as real

    store(build_entry(alice.workspace_id, offer))
    real.run_sql(settings.database_url, "revoke insert on analytics_events from beckon_service")
    try:
        with pytest.raises(peewee.ProgrammingError, match="permission denied"):
            tracking_records.record_waiting(1)
    finally:
        real.run_sql(settings.database_url, "grant insert on analytics_events to beckon_service")
    assert tracking_records.record_waiting(1) == (1, False)


def test_one_notification_waits_however_many_are_accepted(alice: Alice, offer: str) -> None:
    for _ in range(20):
        accept(alice.workspace_id, None, [build_execution(offer)])
    assert read_queue_depths()["tracking"]["ready"] == 1
    record_tracked_executions()
    assert count_rows("tracking_intake") == 0
    accept(alice.workspace_id, None, [build_execution(offer)])
    assert read_queue_depths()["tracking"]["ready"] == 2


def test_redis_is_asked_once_while_the_notified_worker_still_waits(
    alice: Alice, offer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[str] = []
    client = tracking_notices.get_ephemeral()
    monkeypatch.setattr(client, "set", lambda key, *_, **__: keys.append(key) or True)
    monkeypatch.setattr(tracking_notices, "LINGER_SECONDS", 60)
    assert [tracking_notices.mark() for _ in range(3)] == [True, False, False]
    monkeypatch.setattr(tracking_notices, "_marked_until", 0)
    assert tracking_notices.mark()
    assert len(keys) == 2


def test_without_redis_executions_are_accepted_and_the_sweep_records_them(
    alice: Alice, offer: str, monkeypatch: Any, settings: Any
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise redis.ConnectionError("gone")

    monkeypatch.setattr(tracked_executions.tracking_notices, "mark", fail)
    assert accept(alice.workspace_id, None, [build_execution(offer)])[0].duplicate is False
    assert record_overdue_tracking(settings) == {"recorded": 0}
    execute("update tracking_intake set id = lowest_id_at(beckon_now() - interval '3 seconds')")
    assert record_overdue_tracking(settings) == {"recorded": 1}
    assert tracking_intake.is_overdue(0) is False
    assert counters(alice.workspace_id, offer)["executions"] == 1


def test_a_second_message_after_the_batch_is_recorded_counts_nothing(alice: Alice, offer: str) -> None:
    accept(alice.workspace_id, None, [build_execution(offer)])
    record_tracked_executions()
    record_tracked_executions()
    assert counters(alice.workspace_id, offer)["executions"] == 1


def test_a_long_backlog_continues_in_another_message(alice: Alice, offer: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(tracking_records, "BATCH_SIZE", 5)
    monkeypatch.setattr("tasks.intake.tracking_actor.RUN_SECONDS", 0)
    store(*[build_entry(alice.workspace_id, offer) for _ in range(12)])
    record_tracked_executions()
    assert (count_rows("workflow_executions"), read_queue_depths()["tracking"]["ready"]) == (5, 1)
