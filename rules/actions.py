"""Defines every action of a step: the queue of its outside call, its channel, its fields and its outputs.

`ACTIONS` is the only table. `generation` and `sending` name the queue of the outside call. An action without a queue
makes no outside call and runs where the execution is. Fields belong under the step's `with`, except `step_fields`,
which stand beside `action`; `MOVABLE_FIELDS` are accepted in both places.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from email_validator import EmailNotValidError, validate_email

from rules import schedule, sms_text
from rules.channels import CONVERSATION_CHANNELS, NOTICE_CHANNELS, TEXT_PROVIDERS
from rules.containers import AnyJson, ListOf, MapOf, Nested, Object
from rules.field_types import Boolean, Choice, Condition, Duration, FieldType, Integer, Number, OutboundUrl, Text
from rules.playbook_values import (
    StyleValue,
    check_line,
    check_static_text,
    check_style_property,
    check_web_url,
)
from rules.playbook_values import check_attribute_name as check_page_attribute
from rules.selectors import check_selector
from rules.stages import Queue

#: Maximum characters of a text in a step.
MAX_TEXT_LENGTH = 100_000
MAX_ATTRIBUTE_NAME_LENGTH = 64

_ADDRESS_WITH_NAME = re.compile(r"[^<>]*<([^<>]+)>")
_EVENT = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}(\.[A-Za-z0-9_-]{1,64}){0,7}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_NAME = re.compile(rf"[A-Za-z0-9_.-]{{1,{MAX_ATTRIBUTE_NAME_LENGTH}}}")
#: Headers that an e-mail may set: they carry no address and steer no mail server. The engine sets `List-Unsubscribe`.
_EMAIL_HEADERS = frozenset({
    "auto-submitted", "comments", "feedback-id", "importance", "in-reply-to", "keywords", "list-id", "organization",
    "precedence", "references",
})  # fmt: skip
_EXTENSION_HEADER = re.compile(r"x-[a-z0-9-]{1,60}")
#: Extensions by which a provider is told what to do with a message.
_PROVIDER_HEADERS = ("x-mailgun-", "x-beckon-")


def _check_url(text: str) -> str | None:
    match = re.fullmatch(r"https?://([^/?#\s]+)\S*", text, re.IGNORECASE)
    if not match:
        return "must be an http or https URL"
    return "must not contain a user name or password" if "@" in match[1] else None


def _check_sender(text: str) -> str | None:
    match = _ADDRESS_WITH_NAME.fullmatch(text.strip())
    try:
        validate_email(match[1] if match else text.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return 'must be an e-mail address, with or without a name: "Ada <ada@example.com>"'
    return None


def _check_line(text: str) -> str | None:
    return "must be a single line" if "\n" in text or "\r" in text else None


def _check_header_name(name: str) -> str | None:
    return None if _HEADER.fullmatch(name) else "is not a valid header name"


def check_email_header(name: str) -> str | None:
    """Return why an e-mail may not set this header, or None."""
    lower = name.lower()
    if lower in _EMAIL_HEADERS or (_EXTENSION_HEADER.fullmatch(lower) and not lower.startswith(_PROVIDER_HEADERS)):
        return None
    return f"is not a header that an e-mail may set; allowed: {', '.join(sorted(_EMAIL_HEADERS))}, and X- headers"


def check_attribute_name(name: str) -> str | None:
    """Return why this cannot name a contact attribute, or None."""
    return (
        None
        if _NAME.fullmatch(name)
        else f"must be 1 to {MAX_ATTRIBUTE_NAME_LENGTH} letters, digits, dots, hyphens or underscores"
    )


def check_event_name(name: str) -> str | None:
    """Return why this cannot name an event, or None."""
    if len(name) <= 100 and _EVENT.fullmatch(name):
        return None
    return 'must be an event name such as "contact.created"'


def _check_send_at(text: str) -> str | None:
    try:
        schedule.parse_send_time(text, "UTC", _EXAMPLE_TIME)
    except (ValueError, OverflowError):
        return 'must be a time of day such as "09:00" or a timestamp such as "2026-05-04T09:00:00Z"'
    return None


_EXAMPLE_TIME = datetime(2026, 1, 1, tzinfo=UTC)

_BODY = Text(max_length=MAX_TEXT_LENGTH, template=True)
_LINE = Text(max_length=1000, template=True, validator=_check_line)
_TAG = Text(max_length=64, template=True)
_URL = Text(
    max_length=2000, template=True, validator=_check_url, keywords={"pattern": "^[Hh][Tt][Tt][Pp][Ss]?://"}, name="URL"
)
_SENDER = Text(max_length=320, template=True, validator=_check_sender, keywords={"pattern": "@"}, name="address")
_SEND_AT = Text(
    max_length=200, template=True, validator=_check_send_at, keywords={"pattern": "[0-9]"}, name="timestamp"
)

_GREETING = "Hello {{ contact.first_name | default: 'there' }}"

_BUTTON = Object(
    {"title": _LINE, "payload": _LINE, "url": _URL},
    required=frozenset({"title"}),
    mutually_exclusive=("payload", "url"),
)
_RETRY = Object({"max": Integer(0, 3)}, required=frozenset({"max"}))

#: Fields beside `action` that every step has.
COMMON: dict[str, FieldType] = {
    "id": Text(max_length=64),
    "action": Text(max_length=64),
    "with": Object({}),
}
#: Fields of every outside call, of every call with a side effect, and of every message to the contact.
_CALL: dict[str, FieldType] = {"retry": _RETRY}
_EFFECT: dict[str, FieldType] = {**_CALL, "on_unknown": Choice("on_unknown", ("hold", "resend"))}
_MESSAGE: dict[str, FieldType] = {**_EFFECT, "send_at": _SEND_AT, "review": Boolean()}
#: Of a message that may have links.
_MESSAGE_WITH_LINKS: dict[str, FieldType] = {**_MESSAGE, "track_clicks": Boolean()}
_ARMS: dict[str, FieldType] = {"then": Nested("steps"), "else": Nested("steps")}

#: Fields that are accepted either under `with` or beside `action`.
MOVABLE_FIELDS = frozenset({"then", "else", "variants", "send_at", "review", "track_clicks"})


#: What a run is counted as.
RunKind = Literal["comment_reply", "opening_dm", "follow_check", "main_dm"]


@dataclass(frozen=True, slots=True)
class Action:
    """One action, as the engine and the validation use it."""

    name: str
    purpose: str
    fields: Mapping[str, FieldType] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    #: `generation` or `sending`: the queue of its outside call; None without an outside call.
    queue: Queue | None = None
    #: `email` or `sms` if it sends to the contact on one fixed channel.
    channel: str | None = None
    #: The channel of an outside call that sends nothing to the contact.
    call_channel: str | None = None
    #: Fields beside `action`, in addition to `COMMON`.
    step_fields: Mapping[str, FieldType] = field(default_factory=dict)
    required_step_fields: frozenset[str] = frozenset()
    #: Output fields that later steps may read; None if they depend on the response.
    outputs: tuple[str, ...] | None = None
    #: Variables that only its templates have.
    variables: tuple[str, ...] = ()
    needs_one_field: bool = False
    #: As what its first success counts as a run; None where it is none.
    run_kind: RunKind | None = None
    #: Whether it sends to the contact, and so ends at the stage `sent`.
    reaches_contact: bool = False
    #: Whether it lets time pass, and whether it holds arms.
    is_wait: bool = False
    is_fork: bool = False
    #: In a page: whether it changes what elements contain or load, and so must not reach one that a browser executes.
    changes_content: bool = False
    #: Its name for people, where that is not the name in words, and what a new step has beside its id and action.
    label: str = ""
    initial: Mapping[str, object] = field(default_factory=dict)
    #: On pages: the icon of its node, what it is about, and what its success is called.
    icon: str = "queued"
    subject: str = ""
    outcome: str = "done"

    @property
    def title(self) -> str:
        """Its name for people: `Send e-mail`."""
        return self.label or self.name.replace("_", " ").capitalize()


_TABLE = (
    Action(
        "generate_message",
        "Generate a text from a prompt with AI.",
        {
            "prompt": _BODY,
            "system": _BODY,
            "provider": Choice("provider", TEXT_PROVIDERS),
            "model": Text(max_length=100),
            "max_tokens": Integer(1, 65_536),
            "temperature": Number(0, 2),
            "fallback": _BODY,
        },
        frozenset({"prompt"}),
        queue="generation",
        step_fields=_CALL,
        variables=("conversation",),
        outputs=("text", "model", "inputTokens", "outputTokens", "finishReason", "fallback", "fallbackBecause"),
        icon="generating",
        label="Write with AI",
        initial={"with": {"prompt": "Write a short message to {{ contact.first_name | default: 'a lead' }}."}},
    ),
    Action(
        "send_email",
        "Send an e-mail to the contact.",
        {
            "subject": _LINE,
            "body": _BODY,
            "format": Choice("format", ("text", "html", "mjml")),
            "from": _SENDER,
            "reply_to": _SENDER,
            "headers": MapOf(_LINE, max_properties=20, validator=check_email_header),
        },
        frozenset({"subject", "body"}),
        queue="sending",
        channel="email",
        variables=("unsubscribe_url", "preferences_url"),
        step_fields=_MESSAGE_WITH_LINKS,
        run_kind="main_dm",
        reaches_contact=True,
        icon="sending",
        subject="E-mail",
        label="Send e-mail",
        initial={"with": {"subject": "Hello", "body": f"{_GREETING},"}},
    ),
    Action(
        "send_sms",
        "Send a text message to the contact's phone.",
        {
            "body": _BODY,
            "max_segments": Integer(1, sms_text.MAX_SEGMENTS),
            "when_too_long": Choice("when_too_long", ("refuse", "cut")),
        },
        frozenset({"body"}),
        queue="sending",
        channel="sms",
        step_fields=_MESSAGE_WITH_LINKS,
        run_kind="main_dm",
        reaches_contact=True,
        icon="sending",
        subject="SMS",
        label="Send SMS",
        initial={"with": {"body": _GREETING}},
    ),
    Action(
        "send_message",
        "Send a direct message on Facebook or Instagram.",
        {
            "channel": Choice("channel", CONVERSATION_CHANNELS),
            "body": _BODY,
            "as": Choice("kind of message", ("message", "private_reply")),
            "buttons": ListOf(_BUTTON, max_items=3),
            "quick_replies": ListOf(_LINE, max_items=13),
        },
        frozenset({"channel", "body"}),
        queue="sending",
        step_fields=_MESSAGE_WITH_LINKS,
        run_kind="main_dm",
        reaches_contact=True,
        icon="sending",
        initial={"with": {"channel": "instagram", "body": _GREETING}},
    ),
    Action(
        "reply_comment",
        "Reply to the comment publicly.",
        {"body": _BODY, "channel": Choice("channel", CONVERSATION_CHANNELS)},
        frozenset({"body"}),
        queue="sending",
        step_fields=_MESSAGE,
        run_kind="comment_reply",
        reaches_contact=True,
        icon="sending",
        initial={"with": {"body": "Thank you! We have sent you a message."}},
        label="Reply to comment",
    ),
    Action(
        "check_follow",
        "Check whether the contact follows the Instagram account.",
        queue="sending",
        call_channel="instagram",
        step_fields=_CALL,
        outputs=("following", "because"),
        run_kind="follow_check",
        icon="checking",
    ),
    Action(
        "wait",
        "Wait for a duration.",
        {"for": Duration()},
        frozenset({"for"}),
        initial={"with": {"for": "1d"}},
        is_wait=True,
        outcome="waited",
    ),
    Action(
        "wait_until",
        "Wait for an event of the contact: take `then` when it arrives, `else` after the timeout.",
        {"event": Text(max_length=100, validator=check_event_name), "timeout": Duration()},
        frozenset({"event", "timeout"}),
        step_fields=_ARMS,
        outputs=("taken", "event", "timedOut", "until"),
        is_wait=True,
        is_fork=True,
        label="Wait for an event",
        initial={"with": {"event": "contact.replied", "timeout": "1d"}},
    ),
    Action(
        "branch",
        "Take one of two branches by a condition.",
        step_fields={"if": Condition(), **_ARMS},
        required_step_fields=frozenset({"if", "then"}),
        outputs=("taken",),
        is_fork=True,
        icon="branch",
        initial={"if": "contact.tags contains 'lead'", "then": []},
    ),
    Action(
        "split",
        "Take one of several variants at random, always the same one for the same contact.",
        step_fields={"variants": Nested("variants")},
        required_step_fields=frozenset({"variants"}),
        outputs=("taken",),
        is_fork=True,
        icon="branch",
        initial={"variants": [{"name": name, "weight": 50, "steps": []} for name in ("a", "b")]},
    ),
    Action(
        "update_contact",
        "Change the contact's tags and attributes.",
        {
            "add_tags": ListOf(_TAG),
            "remove_tags": ListOf(_TAG),
            "set": MapOf(AnyJson(template=True), validator=check_attribute_name),
        },
        needs_one_field=True,
        icon="contact",
        subject="tags and attributes",
        outcome="contact updated",
        initial={"with": {"add_tags": ["lead"]}},
    ),
    Action(
        "create_task",
        "Create a task for a member of the workspace.",
        {"title": _LINE, "due_in": Duration(), "assignee": _LINE},
        frozenset({"title"}),
        icon="flag",
        subject="task",
        outcome="task created",
        initial={"with": {"title": "Call {{ contact.first_name | default: 'the contact' }}"}},
    ),
    Action(
        "call_webhook",
        "Send a POST request to a URL, signed per Standard Webhooks.",
        {
            "url": OutboundUrl(_URL),
            "body": AnyJson(template=True),
            "headers": MapOf(_LINE, max_properties=20, validator=_check_header_name),
        },
        frozenset({"url"}),
        queue="sending",
        call_channel="webhook",
        step_fields=_EFFECT,
        icon="sending",
        subject="webhook",
        outcome="called",
        initial={"with": {"url": "https://example.com/hook"}},
    ),
    Action(
        "notify",
        "Notify the team on Slack or Discord.",
        {"channel": Choice("channel", NOTICE_CHANNELS), "text": _BODY},
        frozenset({"channel", "text"}),
        queue="sending",
        step_fields=_EFFECT,
        icon="sending",
        outcome="notified",
        label="Notify the team",
        initial={
            "with": {"channel": "slack", "text": "{{ contact.first_name | default: 'Somebody' }} needs an answer."}
        },
    ),
    Action("stop", "End the execution.", icon="skipped", outcome="stopped here"),
)

_SELECTOR = Text(max_length=500, validator=check_selector, name="CSS selector")
_PLAIN_TEXT = Text(max_length=10_000, validator=check_static_text)
_WEB_URL = Text(max_length=2000, validator=check_web_url, name="URL")
_EVENT_NAME = Text(max_length=100, validator=check_line)
_PLAYBOOK_TABLE = (
    Action(
        "replace_text",
        "Replace the text of elements.",
        {"selector": _SELECTOR, "text": _PLAIN_TEXT},
        frozenset({"selector", "text"}),
        changes_content=True,
        icon="page_text",
    ),
    Action(
        "replace_image",
        "Replace an image.",
        {"selector": _SELECTOR, "src": _WEB_URL},
        frozenset({"selector", "src"}),
        changes_content=True,
        icon="page_image",
    ),
    Action(
        "set_attribute",
        "Set an attribute of elements.",
        {
            "selector": _SELECTOR,
            "name": Text(max_length=100, validator=check_page_attribute, name="attribute"),
            "value": Text(max_length=2000, validator=check_static_text, allow_empty=True),
        },
        frozenset({"selector", "name", "value"}),
        changes_content=True,
        icon="page_attribute",
    ),
    Action(
        "set_style",
        "Set styles of elements.",
        {
            "selector": _SELECTOR,
            "style": MapOf(StyleValue(), max_properties=50, validator=check_style_property, min_properties=1),
        },
        frozenset({"selector", "style"}),
        icon="page_style",
    ),
    Action("show", "Show elements.", {"selector": _SELECTOR}, frozenset({"selector"}), icon="page_show"),
    Action("hide", "Hide elements.", {"selector": _SELECTOR}, frozenset({"selector"}), icon="page_hide"),
    Action(
        "insert_banner",
        "Insert a banner at the top or the bottom of the page.",
        {"position": Choice("position", ("top", "bottom")), "text": _PLAIN_TEXT, "url": _WEB_URL},
        frozenset({"position", "text"}),
        icon="page_banner",
    ),
    Action("redirect", "Go to another page.", {"url": _WEB_URL}, frozenset({"url"}), icon="page_redirect"),
    Action(
        "track_event",
        "Track an event of the visitor.",
        {"name": _EVENT_NAME},
        frozenset({"name"}),
        icon="page_event",
    ),
)

#: Every action by its name.
ACTIONS: dict[str, Action] = {action.name: action for action in (*_TABLE, *_PLAYBOOK_TABLE)}
#: The actions of playbooks, which the visitor's browser executes, and those of workflows, which the engine executes.
PLAYBOOK_ACTIONS: tuple[str, ...] = tuple(action.name for action in _PLAYBOOK_TABLE)
WORKFLOW_ACTIONS: tuple[str, ...] = tuple(action.name for action in _TABLE)
