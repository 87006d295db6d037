"""Guarantee 7: a test execution reaches no real provider, whatever is configured, and leaves only its own rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from models.queries import fetch_value
from sandbox.server import RunningSandbox, run_sandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.runtime.engine import Engine
from tests.support.factories import Alice, bob, counters, messages, steps, wait_for_status, wait_until_finished
from tests.support.rows import fetch_row, fetch_rows
from tests.support.waiting import eventually

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
def real_providers() -> Iterator[RunningSandbox]:
    """A second server, which stands for the real providers."""
    with run_sandbox() as listening:
        yield listening


@pytest.fixture
def configured_engine(engine: Engine, real_providers: RunningSandbox) -> Iterator[Engine]:
    """The engine with every key set and every base URL pointing to the outside server."""
    original_settings: Settings = engine.settings
    engine.settings = original_settings.replace(
        mailgun_api_key="key-of-the-real-mailgun", mailgun_domain="mail.example.com",
        mailgun_from="Shop <shop@mail.example.com>", mailgun_base_url=real_providers.url,
        telnyx_api_key="key-of-the-real-telnyx", telnyx_messaging_profile_id="profile",
        telnyx_base_url=f"{real_providers.url}/v2", gemini_api_key="key-of-the-real-gemini",
        gemini_base_url=f"{real_providers.url}/v1beta",
        slack_webhook_url=f"{real_providers.url}/services/T0/B0/secret",
        discord_webhook_url=f"{real_providers.url}/api/webhooks/1/secret",
    )  # fmt: skip
    yield engine
    engine.settings = original_settings


def test_a_test_reaches_no_real_provider_although_all_are_configured(
    configured_engine: Engine, real_providers: RunningSandbox, sandbox: RunningSandbox
) -> None:
    alice = Alice(demo=False)
    alice.automation(EVERYTHING)

    result = wait_until_finished(alice.trigger(test=True))

    assert result["status"] == "succeeded", result["error_message"]
    assert real_providers.list_messages() == []
    assert {message["provider"] for message in sandbox.list_messages()} == {
        "gemini", "mailgun", "telnyx", "webhook", "slack", "discord",
    }  # fmt: skip
    assert all(message["sandbox"] and message["test"] for message in messages(result["id"]))


def test_a_real_execution_reaches_the_outside_server(
    configured_engine: Engine, real_providers: RunningSandbox, sandbox: RunningSandbox
) -> None:
    alice = Alice(demo=False)
    alice.automation([step for step in EVERYTHING if step["id"] in ("write", "mail", "sms")])

    result = wait_until_finished(alice.trigger())

    assert result["status"] == "succeeded", result["error_message"]
    assert {message["provider"] for message in real_providers.list_messages()} == {"gemini", "mailgun", "telnyx"}
    assert sandbox.list_messages() == []


def test_without_a_sandbox_a_test_sends_nothing_at_all(
    configured_engine: Engine, real_providers: RunningSandbox, sandbox: RunningSandbox
) -> None:
    configured_engine.settings = configured_engine.settings.replace(sandbox="off")
    alice = Alice(demo=False)
    alice.automation([step for step in EVERYTHING if step["id"] == "sms"])

    assert wait_for_status(alice.trigger(test=True))["error_class"] == "configuration"
    assert real_providers.list_messages() == sandbox.list_messages() == []
    assert fetch_rows("select 1 from pauses") == []


def test_a_test_changes_no_contact_creates_no_task_and_counts_nothing(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    automation_id = alice.automation(EVERYTHING)
    alice.trigger("nobody.listens")
    before = fetch_row("select * from contacts")

    result = wait_until_finished(alice.trigger(test=True))

    assert result["status"] == "succeeded"
    assert fetch_row("select * from contacts") == before
    assert fetch_value("select count(*) from contact_tasks") == 0
    assert set(counters(alice.workspace_id, automation_id).values()) == {0}
    assert steps(result["id"])["task"]["output"]["taskId"] is None


def test_a_test_checks_the_rules_and_shows_the_verdict(engine: Engine) -> None:
    alice = Alice()
    alice.automation(rules={"tags": {"none": ["lead"]}}, enabled=False)

    result = wait_until_finished(alice.trigger(test=True))

    assert (result["status"], result["skipped_rule"]) == ("skipped", "tags")


def test_later_steps_of_a_test_see_its_simulated_change(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation(
        [
            {"id": "tag", "action": "update_contact", "with": {"add_tags": ["vip"]}},
            {"id": "fork", "action": "branch", "if": "contact.tags contains 'vip'", "then": [], "else": EVERYTHING[:1]},
        ]
    )

    result = wait_until_finished(alice.trigger(test=True, contact=bob()))

    assert steps(result["id"])["fork"]["output"] == {"taken": "then"}


def test_a_simulated_change_lasts_after_a_wait(engine: Engine, sandbox: RunningSandbox, settings: Settings) -> None:
    alice = Alice()
    fork = {"id": "fork", "action": "branch", "if": "contact.tags contains 'vip'", "then": [], "else": EVERYTHING[:1]}
    alice.automation(
        [
            {"id": "tag", "action": "update_contact", "with": {"add_tags": ["vip", "new"], "set": {"plan": "pro"}}},
            {"id": "untag", "action": "update_contact", "with": {"remove_tags": ["new"]}},
            {"id": "rest", "action": "wait", "with": {"for": "1s"}},
            fork,
            {"id": "mail", "action": "send_email",
             "with": {"subject": "{{ contact.attributes.plan }}", "body": "{{ contact.tags | join: ' ' }}"}},
        ]
    )  # fmt: skip
    accepted = alice.trigger(test=True, contact=bob())
    wait_for_status(accepted)
    eventually(lambda: periodic_jobs.enqueue_due(settings)["woken"])

    result = wait_until_finished(accepted)

    assert steps(result["id"])["fork"]["output"] == {"taken": "then"}
    (message,) = messages(result["id"])
    assert (message["subject"], message["body"]) == ("pro", "lead vip")
    assert fetch_row("select tags from contacts") == {"tags": ["lead"]}
