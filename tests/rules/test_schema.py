"""The published schema accepts whatever validation accepts, and rejects a wrong field type too."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from rules.actions import ACTIONS, PLAYBOOK_ACTIONS
from rules.language import infer_type
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
    "replace_text": {"with": {"selector": "h1.hero", "text": "Welcome"}},
    "replace_image": {"with": {"selector": "img", "src": "/sale.png"}},
    "set_attribute": {"with": {"selector": "a", "name": "href", "value": ""}},
    "set_style": {"with": {"selector": ".cta", "style": {"color": "#fff", "opacity": 0.5}}},
    "show": {"with": {"selector": "#offer"}},
    "hide": {"with": {"selector": "[data-old]"}},
    "insert_banner": {"with": {"position": "top", "text": "Sale", "url": "https://example.com/"}},
    "redirect": {"with": {"url": "/sale"}},
    "track_event": {"with": {"name": "Saw the offer"}},
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
    assert set(STEPS) == set(ACTIONS)


@pytest.mark.parametrize("action", STEPS)
def test_a_valid_step_is_valid_in_the_schema(action: str) -> None:
    trigger = "page" if action in PLAYBOOK_ACTIONS else "x"
    written = {"trigger": {"type": trigger}, "steps": [{"id": "a", "action": action, **STEPS[action]}]}
    assert validate(written, automation_type=infer_type(written)) == []
    assert [error.message for error in SCHEMA.iter_errors(written)] == []


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_valid_trigger_is_valid_in_the_schema(trigger: dict[str, Any]) -> None:
    written = {"trigger": trigger, "steps": [{"id": "a", "action": "stop"}]}
    assert validate(written) == []
    assert [error.message for error in SCHEMA.iter_errors(written)] == []


PAGE_TRIGGERS: list[dict[str, Any]] = [
    {"type": "page"},
    {"type": "page", "event": "cart", "frequency": {"max": 1, "per": "7d"}},
    {
        "type": "page",
        "with": {
            "url": "/pricing*", "device": ["mobile"], "utm": {"source": "newsletter"}, "scroll_depth": 50,
            "time_on_page": "10s", "exit_intent": True, "returning": True, "event": "cart",
            "frequency": {"max": 1, "per": "7d"},
        },
    },
]  # fmt: skip


@pytest.mark.parametrize("trigger", PAGE_TRIGGERS)
def test_a_valid_page_trigger_is_valid_in_the_schema(trigger: dict[str, Any]) -> None:
    written = {"trigger": trigger, "steps": [{"id": "a", "action": "show", **STEPS["show"]}]}
    assert validate(written, automation_type="playbook") == []
    assert [error.message for error in SCHEMA.iter_errors(written)] == []


@pytest.mark.parametrize(
    "written",
    [
        {"trigger": {"type": "page"}, "steps": [{"id": "a", "action": "stop"}]},
        {"trigger": {"type": "page"}, "steps": [{"id": "a", "action": "show"}]},
        {"trigger": {"type": "page"}, "rules": {}, "steps": [{"id": "a", "action": "show", **STEPS["show"]}]},
        {"trigger": {"type": "page", "where": "true"}, "steps": [{"id": "a", "action": "show", **STEPS["show"]}]},
        {"trigger": {"type": "page", "with": {"utm": {}}}, "steps": [{"id": "a", "action": "show", **STEPS["show"]}]},
        {"trigger": {"type": "x"}, "steps": [{"id": "a", "action": "show", **STEPS["show"]}]},
        {"trigger": {"type": "x"}, "frequency": {"max": 1, "per": "1d"}, "steps": [{"id": "a", "action": "stop"}]},
    ],
)
def test_playbooks_and_workflows_do_not_mix_in_either(written: dict[str, Any]) -> None:
    assert validate(written, automation_type=infer_type(written))
    assert not SCHEMA.is_valid(written)


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
