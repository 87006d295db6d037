"""Prompts: they contain the conversation where they use it, and never more than is intended for the model."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import clock
from models import conversation
from models.database import transaction
from models.queries import execute, fetch_value
from rules.validation import validate
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.runtime.engine import Engine
from tests.support.factories import WRITTEN, Alice, execution, steps, wait_until_finished
from tests.support.waiting import eventually

LINES = "{% for line in conversation %}[{{ line.from }} {{ line.channel }}: {{ line.text }}]{% endfor %}"
CONVERSATION_STEPS = [{**WRITTEN[0], "with": {"prompt": f"Go on: {LINES}"}}, WRITTEN[1]]
NOTE = {"id": "note", "action": "notify", "with": {"channel": "slack", "text": "for the team alone"}}
_numbers = itertools.count(1)


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


def list_prompts(sandbox: RunningSandbox) -> list[str]:
    """Return the prompts that the model received."""
    return ["".join(part["text"] for content in message["body"]["contents"] for part in content["parts"])
            for message in sandbox.list_messages(provider="gemini")]  # fmt: skip


def record_reply(alice: Alice, text: str, channel: str = "sms") -> None:
    with transaction():
        conversation.record_received(
            alice.workspace_id, str(fetch_value("select id from contacts")), channel, f"in-{next(_numbers)}",
            kind="message", text=text, at=clock.now(),
        )  # fmt: skip


def run_follow_up(settings: Settings, execution_id: str) -> None:
    eventually(lambda: execution(execution_id)["waiting_for"] == "follow_up")
    execute("update steps set finished_at = finished_at - interval '1 day'")
    execute("update executions set due_at = beckon_now(), rung_at = '2000-01-01'")
    periodic_jobs.enqueue_due(settings)
    eventually(lambda: execution(execution_id)["follow_up_count"] == 1)


def test_a_prompt_that_names_the_conversation_sees_both_sides_newest_last(
    alice: Alice, sandbox: RunningSandbox
) -> None:
    alice.automation([*WRITTEN, NOTE], trigger="first")
    alice.automation(CONVERSATION_STEPS, trigger="second")
    wait_until_finished(alice.trigger("first"))
    sent_body = str(fetch_value("select body from messages where channel = 'email'"))
    record_reply(alice, "How much is it?")

    wait_until_finished(alice.trigger("second"))

    assert list_prompts(sandbox)[-1] == f"Go on: [us email: {sent_body}][contact sms: How much is it?]"


def test_a_prompt_that_does_not_name_it_is_sent_unchanged(alice: Alice, sandbox: RunningSandbox) -> None:
    alice.automation(WRITTEN)
    wait_until_finished(alice.trigger())
    assert list_prompts(sandbox) == ["Write to Bob"]


@pytest.mark.parametrize("test", [False, True], ids=["real", "test"])
def test_a_follow_up_knows_its_number_and_the_conversation(
    alice: Alice, sandbox: RunningSandbox, settings: Settings, test: bool
) -> None:
    alice.automation(WRITTEN, rules={"follow_ups": {"max": 2, "every": "24h"}})
    waiting = alice.trigger(test=test).executions[0]["executionId"]
    run_follow_up(settings, waiting)

    first, second = list_prompts(sandbox)
    assert (first, second.startswith("Write to Bob\n\nThis is follow-up 1 of 2")) == ("Write to Bob", True)
    assert str(fetch_value("select body from messages where round = 0")) in second


def test_a_follow_up_whose_prompt_names_it_has_nothing_appended(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    prompt_config = {"prompt": f"No. {{{{ execution.follow_up }}}}: {LINES}"}
    alice.automation(
        [{**WRITTEN[0], "with": prompt_config}, WRITTEN[1]], rules={"follow_ups": {"max": 1, "every": "24h"}}
    )
    waiting = alice.trigger().executions[0]["executionId"]
    run_follow_up(settings, waiting)
    first, second = list_prompts(sandbox)
    assert first == "No. 0: "
    assert second.startswith("No. 1: [us email: ")


def test_a_contacts_messages_are_truncated_and_only_the_newest_are_used(alice: Alice, sandbox: RunningSandbox) -> None:
    alice.automation(WRITTEN, trigger="first")
    alice.automation(CONVERSATION_STEPS, trigger="second")
    wait_until_finished(alice.trigger("first"))
    for number in range(30):
        record_reply(alice, f"{number} " + "x" * 5_000)
    wait_until_finished(alice.trigger("second"))
    prompt = list_prompts(sandbox)[-1]
    assert prompt.count("[contact") == 20
    assert ("[contact sms: 29 xxx" in prompt, "[contact sms: 9 x" in prompt) == (True, False)
    assert len(prompt) < 21_000


def test_a_contacts_message_is_text_and_not_a_template(alice: Alice, sandbox: RunningSandbox) -> None:
    alice.automation(WRITTEN, trigger="first")
    alice.automation(CONVERSATION_STEPS, trigger="second")
    wait_until_finished(alice.trigger("first"))
    record_reply(alice, "{{ contact.email }} {% for x in y %}")
    assert wait_until_finished(accepted := alice.trigger("second"))["status"] == "succeeded"
    assert "{{ contact.email }}" in list_prompts(sandbox)[-1]
    assert steps(accepted.executions[0]["executionId"])["write"]["status"] == "succeeded"


def test_only_generating_steps_know_the_conversation() -> None:
    def list_problems(step: dict[str, Any]) -> list[str]:
        return [problem.message for problem in validate({"trigger": {"type": "x"}, "steps": [step]})]

    sms = {"id": "sms", "action": "send_sms", "with": {"body": LINES}}
    assert list_problems(CONVERSATION_STEPS[0]) == []
    assert "conversation" in list_problems(sms)[0]
