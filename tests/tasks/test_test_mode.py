"""Guarantee 7: a test execution stays inside, whatever is configured, and leaves nothing behind but itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from cast import Alice, at_rest, bob, counters, finished, messages, steps
from models.database import row, rows, value
from sandbox.server import Running, running
from settings import Settings
from tasks.engine import Engine

EVERYTHING: list[dict[str, Any]] = [
    {"id": "write", "action": "generate_message", "with": {"prompt": "Write"}},
    {"id": "mail", "action": "send_email", "with": {"subject": "x", "body": "{{ steps.write.text }}"}},
    {"id": "sms", "action": "send_sms", "with": {"body": "x"}},
    {"id": "hook", "action": "call_webhook", "with": {"url": "https://hooks.example.com/x", "body": {"a": 1}}},
    {"id": "slack", "action": "notify", "with": {"channel": "slack", "text": "x"}},
    {"id": "discord", "action": "notify", "with": {"channel": "discord", "text": "x"}},
    {"id": "tag", "action": "update_contact", "with": {"add_tags": ["seen"], "set": {"seen": True}}},
    {"id": "task", "action": "create_task", "with": {"title": "Call"}},
]


@pytest.fixture
def outside() -> Iterator[Running]:
    """A second listening server, which stands for the real providers."""
    with running() as listening:
        yield listening


@pytest.fixture
def configured(engine: Engine, outside: Running) -> Iterator[Engine]:
    """The engine with every key set, and every address that of the server outside."""
    told: Settings = engine.settings
    engine.settings = replace(
        told,
        mailgun_api_key="key-of-the-real-mailgun", mailgun_domain="mail.example.com",
        mailgun_from="Shop <shop@mail.example.com>", mailgun_base_url=outside.url,
        telnyx_api_key="key-of-the-real-telnyx", telnyx_messaging_profile_id="profile",
        telnyx_base_url=f"{outside.url}/v2", gemini_api_key="key-of-the-real-gemini",
        gemini_base_url=f"{outside.url}/v1beta",
        slack_webhook_url=f"{outside.url}/services/T0/B0/secret",
        discord_webhook_url=f"{outside.url}/api/webhooks/1/secret",
    )  # fmt: skip
    yield engine
    engine.settings = told


def test_a_test_execution_reaches_no_real_provider_although_all_are_configured(
    configured: Engine, outside: Running, sandbox: Running
) -> None:
    alice = Alice(demo=False)
    alice.automation(EVERYTHING)

    found = finished(alice.trigger(test=True))

    assert found["status"] == "succeeded", found["error_message"]
    assert outside.messages() == []
    assert {one["provider"] for one in sandbox.messages()} == {
        "gemini", "mailgun", "telnyx", "webhook", "slack", "discord",
    }  # fmt: skip
    assert all(message["sandbox"] and message["test"] for message in messages(found["id"]))


def test_the_server_outside_would_have_been_reached_by_a_real_execution(
    configured: Engine, outside: Running, sandbox: Running
) -> None:
    alice = Alice(demo=False)
    alice.automation([step for step in EVERYTHING if step["id"] in ("write", "mail", "sms")])

    found = finished(alice.trigger())

    assert found["status"] == "succeeded", found["error_message"]
    assert {one["provider"] for one in outside.messages()} == {"gemini", "mailgun", "telnyx"}
    assert sandbox.messages() == []


def test_without_a_sandbox_a_test_sends_nothing_at_all(configured: Engine, outside: Running, sandbox: Running) -> None:
    configured.settings = replace(configured.settings, sandbox="off")
    alice = Alice(demo=False)
    alice.automation([step for step in EVERYTHING if step["id"] == "sms"])

    assert at_rest(alice.trigger(test=True))["error_class"] == "configuration"
    assert outside.messages() == sandbox.messages() == []
    assert rows("select 1 from pauses") == []


def test_a_test_changes_no_contact_makes_no_task_and_moves_no_counter(engine: Engine, sandbox: Running) -> None:
    alice = Alice()
    automation_id = alice.automation(EVERYTHING)
    alice.trigger("nobody.listens")
    before = row("select * from contacts")

    found = finished(alice.trigger(test=True))

    assert found["status"] == "succeeded"
    assert row("select * from contacts") == before
    assert value("select count(*) from contact_tasks") == 0
    assert set(counters(alice.workspace_id, automation_id).values()) == {0}
    assert steps(found["id"])["task"]["output"]["taskId"] is None


def test_a_test_judges_the_rules_and_shows_the_verdict(engine: Engine) -> None:
    alice = Alice()
    alice.automation(rules={"tags": {"none": ["lead"]}}, enabled=False)

    found = finished(alice.trigger(test=True))

    assert (found["status"], found["skipped_rule"]) == ("skipped", "tags")


def test_later_steps_of_a_test_see_the_change_that_it_did_not_make(engine: Engine, sandbox: Running) -> None:
    alice = Alice()
    alice.automation(
        [
            {"id": "tag", "action": "update_contact", "with": {"add_tags": ["vip"]}},
            {"id": "fork", "action": "branch", "if": "contact.tags contains 'vip'", "then": [], "else": EVERYTHING[:1]},
        ]
    )

    found = finished(alice.trigger(test=True, contact=bob()))

    assert steps(found["id"])["fork"]["output"] == {"taken": "then"}
