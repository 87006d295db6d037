"""What a fault makes of an execution: retried, waited out, held, or at rest, each with its reason on record."""

from __future__ import annotations

from typing import Any

import pytest

from cast import HELLO, WRITTEN, Alice, at_rest, counters, execution, finished, let_time_pass, messages, stages, steps
from models.database import changed, row
from sandbox.server import Running
from settings import Settings
from tasks import sweeps
from tasks.engine import Engine
from waiting import eventually

SEND = {"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "Hi"}}


def sent(sandbox: Running) -> int:
    return len(sandbox.messages(provider="mailgun"))


def test_a_throttled_send_waits_as_long_as_it_is_told_and_uses_up_no_attempt(engine: Engine, sandbox: Running) -> None:
    alice = Alice()
    alice.automation(HELLO)
    sandbox.fault(provider="mailgun", fault="http_429", times=1, seconds=120)

    waiting = at_rest(alice.trigger())

    assert (waiting["stage"], waiting["waiting_for"], waiting["attempt"]) == ("ready_to_send", "rate_limit", 1)
    assert 110 < (waiting["due_at"] - waiting["created_at"]).total_seconds() < 140
    assert steps(waiting["id"])["hello"]["attempts"] == 0


def test_a_throttled_send_is_sent_once_its_time_has_come(engine: Engine, sandbox: Running, settings: Settings) -> None:
    alice = Alice()
    alice.automation(HELLO)
    sandbox.fault(provider="mailgun", fault="http_429", times=1, seconds=120)
    waiting = at_rest(alice.trigger())

    let_time_pass(waiting["id"])
    sweeps.wake_due(settings)

    assert finished(waiting["id"])["status"] == "succeeded"
    assert sent(sandbox) == 1


@pytest.fixture
def broken_ai(sandbox: Running) -> None:
    sandbox.fault(provider="gemini", fault="http_500", times=0)


def test_a_retryable_failure_says_when_it_is_tried_again(engine: Engine, broken_ai: None) -> None:
    alice = Alice()
    alice.automation(WRITTEN)

    waiting = at_rest(alice.trigger())

    assert (waiting["stage"], waiting["waiting_for"]) == ("failed", "retry")
    assert waiting["error_class"] == "provider_5xx"
    assert waiting["next_retry_at"] == waiting["due_at"]
    assert 40 < (waiting["next_retry_at"] - waiting["stage_since"]).total_seconds() < 80


def test_three_retries_follow_the_first_attempt_and_then_it_rests(
    engine: Engine, broken_ai: None, settings: Settings
) -> None:
    alice = Alice()
    automation_id = alice.automation(WRITTEN)
    accepted = alice.trigger()
    for attempt in (1, 2, 3):
        waiting = eventually(lambda n=attempt: (e := at_rest(accepted))["attempt"] == n and e)
        let_time_pass(waiting["id"])
        sweeps.retry_failed(settings)

    found = finished(accepted)

    assert (found["status"], found["attempt"], found["next_retry_at"]) == ("failed", 4, None)
    assert counters(alice.workspace_id, automation_id)["failed"] == 1
    assert len(steps(found["id"])["write"]["failures"]) == 4


def test_a_retry_resumes_at_the_failed_step_and_repeats_no_finished_one(
    engine: Engine, sandbox: Running, settings: Settings
) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    sandbox.fault(provider="mailgun", fault="http_429", times=3, seconds=0)
    waiting = at_rest(alice.trigger())
    assert waiting["failed_step"] == "hello"

    let_time_pass(waiting["id"])
    sweeps.retry_failed(settings)

    found = finished(waiting["id"])
    assert found["status"] == "succeeded"
    assert len(sandbox.messages(provider="gemini")) == 1
    assert stages(found["id"])[-4:] == ["failed", "sending", "sent", "completed"]
    assert (found["error_class"], found["failed_step"], found["next_retry_at"]) == (None, None, None)
    assert len(steps(found["id"])["hello"]["failures"]) == 1


def test_a_permanent_refusal_fails_for_good(engine: Engine, sandbox: Running) -> None:
    alice = Alice()
    alice.automation([{**SEND, "with": {"subject": "x", "body": "{{ payload.gone }}"}}])

    found = finished(alice.trigger())

    assert (found["status"], found["stage"], found["error_class"]) == ("failed", "failed", "invalid")
    assert "payload.gone" in found["error_message"]
    assert sent(sandbox) == 0


def test_a_cut_off_send_is_held_and_not_sent_again(engine: Engine, sandbox: Running, settings: Settings) -> None:
    alice = Alice()
    alice.automation([{"id": "sms", "action": "send_sms", "with": {"body": "Hi"}}])
    sandbox.fault(provider="telnyx", fault="reset_after", times=1)

    found = finished(alice.trigger())
    sweeps.retry_failed(settings)
    sweeps.look_up_unknown(settings)

    assert (found["status"], found["error_class"]) == ("failed", "unknown_outcome")
    assert messages(found["id"])[0]["status"] == "outcome_unknown"
    assert messages(found["id"])[0]["look_up_at"] is None
    assert len(sandbox.messages(provider="telnyx")) == 1


def look_up_now(settings: Settings) -> None:
    changed("update messages set look_up_at = beckon_now() where status = 'outcome_unknown' and look_up_at is not null")
    sweeps.look_up_unknown(settings)


def test_a_lost_answer_is_looked_up_and_the_execution_goes_on(
    engine: Engine, sandbox: Running, settings: Settings
) -> None:
    alice = Alice()
    automation_id = alice.automation([SEND, {"id": "tag", "action": "update_contact", "with": {"add_tags": ["told"]}}])
    sandbox.fault(provider="mailgun", fault="reset_after", times=1)
    held = finished(alice.trigger())
    assert held["error_class"] == "unknown_outcome"

    look_up_now(settings)

    found = eventually(lambda: (e := execution(held["id"]))["status"] == "succeeded" and e)
    assert sent(sandbox) == 1
    assert messages(found["id"])[0]["status"] == "sent"
    assert messages(found["id"])[0]["provider_message_id"]
    assert steps(found["id"])["tag"]["status"] == "succeeded"
    assert counters(alice.workspace_id, automation_id)["failed"] == 0
    assert counters(alice.workspace_id, automation_id)["succeeded"] == 1


def test_a_look_up_that_finds_nothing_never_resends(engine: Engine, sandbox: Running, settings: Settings) -> None:
    alice = Alice()
    alice.automation(HELLO)
    sandbox.fault(provider="mailgun", fault="reset_before", times=1)
    held = finished(alice.trigger())

    for looked in range(1, 6):
        look_up_now(settings)
        if messages(held["id"])[0]["look_up_at"] is None:
            break
        eventually(lambda n=looked: messages(held["id"])[0]["look_ups"] >= n)
    eventually(lambda: messages(held["id"])[0]["look_up_at"] is None)

    assert execution(held["id"])["error_class"] == "unknown_outcome"
    assert sent(sandbox) == 0


def test_a_step_that_says_so_is_resent_once_after_the_look_up_found_nothing(
    engine: Engine, sandbox: Running, settings: Settings
) -> None:
    alice = Alice()
    alice.automation([{"id": "sms", "action": "send_sms", "with": {"body": "Hi"}, "on_unknown": "resend"}])
    sandbox.fault(provider="telnyx", fault="reset_before", times=2)
    held = finished(alice.trigger())

    look_up_now(settings)
    eventually(lambda: messages(held["id"])[0]["resends"] == 1)
    again = eventually(lambda: (e := execution(held["id"]))["status"] == "failed" and e)
    look_up_now(settings)

    assert again["error_class"] == "unknown_outcome"
    eventually(lambda: messages(held["id"])[0]["look_up_at"] is None)
    assert messages(held["id"])[0]["resends"] == 1
    assert len(sandbox.messages(provider="telnyx")) == 0


def test_a_step_that_says_so_is_resent_once_although_the_provider_can_be_asked_again_and_again(
    engine: Engine, sandbox: Running, settings: Settings
) -> None:
    alice = Alice()
    alice.automation([{**HELLO[0], "on_unknown": "resend"}])
    sandbox.fault(provider="mailgun", fault="reset_before", times=2)
    held = finished(alice.trigger())

    eventually(lambda: look_up_now(settings) or messages(held["id"])[0]["resends"] == 1)
    eventually(lambda: execution(held["id"])["status"] == "failed")
    eventually(lambda: look_up_now(settings) or messages(held["id"])[0]["look_up_at"] is None)

    assert messages(held["id"])[0]["resends"] == 1
    assert len(sandbox.messages(provider="mailgun")) == 0


def test_a_step_that_says_so_is_not_resent_while_nobody_could_be_asked(
    engine: Engine, sandbox: Running, settings: Settings
) -> None:
    alice = Alice()
    alice.automation([{**HELLO[0], "on_unknown": "resend"}])
    sandbox.fault(provider="mailgun", fault="reset_after", times=1)
    sandbox.fault(provider="mailgun", fault="http_500", times=0, match={"call": "look_up"})
    held = finished(alice.trigger())

    for asked in range(1, 5):
        look_up_now(settings)
        eventually(lambda n=asked: messages(held["id"])[0]["look_ups"] >= min(n, 3))

    assert eventually(lambda: messages(held["id"])[0]["look_up_at"] is None)
    assert messages(held["id"])[0]["resends"] == 0
    assert len(sandbox.messages(provider="mailgun")) == 1


def test_refused_credentials_make_it_wait_and_pause_the_provider_of_that_workspace(
    engine: Engine, sandbox: Running
) -> None:
    alice = Alice()
    alice.automation(HELLO)
    sandbox.fault(provider="mailgun", fault="auth", times=1)

    waiting = at_rest(alice.trigger())

    assert (waiting["stage"], waiting["waiting_for"], waiting["attempt"]) == ("ready_to_send", "configuration", 1)
    pause = row("select name, reason, message from pauses where workspace_id = %s", (alice.workspace_id,))
    assert pause is not None
    assert (pause["name"], pause["reason"]) == ("mailgun", "configuration")
    assert "MAILGUN_API_KEY" in pause["message"]


def test_a_missing_key_is_a_configuration_error_outside_the_demo(engine: Engine, sandbox: Running) -> None:
    alice = Alice(demo=False)
    alice.automation(HELLO)

    waiting = at_rest(alice.trigger())

    assert waiting["error_class"] == "configuration"
    assert "MAILGUN_API_KEY" in waiting["error_message"]
    assert sent(sandbox) == 0


def test_a_configuration_error_is_given_up_after_a_day(engine: Engine, sandbox: Running, settings: Settings) -> None:
    alice = Alice(demo=False)
    alice.automation(HELLO)
    waiting = at_rest(alice.trigger())

    changed("update executions set misconfigured_since = beckon_now() - interval '25 hours'")
    changed("update pauses set retry_at = beckon_now()")
    let_time_pass(waiting["id"])
    sweeps.wake_due(settings)

    assert (finished(waiting["id"])["status"], finished(waiting["id"])["error_class"]) == ("failed", "configuration")


@pytest.mark.parametrize("fault", ["bad_json", "http_500", "reset_after"])
def test_a_provider_that_answers_garbage_makes_a_clear_failure(
    engine: Engine, sandbox: Running, fault: str, caplog: Any
) -> None:
    alice = Alice()
    alice.automation(HELLO)
    sandbox.fault(provider="mailgun", fault=fault, times=1)

    found = finished(alice.trigger())

    assert found["error_class"] == "unknown_outcome"
    assert len(found["error_message"]) > 20
    assert "Traceback" not in found["error_message"]


@pytest.mark.parametrize("host", ["[::1]", "127.0.0.1.", "2130706433", "[fe80::1%25eth0]"])
def test_a_webhook_whose_template_leads_to_a_private_address_fails_for_good(engine: Engine, host: str) -> None:
    alice = Alice()
    alice.automation([{"id": "call", "action": "call_webhook", "with": {"url": "http://{{ payload.host }}/in"}}])

    failed = finished(alice.trigger(payload={"host": host}))

    assert (failed["status"], failed["error_class"], failed["next_retry_at"]) == ("failed", "invalid", None)
    assert steps(failed["id"])["call"]["attempts"] <= 1
