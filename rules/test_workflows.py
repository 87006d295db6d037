"""The three workflows of a test run, which between them have every action, and what each must go through.

    welcome    AI text, e-mail, SMS, contact change, task, wait, branch, notices, webhook, stop; skips one contact
    comment    public and private reply to a comment, wait for a reply, follow check, direct message
    retry      Messenger, wait, split, an e-mail that fails at first

All are off and have a trigger of their own. The waits last a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rules import samples
from rules.channels import NOTICE_CHANNELS

#: The tag that a contact needs for the first workflow; the second sample contact lacks it and is skipped.
TAG = "test-run"
#: The type of the named event that starts the first and the last workflow.
EVENT = "beckon.test_run"
_SENDING = ("ready_to_send", "sending", "sent")
_START = ("queued", "checking", "eligible")


@dataclass(frozen=True)
class TestWorkflow:
    """One workflow: its definition, and the stages that its execution passes. `first_sends` send before the wait."""

    __test__ = False

    name: str
    definition: Mapping[str, Any]
    stages: Sequence[str]
    first_sends: Sequence[str]


def _build_step(step_id: str, action: str, **fields: Any) -> dict[str, Any]:
    return {"id": step_id, "action": action, "with": fields} if fields else {"id": step_id, "action": action}


WELCOME = TestWorkflow(
    "welcome",
    {
        "trigger": {"type": EVENT, "where": "payload.amount > 100"},
        "rules": {"tags": {"all": [TAG]}},
        "steps": [
            _build_step("write", "generate_message", prompt="Greet {{ contact.first_name }} in one sentence.",
                        max_tokens=100),
            _build_step("mail", "send_email", subject="A test for {{ contact.first_name }}",
                        body="{{ steps.write.text }}"),
            _build_step("text", "send_sms", body="A test for {{ contact.first_name }}: {{ payload.amount }}"),
            _build_step("change", "update_contact", add_tags=["tested"], set={"tested": True}),
            _build_step("task", "create_task", title="Call {{ contact.first_name }}", due_in="1d"),
            _build_step("pause", "wait", **{"for": "1s"}),
            {
                "id": "fork",
                "action": "branch",
                "if": "contact.tags contains 'tested'",
                "then": [
                    *(
                        _build_step(channel, "notify", channel=channel, text="A test run, {{ execution.id }}")
                        for channel in NOTICE_CHANNELS
                    ),
                    _build_step("hook", "call_webhook", url="https://hooks.example.com/test-run",
                                body={"execution": "{{ execution.id }}"}),
                    _build_step("end", "stop"),
                ],
                "else": [],
            },
        ],
    },
    (*_START, "generating", *_SENDING, *_SENDING, "completed"),
    ("mail", "text"),
)  # fmt: skip
COMMENT = TestWorkflow(
    "comment",
    {
        "trigger": {"type": "instagram.comment", "with": {"keywords": ["test"]}},
        "steps": [
            _build_step("reply", "reply_comment", body="Thank you! See your messages."),
            _build_step("opening", "send_message", channel="instagram", body="Hello {{ contact.first_name }}!",
                        **{"as": "private_reply"}),
            {
                "id": "answer",
                "action": "wait_until",
                "with": {"event": "contact.replied", "timeout": "1s"},
                "then": [],
                "else": [
                    _build_step("follow", "check_follow"),
                    _build_step("message", "send_message", channel="instagram",
                                body="You follow us: {{ steps.follow.following }}"),
                ],
            },
        ],
    },
    (*_START, *_SENDING, *_SENDING, *_SENDING, "completed"),
    ("reply", "opening"),
)  # fmt: skip
_MAIL = {"subject": "A retry", "body": "This message was refused at first."}
RETRY = TestWorkflow(
    "retry",
    {
        "trigger": {"type": EVENT},
        "steps": [
            _build_step("messenger", "send_message", channel="facebook", body="Hello {{ contact.first_name }}!"),
            _build_step("pause", "wait", **{"for": "1s"}),
            {
                "id": "variant",
                "action": "split",
                "variants": [
                    {"name": "a", "steps": [_build_step("retried_a", "send_email", **_MAIL)]},
                    {"name": "b", "steps": [_build_step("retried_b", "send_email", **_MAIL)]},
                ],
            },
        ],
    },
    (*_START, *_SENDING, "ready_to_send", "sending", "failed", "sending", "sent", "completed"),
    ("messenger",),
)
WORKFLOWS = (WELCOME, COMMENT, RETRY)

#: The steps of a test run, as pages show them; the removal of the data comes last, whatever happened before.
STEP_NAMES = (
    "Database, Redis and workers answer",
    "3 test workflows created",
    "2 sample contacts created",
    "4 triggers accepted",
    "Queued and claimed",
    "Rules checked",
    "Message generated",
    "E-mail, SMS and messages sent",
    "Wait and branch",
    "Stages, times and records",
    "Retry after a failed send",
    "No real provider was called",
    "Test data deleted",
)


def build_contacts(run_id: str) -> list[dict[str, Any]]:
    """Return the two sample contacts of a run; the second lacks the tag of the first workflow."""
    series = int(run_id.replace("-", "")[-12:], 16) % 10**8
    first, second = samples.build_contacts(2, {}, series)
    return [{**first, "tags": [TAG], "attributes": {}}, {**second, "tags": [], "attributes": {}}]
