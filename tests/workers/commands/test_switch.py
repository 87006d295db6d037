"""Switches from the terminal, and the counters that are rebuilt there."""

from __future__ import annotations

import json

from cast import HELLO, finished
from models import audit
from models.database import changed, row


def test_switches_are_shown_and_turned(alice, hers, told):
    assert told("switch") == {"runTracking": True, "statsInApi": True, "executionTracking": True, "locked": []}
    assert told("switch", "runTracking", "off")["runTracking"] is False
    assert "runTracking        off" in hers("switch").stdout
    assert audit.page(alice.workspace_id, 1)[0]["action"] == "switch.off"


def test_a_switch_that_the_environment_holds_is_said_to_be_held_and_not_turned(hers):
    shown = hers("switch", RUN_TRACKING="0").stdout
    assert "runTracking        off    held by RUN_TRACKING" in shown
    assert "RUN_TRACKING" in hers("switch", "runTracking", "on", code=1, RUN_TRACKING="0").stderr


def test_a_name_without_a_state_is_wrong_usage(hers):
    assert "on or off" in hers("switch", "runTracking", code=2).stderr


def test_backfill_rebuilds_the_counters_from_what_is_there_and_what_was_archived(alice, beckon):
    automation_id = alice.automation(HELLO)
    finished(alice.trigger())
    counters = "select total_runs, last_run_at, hourly_runs, newest_run_hour from automations where id = %s"
    right = row(counters, (automation_id,))
    changed("update automations set total_runs = 77, last_run_at = null, hourly_runs = '{9}'")
    assert "run_counters" in beckon("verify", code=1).stdout

    for _ in range(2):
        assert beckon("runs", "backfill").stdout == "Run counters of 1 automation rebuilt.\n"
        assert row(counters, (automation_id,)) == right
    changed("update automations set archived_runs = 40")
    assert json.loads(beckon("runs", "backfill", "--json").stdout) == {"automations": 1}
    assert row("select total_runs from automations") == {"total_runs": 41}
