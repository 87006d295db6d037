"""What operators do from the terminal: the same moves as the API's, by the same rules, on the audit log."""

from __future__ import annotations

import getpass

import pytest

from cast import HELLO, at_rest, execution, finished, messages
from models import audit
from models.database import changed
from waiting import eventually

FAILING = [{"id": "x", "action": "send_email", "with": {"subject": "x", "body": "{{ payload.gone }}"}}]
WAITING = [{"id": "pause", "action": "wait", "with": {"for": "2h"}}]
TEXT = [{"id": "sms", "action": "send_sms", "with": {"body": "Hi"}}]


@pytest.fixture
def failed(alice):
    """An execution that failed for good."""
    alice.automation(FAILING)
    return finished(alice.trigger())


@pytest.fixture
def unknown(alice, sandbox):
    """A message that may have been sent."""
    alice.automation(TEXT)
    sandbox.fault(provider="telnyx", fault="reset_after", times=1)
    return messages(finished(alice.trigger())["id"])[0]


def test_a_failed_execution_is_retried_by_its_id(alice, failed, hers):
    assert hers("retry", failed["id"]).stdout == "1 retried.\n"
    assert eventually(lambda: execution(failed["id"])["attempt"] == 2)
    line = audit.page(alice.workspace_id, 1)[0]
    assert (line["actor_kind"], line["actor_name"]) == ("command", getpass.getuser())
    assert line["action"] == "execution.retried"


def test_failures_of_a_class_are_counted_first_and_then_retried(failed, hers, told):
    assert hers("retry", "--error-class", "invalid", "--dry-run").stdout == "1 would be retried.\n"
    assert execution(failed["id"])["attempt"] == 1
    assert told("retry", "--error-class", "invalid")["retried"] == 1
    assert hers("retry", "--error-class", "timeout").stdout == "0 retried.\n"


def test_a_retry_of_everything_must_be_said(failed, hers):
    assert "or --all" in hers("retry", code=2).stderr
    assert "or --all" in hers("retry", failed["id"], "--all", code=2).stderr
    assert hers("retry", "--all").stdout == "1 retried.\n"


def test_what_did_not_fail_is_not_retried(alice, hers):
    alice.automation(HELLO)
    sent = finished(alice.trigger())
    refused = hers("retry", sent["id"], code=1)
    assert refused.stderr == "beckon: Only a failed execution can be retried; this one is succeeded.\n"


def test_an_execution_in_flight_is_cancelled_once(alice, hers):
    alice.automation(WAITING)
    waiting = at_rest(alice.trigger())
    hers("cancel", waiting["id"])
    assert execution(waiting["id"])["status"] == "cancelled"
    assert "this one is cancelled" in hers("cancel", waiting["id"], code=1).stderr
    assert "There is no execution by that id." in hers("cancel", "nonsense", code=1).stderr


@pytest.mark.parametrize(
    ("decision", "status", "received"),
    [("sent", "succeeded", 1), ("resend", "succeeded", 2), ("discard", "cancelled", 1)],
)
def test_a_message_of_unknown_outcome_is_decided(unknown, hers, sandbox, decision, status, received):
    hers("resolve", unknown["id"], decision)
    assert eventually(lambda: execution(unknown["execution_id"])["status"] == status)
    assert len(sandbox.messages(provider="telnyx")) == received
    assert "unknown outcome" in hers("resolve", unknown["id"], decision, code=1).stderr


def test_what_is_due_is_listed_longest_first_and_nudged(alice, hers, told):
    alice.automation(WAITING)
    first, second = at_rest(alice.trigger()), at_rest(alice.trigger())
    assert hers("pending").stdout == "Nothing is due.\n"
    for seconds, one in ((100, second), (50, first)):
        changed("update executions set due_at = beckon_now() - make_interval(secs => %s) where id = %s",
                (seconds, one["id"]))  # fmt: skip
    listed = told("pending")
    assert [one["id"] for one in listed["pending"]] == [second["id"], first["id"]]
    assert "1 min 4" in hers("pending").stdout
    assert hers("pending", "--process").stdout.endswith("2 nudged.\n")
    assert eventually(lambda: told("pending")["pending"] == [])
