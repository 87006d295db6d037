"""A valid document is parsed into the values that the engine runs."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import time

import pytest

from rules.definition import FollowUps, FrequencyCap, Rules, Step, WorkflowTrigger, parse, read
from rules.schedule import ActiveHours
from rules.validation import validate

CONTRACT = """
trigger: {type: contact.created, where: "payload.plan == 'pro' and contact.tags contains 'lead'"}
rules:
  tags: {all: [lead], any: [], none: [customer]}
  daily_limit: 200
  contact_daily_limit: 1
  active_hours: {start: "09:00", end: "21:00", days: [mon, tue, wed, thu, fri], timezone: contact}
  outside_hours: wait          # or skip
  where: "contact.attributes.country != 'US'"
  frequency_cap: {max: 2, per: 7d}
  reentry: always              # or after_finish, once
  follow_ups: {max: 0, every: 24h}
steps:
  - id: write
    action: generate_message
    with: {prompt: "Write to {{ contact.first_name }}", model: gemini-2.5-flash, max_tokens: 300, fallback: "Hi"}
  - id: hello
    action: send_email
    with: {subject: "Hello {{ contact.first_name }}", body: "{{ steps.write.text }}", format: text}
    retry: {max: 3}
    on_unknown: hold
  - id: pause
    action: wait
    with: {for: 2h}
  - id: fork
    action: branch
    if: "contact.attributes.plan == 'pro'"
    then: [{id: a, action: stop}]
    else: [{id: b, action: send_sms, send_at: "09:00", on_unknown: resend, retry: {max: 0}, with: {body: hi}}]
"""


def test_the_contracts_example_is_valid_and_parsed() -> None:
    document = read(CONTRACT)
    assert validate(document) == []
    assert isinstance(document, dict)
    workflow = parse(document)
    assert workflow.trigger == WorkflowTrigger(
        "contact.created", "payload.plan == 'pro' and contact.tags contains 'lead'"
    )
    assert workflow.rules == Rules(
        tags_all=("lead",),
        tags_none=("customer",),
        daily_limit=200,
        contact_daily_limit=1,
        active_hours=ActiveHours(time(9), time(21), frozenset(range(5)), "contact"),
        outside_hours="wait",
        where="contact.attributes.country != 'US'",
        frequency_cap=FrequencyCap(2, 604_800),
        follow_ups=FollowUps(0, 86_400),
    )
    assert [step.id for step in workflow.steps] == ["write", "hello", "pause", "fork"]
    assert workflow.steps[3].then == (Step("a", "stop"),)
    assert workflow.steps[3].otherwise == (
        Step("b", "send_sms", {"body": "hi"}, on_unknown="resend", retry_max=0, send_at="09:00"),
    )


def test_an_omitted_field_has_its_default() -> None:
    workflow = parse({"trigger": {"type": "x", "with": None}, "steps": [{"id": "a", "action": "stop"}]})
    assert workflow.rules == Rules()
    step = workflow.steps[0]
    assert (step.retry_max, step.on_unknown, step.send_at, step.review) == (3, None, None, False)


def test_movable_fields_are_moved_out_of_with() -> None:
    arm = [{"id": "b", "action": "stop"}]
    written = {"id": "a", "action": "wait_until", "with": {"event": "x", "timeout": "1d", "then": arm}}
    step = parse({"trigger": {"type": "x"}, "steps": [written]}).steps[0]
    assert step.with_ == {"event": "x", "timeout": "1d"}
    assert step.then == (Step("b", "stop"),)


@pytest.mark.parametrize(
    ("action", "with_", "queue", "channel"),
    [
        ("generate_message", {}, "generation", None),
        ("send_email", {}, "sending", "email"),
        ("send_sms", {}, "sending", "sms"),
        ("send_message", {"channel": "facebook"}, "sending", "facebook"),
        ("call_webhook", {}, "sending", None),
        ("notify", {"channel": "slack"}, "sending", None),
        ("wait", {}, None, None),
    ],
)
def test_a_step_knows_its_queue_and_channel(
    action: str, with_: dict[str, str], queue: str | None, channel: str | None
) -> None:
    step = Step("a", action, with_)
    assert (step.queue, step.channel) == (queue, channel)


@pytest.mark.parametrize(
    ("action", "with_", "channel", "kind"),
    [
        ("send_email", {}, "email", "message"),
        ("send_message", {"channel": "facebook"}, "facebook", "message"),
        ("send_message", {"channel": "instagram", "as": "private_reply"}, "instagram", "private_reply"),
        ("reply_comment", {}, "instagram", "comment_reply"),
        ("reply_comment", {"channel": "facebook"}, "facebook", "comment_reply"),
        ("check_follow", {}, None, None),
        ("notify", {"channel": "slack"}, None, None),
    ],
)
def test_a_step_knows_the_way_to_the_contact(
    action: str, with_: dict[str, str], channel: str | None, kind: str | None
) -> None:
    step = Step("a", action, with_)
    assert (step.channel, step.message_kind) == (channel, kind)


@pytest.mark.parametrize(
    ("trigger", "channel"),
    [("facebook.comment", "facebook"), ("instagram.comment", "instagram"), ("comment.made", "instagram")],
)
def test_a_comment_reply_uses_the_channel_of_the_comment(trigger: str, channel: str) -> None:
    reply = {"id": "a", "action": "reply_comment", "with": {"body": "x"}}
    fork = {"id": "b", "action": "branch", "if": "payload.a", "then": [reply | {"id": "c"}]}
    facebook_reply = {"id": "d", "action": "reply_comment", "with": {"body": "x", "channel": "facebook"}}

    steps = parse({"trigger": {"type": trigger}, "steps": [reply, fork, facebook_reply]}).steps

    assert [steps[0].channel, steps[1].then[0].channel, steps[2].channel] == [channel, channel, "facebook"]


def test_absent_fields_have_the_defaults_of_the_language() -> None:
    split = {"id": "s", "action": "split", "variants": [{"name": "a", "steps": []}, {"name": "b", "weight": 3}]}
    split["variants"][1]["steps"] = [{"id": "r", "action": "reply_comment", "with": {"body": "x"}}]  # type: ignore[index]
    rules = {"follow_ups": {"max": 2}, "active_hours": {"start": "09:00", "end": "21:00"}}

    workflow = parse({"trigger": {"type": "facebook.comment"}, "rules": rules, "steps": [split]})

    assert workflow.rules.follow_ups == FollowUps(2, 86_400)
    assert workflow.rules.active_hours == ActiveHours(time(9), time(21), frozenset(range(7)), "contact")
    first, second = workflow.steps[0].variants
    assert (first.weight, second.weight, second.steps[0].channel) == (1, 3, "facebook")
    assert workflow.steps[0].review is False


def test_a_triggers_fields_and_a_steps_review_are_kept() -> None:
    trigger = {"type": "schedule", "with": {"cron": "0 9 * * *"}}
    step = {"id": "hello", "action": "send_email", "with": {}, "review": True}
    workflow = parse({"trigger": trigger, "rules": {"follow_ups": {"max": 1, "every": "2h"}}, "steps": [step]})
    assert workflow.trigger == WorkflowTrigger("schedule", None, {"cron": "0 9 * * *"})
    assert workflow.steps[0].review is True
    assert workflow.rules.follow_ups == FollowUps(1, 7200)


def test_a_workflow_is_immutable() -> None:
    workflow = parse({"trigger": {"type": "x"}, "steps": []})
    with pytest.raises(FrozenInstanceError):
        workflow.steps = ()  # type: ignore[misc]
