"""Faults: an execution is retried, waits, fails, or has an unknown outcome, each with its reason recorded."""

from __future__ import annotations

from typing import Any

import pytest

from models import automation
from models.audit import SYSTEM
from models.queries import execute
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.runtime.engine import Engine
from tests.support.factories import (
    HELLO,
    WRITTEN,
    Alice,
    counters,
    execution,
    expire_wait,
    messages,
    stages,
    steps,
    wait_for_status,
    wait_until_finished,
)
from tests.support.rows import fetch_row
from tests.support.waiting import eventually

SEND = {"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "Hi"}}


def count_sent(sandbox: RunningSandbox) -> int:
    return len(sandbox.list_messages(provider="mailgun"))


def test_a_rate_limited_send_waits_as_requested_and_uses_up_no_attempt(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation(HELLO)
    sandbox.add_fault(provider="mailgun", fault="http_429", times=1, seconds=120)

    waiting = wait_for_status(alice.trigger())

    assert (waiting["stage"], waiting["waiting_for"], waiting["attempt"]) == ("ready_to_send", "rate_limit", 1)
    assert 119 <= (waiting["due_at"] - waiting["stage_since"]).total_seconds() <= 140
    assert steps(waiting["id"])["hello"]["attempts"] == 0
    assert messages(waiting["id"])[0]["sending_at"] is not None


def test_a_rate_limited_send_is_sent_at_its_time(engine: Engine, sandbox: RunningSandbox, settings: Settings) -> None:
    alice = Alice()
    alice.automation(HELLO)
    sandbox.add_fault(provider="mailgun", fault="http_429", times=1, seconds=120)
    waiting = wait_for_status(alice.trigger())

    expire_wait(waiting["id"])
    periodic_jobs.enqueue_due(settings)

    assert wait_until_finished(waiting["id"])["status"] == "succeeded"
    assert count_sent(sandbox) == 1


@pytest.mark.slow
def test_a_short_rate_limit_uses_up_no_attempt_either(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation(HELLO)
    sandbox.add_fault(provider="mailgun", fault="http_429", times=3, seconds=1)

    waiting = wait_for_status(alice.trigger())

    assert (waiting["waiting_for"], waiting["attempt"]) == ("rate_limit", 1)


def test_after_a_day_of_rate_limits_another_counts_as_an_attempt(
    engine: Engine, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice = Alice()
    alice.automation(HELLO)
    sandbox.add_fault(provider="mailgun", fault="http_429", times=2, seconds=120)
    waiting = wait_for_status(alice.trigger())
    execute("update executions set rate_limited_since = rate_limited_since - interval '25 hours'")

    expire_wait(waiting["id"])
    periodic_jobs.enqueue_due(settings)

    eventually(lambda: execution(waiting["id"])["waiting_for"] == "retry")
    assert execution(waiting["id"])["error_class"] == "rate_limit"


@pytest.fixture
def broken_ai(sandbox: RunningSandbox) -> None:
    sandbox.add_fault(provider="gemini", fault="http_500", times=0)


def test_a_retryable_failure_has_the_time_of_its_retry(engine: Engine, broken_ai: None) -> None:
    alice = Alice()
    alice.automation(WRITTEN)

    waiting = wait_for_status(alice.trigger())

    assert (waiting["stage"], waiting["waiting_for"]) == ("failed", "retry")
    assert waiting["error_class"] == "provider_5xx"
    assert waiting["next_retry_at"] == waiting["due_at"]
    assert 40 < (waiting["next_retry_at"] - waiting["stage_since"]).total_seconds() < 80


def test_an_execution_fails_after_its_first_attempt_and_three_retries(
    engine: Engine, broken_ai: None, settings: Settings
) -> None:
    alice = Alice()
    automation_id = alice.automation(WRITTEN)
    accepted = alice.trigger()
    for attempt in (1, 2, 3):
        waiting = eventually(lambda n=attempt: (e := wait_for_status(accepted))["attempt"] == n and e)
        expire_wait(waiting["id"])
        periodic_jobs.enqueue_overdue_retries(settings)

    result = wait_until_finished(accepted)

    assert (result["status"], result["attempt"], result["next_retry_at"]) == ("failed", 4, None)
    assert counters(alice.workspace_id, automation_id)["failed"] == 1
    assert len(steps(result["id"])["write"]["failures"]) == 4


def test_without_automatic_retries_a_temporary_error_fails_at_once(engine: Engine, broken_ai: None) -> None:
    alice = Alice()
    automation_id = alice.automation(WRITTEN)
    automation.set_automatic_retries(alice.workspace_id, automation_id, False, SYSTEM)

    result = wait_until_finished(alice.trigger())

    assert (result["status"], result["attempt"], result["next_retry_at"]) == ("failed", 1, None)
    assert (result["error_class"], result["provider"]) == ("provider_5xx", "gemini")


def test_a_retry_resumes_at_the_failed_step_and_repeats_no_finished_one(
    engine: Engine, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    sandbox.add_fault(provider="mailgun", fault="http_429", times=3, seconds=0)
    waiting = wait_for_status(alice.trigger())
    assert waiting["failed_step"] == "hello"

    expire_wait(waiting["id"])
    periodic_jobs.enqueue_overdue_retries(settings)

    result = wait_until_finished(waiting["id"])
    assert result["status"] == "succeeded"
    assert len(sandbox.list_messages(provider="gemini")) == 1
    assert stages(result["id"])[-4:] == ["failed", "sending", "sent", "completed"]
    assert (result["error_class"], result["failed_step"], result["next_retry_at"]) == (None, None, None)
    assert len(steps(result["id"])["hello"]["failures"]) == 1


def test_a_permanent_error_is_not_retried(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation([{**SEND, "with": {"subject": "x", "body": "{{ payload.gone }}"}}])

    result = wait_until_finished(alice.trigger())

    assert (result["status"], result["stage"], result["error_class"]) == ("failed", "failed", "invalid")
    assert "payload.gone" in result["error_message"]
    assert count_sent(sandbox) == 0


def test_refused_credentials_pause_the_provider_of_that_workspace(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation(HELLO)
    sandbox.add_fault(provider="mailgun", fault="auth", times=1)

    waiting = wait_for_status(alice.trigger())

    assert (waiting["stage"], waiting["waiting_for"], waiting["attempt"]) == ("ready_to_send", "configuration", 1)
    pause = fetch_row("select name, reason, message from pauses where workspace_id = %s", (alice.workspace_id,))
    assert pause is not None
    assert (pause["name"], pause["reason"]) == ("mailgun", "configuration")
    assert "Check the API key of Mailgun" in pause["message"]


def test_a_missing_key_is_a_configuration_error_outside_the_demo(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice(demo=False)
    alice.automation(HELLO)

    waiting = wait_for_status(alice.trigger())

    assert waiting["error_class"] == "configuration"
    assert "MAILGUN_API_KEY" in waiting["error_message"]
    assert count_sent(sandbox) == 0


def test_a_configuration_error_fails_after_a_day(engine: Engine, sandbox: RunningSandbox, settings: Settings) -> None:
    alice = Alice(demo=False)
    alice.automation(HELLO)
    waiting = wait_for_status(alice.trigger())

    execute("update executions set misconfigured_since = beckon_now() - interval '25 hours'")
    execute("update pauses set retry_at = beckon_now()")
    expire_wait(waiting["id"])
    periodic_jobs.enqueue_due(settings)

    assert (wait_until_finished(waiting["id"])["status"], wait_until_finished(waiting["id"])["error_class"]) == (
        "failed",
        "configuration",
    )


@pytest.mark.parametrize("fault", ["bad_json", "http_500", "reset_after"])
def test_a_malformed_response_of_a_provider_is_a_clear_failure(
    engine: Engine, sandbox: RunningSandbox, fault: str, caplog: Any
) -> None:
    alice = Alice()
    alice.automation(HELLO)
    sandbox.add_fault(provider="mailgun", fault=fault, times=1)

    result = wait_until_finished(alice.trigger())

    assert result["error_class"] == "unknown_outcome"
    assert len(result["error_message"]) > 20
    assert "Traceback" not in result["error_message"]


@pytest.mark.parametrize("host", ["[::1]", "127.0.0.1.", "2130706433", "[fe80::1%25eth0]"])
def test_a_webhook_whose_template_yields_a_private_address_fails(engine: Engine, host: str) -> None:
    alice = Alice()
    alice.automation([{"id": "call", "action": "call_webhook", "with": {"url": "http://{{ payload.host }}/in"}}])

    failed = wait_until_finished(alice.trigger(payload={"host": host}))

    assert (failed["status"], failed["error_class"], failed["next_retry_at"]) == ("failed", "invalid", None)
    assert steps(failed["id"])["call"]["attempts"] <= 1
