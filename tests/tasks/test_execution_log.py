"""The log follows an execution: its id leads to every stage of it, to what it waits for and to how it ended."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from models.audit import SYSTEM
from tasks.operators import actions
from tests.support.factories import HELLO, WRITTEN, Alice, messages, wait_for_status, wait_until_finished
from tests.support.waiting import eventually

FAILING = [{"id": "x", "action": "send_email", "with": {"subject": "x", "body": "{{ payload.gone }}"}}]


@pytest.fixture
def alice(engine):
    """An owner whose workspace uses the sandbox."""
    return Alice()


@pytest.fixture
def lines():
    """The lines that are logged meanwhile."""
    with capture_logs() as captured:
        yield captured


def list_about(lines, execution_id):
    """The lines that a search for an execution's id finds."""
    return [line for line in lines if execution_id in (line.get("execution_id"), *line.get("execution_ids", ()))]


def wait_for_line(lines, execution_id, event):
    """Wait until the execution's line is there: it is written after the record is durable."""
    return eventually(lambda: next((x for x in list_about(lines, execution_id) if x["event"] == event), None))


def test_a_sent_execution_is_logged_from_its_trigger_to_its_end(alice, lines):
    alice.automation(HELLO)
    execution = wait_until_finished(alice.trigger())
    wait_for_line(lines, execution["id"], "execution succeeded")
    about = list_about(lines, execution["id"])
    events = [line["event"] for line in about if not line["event"].startswith("[TRACKING]")]
    assert events[:2] == ["triggers accepted", "execution claimed"]
    assert events[-3:] == ["execution runs", "message sent", "execution succeeded"]
    sent = wait_for_line(lines, execution["id"], "message sent")
    assert sent["provider"] == "mailgun"
    assert sent["provider_message_id"]
    stages = [stage for line in about for stage in line.get("stages", ())]
    assert about[1]["stage"] == "checking"
    assert stages == ["eligible", "ready_to_send", "sending", "sent", "completed"]


def test_a_skipped_execution_is_logged_with_its_rule(alice, lines):
    alice.automation(HELLO, rules={"tags": {"all": ["vip"]}})
    execution = wait_until_finished(alice.trigger())
    assert wait_for_line(lines, execution["id"], "execution skipped")["rule"] == execution["skipped_rule"]


def test_a_failure_is_an_error_and_its_retry_by_an_operator_is_logged(alice, lines):
    alice.automation(FAILING)
    execution = wait_until_finished(alice.trigger())
    line = wait_for_line(lines, execution["id"], "execution failed")
    assert (line["log_level"], line["error_class"], line["step"]) == ("error", "invalid", "x")
    actions.retry_execution(alice.workspace_id, execution["id"], SYSTEM)
    assert wait_for_line(lines, execution["id"], "change recorded")["action"] == "execution.retried"


def test_a_retry_is_a_warning_with_its_time(alice, lines, sandbox):
    sandbox.add_fault(provider="gemini", fault="http_500", times=0)
    alice.automation(WRITTEN)
    execution_id = alice.trigger().executions[0]["executionId"]
    line = wait_for_line(lines, execution_id, "execution is retried later")
    assert (line["log_level"], line["error_class"]) == ("warning", "provider_5xx")
    assert line["until"]


def test_a_pause_and_what_it_holds_are_warnings(alice, lines):
    automation = alice.automation(HELLO)
    actions.set_pause("automation", automation, alice.workspace_id, SYSTEM)
    execution = wait_for_status(alice.trigger())
    held = wait_for_line(lines, execution["id"], "execution is paused")
    assert (held["log_level"], held["waiting_for"]) == ("warning", "pause")
    (change,) = [line for line in lines if line.get("action") == "automation.paused"]
    assert (change["log_level"], change["automation_id"]) == ("warning", automation)


def test_a_wait_is_logged_with_its_end(alice, lines):
    alice.automation([{"id": "pause", "action": "wait", "with": {"for": "2h"}}])
    execution = wait_for_status(alice.trigger())
    line = wait_for_line(lines, execution["id"], "execution waits")
    assert (line["waiting_for"], line["log_level"]) == ("time", "info")
    assert line["until"]


def test_no_line_has_the_text_or_the_address_of_a_message(alice, lines):
    alice.automation(HELLO)
    execution = wait_until_finished(alice.trigger())
    wait_for_line(lines, execution["id"], "execution succeeded")
    (row,) = messages(execution["id"])
    text = str(list_about(lines, execution["id"]))
    assert row["to_address"] not in text
    assert row["body"] not in text
