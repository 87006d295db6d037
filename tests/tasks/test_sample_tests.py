"""A test with sample contacts and a sample event passes: every automation of the demo, and every template."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

import pytest

import clock
from dashboard.automation_templates import TEMPLATES, Template
from models import automation
from models.audit import SYSTEM
from rules.language import PLAYBOOK
from settings import Settings
from tasks import periodic_jobs
from tasks.intake.triggers import AcceptedTrigger
from tasks.operators import test_triggers as sample_tests
from tasks.runtime.engine import Engine
from tests.support.factories import Alice, execution, expire_wait, messages
from tests.support.waiting import eventually

#: Templates that the engine executes; a playbook is executed by browsers.
WORKFLOWS = [template for template in TEMPLATES if template.type != PLAYBOOK]
REST = {"waiting", "succeeded", "failed", "skipped", "cancelled"}


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice(demo=False)


def start_test(alice: Alice, definition: Any, name: str = "Test", type_: Any = "workflow") -> list[str]:
    """Test a definition with two sample contacts; return the ids of the executions."""
    automation_id = automation.create(
        alice.workspace_id, name=name, type=type_, definition=definition, actor=SYSTEM, enabled=False
    ).automation_id
    workflow = sample_tests.find_published(alice.workspace_id, automation_id)
    people = sample_tests.ensure_sample_contacts(alice.workspace_id, workflow, 2)
    results = sample_tests.start(alice.workspace_id, workflow, sample_tests.choose_event(workflow), people)
    accepted = [result for result in results if isinstance(result, AcceptedTrigger)]
    assert len(accepted) == 2, results
    return [result.executions[0]["executionId"] for result in accepted]


def finish(settings: Settings, execution_id: str) -> dict[str, Any]:
    """Let every wait of a test end at once; return the execution at the end of its steps."""

    def fetch_at_rest() -> dict[str, Any] | None:
        row = execution(execution_id)
        is_moving = row["due_at"] is not None and row["due_at"] <= clock.now()
        return row if row["status"] in REST and not is_moving else None

    for _ in range(20):
        row = eventually(fetch_at_rest)
        # A follow-up comes after the workflow has ended.
        if row["status"] != "waiting" or row["waiting_for"] == "follow_up":
            return row
        assert row["waiting_for"] in ("time", "event"), row["waiting_for"]
        expire_wait(execution_id)
        periodic_jobs.enqueue_due(settings)
    raise AssertionError("the test has no end")


@pytest.mark.parametrize("template", WORKFLOWS, ids=lambda template: template.slug)
def test_every_template_passes_its_test(alice: Alice, settings: Settings, template: Template) -> None:
    for execution_id in start_test(alice, template.definition, template.name, template.type):
        row = finish(settings, execution_id)
        assert (row["skipped_detail"], row["error_message"]) == (None, None)
        assert row["status"] == "succeeded" or row["waiting_for"] == "follow_up"
        assert [message["status"] for message in messages(execution_id)] != []
        assert all(message["sandbox"] and message["test"] for message in messages(execution_id))


def email(body: str) -> dict[str, Any]:
    return {"id": "mail", "action": "send_email", "with": {"subject": "Hi", "body": body}}


def find_closed_hour() -> dict[str, Any]:
    """Active hours that are over in UTC, on every day."""
    hour = (clock.now() - timedelta(hours=9)).astimezone(UTC)
    start, end = hour.replace(minute=0), hour.replace(minute=0) + timedelta(hours=2)
    return {"start": f"{start:%H:%M}", "end": f"{end:%H:%M}", "timezone": "contact"}


#: Definitions that no template has.
OTHERS: dict[str, dict[str, Any]] = {
    "inactive contacts": {
        "trigger": {"type": "contact.inactive", "with": {"days": 30, "contacts": "contact.tags contains 'vip'"}},
        "rules": {"where": "contact.attributes.plan == 'pro' and contact.first_name == 'Zoe'",
                  "tags": {"any": ["a", "b"], "none": ["sample"]}},
        "steps": [{"id": "sms", "action": "send_sms", "with": {"body": "{{ contact.attributes.city }}"}}],
    },
    "nested payload": {
        "trigger": {"type": "order.paid", "where": "payload.items.size > 1 and payload.customer.vip"},
        "rules": {"reentry": "once", "frequency_cap": {"max": 1, "per": "7d"}},
        "steps": [
            email("{% for item in payload.items %}{{ item.title }} {{ item.price | times: 2 }}{% endfor %}"),
            {"id": "paid", "action": "wait_until", "with": {"event": "order.shipped", "timeout": "2d"},
             "then": [], "else": [{"id": "call", "action": "call_webhook",
                                   "with": {"url": "https://example.com/x", "body": "{{ payload.order.id }}"}}]},
        ],
    },
    "hook": {"trigger": {"type": "hook"}, "steps": [email("{{ payload.form.name }} {{ payload.due | date: '%Y' }}")]},
    "page comment": {
        "trigger": {"type": "facebook.comment", "with": {"keywords": ["prix"]}},
        "steps": [
            {"id": "public", "action": "reply_comment", "with": {"body": "{{ payload.comment.from.username }}"}},
            {"id": "private", "action": "send_message",
             "with": {"channel": "facebook", "body": "Hi", "as": "private_reply"}},
        ],
    },
    "facebook message": {
        "trigger": {"type": "facebook.message", "with": {"default": True}},
        "steps": [{"id": "follows", "action": "check_follow", "with": {}},
                  {"id": "dm", "action": "send_message",
                   "with": {"channel": "facebook", "body": "{{ payload.message.text }}"}}],
    },
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_a_definition_like_no_template_passes_its_test(alice: Alice, settings: Settings, name: str) -> None:
    for execution_id in start_test(alice, OTHERS[name]):
        row = finish(settings, execution_id)
        assert (row["status"], row["skipped_detail"], row["error_message"]) == ("succeeded", None, None)


def test_sample_contacts_live_where_the_active_hours_are_open(alice: Alice, settings: Settings) -> None:
    definition = {"trigger": {"type": "x"}, "rules": {"active_hours": find_closed_hour()}, "steps": [email("Hi")]}
    for execution_id in start_test(alice, definition):
        assert finish(settings, execution_id)["status"] == "succeeded"
