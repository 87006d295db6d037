"""`beckon switch` and `beckon runs backfill`."""

from __future__ import annotations

import json

from models import audit, tracking_intake
from models.queries import execute
from tests.support import tracking
from tests.support.concurrency import assert_consistent
from tests.support.factories import HELLO, wait_until_finished
from tests.support.rows import fetch_row


def test_switches_are_shown_and_changed(alice, alice_beckon, alice_json):
    assert alice_json("switch") == {"runTracking": True, "statsInApi": True, "executionTracking": True, "locked": []}
    assert alice_json("switch", "runTracking", "off")["runTracking"] is False
    assert "runTracking        off" in alice_beckon("switch").stdout
    assert audit.fetch_page(alice.workspace_id, 1)[0]["action"] == "switch.off"


def test_a_switch_that_the_environment_sets_is_marked_and_cannot_be_changed(alice_beckon):
    output = alice_beckon("switch", RUN_TRACKING="0").stdout
    assert "runTracking        off    set by RUN_TRACKING" in output
    assert "RUN_TRACKING" in alice_beckon("switch", "runTracking", "on", code=1, RUN_TRACKING="0").stderr


def test_a_name_without_a_state_is_wrong_usage(alice_beckon):
    assert "on or off" in alice_beckon("switch", "runTracking", code=2).stderr


def test_backfill_rebuilds_the_counters_from_the_rows_and_the_archived_runs(alice, beckon):
    automation_id = alice.automation(HELLO)
    wait_until_finished(alice.trigger())
    counters = "select total_runs, last_run_at, hourly_runs, newest_run_hour from automations where id = %s"
    right = fetch_row(counters, (automation_id,))
    execute("update automations set total_runs = 77, last_run_at = null, hourly_runs = '{9}'")
    assert "run_counters_add_up" in beckon("verify", code=1).stdout

    for _ in range(2):
        assert beckon("runs", "backfill").stdout == "Counters of 1 automation rebuilt.\n"
        assert fetch_row(counters, (automation_id,)) == right
    execute("update automations set archived_runs = 40")
    assert json.loads(beckon("runs", "backfill", "--json").stdout) == {"automations": 1}
    assert fetch_row("select total_runs from automations") == {"total_runs": 41}


def test_backfill_rebuilds_the_counters_of_executions_of_both_kinds(alice, beckon):
    automation_id = alice.automation(HELLO)
    wait_until_finished(alice.trigger())
    tracking.store(*[tracking.build_entry(alice.workspace_id, automation_id, status=s) for s in ("success", "error")])
    assert tracking_intake.record(10).total == 2
    counters = "select executions, succeeded, failed, skipped, last_executed_at from automations where id = %s"
    right = fetch_row(counters, (automation_id,))
    execute("update automations set executions = 7, succeeded = 0, failed = 9, skipped = 1")
    assert "counters_add_up" in beckon("verify", code=1).stdout

    for _ in range(2):
        beckon("runs", "backfill")
        assert fetch_row(counters, (automation_id,)) == right
    execute("update automations set archived_executions = 40, archived_succeeded = 40")
    beckon("runs", "backfill")
    assert (fetch_row(counters, (automation_id,)) or {})["executions"] == 43
    assert_consistent()
