"""The published schema accepts whatever validation accepts, and rejects a wrong field type too."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from rules import unsupported
from rules.actions import ACTIONS
from rules.schema import build_json_schema
from rules.validation import validate

SCHEMA = Draft202012Validator(build_json_schema())

#: The fields of one valid step for each supported action.
STEPS: dict[str, dict[str, Any]] = {
    "generate_message": {
        "with": {"prompt": "x", "max_tokens": 10, "system": "y", "temperature": 0.7},
        "retry": {"max": 1},
    },
    "send_email": {
        "with": {"subject": "x", "body": "x", "from": "Ada <ada@example.com>", "reply_to": "{{ payload.sender }}"},
        "send_at": "09:00",
        "on_unknown": "resend",
    },
    "send_sms": {"with": {"body": "x", "send_at": "{{ payload.when }}"}},
    "send_message": {
        "with": {
            "channel": "instagram",
            "body": "Hi {{ contact.username }}",
            "as": "private_reply",
            "buttons": [{"title": "Send it", "payload": "SEND"}, {"title": "Shop", "url": "https://example.com/"}],
            "quick_replies": ["I follow"],
        },
        "on_unknown": "resend",
    },
    "reply_comment": {"with": {"body": "Thank you!", "channel": "facebook"}, "send_at": "09:00"},
    "check_follow": {"retry": {"max": 1}},
    "wait": {"with": {"for": "2h"}},
    "wait_until": {"with": {"event": "contact.replied", "timeout": "2d", "then": [{"id": "b", "action": "stop"}]}},
    "branch": {"if": "payload.a", "then": [{"id": "b", "action": "stop"}], "else": []},
    "split": {"variants": [{"name": "a", "weight": 2, "steps": []}, {"name": "b", "steps": []}]},
    "update_contact": {"with": {"add_tags": ["x"], "set": {"plan": "{{ payload.plan }}", "n": 3}}},
    "create_task": {"with": {"title": "Call {{ contact.first_name }}", "due_in": "1d"}},
    "call_webhook": {"with": {"url": "https://{{ payload.host }}/x", "body": {"a": [1]}, "headers": {"X-A": "b"}}},
    "notify": {"with": {"channel": "slack", "text": "x"}},
    "stop": {},
}

TRIGGERS: list[dict[str, Any]] = [
    {"type": "invoice.overdue", "where": "payload.sum > 3"},
    {
        "type": "schedule",
        "with": {"cron": "0 9 * * mon", "timezone": "Europe/Rome", "contacts": "contact.tags contains 'a'"},
    },
    {"type": "contact.inactive", "with": {"days": 30}},
    {"type": "hook"},
    {"type": "manual", "with": {}},
]


def test_the_schema_is_valid() -> None:
    metaschema = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    assert list(metaschema.iter_errors(build_json_schema())) == []


def test_every_supported_action_is_tested_here() -> None:
    assert set(STEPS) == set(ACTIONS) - unsupported.ACTIONS


@pytest.mark.parametrize("action", STEPS)
def test_a_valid_step_is_valid_in_the_schema(action: str) -> None:
    written = {"trigger": {"type": "x"}, "steps": [{"id": "a", "action": action, **STEPS[action]}]}
    assert validate(written) == []
    assert [error.message for error in SCHEMA.iter_errors(written)] == []


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_valid_trigger_is_valid_in_the_schema(trigger: dict[str, Any]) -> None:
    written = {"trigger": trigger, "steps": [{"id": "a", "action": "stop"}]}
    assert validate(written) == []
    assert [error.message for error in SCHEMA.iter_errors(written)] == []


@pytest.mark.parametrize(
    "step",
    [
        {"action": "stop"},
        {"id": "a", "action": "send_emial"},
        {"id": "a", "action": "send_message", "with": {"body": "x"}},
        {"id": "a", "action": "send_message", "with": {"channel": "fax", "body": "x"}},
        {"id": "a", "action": "send_message", "with": {"channel": "facebook", "body": "x", "as": "story"}},
        {"id": "a", "action": "send_message", "with": {"channel": "facebook", "body": "x", "buttons": [{}]}},
        {
            "id": "a",
            "action": "send_message",
            "with": {
                "channel": "facebook",
                "body": "x",
                "buttons": [{"title": "a", "payload": "b", "url": "https://example.com/"}],
            },
        },
        {"id": "a", "action": "reply_comment", "with": {}},
        {"id": "a", "action": "check_follow", "with": {"contact": "x"}},
        {"id": "a", "action": "send_sms", "with": {"body": "x"}, "extra": 1},
        {"id": "a", "action": "send_sms", "with": {"body": "x", "extra": 1}},
        {"id": "a", "action": "send_sms"},
        {"id": "a", "action": "wait", "with": {"for": "2x"}},
        {"id": "a", "action": "wait", "with": {"for": 2}},
        {"id": "a", "action": "branch", "then": []},
        {"id": "a", "action": "split"},
        {"id": "a", "action": "notify", "with": {"channel": "fax", "text": "x"}},
        {"id": "a", "action": "call_webhook", "with": {"url": "ftp://x"}},
    ],
)
def test_an_invalid_step_is_rejected_by_both(step: dict[str, Any]) -> None:
    written = {"trigger": {"type": "x"}, "steps": [step]}
    assert validate(written)
    assert not SCHEMA.is_valid(written)


@pytest.mark.parametrize(
    "trigger", [{}, {"type": "schedule"}, {"type": "page"}, {"type": "x", "with": {"a": 1}}, {"type": "a b"}]
)
def test_an_invalid_trigger_is_rejected_by_both(trigger: dict[str, Any]) -> None:
    written = {"trigger": trigger, "steps": [{"id": "a", "action": "stop"}]}
    assert validate(written)
    assert not SCHEMA.is_valid(written)
