"""Operator actions from the terminal: the same actions as the API's, with the same rules and audit log."""

from __future__ import annotations

import getpass

import pytest

from models import audit
from models.queries import execute
from tests.support.factories import HELLO, execution, messages, wait_for_status, wait_until_finished
from tests.support.waiting import eventually

FAILING = [{"id": "x", "action": "send_email", "with": {"subject": "x", "body": "{{ payload.gone }}"}}]
WAITING = [{"id": "pause", "action": "wait", "with": {"for": "2h"}}]
TEXT = [{"id": "sms", "action": "send_sms", "with": {"body": "Hi"}}]


@pytest.fixture
def failed_execution(alice):
    """An execution that failed permanently."""
    alice.automation(FAILING)
    return wait_until_finished(alice.trigger())


@pytest.fixture
def unknown_message(alice, sandbox):
    """A message that may have been sent."""
    alice.automation(TEXT)
    sandbox.add_fault(provider="telnyx", fault="reset_after", times=1)
    return messages(wait_until_finished(alice.trigger())["id"])[0]


def test_a_failed_execution_is_retried_by_its_id(alice, failed_execution, alice_beckon):
    assert alice_beckon("retry", failed_execution["id"]).stdout == "1 retried.\n"
    assert eventually(lambda: execution(failed_execution["id"])["attempt"] == 2)
    line = audit.fetch_page(alice.workspace_id, 1)[0]
    assert (line["actor_kind"], line["actor_name"]) == ("command", getpass.getuser())
    assert line["action"] == "execution.retried"


def test_failures_of_a_class_are_counted_first_and_then_retried(failed_execution, alice_beckon, alice_json):
    assert alice_beckon("retry", "--error-class", "invalid", "--dry-run").stdout == "1 would be retried.\n"
    assert execution(failed_execution["id"])["attempt"] == 1
    assert alice_json("retry", "--error-class", "invalid")["retried"] == 1
    assert alice_beckon("retry", "--error-class", "timeout").stdout == "0 retried.\n"


def test_a_retry_of_everything_must_be_explicit(failed_execution, alice_beckon):
    assert "or --all" in alice_beckon("retry", code=2).stderr
    assert "or --all" in alice_beckon("retry", failed_execution["id"], "--all", code=2).stderr
    assert alice_beckon("retry", "--all").stdout == "1 retried.\n"


def test_only_a_failed_execution_is_retried(alice, alice_beckon):
    alice.automation(HELLO)
    sent = wait_until_finished(alice.trigger())
    refused = alice_beckon("retry", sent["id"], code=1)
    assert refused.stderr == "beckon: Only a failed execution can be retried; this one is succeeded.\n"


def test_an_execution_in_flight_is_cancelled_once(alice, alice_beckon):
    alice.automation(WAITING)
    waiting = wait_for_status(alice.trigger())
    alice_beckon("cancel", waiting["id"])
    assert execution(waiting["id"])["status"] == "cancelled"
    assert "this one is cancelled" in alice_beckon("cancel", waiting["id"], code=1).stderr
    assert "There is no execution with that id." in alice_beckon("cancel", "nonsense", code=1).stderr


@pytest.mark.parametrize(
    ("decision", "status", "received"),
    [("sent", "succeeded", 1), ("resend", "succeeded", 2), ("discard", "cancelled", 1)],
)
def test_a_message_of_unknown_outcome_is_resolved(unknown_message, alice_beckon, sandbox, decision, status, received):
    alice_beckon("resolve", unknown_message["id"], decision)
    assert eventually(lambda: execution(unknown_message["execution_id"])["status"] == status)
    assert len(sandbox.list_messages(provider="telnyx")) == received
    assert "unknown outcome" in alice_beckon("resolve", unknown_message["id"], decision, code=1).stderr


def test_due_executions_are_listed_longest_first_and_enqueued(alice, alice_beckon, alice_json):
    alice.automation(WAITING)
    first, second = wait_for_status(alice.trigger()), wait_for_status(alice.trigger())
    assert alice_beckon("pending").stdout == "No executions are due.\n"
    for seconds, row in ((100, second), (50, first)):
        execute("update executions set due_at = beckon_now() - make_interval(secs => %s) where id = %s",
                (seconds, row["id"]))  # fmt: skip
    report = alice_json("pending")
    assert [entry["id"] for entry in report["pending"]] == [second["id"], first["id"]]
    assert "1 min 4" in alice_beckon("pending").stdout
    assert alice_beckon("pending", "--process").stdout.endswith("2 enqueued.\n")
    assert eventually(lambda: alice_json("pending")["pending"] == [])
