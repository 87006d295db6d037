"""Faults of the model: a temporary fault fails no execution, and a permanent one says what to do."""

from __future__ import annotations

from typing import Any

import pytest

from models.audit import SYSTEM
from models.queries import fetch_value
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.operators import actions as operator_actions
from tasks.runtime.engine import Engine
from tests.support.concurrency import count_provider_calls
from tests.support.factories import (
    WRITTEN,
    Alice,
    execution,
    expire_wait,
    messages,
    steps,
    wait_for_status,
    wait_until_finished,
)
from tests.support.waiting import eventually

FALLBACK = [
    {**WRITTEN[0], "with": {**WRITTEN[0]["with"], "fallback": "Hello {{ contact.first_name }}, a word from us."}},
    WRITTEN[1],
]


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


@pytest.mark.parametrize("provider", ["gemini", "openai"])
@pytest.mark.parametrize(
    ("fault", "error_class", "words"),
    [("blocked", "blocked", "safety filter"), ("empty", "invalid", "without a text"),
     ("cut_short", "invalid", "Raise max_tokens")],
)  # fmt: skip
def test_a_refused_generation_fails_unless_there_is_a_fallback(
    alice: Alice, sandbox: RunningSandbox, provider: str, fault: str, error_class: str, words: str
) -> None:
    plain, with_fallback = (
        alice.automation([{**write, "with": {**write["with"], "provider": provider}}, send], name=name)
        for name, (write, send) in (("plain", WRITTEN), ("fallback", FALLBACK))
    )
    sandbox.add_fault(provider, fault, times=0)

    execution_ids = {started["automationId"]: started["executionId"] for started in alice.trigger().executions}
    failed, sent = wait_until_finished(execution_ids[plain]), wait_until_finished(execution_ids[with_fallback])

    assert (failed["status"], failed["error_class"], failed["next_retry_at"]) == ("failed", error_class, None)
    assert words in failed["error_message"]
    assert steps(failed["id"])["write"]["attempts"] == 1
    assert sent["status"] == "succeeded"
    assert [message["body"] for message in messages(sent["id"])] == ["Hello Bob, a word from us."]
    output = steps(sent["id"])["write"]["output"]
    assert output["fallback"] is True
    assert words in output["fallbackBecause"]
    assert count_provider_calls(sandbox) == 1


def test_a_rate_limited_model_is_called_again_and_no_attempt_is_used_up(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation(WRITTEN)
    sandbox.add_fault("gemini", "http_429", seconds=120)

    waiting = wait_for_status(alice.trigger())
    assert (waiting["stage"], waiting["waiting_for"], waiting["attempt"]) == ("eligible", "rate_limit", 1)
    assert 119 <= (waiting["due_at"] - waiting["stage_since"]).total_seconds() <= 140
    assert steps(waiting["id"])["write"]["attempts"] == 0

    expire_wait(waiting["id"])
    periodic_jobs.enqueue_due(settings)
    assert wait_until_finished(waiting["id"])["status"] == "succeeded"
    assert steps(waiting["id"])["write"]["attempts"] == 1


def test_a_slow_models_duration_is_recorded(alice: Alice, sandbox: RunningSandbox) -> None:
    alice.automation(WRITTEN)
    sandbox.add_fault("gemini", "slow", seconds=0.4)

    done = wait_until_finished(alice.trigger())

    written = steps(done["id"])["write"]
    assert written["execution_time_ms"] >= 400
    assert messages(done["id"])[0]["generation_ms"] == written["execution_time_ms"]
    output: dict[str, Any] = written["output"]
    assert (output["model"], output["finishReason"]) == ("gemini-2.5-flash", "STOP")
    assert min(output["inputTokens"], output["outputTokens"]) > 0


def test_a_refused_key_fails_no_execution_and_all_continue_with_a_valid_one(
    alice: Alice, sandbox: RunningSandbox
) -> None:
    alice.automation(WRITTEN)
    sandbox.add_fault("gemini", "auth", times=0)
    contacts = [{"external_id": f"c-{n}", "email": f"c{n}@example.com"} for n in range(4)]
    ids = [
        accepted.executions[0]["executionId"]
        for accepted in alice.triggers([{"contact": contact} for contact in contacts])
    ]
    for waiting in map(wait_for_status, ids):
        assert (waiting["stage"], waiting["waiting_for"], waiting["attempt"], waiting["finished_at"]) == (
            "eligible", "configuration", 1, None,
        )  # fmt: skip
    assert "Check the API key of Gemini" in fetch_value("select message from pauses where name = 'gemini'")

    sandbox.clear()
    operator_actions.resume("provider", "gemini", alice.workspace_id, SYSTEM)

    assert [wait_until_finished(execution_id)["status"] for execution_id in ids] == ["succeeded"] * 4
    assert {steps(execution_id)["write"]["attempts"] for execution_id in ids} == {1}
    assert count_provider_calls(sandbox) == 4


def test_a_model_that_is_down_for_a_while_costs_only_a_retry(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation(WRITTEN)
    sandbox.add_fault("gemini", "reset_before", times=3)
    waiting = wait_for_status(alice.trigger())
    assert (waiting["stage"], waiting["waiting_for"], waiting["error_class"]) == ("failed", "retry", "network")

    expire_wait(waiting["id"])
    periodic_jobs.enqueue_overdue_retries(settings)

    assert wait_until_finished(waiting["id"])["status"] == "succeeded"
    assert eventually(lambda: execution(waiting["id"])["attempt"]) == 2
    assert count_provider_calls(sandbox) == 1
