"""What the AI is asked: with what was said so far where it is wanted, and never with more than is meant for it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import clock
from cast import WRITTEN, Alice, execution, finished, steps
from models import conversation
from models.database import changed, transaction, value
from rules.validation import validate
from sandbox.server import Running
from settings import Settings
from tasks import sweeps
from tasks.engine import Engine
from waiting import eventually

LINES = "{% for one in conversation %}[{{ one.from }} {{ one.channel }}: {{ one.text }}]{% endfor %}"
TALKING = [{**WRITTEN[0], "with": {"prompt": f"Go on: {LINES}"}}, WRITTEN[1]]
NOTE = {"id": "note", "action": "notify", "with": {"channel": "slack", "text": "for the team alone"}}
_numbers = itertools.count(1)


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


def asked(sandbox: Running) -> list[str]:
    """The prompts that the AI was given."""
    return ["".join(part["text"] for content in one["body"]["contents"] for part in content["parts"])
            for one in sandbox.messages(provider="gemini")]  # fmt: skip


def hear(alice: Alice, text: str, channel: str = "sms") -> None:
    with transaction():
        conversation.record_received(
            alice.workspace_id, str(value("select id from contacts")), channel, f"in-{next(_numbers)}",
            kind="message", text=text, at=clock.now(),
        )  # fmt: skip


def follow_up(settings: Settings, execution_id: str) -> None:
    eventually(lambda: execution(execution_id)["waiting_for"] == "follow_up")
    changed("update steps set finished_at = finished_at - interval '1 day'")
    changed("update executions set due_at = beckon_now(), rung_at = '2000-01-01'")
    sweeps.wake_due(settings)
    eventually(lambda: execution(execution_id)["follow_up_count"] == 1)


def test_a_prompt_that_names_the_conversation_sees_both_sides_newest_last(alice: Alice, sandbox: Running) -> None:
    alice.automation([*WRITTEN, NOTE], trigger="first")
    alice.automation(TALKING, trigger="second")
    finished(alice.trigger("first"))
    ours = str(value("select body from messages where channel = 'email'"))
    hear(alice, "How much is it?")

    finished(alice.trigger("second"))

    assert asked(sandbox)[-1] == f"Go on: [us email: {ours}][contact sms: How much is it?]"


def test_one_that_does_not_name_it_is_asked_as_it_stands(alice: Alice, sandbox: Running) -> None:
    alice.automation(WRITTEN)
    finished(alice.trigger())
    assert asked(sandbox) == ["Write to Bob"]


@pytest.mark.parametrize("test", [False, True], ids=["real", "test"])
def test_a_follow_up_knows_its_number_and_what_was_said(
    alice: Alice, sandbox: Running, settings: Settings, test: bool
) -> None:
    alice.automation(WRITTEN, rules={"follow_ups": {"max": 2, "every": "24h"}})
    waiting = alice.trigger(test=test).executions[0]["executionId"]
    follow_up(settings, waiting)

    first, second = asked(sandbox)
    assert (first, second.startswith("Write to Bob\n\nThis is follow-up 1 of 2")) == ("Write to Bob", True)
    assert str(value("select body from messages where round = 0")) in second


def test_a_follow_up_whose_prompt_names_it_has_nothing_appended(
    alice: Alice, sandbox: Running, settings: Settings
) -> None:
    told = {"prompt": f"No. {{{{ execution.follow_up }}}}: {LINES}"}
    alice.automation([{**WRITTEN[0], "with": told}, WRITTEN[1]], rules={"follow_ups": {"max": 1, "every": "24h"}})
    waiting = alice.trigger().executions[0]["executionId"]
    follow_up(settings, waiting)
    first, second = asked(sandbox)
    assert first == "No. 0: "
    assert second.startswith("No. 1: [us email: ")


def test_what_a_contact_writes_is_cut_and_only_the_newest_is_shown(alice: Alice, sandbox: Running) -> None:
    alice.automation(WRITTEN, trigger="first")
    alice.automation(TALKING, trigger="second")
    finished(alice.trigger("first"))
    for number in range(30):
        hear(alice, f"{number} " + "x" * 5_000)
    finished(alice.trigger("second"))
    prompt = asked(sandbox)[-1]
    assert prompt.count("[contact") == 20
    assert ("[contact sms: 29 xxx" in prompt, "[contact sms: 9 x" in prompt) == (True, False)
    assert len(prompt) < 21_000


def test_what_a_contact_writes_is_text_and_no_template(alice: Alice, sandbox: Running) -> None:
    alice.automation(WRITTEN, trigger="first")
    alice.automation(TALKING, trigger="second")
    finished(alice.trigger("first"))
    hear(alice, "{{ contact.email }} {% for x in y %}")
    assert finished(found := alice.trigger("second"))["status"] == "succeeded"
    assert "{{ contact.email }}" in asked(sandbox)[-1]
    assert steps(found.executions[0]["executionId"])["write"]["status"] == "succeeded"


def test_only_the_writing_steps_know_the_conversation() -> None:
    def problems(step: dict[str, Any]) -> list[str]:
        return [one.message for one in validate({"trigger": {"type": "x"}, "steps": [step]})]

    sms = {"id": "sms", "action": "send_sms", "with": {"body": LINES}}
    assert problems(TALKING[0]) == []
    assert "conversation" in problems(sms)[0]
