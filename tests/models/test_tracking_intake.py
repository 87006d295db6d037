"""Accepted executions of playbooks: stored once, recorded with their actions, counted once."""

from __future__ import annotations

import json
from typing import Any

import psycopg2
import pytest

from models import automation, tracking_intake
from models.audit import SYSTEM
from models.database import acting_as, transaction, unwrap_driver_error
from models.ids import new_id
from models.queries import execute, fetch_value
from tests.support.rows import fetch_row, fetch_rows
from tests.support.tracking import build_entry, store

HELLO = {
    "trigger": {"type": "contact.created"},
    "steps": [{"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "Hi"}}],
}


@pytest.fixture
def offer(alices: str) -> str:
    """An automation of Alice's."""
    return automation.create(
        alices, name="Offer", type="workflow", definition=HELLO, actor=SYSTEM, enabled=True
    ).automation_id


def fetch_counters(automation_id: str) -> dict[str, Any]:
    row = fetch_row(
        "select executions, succeeded, failed, skipped, last_executed_at from automations where id = %s",
        (automation_id,),
    )
    assert row is not None
    return row


def count_waiting() -> int:
    return int(fetch_value("select count(*) from tracking_intake where failed_at is null"))


def test_an_execution_is_recorded_with_its_actions_and_counted(alices, offer):
    actions = [
        {"name": "Replace Text", "selector": ".hero", "execution_time_ms": 45, "config": {"newText": "Hi", "x": None}},
        {"name": "Show", "selector": "#b", "execution_time_ms": 1, "config": None, "error": "no such element"},
    ]
    entry = build_entry(alices, offer, page_url="https://shop.example/pricing?utm_source=x#top", actions=actions)
    assert store(entry) == set()

    assert tracking_intake.record(100).total == 1

    row = fetch_row("select * from workflow_executions")
    assert row is not None
    received_at = row["received_at"]
    assert row == {
        "id": entry["id"], "workspace_id": alices, "workflow_id": offer, "site_key_id": None,
        "execution_id": entry["execution_id"], "user_id": "user-456", "status": "success", "execution_time_ms": 250,
        "page_url": "https://shop.example/pricing?utm_source=x#top", "page_path": "/pricing",
        "session_id": "session-123", "device_type": "desktop", "trigger_name": "UTM Parameters", "action_count": 2,
        "failed_actions": 1, "executed_at": received_at, "received_at": received_at,
    }  # fmt: skip
    events = fetch_rows("select * from analytics_events order by id")
    assert [(e["position"], e["name"], e["event_data"], e["error"], e["execution_time_ms"]) for e in events] == [
        (0, "Replace Text", {"newText": "Hi", "x": None}, None, 45), (1, "Show", None, "no such element", 1),
    ]  # fmt: skip
    assert {(e["workflow_id"], e["workflow_execution_id"], e["element_selector"][0]) for e in events} == {
        (offer, entry["id"], "."), (offer, entry["id"], "#"),
    }  # fmt: skip
    assert fetch_counters(offer) == {
        "executions": 1, "succeeded": 1, "failed": 0, "skipped": 0, "last_executed_at": received_at,
    }  # fmt: skip
    assert count_waiting() == 0


def test_errors_and_timeouts_count_as_failed(alices, offer):
    store(*[build_entry(alices, offer, status=status) for status in ("success", "error", "timeout")])
    batch = tracking_intake.record(100)
    assert (batch.success, batch.error, batch.timeout, batch.automations) == (1, 1, 1, 1)
    counters = fetch_counters(offer)
    assert (counters["executions"], counters["succeeded"], counters["failed"]) == (3, 1, 2)


@pytest.mark.parametrize(("page_url", "path"), [
    ("https://shop.example", ""), ("https://shop.example/a/b?c#d", "/a/b"), ("/only/path?x", "/only/path"),
    ("https://shop.example?x=/y", ""), ("not a url", "not a url"),
])  # fmt: skip
def test_the_page_s_path_has_neither_origin_nor_query(alices, offer, page_url, path):
    store(build_entry(alices, offer, page_url=page_url))
    tracking_intake.record(1)
    assert fetch_value("select page_path from workflow_executions") == path


def test_a_repeated_id_is_a_duplicate_and_nothing_is_written(alices, offer):
    first, second = (build_entry(alices, offer, execution_id="exec-1") for _ in range(2))
    assert store(first) == set()
    assert store(second) == {second["id"]}
    tracking_intake.record(10)
    assert store(second) == {second["id"]}
    assert tracking_intake.record(10).total == 0


def test_within_a_batch_the_first_wins(alices, charlies, offer):
    entries = [build_entry(alices, offer, execution_id="same", user_id=name) for name in ("first", "second", "third")]
    others = [build_entry(charlies, offer, execution_id="same")]
    assert store(*entries, *others) == {entries[1]["id"], entries[2]["id"]}
    tracking_intake.record(10)
    with acting_as(alices):
        assert fetch_value("select user_id from workflow_executions where workspace_id = %s", (alices,)) == "first"


def test_the_same_entries_stored_again_are_no_duplicates_of_themselves(alices, offer):
    entries = [build_entry(alices, offer) for _ in range(3)]
    assert store(*entries) == store(*entries) == set()
    assert tracking_intake.record(10).total == 3
    assert store(*entries) == set()
    assert tracking_intake.record(10).total == 0


def test_after_ninety_days_an_id_may_be_used_again(alices, offer):
    store(build_entry(alices, offer, execution_id="exec-1"))
    execute("update tracked_execution_ids set id = lowest_id_at(beckon_now() - interval '91 days')")
    assert store(build_entry(alices, offer, execution_id="exec-1")) == set()


def test_a_deleted_or_foreign_automation_keeps_its_history_and_counts_nothing(alices, charlies, offer):
    store(build_entry(alices, new_id()), build_entry(charlies, offer))
    batch = tracking_intake.record(10)
    assert (batch.total, batch.automations) == (2, 0)
    assert fetch_counters(offer)["executions"] == 0
    assert fetch_value("select count(*) from workflow_executions") == 2


def test_an_entry_that_postgresql_refuses_changes_nothing(alices, offer):
    good, bad = build_entry(alices, offer), build_entry(alices, offer, execution_time_ms="soon")
    store(good, bad)
    with pytest.raises(Exception, match="soon") as caught:
        tracking_intake.record(10)
    assert tracking_intake.is_content_error(caught.value)
    assert (count_waiting(), fetch_counters(offer)["executions"]) == (2, 0)
    assert tracking_intake.set_aside(bad["id"], "invalid")
    assert not tracking_intake.set_aside(bad["id"], "invalid")
    assert tracking_intake.record(10).total == 1
    assert count_waiting() == 0
    assert fetch_value("select error from tracking_intake") == "invalid"


def test_inside_a_transaction_nothing_is_stored(alices, offer):
    with transaction(), pytest.raises(RuntimeError, match="transaction of their own"):
        store(build_entry(alices, offer))


def test_the_dashboard_stores_for_any_workspace_and_reads_only_its_own(alices, charlies, offer, as_dashboard):
    assert store(build_entry(alices, offer), build_entry(charlies, offer)) == set()
    with transaction():
        assert fetch_value("select count(*) from tracking_intake") == 0
    with acting_as(alices):
        assert fetch_value("select count(*) from tracking_intake") == 1
    with acting_as(charlies), pytest.raises(Exception, match="permission denied"):
        execute("insert into tracking_intake (id, workspace_id, execution_id, body) values (%s, %s, 'x', '{}')",
                (new_id(), charlies))  # fmt: skip


def test_a_day_s_rows_are_in_their_partition(alices, offer):
    store(build_entry(alices, offer))
    tracking_intake.record(1)
    parts = fetch_rows("select tableoid::regclass::text as part from workflow_executions union all "
                       "select tableoid::regclass::text from analytics_events")  # fmt: skip
    day = fetch_value("select to_char(beckon_now(), 'YYYY_MM_DD')")
    assert [row["part"] for row in parts] == [f"workflow_executions_{day}", *[f"analytics_events_{day}"] * 3]


def test_ids_that_postgresql_makes_are_of_version_7_and_in_order(as_service):
    (row,) = fetch_rows("select new_id() as id, lowest_id_at(beckon_now() - interval '1 second') as before, "
                        "lowest_id_at(beckon_now() + interval '1 second') as after")  # fmt: skip
    assert row["before"] < row["id"] < row["after"]
    assert (row["id"][14], row["id"][19] in "89ab") == ("7", True)


#: The statements of the document "Workflow Execution Tracking System", with an automation's id and values filled in.
UPDATE_WORKFLOW = """
UPDATE workflows
SET executions = executions + 1,
    last_run = NOW()
WHERE id = '{workflow}'
"""
INSERT_EXECUTION = """
INSERT INTO workflow_executions (
  workflow_id, user_id, status, execution_time_ms,
  page_url, executed_at
) VALUES ('{workflow}', 'user-456', 'success', 250, 'https://example.com/pricing', NOW())
"""
INSERT_EVENT = """
INSERT INTO analytics_events (
  workflow_id, event_type, element_selector,
  page_url, event_data
) VALUES ('{workflow}', 'action', '.hero-title', 'https://example.com/pricing', '{{"newText": "Special Offer!"}}')
"""


@pytest.mark.parametrize("acting", [False, True])
def test_the_documents_sql_statements_run(alices, offer, acting):
    with acting_as(alices) if acting else transaction():
        for statement in (UPDATE_WORKFLOW, INSERT_EXECUTION, INSERT_EVENT):
            assert execute(statement.format(workflow=offer)) == 1
    (workflow,) = fetch_rows("select * from workflows")
    assert (workflow["id"], workflow["executions"], workflow["last_run"] is not None) == (offer, 1, True)
    (row,) = fetch_rows("select * from workflow_executions")
    assert (row["workspace_id"], row["user_id"], row["execution_time_ms"]) == (alices, "user-456", 250)
    (event,) = fetch_rows("select * from analytics_events")
    assert (event["workspace_id"], event["element_selector"], event["event_data"]) == (
        alices, ".hero-title", json.loads('{"newText": "Special Offer!"}'),
    )  # fmt: skip


def test_a_workspace_sees_only_its_own_workflows(alices, charlies, offer, as_dashboard):
    with acting_as(charlies):
        assert fetch_rows("select * from workflows") == []
    with acting_as(alices):
        assert [row["id"] for row in fetch_rows("select * from workflows")] == [offer]


def test_an_automation_of_nobody_has_no_executions(alices):
    with pytest.raises(Exception, match="workspace_id") as caught, transaction():
        execute(INSERT_EXECUTION.format(workflow=new_id()))
    assert isinstance(unwrap_driver_error(caught.value), psycopg2.IntegrityError)
